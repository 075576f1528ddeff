"""The bars of a variance bridge, for the gate and the monthly review."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

import msgspec

from costaudit.price.bridge import EFFICIENCY, GROWTH, PRICE, Bridge
from costaudit.price.mix import EXACT, Unpriced
from costaudit.report import _money as money
from costaudit.report._layout import Column, Line, paragraph, table
from costaudit.report._words import ESTIMATED_SHARE
from costaudit.report.json import rows as plain

ZERO = Decimal(0)
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
GROUPS = (GROWTH, EFFICIENCY, PRICE)


def signed(amount: Decimal) -> str:
    """`+$12.00`, `-$3.40`; nothing at all has no sign."""
    return f"+{money.usd(amount)}" if amount > 0 else money.usd(amount)


class Printed(msgspec.Struct, frozen=True):
    """The amounts of a bridge as a report prints them, all to the same decimals, so that a reader's sums come out.

    bars   factor, group, exact effect, printed effect; the printed ones add up to `after - before`, both as printed
    """

    places: int
    before: Decimal
    after: Decimal
    bars: tuple[tuple[str, str, Decimal, Decimal], ...]

    @classmethod
    def of(cls, bridge: Bridge) -> Printed:
        found = bridge.by_factor()
        largest = max(bridge.before_usd, bridge.after_usd, *(abs(usd) for _, _, usd in found), ZERO)
        # Cents, or three significant digits of what is less than a dollar.
        places = 2 if largest >= 1 or not largest else 2 - largest.adjusted()
        with localcontext(prec=EXACT):
            before, after = (_rounded(money.converted(usd), places) for usd in (bridge.before_usd, bridge.after_usd))
            amounts = _adding_up([money.converted(usd) for _, _, usd in found], after - before, places)
        bars = tuple((factor, group, usd, shown) for (factor, group, usd), shown in zip(found, amounts, strict=True))
        return cls(places, before, after, bars)

    @property
    def change(self) -> Decimal:
        with localcontext(prec=EXACT):
            return self.after - self.before

    def effect(self, shown: Decimal, exact: Decimal) -> str:
        """`+$0.60`; an effect too small for the decimals is `+<$0.01`, never nothing."""
        sign = "+" if exact > 0 else "-" if exact < 0 else ""
        if not shown and exact:
            return f"{sign}<{money.sign()}{Decimal(1).scaleb(-self.places):f}"
        return f"{'+' if shown > 0 else '-' if shown < 0 else ''}{self.plain(abs(shown))}"

    def plain(self, amount: Decimal) -> str:
        return f"{money.sign()}{amount:,.{self.places}f}"

    def groups(self) -> dict[str, tuple[Decimal, Decimal]]:
        """group -> printed and exact effect."""
        sums = dict.fromkeys(GROUPS, (ZERO, ZERO))
        with localcontext(prec=EXACT):
            for _, group, exact, shown in self.bars:
                sums[group] = (sums[group][0] + shown, sums[group][1] + exact)
        return sums


def _rounded(amount: Decimal, places: int) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN)


def _adding_up(amounts: list[Decimal], total: Decimal, places: int) -> list[Decimal]:
    """The amounts rounded so that they add up to a rounded total: those cut most give way, one last digit each."""
    shown = [_rounded(amount, places) for amount in amounts]
    step = Decimal(1).scaleb(-places)
    missing = int((total - sum(shown, ZERO)) / step)
    sign = 1 if missing > 0 else -1
    order = sorted(range(len(amounts)), key=lambda i: (sign * (shown[i] - amounts[i]), i))
    for i in (order * (abs(missing) // len(order) + 1))[: abs(missing)] if order else ():
        shown[i] += sign * step
    return shown


def sentence(bridge: Bridge) -> str:
    """`growth +$40.00, efficiency -$12.00, price $0.00`: growth is never mixed with efficiency."""
    printed = Printed.of(bridge)
    return ", ".join(f"{group} {printed.effect(*sums)}" for group, sums in printed.groups().items())


def change(bridge: Bridge) -> str:
    """The change as the table ends with it."""
    printed = Printed.of(bridge)
    return printed.effect(printed.change, bridge.change_usd)


def cells(bridge: Bridge) -> list[list[str]]:
    """One row a bar: factor, what it means, kind, effect; the last row is the change they add up to."""
    printed = Printed.of(bridge)
    bars = [[factor, SAYS[factor], group, printed.effect(shown, exact)] for factor, group, exact, shown in printed.bars]
    ends = f"from {printed.plain(printed.before)} to {printed.plain(printed.after)}"
    return [*bars, ["change", ends, "", change(bridge)]]


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
    printed = Printed.of(bridge)
    head, rest = bridge.top(TOP)
    rows, left = [], printed.change
    with localcontext(prec=EXACT):
        for row in head.iter_rows(named=True):
            shown = _rounded(row["effect_usd"], printed.places)
            left -= shown
            about = "about " if row["estimated"] > ESTIMATED_SHARE else ""
            effect = about + printed.effect(shown, row["effect_usd"])
            rows.append([row["factor"], row["task"], row["model"], effect])
    others = bridge.rows.height - head.height
    return [*rows, [f"{others:,} more", "", "", printed.effect(left, rest)]] if others else rows


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
