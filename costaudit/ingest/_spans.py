"""Spans of any dump to requests and to the nodes that hold them together.

A span with usage is a request or restates one; `_tree` says which. A span that is a call to a model and has no usage is
an unmetered request. Everything else is a node: it links requests and lends them its context.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple

import polars as pl

from costaudit import schema
from costaudit.ingest import _convention, _prompt, _tree
from costaudit.ingest._decode import opened
from costaudit.ingest._format import Out
from costaudit.ingest._otel_names import AROUND, BARE, CALLS, EXTRAS, FACTS, METADATA, WHERE_FACTS, WHERE_USAGE
from costaudit.ingest._otel_prompt import answered, prompt_facts
from costaudit.ingest._plain import part
from costaudit.ingest._values import EARLIEST, EPOCH, LATEST, count, moment, text, usd


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
}


def collect(spans: Sequence[Span], out: Out) -> None:
    """Write spans as requests, nodes, skipped rows and rejects."""
    rows: list[dict[str, Any]] = []
    nodes: list[dict[str, Any]] = []
    for span in spans:
        try:
            made = _row(span)
        except ValueError as problem:
            out.rejects.append((span.line, str(problem)))
            continue
        if made.pop("_request"):
            rows.append(made)
        else:
            out.skipped[made.pop("_kind")] += 1
            nodes.append(made)
    out.rows(rows, ROWS)
    placed = [node for node in nodes if node["_span"] is not None]
    if placed:
        out.nodes.append(pl.DataFrame([[n.get(name) for n in placed] for name in _tree.NODES], schema=_tree.NODES))


def _row(span: Span) -> dict[str, Any]:
    """A span's columns; ValueError where a count is none."""
    attributes = span.attributes
    kind = _kind(span)
    row = _facts(span) | _stated(span.known)
    usage = _usage(attributes, kind)
    row |= {"_trace": span.trace, "_span": span.span, "_parent": span.parent}
    row["model"] = row.get("model") or row.get("model_requested")
    asked = row["model"] is not None
    called = kind in CALLS or (asked and kind not in AROUND)
    if span.attributes.get("logfire.span_type") == "pending_span":
        return {"_request": False, "_kind": "pending span", "_span": None}
    partial = not usage and any(name.startswith("gen_ai.usage.partial.") for name in attributes)
    if not usage and (partial or not called):
        label = f"span: {kind}" if kind in AROUND else "span with partial usage" if partial else "span"
        return row | {"_request": False, "_kind": label, "_label": span.name}
    row |= usage | _doubt(span, row, usage)
    row |= {
        "_request": True,
        "source_line": span.line,
        "source_offset": span.offset,
        "started_at": _time(span.start),
        "ended_at": _time(span.end),
        "parent_id": span.parent,
        "status": "error" if span.failed or row.get("error_type") else None,
        "_scope": span.scope or None,
    }
    if row.get("ttft_s") is None and row.get("_ttft_ms") is not None:
        row["ttft_s"] = row["_ttft_ms"] / 1_000
    found = prompt_facts(attributes, span.events)
    if found.get("template_sha") is None:  # else the family of its prompt names the task better than the service does
        row["_label"] = _service(span)
    if row.get("request_id") is None or found.get("finish_reason") is None:
        identity, reason = answered(attributes)
        row.setdefault("request_id", identity)
        found.setdefault("finish_reason", reason)
    return found | {name: value for name, value in row.items() if value is not None}


def _stated(known: Mapping[str, Any]) -> dict[str, Any]:
    """What a dump states outright; its counts are as strict as any."""
    return {
        name: _count(name, value) if name.endswith("_tokens") else value
        for name, value in known.items()
        if value is not None
    }


def _kind(span: Span) -> str:
    """What kind of work a span is, in one lower-case word, from whichever convention says so."""
    attributes = span.attributes
    for name in (
        "gen_ai.operation.name",
        "openinference.span.kind",
        "llm.request.type",
        "traceloop.span.kind",
        "span.type",
    ):
        value = attributes.get(name)
        if isinstance(value, str) and value:
            return value.lower()
    operation = attributes.get("ai.operationId")
    if isinstance(operation, str):
        # The outer `ai.generateText` repeats what its inner `ai.generateText.doGenerate` used.
        return "chat" if operation.rpartition(".")[2].startswith("do") else "workflow"
    return span.kind.lower()


def _facts(span: Span) -> dict[str, Any]:
    """Columns that are not counts; a value that cannot be read is as if it were absent."""
    best: dict[str, tuple[int, Any]] = {}
    for shift, attributes in ((0, span.attributes), (1_000, span.resource)):
        for name, value in attributes.items():
            place = WHERE_FACTS.get(name)
            if place is None or value is None:
                continue
            column, rank = place[0], place[1] + shift
            if column not in best or rank < best[column][0]:
                best[column] = (rank, value)
    found = {column: _read(FACTS[column][0].one, value) for column, (_, value) in best.items()}
    found |= _metadata(span.attributes, found)
    if found.get("error_type") is None:
        for name, attributes in span.events:
            if name == "exception":
                found["error_type"] = _read(text, attributes.get("exception.type"))
    if found.get("cost_logged_usd") is None:
        found["cost_logged_usd"] = _parts_of_cost(span.attributes)
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


COSTS = (
    ("gen_ai.usage.input_cost", "gen_ai.usage.output_cost"),
    ("gen_ai.cost.input", "gen_ai.cost.output"),
    ("gen_ai.cost.input_cost", "gen_ai.cost.output_cost"),
    ("litellm.cost.input_cost", "litellm.cost.output_cost"),
    ("llm.cost.prompt", "llm.cost.completion"),
)


