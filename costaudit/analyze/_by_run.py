"""Calls in order of their runs: sorted once by one number, so that what a run does reads as a column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from costaudit.analyze._analyzer import NO_TASK
from costaudit.price.ledger import Ledger

TOGETHER = 1_000_000  # calls whose runs are put in order in one go, with what is said of them
TASK_ROW = pl.when(pl.col("task").is_not_null()).then("row").alias("task_row")
_WHOLE = 62  # bits for run, step and place of a call together; what needs more is sorted the slow way


def in_runs(calls: pl.DataFrame) -> pl.DataFrame:
    """The calls that belong to a run, in order of run, step and row, with `run` [UInt32], a number of the run,
    `begins`, whether the call is its first, and `nth`, its position from 1.

    Steps order a run only where each of its calls has one of its own: agents of one run that count for themselves, and
    calls that nobody counted, stand in order of time.

    calls   row, run_id, step and whatever else, in order of `row`
    """
    known = calls["run_id"].is_not_null().arg_true()
    number = pl.col("run_id").cast(pl.Categorical).to_physical().cast(pl.UInt32)
    keys = calls.select("run_id", "step")[known].select("step", run=number)
    order = _order(keys)
    unclear = _unclear(keys[order])
    if unclear.len():
        order = _order(keys.with_columns(step=pl.when(~pl.col("run").is_in(unclear.implode())).then("step")))
    ordered = calls[known.gather(order)].with_columns(keys["run"].gather(order))
    at = pl.int_range(pl.len(), dtype=pl.Int64)
    return ordered.with_columns(begins=(pl.col("run") != pl.col("run").shift()).fill_null(value=True)).with_columns(
        nth=at - pl.when("begins").then(at).forward_fill() + 1
    )


def _order(keys: pl.DataFrame) -> pl.Series:
    """Places of the calls [run, step] by run and step, else as they stand."""
    import numpy as np

    step = pl.col("step")
    least, most, runs = keys.select(least=step.min(), most=step.max(), runs=pl.col("run").max()).row(0)
    last = 0 if most is None else most + 1  # the place of a step that is not known
    bits = int(last).bit_length(), keys.height.bit_length()
    if (least is not None and least < 0) or (runs or 0).bit_length() + sum(bits) > _WHOLE:
        return keys.with_row_index("at").sort("run", "step", "at", nulls_last=True)["at"]
    number = step.cast(pl.UInt64).fill_null(last)
    place = pl.col("run").cast(pl.UInt64) * 2 ** sum(bits) + number * 2 ** bits[1]
    # Numbers that say all three sort many times faster than three columns, or than numbers with a place beside them.
    packed = keys.select(place + pl.int_range(pl.len(), dtype=pl.UInt64)).to_series().to_numpy(writable=True)
    packed.sort()
    return pl.Series("at", (packed & np.uint64(2 ** bits[1] - 1)).astype(np.uint32))


def _unclear(ordered: pl.DataFrame) -> pl.Series:
    """Runs of which some steps are unknown, or stand twice; the calls in order of run and step, unknown ones last."""
    same, before = (pl.col(name) == pl.col(name).shift() for name in ("run", "step"))
    lost = pl.col("step").is_null() & pl.col("step").shift().is_not_null()
    return ordered.filter(same & (before | lost))["run"].unique()


def running(name: str) -> pl.Expr:
    """The running total of a column of `in_runs` within each run; the column has no nulls."""
    total = pl.col(name).cum_sum()
    return total - pl.when("begins").then(total - pl.col(name)).forward_fill()


def named_by(ledger: Ledger, rows: pl.Series, name: str) -> pl.Series:
    """A column of some calls; null where there is no call."""
    known = rows.drop_nulls()
    values = ledger.at(known, (name,))[name]
    at = pl.int_range(values.len(), dtype=pl.UInt32, eager=True)
    places = pl.repeat(None, rows.len(), dtype=pl.UInt32, eager=True).scatter(rows.is_not_null().arg_true(), at)
    return values.gather(places)


def parts(calls: pl.DataFrame) -> Iterator[pl.Series]:
    """The `row` of calls [row, run: a number], so many at a time; a run is never cut."""
    count = -(-calls.height // TOGETHER)
    if count <= 1:
        yield calls["row"]
        return
    of_part = calls.select("row", part=(pl.col("run") % count).cast(pl.UInt16))
    del calls  # there may be very many
    rows = of_part.group_by("part").agg("row").sort("part")["row"]
    del of_part
    for nth in range(rows.len()):
        yield rows[nth]


def whole_runs(ledger: Ledger, calls: pl.DataFrame) -> tuple[pl.Series, pl.DataFrame]:
    """The `row` of calls [row, run: a number] in order of run and step; and one row a run: run_id, n calls, task,
    opening (input of its first call), place (of that call in the order)."""
    ordered, named = [], []
    for rows in parts(calls):
        steps = in_runs(ledger.told(rows, ("row", "run_id", "step", TASK_ROW)))
        runs = steps.group_by("run", maintain_order=True).agg(
            pl.first("row", "run_id"), pl.len().alias("n"), pl.col("task_row").first(ignore_nulls=True)
        )
        task = named_by(ledger, runs["task_row"], "task").fill_null(NO_TASK).alias("task")
        opening = ledger.at(runs["row"], ("input_tokens",))["input_tokens"].alias("opening")
        ordered.append(steps["row"])
        named.append(runs.select("run_id", "n", task, opening))
    found = pl.concat(named)
    return pl.concat(ordered, rechunk=True), found.with_columns(place=pl.col("n").cum_sum() - pl.col("n"))


def steps_of(ledger: Ledger, ordered: pl.Series, runs: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """The calls of some runs in order, as `whole_runs` gives both: row, columns; run (a number), run_id, n and opening
    of their run; nth in it, from 1; begins, whether it is the first."""
    import numpy as np

    n = runs["n"].to_numpy().astype(np.int64)
    nth = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    at = pl.Series(np.repeat(runs["place"].to_numpy(), n) + nth, dtype=pl.UInt32)
    of_run = runs.select("run_id", "n", "opening").with_row_index("run")[pl.Series(np.repeat(np.arange(len(n)), n))]
    calls = ledger.at(ordered.gather(at), columns)
    return calls.hstack(of_run).with_columns(nth=pl.Series(nth + 1, dtype=pl.Int64), begins=pl.Series(nth == 0))
