"""Pydantic Logfire: rows of its `records` table, from the query interface, CSV or Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import Any

from costaudit.ingest._dump import SpanFormat, listing, mapping, written
from costaudit.ingest._files import Record
from costaudit.ingest._spans import Span, hex_id


class Logfire(SpanFormat):
    """Rows of the table `records`, as the query interface returns them, or as CSV or Parquet.

    - Attributes are those of OpenTelemetry (see `otlp`): the innermost span with usage is the call. The column
      `metrics` restates on every span what the spans below it used and is not read.
    - Rows of the kind `pending_span` are the beginnings of spans that have rows of their own.
    - In traces of the Claude Agent SDK it is the agent's span that has the usage; the chats below it carry
      `gen_ai.usage.partial.*`, which is not the bill.
    - `operation.cost` is Logfire's own and is shown beside the computed cost.
    - Written to the documented columns of the table; the sample is synthetic.

    Logged better: `logfire.set_baggage(tenant=…, task=…)` or attributes on the agent's span.
    """

    name = "logfire"
    title = "Pydantic Logfire records"

    def recognises(self, record: Mapping[str, Any]) -> int:
        rows = _rows(record)
        return 95 if any(isinstance(row, dict) and _is_row(row) for row in rows[:5]) else 0

    def spans(self, value: Mapping[str, Any], record: Record) -> Iterable[Span | None] | None:
        if not _is_row(value) and "columns" not in value:
            return None
        return [_span(r, record) if isinstance(r, dict) and _is_row(r) else None for r in _rows(value)]


def _is_row(row: Mapping[str, Any]) -> bool:
    return "start_timestamp" in row and "span_id" in row and ("otel_scope_name" in row or "attributes" in row)


def _rows(record: Mapping[str, Any]) -> list[Any]:
    """The rows of an answer: objects, lists in the order of its columns, or columns with their values."""
    if _is_row(record):
        return [record]
    rows, columns = record.get("rows"), record.get("columns")
    if not isinstance(columns, list):
        return []
    names = [str(c.get("name") if isinstance(c, dict) else c) for c in columns]
    if rows is None:
        rows = list(zip_longest(*(listing(mapping(c).get("values")) for c in columns)))
    if not isinstance(rows, list):
        return []
    return [dict(zip(names, row, strict=False)) if isinstance(row, (list, tuple)) else row for row in rows]


def _span(row: Mapping[str, Any], record: Record) -> Span:
    attributes = dict(mapping(row.get("attributes")))
    if row.get("kind") == "pending_span":
        attributes["logfire.span_type"] = "pending_span"
    if row.get("exception_type"):
        attributes.setdefault("exception.type", row["exception_type"])
    resource = {
        **mapping(row.get("otel_resource_attributes")),
        "service.name": row.get("service_name"),
        "deployment.environment.name": row.get("deployment_environment"),
    }
    events = [
        (str(event.get("event_name") or event.get("name") or "")[:200], mapping(event.get("attributes")))
        for event in listing(row.get("otel_events"))
        if isinstance(event, dict)
    ]
    scope = [written(row.get(name)) for name in ("otel_scope_name", "otel_scope_version")]
    return Span(
        record.line,
        record.offset,
        hex_id(row.get("trace_id"), 32),
        hex_id(row.get("span_id"), 16),
        hex_id(row.get("parent_span_id"), 16),
        written(row.get("span_name")),
        row.get("start_timestamp"),
        row.get("end_timestamp"),
        attributes,
        {name: value for name, value in resource.items() if value is not None},
        " ".join(part for part in scope if part),
        row.get("otel_status_code") == "ERROR" or row.get("is_exception") in (True, "true", "True"),
        events,
    )
