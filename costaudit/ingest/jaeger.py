"""Jaeger: traces as its query interface returns them, and spans as it stores them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from costaudit.ingest._dump import SpanFormat, listing, mapping, written
from costaudit.ingest._files import Record
from costaudit.ingest._plain import soft
from costaudit.ingest._spans import Span, hex_id
from costaudit.ingest._values import number

FAILED = (True, "true", "True", "ERROR")


class Jaeger(SpanFormat):
    """Traces of Jaeger: answers of its query interface, downloads of its pages, and spans as its store keeps them.

    - Tags are OpenTelemetry's attributes: everything said of `otlp` holds here too, the tree of spans included.
    - Times are microseconds since 1970, durations microseconds.
    - Tempo's own answers are OTLP and are read by `otlp`.
    - Written from memory of the interface, no export was at hand; the sample is synthetic.

    Logged better: keep the GenAI attributes when spans are exported; some set-ups cut long tags.
    """

    name = "jaeger"
    title = "Jaeger traces"

    def recognises(self, record: Mapping[str, Any]) -> int:
        return 90 if any(isinstance(span, dict) and _is_span(span) for span, _ in _spans(record)[:5]) else 0

    def spans(self, value: Mapping[str, Any], record: Record) -> Iterable[Span | None] | None:
        if not (_is_span(value) or isinstance(value.get("spans"), list) or isinstance(value.get("data"), list)):
            return None
        return [_span(s, p, record) if isinstance(s, dict) and _is_span(s) else None for s, p in _spans(value)]


def _is_span(span: Mapping[str, Any]) -> bool:
    return "traceID" in span and "spanID" in span and ("operationName" in span or "tags" in span)


def _spans(record: Mapping[str, Any]) -> list[tuple[Any, Mapping[str, Any]]]:
    """The spans of a record, each with the processes of its trace."""
    if _is_span(record):
        return [(record, {})]
    if isinstance(record.get("spans"), list):
        return [(span, mapping(record.get("processes"))) for span in record["spans"]]
    data = record.get("data")
    return [found for trace in listing(data) if isinstance(trace, dict) for found in _spans(trace)]


def _tags(tags: Any) -> dict[str, Any]:
    if isinstance(tags, dict):
        return dict(tags)
    return {str(t["key"]): t.get("value") for t in listing(tags) if isinstance(t, dict) and "key" in t}


def _span(span: Mapping[str, Any], processes: Mapping[str, Any], record: Record) -> Span:
    tags = _tags(span.get("tag")) | _tags(span.get("tags"))
    process = mapping(span.get("process")) or mapping(processes.get(str(span.get("processID"))))
    above = [r for r in listing(span.get("references")) if isinstance(r, dict) and r.get("refType") != "FOLLOWS_FROM"]
    events: list[tuple[str, Mapping[str, Any]]] = []
    for log in listing(span.get("logs")):
        said = _tags(log.get("fields")) if isinstance(log, dict) else {}
        events.append((str(said.pop("event", said.pop("message", "")))[:200], said))
    lasted = soft(number, span.get("duration"))
    scope = [written(tags.get(name)) for name in ("otel.scope.name", "otel.scope.version")]
    return Span(
        record.line,
        record.offset,
        hex_id(span.get("traceID"), 32),
        hex_id(span.get("spanID"), 16),
        hex_id(above[0].get("spanID") if above else span.get("parentSpanID"), 16),
        written(span.get("operationName")),
        span.get("startTime"),
        None,
        tags,
        _tags(process.get("tags")) | {"service.name": process.get("serviceName")},
        " ".join(part for part in scope if part),
        tags.get("error") in FAILED or tags.get("otel.status_code") == "ERROR",
        events,
        known={"_latency_ms": lasted / 1_000 if lasted is not None else None},
    )
