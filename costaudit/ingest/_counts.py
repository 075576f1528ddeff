"""Token counts of coding agents -> the inclusive columns of the request table, by where a format keeps its parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from costaudit.ingest._values import count


class Names(NamedTuple):
    """How a format spells its counts, the first spelling that has a value wins, and how they relate.

    inside   cached input, read and written, stands inside the input
    beside   reasoning stands beside the output
    """

    input: tuple[str, ...]
    output: tuple[str, ...]
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    inside: bool = False
    beside: bool = False


CAMEL = Names(
    ("inputTokens",), ("outputTokens",), ("cacheReadTokens", "cachedReadTokens"),
    ("cacheWriteTokens", "cacheCreationTokens"), ("reasoningTokens", "thinkingTokens"),
)  # fmt: skip
SNAKE = Names(
    ("input_tokens",), ("output_tokens",), ("cache_read_input_tokens", "cache_read_tokens"),
    ("cache_creation_input_tokens", "cache_write_tokens"), ("reasoning_tokens",),
)  # fmt: skip


def tokens(said: Mapping[str, Any], names: Names) -> dict[str, int]:
    """The token columns; empty where the usage states neither input nor output. Raises ValueError for no count.

    A part that the usage does not state has no column: it is unknown, not zero.
    """
    given, output, *parts = (_first(said, spellings) for spellings in names[:5])
    if given is None and output is None:
        return {}
    given, output, read, write, hidden = (n or 0 for n in (given, output, *parts))
    if names.inside:
        read = min(read, given)
        write = min(write, given - read)
    else:
        given += read + write
    found = {"cache_read_tokens": read, "cache_write_tokens": write, "reasoning_tokens": hidden}
    return {
        "input_tokens": given,
        # More reasoning than output can only stand beside it.
        "output_tokens": output + hidden if names.beside or hidden > output else output,
        **{column: n for (column, n), stated in zip(found.items(), parts, strict=True) if stated is not None},
    }


def spent(usage: Mapping[str, int]) -> bool:
    """Whether any of the counts is more than 0."""
    return any(usage.values())


def _first(said: Mapping[str, Any], spellings: tuple[str, ...]) -> int | None:
    return next((n for name in spellings if (n := _count(said.get(name))) is not None), None)


def _count(value: Any) -> int | None:
    return None if value is None else count(value)
