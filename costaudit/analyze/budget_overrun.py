"""Rule budget-overrun: budgets that are exceeded, or will be."""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Sequence
from datetime import date, timedelta, tzinfo
from decimal import Decimal, localcontext
from typing import NamedTuple

import polars as pl

from costaudit.analyze._analyzer import COST, Analyzer, CannotCheck, Claim, total_usd
from costaudit.analyze._series import local_day, partial_day
from costaudit.analyze._units import spend_rows
from costaudit.config import SCOPES, Budget
from costaudit.finding import Confidence, Kind, Severity
from costaudit.price.ledger import Ledger
from costaudit.schema import USD
from costaudit.stats import forecast

PLACES = Decimal(1).scaleb(-18)
MOST = 1e15  # USD; the end of a projection that has none
ZERO = Decimal(0)


class Outlook(NamedTuple):
    """One period of a budget: spent so far, and where it ends [USD]."""

    start: date
    end: date
    spent: Decimal
    low: Decimal
    mid: Decimal
    high: Decimal
    dates: tuple[date | None, date | None, date | None]


class BudgetOverrun(Analyzer):
    """Budgets of costaudit.yaml that are exceeded, or will be before their period ends.

    ## What it finds
    For each budget (of a month, week or day; for all calls or one task, tenant, model, ...) the spend to date and where
    it goes: the mean day, and from four whole weeks on the forecast of `costaudit forecast` (the trend of whole weeks,
    or the last week again where that was nearer), as an 80 % interval, and the earliest, likely and latest day on which
    the budget is used up. Budgets of a run or a call list what exceeds
    them.
    ## Why it costs money
    A limit that is noticed on the invoice is no limit.
    ## What to do
    Already exceeded: look at the findings of the same task or tenant, or raise the budget on purpose. Will be exceeded:
    there is still time, the dates say how much.
    ## Example
    ```console
    $ costaudit analyze --config sample_logs/analyzers/budget-overrun.yaml sample_logs/analyzers/budget-overrun.jsonl
    …
           $1.25  all calls: budget of $10.00 a month will be exceeded about 2026-09-27, $1.25 beyond it
                  medium  budget-overrun · F-20e8ab · $1.25 · confidence medium · 36 requests
    …
    ```
    """

    name = "budget-overrun"
    kind = Kind.EXPOSURE
    reads = ("request_id", "started_at", "run_id", "cost_usd", "price_status", "low_usd", "high_usd", *SCOPES)

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        if not ledger.settings.budgets:
            raise CannotCheck("no budget: set one with `budgets:` in costaudit.yaml")
        calls = spend_rows(ledger.calls).filter(pl.col("started_at").is_not_null())
        if calls.is_empty():
            raise CannotCheck("no call has a time")
        zone = ledger.settings.zone
        for budget in ledger.settings.budgets:
            mine = calls.filter(
                pl.all_horizontal([pl.lit(value=True), *(pl.col(k) == v for k, v in budget.scope.items())])
            )
            if mine.is_empty():
                continue
            claim = _each(budget, mine) if budget.per in ("run", "call") else _periods(budget, mine, calls, zone)
            if claim is not None:
                yield claim


STANDING = pl.Schema(
    {
        "budget": pl.String(),
        "per": pl.String(),
        "budget_usd": USD,
        "spent_usd": USD,
        "low_usd": USD,
        "mid_usd": USD,
        "high_usd": USD,
        "periods": pl.Int64(),
        "over": pl.Int64(),
        "used_up": pl.Date(),
    }
)


def standing(budgets: Sequence[Budget], calls: pl.DataFrame, zone: tzinfo, start: date, end: date) -> pl.DataFrame:
    """How every budget stands in the days [start, end): one row each, in the order of the settings.

    calls  priced calls up to `end`; those before `start` only make the forecast
    out    budget (its scope), per, budget_usd; of the last period begun spent_usd, and where it ends: low_usd, mid_usd,
           high_usd; periods (runs, calls) in these days, those over the budget, the first day it is used up
    """
    spending = spend_rows(calls).filter(pl.col("started_at").is_not_null())
    inside = spending.filter(local_day(zone).is_between(start, end, closed="left"))
    rows = [_standing(budget, spending, inside, zone, start, end) for budget in budgets] if inside.height else []
    return pl.DataFrame(rows, schema=STANDING, orient="row")


