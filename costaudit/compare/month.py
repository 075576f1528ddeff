"""The monthly review: this month against the month before, growth apart from efficiency, to the cent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal

import polars as pl

from costaudit.audit import Audit, Window
from costaudit.compare._coming import coming, days_of, with_trend
from costaudit.compare._followed import follow
from costaudit.errors import UsageError
from costaudit.price.book import PriceBook
from costaudit.price.bridge import bridge
from costaudit.price.entry import Period
from costaudit.price.exact import sum_usd
from costaudit.price.mix import units
from costaudit.price.spend import NO_MODEL, NO_TASK, NO_TENANT
from costaudit.schema import USD
from costaudit.verdict import Month, Regression

PARTIAL = timedelta(days=1)  # a log that is silent for longer at the end of a month may not hold all of it
MONTHS = (  # not strftime: its words follow the machine's language
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
WRITTEN = re.compile(r"((?:19[7-9]|2\d\d)\d)-(0[1-9]|1[0-2])", re.ASCII)
NOBODY = {"task": NO_TASK, "model": NO_MODEL, "tenant": NO_TENANT}
EVENTS = pl.Schema(
    {
        "model": pl.String(),
        "on": pl.Date(),
        "class": pl.String(),
        "before_usd": USD,
        "after_usd": USD,
        "announced": pl.Boolean(),
    }
)
ZERO = Decimal(0)

__all__ = ["days_of", "following", "label", "parse", "preceding", "price_events", "review", "window"]


def parse(written: str) -> date:
    """`2026-10` as the first day of that month; UsageError otherwise."""
    found = WRITTEN.fullmatch(written)
    if found is None:
        raise UsageError(f"not a month: {written}", hint="a month is written 2026-10")
    return date(int(found[1]), int(found[2]), 1)


def following(month: date) -> date:
    """The first day of the next month."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def preceding(month: date) -> date:
    """The first day of the month before."""
    return (month - timedelta(days=1)).replace(day=1)


def window(month: date, zone: tzinfo, tz: str) -> Window:
    """The half-open window of a month in a time zone."""
    start, end = (datetime.combine(day, time(), zone).astimezone(UTC) for day in (month, following(month)))
    return Window(start, end, tz)


def label(month: date) -> str:
    """`October 2026`."""
    return f"{MONTHS[month.month - 1]} {month.year}"


def review(
    audit: Audit,
    calls: pl.DataFrame,
    before: pl.DataFrame | None,
    book: PriceBook,
    *,
    month: date,
    compared: date,
    zone: tzinfo,
    before_share: float | None = None,
    before_audit: Audit | None = None,
    history: pl.DataFrame | None = None,
    budgets: pl.DataFrame | None = None,
    level: float = 0.8,
) -> Month:
    """The review of a month.

    calls, before   priced calls [schema.CALLS] of the month and of the one compared with; None: no logs of it
    month, compared first days of the two
    before_share    share of the month compared with that is priced; before_audit: its findings
    history         spend before the month by `days_of`; budgets: how they stand
    level           of the interval of the forecast
    """
    now_window, then_window = window(month, zone, audit.window.tz), window(compared, zone, audit.window.tz)
    earlier = calls.clear() if before is None else before
    bars = None
    if before is not None:
        bars = bridge(before, calls, book, days=(_days(then_window), _days(now_window)))
    daily = days_of(calls, zone) if history is None else pl.concat([history, days_of(calls, zone)])
    findings = (*(before_audit.findings if before_audit else ()), *audit.findings)
    return Month(
        audit=audit,
        label=label(month),
        before_label=label(compared),
        before_window=then_window,
        before_usd=None if before is None else sum_usd(_counted(before)["cost_usd"]),
        before_share=before_share,
        bridge=bars,
        tables={by: with_trend(_table(calls, earlier, by), daily, by) for by in NOBODY},
        price_events=price_events(pl.concat([earlier, calls]), book, then_window, now_window),
        notes=tuple(_partial(calls, earlier, now_window, then_window)),
        drill=None if before is None else _drill(calls, before),
        price_effects={
            (f.subject["model"], date.fromisoformat(f.subject["date"])): f.stake_usd
            for f in findings
            if f.rule == "price-change"
        },
        followed=None if before is None or before_audit is None else follow(audit, before_audit, calls, before, book),
        regressions=tuple(_regressions(audit)),
        budgets=budgets,
        coming=coming(daily, month, zone, calls, level=level),
    )


