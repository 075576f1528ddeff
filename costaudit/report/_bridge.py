"""The bars of a variance bridge, for the gate and the monthly review."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from costaudit.price.bridge import EFFICIENCY, GROWTH, PRICE, Bridge
from costaudit.price.mix import Unpriced
from costaudit.report import _money as money
from costaudit.report._layout import Column, Line, paragraph, table
from costaudit.report.json import rows as plain

TOP = 5  # rows of the drill-down; the rest is one row, so that it still adds up

SAYS: dict[str, str] = {
    "days": "more or fewer days in the month",
    "units": "more or fewer units of work",
    "task mix": "another mix of tasks",
    "new task": "tasks that were not there before",
    "gone task": "tasks that are no longer there",
    "calls per unit": "more or fewer calls for a unit of work",
    "retries": "failed calls and retries",
    "model mix": "other models",
    "input tokens": "longer or shorter prompts",
    "output tokens": "longer or shorter answers",
    "reasoning tokens": "more or less hidden reasoning",
    "fees": "searches, pages and other fees",
    "caching": "a better or worse cache",
    "price": "prices, tiers and batches",
}
GROUPS = {GROWTH: "growth", EFFICIENCY: "efficiency", PRICE: "price"}


def signed(amount: Decimal) -> str:
    """`+$12.00`, `-$3.40`; nothing at all has no sign."""
    return f"+{money.usd(amount)}" if amount > 0 else money.usd(amount)


def sentence(bridge: Bridge) -> str:
    """`growth +$40.00, efficiency -$12.00, price $0.00`: growth is never mixed with efficiency."""
    return ", ".join(f"{GROUPS[group]} {signed(usd)}" for group, usd in bridge.by_group().items())


def cells(bridge: Bridge) -> list[list[str]]:
    """One row a bar: factor, what it means, kind, effect; the last row is the change they add up to."""
    bars = [[factor, SAYS[factor], GROUPS[group], signed(usd)] for factor, group, usd in bridge.by_factor()]
    return [
        *bars,
        [
            "change",
            f"from {money.usd(bridge.before_usd)} to {money.usd(bridge.after_usd)}",
            "",
            signed(bridge.change_usd),
        ],
    ]


HEADS = ("bar", "which is", "kind", "effect")


def lines(bridge: Bridge, columns: int, *, indent: int = 2) -> list[Line]:
    """The bars as a table."""
    heads = [
        Column(HEADS[0], right=False),
        Column(HEADS[1], right=False, flexible=True, least=16),
        Column(HEADS[2], right=False),
        Column(HEADS[3]),
    ]
    shown = table(heads, cells(bridge), columns, indent=indent)
    for words in unpriced(bridge):
        shown += paragraph(words, columns, first=" " * indent)
    return shown


def drill(bridge: Bridge) -> list[list[str]]:
    """The rows that moved most: factor, task, model, effect; then all others together."""
    head, rest = bridge.top(TOP)
    rows = [[row["factor"], row["task"], row["model"], _footnoted(row)] for row in head.iter_rows(named=True)]
    others = bridge.rows.height - head.height
    return [*rows, [f"{others:,} others", "", "", signed(rest)]] if others else rows


def _footnoted(row: dict[str, Any]) -> str:
    """An effect that rests on estimated counts is only about right."""
    return ("about " if row["estimated"] > 0.2 else "") + signed(row["effect_usd"])


DRILL_HEADS = ("bar", "task", "model", "effect")


def drill_lines(bridge: Bridge, columns: int) -> list[Line]:
    heads = [
        Column(DRILL_HEADS[0], right=False),
        Column(DRILL_HEADS[1], right=False, flexible=True),
        Column(DRILL_HEADS[2], right=False, flexible=True),
        Column(DRILL_HEADS[3]),
    ]
    return table(heads, drill(bridge), columns)


def unpriced(bridge: Bridge) -> list[str]:
    """What stands outside the bars."""
    return [
        f"outside these bars: {money.plural(side.calls, 'call')} without a price {when}, {_bound(side)}"
        for side, when in zip(bridge.unpriced, ("before", "now"), strict=True)
        if side.calls
    ]


def _bound(side: Unpriced) -> str:
    return "no upper bound" if side.high_usd is None else f"{money.usd(Decimal(0))} to {money.usd(side.high_usd)}"


def machine(bridge: Bridge | None) -> dict[str, Any] | None:
    """The bridge for machines: bars, the rows behind them, and what stands outside."""
    if bridge is None:
        return None
    return {
        "before_usd": money.exact(bridge.before_usd),
        "after_usd": money.exact(bridge.after_usd),
        "change_usd": money.exact(bridge.change_usd),
        "groups": {group: money.exact(usd) for group, usd in bridge.by_group().items()},
        "bars": [
            {"factor": factor, "group": group, "effect_usd": money.exact(usd)}
            for factor, group, usd in bridge.by_factor()
        ],
        "rows": plain(bridge.rows),
        "unpriced": [
            {"calls": side.calls, "high_usd": None if side.high_usd is None else money.exact(side.high_usd)}
            for side in bridge.unpriced
        ],
    }
