"""LangWatch: traces of its REST API and of its exports, with their spans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from costaudit.ingest._dump import SpanFormat, first, flattened, listing, mapping, unquoted, written
from costaudit.ingest._files import Record
from costaudit.ingest._plain import soft
from costaudit.ingest._spans import Span
from costaudit.ingest._values import flag, number

KINDS = {"llm": "chat", "rag": "retriever", "span": "", "unknown": "", "evaluation": "evaluator", "module": "workflow",
         "component": "workflow", "server": "workflow", "client": ""}  # fmt: skip
USAGE = {
    "prompt_tokens": "gen_ai.usage.input_tokens",
    "completion_tokens": "gen_ai.usage.output_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning_tokens",
    "cache_read_input_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_creation_input_tokens": "gen_ai.usage.cache_creation.input_tokens",
}
PARAMS = {
    "temperature": "gen_ai.request.temperature",
    "max_tokens": "gen_ai.request.max_tokens",
    "stream": "gen_ai.request.stream",
    "reasoning_effort": "gen_ai.request.reasoning_effort",
    "tools": "gen_ai.tool.definitions",
}
OWN = ("trace_id", "prompt_tokens", "completion_tokens", "total_cost", "total_time_ms")  # of a summary
LENT = {
    "gen_ai.conversation.id": "gen_ai.conversation.id",
    "user.id": "langwatch.user.id",
    "customer.id": "langwatch.customer.id",
}
ROOT = "trace"  # the span that a trace is


class Langwatch(SpanFormat):
    """Traces of LangWatch: exports (JSON lines or CSV, full or summary), answers of its REST API, single spans.

    ## Where
    *Export* above the traces, as *full*; `GET /api/traces/{id}?format=json`; `POST /api/traces/search` with
    `includeSpans`.
    ## What it knows
    Usage of each span with cached input and reasoning, model, vendor, parameters, prompts; thread (a run), user and
    customer (the tenant) from the trace's metadata or the spans' attributes, and `task` from its custom metadata.
    ## Traps
    A trace's `metrics` are the sum of its spans and count only where no span is there (a summary): then without a model
    and so without a price. Spans nest, and an agent's may state what its calls used: those are roll-ups.
    `tokens_estimated` says that LangWatch counted the text itself: such counts are estimates.
    Spans keep the ids of OpenTelemetry, so the same calls in another export or in OTLP count once.
    ## Limits
    `prompt_tokens` is what the tracer sent. By OpenTelemetry's convention cached input stands inside it; LangWatch's
    own gateway and what it makes of coding agents' logs leave it out, and so LangWatch prices it, whoever sent it.
    Which it is, is undecided unless the counts of a vendor's spans prove it. LangWatch's `cost` is its own and is shown
    beside the computed cost; some versions leave cached input out of it, and where there is any it is not shown. CSV
    has cached input and estimates only in `span_params`, of newer versions; thread, user and customer stand there too,
    for exports drop them from the trace.
    Written to the shape of 2026; the sample is synthetic.
    """

    name = "langwatch"
    title = "LangWatch traces"

    def recognises(self, record: Mapping[str, Any]) -> int:
        if "span_started_at" in record:
            return 95 if {"trace_id", "span_id", "span_type"} <= record.keys() else 0
        if "traces" in record:
            some = [item for item in listing(record["traces"])[:3] if isinstance(item, Mapping)]
            return 95 if some and all(map(_is_trace, some)) else 0
        if "trace_id" not in record:
            return 0
        return 95 if _is_trace(record) else 93 if _is_span(record) else 0

    def spans(self, value: Mapping[str, Any], record: Record) -> Iterable[Span | None] | None:
        if "span_started_at" in value:
            trace = {"trace_id": value.get("trace_id"), "metadata": mapping(value.get("trace_metadata"))}
            return [_one(_row(value), trace, record)]
        if "traces" in value:
            return [span for trace in listing(value["traces"]) for span in _inside(trace, record)]
        if _is_span(value):
            return [_one(value, {"trace_id": value.get("trace_id")}, record)]
        return _inside(value, record) if "trace_id" in value else None


def _is_trace(value: Mapping[str, Any]) -> bool:
    spans = value.get("spans")
    if isinstance(spans, list) and "trace_id" in value:
        known = [span for span in spans[:3] if isinstance(span, Mapping)]
        if known:
            return all("span_id" in span and _timed(span) for span in known)
    if all(name in value for name in OWN):
        return True
    metrics = value.get("metrics")
    return "project_id" in value and _timed(value) and isinstance(metrics, Mapping) and "total_cost" in metrics


def _is_span(value: Mapping[str, Any]) -> bool:
    return "span_id" in value and "type" in value and _timed(value)


def _timed(value: Mapping[str, Any]) -> bool:
    times = value.get("timestamps")
    return isinstance(times, Mapping) and "started_at" in times


def _inside(trace: Any, record: Record) -> list[Span | None]:
    if not isinstance(trace, Mapping):
        return [None]
    spans = [span if isinstance(span, dict) else None for span in listing(trace.get("spans"))]
    said = [flattened(mapping(span.get("params"))) if span else {} for span in spans]
    about = _context(trace, *said)
    inside = [_span(span, about, told, record) if span else None for span, told in zip(spans, said, strict=True)]
    return [_root(trace, about, record, alone=not any(inside)), *inside]


def _one(span: Mapping[str, Any], trace: Mapping[str, Any], record: Record) -> Span:
    """A span that stands without its trace."""
    said = flattened(mapping(span.get("params")))
    return _span(span, _context(trace, said), said, record)


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the CSV as a span of the JSON."""
    metrics = {name: row.get(f"span_{name}") for name in ("prompt_tokens", "completion_tokens", "cost")}
    return {
        "span_id": row.get("span_id"),
        "parent_id": row.get("parent_span_id"),
        "type": row.get("span_type"),
        "name": row.get("span_name"),
        "model": row.get("span_model"),
        "vendor": row.get("span_vendor"),
        "input": {"type": "json", "value": unquoted(row.get("span_input"))},
        "output": {"type": "json", "value": unquoted(row.get("span_output"))},
        "timestamps": {"started_at": row.get("span_started_at"), "finished_at": row.get("span_finished_at")},
        "first_token_ms": row.get("span_first_token_ms"),
        "metrics": {name: value for name, value in metrics.items() if value not in (None, "")},
        "params": mapping(row.get("span_params")),
        "error": row.get("span_error"),
    }


