"""Calls in order of their runs: sorted once by one number, so that what a run does reads as a column."""

from __future__ import annotations

import polars as pl

from costaudit.analyze._analyzer import without

_SPAN = 2**32  # steps a run may have; one that a log numbers beyond is sorted the slow way


def in_runs(calls: pl.DataFrame) -> pl.DataFrame:
    """The calls that belong to a run, in order of run, step and row, with `run` [UInt32], a number of the run,
    `begins`, whether the call is its first, and `nth`, its position from 1.

    Steps order a run only where each of its calls has one of its own: agents of one run that count for themselves, and
    calls that nobody counted, stand in order of time.

    calls   row, run_id, step and whatever else, in order of `row`
    """
    known = without(calls, pl.col("run_id").is_null())
    known = known.with_columns(run=pl.col("run_id").cast(pl.Categorical).to_physical().cast(pl.UInt32))
    keys = known.select("run", "step")
    order = _order(keys)
    unclear = _unclear(keys[order])
    if unclear.len():
        order = _order(keys.with_columns(step=pl.when(~pl.col("run").is_in(unclear.implode())).then("step")))
    ordered = known[order]
    at = pl.int_range(pl.len(), dtype=pl.Int64)
    return ordered.with_columns(begins=(pl.col("run") != pl.col("run").shift()).fill_null(value=True)).with_columns(
        nth=at - pl.when("begins").then(at).forward_fill() + 1
    )


def _order(keys: pl.DataFrame) -> pl.Series:
    """Places of the calls [run, step] by run and step, else as they stand."""
    step = pl.col("step")
    if keys.select((step.min() >= 0) & (step.max() < _SPAN - 1) | (step.count() == 0)).item():
        place = pl.col("run").cast(pl.UInt64) * _SPAN + step.cast(pl.UInt64).fill_null(_SPAN - 1)
        return keys.select(place=place).with_row_index("at").sort("place", maintain_order=True)["at"]
    return keys.with_row_index("at").sort("run", "step", "at", nulls_last=True)["at"]


def _unclear(ordered: pl.DataFrame) -> pl.Series:
    """Runs of which some steps are unknown, or stand twice; the calls in order of run and step, unknown ones last."""
    same, before = (pl.col(name) == pl.col(name).shift() for name in ("run", "step"))
    lost = pl.col("step").is_null() & pl.col("step").shift().is_not_null()
    return ordered.filter(same & (before | lost))["run"].unique()


def running(name: str) -> pl.Expr:
    """The running total of a column of `in_runs` within each run; the column has no nulls."""
    total = pl.col(name).cum_sum()
    return total - pl.when("begins").then(total - pl.col(name)).forward_fill()
