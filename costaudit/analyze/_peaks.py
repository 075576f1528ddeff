"""How full the minutes of a limited model are, and at which growth its limit breaks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import polars as pl

from costaudit.analyze._limits import KINDS, Limit
from costaudit.stats import peak_ahead

CACHE_FREE = ("anthropic", "groq")
"""Providers that do not count input read from a cache; platform.claude.com/docs/en/api/rate-limits (older models aside)
and console.groq.com/docs/rate-limits, read 2026-11-27."""
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Use(NamedTuple):
    """Requests or tokens a minute of the models under one limit.

    peak       99.9 % quantile of all minutes of the log; low, high: where that of as many minutes to come lies (95 %)
    breaks_at  growth at which the peak reaches the limit; fullest: the minute that was, in the report's zone
    """

    limit: str
    what: str
    allowed: int
    peak: int
    low: float
    high: float
    fullest: datetime

    @property
    def breaks_at(self) -> float:
        return self.allowed / self.peak


def used(limit: Limit, calls: pl.DataFrame) -> pl.DataFrame:
    """The calls of the models that a limit holds for."""
    names = calls.select(pl.col("provider").fill_null(""), "model").drop_nulls().unique().sort("provider", "model")
    mine = names.filter(
        pl.Series([limit.holds(provider, model) for provider, model in names.iter_rows()], dtype=pl.Boolean)
    )
    return calls.with_columns(pl.col("provider").fill_null("")).join(mine, on=["provider", "model"], how="semi")


def span_of(calls: pl.DataFrame) -> int:
    """Minutes from the first call to the last, both included."""
    return int(calls.select((pl.col("started_at").max() - pl.col("started_at").min()).dt.total_minutes()).item()) + 1


def minutes(limit: Limit, calls: pl.DataFrame) -> pl.DataFrame:
    """minute, KINDS, cost_usd, as the limit counts them; minutes without a call are not listed."""
    priced_as = pl.col("price_entry").str.split(":").list.first()
    served = pl.when(pl.col("provider") == "").then(priced_as).otherwise("provider").str.to_lowercase()
    free = served.is_in(CACHE_FREE) if limit.cached_input is None else pl.lit(not limit.cached_input)
    read = pl.when(free).then(pl.col("cache_read_tokens").fill_null(0)).otherwise(0)
    sent, answered = (pl.col("input_tokens").fill_null(0) - read).clip(0), pl.col("output_tokens").fill_null(0)
    return (
        calls.group_by(pl.col("started_at").dt.truncate("1m").alias("minute"))
        .agg(
            requests_per_minute=pl.len().cast(pl.Int64),
            tokens_per_minute=(sent + answered).sum(),
            input_tokens_per_minute=sent.sum(),
            output_tokens_per_minute=answered.sum(),
            cost_usd=pl.col("cost_usd").sum(),
        )
        .sort("minute")
    )


def uses(limit: Limit, calls: pl.DataFrame, every: pl.DataFrame, zone: str) -> Iterator[Use]:
    """What a limit says against what is used of it.

    calls  of the models under the limit; every: all calls of the log, whose span gives the quiet minutes
    """
    span = span_of(every)
    busy = minutes(limit, calls)
    first = every["started_at"].min()
    places = busy.select((pl.col("minute") - pl.lit(first).dt.truncate("1m")).dt.total_minutes()).to_series().to_list()
    for kind in KINDS:
        allowed = getattr(limit, kind)
        if allowed is None:
            continue
        found = peak_ahead(dict(zip(places, busy[kind].cast(pl.Float64).to_list(), strict=True)), span)
        if found.value > 0:
            fullest = busy.sort(kind, "minute", descending=[True, False]).select(
                pl.col("minute").dt.convert_time_zone(zone)
            )
            yield Use(limit.match, kind, allowed, int(found.value), found.low, found.high, fullest.item(0, 0))
