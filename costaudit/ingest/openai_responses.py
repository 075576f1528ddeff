"""The Responses API of OpenAI: objects, streamed events, polled background responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from costaudit.ingest._format import TableFormat, around, count, flag, moment, number, request, text, whole
from costaudit.ingest._openai import EU_US, HOST, extras, provider, together
from costaudit.ingest._prompt import Prompt

DONE = ("completed", "incomplete", "failed", "cancelled")
"""States of a response that changes no more; only these carry usage."""


class OpenAIResponses(TableFormat):
    """Responses of the Responses API: bare, beside their request, as streamed events, or polled in the background.

    Every event `response.created`, `.in_progress`, `.completed` embeds the same response; so does every poll of a
    background response. They are copies of one call: the finished one counts. Events without a response (text
    deltas, items) are skipped by type.

    - `input_tokens` includes cached and written input, `output_tokens` includes reasoning.
    - Hosted tools have fees of their own. Searches are counted from the output items (`web_search_call`,
      `file_search_call`); opening a found page is free. A code container is billed by session: distinct containers.
    - `previous_response_id` and `conversation` tie calls together; the whole history is billed as input on each link.
    - A response that ended as `failed`, or that a stream never finished, has no usage and is unmetered.

    Logged better: the request beside the response (its `input` and `tools` are what prompts are compared by), the
    completed response instead of the stream, `metadata` with task and tenant.
    """

    name = "openai-responses"
    title = "OpenAI Responses API"
    wrappable = True
    others = ("type", frozenset({"message"}))  # Anthropic's
    called = ("finish_reason",)
    fields = {
        "request_id": text("id"),
        "started_at": moment("created_at"),
        "ended_at": moment("completed_at"),
        "model": text("model"),
        "model_requested": request(text("model")),
        "service_tier": text("service_tier"),
        "service_tier_requested": request(text("service_tier")),
        "temperature": (request(number("temperature")), number("temperature")),
        "max_tokens": (request(whole("max_output_tokens")), whole("max_output_tokens")),
        "reasoning_effort": (text("reasoning.effort", "reasoning_effort"), request(text("reasoning.effort"))),
        "run_id": (text("conversation.id", "conversation"), request(text("conversation.id", "conversation"))),
        "parent_id": (text("previous_response_id"), request(text("previous_response_id"))),
        "user": text("user", "safety_identifier"),
        "input_tokens": count("usage.input_tokens"),
        "cache_read_tokens": count("usage.input_tokens_details.cached_tokens"),
        "cache_write_tokens": count("usage.input_tokens_details.cache_write_tokens"),
        "output_tokens": count("usage.output_tokens"),
        "reasoning_tokens": count("usage.output_tokens_details.reasoning_tokens"),
        "finish_reason": text("incomplete_details.reason", "status"),
        "error_type": text("error.code", "error.type"),
        "streamed": request(flag("stream")),
        "provider": around(text("provider")),
        "_host": HOST,
        "_ttl": (text("prompt_cache_options.ttl"), request(text("prompt_cache_options.ttl"))),
        "_state": text("status"),
        "_usage": extras("usage", "usage"),
        "_tools": extras("output", "output"),
        "_event": text("type"),
        "_inner": text("response.id"),
    }
    prompt = Prompt(
        messages=("request:input", "request:messages"),
        system=("request:instructions", "self:instructions"),
        tools=("request:tools", "self:tools"),
        output_schema=("request:text.format", "self:text.format"),
        parameters=("request:temperature", "request:top_p", "request:tool_choice"),
        answer=("self:output",),
    )

    def recognises(self, record: Mapping[str, Any]) -> int:
        if record.get("object") in ("response", "response.compaction") and "output" in record:
            return 80
        kind = record.get("type")
        event = isinstance(kind, str) and kind.startswith("response.")
        return 80 if event and not isinstance(record.get("response"), Mapping) else 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        event = pl.col("_event").str.starts_with("response.").fill_null(value=False)
        state = pl.col("_state")
        calling = pl.col("tool_calls").list.len() > 0
        # The longest lifetime that can be bought is written out; what stays unclaimed is the provider's default one.
        half_day = pl.when(pl.col("_ttl") == "12h").then("cache_write_tokens")
        failed = pl.col("model_requested").is_not_null() & (
            pl.col("http_status").is_not_null() | pl.col("error_type").is_not_null()
        )
        return picked.with_columns(
            finish_reason=pl.when((state == "completed") & calling)
            .then(pl.lit("tool_calls"))
            .when(state.is_in(DONE).fill_null(value=False))
            .then("finish_reason"),
            status=pl.when(state.is_in(["failed", "cancelled"])).then(state.replace({"failed": "error"})),
            cache_write_12h_tokens=half_day,
            extras=together(picked, "_usage", "_tools"),
            provider=provider("_host", pl.col("provider").str.to_lowercase()),
            region=pl.coalesce("region", pl.col("_host").str.extract(EU_US)),
            _rank=pl.col("input_tokens").is_not_null() * 2 + state.is_in(DONE).fill_null(value=False).cast(pl.Int64),
            _skip=pl.when(event & pl.col("request_id").is_null()).then("_event"),
            # An event that embeds a response is read where the response stands.
            _foreign=(pl.col("_foreign") & ~failed) | pl.col("_inner").is_not_null(),
        ).drop("_host", "_ttl", "_state", "_usage", "_tools", "_event", "_inner")
