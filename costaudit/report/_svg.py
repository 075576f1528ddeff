"""Pieces of charts as inline SVG: no script, no font, no file from elsewhere; colours follow the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from costaudit.report import _money as money
from costaudit.report._html import Drawn, folded, grid, scrolled, text
from costaudit.report._text import clean, fit

WIDTH = 720  # user units; the page scales the drawing
SHORT = 1_000_000  # from here on amounts of an axis are written as 2.5M
LETTER = 7.0  # user units of a letter of 12 px, a wide one
SERIES = 6  # colours of a series; each with its own pattern, so that none rests on colour alone
NEWLINE = "\n"
PATTERN = 8  # user units


class Scale(NamedTuple):
    """Values from `low` to `high` on a line from `start` to `end` of the drawing."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.0
        return self.start + share * (self.end - self.start)


def ticks(low: float, high: float, most: int = 5) -> list[Decimal]:
    """At most `most` round steps (1, 2, 2.5 or 5 times a power of ten) that lie within two values."""
    if not high > low or not math.isfinite(high - low):
        return [Decimal(repr(low))]
    power = Decimal(1).scaleb(math.floor(math.log10((high - low) / most)))
    for step in (power * Decimal(size) for size in ("1", "2", "2.5", "5", "10", "20")):
        first, last = math.ceil(Decimal(repr(low)) / step), math.floor(Decimal(repr(high)) / step)
        if last - first < most:
            return [step * n for n in range(first, last + 1)]
    return [Decimal(repr(low))]


def chart(title: str, said: str, height: float, drawn: Sequence[str]) -> str:
    """The drawing, with a name and a sentence for those who do not see it."""
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height:g}" role="img"><title>{text(title)}</title>'
        f"<desc>{text(said)}</desc>{NEWLINE.join(['', *drawn])}</svg>"
    )


def figure(title: str, drawing: str, *below: str) -> str:
    """A chart under its title, with what explains it; it scrolls where the window is narrow."""
    return f"<figure><figcaption>{text(title)}</figcaption>{scrolled(title, drawing)}{''.join(below)}</figure>"


