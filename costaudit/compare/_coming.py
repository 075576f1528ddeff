"""Spend day by day: the trend of a table's rows, what the month comes to, and the next one."""

from __future__ import annotations

import calendar
from datetime import date, timedelta, tzinfo

import polars as pl

from costaudit.price.spend import NO_MODEL, NO_TASK, NO_TENANT
from costaudit.schema import USD
from costaudit.stats import Interval, forecast
from costaudit.verdict import Coming

WEEKS = 12  # of a trend in a table
QUIET = timedelta(hours=6)  # a last day whose log ends earlier than this before midnight is not whole
DAYS = pl.Schema({"day": pl.Date(), "task": pl.String(), "model": pl.String(), "tenant": pl.String(), "usd": USD})
SUM = pl.col("usd").sum().cast(pl.Float64)  # exact until then: the order of rows decides no digit


def days_of(calls: pl.DataFrame, zone: tzinfo) -> pl.DataFrame:
    """Spend by day of the zone, task, model and tenant [USD]; calls without a time are in no day."""
    counted = calls.filter(~pl.col("rollup").fill_null(value=False) & pl.col("started_at").is_not_null())
    return (
        counted.group_by(
            day=pl.col("started_at").dt.convert_time_zone(str(zone)).dt.date(),
            task=pl.col("task").fill_null(NO_TASK),
            model=pl.col("model").fill_null(NO_MODEL),
            tenant=pl.col("tenant").fill_null(NO_TENANT),
        )
        .agg(usd=pl.col("cost_usd").sum())
        .select(*DAYS)
        .cast(DAYS)
    )


def with_trend(table: pl.DataFrame, days: pl.DataFrame, by: str) -> pl.DataFrame:
    """The table with `trend`: spend of the weeks that end with the last day, the oldest first."""
    last = days["day"].max()
    if not isinstance(last, date):
        return table.with_columns(trend=pl.lit([], pl.List(pl.Float64)))
    first = days["day"].min()
    weeks = max(1, min(WEEKS, ((last - first).days + 1) // 7)) if isinstance(first, date) else 1  # whole ones
    ago = ((pl.lit(last) - pl.col("day")).dt.total_days() // 7).alias("ago")
    sums = days.group_by(by, ago).agg(SUM).filter(pl.col("ago") < weeks)
    found: dict[str, list[float]] = {name: [0.0] * weeks for name in table[by]}
    for name, week, usd in sums.iter_rows():
        if name in found:
            found[name][weeks - 1 - week] = usd
    return table.with_columns(trend=pl.Series([found[name] for name in table[by]], dtype=pl.List(pl.Float64)))


def coming(days: pl.DataFrame, month: date, zone: tzinfo, calls: pl.DataFrame, *, level: float) -> Coming | None:
    """What the month comes to and what follows, from the days up to its last logged one; None without any day.

    days   of the month and of what is known before it; see `days_of`
    """
    if days.is_empty():
        return None
    history = dict(days.group_by("day").agg(SUM).sort("day").iter_rows())
    last = max(history)
    end = month.replace(day=calendar.monthrange(month.year, month.month)[1])
    next_first = end + timedelta(days=1)
    next_end = next_first.replace(day=calendar.monthrange(next_first.year, next_first.month)[1])
    whole = last
    latest = calls.select(pl.col("started_at").max().dt.convert_time_zone(str(zone)).dt.time()).item()
    cut = latest is not None and timedelta(hours=latest.hour, minutes=latest.minute) < timedelta(days=1) - QUIET
    if last < end and cut and len(history) > 1:
        whole = last - timedelta(days=1)  # the log goes on within its last day
    known = {day: usd for day, usd in history.items() if day <= whole}
    found = forecast(known, whole, next_end, level=level)
    spent = sum(usd for day, usd in history.items() if month <= day <= whole)
    closing = None
    if last < end:
        rest = found.over(whole + timedelta(days=1), end)
        least = sum(usd for day, usd in history.items() if day >= month)
        closing = Interval(*(max(least, spent + x) for x in rest))
    ahead = (next_end - whole).days
    following = found.over(next_first, next_end) if ahead <= max(found.days, 28) else None
    return Coming(found, closing, following, f"{next_first:%Y-%m}")
