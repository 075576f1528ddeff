"""Calls in order of their runs: sorted once by one number, so that what a run does reads as a column."""

from __future__ import annotations

import polars as pl

from costaudit.analyze._analyzer import without

_SPAN = 2**32  # steps a run may have; one that a log numbers beyond is sorted the slow way


def in_runs(calls: pl.DataFrame) -> pl.DataFrame:
    """The calls that belong to a run, in order of run, step (unknown: last) and row, with `run` [UInt32], a number of
    the run, `begins`, whether the call is its first, and `nth`, its position from 1.

    calls   row, run_id, step and whatever else, in order of `row`
    """
    known = without(calls, pl.col("run_id").is_null())
    known = known.with_columns(run=pl.col("run_id").cast(pl.Categorical).to_physical().cast(pl.UInt32))
    step = pl.col("step")
    if known.select((step.min() >= 0) & (step.max() < _SPAN - 1) | (step.count() == 0)).item():
        place = pl.col("run").cast(pl.UInt64) * _SPAN + step.cast(pl.UInt64).fill_null(_SPAN - 1)
        order = known.select(place=place).with_row_index("at").sort("place", maintain_order=True)["at"]
        ordered = known[order]
    else:
        ordered = known.sort("run", "step", "row", nulls_last=True)
    at = pl.int_range(pl.len(), dtype=pl.Int64)
    return ordered.with_columns(begins=(pl.col("run") != pl.col("run").shift()).fill_null(value=True)).with_columns(
        nth=at - pl.when("begins").then(at).forward_fill() + 1
    )


def running(name: str) -> pl.Expr:
    """The running total of a column of `in_runs` within each run; the column has no nulls."""
    total = pl.col(name).cum_sum()
    return total - pl.when("begins").then(total - pl.col(name)).forward_fill()
