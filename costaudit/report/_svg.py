"""Charts as inline SVG: no script, no font, no file from elsewhere; colours follow the page."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from html import escape
from typing import NamedTuple

from costaudit.report import _money as money
from costaudit.report._text import clean

WIDTH, HEIGHT = 960, 180  # user units; the page scales the drawing
LEFT, BOTTOM, TOP = 70, 24, 10
LABELS = 8  # names under the axis; more would touch each other


class Bar(NamedTuple):
    name: str
    value: Decimal


def bars(title: str, values: Sequence[Bar]) -> str:
    """One column a value from 0 up, with its amount as a tooltip; empty for nothing to draw."""
    most = max((float(bar.value) for bar in values), default=0.0)
    if most <= 0:
        return ""
    step = (WIDTH - LEFT) / len(values)
    high = HEIGHT - TOP - BOTTOM
    every = -(-len(values) // LABELS)
    drawn = []
    for number, bar in enumerate(values):
        tall = max(0.0, float(bar.value)) / most * high
        x, y = LEFT + number * step, TOP + high - tall
        name = escape(clean(bar.name))
        tip = f"<title>{name}: {escape(money.usd(bar.value))}</title>"
        drawn.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(step - 1, 0.5):.1f}" height="{tall:.1f}">{tip}</rect>')
        if number % every == 0:
            drawn.append(f'<text x="{x:.1f}" y="{HEIGHT - 6}">{name}</text>')
    for share in (0, 0.5, 1):
        y = TOP + high * (1 - share)
        amount = escape(money.headline(Decimal(repr(most * share))))
        drawn.append(f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{amount}</text>')
    label = escape(clean(title))
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(drawn)}</svg>'