def _standing(
    budget: Budget, calls: pl.DataFrame, inside: pl.DataFrame, zone: tzinfo, start: date, end: date
) -> tuple[object, ...]:
    of = pl.all_horizontal([pl.lit(value=True), *(pl.col(k) == v for k, v in budget.scope.items())])
    mine, here = calls.filter(of), inside.filter(of)
    name = _scope(budget)
    if budget.per in ("run", "call"):
        claim = _each(budget, here) if here.height else None
        of_them = here["run_id"].drop_nulls().n_unique() if budget.per == "run" else here.height
        spent = total_usd(here)
        return (
            name,
            budget.per,
            budget.usd,
            spent,
            spent,
            spent,
            spent,
            of_them,
            claim.evidence.height if claim else 0,
            None,
        )
    found = [o for o in _outlooks(budget, mine, calls, zone) if o.start < end and o.end > start]
    if not found:
        return name, budget.per, budget.usd, *(ZERO,) * 4, 0, 0, None
    over = [o for o in found if o.spent > budget.usd]
    last = found[-1]
    used_up = over[0].dates[1] if over else last.dates[1] if last.mid > budget.usd else None
    return name, budget.per, budget.usd, last.spent, last.low, last.mid, last.high, len(found), len(over), used_up


def _subject(budget: Budget) -> dict[str, str]:
    return {"per": budget.per, **dict(sorted(budget.scope.items()))}


def _name(budget: Budget) -> str:
    return f"{_scope(budget)}: budget of ${budget.usd:,.2f} a {budget.per}"


def _scope(budget: Budget) -> str:
    return ", ".join(f"{key} {value}" for key, value in sorted(budget.scope.items())) or "all calls"


def _each(budget: Budget, calls: pl.DataFrame) -> Claim | None:
    """Runs or calls that cost more than they may."""
    if budget.per == "run":
        # A run is limited as a whole, whatever tasks its calls have.
        own = calls.filter(pl.col("run_id").is_not_null())
        sums = own.group_by("run_id").agg(pl.first("task", "tenant", "request_id"), cost_usd=COST.sum(), n=pl.len())
    else:
        sums = calls.select("row", "run_id", "task", "tenant", "request_id", COST, n=pl.lit(1))
    limit = pl.lit(budget.usd, USD)
    over = sums.filter(pl.col("cost_usd") > limit).with_columns(overrun_usd=pl.col("cost_usd") - limit)
    if over.is_empty():
        return None
    listed = over.select("run_id", "task", "tenant", "request_id", "cost_usd", "overrun_usd").sort(
        "overrun_usd", "request_id", "run_id", descending=[True, False, False], nulls_last=True
    )
    what = "runs" if budget.per == "run" else "calls"
    return Claim(
        subject=_subject(budget),
        title=f"{_name(budget)} exceeded by {over.height:,} of {sums.height:,} {what}, {{usd}} beyond it",
        remedy=f"stop {what} at the budget (see `missing-ceiling`), or raise it on purpose",
        severity=Severity.HIGH,
        confidence=Confidence.HIGH,
        evidence=listed,
        because=(f"{sums.height:,} {what}",),
        stake_usd=total_usd(over, "overrun_usd"),
        requests=int(over["n"].sum()),
    )


def _outlooks(budget: Budget, mine: pl.DataFrame, calls: pl.DataFrame, zone: tzinfo) -> list[Outlook]:
    """Every period of a budget that the calls reach into, the last one to its end."""
    if mine.is_empty():
        return []
    today = calls.select(local_day(zone).max()).item()
    whole = today - timedelta(days=1) if partial_day(calls, zone) is not None else today
    days = mine.group_by(local_day(zone).alias("day")).agg(
        usd=COST.sum(), low=pl.coalesce("low_usd", COST).sum(), high=pl.coalesce("high_usd", COST).sum()
    )
    return [_outlook(budget, start, end, days, today, whole) for start, end in _calendar(budget.per, days, today)]


