"""OTLP/JSON as the collector's file exporter writes it, of the events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby

from bench.events import Event, Turn
from bench.writing import EMPTY, Files, lines, schema


def _part(turn: Turn) -> dict[str, object]:
    if turn.role == "call":
        part = {"type": "tool_call", "id": turn.id, "name": turn.name, "arguments": json.loads(turn.text)}
        return {"role": "assistant", "parts": [part]}
    if turn.role == "result":
        return {"role": "tool", "parts": [{"type": "tool_call_response", "id": turn.id, "response": turn.text}]}
    return {"role": turn.role, "parts": [{"type": "text", "content": turn.text}]}


def _attribute(key: str, value: object) -> dict[str, object]:
    if isinstance(value, list):
        return {"key": key, "value": {"arrayValue": {"values": [{"stringValue": v} for v in value]}}}
    kind = {int: "intValue", float: "doubleValue", str: "stringValue"}[type(value)]
    return {"key": key, "value": {kind: str(value) if kind == "intValue" else value}}


def _span(ids: tuple[str, str, str], name: str, start: datetime, end: datetime, facts: dict[str, object]) -> object:
    trace, span, parent = ids
    nanos = (f"{(moment - EPOCH) // timedelta(microseconds=1)}000" for moment in (start, end))
    return {
        "traceId": trace, "spanId": span, "parentSpanId": parent, "name": name, "kind": 3,
        "startTimeUnixNano": next(nanos), "endTimeUnixNano": next(nanos),
        "status": {"code": 2} if "error.type" in facts else {},
        "attributes": [_attribute(key, value) for key, value in facts.items() if value is not None],
    }  # fmt: skip


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def otlp(made: Sequence[Event]) -> Files:
    """OTLP/JSON as the collector's file exporter writes it; an agent's span repeats the usage of the calls below it."""
    spans = [_chat_span(e) for e in made] + [_agent_span(list(run)) for _, run in _runs(made)]
    resource = {"attributes": [_attribute("service.name", "desk")]}
    scope = {"scope": {"name": "desk.telemetry", "version": "1"}, "spans": spans}
    return {"traces.jsonl": lines([{"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}])}


def _runs(made: Sequence[Event]) -> Iterator[tuple[str, Iterator[Event]]]:
    return groupby(sorted((e for e in made if e.run), key=lambda e: (e.run, e.step)), key=lambda e: e.run)


def _trace(e: Event) -> str:
    return (e.run or e.first or e.id).encode().hex().zfill(32)


def _chat_span(e: Event) -> object:
    answer = e.call or Turn("assistant", e.answer)
    facts: dict[str, object] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": e.provider,
        "gen_ai.request.model": e.model,
        "gen_ai.request.temperature": e.temperature,
        "gen_ai.request.max_tokens": e.max_tokens,
        "gen_ai.agent.name": e.task,
        "gen_ai.conversation.id": e.run,
        "user.id": e.user,
        "tenant.id": e.tenant,
        "gen_ai.system_instructions": json.dumps([{"type": "text", "content": e.system}]) if e.system else None,
        "gen_ai.input.messages": json.dumps([_part(turn) for turn in e.turns]),
        "http.response.status_code": e.http,
        "openai.response.service_tier": e.tier,
        "gen_ai.request.reasoning.effort": e.effort,
        "case.id": e.instance,
        "project.id": e.key,
    }
    if e.declared:
        facts["gen_ai.tool.definitions"] = json.dumps(schema(e, type="function", parameters=EMPTY))
    if e.input is not None:
        facts |= _span_usage([e]) | {"gen_ai.response.id": f"chatcmpl-{e.id}", "gen_ai.response.model": e.model}
    if e.error:
        facts["error.type"] = e.error
    else:
        facts["gen_ai.output.messages"] = json.dumps([_part(answer) | {"finish_reason": e.finish}])
        facts["gen_ai.response.finish_reasons"] = [e.finish]
    parent = _trace(e)[-16:] if e.run else ""
    return _span((_trace(e), f"{int(e.id, 16) + 1:016x}", parent), f"chat {e.model}", e.at, e.end, facts)


def _span_usage(made: Sequence[Event]) -> dict[str, object]:
    return {
        "gen_ai.usage.input_tokens": sum(e.input or 0 for e in made),
        "gen_ai.usage.cache_read.input_tokens": sum(e.cached for e in made),
        "gen_ai.usage.cache_creation.input_tokens": sum(e.written for e in made),
        "gen_ai.usage.output_tokens": sum(e.output or 0 for e in made),
        "gen_ai.usage.reasoning.output_tokens": sum(e.reasoning for e in made),
    }


def _agent_span(run: list[Event]) -> object:
    facts = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": run[0].task, **_span_usage(run)}
    ids = (_trace(run[0]), _trace(run[0])[-16:], "")
    return _span(ids, "invoke_agent research", run[0].at, max(e.end for e in run), facts)
