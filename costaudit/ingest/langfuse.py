"""Observations and traces as Langfuse exports them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import polars as pl

from costaudit import schema
from costaudit.ingest import _convention, _prompt, _tree
from costaudit.ingest._decode import unfolded, unwrapped
from costaudit.ingest._detect import elsewhere
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import FileReader, Format, Found, Out, loaded
from costaudit.ingest._otel_names import METADATA
from costaudit.ingest._otel_prompt import prompt_facts
from costaudit.ingest._plain import soft, when
from costaudit.ingest._values import count, counted, number, text, usd

CALLS = ("GENERATION", "EMBEDDING")
READS = (
    "input_cached_tokens",
    "input_cache_read",
    "cache_read_input_tokens",
    "prompt_details.cache_read",
    "input_cache_read_tokens",
)
WRITES = (
    "input_cache_creation",
    "cache_creation_input_tokens",
    "input_cache_write",
    "input_cache_creation_tokens",
    "prompt_details.cache_write",
)
SHORT, LONG = "input_cache_creation_5m", "input_cache_creation_1h"
HIDDEN = ("output_reasoning_tokens", "output_reasoning", "completion_details.reasoning")
SOUND = {"input_audio": "input_audio", "input_audio_tokens": "input_audio", "output_audio": "output_audio",
         "output_audio_tokens": "output_audio", "prompt_details.audio": "input_audio",
         "completion_details.audio": "output_audio"}  # fmt: skip


class Langfuse(Format):
    """Langfuse observations: trace downloads, table exports, pages of its interface, blob storage.

    ## Where
    Downloads of a trace (`trace` and `observations` in one document), batch exports and blob storage exports as JSON,
    JSON lines, CSV or Parquet, in camelCase or snake_case. Export the observations: traces have no usage.
    ## What it knows
    Usage by kind, model, prompt name, session, user, environment, logged cost, prompts and answers.
    ## Traps
    Observations nest: a framework's generation around an SDK's generation restates it. Usage is meant to be split
    without overlap, and older rows are not: the total decides. Where a call came without usage Langfuse counts its
    text; such counts are marked as estimates. Rows at the border of two exports stand in both.
    ## Limits
    Older blob exports keep user and session on the trace only: export both tables.
    """

    name = "langfuse"
    title = "Langfuse exports"

    def recognises(self, record: Mapping[str, Any]) -> int:
        below = record.get("observations")
        if isinstance(below, list) and isinstance(record.get("trace"), Mapping):
            return 95
        if _is_observation(record):
            return 92
        inside = record.get("data")
        if isinstance(inside, list) and inside and all(isinstance(i, Mapping) for i in inside[:3]):
            return 92 if all(_is_observation(i) or _is_trace(i) for i in inside[:3]) else 0
        if isinstance(below, list) and below and all(isinstance(i, Mapping) and _is_observation(i) for i in below[:3]):
            return 92
        return 70 if _is_trace(record) else 0

    def reader(self, file: LogFile, found: Found) -> FileReader:
        del file, found  # exports are never wrapped
        return _Reader(self)


def _is_observation(record: Mapping[str, Any]) -> bool:
    return ("traceId" in record and ("usageDetails" in record or "parentObservationId" in record)) or (
        "trace_id" in record and ("usage_details" in record or "parent_observation_id" in record)
    )


def _is_trace(record: Mapping[str, Any]) -> bool:
    return (
        "timestamp" in record
        and ("sessionId" in record or "session_id" in record)
        and ("userId" in record or "user_id" in record)
        and ("bookmarked" in record or "release" in record)
        and "type" not in record
    )


ROWS: dict[str, Any] = {
    **schema.REQUESTS,
    **_prompt.COLUMNS,
    **_convention.COLUMNS,
    **dict.fromkeys((*_tree.PLACE, "_label"), pl.String()),
    "_calls": pl.Boolean(),
    "_rank": pl.Int64(),
}


class _Reader:
    """Reads observations and traces, alone or in containers; one bad observation costs one observation."""

    def __init__(self, form: Format) -> None:
        self.form = form

    def feed(self, records: Sequence[Record], out: Out) -> None:
        rows: list[dict[str, Any]] = []
        nodes: list[dict[str, Any]] = []
        for record, value in loaded(records, out):
            items = [] if elsewhere(self.form, value, value) else list(_items(value))
            if not items:
                out.foreign.append(record)
            out.extra_lines += max(0, len(items) - 1)
            for item in items:
                self._item(item, record, rows, nodes, out)
        out.rows(rows, ROWS)
        if nodes:
            out.nodes.append(pl.DataFrame([[n.get(c) for n in nodes] for c in _tree.NODES], schema=_tree.NODES))

    def close(self, out: Out) -> None:
        """Nothing is held back between records."""

    def _item(
        self, item: Any, record: Record, rows: list[dict[str, Any]], nodes: list[dict[str, Any]], out: Out
    ) -> None:
        if isinstance(item, _Trace):
            nodes.append(_trace(item.said))
            out.skipped["trace"] += 1
            return
        if not isinstance(item, Mapping) or not _is_observation(item):
            out.rejects.append((record.line, "not an observation"))
            return
        kind = (text(item.get("type")) or "").upper()
        try:
            usage = _usage(item)
        except ValueError as problem:
            out.refuse(record.line, problem)
            return
        if usage or kind in CALLS:
            rows.append(_observation(item, record) | usage)
        else:
            nodes.append(_context(item))
            out.skipped[f"observation: {kind.lower()}"[:60]] += 1


class _Trace(NamedTuple):
    """What is a trace, by what it says or by where it stands."""

    said: Mapping[str, Any]


def _items(value: Any) -> Iterator[Any]:
    """Traces and observations, also those inside a trace, of which a list of traces has only the ids."""
    if not isinstance(value, Mapping) or _is_observation(value):
        yield value
        return
    above = value.get("trace")
    below = value.get("observations")
    if isinstance(above, Mapping) or _is_trace(value) or (isinstance(below, list) and "id" in value):
        yield _Trace(above if isinstance(above, Mapping) else value)
    yield from (item for item in below if not isinstance(item, str)) if isinstance(below, list) else ()
    for item in value["data"] if isinstance(value.get("data"), list) else ():
        yield from _items(item)


def _get(item: Mapping[str, Any], camel: str, snake: str) -> Any:
    value = item.get(camel)
    return item.get(snake) if value is None else value


def _context(item: Mapping[str, Any]) -> dict[str, Any]:
    """What every observation says about where it stands and for whom it works."""
    trace = text(_get(item, "traceId", "trace_id"))
    said = unfolded(item.get("metadata"))
    kind = (text(item.get("type")) or "").upper()
    known: dict[str, Any] = {
        "_trace": trace,
        "_span": text(item.get("id")),
        "_calls": {**dict.fromkeys(CALLS, True), "TOOL": False}.get(kind),
        "_parent": text(_get(item, "parentObservationId", "parent_observation_id")) or f"trace {trace}",
        "task": text(_get(item, "promptName", "prompt_name")) or text(_get(item, "traceName", "trace_name")),
        "user": text(_get(item, "userId", "user_id")),
        "run_id": text(_get(item, "sessionId", "session_id")),
        "environment": text(item.get("environment")),
        "key_id": text(_get(item, "projectId", "project_id")),
        "model": text(item.get("model")) or text(item.get("provided_model_name")),
    }
    if isinstance(said, Mapping):
        for column, names in METADATA.items():
            if known.get(column) is None:
                known[column] = next((v for name in names if (v := text(said.get(name))) is not None), None)
    return known


def _trace(item: Mapping[str, Any]) -> dict[str, Any]:
    known = _context(item)
    identity = text(item.get("id"))
    return known | {
        "_trace": identity,
        "_span": f"trace {identity}",
        "_parent": None,
        "task": known["task"] or text(item.get("name")),
    }


def _observation(item: Mapping[str, Any], record: Record) -> dict[str, Any]:
    known = _context(item)
    asked = unfolded(_get(item, "modelParameters", "model_parameters"))
    asked = asked if isinstance(asked, Mapping) else {}
    found = prompt_facts(_texts(item), ())
    made = {
        "source_line": record.line,
        "source_offset": record.offset,
        "started_at": when(_get(item, "startTime", "start_time")),
        "ended_at": when(_get(item, "endTime", "end_time")),
        "ttft_s": soft(number, _get(item, "timeToFirstToken", "time_to_first_token")),
        "parent_id": text(_get(item, "parentObservationId", "parent_observation_id")),
        "temperature": soft(number, asked.get("temperature")),
        "max_tokens": soft(count, asked.get("max_completion_tokens", asked.get("max_tokens"))),
        "reasoning_effort": text(asked.get("reasoning_effort")),
        "status": "error" if text(item.get("level")) == "ERROR" else None,
        "cost_logged_usd": soft(usd, _get(item, "totalCost", "total_cost")),
        "_rank": _version(item),
        "_label": text(item.get("name")),
    }
    return found | known | {name: value for name, value in made.items() if value is not None}


def _texts(item: Mapping[str, Any]) -> dict[str, Any]:
    """Input and output in the words of the OpenTelemetry conventions."""
    given, said = (unwrapped(item.get(name)) for name in ("input", "output"))
    if isinstance(given, Mapping):
        given = given.get("messages", given.get("input", given.get("contents")))
    if isinstance(said, Mapping):
        said = [said.get("message", said)]
    elif isinstance(said, str) and said:
        said = [{"role": "assistant", "content": said}]
    tools = unwrapped(_get(item, "toolDefinitions", "tool_definitions"))
    return {"gen_ai.input.messages": given, "gen_ai.output.messages": said, "gen_ai.tool.definitions": tools}


def _usage(item: Mapping[str, Any]) -> dict[str, Any]:
    """Inclusive counts of an observation; empty where it has none. Raises ValueError for what is no count."""
    details = unwrapped(_get(item, "usageDetails", "usage_details"))
    details = details if isinstance(details, Mapping) and details else _older(item)
    parts = {str(name): n for name, value in details.items() if value is not None and (n := count(value)) is not None}
    total = parts.pop("total", None)
    if not any(parts.values()):
        given, said = (counted(value) for value in (item.get("inputUsage"), item.get("outputUsage")))
        if not given and not said:
            return {}
        parts, total = {"input": given, "output": said}, None
    read = sum(parts.get(name, 0) for name in READS)
    write = sum(parts.get(name, 0) for name in (*WRITES, SHORT, LONG))
    hidden = sum(parts.get(name, 0) for name in HIDDEN)
    given, said = parts.get("input", 0), parts.get("output", 0)
    sums = {side: sum(n for name, n in parts.items() if _side(name) == side) for side in ("input", "output")}
    inside = given + said == total and sum(sums.values()) != total
    proved = inside or sum(sums.values()) == total or sums == {"input": given, "output": said}
    extras: dict[str, int] = {}
    for name, kind in SOUND.items():
        extras[kind] = extras.get(kind, 0) + parts.get(name, 0)
    return {
        "input_tokens": given if inside else sums["input"],
        "output_tokens": said if inside else sums["output"],
        "cache_read_tokens": read,
        "cache_write_tokens": write,
        "cache_write_5m_tokens": parts.get(SHORT),
        "cache_write_1h_tokens": parts.get(LONG),
        "reasoning_tokens": hidden,
        "extras": [{"class": kind, "quantity": Decimal(n)} for kind, n in sorted(extras.items()) if n] or None,
        "convention": None if proved else "assumed",  # split without overlap, as Langfuse documents it
        "usage_source": "tokenizer" if _inferred(item) else None,
    }


def _older(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """What versions before `usageDetails` say of a call, unless it is no tokens that they count."""
    said = unwrapped(item.get("usage"))
    said = said if isinstance(said, Mapping) else {}
    if (text(said.get("unit")) or "TOKENS").upper() != "TOKENS":
        return {}
    return {
        side: said.get(side, item.get(name))
        for side, name in (("input", "promptTokens"), ("output", "completionTokens"), ("total", "totalTokens"))
    }


def _side(name: str) -> str:
    """Which total a usage key belongs to; keys of neither are quantities Langfuse does not add either."""
    if "input" in name or name.startswith("prompt"):
        return "input"
    return "output" if "output" in name or name.startswith("completion") else ""


def _inferred(item: Mapping[str, Any]) -> bool:
    """Whether Langfuse counted the text itself: the span it was given says nothing about tokens."""
    given = _get(item, "providedUsageDetails", "provided_usage_details")
    if isinstance(given := unwrapped(given), Mapping):
        return not given
    said = unwrapped(item.get("metadata"))
    attributes = unwrapped(said.get("attributes")) if isinstance(said, Mapping) else None
    if not isinstance(attributes, Mapping):
        return False
    return not any("usage" in str(name) or "token_count" in str(name) for name in attributes)


def _version(item: Mapping[str, Any]) -> int | None:
    at = when(_get(item, "updatedAt", "updated_at"))
    return None if at is None else int(at.timestamp())
