"""Opik: exported traces with their spans, as JSON documents or as CSV with a row a span."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from costaudit.ingest._dump import SpanFormat, first, flattened, listing, mapping, written
from costaudit.ingest._files import Record
from costaudit.ingest._plain import soft
from costaudit.ingest._spans import Span
from costaudit.ingest._values import number

KINDS = {"llm": "chat", "tool": "execute_tool", "general": "workflow"}
USAGE = {
    "gen_ai.usage.input_tokens": ("prompt_tokens",),
    "gen_ai.usage.output_tokens": ("completion_tokens",),
    "gen_ai.usage.total_tokens": ("total_tokens",),
    "gen_ai.usage.cache_read.input_tokens": (
        "original_usage.prompt_tokens_details.cached_tokens",
        "original_usage.input_tokens_details.cached_tokens",
        "original_usage.cache_read_input_tokens",
        "original_usage.cacheReadInputTokens",
        "original_usage.cached_content_token_count",
    ),
    "gen_ai.usage.cache_write.input_tokens": (
        "original_usage.cache_creation_input_tokens",
        "original_usage.cacheWriteInputTokens",
    ),
    "gen_ai.usage.reasoning.output_tokens": (
        "original_usage.completion_tokens_details.reasoning_tokens",
        "original_usage.output_tokens_details.reasoning_tokens",
        "original_usage.thoughts_token_count",
    ),
}


class Opik(SpanFormat):
    """Traces as `opik export` writes them: a JSON document a trace, or CSV with a row a span.

    - `usage` of a span is inclusive for every provider. `usage.original_usage.*` repeats it in the provider's own
      words: only what is cached and what was reasoning is taken from there, and nothing is added.
    - In the CSV the trace stands again in every row (`trace_usage_*`, `trace_total_estimated_cost`): those are sums.
    - `total_estimated_cost` is Opik's own and is shown beside the computed cost.
    - Written to the shape of opik 2.2; the sample is synthetic.

    Logged better: `thread_id` for sessions, and `metadata` with `task`, `tenant` and `user_id` on the trace.
    """

    name = "opik"
    title = "Opik traces"

    def recognises(self, record: Mapping[str, Any]) -> int:
        if "span_id" in record and "trace_id" in record and "span_start_time" in record and "span_type" in record:
            return 95
        spans = record.get("spans")
        if isinstance(record.get("trace"), dict) and isinstance(spans, list):
            own = ("total_estimated_cost", "parent_span_id", "usage", "trace_id")
            known = (s for s in spans[:5] if isinstance(s, dict))
            return 95 if not spans or any("type" in s and any(name in s for name in own) for s in known) else 0
        return 0

    def spans(self, value: Mapping[str, Any], record: Record) -> Iterable[Span | None] | None:
        if "span_start_time" in value:
            return [_span(_below(value, "span_"), _below(value, "trace_"), record)]
        trace = value.get("trace")
        if not isinstance(trace, dict):
            return None
        inside = [_span(s, trace, record) if isinstance(s, dict) else None for s in listing(value.get("spans"))]
        return [_root(trace, record), *inside]


def _below(row: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name[len(prefix) :]: value for name, value in row.items() if name.startswith(prefix)}


def _part(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object of a span: nested, as text, or spread over columns of a table."""
    return mapping(row.get(name)) or _below(row, f"{name}_")


def _root(trace: Mapping[str, Any], record: Record) -> Span:
    """The trace as the span around all others: it lends its context and counts nothing."""
    return Span(
        record.line,
        record.offset,
        written(trace.get("id")),
        "trace",
        None,
        written(trace.get("name")),
        trace.get("start_time"),
        trace.get("end_time"),
        _context(trace),
        {},
        "",
        failed=False,
        kind="workflow",
    )


def _context(trace: Mapping[str, Any]) -> dict[str, Any]:
    told = {
        "gen_ai.conversation.id": trace.get("thread_id"),
        "metadata": dict(_part(trace, "metadata")),
        "environment": trace.get("environment"),
    }
    return {name: value for name, value in told.items() if value not in (None, "", {})}


def _span(span: Mapping[str, Any], trace: Mapping[str, Any], record: Record) -> Span:
    usage = flattened(_part(span, "usage"))
    given, made, told = (_part(span, name) for name in ("input", "output", "metadata"))
    kind = str(span.get("type") or "")[:60].lower()
    wait = soft(number, span.get("ttft"))
    attributes = {
        **_context(trace),
        **{name: first(usage, *names) for name, names in USAGE.items()},
        "gen_ai.response.model": written(span.get("model")),
        "gen_ai.provider.name": written(span.get("provider")),
        "gen_ai.response.id": written(made.get("id")) or written(told.get("id")),
        "gen_ai.request.temperature": first({**told, **given}, "temperature"),
        "gen_ai.request.max_tokens": first({**told, **given}, "max_completion_tokens", "max_tokens"),
        "gen_ai.input.messages": first(given, "messages", "input"),
        "gen_ai.output.messages": first(made, "choices", "messages", "output"),
        "gen_ai.tool.definitions": first({**told, **given}, "tools"),
        "gen_ai.usage.cost": span.get("total_estimated_cost"),
        "error.type": mapping(span.get("error_info")).get("exception_type") or span.get("error_info_exception_type"),
    }
    return Span(
        record.line,
        record.offset,
        written(span.get("trace_id")) or written(trace.get("id")),
        written(span.get("id")),
        written(span.get("parent_span_id")) or "trace",
        written(span.get("name")),
        span.get("start_time"),
        span.get("end_time"),
        {name: value for name, value in attributes.items() if value not in (None, "")},
        {},
        "",
        bool(span.get("error_info")),
        kind=KINDS.get(kind, kind),
        known={"ttft_s": wait / 1_000 if wait is not None and wait >= 0 else None},
    )
