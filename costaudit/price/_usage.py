"""From inclusive totals to the disjoint classes that are billed."""

from __future__ import annotations

import msgspec
import polars as pl

from costaudit.price._table import Lines
from costaudit.price.classes import CLASSES

QUANTITY = pl.Decimal(38, 9)
LIFETIMES = ("5m", "30m", "1h", "12h")
_TOTALS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
COUNTS = (*_TOTALS, *(f"cache_write_{life}_tokens" for life in LIFETIMES), "reasoning_tokens")


class Totals(msgspec.Struct, frozen=True):
    """Counts of every call, unknown as 0.

    counts  the token columns of the request table, Int64, plus `parts_*`: how much of a total `extras` names apart
    extras  one row a class a call names in `extras`: at (row), class, quantity
    """

    counts: pl.DataFrame
    extras: pl.DataFrame

    @property
    def prompt(self) -> pl.Series:
        """The whole prompt, cached and written tokens included: what long-context steps are decided on."""
        return self.counts.select(
            pl.max_horizontal("input_tokens", pl.col("cache_read_tokens") + pl.col("cache_write_tokens"))
        ).to_series()


def totals(calls: pl.DataFrame) -> Totals:
    """The counts of the calls. Writes are at least the sum of their lifetimes."""
    have = calls.columns
    extras = _extras(calls)
    counts = calls.select(
        (pl.col(c).fill_null(0).clip(0) if c in have else pl.lit(0, pl.Int64)).cast(pl.Int64).alias(c) for c in COUNTS
    )
    if counts.height != calls.height:  # only literals: polars makes one row of them
        counts = pl.DataFrame({c: pl.zeros(calls.height, pl.Int64, eager=True) for c in COUNTS})
    if any(f"cache_write_{life}_tokens" in have for life in LIFETIMES):
        stated = pl.sum_horizontal(f"cache_write_{life}_tokens" for life in LIFETIMES)
        counts = counts.with_columns(cache_write_tokens=pl.max_horizontal("cache_write_tokens", stated))
    return Totals(counts.with_columns(_parts(extras, calls.height)), extras)


def _extras(calls: pl.DataFrame) -> pl.DataFrame:
    empty = pl.DataFrame(schema={"at": pl.UInt32, "class": pl.String, "quantity": QUANTITY})
    if "extras" not in calls.columns or calls["extras"].null_count() == calls.height:
        return empty
    return (
        calls.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("at"), "extras")
        .filter(pl.col("extras").list.len() > 0)
        .explode("extras")
        .unnest("extras")
        .group_by("at", "class")
        .agg(pl.col("quantity").sum())
        .select("at", "class", pl.col("quantity").cast(QUANTITY))
        .sort("at", "class")
    )


def _parts(extras: pl.DataFrame, height: int) -> list[pl.Series]:
    """Per row, how much of each inclusive total is named apart: columns `parts_<total>`."""
    nothing = [pl.zeros(height, pl.Int64, eager=True).alias(f"parts_{total}") for total in _TOTALS]
    if extras.is_empty():
        return nothing
    within = {c.name: c.within for c in CLASSES.values() if c.within in _TOTALS}
    named = extras.filter(pl.col("class").is_in(list(within)))
    made = []
    for total, column in zip(_TOTALS, nothing, strict=True):
        mine = named.filter(pl.col("class").replace_strict(within, default="", return_dtype=pl.String) == total)
        if mine.height:
            sums = mine.group_by("at", maintain_order=True).agg(pl.col("quantity").sum().cast(pl.Int64))
            column = column.scatter(sums["at"], sums["quantity"])
        made.append(column)
    return made


def text_classes(totals: Totals, lines: Lines) -> dict[str, pl.Expr]:
    """Class -> its tokens, for the classes in use: expressions over `totals.counts` and two flags of the line.

    rest_30m, own_reasoning   what unclaimed writes are, and whether reasoning is priced apart
    """
    counts = totals.counts
    used = {c for c, most in zip(counts.columns, counts.max().row(0), strict=True) if most} if counts.height else set()

    def col(name: str) -> pl.Expr:
        return pl.col(name) if name in used else pl.lit(0, pl.Int64)

    classes: dict[str, pl.Expr] = {}
    taken = col("parts_input_tokens")
    if "cache_read_tokens" in used:
        classes["cache_read"] = (col("cache_read_tokens") - col("parts_cache_read_tokens")).clip(0)
        taken = taken + col("cache_read_tokens")
    if "cache_write_tokens" in used:
        stated = [col(f"cache_write_{life}_tokens") for life in LIFETIMES]
        # What no lifetime claims is of the provider's default one (trap T43: dropped, it would be free).
        rest = (col("cache_write_tokens") - sum(stated[1:], stated[0])).clip(0)
        classes["cache_write_5m"] = stated[0] + pl.when("rest_30m").then(0).otherwise(rest)
        if any(lines.table.writes_live_30m()) or "cache_write_30m_tokens" in used:
            classes["cache_write_30m"] = stated[1] + pl.when("rest_30m").then(rest).otherwise(0)
        for life, tokens in zip(LIFETIMES[2:], stated[2:], strict=True):
            if f"cache_write_{life}_tokens" in used:
                classes[f"cache_write_{life}"] = tokens
        taken = taken + col("cache_write_tokens")
    if "input_tokens" in used:
        classes["input"] = (col("input_tokens") - taken).clip(0)
    if "output_tokens" in used:
        written = (col("output_tokens") - col("parts_output_tokens")).clip(0)
        # Reasoning is inside output and billed as output, but for the few models that price it apart.
        apart = pl.when("own_reasoning").then(pl.min_horizontal(col("reasoning_tokens"), written)).otherwise(0)
        split = "reasoning_tokens" in used and any(lines.table.has("reasoning"))
        classes["output"] = written - apart if split else written
        if split:
            classes["reasoning"] = apart
    return classes
