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
    """The token columns; empty where the usage states neither input nor output. Raises ValueError for no count."""
    given, output, read, write, hidden = (_first(said, spellings) for spellings in names[:5])
    if given is None and output is None:
        return {}
    given, output, read, write, hidden = (n or 0 for n in (given, output, read, write, hidden))
    if names.inside:
        read = min(read, given)
        write = min(write, given - read)
    else:
        given += read + write
    return {
        "input_tokens": given,
        "cache_read_tokens": read,
        "cache_write_tokens": write,
        # More reasoning than output can only stand beside it.
        "output_tokens": output + hidden if names.beside or hidden > output else output,
        "reasoning_tokens": hidden,
    }


def spent(usage: Mapping[str, int]) -> bool:
    """Whether any of the counts is more than 0."""
    return any(usage.values())


def _first(said: Mapping[str, Any], spellings: tuple[str, ...]) -> int | None:
    return next((n for name in spellings if (n := _count(said.get(name))) is not None), None)


def _count(value: Any) -> int | None:
    return None if value is None else count(value)