def _periods(budget: Budget, mine: pl.DataFrame, calls: pl.DataFrame, zone: tzinfo) -> Claim | None:
    """The periods of the window in which the budget is, or will be, exceeded."""
    outlooks = _outlooks(budget, mine, calls, zone)
    over = [o for o in outlooks if o.high > budget.usd]
    if not over:
        return None
    rows = [
        (o.start, o.end, budget.usd, o.spent, o.low, o.mid, o.high, max(o.mid - budget.usd, ZERO), *o.dates)
        for o in over
    ]
    money = ("budget_usd", "spent_usd", "low_usd", "mid_usd", "high_usd", "overrun_usd")
    schema = dict.fromkeys(("start", "end"), pl.Date()) | dict.fromkeys(money, USD)
    schema |= dict.fromkeys(("earliest", "likely", "latest"), pl.Date())
    evidence = pl.DataFrame(rows, schema=schema, orient="row").sort("overrun_usd", "start", descending=[True, False])
    confidence, words = _words(budget, over)
    return Claim(
        subject=_subject(budget),
        title=f"{_name(budget)} {words}, {{usd}} beyond it",
        remedy="look at the findings of the same scope, or raise the budget on purpose",
        severity=Severity.HIGH if confidence is Confidence.HIGH else Severity.MEDIUM,
        confidence=confidence,
        evidence=evidence,
        because=(_basis(mine, zone),),
        stake_usd=total_usd(evidence, "overrun_usd"),
        stake_low=sum((max(o.low - budget.usd, ZERO) for o in over), ZERO),
        stake_high=sum((o.high - budget.usd for o in over), ZERO),
        requests=mine.height,
    )


def _words(budget: Budget, over: list[Outlook]) -> tuple[Confidence, str]:
    """How sure, and in words: exceeded, will be, may be."""
    exceeded = [o for o in over if o.spent > budget.usd]
    if exceeded:
        return Confidence.HIGH, f"exceeded since {exceeded[-1].dates[1]}"
    latest = over[-1]
    word = "will" if latest.low > budget.usd else "may"
    when = f" about {latest.dates[1]}" if latest.dates[1] else f", {latest.dates[0]} at the earliest"
    return (Confidence.MEDIUM if word == "will" else Confidence.LOW), f"{word} be exceeded{when}"


def _outlook(budget: Budget, start: date, end: date, days: pl.DataFrame, today: date, whole: date) -> Outlook:
    """Spend of one period to its end [start, end): known days, then the days to come."""
    inside = days.filter(pl.col("day").is_between(start, end, closed="left")).sort("day")
    spent = total_usd(inside, "usd")
    if end <= today:
        gone = _used_up(inside, "usd", budget.usd)
        return Outlook(start, end, spent, total_usd(inside, "low"), spent, total_usd(inside, "high"), (gone,) * 3)
    history = {day: float(usd) for day, usd in days.filter(pl.col("day") <= whole).select("day", "usd").iter_rows()}
    known = inside.filter(pl.col("day") <= whole)
    coming = forecast(history, whole, end - timedelta(days=1)).path() if history else []
    ends, dates = [], []
    for column, path in (
        ("low", [c.low for c in coming]),
        ("usd", [c.value for c in coming]),
        ("high", [c.high for c in coming]),
    ):
        base = total_usd(known, column)
        # What today has already cost is spent, whatever the projection says.
        floor = total_usd(inside, column)
        ends.append(max(floor, base + _amount(path[-1] if path else 0.0)))
        gone = _used_up(inside, column, budget.usd)
        dates.append(
            gone
            or next((whole + timedelta(days=k) for k, x in enumerate(path, 1) if base + Decimal(x) > budget.usd), None)
        )
    return Outlook(start, end, spent, ends[0], ends[1], ends[2], (dates[2], dates[1], dates[0]))


def _amount(usd: float) -> Decimal:
    """A projection as an amount; what is beyond any budget stays within what a column of dollars holds."""
    with localcontext(prec=60):
        return Decimal(repr(min(max(usd, 0.0), MOST) if usd == usd else MOST)).quantize(PLACES)


def _used_up(days: pl.DataFrame, column: str, usd: Decimal) -> date | None:
    """The day on which the running total passes the budget."""
    total = ZERO
    for day, amount in days.select("day", column).iter_rows():
        total += amount
        if total > usd:
            return day if isinstance(day, date) else None
    return None


def _calendar(per: str, days: pl.DataFrame, today: date) -> list[tuple[date, date]]:
    """The periods [start, end) of a window, in order; the last holds `today`."""
    day = days.select(pl.col("day").min()).item()
    found = []
    start = _start(per, day)
    while start <= today:
        end = _end(per, start)
        found.append((start, end))
        start = end
    return found


def _start(per: str, day: date) -> date:
    if per == "month":
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if per == "week" else day


def _end(per: str, start: date) -> date:
    if per == "month":
        return start + timedelta(days=calendar.monthrange(start.year, start.month)[1])
    return start + timedelta(days=7 if per == "week" else 1)


def _basis(mine: pl.DataFrame, zone: tzinfo) -> str:
    days = mine.select(local_day(zone).n_unique()).item()
    if days < 28:
        return f"{days} days of history: run-rate with spread, no trend"
    return (
        f"{days} days of history: the trend of whole weeks, or the last week again where that is nearer; 80 % interval"
    )
