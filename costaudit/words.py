"""How counts and shares are said, in findings and in reports alike."""

from __future__ import annotations

NONE = "–"  # absent, never zero


def plural(number: int, one: str, many: str = "") -> str:
    """`1 request`, `2,000 requests`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def percent(part: float | None, digits: int = 0) -> str:
    """A share of 1 in per cent; `<1 %` and `>99 %` where rounding would say none or all."""
    if part is None or part != part:
        return NONE
    least = 10.0**-digits
    size = part * 100
    if size in (0, 100):
        return f"{size:.0f} %"
    if 0 < size < least / 2:
        return f"<{least:g} %"
    if 100 - least / 2 < size < 100:
        return f">{100 - least:g} %"
    return f"{size:.{digits}f} %"


def rise(part: float, digits: int = 0) -> str:
    """By how much of itself something grew: `+96 %`, `-4.0 %`."""
    return f"{part:+.{digits}%}".replace("%", " %")
