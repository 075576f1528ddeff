"""Traces of the OpenAI Agents SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from costaudit.ingest import _tree
from costaudit.ingest._counts import Names, spent, tokens
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._messages import encoded
from costaudit.ingest._plain import PlainReader, objects, part, soft, when
from costaudit.ingest._prompt import facts
from costaudit.ingest._values import count, number, text

NAMES = Names(
    ("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens"), ("cached_tokens", "cached_input_tokens"),
    ("cache_write_tokens", "cache_write_input_tokens"), ("reasoning_tokens",), inside=True,
)  # fmt: skip
CALLS = ("generation", "response")
SUMS = ("task", "turn")


class OpenAIAgents(Format):
    """Traces and spans of the OpenAI Agents SDK, as `export()` gives them to a processor of one's own.

    ## Where
    Wherever the processor writes them: one `trace.span` or `trace` a line, a list of them, or the body that the SDK
    sends (`{"data": [...]}`).
    ## What it knows
    Tokens of each call with cache and reasoning, the model of calls to Chat Completions, agents, errors, how long each
    took. A run is a trace; the agent is the task.
    ## Traps
    Spans of tasks and turns restate the calls below them. Cached input stands inside the input, reasoning inside the
    output. The id of a response is OpenAI's: another log of it is the same call.
    ## Limits
    Spans of the Responses API (the SDK's default) do not name their model: without a log of the responses beside them
    they are unpriced. Older versions left their counts out too: such calls are unmetered.
    """

    name = "openai-agents"
    title = "OpenAI Agents SDK traces"

    def recognises(self, record: Mapping[str, Any]) -> int:
        if _kind(record):
            return 95
        listed = record.get("data")
        items = objects(listed)
        return 95 if items and all(_kind(item) for item in items[:3]) else 0


def _kind(value: Mapping[str, Any]) -> str:
    """Whether an object is a trace or a span of one; "" where it is neither."""
    if isinstance(value.get("span_data"), Mapping):
        return "span" if value.get("object") == "trace.span" else ""
    return "trace" if "workflow_name" in value and value.get("object") == "trace" else ""


@OpenAIAgents.read_by
class _Reader(PlainReader):
    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self.nodes: list[dict[str, Any]] = []
        self.traces: dict[str | None, Mapping[str, Any]] = {}

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        listed = [value] if _kind(value) else value.get("data")
        if not isinstance(listed, list) or not any(isinstance(item, Mapping) and _kind(item) for item in listed):
            out.foreign.append(record)
            return
        out.extra_lines += len(listed) - 1
        for item in listed:
            kind = _kind(item) if isinstance(item, Mapping) else ""
            if kind == "span":
                self._span(item, record, out)
            elif kind == "trace":
                self.traces[text(item.get("id"))] = item
                out.skipped["trace"] += 1
            else:
                out.rejects.append((record.line, "not a span"))

    def end(self, out: Out) -> None:
        for row in (*self.rows, *self.nodes):
            trace = self.traces.get(row["_trace"], {})
            row["_label"] = row["_label"] or (text(trace.get("workflow_name")) if row["_parent"] is None else None)
            told = part(trace, "metadata")
            row |= {name: found for name in ("tenant", "user", "environment") if (found := text(told.get(name)))}
        if self.nodes:
            out.nodes.append(pl.DataFrame([[n.get(c) for n in self.nodes] for c in _tree.NODES], schema=_tree.NODES))

    def _span(self, span: Mapping[str, Any], record: Record, out: Out) -> None:
        data = part(span, "span_data")
        kind = text(data.get("type"))
        inner = part(data, "data") if kind == "custom" and data.get("name") in SUMS else data
        place = {
            "_trace": text(span.get("trace_id")),
            "_span": text(span.get("id")),
            "_parent": text(span.get("parent_id")),
            "_label": None if kind in CALLS else text(inner.get("agent_name")) or text(inner.get("name")),
        }
        try:
            usage = _usage(part(inner, "usage"))
        except ValueError as problem:
            out.refuse(record.line, problem)
            return
        if kind not in CALLS and not usage:
            self.nodes.append(place | {"task": text(data.get("name")) if kind == "agent" else None})
            out.skipped[f"span: {kind}"[:60]] += 1
            return
        self.add(record, **_call(span, data), summed=kind not in CALLS or None, **place, **usage)


def _usage(said: Mapping[str, Any]) -> dict[str, int]:
    details = {**part(said, "input_tokens_details"), **part(said, "output_tokens_details")}
    found = tokens({**details, **said}, NAMES)
    return found if spent(found) else {}  # of an answer without usage the SDK writes a usage of zeros


def _call(span: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """What a span says of its call besides counts."""
    config, error = part(data, "model_config"), span.get("error")
    given, said = data.get("input"), data.get("output")
    known: dict[str, Any] = {}
    if isinstance(given, list) and given:
        answer = encoded([{"message": m} for m in said]) if isinstance(said, list) and said else None
        known = facts(encoded(given), None, None, None, (), answer)
    return known | {
        "request_id": text(data.get("response_id")),
        "started_at": when(span.get("started_at")),
        "ended_at": when(span.get("ended_at")),
        "model": text(data.get("model")),
        "temperature": soft(number, config.get("temperature")),
        "max_tokens": soft(count, config.get("max_tokens")),
        "status": "error" if error else None,
        "error_type": text(part(span, "error").get("message")),
    }
