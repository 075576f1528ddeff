"""Kong AI Gateway: entries of its log plugins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from costaudit.ingest._decode import parsed, unfolded
from costaudit.ingest._files import Record
from costaudit.ingest._format import COUNTED, TableFormat, count, maybe, moment, number, text, whole
from costaudit.ingest._prompt import Prompt


class Kong(TableFormat):
    """Entries of Kong's log plugins (file, HTTP, TCP, …) with the statistics of its AI plugins in `ai`.

    - An entry has a block for each AI plugin that called a model: the proxy's is the caller's request, those of
      `ai-request-transformer` and `ai-response-transformer` are calls of the gateway itself. Each is one call.
    - `usage.cost` has the unit and the rates of the plugin's configuration and is not shown beside the computed cost.
    - A semantic cache's hit (`cache.cache_status`) is tokens without cost. Prompt-cache reads are not counted apart
      unless the usage carries the provider's details.
    - Entries of the gateway's other routes are counted as skipped.
    - Written to Kong's source; the sample is synthetic.

    Logged better: `log_payloads` for prompt findings, consumers for tenants, and `correlation-id` for sessions.
    """

    name = "kong"
    title = "Kong AI Gateway logs"
    context = False
    fields = {
        "_id": text("request.id", "request.headers.x-request-id"),
        "request_id": text("llm.payload.response.id", "llm.meta.response_id"),
        "started_at": moment("started_at"),
        "provider": text("llm.meta.provider_name"),
        "model": text("llm.meta.response_model", "llm.meta.request_model"),
        "model_requested": text("llm.meta.request_model"),
        "input_tokens": count("llm.usage.prompt_tokens", "llm.usage.prompt_token"),
        "output_tokens": count("llm.usage.completion_tokens", "llm.usage.completion_token"),
        "cache_read_tokens": count(
            "llm.usage.prompt_tokens_details.cached_tokens", "llm.usage.cache_read_input_tokens"
        ),
        "cache_write_tokens": count("llm.usage.cache_creation_input_tokens"),
        "reasoning_tokens": count("llm.usage.completion_tokens_details.reasoning_tokens"),
        "_latency_ms": number("llm.meta.llm_latency", "latencies.request"),
        "http_status": whole("response.status"),
        "_cache": text("llm.cache.cache_status", "cache.cache_status"),
        "_total": whole("llm.usage.total_tokens"),
        "tenant": text("consumer.custom_id", "consumer.username", "authenticated_entity.consumer_id"),
        "task": text("request.headers.x-task", "route.name", "service.name"),
        "run_id": text("request.headers.x-session-id", "correlation_id"),
        "key_id": text("authenticated_entity.id"),
        "environment": text("workspace_name"),
        "temperature": number("llm.payload.request.temperature"),
        "max_tokens": maybe(whole("llm.payload.request.max_tokens")),
        "finish_reason": text("llm.payload.response.choices.0.finish_reason"),
        "_plugin": text("plugin"),
    }
    prompt = Prompt(
        messages=("self:llm.payload.request.messages",),
        tools=("self:llm.payload.request.tools",),
        parameters=("self:llm.payload.request.temperature",),
        answer=("self:llm.payload.response.choices",),
    )

    def recognises(self, record: Mapping[str, Any]) -> int:
        return 95 if _blocks(record) else 0

    def explode(self, record: Record) -> Sequence[Record]:
        """One record a plugin that called a model, with the entry around it."""
        value = parsed(record.data)
        if isinstance(value, str):
            return (record,)
        cache = next((part["cache"] for part in _parts(value).values() if isinstance(part.get("cache"), dict)), None)
        return [
            record._replace(data={**value, "ai": None, "llm": _open(block), "cache": cache, "plugin": plugin})
            for plugin, block in _blocks(value).items()
        ] or (record,)

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        proxy = pl.col("_plugin").is_in(["proxy", "ai-proxy", "ai-proxy-advanced"])
        named = pl.concat_str("_id", pl.lit(" "), "_plugin")
        return picked.with_columns(
            request_id=pl.coalesce("request_id", pl.when(proxy).then("_id").otherwise(named)),
            provider=pl.col("provider").str.to_lowercase(),
            task=pl.when(proxy).then("task").otherwise("_plugin"),
            gateway_cache_hit=pl.when(proxy & (pl.col("_cache").str.to_lowercase() == "hit")).then(True),
            _reading=pl.lit("inside"),
            _rank=COUNTED,
            _skip=pl.when(pl.col("_plugin").is_null()).then(pl.lit("request of no model")),
        ).drop("_cache", "_plugin", "_id")


def _parts(record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    ai = record.get("ai")
    return {str(k): v for k, v in ai.items() if isinstance(v, dict)} if isinstance(ai, dict) else {}


def _blocks(record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Plugin -> what it says of its call to a model."""
    return {
        plugin: part
        for plugin, part in _parts(record).items()
        if isinstance(part.get("usage"), dict)
        or (isinstance(part.get("meta"), dict) and "request_model" in part["meta"])
    }


def _open(block: Mapping[str, Any]) -> dict[str, Any]:
    """The block with request and response opened, which Kong logs as text."""
    payload = block.get("payload")
    bodies = {k: unfolded(v) for k, v in payload.items()} if isinstance(payload, dict) else {}
    return {**block, "payload": bodies}