def _context(trace: Mapping[str, Any], *said: Mapping[str, Any]) -> dict[str, Any]:
    """What a trace says of all its spans; exports leave it to the attributes of the spans."""
    told = mapping(trace.get("metadata"))
    own = {
        "gen_ai.conversation.id": told.get("thread_id"),
        "user.id": told.get("user_id"),
        "customer.id": told.get("customer_id"),
        "project.id": trace.get("project_id"),
        "trace_id": trace.get("trace_id"),
        "metadata": {**mapping(told.get("custom")), **told},
    }
    for name, spelled in LENT.items():
        own[name] = own[name] or next((value for span in said if (value := span.get(spelled))), None)
    return {name: value for name, value in own.items() if value not in (None, "", {})}


def _root(trace: Mapping[str, Any], about: Mapping[str, Any], record: Record, *, alone: bool) -> Span:
    """The trace as the span around all others; it counts only where it stands alone."""
    metrics = mapping(trace.get("metrics")) or trace
    times = mapping(trace.get("timestamps"))
    attributes = dict(about)
    if alone:
        attributes |= {name: metrics[key] for key, name in USAGE.items() if metrics.get(key) not in (None, "")}
        attributes["gen_ai.usage.cost"] = metrics.get("total_cost")
    return Span(
        record.line,
        record.offset,
        written(trace.get("trace_id")),
        ROOT,
        None,
        None,
        first({**trace, **times}, "started_at", "timestamp"),
        None,
        attributes,
        {},
        "",
        failed=bool(trace.get("error")),
        kind="workflow",
        known={"summed": True if alone else None, "usage_source": _counter(metrics.get("tokens_estimated"))},
    )


def _span(span: Mapping[str, Any], about: Mapping[str, Any], said: Mapping[str, Any], record: Record) -> Span:
    times, metrics, params = (mapping(span.get(name)) for name in ("timestamps", "metrics", "params"))
    counts = {name: metrics[key] for key, name in USAGE.items() if metrics.get(key) is not None}
    vendor, model = written(span.get("vendor")), written(span.get("model"))
    attributes = {
        **about,
        **said,
        **{name: params[key] for key, name in PARAMS.items() if params.get(key) is not None},
        **{name: value for name, spelled in LENT.items() if (value := said.get(spelled))},
        "gen_ai.provider.name": vendor or said.get("gen_ai.provider.name"),
        "gen_ai.response.model": model or said.get("gen_ai.response.model"),
        "gen_ai.input.messages": said.get("gen_ai.input.messages") or _messages(span.get("input"), "user"),
        "gen_ai.output.messages": said.get("gen_ai.output.messages") or _messages(span.get("output"), "assistant"),
        **counts,
    }
    cached = any(attributes.get(name) for name in list(USAGE.values())[3:])
    if not cached:
        attributes["gen_ai.usage.cost"] = metrics.get("cost")
    kind = str(span.get("type") or "")[:60].lower()
    return Span(
        record.line,
        record.offset,
        written(span.get("trace_id")) or written(about.get("trace_id")),
        written(span.get("span_id")),
        written(span.get("parent_id")) or ROOT,
        written(span.get("name")),
        times.get("started_at"),
        times.get("finished_at"),
        {name: value for name, value in attributes.items() if value not in (None, "", {})},
        {},
        "",
        failed=bool(span.get("error")),
        kind=KINDS.get(kind, kind),
        known={
            "ttft_s": _wait(span, times),
            "usage_source": _counter(metrics.get("tokens_estimated", said.get("langwatch.tokens.estimated"))),
            "_reading": "unknown" if cached else None,
        },
    )


def _wait(span: Mapping[str, Any], times: Mapping[str, Any]) -> float | None:
    """Seconds to the first token."""
    ms = soft(number, span.get("first_token_ms"))
    began, came = (soft(number, times.get(name)) for name in ("started_at", "first_token_at"))
    if ms is None and began is not None and came:
        ms = came - began
    return ms / 1_000 if ms is not None and 0 <= ms < 1e9 else None


def _counter(estimated: Any) -> str | None:
    return "tokenizer" if flag(estimated) else None


def _messages(said: Any, role: str) -> Any:
    """What a span was given or made, as messages: `{"type": "chat_messages", "value": […]}`, or a text."""
    value = mapping(said).get("value")
    if isinstance(value, list):
        return value if value and all(isinstance(item, dict) and "role" in item for item in value) else None
    return [{"role": role, "content": value}] if isinstance(value, str) and value else None
