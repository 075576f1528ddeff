"""A waterfall: from one amount to another, each effect beginning where the one above it ended."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import NamedTuple

from costaudit.price.bridge import Bridge
from costaudit.price.mix import EXACT
from costaudit.report import _svg as svg
from costaudit.report._bridge import Printed

ROW, BAR = 24, 15  # user units
LEFT, RIGHT = 150, 92  # for the names, and for the amounts
CUT = 0.5  # the axis begins above nothing where the bars would stay in less than this part of it
UP, DOWN, ENDS = "fill-2", "fill-3", "fill-6"


class Effect(NamedTuple):
    """A bar: its name, its amount, and the amount as the table beside it has it."""

    name: str
    usd: Decimal
    said: str


def waterfall(title: str, start: Effect, effects: Sequence[Effect], end: Effect) -> str:
    """The chart; nothing where nothing changed."""
    if not any(effect.usd for effect in effects):
        return ""
    levels = [start.usd]
    with localcontext(prec=EXACT):
        for effect in effects:
            levels.append(levels[-1] + effect.usd)
    levels.append(end.usd)
    low, high = min(map(float, levels)), max(map(float, levels))
    begins, said_so = svg.amounts(0, low - (high - low) * 0.2, 8)[-1] if low > CUT * high else (0.0, "")
    scale = svg.Scale(min(low, begins), high, LEFT, svg.WIDTH - RIGHT)
    bottom = ROW * (len(effects) + 2) + 4
    drawn = svg.columns_axis(scale, 0, bottom)
    zero = scale.at(max(scale.low, 0.0))
    drawn += _bar(0, start, zero, scale.at(float(start.usd)), ENDS)
    for number, (effect, before) in enumerate(zip(effects, levels, strict=False), 1):
        after = float(levels[number])
        drawn += _bar(number, effect, scale.at(float(before)), scale.at(after), UP if effect.usd > 0 else DOWN)
    for number, level in enumerate(levels[:-1]):
        x = scale.at(float(level))
        drawn.append(svg.line(x, ROW * number + 4, x, ROW * (number + 1) + 4 + BAR, "ink"))
    drawn += _bar(len(effects) + 1, end, zero, scale.at(float(end.usd)), ENDS)
    said = f"From {start.said} to {end.said}: {', '.join(f'{effect.name} {effect.said}' for effect in effects)}."
    cut = [f"the axis begins at {said_so}"] if begins > 0 else []
    fills = [(UP, "more"), (DOWN, "less"), (ENDS, "; ".join(["the whole", *cut]))]
    present = {UP for e in effects if e.usd > 0} | {DOWN for e in effects if e.usd < 0} | {ENDS}
    return svg.figure(
        title,
        svg.chart(title, said, bottom + 22, drawn),
        svg.key([(fill, words) for fill, words in fills if fill in present]),
    )


def bridge(title: str, found: Bridge, ends: tuple[str, str]) -> str:
    """A variance bridge, with the amounts that its table prints."""
    printed = Printed.of(found)
    before, after = (
        Effect(name, usd, printed.plain(usd)) for name, usd in zip(ends, (printed.before, printed.after), strict=True)
    )
    bars = [Effect(factor, shown, printed.effect(shown, exact)) for factor, _, exact, shown in printed.bars]
    return waterfall(title, before, bars, after)


def _bar(number: int, effect: Effect, x1: float, x2: float, fill: str) -> list[str]:
    y = ROW * number + 4
    return [
        svg.words(0, y + 12, effect.name, "ink", LEFT - 8),
        svg.rect(min(x1, x2), y, max(abs(x2 - x1), 1), BAR, fill=fill, tip=f"{effect.name}: {effect.said}"),
        svg.words(svg.WIDTH, y + 12, effect.said, "ink end", RIGHT),
    ]
