"""Chat Completions of OpenAI and every server that speaks its dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from costaudit.ingest._format import TableFormat, around, count, flag, moment, number, request, text, usd, whole
from costaudit.ingest._prompt import Prompt


class OpenAIChat(TableFormat):
    """Responses of the Chat Completions API, bare or in a log record with their request, streamed or whole.

    Cached and written input is inside `prompt_tokens`, reasoning inside `completion_tokens`. In a streamed log the last
    chunk of a response carries the usage; the other chunks are copies of the same response. A stream that was broken
    off has no usage: it is unmetered, not free.
    """

    name = "openai-chat"
    title = "OpenAI Chat Completions and compatible servers"
    wrappable = True
    fields = {
        "request_id": text("id"),
        "started_at": moment("created"),
        "model": text("model"),
        "model_requested": request(text("model")),
        "service_tier": text("service_tier"),
        "service_tier_requested": request(text("service_tier")),
        "temperature": request(number("temperature")),
        "max_tokens": request(whole("max_completion_tokens", "max_tokens")),
        "reasoning_effort": request(text("reasoning_effort", "reasoning.effort")),
        "input_tokens": count("usage.prompt_tokens"),
        "cache_read_tokens": count("usage.prompt_tokens_details.cached_tokens", "usage.prompt_cache_hit_tokens"),
        "cache_write_tokens": count("usage.prompt_tokens_details.cache_write_tokens"),
        "output_tokens": count("usage.completion_tokens"),
        "reasoning_tokens": count("usage.completion_tokens_details.reasoning_tokens"),
        "cost_logged_usd": usd("usage.cost"),
        "finish_reason": text("choices.0.finish_reason"),
        "streamed": (flag("stream"), request(flag("stream"))),
        "provider": (text("provider"), around(text("provider"))),
        "_object": text("object"),
    }
    prompt = Prompt(
        messages=("request:messages",),
        tools=("request:tools", "request:functions"),
        output_schema=("request:response_format",),
        parameters=("request:temperature", "request:top_p", "request:seed", "request:tool_choice"),
        answer=("self:choices",),
    )

    def recognises(self, record: Mapping[str, Any]) -> int:
        kind = record.get("object")
        if kind in ("chat.completion", "chat.completion.chunk"):
            return 80
        usage = record.get("usage")
        choices = record.get("choices")
        return 50 if isinstance(choices, list) and isinstance(usage, Mapping) and "prompt_tokens" in usage else 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        return picked.with_columns(
            # Chunks of a stream share the id; the one with usage is the response.
            _rank=pl.col("input_tokens").is_not_null().cast(pl.Int64),
        ).drop("_object")
