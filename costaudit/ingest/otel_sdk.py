"""Spans as OpenTelemetry's SDKs print them, one object a span, and as Phoenix exports them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from costaudit.ingest._dump import SpanFormat, mapping
from costaudit.ingest._files import Record
from costaudit.ingest._spans import Span, hex_id, listed

HEADS = ("llm", "gen_ai", "ai", "openinference", "session", "user", "embedding")  # what names of attributes begin with
LONGEST = 200  # characters of a name


class OtelSdk(SpanFormat):
    """Spans printed by the console and file exporters of OpenTelemetry's SDKs, and spans exported by Phoenix.

    ## Where
    The Python console exporter (pretty objects one after the other), dumps of the form `{"spans": [...]}`, pages of
    Phoenix' REST interface, and its tables of spans as CSV or Parquet. Ids are hex, `0x…` or whole numbers.
    ## What it knows
    The same as the format `otlp`, from the same attributes.
    ## Traps
    The same as in `otlp`: usage is repeated on the spans around a call, and the deepest span counts. The columns
    `cumulative_token_count.*` of Phoenix' tables are running sums and are left out.
    ## Limits
    Dumps without ids cannot be put in order: their spans are all counted.
    """

    name = "otel-sdk"
    title = "OpenTelemetry SDK dumps and Phoenix spans"

    def recognises(self, record: Mapping[str, Any]) -> int:
        if _is_span(_nested(record)):
            return 90
        return 90 if any(isinstance(s, dict) and _is_span(s) for s in (_inside(record) or ())[:5]) else 0

    def spans(self, value: Mapping[str, Any], record: Record) -> Iterable[Span | None] | None:
        span = _nested(value)
        if _is_span(span):
            return [_span(span, record)]
        inside = _inside(value)
        if inside is None:
            return None
        return [_span(s, record) if isinstance(s, dict) and _is_span(s) else None for s in inside]


def _nested(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row of a table of spans as a span: `context.span_id` and `attributes.<name>` are columns there."""
    if "context.span_id" not in record:
        return record
    parts: dict[str, dict[str, Any]] = {"context": {}, "attributes": {}}
    for name, value in record.items():
        head, _, rest = name.partition(".")
        if head in parts and rest:
            parts[head][rest] = value
    return {**record, **parts}


def _is_span(record: Mapping[str, Any]) -> bool:
    context = record.get("context")
    if not isinstance(context, dict) or "attributes" not in record:
        return False
    return "span_id" in context or "spanId" in context


def _inside(record: Mapping[str, Any]) -> list[Any] | None:
    """The spans of a dump: under `spans`, on a page under `data`, or in lists by whatever name."""
    named = [record.get("spans"), record.get("data")]
    lists = [v for v in (*named, *(v for n, v in record.items() if n not in ("spans", "data"))) if isinstance(v, list)]
    for found in lists:
        if any(isinstance(s, dict) and _is_span(s) for s in found[:5]):
            return found if found in named else [s for part in lists for s in part]
    return record["spans"] if isinstance(record.get("spans"), list) else None


def _dotted(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Attributes by their whole names, also where a store has made objects of what stands between the dots."""
    nested = [head for head in HEADS if isinstance(attributes.get(head), dict)]
    if not nested:
        return attributes
    found = {name: value for name, value in attributes.items() if name not in nested}
    below = [(head, attributes[head]) for head in nested]
    while below:
        name, value = below.pop()
        if isinstance(value, dict):
            below += [(f"{name}.{key}"[:LONGEST], part) for key, part in value.items()]
        elif isinstance(value, list) and any(isinstance(part, dict) for part in value):
            below += [(f"{name}.{n}"[:LONGEST], part) for n, part in enumerate(value)]
        else:
            found[name] = value
    return found


def _span(span: Mapping[str, Any], record: Record) -> Span:
    context, parent, status = (mapping(span.get(name)) for name in ("context", "parent", "status"))
    above = span.get("parent_id", span.get("parentSpanId"))
    code = status.get("status_code", status.get("code", span.get("status_code")))
    events = [
        (str(event.get("name") or "")[:200], mapping(event.get("attributes")))
        for event in listed(span.get("events"))
        if isinstance(event, dict)
    ]
    scope = mapping(span.get("instrumentation_scope", span.get("instrumentationScope")))
    return Span(
        record.line,
        record.offset,
        hex_id(context.get("trace_id", context.get("traceId")), 32),
        hex_id(context.get("span_id", context.get("spanId")), 16),
        hex_id(parent.get("span_id", parent.get("spanId")) if above is None else above, 16),
        str(span["name"])[:200] if span.get("name") is not None else None,
        span.get("start_time", span.get("startTime")),
        span.get("end_time", span.get("endTime")),
        _dotted(mapping(span.get("attributes"))),
        mapping(mapping(span.get("resource")).get("attributes")),
        " ".join(str(scope[key])[:200] for key in ("name", "version") if scope.get(key)),
        str(code).lower() in ("2", "error", "status_code_error", "statuscode.error"),
        events,
        kind=str(span.get("span_kind") or "")[:60],
    )
