"""The request table: every column once, with its type, unit, meaning and OpenTelemetry name.

Totals are inclusive, as OpenTelemetry reads them: `input_tokens` contains cached reads and writes, `output_tokens`
contains reasoning. The disjoint classes that a provider bills are derived in one place, `costaudit.price`.
Hashes are xxh3 of raw bytes; the table never holds text of a prompt or an answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

import polars as pl

VERSION = 1  # of this table; written into every Parquet file, raised when a column changes its meaning

USD = pl.Decimal(38, 18)
UTC = pl.Datetime("us", "UTC")
MAYBE = "maybe"  # a run id that some writers make up for every call: they all are runs if any is of several calls
SHARED = "maybe shared"  # one that is a run only where several calls share it
SHA = pl.UInt64
TOOL_CALLS = pl.List(pl.Struct({"id": SHA, "name": pl.String, "args_sha": SHA}))
TOOL_RESULTS = pl.List(pl.Struct({"id": SHA, "sha": SHA, "error": pl.Boolean}))
TOOLS = pl.List(pl.Struct({"name": pl.String, "sha": SHA, "tokens": pl.Int64}))
EXTRAS = pl.List(pl.Struct({"class": pl.String, "quantity": pl.Decimal(38, 9)}))


class Column(NamedTuple):
    """One column of the request table."""

    name: str
    dtype: pl.DataType | type[pl.DataType]
    unit: str
    meaning: str
    otel: str = ""
    group: str = ""


def _group(group: str, *columns: Column) -> tuple[Column, ...]:
    return tuple(column._replace(group=group) for column in columns)


REQUEST: tuple[Column, ...] = (
    *_group(
        "identity",
        Column(
            "request_id",
            pl.String,
            "",
            "The provider's id of the response; else the id the log gives.",
            "gen_ai.response.id",
        ),
        Column("format", pl.String, "", "The log format that read the row."),
        Column("source_file", pl.String, "", "Log file the row came from."),
        Column("source_line", pl.Int64, "", "Line in that file, from 1 (for a container: its element)."),
        Column("source_offset", pl.Int64, "bytes", "Where the record starts in the decompressed file."),
        Column("started_at", UTC, "UTC", "When the call was sent."),
        Column("ended_at", UTC, "UTC", "When the answer was complete."),
        Column(
            "ttft_s", pl.Float64, "s", "Time to the first piece of the answer.", "gen_ai.response.time_to_first_chunk"
        ),
        Column("run_id", pl.String, "", "The agent execution the call belongs to.", "gen_ai.conversation.id"),
        Column(
            "run_source",
            pl.String,
            "",
            "How the run is known: `log`, `chain` (rebuilt from messages), `guessed`; `maybe` until all is read.",
        ),
        Column("parent_id", pl.String, "", "The run, span or response that caused this call."),
        Column("step", pl.Int64, "", "Position of the call in its run, from 1."),
        Column("attempt", pl.Int64, "", "Number of this attempt at the same call, from 1, where the log says so."),
        Column("task", pl.String, "", "What the application was doing, e.g. `triage`.", "gen_ai.agent.name"),
        Column(
            "task_source",
            pl.String,
            "",
            "How it is known: `mapping`, `field`, `family` (one prompt), `mixed`, `shape`.",
        ),
        Column("instance_id", pl.String, "", "The case being worked on; runs of one case share it (evaluations, CI)."),
        Column("tenant", pl.String, "", "Customer of a multi-tenant application."),
        Column("user", pl.String, "", "End user, as the log names them.", "user.id"),
        Column("environment", pl.String, "", "Deployment environment.", "deployment.environment.name"),
        Column("key_id", pl.String, "", "API key (hash or alias), project or team the call was billed to."),
    ),
    *_group(
        "model",
        Column("provider", pl.String, "", "Who served the call.", "gen_ai.provider.name"),
        Column("model_requested", pl.String, "", "The model asked for.", "gen_ai.request.model"),
        Column("model", pl.String, "", "The model that answered; priced.", "gen_ai.response.model"),
        Column(
            "service_tier",
            pl.String,
            "",
            "Tier that served: null is standard; `batch`, `flex`, `priority`, `fast`, `ultrafast`, `provisioned`.",
            "openai.response.service_tier",
        ),
        Column("service_tier_requested", pl.String, "", "Tier asked for.", "openai.request.service_tier"),
        Column(
            "region",
            pl.String,
            "",
            "Prices depend on it: OpenAI residency, Anthropic inference_geo, Vertex location, AWS region, Azure zone.",
            "cloud.region",
        ),
        Column("search_context_size", pl.String, "", "Perplexity: low, medium or high."),
        Column("temperature", pl.Float64, "", "Sampling temperature asked for.", "gen_ai.request.temperature"),
        Column("max_tokens", pl.Int64, "tokens", "Limit on the answer asked for.", "gen_ai.request.max_tokens"),
        Column("reasoning_effort", pl.String, "", "Reasoning effort asked for."),
        Column("streamed", pl.Boolean, "", "Whether the answer was streamed.", "gen_ai.request.stream"),
    ),
    *_group(
        "usage",
        Column(
            "input_tokens",
            pl.Int64,
            "tokens",
            "All input, cached reads and writes included.",
            "gen_ai.usage.input_tokens",
        ),
        Column(
            "cache_read_tokens",
            pl.Int64,
            "tokens",
            "Input served from a prompt cache.",
            "gen_ai.usage.cache_read.input_tokens",
        ),
        Column(
            "cache_write_tokens",
            pl.Int64,
            "tokens",
            "Input written to a prompt cache, all lifetimes; what no lifetime claims is the provider's default one.",
            "gen_ai.usage.cache_write.input_tokens",
        ),
        Column("cache_write_5m_tokens", pl.Int64, "tokens", "Part of the writes that lives 5 minutes."),
        Column("cache_write_30m_tokens", pl.Int64, "tokens", "Part of the writes that lives 30 minutes."),
        Column("cache_write_1h_tokens", pl.Int64, "tokens", "Part of the writes that lives 1 hour."),
        Column("cache_write_12h_tokens", pl.Int64, "tokens", "Part of the writes that lives 12 hours."),
        Column("output_tokens", pl.Int64, "tokens", "All output, reasoning included.", "gen_ai.usage.output_tokens"),
        Column(
            "reasoning_tokens", pl.Int64, "tokens", "Hidden part of the output.", "gen_ai.usage.reasoning.output_tokens"
        ),
        Column(
            "extras",
            EXTRAS,
            "",
            "What is billed beyond text tokens, by class: tokens by modality (parts of the totals), searches, pages, "
            "seconds, characters, sessions.",
        ),
        Column(
            "usage_source", pl.String, "", "Who counted: `provider`, `gateway`, `tokenizer` (estimated here), `absent`."
        ),
        Column(
            "convention",
            pl.String,
            "",
            "How input and cache counts were read: null is the documented way of the format; `proved`, `assumed`, or "
            "`undecided` (then the counts hold the cheaper reading).",
        ),
        Column("rollup", pl.Boolean, "", "The row restates usage of other rows and is never summed."),
        Column(
            "summed",
            pl.Boolean,
            "",
            "The row is the total of several calls (a session, a turn), whose prompts are taken for short ones.",
        ),
        Column("gateway_cache_hit", pl.Boolean, "", "Answered by a gateway's own cache: no provider was called."),
        Column("has_text", pl.Boolean, "", "The record carried prompt or answer text."),
    ),
    *_group(
        "result",
        Column("status", pl.String, "", "`ok`, `error` or `cancelled`."),
        Column("http_status", pl.Int64, "", "HTTP status of the answer.", "http.response.status_code"),
        Column("error_type", pl.String, "", "Class of the error.", "error.type"),
        Column(
            "finish_reason",
            pl.String,
            "",
            "Why the answer ended: `stop`, `length`, `tool_calls`, `content_filter`, `refusal`, `error`, `pause`.",
            "gen_ai.response.finish_reasons",
        ),
        Column("cost_logged_usd", USD, "USD", "Cost as the log states it; shown beside ours, never summed."),
    ),
    *_group(
        "fingerprints",
        Column("request_sha", SHA, "", "Hash of messages, tools and parameters, without the model."),
        Column("block_sha", pl.List(SHA), "", "Hash chain over the messages: equal prefixes have equal beginnings."),
        Column(
            "block_tokens", pl.List(pl.Int64), "tokens", "Estimated tokens of each message, scaled to `input_tokens`."
        ),
        Column("system_sha", SHA, "", "Hash of the system prompt."),
        Column(
            "template_sha", SHA, "", "Hash of the masked system prompt, tools and output schema: the prompt family."
        ),
        Column("line_sha", pl.List(SHA), "", "Hashes of the first 16 masked sentences of the system prompt, in order."),
        Column("tools_sha", SHA, "", "Hash of the sorted names of the declared tools."),
        Column("output_sha", SHA, "", "Hash of the answer."),
        Column("reply_sha", SHA, "", "The chain after this answer: what the next call of the run starts with."),
        Column("reply_tokens", pl.Int64, "tokens", "Estimated tokens of the visible answer."),
    ),
    *_group(
        "tools",
        Column("tools_declared", TOOLS, "", "Tools offered to the model.", "gen_ai.tool.definitions"),
        Column("tool_calls", TOOL_CALLS, "", "Tools the answer calls."),
        Column(
            "tool_results",
            TOOL_RESULTS,
            "",
            "Results of earlier tool calls that this request sends for the first time.",
        ),
        Column("tool_name", pl.String, "", "Name of the tool called; several are joined with `+`.", "gen_ai.tool.name"),
        Column("tool_args_sha", SHA, "", "Hash of the arguments as canonical JSON."),
        Column("tool_result_sha", SHA, "", "Hash of the result, clock times, uuids and durations masked."),
        Column("tool_error", pl.Boolean, "", "Whether the tool reported an error."),
    ),
    *_group(
        "outcome",
        Column("score", pl.Float64, "", "Quality of the outcome, joined by id or logged."),
        Column("success", pl.Boolean, "", "Whether the run or call did its job."),
        Column("schema_ok", pl.Boolean, "", "Whether the answer parsed as it had to."),
    ),
)
"""The request table as it leaves ingest."""

PRICED: tuple[Column, ...] = _group(
    "price",
    Column("row", pl.UInt32, "", "Number of the call in this audit, in order of time; keys patches and evidence."),
    Column("cost_usd", USD, "USD", "What the call cost; null where no price is known."),
    Column(
        "price_status", pl.String, "", "`priced`, `free`, `subscription` or `unpriced`; null where nothing is billed."
    ),
    Column("price_entry", pl.String, "", "The entry of the price book that was used."),
    Column("low_usd", USD, "USD", "Least the call can have cost, given what is not known about it."),
    Column("high_usd", USD, "USD", "Most it can have cost; null: no upper bound."),
    Column("trust", pl.String, "", "`exact`, `estimated`, `unpriced`, `unmetered`, `free` or `subscription`."),
)
"""What pricing adds to each request."""

REQUESTS: pl.Schema = pl.Schema({c.name: c.dtype for c in REQUEST})
CALLS: pl.Schema = pl.Schema({c.name: c.dtype for c in (*REQUEST, *PRICED)})


def conform(frame: pl.DataFrame, schema: pl.Schema = REQUESTS) -> pl.DataFrame:
    """The frame with exactly the columns of `schema`, in its order; absent ones are null."""
    have = frame.schema
    if not have:
        return schema.to_frame()  # a selection of literals alone would have one row
    return frame.select(
        (pl.col(name) if have[name] == dtype else pl.col(name).cast(dtype))
        if name in have
        else pl.lit(None, dtype).alias(name)
        for name, dtype in schema.items()
    )


def joined(frames: Iterable[pl.DataFrame]) -> list[pl.DataFrame]:
    """Frames of one schema, each without the columns it lacks: those in a row that have the same ones are put together.

    To ask a thousand frames for their types takes longer than to put them together.
    """
    return [pl.concat(some) for _, some in groupby(frames, key=lambda frame: frame.columns)]


def narrow(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The same without the columns that are absent: half of them are, and each costs time wherever it goes."""
    have = frame.schema
    return conform(frame, pl.Schema({name: dtype for name, dtype in schema.items() if name in have}))
