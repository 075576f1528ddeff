"""Portkey: exported logs and rows of its analytics store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from costaudit.ingest._decode import parsed, unfolded
from costaudit.ingest._files import Record
from costaudit.ingest._format import COUNTED, TableFormat, count, flag, maybe, moment, number, text, whole
from costaudit.ingest._prompt import Prompt

BODIES = ("response", "response.body")


def _usage(*names: str) -> tuple[str, ...]:
    return tuple(f"{body}.usage.{name}" for name in names for body in BODIES)


class Portkey(TableFormat):
    """One row a request, as the log export writes them (JSON lines, CSV) or as the analytics store keeps them.

    - `req_units` and `res_units` are the provider's counts; cached input is known only where the response was exported.
    - `cost` is documented in cents and seen in dollars: it is not shown beside the computed cost.
    - `cache_status` `hit` or `semantic hit` was answered by Portkey's own cache.
    - `_user`, `_environment`, `_organisation` and `_prompt` of the metadata are user, environment, tenant and task.
    - Log files of Portkey's own log store hold whole requests and answers and are read by the format of those.

    Logged better: tick `response` and `metadata` in the export.
    """

    name = "portkey"
    title = "Portkey logs and analytics"
    context = False
    signs = ("provider", "model", "input_tokens")
    fields = {
        "request_id": text("response.id", "response.body.id", "id"),
        "started_at": moment("created_at"),
        "provider": text("ai_org"),
        "model": text("ai_model"),
        "model_requested": text("request.model", "request.body.model"),
        "streamed": flag("stream_mode"),
        "input_tokens": count("req_units"),
        "output_tokens": count("res_units"),
        "cache_read_tokens": count(*_usage("prompt_tokens_details.cached_tokens", "cache_read_input_tokens")),
        "cache_write_tokens": count(*_usage("cache_creation_input_tokens")),
        "reasoning_tokens": count(*_usage("completion_tokens_details.reasoning_tokens")),
        "http_status": maybe(whole("response_status_code")),
        "finish_reason": text("response.choices.0.finish_reason", "response.body.choices.0.finish_reason"),
        "run_id": text("metadata.run_id", "metadata.session_id", "trace_id"),
        "parent_id": text("parent_span_id"),
        "task": text("metadata.task", "metadata._prompt", "prompt_slug", "_prompt"),
        "tenant": text("metadata.tenant", "metadata.customer", "metadata._organisation", "_organisation"),
        "user": text("metadata._user", "_user"),
        "environment": text("metadata._environment", "_environment"),
        "key_id": text("virtual_key", "api_key_id"),
        "_latency_ms": maybe(number("response_time")),
        "_cache": text("cache_status"),
        "_total": whole("total_units"),
    }
    prompt = Prompt(
        messages=("self:request.messages", "self:request.body.messages"),
        system=("self:request.system", "self:request.body.system"),
        tools=("self:request.tools", "self:request.body.tools"),
        parameters=("self:request.temperature", "self:request.body.temperature"),
        answer=("self:response.choices", "self:response.body.choices", "self:response.content"),
    )

    def recognises(self, record: Mapping[str, Any]) -> int:
        return 95 if all(name in record for name in ("ai_org", "ai_model", "req_units")) else 0

    def explode(self, record: Record) -> Sequence[Record]:
        """Itself, with metadata that the analytics store keeps as two lists made an object."""
        value = parsed(record.data)
        if isinstance(value, str) or not self.recognises(value):
            return (record,)
        told = unfolded(value.get("metadata"))
        if isinstance(told, Mapping) and isinstance(told.get("key"), list) and isinstance(told.get("value"), list):
            told = dict(zip((str(key) for key in told["key"]), told["value"], strict=False))
        return (record._replace(data={**value, "metadata": told}),)

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        claude = pl.col("provider").str.to_lowercase().is_in(["anthropic", "bedrock"])
        return picked.with_columns(
            provider=pl.col("provider").str.to_lowercase(),
            gateway_cache_hit=pl.when(pl.col("_cache").str.to_lowercase().str.ends_with("hit")).then(True),
            # The counts are the provider's: Anthropic's leave cached input out.
            _reading=pl.when(claude).then(pl.lit("beside")).otherwise(pl.lit("inside")),
            _rank=COUNTED,
        ).drop("_cache")
