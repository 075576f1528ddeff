"""What a provider bills: usage classes, their units, and where a class without a rate of its own is looked up.

Classes are disjoint: a token is in one class only. The request table holds inclusive totals; `engine` splits them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class UsageClass(NamedTuple):
    """One thing that is billed.

    per      units a published rate is for (1,000,000 tokens; 3,600 seconds for an hourly price)
    within   column of the request table whose total contains this class; "" when it stands beside the totals
    parents  classes whose rate applies when this one has none, nearest first; a class never falls to 0
    """

    name: str
    per: int
    within: str = ""
    parents: tuple[str, ...] = ()
    unit: str = "tokens"


_MTOK = 1_000_000
_WRITES = ("cache_write_5m", "cache_write_30m", "cache_write_1h", "cache_write_12h")


def _write(name: str, *parents: str) -> UsageClass:
    return UsageClass(name, _MTOK, "cache_write_tokens", (*parents, "input"))


CLASSES: dict[str, UsageClass] = {
    c.name: c
    for c in (
        UsageClass("input", _MTOK, "input_tokens"),
        UsageClass("cache_read", _MTOK, "cache_read_tokens", ("input",)),
        # A longer lifetime falls back to the next shorter one: it never costs less than that.
        _write("cache_write_5m", "cache_write_30m"),
        _write("cache_write_30m", "cache_write_5m"),
        _write("cache_write_1h", "cache_write_30m", "cache_write_5m"),
        _write("cache_write_12h", "cache_write_1h", "cache_write_30m", "cache_write_5m"),
        UsageClass("output", _MTOK, "output_tokens"),
        UsageClass("reasoning", _MTOK, "output_tokens", ("output",)),
        UsageClass("citation", _MTOK, "", ("input",)),
        UsageClass("input_audio", _MTOK, "input_tokens", ("input",)),
        UsageClass("input_image", _MTOK, "input_tokens", ("input",)),
        UsageClass("input_video", _MTOK, "input_tokens", ("input",)),
        UsageClass("cache_read_audio", _MTOK, "cache_read_tokens", ("cache_read", "input_audio", "input")),
        UsageClass("cache_read_image", _MTOK, "cache_read_tokens", ("cache_read", "input_image", "input")),
        UsageClass("cache_read_video", _MTOK, "cache_read_tokens", ("cache_read", "input_video", "input")),
        UsageClass("output_audio", _MTOK, "output_tokens", ("output",)),
        UsageClass("output_image", _MTOK, "output_tokens", ("output",)),
        UsageClass("output_video", _MTOK, "output_tokens", ("output",)),
        UsageClass("web_search", 1_000, unit="searches"),
        UsageClass("file_search", 1_000, unit="searches"),
        UsageClass("requests", 1_000, unit="requests"),
        UsageClass("rerank_search", 1_000, unit="searches"),
        UsageClass("search_queries", 1_000, unit="queries"),
        UsageClass("text_messages", 1_000, unit="messages"),
        UsageClass("pages", 1_000, unit="pages"),
        UsageClass("annotated_pages", 1_000, unit="pages"),
        UsageClass("images", 1, unit="images"),
        UsageClass("characters", 1_000_000, unit="characters"),
        UsageClass("audio_seconds", 3_600, unit="s"),
        UsageClass("video_seconds", 1, unit="s"),
        UsageClass("provisioned_seconds", 1, unit="s"),
        UsageClass("machine_seconds", 3_600, unit="s"),
        UsageClass("code_sessions", 1, unit="sessions"),
        UsageClass("cache_storage_token_hours", 1_000_000, unit="token-hours"),
    )
}

TOKENS: frozenset[str] = frozenset(c.name for c in CLASSES.values() if c.unit == "tokens")
"""Classes that tiers, steps and uplifts apply to; everything else is a fee and is never discounted or uplifted."""

TEXT: tuple[str, ...] = ("input", "cache_read", *_WRITES, "output", "reasoning")
"""Classes that are columns of the request table; all others travel in its column `extras`."""

INPUT_SIDE: frozenset[str] = frozenset(
    c.name for c in CLASSES.values() if c.within in {"input_tokens", "cache_read_tokens", "cache_write_tokens"}
)
"""Classes that count towards a long-context step."""


def rate_of(name: str, rates: Mapping[str, T]) -> T | None:
    """The rate of a class, or that of its nearest parent that has one; None when nothing is known."""
    for candidate in (name, *CLASSES[name].parents):
        if candidate in rates:
            return rates[candidate]
    return None
