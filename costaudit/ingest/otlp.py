"""OTLP/JSON: traces and log events in any of the file shapes that collectors, SDKs and backends write."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from costaudit.errors import AT_LEAST
from costaudit.ingest._decode import opened, parsed
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import FileReader, Format, Found, Out
from costaudit.ingest._messages import sha
from costaudit.ingest._otel_names import BARE
from costaudit.ingest._otlp_typed import Export, Reading, TypedSpan, export, reading
from costaudit.ingest._otlp_typed import flat as flat_typed
from costaudit.ingest._otlp_values import flat, plain
from costaudit.ingest._prompt import wanted
from costaudit.ingest._spans import Collected, Span, hex_id, listed

TRACES = ("resourceSpans", "resource_spans", "batches")
OTHERS = {"resourceMetrics": "metrics", "resource_metrics": "metrics"}
LOGS = ("resourceLogs", "resource_logs")
SCOPES = ("scopeSpans", "scope_spans", "instrumentationLibrarySpans", "scopeLogs", "scope_logs")
BATCH = 2_000  # spans turned into rows at once


class Otlp(Format):
    """OpenTelemetry traces and log events as OTLP/JSON or protobuf, in every spelling of the GenAI conventions.

    ## Where
    Files of the collector's file exporter (one export a line, or `format: proto`, also compressed), pretty documents,
    single spans, and what Tempo returns.
    Spans of OpenTelemetry GenAI, OpenLLMetry, OpenInference, Vercel AI SDK, Pydantic AI, LiteLLM, vLLM, Claude Code.
    ## What it knows
    Tokens with cache, reasoning and audio, model asked and answered, agent, conversation, user, tenant, errors, time to
    first token; prompts and tools where the instrumentation captures content.
    ## Traps
    Frameworks repeat the usage of a call on every span around it: the deepest span counts, those above are roll-ups.
    A call takes session, user and task from the spans above it. Whether input includes cached tokens differs between
    instrumentations and is decided from the counts. Running sums (`gen_ai.aggregated_usage.*`) are not usage.
    Metrics are sums of the same calls and are left out.
    ## Limits
    Sampling leaves spans out: totals are then a floor, and where a span's state says so, so does the report. A call
    without usage (a stream closed early) is unmetered.
    ## Log it better
    Set `gen_ai.agent.name`, `gen_ai.conversation.id` and `user.id`; turn content capture on for prompt findings.
    """

    name = "otlp"
    title = "OpenTelemetry traces (OTLP, JSON or protobuf)"

    def recognises(self, record: Mapping[str, Any]) -> int:
        if any(isinstance(_traces(record).get(name), list) for name in (*TRACES, *LOGS, *OTHERS)):
            return 98
        return 80 if _bare(record) else 0

    def reader(self, file: LogFile, found: Found) -> FileReader:
        del found  # exports are never wrapped
        return _Reader(file.only)


class _Around(NamedTuple):
    """What the export says once for many spans."""

    resource: Mapping[str, Any]
    scope: str


class _Reader:
    """Reads exports; one bad span costs one span."""

    portion = 1 << 20  # bytes that are fed at once: nothing is gained by more, for each line is done with by itself

    def __init__(self, only: Collection[str] | None = None) -> None:
        told = wanted(only, "finish_reason", "task")
        self.how = reading(only, told=told)
        self.made = Collected(told=told)
        self.kept: set[float] = set()  # shares of traces that sampling kept

    def alone(self, records: Sequence[Record]) -> bool:
        """Whether there is nothing to say of the file as a whole."""
        del records
        return not self.kept

    def feed(self, records: Sequence[Record], out: Out) -> None:
        for record in records:
            self.made.add(self.spans(record, out), out)
            if len(self.made) >= BATCH:
                self.made.frame(out)

    def spans(self, record: Record, out: Out) -> Iterable[Span]:
        """The spans of an export; what is none is counted."""
        data = record.data
        typed = export(data) if isinstance(data, bytes) else None
        if typed is not None:
            return self._typed(typed, record, out)
        if isinstance(value := data if isinstance(data, dict) else parsed(data), str):
            out.rejects.append((record.line, value))
            return ()
        return self._export(_traces(value), record, out)

    def close(self, out: Out) -> None:
        self.made.frame(out)
        if self.kept:
            shares = ", ".join(f"1 in {1 / share:.3g}" for share in sorted(self.kept, reverse=True))
            out.notes.append(f"the traces are a sample ({shares} kept): {AT_LEAST}")
            out.sample = True

    def _typed(self, typed: Export, record: Record, out: Out) -> Iterator[Span]:
        found = 0
        for group in typed.resource_spans:
            resource = flat_typed(group.resource.attributes if group.resource is not None else None, self.how)
            for scoped in group.scope_spans or ():
                around = _Around(resource, _scope_name(scoped.scope))
                for span in scoped.spans or ():
                    found += 1
                    if span.trace_state:
                        self.kept |= _kept(span.trace_state)
                    yield _typed_span(span, around, record, self.how)
        self._found(found, out)

    def _found(self, spans: int, out: Out) -> None:
        if not spans:
            out.skipped["export without spans"] += 1
        out.extra_lines += max(0, spans - 1)

    def _export(self, value: Mapping[str, Any], record: Record, out: Out) -> Iterator[Span]:
        if _bare(value):
            yield _span(value, _Around({}, ""), record)
            return
        other = next((kind for name, kind in OTHERS.items() if name in value), None)
        if other:
            out.skipped[other] += 1
            return
        if not any(name in value for name in (*TRACES, *LOGS)):
            out.foreign.append(record)
            return
        found = 0
        for item, around, log in _items(value):
            found += 1
            if not isinstance(item, dict):
                out.rejects.append((record.line, "a span is not an object"))
            elif not log:
                self.kept |= _kept(item.get("traceState", item.get("trace_state")))
                yield _span(item, around, record)
            else:
                event = _event(item, around, record)
                if event is None:
                    out.skipped["log event"] += 1
                else:
                    yield event
        self._found(found, out)


def _traces(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The export itself: some backends put it under `trace`."""
    inner = record.get("trace")
    return inner if isinstance(inner, dict) and any(name in inner for name in TRACES) else record


