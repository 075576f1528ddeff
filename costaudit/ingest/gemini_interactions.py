"""Gemini's Interactions API: its answers, bare or in a log record with their request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from costaudit.ingest._format import COUNTED, TableFormat, count, moment, number, request, text, whole
from costaudit.ingest._prompt import Prompt


class GeminiInteractions(TableFormat):
    """Answers of Gemini's Interactions API, bare or beside their request.

    - Cached input is inside `total_input_tokens`; thoughts and the prompts of tools stand beside input and output and
      are billed as such, unless the total leaves them out.
    - A stored interaction can be fetched again: the same id is the same call.
    - Written to the names that SDK wrappers read; the sample is synthetic.

    Logged better: the request beside the answer, with task, tenant and session.
    """

    name = "gemini-interactions"
    title = "Gemini Interactions API"
    wrappable = True
    fields = {
        "request_id": text("id"),
        "started_at": moment("created", "created_at", "create_time"),
        "model": text("model", "agent"),
        "model_requested": request(text("model", "agent")),
        "temperature": request(number("generation_config.temperature")),
        "max_tokens": request(whole("generation_config.max_output_tokens")),
        "reasoning_effort": request(text("generation_config.thinking_level")),
        "service_tier": text("service_tier"),
        "input_tokens": count("usage.total_input_tokens"),
        "cache_read_tokens": count("usage.total_cached_tokens"),
        "output_tokens": count("usage.total_output_tokens"),
        "reasoning_tokens": count("usage.total_thought_tokens", "usage.total_reasoning_tokens"),
        "_tools": count("usage.total_tool_use_tokens"),
        "_sum": whole("usage.total_tokens"),
        "parent_id": text("previous_interaction_id"),
        "_state": text("status"),
    }
    prompt = Prompt(
        messages=("request:input",),
        system=("request:system_instruction",),
        tools=("request:tools",),
        parameters=("request:generation_config",),
        answer=("self:outputs",),
    )

    def recognises(self, record: Mapping[str, Any]) -> int:
        usage = record.get("usage")
        if isinstance(usage, Mapping) and "total_input_tokens" in usage and "total_output_tokens" in usage:
            return 92
        return 90 if record.get("object") == "interaction" and "id" in record else 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        thoughts, tools = pl.col("reasoning_tokens").fill_null(0), pl.col("_tools").fill_null(0)
        bare = pl.col("input_tokens") + pl.col("output_tokens")
        beside = (pl.col("_sum") != bare).fill_null(value=True)  # a total of the two alone holds the thoughts inside
        failed = pl.col("_state").is_in(["failed", "cancelled"])
        return picked.with_columns(
            provider=pl.lit("google"),
            input_tokens=pl.col("input_tokens") + pl.when(beside).then(tools).otherwise(0),
            output_tokens=pl.col("output_tokens") + pl.when(beside).then(thoughts).otherwise(0),
            error_type=pl.when(failed).then("_state"),
            status=pl.when(pl.col("_state") == "cancelled").then(pl.lit("cancelled")),
            finish_reason=pl.when(pl.col("_state") == "requires_action")
            .then(pl.lit("tool_calls"))
            .when(pl.col("_state") == "completed")
            .then(pl.lit("stop")),
            _rank=COUNTED,
        ).drop("_tools", "_sum", "_state")