def numbers(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The figures behind a chart, folded."""
    return folded("The figures", grid(caption, heads, rows, [True, *[False] * (len(heads) - 1)]))


def rect(x: float, y: float, wide: float, high: float, kind: str = "", fill: str = "", tip: str = "") -> str:
    """A bar; `fill` names a pattern, `tip` says its figure where a mouse rests."""
    looks = f' class="{kind}"' if kind else ""
    looks += f' style="fill:url(#{fill})"' if fill else ""
    size = f'x="{x:.1f}" y="{y:.1f}" width="{max(wide, 0):.1f}" height="{max(high, 0):.1f}"'
    return f"<rect {size}{looks}>{f'<title>{text(tip)}</title>' if tip else ''}</rect>"


def line(x1: float, y1: float, x2: float, y2: float, kind: str = "") -> str:
    looks = f' class="{kind}"' if kind else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"{looks}/>'


def words(x: float, y: float, said: str, kind: str = "", room: float = WIDTH) -> str:
    """A text that takes at most `room`; a longer one loses its middle."""
    looks = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{looks}>{text(fit(clean(said), max(1, int(room / LETTER))))}</text>'


Ticks = list[tuple[float, str]]


def amounts(low: float, high: float, most: int) -> Ticks:
    """Dollars at round steps of the currency they are shown in, and how each is written: all to the same decimals."""
    rate = money.converted(Decimal(1))
    steps = ticks(low * float(rate), high * float(rate), most)
    if max(map(abs, steps)) >= SHORT:
        return [(float(step / rate), f"{'-' if step < 0 else ''}{money.sign()}{_short(abs(step))}") for step in steps]
    finest = min((_exponent(step) for step in steps if step), default=0)
    places = 0 if finest >= 0 else max(2, -finest)
    return [(float(step / rate), money.fixed(step / rate, places)) for step in steps]


def _short(step: Decimal) -> str:
    return money.tokens(int(step)) if step < money.MOST * 1000 else f"{step:.1e}"


def _exponent(step: Decimal) -> int:
    exponent = step.normalize().as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def rows_axis(scale: Scale, left: float, marks: Ticks | None = None) -> list[str]:
    """Lines across for an upright scale with what stands at their left; without `marks`, dollars."""
    drawn = []
    for value, said in amounts(scale.low, scale.high, 4) if marks is None else marks:
        y = scale.at(value)
        drawn.append(line(left, y, WIDTH, y))
        drawn.append(words(left - 6, y + 4, said, "end", left))
    return drawn


def columns_axis(scale: Scale, top: float, bottom: float) -> list[str]:
    """Lines down for a lying scale, with their amounts below; those that would touch are left out."""
    drawn = []
    free = -math.inf
    for value, said in amounts(scale.low, scale.high, 5):
        x = scale.at(value)
        drawn.append(line(x, top, x, bottom))
        half = len(said) * LETTER / 2
        if x - half > free and x + half <= WIDTH:
            drawn.append(words(x, bottom + 15, said, "mid"))
            free = x + half + LETTER
    return drawn


def names_axis(names: Sequence[str], left: float, step: float, y: float) -> Iterator[str]:
    """Names under columns: as many as do not touch, evenly."""
    longest = max((len(name) for name in names), default=1) * LETTER + LETTER
    every = max(1, math.ceil(longest / step))
    for number in range(0, len(names), every):
        x = left + (number + 0.5) * step
        if x + longest / 2 <= WIDTH + LETTER or number == 0:
            yield words(x, y, names[number], "mid", longest)


_HATCHES = (
    "",
    "M-1,1 l2,-2 M0,8 l8,-8 M7,9 l2,-2",
    "M2,1 v2 M6,5 v2",
    "M-1,7 l2,2 M0,0 l8,8 M7,-1 l2,2",
    "M0,4 h8",
    "M4,0 v8",
)


def patterns() -> str:
    """The fills `fill-1` to `fill-6`, once a page."""
    size = f'width="{PATTERN}" height="{PATTERN}" patternUnits="userSpaceOnUse"'
    made = "".join(
        f'<pattern id="fill-{n}" {size}><rect width="{PATTERN}" height="{PATTERN}" class="s{n}"/>'
        f'<path class="cut" d="{hatch}"/></pattern>'
        for n, hatch in enumerate(_HATCHES, 1)
    )
    return f'<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>{made}</defs></svg>'


def key(entries: Sequence[tuple[str, str]]) -> str:
    """What each fill stands for: fill and words; no fill is the hollow column of what is likely."""
    listed = "".join(
        f'<li><svg viewBox="0 0 22 16" aria-hidden="true">{rect(1, 1, 20, 14, "" if fill else "hollow", fill)}</svg>'
        f"{text(said)}</li>"
        for fill, said in entries
    )
    return f'<ul class="key">{listed}</ul>'


def part(share: float | None) -> Drawn:
    """A bar for a cell of a table: a share of 1."""
    if not share or share <= 0:
        return Drawn("")
    bar = rect(0, 0, max(100 * min(share, 1.0), 0.5), 8)
    return Drawn(f'<svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">{bar}</svg>')


def spark(values: Sequence[float | None]) -> Drawn:
    """A series in a cell: one column a value, from nothing to the largest; nothing for a series of zeros."""
    known = [max(float(v), 0.0) if v is not None else 0.0 for v in values]
    most = max(known, default=0.0)
    if most <= 0:
        return Drawn("")
    wide = 96 / len(known)
    drawn = [
        rect(n * wide, 20 - max(20 * v / most, 0.6), wide - 1, max(20 * v / most, 0.6)) for n, v in enumerate(known)
    ]
    said = f"spend of {len(known)} weeks: {', '.join(money.usd(Decimal(repr(round(v, 6)))) for v in known)}"
    return Drawn(f'<svg class="spark" viewBox="0 0 96 20" role="img"><title>{text(said)}</title>{"".join(drawn)}</svg>')
