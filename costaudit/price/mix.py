"""The mix of a window: units, calls, quantities and dollars by task, model and usage class; what a bridge compares.

A mix has no rows of calls and no content: it is what a baseline file keeps, and it is additive over calls.
"""

from __future__ import annotations

from decimal import Decimal, localcontext

import msgspec
import polars as pl
from msgspec.structs import replace

from costaudit.price.book import PriceBook
from costaudit.price.classes import CLASSES, TOKENS
from costaudit.price.engine import bill_by
from costaudit.price.exact import sum_usd
from costaudit.schema import USD

NO_TASK = "(no task)"
NO_MODEL = "(no model)"
EXACT = 60  # digits of decimal arithmetic: any sum of Decimal(38, 18) fits, the default of 28 does not hold one
CHUNK = 2_000_000  # calls billed at a time: 20 columns of 8 bytes each
ZERO = Decimal(0)

TASKS = pl.Schema({"task": pl.String(), "units": pl.Float64(), "calls": pl.Float64(), "ok_calls": pl.Float64()})
MODELS = pl.Schema({"task": pl.String(), "model": pl.String(), "calls": pl.Float64()})
CLASS_ROWS = pl.Schema(
    {
        "task": pl.String(),
        "model": pl.String(),
        "class": pl.String(),
        "quantity": pl.Float64(),
        "usd": USD,
        "estimated_usd": USD,
    }
)


class Unpriced(msgspec.Struct, frozen=True):
    """Calls of a window that have no price: outside every sum; None: no upper bound."""

    calls: int = 0
    high_usd: Decimal | None = ZERO


class Mix(msgspec.Struct, frozen=True):
    """A window as counts and dollars; the `usd` of the classes add up to its spend.

    tasks     task, units (runs, else cases; a call without either is one), calls (that a provider billed), ok_calls
    models    task, model (entry of the price book), calls
    classes   task, model, class (of `price.classes`, `reasoning` always apart from `output`), quantity, usd,
              estimated_usd (part of usd that rests on estimated counts)
    unpriced  calls that are in none of these
    """

    tasks: pl.DataFrame
    models: pl.DataFrame
    classes: pl.DataFrame
    unpriced: Unpriced = Unpriced()

    @property
    def usd(self) -> Decimal:
        return sum_usd(self.classes["usd"])

    @property
    def units(self) -> float:
        return float(self.tasks["units"].sum())

    def per_unit(self, task: str) -> Mix:
        """The mix of one unit of a task: its counts and dollars divided by its units; empty without any."""
        mine = pl.col("task") == task
        units = float(self.tasks.filter(mine)["units"].sum())
        if not units:
            return replace(self, tasks=TASKS.to_frame(), models=MODELS.to_frame(), classes=CLASS_ROWS.to_frame())
        places = Decimal(1).scaleb(-18)
        rows = self.classes.filter(mine)
        with localcontext(prec=EXACT):
            usd = {n: [(x / Decimal(units)).quantize(places) for x in rows[n]] for n in ("usd", "estimated_usd")}
        return Mix(
            self.tasks.filter(mine).with_columns(pl.col("units", "calls", "ok_calls") / units),
            self.models.filter(mine).with_columns(pl.col("calls") / units),
            rows.with_columns(
                pl.col("quantity") / units, *[pl.Series(name, values, dtype=USD) for name, values in usd.items()]
            ),
        )


def mix(calls: pl.DataFrame, book: PriceBook) -> Mix:
    """The mix of priced calls [schema.CALLS], priced with `book`; the order of the rows does not matter.

    Roll-ups are left out. Answers of a gateway's own cache, and errors nobody billed, are no calls, but the units they
    belong to count: fewer calls a unit is what they bring.
    """
    seen = calls.filter(~pl.col("rollup").fill_null(value=False)).with_columns(
        task=pl.col("task").fill_null(NO_TASK), sold_as=pl.coalesce("price_entry", "model", pl.lit(NO_MODEL))
    )
    known = seen.filter(pl.col("cost_usd").is_not_null())
    billed = known.filter(pl.col("price_status").is_not_null())
    ok = (pl.col("status").is_null() | (pl.col("status") == "ok")).sum()
    counted = billed.group_by("task").agg(calls=pl.len().cast(pl.Float64), ok_calls=ok.cast(pl.Float64))
    tasks = (
        known.group_by("task")
        .agg(units=units().cast(pl.Float64))
        .join(counted, on="task", how="left")
        .with_columns(pl.col("calls", "ok_calls").fill_null(0.0))
        .sort("task")
    )
    models = billed.group_by("task", model="sold_as").agg(calls=pl.len().cast(pl.Float64)).sort("task", "model")
    keys = ["task", "model", "class"]
    parts = [_classes(chunk, book) for chunk in billed.iter_slices(CHUNK)]
    classes = pl.concat([CLASS_ROWS.to_frame(), *parts]).group_by(keys).agg(pl.all().sum()).sort(keys)
    return Mix(tasks.select(*TASKS), models.select(*MODELS), classes.select(*CLASS_ROWS), _unpriced(seen))


def unit() -> pl.Expr:
    """What a call is part of: its run, else its case; null for a call that stands alone."""
    return pl.coalesce("run_id", pl.format("\0{}", "instance_id"))


def units() -> pl.Expr:
    """How many units the calls of a group make."""
    return unit().drop_nulls().n_unique() + unit().null_count()


def _classes(billed: pl.DataFrame, book: PriceBook) -> pl.DataFrame:
    """Quantities and dollars of some calls, summed by task, model and class."""
    keys = billed.select(
        "task",
        model="sold_as",
        paid=pl.col("price_status") == "priced",  # free calls, and those under a subscription, cost nothing
        estimated=(pl.col("trust") == "estimated").fill_null(value=False),
    )
    priced = bill_by(billed, book, keys).with_columns(usd=pl.when("paid").then("usd").otherwise(pl.lit(ZERO, USD)))
    return (
        priced.group_by("task", "model", "class")
        .agg(
            pl.col("quantity").sum().cast(pl.Float64),
            pl.col("usd").sum(),
            estimated_usd=pl.col("usd").filter(pl.col("estimated")).sum(),
        )
        .select(*CLASS_ROWS)
    )


def _unpriced(calls: pl.DataFrame) -> Unpriced:
    missing = calls.filter(pl.col("cost_usd").is_null())
    if missing.is_empty():
        return Unpriced()
    if "high_usd" not in missing.columns or missing["high_usd"].null_count():
        return Unpriced(missing.height, None)
    return Unpriced(missing.height, sum_usd(missing["high_usd"]))


def direction(name: str) -> str:
    """What a class is a share of: input, output, reasoning, those of another modality, or the fee itself."""
    if name not in TOKENS:
        return name
    if name == "reasoning":
        return "reasoning"
    side = "output" if CLASSES[name].within == "output_tokens" else "input"
    modality = name.rsplit("_", 1)[-1]
    return f"{side}_{modality}" if modality in ("audio", "image", "video") else side
