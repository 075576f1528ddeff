"""Which columns the attributes of a span can fill, found once for each set of names; and what it used.

Few sets of names are in use in a log, and many spans have each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any

import msgspec

from costaudit.ingest._decode import opened
from costaudit.ingest._limits import MOST_TOKENS
from costaudit.ingest._otel_names import BARE, EXTRAS, FACTS, WHERE_FACTS, WHERE_USAGE
from costaudit.ingest._plain import part
from costaudit.ingest._values import count, text

KINDS = (
    "gen_ai.operation.name",
    "openinference.span.kind",
    "llm.request.type",
    "traceloop.span.kind",
    "span.type",
)
COSTS = (
    ("gen_ai.usage.input_cost", "gen_ai.usage.output_cost"),
    ("gen_ai.cost.input", "gen_ai.cost.output"),
    ("gen_ai.cost.input_cost", "gen_ai.cost.output_cost"),
    ("litellm.cost.input_cost", "litellm.cost.output_cost"),
    ("llm.cost.prompt", "llm.cost.completion"),
)
ATTACHED = ("metadata", "llm.invocation_parameters")
PROVIDER = "ai.response.providerMetadata"
INSIDE = {"_reading": "inside"}
VECTORS = ("embeddings", "embedding")

PARTIAL = "gen_ai.usage.partial."  # of a stream, so far

Places = tuple[tuple[str, Any, tuple[str, ...]], ...]


class Shape(msgspec.Struct, frozen=True, gc=False):
    """Which columns the names of a span's attributes can fill; of several names the first that has a value does."""

    facts: Places  # column, reader, attributes
    usage: Places
    kinds: tuple[str, ...]
    costs: tuple[tuple[str, str], ...]
    extras: tuple[str, ...]
    partial: bool
    attached: bool  # there may be JSON text that says more
    passed: bool  # there may be what a provider said in its own words


@lru_cache(maxsize=4_096)
def shape_of(names: tuple[str, ...]) -> Shape:
    """The shape of spans with attributes of these names, in this order."""
    have = set(names)
    return Shape(
        _places(WHERE_FACTS, names, lambda column: FACTS[column][0].one),
        _places(WHERE_USAGE, names, lambda column: partial(counted, column)),
        tuple([name for name in KINDS if name in have]),
        tuple([pair for pair in COSTS if pair[0] in have]),
        tuple([name for name in EXTRAS if name in have]),
        partial=any(name.startswith(PARTIAL) for name in names),
        attached=not have.isdisjoint(ATTACHED),
        passed=PROVIDER in have,
    )


def _places(where: Mapping[str, tuple[str, int]], names: Sequence[str], read: Callable[[str], Any]) -> Places:
    found: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        if name in where:
            column, rank = where[name]
            found.setdefault(column, []).append((rank, name))
    return tuple([(column, read(column), tuple([n for _, n in sorted(ranked)])) for column, ranked in found.items()])


def usage(attributes: Mapping[str, Any], kind: str, shape: Shape) -> dict[str, Any]:
    """Counts with their convention; empty where the span has none. Raises ValueError for a value that is no count."""
    found: dict[str, Any] = {}
    for column, read, names in shape.usage:
        for name in names:
            if (value := attributes[name]) is not None:
                found[column] = value if type(value) is int and 0 <= value <= MOST_TOKENS else read(value)
                break
    if found.get("input_tokens") is None and found.get("output_tokens") is None:
        if found.get("_total") is not None and (kind in VECTORS or "ai.usage.tokens" in attributes):
            return {"input_tokens": found["_total"]}  # the Vercel SDK gives embeddings one figure
        return _bare(attributes)
    found |= _of_provider(attributes, found) if shape.passed else INSIDE
    if hidden := found.get("reasoning_tokens"):
        given, out = found.get("input_tokens") or 0, found.get("output_tokens") or 0
        if found.get("_total") == given + out + hidden:
            found["output_tokens"] = out + hidden  # reasoning stands beside the output, as the total proves
    extras = [
        {"class": EXTRAS[name], "quantity": Decimal(n)}
        for name in shape.extras
        if attributes[name] is not None and (n := counted(name, attributes[name]))
    ]
    if extras:
        found["extras"] = extras
    return found


def counted(name: str, value: Any) -> int | None:
    """A token count; the error of what is none says of what."""
    try:
        return count(value)
    except ValueError as problem:
        raise ValueError(f"{name}: {problem}") from None


def _bare(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The usage of Claude Code's own spans and events: names without a prefix, cache beside the input."""
    if "model" not in attributes or "input_tokens" not in attributes:
        return {}
    found = {
        column: counted(name, attributes[name]) for column, name in BARE.items() if attributes.get(name) is not None
    }
    cached = (found.get("cache_read_tokens") or 0) + (found.get("cache_write_tokens") or 0)
    asked = text(attributes.get("request_id"))
    identity = {"_key": f"claude-code {asked}"} if asked else {}
    return found | identity | {"input_tokens": (found.get("input_tokens") or 0) + cached}


def _of_provider(attributes: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Cache counts that the Vercel SDK before version 6 gives in the provider's own words only.

    The input beside them is the provider's too: that of Anthropic's models leaves the cache out.
    """
    said = provider_said(attributes)
    if not said:
        return INSIDE
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
        name: counted(name, value) for name, value in more.items() if value is not None and found.get(name) is None
    }
    beside = not openai and ("cache_read_tokens" in made or "cache_write_tokens" in made)
    return made | {"_reading": "beside" if beside else "inside"}


def _known(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def provider_said(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the Vercel SDK passes on in each provider's own words."""
    said = attributes.get(PROVIDER)
    said = opened(said) if isinstance(said, str) else said
    return said if isinstance(said, dict) else {}
