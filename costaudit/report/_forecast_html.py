"""The plan for scale as a page: the weeks behind and ahead, growth as a waterfall of its drivers, what breaks first."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal, localcontext

import polars as pl

from costaudit.plan import Growth, Plan
from costaudit.price.mix import EXACT
from costaudit.report import View, _forecast, _svg
from costaudit.report import _money as money
from costaudit.report._bridge import signed
from costaudit.report._chart_ahead import Ahead, columns
from costaudit.report._chart_waterfall import Effect, waterfall
from costaudit.report._html import cards, document, facts, grid, remarks, section

WEEKS = 12  # of the past, at most
ANCHORS = ("ahead", "growth", "tenants", "limits", "under")


def render(plan: Plan, _view: View) -> str:
    """A whole HTML document."""
    drawn = {"ahead": [_weeks(plan)], "growth": [_growth(plan.growth[-1])] if plan.growth else []}
    parts = [_svg.patterns()]
    for anchor, (title, heads, cells, said) in zip(ANCHORS, _forecast.sections(plan, 120), strict=False):
        left = [not head.right for head in heads]
        table = grid(title, [head.head for head in heads], cells, left) if cells else ""
        parts.append(section(anchor, title, [*drawn.get(anchor, []), table, remarks(said)]))
    return document(_forecast.headline(plan), parts, lead=[_cards(plan), facts(_forecast.trust(plan))])


def _cards(plan: Plan) -> str:
    if not plan.growth:
        return ""
    now = [("a month of today's use", money.headline(plan.growth[0].now_usd))]
    return cards([*now, *((f"a month at {g.factor:g}×", money.headline(g.then_usd)) for g in plan.growth)])


def _weeks(plan: Plan) -> str:
    """Whole weeks up to the last day of the log, then those ahead; only where all are of seven days."""
    weeks = [week for week in plan.ahead[:-1] or plan.ahead if (week.end - week.start).days == 6]
    ahead = [Ahead(f"{week.start:%m-%d}", week.usd) for week in weeks]
    return columns("Spend by week, named by its first day", _past(plan), ahead, plan.outlook.level)


def _past(plan: Plan) -> list[tuple[str, Decimal]]:
    days = dict(plan.history.select("day", pl.col("usd")).iter_rows())
    last = plan.ahead[0].start - timedelta(days=1)
    found = []
    for back in range(WEEKS, 0, -1):
        start = last - timedelta(days=7 * back - 1)
        week = [start + timedelta(days=n) for n in range(7)]
        if days and start >= min(days):
            with localcontext(prec=EXACT):
                found.append((f"{start:%m-%d}", sum((Decimal(str(days.get(day, 0))) for day in week), Decimal(0))))
    return found


def _growth(growth: Growth) -> str:
    start = Effect("a month now", growth.now_usd, money.usd(growth.now_usd))
    end = Effect(f"at {growth.factor:g}×", growth.then_usd, money.usd(growth.then_usd))
    bars = [Effect(d.name, d.usd, signed(d.usd)) for d in growth.drivers if d.usd]
    return waterfall(f"A month at {growth.factor:g} times today's use", start, bars, end)
