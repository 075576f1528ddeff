"""Helicone: its export command and its request API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from costaudit.ingest._format import COUNTED, TableFormat, count, maybe, moment, number, text, usd, whole
from costaudit.ingest._prompt import Prompt

NOBODY = "00000000-0000-0000-0000-000000000000"
CANCELLED = -3


def _property(*names: str) -> tuple[str, ...]:
    return tuple(f"{home}.{name}" for name in names for home in ("request_properties", "properties"))


class Helicone(TableFormat):
    """Requests as `@helicone/export` writes them (JSON lines, JSON, CSV) or as the request API returns them.

    - Current versions count cached input beside `prompt_tokens`, older ones as the provider did. Each file's rows are
      asked which it is (`total_tokens` tells); what they do not prove is priced as a range.
    - A row with a `cache_reference_id` was answered by Helicone's own cache.
    - There is no count of reasoning, and the CSV has none of cached input: its cost is an upper bound.
    - Statuses below zero are Helicone's own: -3 is a call that was cancelled, others one that failed or never ended.
      What such a call used is not known where it says 0.
    - Signed addresses of bodies are credentials and are not read.

    Logged better: export as JSON lines with `--include-body`, and custom properties for task, tenant and session.
    """

    name = "helicone"
    title = "Helicone exports"
    context = False
    signs = ("started_at",)
    fields = {
        "request_id": text("response_body.id", "request_id", "response_id"),
        "started_at": moment("request_created_at"),
        "ended_at": maybe(moment("response_created_at")),
        "provider": text("provider"),
        "model": text("response_model", "model"),
        "model_requested": text("request_model", "request_body.model"),
        "temperature": number("request_body.temperature"),
        "max_tokens": whole("request_body.max_completion_tokens", "request_body.max_tokens"),
        "input_tokens": count("prompt_tokens"),
        "cache_read_tokens": count("prompt_cache_read_tokens"),
        "cache_write_tokens": count("prompt_cache_write_tokens"),
        "output_tokens": count("completion_tokens"),
        "cost_logged_usd": usd("costUSD", "cost"),
        "http_status": whole("response_status"),
        "finish_reason": text("response_body.choices.0.finish_reason", "response_body.stop_reason"),
        "user": text("request_user_id", "helicone_user"),
        "task": text(*_property("task", "Task", "feature", "Helicone-Session-Name"), "prompt_id"),
        "tenant": text(*_property("tenant", "Tenant", "tenant_id", "customer", "Customer", "customer_id")),
        "environment": text(*_property("environment", "Environment", "env")),
        "run_id": text(*_property("run_id", "Helicone-Session-Id", "session_id")),
        "_latency_ms": maybe(number("delay_ms", "latency")),
        "_first_ms": maybe(number("time_to_first_token")),
        "_cached": text("cache_reference_id"),
        "_total": whole("total_tokens"),
        "_own_status": number("response_status"),
    }
    prompt = Prompt(
        messages=("self:request_body.messages", "self:request_body.input"),
        system=("self:request_body.system",),
        tools=("self:request_body.tools",),
        parameters=("self:request_body.temperature",),
        answer=("self:response_body.choices", "self:response_body.content", "self:response_body.output"),
    )

    def recognises(self, record: Mapping[str, Any]) -> int:
        known = ("request_created_at", "response_created_at", "response_status", "request_properties", "response_id")
        return 95 if "request_created_at" in record and sum(name in record for name in known) >= 3 else 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        hit = pl.col("_cached").is_not_null() & (pl.col("_cached") != NOBODY)
        broken = (pl.col("_own_status") < 0).fill_null(value=False)
        unknown = broken & (pl.sum_horizontal("input_tokens", "output_tokens") == 0)
        return picked.with_columns(
            *[pl.when(~unknown).then(name).alias(name) for name in ("input_tokens", "output_tokens")],
            status=pl.when(broken).then(
                pl.when(pl.col("_own_status") == CANCELLED).then(pl.lit("cancelled")).otherwise(pl.lit("error"))
            ),
            provider=pl.col("provider").str.to_lowercase(),
            gateway_cache_hit=pl.when(hit).then(True),
            ttft_s=pl.when(pl.col("_first_ms") >= 0).then(pl.col("_first_ms") / 1_000),
            _reading=pl.lit("unknown"),
            _rank=COUNTED,
        ).drop("_first_ms", "_cached", "_own_status")