def _bare(record: Mapping[str, Any]) -> bool:
    """One span without the export around it."""
    attributes = record.get("attributes")
    return (
        isinstance(attributes, list)
        and "name" in record
        and ("spanId" in record or "kind" in record or "startTimeUnixNano" in record)
        and all(isinstance(a, dict) and "key" in a for a in attributes[:3])
    )


def _items(value: Mapping[str, Any]) -> Iterator[tuple[Any, _Around, bool]]:
    """Spans and log events of an export, each with its surroundings; shapes that are none hold no spans."""
    for name in (*TRACES, *LOGS):
        for group in listed(value.get(name)):
            if not isinstance(group, dict):
                continue
            resource = group.get("resource")
            resource = flat(resource.get("attributes")) if isinstance(resource, dict) else {}
            for scopes in SCOPES:
                for scoped in listed(group.get(scopes)):
                    if not isinstance(scoped, dict):
                        continue
                    around = _Around(resource, _scope_name(scoped.get("scope", scoped.get("instrumentationLibrary"))))
                    yield from ((span, around, False) for span in listed(scoped.get("spans")))
                    logs = scoped.get("logRecords", scoped.get("log_records"))
                    yield from ((log, around, True) for log in listed(logs))


def _scope_name(scope: Any) -> str:
    if not isinstance(scope, dict):
        return ""
    return " ".join(str(scope[key])[:200] for key in ("name", "version") if scope.get(key))


def _span(span: Mapping[str, Any], around: _Around, record: Record) -> Span:
    events = [
        (str(event.get("name") or "")[:200], flat(event.get("attributes")))
        for event in listed(span.get("events"))
        if isinstance(event, dict)
    ]
    return Span(
        record.line,
        record.offset,
        hex_id(span.get("traceId", span.get("trace_id")), 32),
        hex_id(span.get("spanId", span.get("span_id")), 16),
        hex_id(span.get("parentSpanId", span.get("parent_span_id")), 16),
        str(span["name"])[:200] if span.get("name") is not None else None,
        span.get("startTimeUnixNano", span.get("start_time_unix_nano")),
        span.get("endTimeUnixNano", span.get("end_time_unix_nano")),
        flat(span.get("attributes")),
        around.resource,
        around.scope,
        _failed(span.get("status")),
        events,
    )


def _typed_span(span: TypedSpan, around: _Around, record: Record, how: Reading) -> Span:
    """`_span` of what was decoded by type."""
    return Span(
        record.line,
        record.offset,
        hex_id(span.trace_id, 32),
        hex_id(span.span_id, 16),
        hex_id(span.parent_span_id, 16),
        str(span.name)[:200] if span.name is not None else None,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        flat_typed(span.attributes, how),
        around.resource,
        around.scope,
        _failed(span.status),
        [(str(event.name or "")[:200], flat_typed(event.attributes, how)) for event in span.events]
        if span.events
        else [],
    )


def _failed(status: Any) -> bool:
    return isinstance(status, dict) and status.get("code") in (2, "2", "STATUS_CODE_ERROR")


def _kept(state: Any) -> set[float]:
    """The share of traces that sampling kept, where the span's state (`ot=th:c`) says that it was not all of them.

    The threshold is a fraction of 2^56 in hex, trailing zeros left out: `th:c` rejects 12/16 (OpenTelemetry's
    specification of probability sampling).
    """
    found = (
        re.search(r"(?:^|,)\s*ot=[^,]*?\bth:([0-9a-f]{1,14})(?![0-9a-f])", state) if isinstance(state, str) else None
    )
    share = 1 - int(found[1], 16) / 16 ** len(found[1]) if found else 1.0
    return {share} if 0 < share < 1 else set()


def _event(log: Mapping[str, Any], around: _Around, record: Record) -> Span | None:
    """A log event that states the usage of a call (`claude_code.api_request`, …), as a span below the one it is in."""
    attributes = dict(flat(log.get("attributes")))
    body = plain(log.get("body"))
    body = opened(body) if isinstance(body, str) else body
    if isinstance(body, dict):
        attributes = {**{str(key): value for key, value in body.items()}, **attributes}
    if not any("input_tokens" in name or "prompt_tokens" in name for name in attributes):
        return None
    when = log.get("timeUnixNano", log.get("time_unix_nano", attributes.get("event.timestamp")))
    # An event has no id of its own: one that says the same of the same session at the same time is a copy.
    said = [attributes.get(name) for name in ("request_id", "session.id", "event.sequence", "model", *BARE.values())]
    own, within = f"event {when} {sha(*map(str, said)):x}", hex_id(log.get("spanId", log.get("span_id")), 16)
    name = str(log.get("eventName", log.get("event_name", attributes.get("event.name"))))
    if within and name.startswith("gen_ai.client.inference"):
        own, within = within, None  # the event is its span said again, not a call within it
    return Span(
        record.line,
        record.offset,
        hex_id(log.get("traceId", log.get("trace_id")), 32),
        own,
        within,
        None,
        when,
        None,
        attributes,
        around.resource,
        around.scope,
        failed=False,
        kind="llm_request",
    )
