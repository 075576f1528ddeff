"""Bifrost: rows of the gateway's log store and pages of its logs interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import msgspec
import polars as pl

from costaudit.ingest import _cells
from costaudit.ingest._decode import opened, parsed
from costaudit.ingest._files import Record
from costaudit.ingest._format import TableFormat, count, custom, flag, maybe, moment, number, text, usd, whole
from costaudit.ingest._lifetimes import settled
from costaudit.ingest._openai import extras
from costaudit.ingest._prompt import Prompt
from costaudit.schema import SHARED

ROW = ("provider", "model", "timestamp", "status", "number_of_retries", "fallback_index")
OBJECTS = ("token_usage", "cache_debug", "metadata", "params", "error_details")
SPLIT = datetime(2026, 3, 2, tzinfo=UTC)
"""No version before had names of their own for what is read from a cache and what is written to it."""
APART = ("anthropic", "bedrock")
"""Providers whose cached input stood beside the prompt until then; with them the hosts of Claude, where it is asked."""
HOSTS = ("vertex", "azure")
INSIDE = ("openai", "openrouter")
OURS = (
    "_first_ms", "_object", "_cached", "_written", "_given", "_said", "_read", "_state", "_tries", "_fallback",
)  # fmt: skip
CHORES = "list_models|count_tokens|file|container|video_(retrieve|download|list|delete)|batch"


class Bifrost(TableFormat):
    """Logs of a Bifrost gateway: its table `logs` (SQLite, exports of Postgres or ClickHouse), pages of `/api/logs`.

    - `token_usage` is in Bifrost's words for every provider: cached reads and writes are inside `prompt_tokens`,
      reasoning is inside `completion_tokens`. Older versions left thoughts of Gemini beside it, which the total shows:
      each file's rows are asked.
    - Before March 2026 what Anthropic and Bedrock, and Claude at Vertex and Azure, read from a cache and wrote to it
      stood beside the prompt, the writes as `cached_tokens` of the completion. Rows of that time, and later ones whose
      `cached_tokens` stands alone, are read so; those of Claude at a provider of your own naming are undecided.
    - A row with a `cache_hit` in `cache_debug` was answered by Bifrost's own cache. What the search for a similar
      request cost is in `cost` alone, of hits and of misses.
    - Each fallback is a row of its own, and a call. Retries within a row are its number; what they used is in no log.
    - A row that is still `processing` has no counts yet: they are unknown, and it reads as cancelled. Those of a failed
      call are unknown unless Bifrost was told what it used. Lists of models, files, batches and counts of tokens are no
      calls where they have no usage.
    - Where `token_usage` is kept in object storage the columns beside it are read, which say nothing of cached writes.
    - `cost` is Bifrost's own and is shown beside the computed cost, but not that of Claude's streams with cached input
      (1.5.2 charged it twice) nor of older such calls.
    - Streams of others in Anthropic's words (Kimi, Qwen) count what was read from a cache twice in some versions, as do
      those of some models at Bedrock: such rows cannot be told from sound ones.
    - A session is kept as `parent_request_id`, as is the first try of a fallback: a run where several calls share it.
    - The sample is synthetic, to the tables of version 1.5.

    Logged better: `task`, `tenant` and `environment` as headers that Bifrost logs (they arrive as `metadata`).
    """

    name = "bifrost"
    title = "Bifrost gateway logs"
    context = False
    signs = ("_tries", "_fallback")
    tables: ClassVar = {"logs": ("id", "object_type", *ROW)}
    fields = {
        "request_id": text("id"),
        "started_at": moment("timestamp"),
        "_latency_ms": maybe(number("latency")),
        "_first_ms": maybe(number("time_to_first_token")),
        "_object": text("object", "object_type"),
        "provider": text("provider"),
        "model": text("model"),
        "model_requested": text("alias"),
        "service_tier_requested": text("params.service_tier"),
        "temperature": number("params.temperature"),
        "max_tokens": whole("params.max_completion_tokens", "params.max_tokens", "params.max_output_tokens"),
        "reasoning_effort": text("params.reasoning.effort", "params.reasoning_effort"),
        "streamed": flag("stream"),
        "input_tokens": count("token_usage.prompt_tokens"),
        "output_tokens": count("token_usage.completion_tokens"),
        "cache_read_tokens": count("token_usage.prompt_tokens_details.cached_read_tokens"),
        "cache_write_tokens": count("token_usage.prompt_tokens_details.cached_write_tokens"),
        "cache_write_5m_tokens": count(
            "token_usage.prompt_tokens_details.cached_write_token_details.cached_write_tokens_5m"
        ),
        "cache_write_1h_tokens": count(
            "token_usage.prompt_tokens_details.cached_write_token_details.cached_write_tokens_1h"
        ),
        "_cached": count("token_usage.prompt_tokens_details.cached_tokens"),
        "_written": count("token_usage.completion_tokens_details.cached_tokens"),
        "reasoning_tokens": count("token_usage.completion_tokens_details.reasoning_tokens"),
        "_total": whole("token_usage.total_tokens"),
        # Columns beside the usage, with 0 where there is none.
        "_given": whole("prompt_tokens"),
        "_said": whole("completion_tokens"),
        "_read": whole("cached_read_tokens"),
        "extras": extras("usage", "token_usage"),
        "cost_logged_usd": usd("cost"),
        "status": custom(_cells.status, pl.String(), "status"),
        "_state": text("status"),
        "http_status": whole("error_details.status_code"),
        "error_type": text("error_details.error.type", "error_details.error.code", "error_details.type"),
        "finish_reason": text("stop_reason"),
        "gateway_cache_hit": flag("cache_debug.cache_hit"),
        "_tries": whole("number_of_retries"),
        "_fallback": whole("fallback_index"),
        "parent_id": text("parent_request_id"),
        "run_id": text("metadata.run_id", "metadata.session_id", "metadata.session-id"),
        "task": text("metadata.task", "metadata.feature", "metadata.use_case", "selected_prompt_name"),
        "tenant": text(
            "metadata.tenant", "metadata.tenant_id", "metadata.customer", "customer_name", "customer_id", "team_name",
            "team_id",
        ),
        "environment": text("metadata.environment", "metadata.env"),
        "user": text("user_id", "metadata.user_id", "metadata.user", "user_name"),
        "key_id": text("virtual_key_name", "virtual_key_id", "selected_key_name", "selected_key_id"),
    }  # fmt: skip
    prompt = Prompt(
        messages=("self:input_history", "self:responses_input_history"),
        tools=("self:params.tools", "self:tools"),
        parameters=("self:params.temperature", "self:params.top_p"),
        answer=("self:output_message", "self:responses_output"),
    )

    def recognises(self, record: Mapping[str, Any]) -> int:
        page = record.get("logs")
        if isinstance(page, list):
            return 95 if any(isinstance(row, dict) and _is_row(row) for row in page[:5]) else 0
        return 95 if _is_row(record) else 0

    def explode(self, record: Record) -> Sequence[Record]:
        """The logs of a page; rows of a table with the objects that they keep as text opened."""
        data = record.data
        if not isinstance(data, dict):
            if b'"logs"' not in data:
                return (record,)  # objects kept as text are no objects to the decoder, and opened by the slow way
            value = parsed(data)
            if isinstance(value, str) or not isinstance(value.get("logs"), list) or not self.recognises(value):
                return (record,)
            data = value
        if not self.recognises(data):
            return (record,)
        rows = data["logs"] if isinstance(data.get("logs"), list) else [data]
        found = [_opened(row) if isinstance(row, dict) else msgspec.json.encode(str(row)[:40]) for row in rows]
        return [record._replace(data=row) for row in found] or (record,)

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        # Of an embedding, and of an answer of nothing, counts of 0 are left out.
        told = pl.col("_total").is_not_null()
        given, said, read, write = (
            pl.col(f"{name}_tokens") for name in ("input", "output", "cache_read", "cache_write")
        )
        given = pl.when(told).then(given.fill_null(0)).otherwise(pl.coalesce(given, "_given"))
        said = pl.when(told).then(said.fill_null(0)).otherwise(pl.coalesce(said, "_said"))
        # Versions up to 1.6 have `cached_tokens` for both, of which the writes are a part.
        cached = pl.max_horizontal(pl.col("_cached") - write.fill_null(0), 0)
        former, apart, doubtful = _former(read, write)
        some = (pl.max_horizontal(read, "_cached", "_read").fill_null(0) + write.fill_null(0)) > 0
        unsure = (apart | doubtful) & some & (former | pl.col("streamed").fill_null(value=True))
        nothing = (given.fill_null(0) + said.fill_null(0)) == 0
        state, kind = pl.col("_state").str.to_lowercase(), pl.col("_object").str.to_lowercase()
        open_ = nothing & (state == "processing").fill_null(value=False)
        chore = nothing & kind.str.contains(CHORES).fill_null(value=False)
        counted = settled(
            picked.with_columns(
                input_tokens=pl.when(~nothing).then(given),
                output_tokens=pl.when(~nothing).then(said),
                cache_write_tokens=pl.coalesce(write, pl.when(former & apart).then("_written")),
                cache_read_tokens=pl.coalesce(read, pl.when(pl.col("_cached").is_not_null()).then(cached), "_read"),
                cost_logged_usd=pl.when(~unsure).then("cost_logged_usd"),
                _reading=pl.when(former & apart)
                .then(pl.lit("beside"))
                .when(former & doubtful)
                .then(pl.lit("unknown"))
                .otherwise(pl.lit("inside")),
                _scope=pl.concat_str(kind, pl.when(former).then(pl.lit(" before 1.5")).otherwise(pl.lit(""))),
            )
        )
        return counted.with_columns(
            provider=pl.col("provider").str.to_lowercase(),
            service_tier=pl.when(kind.str.contains("batch")).then(pl.lit("batch")),
            status=pl.when(open_).then(pl.lit("cancelled")).otherwise("status"),
            gateway_cache_hit=pl.when(pl.col("gateway_cache_hit")).then(True),
            ttft_s=pl.when(pl.col("_first_ms") >= 0).then(pl.col("_first_ms") / 1_000),
            attempt=pl.when(pl.col("_fallback") > 0)
            .then(pl.col("_fallback") + 1)
            .when(pl.col("_tries") > 0)
            .then(pl.col("_tries") + 1),
            run_id=pl.coalesce("run_id", "parent_id"),
            run_source=pl.when(pl.col("run_id").is_null() & pl.col("parent_id").is_not_null()).then(pl.lit(SHARED)),
            # A row is written as the call begins and filled in as it ends: the later copy has the counts.
            _rank=pl.when(nothing).then(0).otherwise(1),
            _skip=pl.when(chore).then(pl.concat_str(pl.lit("no call: "), kind.str.slice(0, 40))),
        ).drop(OURS)


def _former(read: pl.Expr, write: pl.Expr) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """Whether a row was counted by a version before 1.5; whether such rows leave the cache beside; whether they may."""
    split = read.is_not_null() | write.is_not_null()
    one = pl.col("_cached").is_not_null() | pl.col("_written").is_not_null()
    maker, claude = pl.col("provider").str.to_lowercase(), pl.col("model").str.to_lowercase().str.contains("claude")
    former = (one & ~split) | (pl.col("started_at") < SPLIT)
    apart = maker.is_in(APART) | (maker.is_in(HOSTS) & claude)
    found = (former, apart, claude & ~maker.is_in(INSIDE))
    former, apart, doubtful = (said.fill_null(value=False) for said in found)
    return former, apart, doubtful


def _is_row(record: Mapping[str, Any]) -> bool:
    return ("object" in record or "object_type" in record) and all(name in record for name in ROW)


def _opened(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, **{name: opened(value) for name in OBJECTS if isinstance(value := row.get(name), str)}}
