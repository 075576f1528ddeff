"""Datadog LLM Observability: span events, pages of its export interface, and shadow metrics of APM spans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from costaudit.ingest._dump import SpanFormat, first, listing, mapping, written
from costaudit.ingest._files import Record
from costaudit.ingest._plain import soft
from costaudit.ingest._spans import Span
from costaudit.ingest._values import number, usd

SHADOW = "_dd.llmobs."
COUNTS = {
    "gen_ai.usage.input_tokens": ("input_tokens",),
    "gen_ai.usage.output_tokens": ("output_tokens",),
    "gen_ai.usage.total_tokens": ("total_tokens",),
    "gen_ai.usage.cache_read.input_tokens": ("cache_read_input_tokens",),
    "gen_ai.usage.cache_write.input_tokens": ("cache_write_input_tokens",),
    "gen_ai.usage.reasoning.output_tokens": ("reasoning_output_tokens",),
    "gen_ai.response.time_to_first_chunk": ("time_to_first_token",),
    "gen_ai.usage.cost": ("total_cost",),
}
ABOUT = {
    "gen_ai.request.temperature": ("temperature",),
    "gen_ai.request.max_tokens": ("max_completion_tokens", "max_tokens"),
    "gen_ai.request.reasoning_effort": ("reasoning_effort",),
    "gen_ai.response.finish_reason": ("finish_reason", "stop_reason"),
    "gen_ai.request.stream": ("stream",),
}


class Datadog(SpanFormat):
    """Spans of Datadog LLM Observability: what its SDK and HTTP interface send, and what its export returns.

    - Input counts include cached input. Workflow and agent spans hold calls together; of two spans of one call, one
      around the other, the inner one is counted.
    - `tags` (`env:prod`, `session_id:…`, `tenant:…`) say environment, session, task and tenant.
    - APM traces carry the same counts as `_dd.llmobs.*`: a call that is there too is counted once, by its span.
    - `total_cost` is Datadog's own estimate and is shown beside the computed cost; `estimated_total_cost` is in
      billionths of a dollar.
    - Written to the shape of ddtrace 4.16 and one recorded APM span; the sample is synthetic.

    Logged better: set `session_id`, and annotate spans with the tags `task` and `tenant`.
    """

    name = "datadog"
    title = "Datadog LLM Observability"

    def recognises(self, record: Mapping[str, Any]) -> int:
        found = _spans(record)
        return 95 if found and any(_known(span) for span, _ in found[:5]) else 0

    def spans(self, value: Mapping[str, Any], record: Record) -> Iterable[Span | None] | None:
        found = _spans(value)
        return None if found is None else [_span(span, around, record) for span, around in found]


def _known(span: Mapping[str, Any]) -> bool:
    meta, metrics = mapping(span.get("meta")), mapping(span.get("metrics"))
    if any(name.startswith(SHADOW) for part in (meta, metrics) for name in part):
        return True
    own = "ml_app" in span or "start_ns" in span or "_dd" in span
    return "span_id" in span and own and (_kind(span) != "" or bool(metrics))


def _kind(span: Mapping[str, Any]) -> str:
    meta = mapping(span.get("meta"))
    said = first(meta, "kind", "span.kind", SHADOW + "span_kind") or mapping(meta.get("span")).get("kind")
    return str(said or span.get("span_kind") or "")[:60].lower()


def _spans(record: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]] | None:
    """Spans of a record with what the payload says once for all of them."""
    if "span_id" in record and ("meta" in record or "metrics" in record):
        return [(record, {})]
    data = record.get("data")
    if isinstance(record.get("attributes"), dict) and record.get("type") == "span":
        return _spans(record["attributes"])
    if isinstance(data, dict):
        return _spans(data)
    if isinstance(data, list):
        pages = [_spans(item) for item in data if isinstance(item, dict)]
        return [span for page in pages if page for span in page] or None
    spans = record.get("spans")
    if isinstance(spans, list) and all(isinstance(s, dict) and "span_id" in s for s in spans):
        around = {name: value for name, value in record.items() if name in ("ml_app", "tags", "session_id")}
        return [(span, around) for span in spans]
    return None


def _span(span: Mapping[str, Any], around: Mapping[str, Any], record: Record) -> Span:
    meta, metrics = mapping(span.get("meta")), mapping(span.get("metrics"))
    shadow = "start_ns" not in span and any(name.startswith(SHADOW) for name in (*meta, *metrics))
    prefix = SHADOW if shadow else ""
    tags = _tags(around) | _tags(span) | ({n: v for n, v in meta.items() if isinstance(v, str)} if shadow else {})
    about = mapping(meta.get("metadata"))
    given, made = mapping(meta.get("input", span.get("input"))), mapping(meta.get("output", span.get("output")))
    session = span.get("session_id") or around.get("session_id") or tags.get("session_id")
    attributes = {
        **{name: first(metrics, *(prefix + n for n in names)) for name, names in COUNTS.items()},
        **{name: first(about, *names) for name, names in ABOUT.items()},
        "gen_ai.response.model": first(meta, prefix + "model_name") or span.get("model_name"),
        "gen_ai.request.model": meta.get("openai.request.model"),
        "gen_ai.provider.name": first(meta, prefix + "model_provider") or span.get("model_provider"),
        "gen_ai.conversation.id": session,
        "gen_ai.input.messages": [_message(m) for m in listing(given.get("messages"))] or given.get("prompt"),
        "gen_ai.output.messages": [_message(m) for m in listing(made.get("messages"))],
        "gen_ai.tool.definitions": meta.get("tool_definitions"),
        "error.type": meta.get("error.type") or mapping(meta.get("error")).get("type"),
        "metadata": tags,
    }
    lasted = soft(number, span.get("duration"))
    identity, above = written(span.get("span_id")), written(span.get("parent_id"))
    amount = soft(usd, metrics.get("estimated_total_cost"))
    return Span(
        record.line,
        record.offset,
        written(span.get("trace_id")),
        identity,
        None if above in ("undefined", "0") else above,
        written(span.get("name")),
        first(span, "start_ns", "start_ms", "start"),
        None,
        {name: value for name, value in attributes.items() if value not in (None, [], "")},
        {"service.name": span.get("ml_app") or around.get("ml_app") or tags.get("ml_app") or span.get("service")},
        "",
        span.get("status") == "error" or span.get("error") in (1, True),
        kind=_kind(span),
        known={
            "_key": f"datadog {identity}" if identity else None,
            "_rank": 0 if shadow else 1,  # the span itself, before what its APM twin says of it
            "_latency_ms": lasted / 1e6 if lasted is not None else None,
            "cost_logged_usd": amount / Decimal(10**9) if amount is not None else None,
            "cache_write_5m_tokens": metrics.get("ephemeral_5m_input_tokens"),
            "cache_write_1h_tokens": metrics.get("ephemeral_1h_input_tokens"),
        },
    )


def _tags(span: Mapping[str, Any]) -> dict[str, Any]:
    tags = span.get("tags")
    if isinstance(tags, dict):
        return tags
    pairs = [str(tag).partition(":") for tag in listing(tags)]
    return {name: value for name, mark, value in pairs if mark}


def _message(message: Any) -> Any:
    """A message whose tool calls and results are named as the conventions name them."""
    if not isinstance(message, dict):
        return message
    calls = [
        {"id": call.get("tool_id"), "name": call.get("name"), "arguments": call.get("arguments")}
        for call in listing(message.get("tool_calls"))
        if isinstance(call, dict)
    ]
    results = [
        {"type": "tool_call_response", "id": result.get("tool_id"), "response": result.get("result")}
        for result in listing(message.get("tool_results"))
        if isinstance(result, dict)
    ]
    made = {"role": message.get("role"), "content": results or message.get("content")}
    return made | ({"tool_calls": calls} if calls else {})
