"""MLflow traces: documents of a trace, rows of the trace table, artifacts of spans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from costaudit.ingest._dump import SpanFormat, first, listing, mapping, unquoted, written
from costaudit.ingest._files import Record
from costaudit.ingest._spans import Span, hex_id

KINDS = {"chat_model": "chat", "embedding": "embeddings", "tool": "execute_tool"}
USAGE = {
    "gen_ai.usage.input_tokens": "input_tokens",
    "gen_ai.usage.output_tokens": "output_tokens",
    "gen_ai.usage.total_tokens": "total_tokens",
    "gen_ai.usage.cache_read.input_tokens": "cache_read_input_tokens",
    "gen_ai.usage.cache_write.input_tokens": "cache_creation_input_tokens",
}
INFO = ("trace_metadata", "request_metadata")
LINKED = "mlflow.gateway.linkedTraceId"


class Mlflow(SpanFormat):
    """Traces of MLflow (`Trace.to_json`, rows of `search_traces`, artifacts `traces.json`), with the spans inside.

    - Attributes of spans are JSON kept as text; tokens stand in `mlflow.chat.tokenUsage`, of the trace in its metadata
      once more: those are sums and are not read. Of spans around each other the innermost with usage is the call.
    - Input includes cached input in current versions; older Anthropic traces left it out, as their counts show.
    - A call through MLflow's own gateway is traced by the client and by the gateway
      (`mlflow.gateway.linkedTraceId`): it is counted once.
    - What judges used (`mlflow.assessment.judge*`) is no span and is not in the trace's own spend.
    - Written to the shape of mlflow 3.17; the sample is synthetic.

    Logged better: `mlflow.update_current_trace(session_id=…, user=…, tags={"task": …, "tenant": …})`.
    """

    name = "mlflow"
    title = "MLflow traces"

    def recognises(self, record: Mapping[str, Any]) -> int:
        info = mapping(record.get("info"))
        if any(name in info for name in INFO) or (isinstance(record.get("spans"), list) and "trace_metadata" in record):
            return 96
        spans = _inside(record) or ()
        return 96 if any(_native(span) for span in spans[:5]) else 0

    def spans(self, value: Mapping[str, Any], record: Record) -> Iterable[Span | None] | None:
        inside = _inside(value)
        if inside is None:
            return None
        whole = mapping(value.get("trace")) if "trace" in value else value
        info = mapping(whole.get("info")) or value
        around = _around(info)
        return [_span(span, info, around, record) if isinstance(span, dict) else None for span in inside]


def _native(span: Any) -> bool:
    attributes = mapping(span.get("attributes")) if isinstance(span, dict) else {}
    return any(name.startswith("mlflow.") for name in attributes)


def _inside(record: Mapping[str, Any]) -> list[Any] | None:
    """The spans of a trace, whichever way it was written; a bare span is its own list."""
    if _native(record):
        return [record]
    whole = mapping(record.get("trace")) if "trace" in record else record
    data = mapping(whole.get("data"))
    for spans in (data.get("spans"), whole.get("spans"), record.get("spans")):
        found = listing(spans)
        if found:
            return [mapping(span) or span for span in found]
    return [] if "info" in whole or "trace_metadata" in record else None


def _around(info: Mapping[str, Any]) -> dict[str, Any]:
    """What the trace says for all of its spans."""
    said = {k: v for name in INFO for k, v in mapping(info.get(name)).items()}
    tags = mapping(info.get("tags"))
    return {
        "gen_ai.conversation.id": said.get("mlflow.trace.session"),
        "user.id": said.get("mlflow.trace.user"),
        "metadata": {k: v for k, v in {**said, **tags}.items() if not k.startswith("mlflow.")},
        "environment": tags.get("environment"),
        "gateway": "mlflow.gateway.endpointId" in said or "mlflow.gateway.requestType" in said,
        "name": tags.get("mlflow.traceName"),
    }


def _span(span: Mapping[str, Any], info: Mapping[str, Any], around: Mapping[str, Any], record: Record) -> Span:
    own = {name: unquoted(value) for name, value in mapping(span.get("attributes")).items()}
    context, status = mapping(span.get("context")), span.get("status")
    usage = mapping(own.get("mlflow.chat.tokenUsage"))
    given, made = mapping(own.get("mlflow.spanInputs")), mapping(own.get("mlflow.spanOutputs"))
    kind = str(own.get("mlflow.spanType") or "")[:60].lower()
    attributes = {
        **{name: usage.get(key) for name, key in USAGE.items()},
        **{name: value for name, value in own.items() if not name.startswith("mlflow.")},
        "gen_ai.response.model": own.get("mlflow.llm.model") or written(made.get("model")),
        "gen_ai.request.model": written(given.get("model")),
        "gen_ai.provider.name": own.get("mlflow.llm.provider"),
        "gen_ai.response.id": written(made.get("id")),
        "gen_ai.request.temperature": given.get("temperature"),
        "gen_ai.request.max_tokens": first(given, "max_completion_tokens", "max_tokens", "max_output_tokens"),
        "gen_ai.input.messages": first(given, "messages", "input", "contents"),
        "gen_ai.system_instructions": given.get("system"),
        "gen_ai.output.messages": first(made, "choices", "output") or ([made] if "content" in made else None),
        "gen_ai.tool.definitions": own.get("mlflow.chat.tools") or given.get("tools"),
        "gen_ai.response.stop_reason": made.get("stop_reason"),
        "gen_ai.usage.cost": mapping(own.get("mlflow.llm.cost")).get("total_cost"),
        **{name: around[name] for name in ("gen_ai.conversation.id", "user.id", "metadata", "environment")},
    }
    trace = hex_id(context.get("trace_id", span.get("trace_id")), 32) or written(info.get("trace_id"))
    above = span.get("parent_span_id", span.get("parent_id"))
    linked = own.get(LINKED)
    label = written(around["name"]) if above is None else None
    code = status.get("code") if isinstance(status, dict) else status or span.get("status_code")
    events = [
        (str(event.get("name") or "")[:200], mapping(event.get("attributes")))
        for event in listing(span.get("events"))
        if isinstance(event, dict)
    ]
    return Span(
        record.line,
        record.offset,
        trace,
        hex_id(context.get("span_id", span.get("span_id")), 16),
        hex_id(above, 16),
        label or written(span.get("name")),
        first(span, "start_time_unix_nano", "start_time", "start_time_ns"),
        first(span, "end_time_unix_nano", "end_time", "end_time_ns"),
        {name: value for name, value in attributes.items() if value is not None},
        {},
        "",
        str(code).rpartition(".")[2].lower() in ("error", "status_code_error", "2"),
        events,
        kind=KINDS.get(kind, kind),
        known={
            "_key": f"mlflow gateway {_plain_id(linked)}" if linked else None,
            "_also": f"mlflow gateway {trace}" if around["gateway"] else None,
            "_rank": 1 if around["gateway"] else None,
            "cache_write_1h_tokens": usage.get("cache_creation_input_tokens_above_1hr"),
        },
    )


def _plain_id(value: Any) -> str | None:
    """A trace's id as its spans have it: MLflow writes `tr-` before the hex."""
    return hex_id(str(value).removeprefix("tr-"), 32)
