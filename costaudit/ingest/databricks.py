"""Databricks: usage tables of model serving and of its AI gateway, and inference tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from costaudit.errors import AT_LEAST
from costaudit.ingest._dump import SpanFormat, SpanReader, first, listing, mapping, written
from costaudit.ingest._files import Record
from costaudit.ingest._format import Out
from costaudit.ingest._plain import soft
from costaudit.ingest._spans import Span
from costaudit.ingest._values import count, number, text

INPUT = ("input_token_count", "input_tokens", "prompt_tokens")
OUTPUT = ("output_token_count", "output_tokens", "completion_tokens")


class Databricks(SpanFormat):
    """Rows of `system.serving.endpoint_usage`, `system.ai_gateway.usage` and of inference tables.

    - Usage rows name a served entity and no model: export `system.serving.served_entities` beside them (its rows lend
      their model and endpoint), or the calls stay unpriced.
    - Counts that equal the length of the text over four are Databricks' estimate for models that report none: their
      `usage_source` is `gateway`. The usage tables have no cached input; the inference table has what the model said.
    - A request in a usage table and in an inference table is one call (`databricks_request_id`).
    - `sampling_fraction` below 1: the inference table holds a sample, and totals are at least what is shown. Payloads
      over 1 MB are missing there.
    - What Databricks bills are DBUs (`system.billing`): what is shown is the list price of the model's maker.
      The sample is synthetic.

    Logged better: `usage_context` with `task`, `tenant`, `session_id` and `user_id` in every request.
    """

    name = "databricks"
    title = "Databricks serving, AI gateway and inference tables"

    def recognises(self, record: Mapping[str, Any]) -> int:
        return 95 if _table(record) else 0


def _table(row: Mapping[str, Any]) -> str:
    """Which table a row is of; empty for none."""
    if "databricks_request_id" in row:
        return "payload" if "response" in row or "sampling_fraction" in row else "usage"
    if "destination_model" in row and "endpoint_name" in row:
        return "gateway"
    if "served_entity_id" in row and ("endpoint_name" in row or "entity_name" in row):
        return "entity"
    return ""


@Databricks.read_by
class _Reader(SpanReader):
    def __init__(self, form: SpanFormat) -> None:
        super().__init__(form)
        self.sampled: set[float] = set()

    def spans(self, value: Mapping[str, Any], record: Record) -> Iterable[Span | None] | None:
        table = _table(value)
        if not table:
            return None
        if table == "entity":
            return [_entity(value, record)]
        share = soft(number, value.get("sampling_fraction"))
        if share is not None and 0 < share < 1:
            self.sampled.add(share)
        return [_call(value, table, record)]

    def close(self, out: Out) -> None:
        if self.sampled:
            shares = ", ".join(f"{share:.3g}" for share in sorted(self.sampled))
            out.notes.append(f"Databricks: the inference table is a sample ({shares} of calls): {AT_LEAST}")
            out.sample = True


def _entity(row: Mapping[str, Any], record: Record) -> Span:
    """A served entity as the span around its calls: it lends them the model and the endpoint."""
    outer, own = (mapping(row.get(name)) for name in ("external_model_config", "foundation_model_config"))
    model = first(outer, "name", "model_name") or first(own, "name", "model_name") or row.get("entity_name")
    attributes = {
        "gen_ai.request.model": written(model),
        "gen_ai.provider.name": written(outer.get("provider")) or "databricks",
        "project.id": written(row.get("endpoint_name")),
    }
    return Span(
        record.line,
        record.offset,
        None,
        written(row.get("served_entity_id")),
        None,
        None,
        None,
        None,
        attributes,
        {},
        "",
        failed=False,
        kind="workflow",
    )


def _call(row: Mapping[str, Any], table: str, record: Record) -> Span:
    asked, answered = mapping(row.get("request")), mapping(row.get("response"))
    usage = mapping(answered.get("usage")) if table == "payload" else row
    parts = mapping(usage.get("prompt_tokens_details"))
    told = _named(row.get("usage_context", row.get("request_tags")))
    identity = written(first(row, "databricks_request_id", "request_id", "event_id"))
    attributes = {
        "gen_ai.usage.input_tokens": first(usage, *INPUT),
        "gen_ai.usage.output_tokens": first(usage, *OUTPUT),
        "gen_ai.usage.total_tokens": usage.get("total_tokens") if first(usage, *INPUT) is not None else None,
        "gen_ai.usage.cache_read.input_tokens": first(usage, "cache_read_input_tokens", "cache_read_tokens")
        or parts.get("cached_tokens"),
        "gen_ai.usage.cache_write.input_tokens": first(usage, "cache_creation_input_tokens", "cache_write_tokens"),
        "gen_ai.usage.reasoning.output_tokens": mapping(usage.get("completion_tokens_details")).get("reasoning_tokens"),
        "gen_ai.response.model": written(answered.get("model")),
        "gen_ai.request.model": written(row.get("destination_model")) or written(asked.get("model")),
        "gen_ai.request.max_tokens": asked.get("max_tokens"),
        "gen_ai.request.temperature": asked.get("temperature"),
        "gen_ai.request.stream": row.get("request_streaming", asked.get("stream")),
        "gen_ai.input.messages": asked.get("messages"),
        "gen_ai.tool.definitions": asked.get("tools"),
        "gen_ai.output.messages": answered.get("choices"),
        "http.response.status_code": row.get("status_code"),
        "user.id": told.get("user_id") or row.get("requester"),
        "project.id": written(row.get("endpoint_name")),
        "metadata": told,
    }
    guessed = _estimated(row, "input") and _estimated(row, "output")
    lasted = soft(number, first(row, "execution_duration_ms", "execution_time_ms", "latency_ms"))
    return Span(
        record.line,
        record.offset,
        None,
        identity,
        written(row.get("served_entity_id")),
        None,
        first(row, "request_time", "timestamp_ms", "event_time", "request_date"),
        None,
        {name: value for name, value in attributes.items() if value is not None},
        {},
        "",
        failed=False,
        kind="embeddings" if "embedding" in str(row.get("api_type", row.get("task"))).lower() else "chat",
        known={
            "_key": f"databricks {identity}" if identity else None,
            "_also": text(answered.get("id")),
            "request_id": text(answered.get("id")) or identity,
            "usage_source": "gateway" if guessed else None,
            "_rank": 2 if table == "payload" and usage else 1,
            "_latency_ms": lasted,
        },
    )


def _named(tags: Any) -> dict[str, Any]:
    """A map of tags, also as the list of pairs in which Parquet keeps maps."""
    pairs = [t for t in listing(tags) if isinstance(t, dict)]
    return {str(t.get("key")): t.get("value") for t in pairs} or dict(mapping(tags))


def _estimated(row: Mapping[str, Any], side: str) -> bool:
    """Whether a count is the length of the text over four, as Databricks documents its estimate."""
    tokens, characters = (soft(count, row.get(f"{side}_{kind}_count")) for kind in ("token", "character"))
    return tokens is not None and bool(characters) and tokens == (int(characters or 0) + 1) // 4