def _parts_of_cost(attributes: Mapping[str, Any]) -> Decimal | None:
    for one, other in COSTS:
        if one in attributes:
            parts = [_read(usd, attributes.get(name)) for name in (one, other)]
            if None not in parts:
                return Decimal(sum(parts))
    gateway = _provider_metadata(attributes).get("gateway")  # of Vercel
    return _read(usd, gateway.get("cost")) if isinstance(gateway, dict) else None


def _provider_metadata(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the Vercel SDK passes on in each provider's own words."""
    said = attributes.get("ai.response.providerMetadata")
    said = opened(said) if isinstance(said, str) else said
    return said if isinstance(said, dict) else {}


# --- usage ------------------------------------------------------------------------------------------------------------


def _usage(attributes: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Counts with their convention; empty where the span has none. Raises ValueError for a value that is no count."""
    best: dict[str, tuple[int, Any]] = {}
    for name, value in attributes.items():
        place = WHERE_USAGE.get(name)
        if place is not None and value is not None and (place[0] not in best or place[1] < best[place[0]][0]):
            best[place[0]] = (place[1], value)
    found = {column: _count(column, value) for column, (_, value) in best.items()}
    if found.get("input_tokens") is None and found.get("output_tokens") is None:
        if found.get("_total") is not None and kind in ("embeddings", "embedding", "chat"):
            return {"input_tokens": found["_total"]}  # the Vercel SDK gives embeddings one figure
        return _bare(attributes)
    found |= _of_provider(attributes, found)
    extras = [
        {"class": EXTRAS[name], "quantity": Decimal(n)}
        for name in sorted(EXTRAS.keys() & attributes, key=list(EXTRAS).index)
        if attributes[name] is not None and (n := _count(name, attributes[name]))
    ]
    given, out, hidden = (found.get(name) or 0 for name in ("input_tokens", "output_tokens", "reasoning_tokens"))
    if hidden and found.get("_total") == given + out + hidden:
        found["output_tokens"] = out + hidden  # reasoning stands beside the output, as the total proves
    return found | {"extras": extras or None}


def _count(name: str, value: Any) -> int | None:
    try:
        return count(value)
    except ValueError as problem:
        raise ValueError(f"{name}: {problem}") from None


def _doubt(span: Span, row: Mapping[str, Any], usage: Mapping[str, Any]) -> dict[str, Any]:
    """The documented reading of writers that pass a provider's counts on: Anthropic's input leaves the cache out."""
    claude = any(name in str(row.get("provider")).lower() for name in ("anthropic", "bedrock"))
    if "_reading" not in usage or not claude:
        return {}
    if span.scope.lower().startswith("openlit"):
        return {"_reading": "beside"}
    return {"_reading": "unknown"} if span.resource.get("service.name") == "portkey" else {}


def _bare(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The usage of Claude Code's own spans and events: names without a prefix, cache beside the input."""
    if "model" not in attributes or "input_tokens" not in attributes:
        return {}
    found = {
        column: _count(name, attributes[name]) for column, name in BARE.items() if attributes.get(name) is not None
    }
    cached = (found.get("cache_read_tokens") or 0) + (found.get("cache_write_tokens") or 0)
    asked = text(attributes.get("request_id"))
    identity = {"_key": f"claude-code {asked}"} if asked else {}
    return found | identity | {"input_tokens": (found.get("input_tokens") or 0) + cached}


def _of_provider(attributes: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Cache counts that the Vercel SDK before version 6 gives in the provider's own words only.

    The input beside them is the provider's too: that of Anthropic's models leaves the cache out.
    """
    said = _provider_metadata(attributes)
    if not said:
        return {"_reading": "inside"}
    anthropic, bedrock, openai = (part(said, name) for name in ("anthropic", "bedrock", "openai"))
    usage, converse = part(anthropic, "usage"), part(bedrock, "usage")
    more = {
        "cache_write_tokens": _known(
            anthropic.get("cacheCreationInputTokens"),
            usage.get("cache_creation_input_tokens"),
            converse.get("cacheWriteInputTokens"),
        ),
        "cache_read_tokens": _known(
            anthropic.get("cacheReadInputTokens"),
            usage.get("cache_read_input_tokens"),
            converse.get("cacheReadInputTokens"),
            openai.get("cachedPromptTokens"),
        ),
        "reasoning_tokens": openai.get("reasoningTokens"),
        "_uncached": usage.get("input_tokens"),
    }
    made: dict[str, Any] = {
        name: _count(name, value) for name, value in more.items() if value is not None and found.get(name) is None
    }
    beside = not openai and ("cache_read_tokens" in made or "cache_write_tokens" in made)
    return made | {"_reading": "beside" if beside else "inside"}


def _known(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


# --- identity and time ------------------------------------------------------------------------------------------------


def listed(value: Any) -> list[Any]:
    """A list as it is; whatever is none holds nothing."""
    return value if isinstance(value, list) else []


def hex_id(value: Any, width: int) -> str | None:
    """An id in lower hex, however the dump writes it: hex, `0x…`, base64, or a whole number. `width` in digits."""
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


def _time(value: Any) -> datetime | None:
    """The time of a span; one that cannot be read is as if it were absent, for the usage is still right."""
    if type(value) is str and len(value) == NANOSECONDS and value.isdigit():
        when = EPOCH + timedelta(microseconds=int(value) // 1_000)
        return when if EARLIEST <= when < LATEST else None
    return None if value is None else _read(moment, value)


def _service(span: Span) -> str | None:
    name = text(span.resource.get("service.name"))
    return None if name is None or name.startswith("unknown_service") else name
