"""Braintrust: exported spans and traces of logs and experiments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from costaudit.ingest._dump import SpanFormat, SpanReader, first, listing, mapping, written
from costaudit.ingest._files import Record
from costaudit.ingest._format import Out
from costaudit.ingest._plain import soft
from costaudit.ingest._spans import Span
from costaudit.ingest._values import count, number

KINDS = {"function": "workflow", "score": "evaluator", "eval": "workflow", "tool": "execute_tool"}
JUDGED = ("score", "eval")
USAGE = {
    "gen_ai.usage.input_tokens": "prompt_tokens",
    "gen_ai.usage.output_tokens": "completion_tokens",
    "gen_ai.usage.total_tokens": "tokens",
    "gen_ai.usage.cache_read.input_tokens": "prompt_cached_tokens",
    "gen_ai.usage.reasoning.output_tokens": "completion_reasoning_tokens",
    "gen_ai.usage.cost": "estimated_cost",
    "gen_ai.response.time_to_first_chunk": "time_to_first_token",
}


class Braintrust(SpanFormat):
    """Spans of Braintrust logs and experiments, from cloud exports, the interface or the query API.

    - An export of spans has a row a span: of rows around each other the innermost with usage is the call. An export of
      traces has one row a trace with the sums of its calls: totals are right, a row is then a whole run.
    - Input includes cached reads and writes; writes of 5 minutes and of 1 hour are counted apart where they are known.
    - Spans of the types `score` and `eval` are spend on evaluation: their environment reads `evaluation`.
    - `estimated_cost` is Braintrust's own and is shown beside the computed cost.
    - Written to the shape of braintrust 0.48; the sample is synthetic.

    Logged better: export spans, not traces; put `task`, `tenant`, `session_id` and `user_id` into `metadata`.
    """

    name = "braintrust"
    title = "Braintrust spans and traces"

    def recognises(self, record: Mapping[str, Any]) -> int:
        if "root_span_id" in record and "span_attributes" in record and "span_id" in record:
            return 95
        rows = _rows(record)
        return 95 if rows and any(isinstance(r, dict) and "root_span_id" in r for r in rows[:5]) else 0


def _rows(record: Mapping[str, Any]) -> list[Any] | None:
    """The rows of a page of the query interface."""
    return next((record[name] for name in ("data", "events", "rows") if isinstance(record.get(name), list)), None)


@Braintrust.read_by
class _Reader(SpanReader):
    def __init__(self, form: SpanFormat) -> None:
        super().__init__(form)
        self.sums = 0  # roots with usage that are no call themselves
        self.below = 0  # spans that stand below others

    def spans(self, value: Mapping[str, Any], record: Record) -> Iterable[Span | None] | None:
        rows = [value] if "root_span_id" in value else _rows(value)
        if rows is None:
            return None
        for row in (r for r in rows if isinstance(r, dict)):
            root = not listing(row.get("span_parents"))
            kind, used = mapping(row.get("span_attributes")).get("type"), mapping(row.get("metrics"))
            self.below += not root
            self.sums += root and kind != "llm" and bool(used.get("prompt_tokens"))
        return [_span(r, record) if isinstance(r, dict) and "root_span_id" in r else None for r in rows]

    def close(self, out: Out) -> None:
        if self.sums and not self.below:
            rows = "1 row is the sum" if self.sums == 1 else f"{self.sums:,} rows are sums"
            out.notes.append(f"Braintrust: {rows} of a whole trace, its calls are not in the export: export spans")


def _span(row: Mapping[str, Any], record: Record) -> Span:
    metrics, told, about = (mapping(row.get(name)) for name in ("metrics", "metadata", "span_attributes"))
    kind = str(about.get("type") or "")[:60].lower()
    short, long = metrics.get("prompt_cache_creation_5m_tokens"), metrics.get("prompt_cache_creation_1h_tokens")
    parts = [n for n in (soft(count, short), soft(count, long)) if n is not None]
    settings = told if "temperature" in told or "max_tokens" in told else mapping(told.get("params"))
    attributes = {
        **{name: metrics.get(key) for name, key in USAGE.items()},
        "gen_ai.usage.cache_write.input_tokens": sum(parts) if parts else metrics.get("prompt_cache_creation_tokens"),
        "gen_ai.response.model": written(told.get("model")),
        "gen_ai.provider.name": written(told.get("provider")),
        "gen_ai.request.temperature": settings.get("temperature"),
        "gen_ai.request.max_tokens": first(settings, "max_completion_tokens", "max_tokens"),
        "gen_ai.input.messages": row.get("input"),
        "gen_ai.output.messages": row.get("output"),
        "gen_ai.tool.definitions": told.get("tools"),
        "metadata": told,
        "environment": "evaluation" if kind in JUDGED else None,
        "error.type": "error" if row.get("error") else None,
    }
    if kind != "llm":  # text of other spans is none of a conversation
        attributes |= {"gen_ai.input.messages": None, "gen_ai.output.messages": None}
    marks = [n for value in mapping(row.get("scores")).values() if (n := soft(number, value)) is not None]
    return Span(
        record.line,
        record.offset,
        written(row.get("root_span_id")),
        written(row.get("span_id")),
        next((written(parent) for parent in listing(row.get("span_parents"))), None),
        written(about.get("name")),
        metrics.get("start") or row.get("created"),
        metrics.get("end"),
        {name: value for name, value in attributes.items() if value is not None},
        {},
        "",
        bool(row.get("error")),
        kind=KINDS.get(kind, kind),
        known={
            "cache_write_5m_tokens": short,
            "cache_write_1h_tokens": long,
            "score": sum(marks) / len(marks) if marks else None,
        },
    )
