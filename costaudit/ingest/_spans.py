"""Spans of any dump to requests and to the nodes that hold them together.

A span with usage is a request or restates one; `_tree` says which. A span that is a call to a model and has no usage is
an unmetered request. Everything else is a node: it links requests and lends them its context.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import polars as pl

from costaudit import schema
from costaudit.ingest import _convention, _prompt, _tree
from costaudit.ingest._decode import opened
from costaudit.ingest._format import Out
from costaudit.ingest._limits import MOST_TEXT
from costaudit.ingest._otel_names import AROUND, CALLS, FACTS, METADATA, TOOLS
from costaudit.ingest._otel_prompt import answered, has_text, prompt_facts
from costaudit.ingest._span_usage import Shape, counted, provider_said, shape_of
from costaudit.ingest._span_usage import usage as usage_of
from costaudit.ingest._values import EARLIEST, EPOCH, LATEST, moment, text, usd


class Span(NamedTuple):
    """A span with its attributes flat, as every dump can give it."""

    line: int
    offset: int
    trace: str | None
    span: str | None
    parent: str | None
    name: str | None
    start: Any
    end: Any
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]
    scope: str  # instrumentation and its version
    failed: bool
    events: Sequence[tuple[str, Mapping[str, Any]]] = ()  # name and attributes
    kind: str = ""  # what the dump itself says a span is, where it says so beside the attributes
    known: Mapping[str, Any] = MappingProxyType({})  # columns of the request table that the dump states outright


NANOSECONDS = 19  # digits of a Unix time of this century


ROWS: dict[str, Any] = {
    **schema.REQUESTS,
    **_prompt.COLUMNS,
    **_convention.COLUMNS,
    **dict.fromkeys((*_tree.PLACE, "_label", "_key", "_also"), pl.String()),
    "_latency_ms": pl.Float64(),
    "_rank": pl.Int64(),
    "_calls": pl.Boolean(),
}


class Collected:
    """What spans make: requests, nodes, skipped rows and rejects. Their texts are let go of one by one.

    told  whether it is wanted what prompts and answers say, and what they name: reasons, families, tasks
    """

    def __init__(self, *, told: bool = True) -> None:
        self.told = told
        self.rows: list[dict[str, Any]] = []
        self.nodes: list[dict[str, Any]] = []
        self.resource: Mapping[str, Any] = {}
        self.lent: Mapping[str, Any] = {}

    def __len__(self) -> int:
        return len(self.rows) + len(self.nodes)

    def add(self, spans: Iterable[Span], out: Out) -> None:
        for span in spans:
            if span.resource is not self.resource:  # many spans have the same
                self.resource, self.lent = span.resource, _known(span.resource, shape_of(tuple(span.resource)))
            try:
                row, kind = _row(span, self.lent, told=self.told)
            except ValueError as problem:
                out.rejects.append((span.line, str(problem)))
                continue
            if kind is None:
                self.rows.append(row)
            else:
                out.skipped[kind] += 1
                if row.get("_span") is not None:
                    self.nodes.append(row)

    def frame(self, out: Out) -> None:
        """Hand over what there is."""
        out.rows(self.rows, ROWS)
        if self.nodes:
            cells = [[node.get(name) for node in self.nodes] for name in _tree.NODES]
            out.nodes.append(pl.DataFrame(cells, schema=_tree.NODES))
        self.rows, self.nodes = [], []


def collect(spans: Iterable[Span], out: Out) -> None:
    """Write spans as requests, nodes, skipped rows and rejects."""
    collected = Collected()
    collected.add(spans, out)
    collected.frame(out)


def _row(span: Span, lent: Mapping[str, Any], *, told: bool) -> tuple[dict[str, Any], str | None]:
    """A span's columns, and what it is if it is no request; ValueError where a count is none.

    lent  what its resource says
    """
    attributes = span.attributes
    shape = shape_of(tuple(attributes))
    kind = _kind(span, shape)
    row = _facts(span, shape, lent)
    if span.known:
        row |= _stated(span.known)
    usage = usage_of(attributes, kind, shape)
    row["_trace"], row["_span"], row["_parent"] = span.trace, span.span, span.parent
    if kind in CALLS or kind in TOOLS:
        row["_calls"] = kind in CALLS
    row["model"] = row.get("model") or row.get("model_requested")
    asked = row["model"] is not None
    called = kind in CALLS or (asked and kind not in AROUND)
    if attributes.get("logfire.span_type") == "pending_span":
        return {}, "pending span"
    if not usage and (shape.partial or not called):
        row["_label"] = span.name
        return row, f"span: {kind}" if kind in AROUND else "span with partial usage" if shape.partial else "span"
    row |= usage
    row |= _doubt(span, row, usage)
    row["source_line"], row["source_offset"] = span.line, span.offset
    row["started_at"], row["ended_at"] = _time(span.start), _time(span.end)
    row["parent_id"], row["_scope"] = span.parent, span.scope or None
    row["status"] = "error" if span.failed or row.get("error_type") else None
    if row.get("ttft_s") is None and row.get("_ttft_ms") is not None:
        row["ttft_s"] = row["_ttft_ms"] / 1_000
    found: dict[str, Any] = (
        prompt_facts(attributes, span.events) if told else {"has_text": has_text(attributes, span.events)}
    )
    if told and found.get("template_sha") is None:  # else the prompt's family names the task better than the service
        row["_label"] = _service(span)
    if row.get("request_id") is None or (told and found.get("finish_reason") is None):
        identity, reason = answered(attributes)
        row.setdefault("request_id", identity)
        found.setdefault("finish_reason", reason)
    for name, value in found.items():
        if row.get(name) is None:
            row[name] = value
    return row, None


def _stated(known: Mapping[str, Any]) -> dict[str, Any]:
    """What a dump states outright; its counts are as strict as any."""
    return {
        name: counted(name, value) if name.endswith("_tokens") else value
        for name, value in known.items()
        if value is not None
    }


def _kind(span: Span, shape: Shape) -> str:
    """What kind of work a span is, in one lower-case word, from whichever convention says so."""
    attributes = span.attributes
    for name in shape.kinds:
        value = attributes[name]
        if isinstance(value, str) and value:
            return value.lower()
    operation = attributes.get("ai.operationId")
    if isinstance(operation, str):
        # The outer `ai.generateText` repeats what its inner `ai.generateText.doGenerate` used.
        last = operation.rpartition(".")[2]
        return "chat" if last.startswith("do") else "tool" if last == "toolCall" else "workflow"
    return span.kind.lower()


def _facts(span: Span, shape: Shape, lent: Mapping[str, Any]) -> dict[str, Any]:
    """Columns that are not counts, of the span or else of its resource."""
    found = {**lent, **_known(span.attributes, shape)}
    if shape.attached:
        found |= _metadata(span.attributes, found)
    if span.events and found.get("error_type") is None:
        for name, attributes in span.events:
            if name == "exception":
                found["error_type"] = _read(text, attributes.get("exception.type"))
    if (shape.costs or shape.passed) and found.get("cost_logged_usd") is None:
        found["cost_logged_usd"] = _parts_of_cost(span.attributes, shape)
    return found


def _known(attributes: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    """What attributes say beside counts; a value that cannot be read is as if it were absent."""
    found: dict[str, Any] = {}
    for column, one, names in shape.facts:
        for name in names:
            if (value := attributes[name]) is not None:
                plain = one is text and type(value) is str and 0 < len(value) <= MOST_TEXT  # as most are
                found[column] = value if plain else _read(one, value)
                break
    return found


def _read(one: Any, value: Any) -> Any:
    try:
        return one(value)
    except (ValueError, OverflowError, TypeError):
        return None


def _metadata(attributes: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """What the caller attached as JSON text, and the parameters of the call as JSON text."""
    more: dict[str, Any] = {}
    said = attributes.get("metadata")
    said = opened(said) if isinstance(said, str) else said
    if isinstance(said, dict):
        for column, names in METADATA.items():
            if found.get(column) is None:
                more[column] = next((v for name in names if (v := text(said.get(name))) is not None), None)
    asked = attributes.get("llm.invocation_parameters")
    asked = opened(asked) if isinstance(asked, str) else asked
    if isinstance(asked, dict):
        for column, names in {
            "model_requested": ("model",),
            "temperature": ("temperature",),
            "max_tokens": ("max_completion_tokens", "max_tokens"),
            "reasoning_effort": ("reasoning_effort",),
            "streamed": ("stream",),
        }.items():
            if found.get(column) is None:
                one = FACTS[column][0].one
                more[column] = next((_read(one, asked[name]) for name in names if asked.get(name) is not None), None)
    return more


def _parts_of_cost(attributes: Mapping[str, Any], shape: Shape) -> Decimal | None:
    for pair in shape.costs:
        parts = [_read(usd, attributes.get(name)) for name in pair]
        if None not in parts:
            return Decimal(sum(parts))
    gateway = provider_said(attributes).get("gateway")  # of Vercel
    return _read(usd, gateway.get("cost")) if isinstance(gateway, dict) else None


def _doubt(span: Span, row: Mapping[str, Any], usage: Mapping[str, Any]) -> dict[str, Any]:
    """The documented reading of writers that pass a provider's counts on: Anthropic's input leaves the cache out."""
    if "_reading" not in usage:
        return {}
    if (said := span.known.get("_reading")) is not None:
        return {"_reading": said}
    if not _is_of_claude(row.get("provider")):
        return {}
    if span.scope.lower().startswith("openlit"):
        return {"_reading": "beside"}
    return {"_reading": "unknown"} if span.resource.get("service.name") == "portkey" else {}


@lru_cache(maxsize=1_024)  # providers are few
def _is_of_claude(provider: str | None) -> bool:
    return any(name in str(provider).lower() for name in ("anthropic", "bedrock"))


# --- identity and time ------------------------------------------------------------------------------------------------


def listed(value: Any) -> list[Any]:
    """A list as it is; whatever is none holds nothing."""
    return value if isinstance(value, list) else []


_HEX = re.compile(r"0*[1-9a-f][0-9a-f]*\Z").match


def hex_id(value: Any, width: int) -> str | None:
    """An id in lower hex, however the dump writes it: hex, `0x…`, base64, or a whole number. `width` in digits."""
    if type(value) is str and len(value) == width and _HEX(value):
        return value
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return f"{value:0{width}x}" if value > 0 else None
    if not isinstance(value, str):
        return None
    given = value.strip().lower().removeprefix("0x")
    if not given.strip("0"):
        return None  # the id of no span
    if len(given) == width:
        return given
    if given.isdigit() and len(given) < 40:
        return f"{int(given):0{width}x}"
    if value.endswith("=") and len(value) < 30:
        try:
            return base64.b64decode(value, validate=True).hex()
        except (binascii.Error, ValueError):
            return given
    return given[:200]


def _time(value: Any) -> datetime | int | None:
    """The time of a span, also in microseconds; one that cannot be read is as if it were absent, for the usage is still
    right."""
    if type(value) is str and len(value) == NANOSECONDS and value.isdecimal():
        micros = int(value) // 1_000
        return micros if FIRST <= micros < LAST else None
    return None if value is None else _read(moment, value)


FIRST, LAST = ((limit - EPOCH) // timedelta(microseconds=1) for limit in (EARLIEST, LATEST))


def _service(span: Span) -> str | None:
    name = text(span.resource.get("service.name"))
    return None if name is None or name.startswith("unknown_service") else name