def _drill(calls: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """Spend of both months by task, model and tenant."""
    keys = list(NOBODY)
    named = [pl.col(name).fill_null(nobody) for name, nobody in NOBODY.items()]
    sides = [_counted(side).group_by(named).agg(pl.col("cost_usd").sum()) for side in (before, calls)]
    both = sides[0].rename({"cost_usd": "before_usd"}).join(sides[1], on=keys, how="full", coalesce=True)
    change = pl.col("cost_usd") - pl.col("before_usd")
    return (
        both.with_columns(pl.col("before_usd", "cost_usd").fill_null(ZERO))
        .with_columns(change_usd=change)
        .sort(pl.col("change_usd").abs(), *keys, descending=[True, False, False, False])
    )


def _regressions(audit: Audit) -> Iterator[Regression]:
    found = [f for f in audit.findings if f.rule == "cost-regression"]
    dated = [
        (f, min(f.evidence["day"].drop_nulls(), default=None) if "day" in f.evidence.columns else None) for f in found
    ]
    for finding, since in sorted(dated, key=lambda pair: (pair[1] or date.min, pair[0].order)):
        yield Regression(since, finding.title, finding.stake_usd, finding.id)


def _days(of: Window) -> float:
    """Length of a window in days; a month with a clock change has a fraction."""
    if of.start is None or of.end is None:
        raise ValueError("a month has two ends")
    return (of.end - of.start) / timedelta(days=1)


def _counted(calls: pl.DataFrame) -> pl.DataFrame:
    return calls.filter(~pl.col("rollup").fill_null(value=False))


def _table(calls: pl.DataFrame, before: pl.DataFrame, by: str) -> pl.DataFrame:
    """Spend and unit cost of both months by one column; the dearest first.

    No calls in a month cost nothing; calls without any price cost an unknown amount: null, and so is their change.
    """
    sides = [_summed(calls, by), _summed(before, by).rename({"cost_usd": "before_usd", "units": "units_before"})]
    joined = sides[0].join(sides[1], on=by, how="full", coalesce=True)
    known = joined.with_columns(
        cost_usd=pl.when(pl.col("units").is_null()).then(ZERO).otherwise("cost_usd"),
        before_usd=pl.when(pl.col("units_before").is_null()).then(ZERO).otherwise("before_usd"),
    ).with_columns(pl.col("units", "units_before").fill_null(0))
    return (
        known.with_columns(
            change_usd=pl.col("cost_usd") - pl.col("before_usd"),
            unit_usd=_each("cost_usd", "units"),
            unit_before_usd=_each("before_usd", "units_before"),
        )
        .sort("cost_usd", "before_usd", by, descending=[True, True, False], nulls_last=True)
        .select(by, "cost_usd", "before_usd", "change_usd", "units", "units_before", "unit_usd", "unit_before_usd")
    )


def _summed(calls: pl.DataFrame, by: str) -> pl.DataFrame:
    return (
        _counted(calls)
        .group_by(pl.col(by).fill_null(NOBODY[by]))
        .agg(
            cost_usd=pl.when(pl.col("price_status").eq_missing("unpriced").all())
            .then(None)
            .otherwise(pl.col("cost_usd").sum()),
            units=(pl.len() if by == "model" else units()).cast(pl.Int64),
        )
    )


def _each(amount: str, units: str) -> pl.Expr:
    return pl.when(pl.col(units) > 0).then(pl.col(amount) / pl.col(units).cast(pl.Decimal(38, 0))).cast(USD)


def price_events(calls: pl.DataFrame, book: PriceBook, before: Window, now: Window) -> pl.DataFrame:
    """Changes of the standard rates of models in use: inside the two months, or announced for later."""
    rows = [
        event
        for entry in calls["price_entry"].drop_nulls().unique().sort().to_list()
        for event in _changes(entry, book, before, now)
    ]
    return pl.DataFrame(rows, schema=EVENTS, orient="row").sort("on", "model", "class")


def _changes(
    entry: str, book: PriceBook, before: Window, now: Window
) -> Iterator[tuple[str, date, str, Decimal | None, Decimal | None, bool]]:
    provider, _, name = entry.partition(":")
    model = book.find(provider, name)
    if model is None or before.start is None or now.end is None:
        return
    previous: Period | None = None
    for period in model.prices:
        if previous is not None and period.start is not None and period.start > before.start:
            for kind in sorted(previous.rates.keys() | period.rates.keys()):
                rates = previous.rates.get(kind), period.rates.get(kind)
                if rates[0] != rates[1]:
                    yield entry, period.start.date(), kind, *rates, period.start >= now.end
        previous = period


def _partial(calls: pl.DataFrame, before: pl.DataFrame, now: Window, then: Window) -> Iterator[str]:
    """A month whose log begins late or ends early is compared with a whole one: say so."""
    for frame, of, which in ((calls, now, "this month"), (before, then, "the month before")):
        first, last = frame["started_at"].min(), frame["started_at"].max()
        if not isinstance(first, datetime) or not isinstance(last, datetime) or of.start is None or of.end is None:
            continue
        if first - of.start > PARTIAL:
            yield f"the log of {which} begins {(first - of.start).days} days after its start"
        if of.end - last > PARTIAL:
            yield f"the log of {which} ends {(of.end - last).days} days before its end"
