"""Unit cost in time: points of a task's series, the weekday taken out, the day the log ends in left out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta, tzinfo
from statistics import median

import msgspec
import polars as pl

from costaudit.analyze._analyzer import NO_TASK
from costaudit.analyze._units import KIND, SPENT
from costaudit.price.engine import READS as PRICING
from costaudit.price.engine import price
from costaudit.price.ledger import AT_ONCE, Ledger
from costaudit.price.tariff import Key, timeline

SEASON = 21  # daily points from which a weekday has an effect of its own
LONGEST = 60  # bins of a sparse task; more would only make each of them noisier
WORKED = ("task", "tenant", "started_at", "cost_usd")
TASK = pl.col("task").fill_null(NO_TASK)
_DAY = timedelta(days=1)


class Series(msgspec.Struct, frozen=True):
    """Unit cost of one task (of one tenant) in time.

    points   day, last_day, units, calls, cost_usd [USD], first: `unit` of the first unit; in order of time
    daily    whether a point is a day; else it is a bin of consecutive units
    """

    task: str
    tenant: str | None
    points: pl.DataFrame
    daily: bool

    @property
    def subject(self) -> dict[str, str]:
        return {"task": self.task} | ({"tenant": self.tenant} if self.tenant is not None else {})

    @property
    def logs(self) -> list[float]:
        """ln(unit cost) of each point, less what its weekday usually adds."""
        values = [math.log(float(usd) / n) for usd, n in self.points.select("cost_usd", "units").iter_rows()]
        if not self.daily or len(values) < SEASON:
            return values
        effect = weekday_effects(self.points["day"].to_list(), values)
        return [v - effect[day.weekday()] for v, day in zip(values, self.points["day"], strict=True)]


def weekday_effects(days: Sequence[date], values: Sequence[float]) -> list[float]:
    """What each weekday usually adds: the median of its distances from the centred 7-day median."""
    known = dict(zip(days, values, strict=True))
    apart: list[list[float]] = [[] for _ in range(7)]
    for day, value in known.items():
        near = [known[d] for k in range(-3, 4) if (d := day + k * _DAY) in known]
        apart[day.weekday()].append(value - median(near))
    return [median(found) if found else 0.0 for found in apart]


def spending(ledger: Ledger) -> pl.DataFrame:
    """The calls that can carry spend, with what units of work are made of: row, run_id, WORKED; in order of `row`."""
    return ledger.each(("row", "run_id", *WORKED), SPENT)


def at_one_price(calls: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """The spending calls as if all of them had been sent at the end of the log: price moves belong to `price-change`.

    Calls without a price at that moment keep their cost.

    calls   as `spending` gives them
    """
    now = calls["started_at"].max()
    if now is None or not _price_moved(ledger):
        return calls
    sent = pl.lit(now, calls.schema["started_at"]).alias("started_at")
    kept = (pl.col("price_status") != "priced") | pl.col("again").is_null()
    read = tuple(dict.fromkeys((*PRICING, "cost_usd", "price_status")))
    costs = []
    for start in range(0, calls.height, AT_ONCE):
        part = ledger.at(calls["row"].slice(start, AT_ONCE), read)
        again = price(part.drop("cost_usd").with_columns(sent), ledger.book)["cost_usd"]
        cost = pl.when(kept.fill_null(value=True)).then("cost_usd").otherwise("again")
        costs.append(part.with_columns(again=again).select(cost).to_series())
    return calls.with_columns(pl.concat(costs).alias("cost_usd"))


def _price_moved(ledger: Ledger) -> bool:
    """Whether a tariff of the spending calls changes within them, or with the hour of the day."""
    kinds = (
        ledger.each(("row", KIND, "started_at"), SPENT & pl.col("started_at").is_not_null())
        .group_by("kind")
        .agg(pl.first("row"), first=pl.min("started_at"), last=pl.max("started_at"))
    )
    keys = ledger.at(kinds["row"], Key._fields).drop("row")
    for key, (first, last) in zip(keys.iter_rows(), kinds.select("first", "last").iter_rows(), strict=True):
        line = timeline(ledger.book, Key(*key))
        if any(first < start <= last for start in line.starts) or any(tariff.hours for tariff in line.tariffs):
            return True
    return False


def work(calls: pl.DataFrame, zone: tzinfo) -> pl.DataFrame:
    """One row a unit of work that is priced as a whole: unit, task, tenant, day [in the zone], started_at, cost_usd,
    calls.

    calls   as `spending` gives them
    """
    # Names are looked up when the units are in order: until then the place of a call stands for them.
    found = pl.concat([_alone(calls), _of_runs(calls)]).sort("unit")
    if not found["started_at"].is_sorted():
        found = found.sort("started_at", maintain_order=True)
    task = calls["task"].gather(found["at"]).fill_null(NO_TASK)
    tenant = calls["tenant"].gather(found["named"])
    return found.select("unit", task, tenant, *WORKED[2:], "calls").with_columns(day=local_day(zone))


def _alone(calls: pl.DataFrame) -> pl.DataFrame:
    """The calls without a run: most of the units, and they need no grouping."""
    known = pl.all_horizontal(pl.col("started_at", "cost_usd").is_not_null())
    at = calls.select(pl.col("run_id").is_null() & known).to_series().arg_true().alias("at")
    return calls.select(pl.col("row").alias("unit"), *WORKED[2:])[at].select(
        "unit", *WORKED[2:], pl.lit(1, pl.UInt32).alias("calls"), at.alias("at"), at.alias("named")
    )


def _of_runs(calls: pl.DataFrame) -> pl.DataFrame:
    at = calls.select(pl.col("run_id").is_not_null() & pl.col("started_at").is_not_null()).to_series().arg_true()
    key = (TASK.hash(1) ^ pl.col("run_id").hash(2)).alias("key")
    has = pl.col("tenant").is_not_null().alias("has")
    own = calls.select(key, has, *WORKED[2:])[at].with_columns(at.alias("at"))
    sums = (
        own.with_columns(named=pl.when("has").then("at"))
        .group_by("key")
        .agg(
            pl.min("at", "named"),
            pl.min("started_at"),
            pl.sum("cost_usd"),
            calls=pl.len().cast(pl.UInt32),
            unknown=pl.col("cost_usd").null_count(),
        )
        .filter(pl.col("unknown") == 0)
    )
    unit = calls["row"].gather(sums["at"]).alias("unit")
    return sums.select(unit, *WORKED[2:], "calls", "at", pl.coalesce("named", "at").alias("named"))


def local_day(zone: tzinfo) -> pl.Expr:
    """The day of `started_at` in a zone."""
    return pl.col("started_at").dt.convert_time_zone(str(zone)).dt.date()


def partial_day(calls: pl.DataFrame, zone: tzinfo) -> date | None:
    """The last day of a log where it ends earlier than its days usually do; None where the day looks whole.

    A day is whole if the time from its last call to midnight is among the 95 % shortest of the days before.
    """
    ends = (
        calls.filter(pl.col("started_at").is_not_null())
        .select(day=local_day(zone), at=pl.col("started_at").dt.convert_time_zone(str(zone)).dt.time())
        .group_by("day")
        .agg(pl.max("at"))
        .sort("day")
    )
    if ends.height < 2:
        return None
    seconds = ends.select(pl.col("at").cast(pl.Duration("us")).dt.total_seconds()).to_series()
    usual = seconds[:-1].quantile(0.05, "lower")
    return ends["day"][-1] if usual is not None and seconds[-1] < usual else None


def series(units: pl.DataFrame, task: str, tenant: str | None, *, a_day: int, a_bin: int, least: int) -> Series | None:
    """The points of a task: days with `a_day` units or more; bins of `a_bin` or more where most days have fewer.

    None where that gives fewer than `least` points. A busy task of a few days has no series: its hours are no days.
    """
    every = _points(units.with_columns(point=pl.col("day")))
    days = every.filter((pl.col("units") >= a_day) & (pl.col("cost_usd") > 0))
    if days.height >= least:
        return Series(task, tenant, days, daily=True)
    if 2 * days.height > every.height:
        return None
    size = max(a_bin, units.height // LONGEST)
    whole = units.head(units.height // size * size)
    bins = _points(whole.with_columns(point=pl.int_range(pl.len()) // size)).filter(pl.col("cost_usd") > 0)
    return Series(task, tenant, bins, daily=False) if bins.height >= least else None


def _points(units: pl.DataFrame) -> pl.DataFrame:
    return (
        units.group_by("point")
        .agg(
            day=pl.min("day"),
            last_day=pl.max("day"),
            units=pl.len().cast(pl.Int64),
            calls=pl.sum("calls"),
            cost_usd=pl.sum("cost_usd"),
            first=pl.first("unit"),
        )
        .sort("point")
        .drop("point")
    )
