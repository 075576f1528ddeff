"""Cloudflare AI Gateway: logs of its API and lines of Logpush."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from costaudit.ingest._decode import parsed, unfolded
from costaudit.ingest._files import Record
from costaudit.ingest._format import COUNTED, TableFormat, count, flag, maybe, moment, number, text, usd, whole
from costaudit.ingest._prompt import Prompt


class Cloudflare(TableFormat):
    """Logs of Cloudflare AI Gateway: answers of its logs API (pages or single logs) and lines of Logpush.

    - `cached` answers came out of the gateway's own cache: tokens, but no cost.
    - Prompt-cache reads are not counted apart. What `tokens_in` means is up to the provider: for Anthropic it leaves
      cached input out, and what that input cost is in no log.
    - `step` above 0 is a fallback after a provider that failed; each try has a log of its own.
    - `cost` is the gateway's estimate (or the caller's: `custom_cost`) and is shown beside the computed cost.
    - The names of Logpush could not be checked against a file: they are matched without regard to case. Bodies there
      are encrypted and are not read. The sample is synthetic.

    Logged better: up to five keys of `cf-aig-metadata`: `task`, `tenant`, `session_id`, `user_id`, `environment`.
    """

    name = "cloudflare"
    title = "Cloudflare AI Gateway logs"
    context = False
    signs = ("input_tokens", "output_tokens", "gateway_cache_hit")
    fields = {
        "request_id": text("id"),
        "started_at": moment("created_at", "datetime", "timestamp"),
        "provider": text("provider"),
        "model": text("model"),
        "input_tokens": count("tokens_in"),
        "output_tokens": count("tokens_out"),
        "cost_logged_usd": usd("cost"),
        "http_status": whole("status_code"),
        "_latency_ms": number("duration"),
        "gateway_cache_hit": flag("cached"),
        "task": text("metadata.task", "metadata.feature", "metadata.use_case"),
        "tenant": text("metadata.tenant", "metadata.tenant_id", "metadata.customer", "metadata.customer_id"),
        "user": text("metadata.user", "metadata.user_id", "metadata.userId"),
        "run_id": text("metadata.session_id", "metadata.run_id", "metadata.conversation_id"),
        "environment": text("metadata.environment", "metadata.env"),
        "key_id": text("gateway", "gateway_id"),
        "temperature": number("request.temperature"),
        "max_tokens": maybe(whole("request.max_completion_tokens", "request.max_tokens")),
        "finish_reason": text("response.choices.0.finish_reason", "response.stop_reason"),
        "_success": flag("success"),
        "_step": whole("step"),
        "_answer": text("response.id"),
        "_kind": text("model_type"),
    }
    prompt = Prompt(
        messages=("self:request.messages", "self:request.input"),
        system=("self:request.system",),
        tools=("self:request.tools",),
        parameters=("self:request.temperature",),
        answer=("self:response.choices", "self:response.content", "self:response.output"),
    )

    def recognises(self, record: Mapping[str, Any]) -> int:
        page = record.get("result")
        if isinstance(page, list):
            return 95 if any(isinstance(row, dict) and _is_row(row) for row in page[:5]) else 0
        return 95 if _is_row(record) else 0

    def explode(self, record: Record) -> Sequence[Record]:
        """The logs of a page, their names in one spelling, bodies kept as text opened."""
        value = parsed(record.data)
        if isinstance(value, str):
            return (record,)
        page = value.get("result")
        rows = [row for row in page if isinstance(row, dict)] if isinstance(page, list) else [value]
        # A record of another format is to read as it stands.
        return [record._replace(data=_named(row) if _is_row(row) else row) for row in rows] or (record,)

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        failed = (pl.col("_success") == False).fill_null(value=False)  # noqa: E712
        return picked.with_columns(
            request_id=pl.coalesce("_answer", "request_id"),
            provider=pl.col("provider").str.to_lowercase(),
            # Names as Logpush and the API may differ in what they put before the model.
            status=pl.when(failed).then(pl.lit("error")),
            attempt=pl.when(pl.col("_step") > 0).then(pl.col("_step") + 1),
            _rank=COUNTED,
        ).drop("_success", "_step", "_answer", "_kind")


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


KNOWN = {
    _plain(name): name
    for name in (
        "id", "created_at", "datetime", "timestamp", "provider", "model", "model_type", "duration", "status_code",
        "success", "cached", "tokens_in", "tokens_out", "cost", "custom_cost", "metadata", "step", "gateway",
        "gateway_id", "request", "response", "request_body", "response_body",
    )
}  # fmt: skip


def _is_row(record: Mapping[str, Any]) -> bool:
    names = {_plain(name) for name in record}
    return {"tokensin", "tokensout", "cached", "provider"} <= names


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    found = {KNOWN.get(_plain(name), name): value for name, value in row.items()}
    for name in ("metadata", "request", "response"):
        body = found.get(name, found.get(f"{name}_body"))
        found[name] = unfolded(body)
    return found
