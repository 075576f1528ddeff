"""Where the money went: tables that add up to the total, to the last decimal."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import polars as pl

from costaudit.audit import Spend
from costaudit.finding import ZERO
from costaudit.price.book import PriceBook
from costaudit.price.cells import NO_DAY, SPANS, TOKENS
from costaudit.price.engine import READS as PRICING
from costaudit.price.engine import list_usd
from costaudit.price.exact import NOTHING, sum_usd
from costaudit.schema import USD

NO_TASK, NO_TENANT, NO_MODEL = "(no task)", "(no tenant)", "(no model)"
TASKS = 5  # whose days are told apart: a chart shows no more
AGREES = 0.01  # relative; costs rounded to cents or to four digits still agree
_READ = ("started_at", "run_id", "task", "tenant", "provider", "model", "cost_usd", "cost_logged_usd", *TOKENS)


def spend(calls: pl.DataFrame, book: PriceBook | None = None, *, tz: str = "UTC") -> Spend:
    """The spend of priced calls by task, model, tenant and day; most dollars first, ties by name, days in order.

    in   priced calls; roll-ups are no calls and are left out. Unpriced calls count as requests with no dollars.
    tz   zone of the days
    book  to state what calls under a subscription would cost at list price
    """
    counted = _counted(calls, _READ)
    total = sum_usd(counted["cost_usd"])
    days = _by_day_task(counted, tz)
    by_task = _by(counted, "task", NO_TASK, total)
    return Spend(
        total_usd=total,
        by_task=by_task,
        by_model=_by_model(counted),
        by_tenant=_by(counted, "tenant", NO_TENANT, total, p95=False).drop("usd_per_request", "p95_usd"),
        by_day=days.group_by("day").agg(pl.col("requests", "cost_usd").sum()).sort("day"),
        logged=logged(counted),
        subscription_usd=_subscription(calls, book),
        by_day_task=_dearest(days, by_task["task"].head(TASKS).to_list()),
    )


def spend_by(calls: pl.DataFrame, grouping: str, *, tz: str = "UTC") -> pl.DataFrame:
    """The spend of priced calls by any grouping of `config.BY`, with the columns of `Spend.by_task`.

    grouping  a column of the request table, `run`, or hour, day, week, month of the zone `tz`; spans of time in their
              order, everything else by dollars
    """
    column = "run_id" if grouping == "run" else grouping
    counted = _counted(
        calls, dict.fromkeys(("started_at", "run_id", "cost_usd", *([] if grouping in SPANS else [column])))
    )
    total = sum_usd(counted["cost_usd"])
    if grouping not in SPANS:
        named = counted.with_columns(pl.col(column).cast(pl.String).alias(grouping))
        return _by(named, grouping, f"(no {grouping})", total)
    span = pl.col("started_at").dt.convert_time_zone(tz).dt.to_string(SPANS[grouping])
    return _by(counted.with_columns(span.alias(grouping)), grouping, NO_DAY, total).sort(grouping)


def _counted(calls: pl.DataFrame, columns: Iterable[str]) -> pl.DataFrame:
    """Some columns of the calls that restate no others; no copy of them where none does."""
    restating = calls["rollup"].fill_null(value=False)
    return calls.select(list(columns)).filter(~restating) if restating.any() else calls.select(list(columns))


def _by(calls: pl.DataFrame, column: str, nobody: str, total: Decimal, *, p95: bool = True) -> pl.DataFrame:
    """One row a value, calls without one under `nobody`, which is always there; without `p95` that column is null."""
    # the 95th dearest call in a hundred, a cost that occurred (nearest rank): exact, no interpolation
    dearest = pl.col("cost_usd").drop_nulls().top_k(_dearer_than_p95())
    known = pl.col("cost_usd").fill_null(NOTHING)
    grouped = calls.group_by(pl.col(column).fill_null(nobody)).agg(
        pl.len().cast(pl.Int64).alias("requests"),
        pl.col("run_id").drop_nulls().n_unique().cast(pl.Int64).alias("runs"),
        known.sum().alias("cost_usd"),
        pl.col("cost_usd").count().cast(pl.Int64).alias("_known"),
        (dearest.min() if p95 else pl.lit(None, USD)).alias("p95_usd"),
    )
    if not grouped.filter(pl.col(column) == nobody).height:
        none = pl.lit(0, pl.Int64)
        empty = pl.select(pl.lit(nobody).alias(column), requests=none, runs=none, cost_usd=NOTHING, _known=none)
        grouped = pl.concat([grouped, empty.with_columns(p95_usd=pl.lit(None)).cast(grouped.schema)])
    # A call without a price would make the others look cheaper: the mean is that of calls whose cost is known.
    each = pl.when(pl.col("_known") > 0).then(pl.col("cost_usd") / pl.col("_known").cast(pl.Decimal(38, 0)))
    share = pl.col("cost_usd").cast(pl.Float64) / float(total) if total else pl.lit(0.0)
    return (
        grouped.sort("cost_usd", "requests", column, descending=[True, True, False])
        .with_columns(share=share, usd_per_request=each)
        .select(column, "requests", "runs", "cost_usd", "share", "usd_per_request", "p95_usd")
    )


def _dearer_than_p95() -> pl.Expr:
    """How many calls cost as much as the 95th of a hundred, or more; 0 of none."""
    known = pl.col("cost_usd").drop_nulls().len().cast(pl.Int64)
    return known - (((known * 95 + 99) // 100) - 1).clip(0)


def _by_model(calls: pl.DataFrame) -> pl.DataFrame:
    return (
        calls.lazy()
        .group_by(pl.col("model").fill_null(NO_MODEL), pl.col("provider").fill_null(""))
        .agg(
            pl.len().cast(pl.Int64).alias("requests"),
            pl.col("cost_usd").fill_null(NOTHING).sum(),
            *(pl.col(name).sum() for name in TOKENS),
        )
        .collect(engine="streaming")
        .sort("cost_usd", "requests", "model", "provider", descending=[True, True, False, False])
    )


def _by_day_task(calls: pl.DataFrame, tz: str) -> pl.DataFrame:
    day = pl.col("started_at").dt.convert_time_zone(tz).dt.date().alias("day")
    sums = (
        calls.lazy()
        .group_by(day, "task")
        .agg(pl.len().cast(pl.Int64).alias("requests"), pl.col("cost_usd").fill_null(NOTHING).sum())
        .collect(engine="streaming")
    )
    # Days and tasks are written out once a row of the table, not once a call.
    named = sums.with_columns(pl.col("day").cast(pl.String).fill_null(NO_DAY), pl.col("task").fill_null(NO_TASK))
    return named.group_by("day", "task").agg(pl.col("requests", "cost_usd").sum())


def _dearest(days: pl.DataFrame, tasks: list[str]) -> pl.DataFrame:
    """The days of some tasks, in order."""
    return days.filter(pl.col("task").is_in(tasks), pl.col("cost_usd") > 0).drop("requests").sort("day", "task")


def logged(calls: pl.DataFrame) -> pl.DataFrame:
    """The cost the log states against ours, by model: requests, agree, logged_usd, computed_usd, likely cause.

    Only calls with both figures; the largest gap first.
    """
    both = calls.filter(pl.col("cost_logged_usd").is_not_null() & pl.col("cost_usd").is_not_null())
    ours, theirs = pl.col("cost_usd").cast(pl.Float64), pl.col("cost_logged_usd").cast(pl.Float64)
    near = (ours - theirs).abs() <= AGREES * pl.max_horizontal(ours, theirs)
    return (
        both.group_by(pl.col("model").fill_null(NO_MODEL))
        .agg(
            pl.len().cast(pl.Int64).alias("requests"),
            near.sum().cast(pl.Int64).alias("agree"),
            pl.col("cost_logged_usd").sum().alias("logged_usd"),
            pl.col("cost_usd").sum().alias("computed_usd"),
            ((theirs == 0) & (ours > 0)).sum().alias("_zero"),
        )
        .with_columns(_cause())
        .sort((pl.col("logged_usd") - pl.col("computed_usd")).abs(), "model", descending=[True, False])
        .drop("_zero")
    )


def _cause() -> pl.Expr:
    """The likeliest reason for a gap; null where at least 99 % of the calls agree."""
    ratio = pl.col("logged_usd").cast(pl.Float64) / pl.col("computed_usd").cast(pl.Float64)
    return (
        pl.when(pl.col("agree") >= 0.99 * pl.col("requests"))
        .then(None)
        .when(pl.col("_zero") * 2 > pl.col("requests"))
        .then(pl.lit("the log writes 0 where it did not know the price"))
        .when(ratio > 1)
        .then(pl.lit("the log's price is dearer: cached input at the full rate, or a newer, lower price"))
        .otherwise(pl.lit("the log's price is cheaper: cache writes, fees or a tier left out, or a discount"))
        .alias("cause")
    )


def _subscription(calls: pl.DataFrame, book: PriceBook | None) -> Decimal:
    mine = (pl.col("price_status") == "subscription") & ~pl.col("rollup").fill_null(value=False)
    under = calls.select(mine).to_series()
    if book is None or not under.any():
        return ZERO
    priced = calls.select(name for name in PRICING if name in calls.columns)
    return sum_usd(list_usd(priced.filter(under), book))
