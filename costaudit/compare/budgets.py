"""The budgets of costaudit.yaml against the calls of a window: exceeded, within, or not to be told.

Spend is what was paid on the day, not at the gate's one price date: a limit is about money. What has no price, or only
an estimated one, lies between two ends; only a low end past the limit is an overrun, only a high end under it is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

import polars as pl
from msgspec.structs import replace

from costaudit.compare.accept import Acceptance
from costaudit.config import Budget, Suppression
from costaudit.schema import USD
from costaudit.verdict import BudgetVerdict, Verdict

RULE = "budget-overrun"  # the name under which an overrun is accepted on purpose
EACH = {"month": "1mo", "week": "1w", "day": "1d"}
ORDER = (Verdict.FAIL, Verdict.CANNOT_JUDGE, Verdict.CANNOT_TELL, Verdict.PASS)
ZERO = Decimal(0)


class _Spent(NamedTuple):
    """One period, run or call: what it is called, and the ends its spend lies between; high None: no bound [USD]."""

    what: str
    usd: Decimal
    low: Decimal
    high: Decimal | None


def judge(
    calls: pl.DataFrame,
    budgets: Sequence[Budget],
    *,
    tz: str,
    end: datetime | None,
    suppressions: Sequence[Suppression] = (),
) -> tuple[BudgetVerdict, ...]:
    """One verdict a budget, the loudest first.

    calls  priced calls of the window [schema.CALLS]
    tz     zone of days, weeks and months; a week begins on Monday
    end    end of the window: an acceptance holds until then, or not
    """
    unpaid = pl.col("rollup").fill_null(value=False) | pl.col("gateway_cache_hit").fill_null(value=False)
    counted = calls.filter(~unpaid)
    rows = [_judged(budget, counted, tz, Acceptance(RULE, suppressions, end)) for budget in budgets]
    return tuple(sorted(rows, key=lambda row: (ORDER.index(row.verdict), -row.beyond_usd, row.name)))


def name(budget: Budget) -> str:
    """`task research, a run`; `all calls, a month`."""
    scope = ", ".join(f"{key} {value}" for key, value in sorted(budget.scope.items())) or "all calls"
    return f"{scope}, a {budget.per}"


def subject(budget: Budget) -> dict[str, str]:
    """As the rule `budget-overrun` names it, so that one suppression serves both."""
    return {"per": budget.per, **dict(sorted(budget.scope.items()))}


def _judged(budget: Budget, calls: pl.DataFrame, tz: str, acceptance: Acceptance) -> BudgetVerdict:
    inside = pl.all_horizontal([pl.lit(value=True), *(pl.col(k) == v for k, v in budget.scope.items())])
    spent = list(_spent(budget, calls.filter(inside), tz))
    row = BudgetVerdict(name(budget), subject(budget), budget.usd, Verdict.PASS, "within the budget", of=len(spent))
    if not spent:
        return replace(row, verdict=Verdict.CANNOT_JUDGE, why="no such call in the log")
    worst = max(spent, key=lambda one: (one.usd, one.what))
    row = replace(row, worst=worst.what, worst_usd=worst.usd)
    over = [one for one in spent if one.low > budget.usd]
    if over:
        beyond = sum((one.usd - budget.usd for one in over), ZERO)
        row = replace(row, over=len(over), beyond_usd=beyond, verdict=Verdict.FAIL, why="over the budget")
        accepted = acceptance.of(row.subject, beyond)
        if accepted is None:
            return row
        return replace(
            row,
            why=accepted.said(row.why),
            accepted=accepted.holds,
            verdict=Verdict.PASS if accepted.holds else row.verdict,
        )
    unsure = [one for one in spent if one.high is None or one.high > budget.usd]
    if unsure:
        why = f"{len(unsure):,} of {len(spent):,} may be over: not all of their calls have an exact price"
        return replace(row, verdict=Verdict.CANNOT_TELL, why=why)
    return row


def _spent(budget: Budget, calls: pl.DataFrame, tz: str) -> Iterator[_Spent]:
    """The periods, runs or calls of the calls in scope, with what they cost."""
    if budget.per == "run":
        groups = calls.filter(pl.col("run_id").is_not_null()).group_by(what="run_id")
    elif budget.per == "call":
        groups = calls.group_by("row", what=pl.coalesce("request_id", pl.format("row {}", "row")))
    else:
        local = pl.col("started_at").dt.convert_time_zone(tz).dt.truncate(EACH[budget.per]).dt.date()
        groups = calls.filter(pl.col("started_at").is_not_null()).group_by(what=local)
    known = pl.col("cost_usd").fill_null(0).cast(USD)
    sums = groups.agg(
        usd=known.sum(),
        low=pl.coalesce("low_usd", known).cast(USD).sum(),
        high=pl.coalesce("high_usd", "cost_usd").cast(USD).sum(),
        unbounded=pl.coalesce("high_usd", "cost_usd").is_null().any(),
    )
    for what, usd, low, high, unbounded in sums.select("what", "usd", "low", "high", "unbounded").iter_rows():
        yield _Spent(_label(what, budget.per), usd, low, None if unbounded else high)


def _label(what: object, per: str) -> str:
    if isinstance(what, date):
        return {"month": f"{what:%Y-%m}", "week": f"week of {what}", "day": f"{what}"}[per]
    return str(what)
