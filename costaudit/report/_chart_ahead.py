"""What is to come: spend that is known as columns, what is likely as hollow ones with the interval around them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from costaudit.report import _money as money
from costaudit.report import _svg as svg
from costaudit.stats import Interval

LEFT, TOP, HIGH, BELOW = 70, 10, 170, 26
KNOWN, ENDS = "fill-1", 7  # user units of the ends of an interval


class Ahead(NamedTuple):
    """A span to come: its name, and what it may cost [USD]."""

    name: str
    usd: Interval


def columns(title: str, known: Sequence[tuple[str, Decimal]], ahead: Sequence[Ahead], level: float) -> str:
    """The chart; nothing without anything ahead, or where everything is nothing."""
    most = max([float(usd) for _, usd in known] + [max(one.usd.high, one.usd.value) for one in ahead], default=0.0)
    if not ahead or most <= 0:
        return ""
    names = [name for name, _ in known] + [one.name for one in ahead]
    scale = svg.Scale(0, most, TOP + HIGH, TOP)
    step = (svg.WIDTH - LEFT) / len(names)
    thick = min(step * 0.7, 60)
    drawn = svg.rows_axis(scale, LEFT)
    for number, (name, usd) in enumerate(known):
        x, top = LEFT + (number + 0.5) * step - thick / 2, scale.at(max(float(usd), 0))
        drawn.append(svg.rect(x, top, thick, scale.at(0) - top, fill=KNOWN, tip=f"{name}: {money.usd(usd)}"))
    for number, one in enumerate(ahead, len(known)):
        drawn += _likely(LEFT + (number + 0.5) * step, thick, one, scale)
    drawn.append(svg.line(LEFT, scale.at(0), svg.WIDTH, scale.at(0), "ink"))
    drawn += svg.names_axis(names, LEFT, step, TOP + HIGH + 17)
    said = "; ".join(f"{one.name}: {_usd(one.usd.value)}, {_usd(one.usd.low)} to {_usd(one.usd.high)}" for one in ahead)
    interval = f"likely, with its {money.percent(level)} interval"
    entries = [(KNOWN, "spent")] if known else []
    drawing = svg.chart(title, f"{said}.", TOP + HIGH + BELOW, drawn)
    return svg.figure(title, drawing, svg.key([*entries, ("", interval)]))


def _likely(middle: float, thick: float, one: Ahead, scale: svg.Scale) -> list[str]:
    top = scale.at(max(one.usd.value, 0))
    low, high = scale.at(max(one.usd.low, 0)), scale.at(one.usd.high)
    tip = f"{one.name}: {_usd(one.usd.value)}, {_usd(one.usd.low)} to {_usd(one.usd.high)}"
    return [
        svg.rect(middle - thick / 2, top, thick, scale.at(0) - top, "hollow", tip=tip),
        svg.rect(middle - thick / 2, high, thick, low - high, "band"),
        svg.line(middle, high, middle, low, "ink"),
        svg.line(middle - ENDS, high, middle + ENDS, high, "ink"),
        svg.line(middle - ENDS, low, middle + ENDS, low, "ink"),
    ]


def _usd(amount: float) -> str:
    return money.usd(Decimal(repr(round(amount, 9))))
