"""Spans as OpenTelemetry's SDKs print them, one object a span, and as Phoenix exports them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from costaudit.ingest._decode import opened, parsed
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import FileReader, Format, Found, Out
from costaudit.ingest._spans import Span, collect, hex_id, listed


class OtelSdk(Format):
    """Spans printed by the console and file exporters of OpenTelemetry's SDKs, and spans exported by Phoenix.

    ## Where
    The Python console exporter (pretty objects one after the other), dumps of the form `{"spans": [...]}`, the spans
    of Phoenix' REST interface, and its tables of spans as CSV or Parquet. Ids are hex, `0x…` or whole numbers.
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
        spans = record.get("spans")
        return 90 if isinstance(spans, list) and any(isinstance(s, dict) and _is_span(s) for s in spans[:5]) else 0

    def reader(self, file: LogFile, found: Found) -> FileReader:
        del file, found  # dumps are never wrapped
        return _Reader()


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


class _Reader:
    """Reads spans and containers of spans; one bad span costs one span."""

    def feed(self, records: Sequence[Record], out: Out) -> None:
        spans: list[Span] = []
        for record in records:
            value = record.data if isinstance(record.data, dict) else parsed(record.data)
            if isinstance(value, str):
                out.rejects.append((record.line, value))
                continue
            span = _nested(value)
            if _is_span(span):
                spans.append(_span(span, record))
                continue
            inside = value.get("spans")
            if not isinstance(inside, list):
                out.foreign.append(record)
                continue
            if not inside:
                out.skipped["dump without spans"] += 1
            out.extra_lines += max(0, len(inside) - 1)
            for item in inside:
                if isinstance(item, dict) and _is_span(item):
                    spans.append(_span(item, record))
                else:
                    out.rejects.append((record.line, "not a span"))
        collect(spans, out)

    def close(self, out: Out) -> None:
        """Nothing is held back between records."""


def _span(span: Mapping[str, Any], record: Record) -> Span:
    context, parent, status = (_mapping(span.get(name)) for name in ("context", "parent", "status"))
    above = span.get("parent_id", span.get("parentSpanId"))
    code = status.get("status_code", status.get("code", span.get("status_code")))
    events = [
        (str(event.get("name") or "")[:200], _mapping(event.get("attributes")))
        for event in listed(span.get("events"))
        if isinstance(event, dict)
    ]
    scope = _mapping(span.get("instrumentation_scope", span.get("instrumentationScope")))
    return Span(
        record.line,
        record.offset,
        hex_id(context.get("trace_id", context.get("traceId")), 32),
        hex_id(context.get("span_id", context.get("spanId")), 16),
        hex_id(parent.get("span_id", parent.get("spanId")) if above is None else above, 16),
        str(span["name"])[:200] if span.get("name") is not None else None,
        span.get("start_time", span.get("startTime")),
        span.get("end_time", span.get("endTime")),
        _mapping(span.get("attributes")),
        _mapping(_mapping(span.get("resource")).get("attributes")),
        " ".join(str(scope[key])[:200] for key in ("name", "version") if scope.get(key)),
        str(code).lower() in ("2", "error", "status_code_error", "statuscode.error"),
        events,
        kind=str(span.get("span_kind") or "")[:60],
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    """An object, also one kept as JSON text; else an empty one."""
    value = opened(value) if isinstance(value, str) else value
    return value if isinstance(value, dict) else {}
