"""A series in a cell: one character a value, from nothing to the largest."""

from __future__ import annotations

from collections.abc import Sequence

LEVELS = "▁▂▃▄▅▆▇█"
PLAIN = "_.-:=+*#"  # where the reader's encoding lacks them


def spark(values: Sequence[float | None], *, plain: bool = False) -> str:
    """`▁▂▅█`: heights relative to the largest value; a gap where there is none; nothing for a series of zeros."""
    levels = PLAIN if plain else LEVELS
    largest = max((v for v in values if v is not None), default=0.0)
    if largest <= 0:
        return ""
    return "".join(
        " " if v is None else levels[max(0, min(len(levels) - 1, round(v / largest * (len(levels) - 1))))]
        for v in values
    )


def writable(encoding: str | None) -> bool:
    """Whether an output encoding has the characters of a sparkline; None: text that is not encoded at all."""
    try:
        LEVELS.encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
