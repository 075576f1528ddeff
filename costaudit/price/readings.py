"""Logged costs decide what counts alone do not: whether cached input stands inside the input or beside it.

A cost can be compared only once calls are priced, which happens after reading: so this looks at priced
calls, and takes the price of the other reading where the cost proves it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

import polars as pl

from costaudit.price.book import PriceBook
from costaudit.price.engine import READS as PRICING
from costaudit.price.engine import price

NEAR = Decimal("0.02")  # of a reading's cost: a logged cost so close to one and not to the other decides
ENOUGH = 20  # calls of a source whose costs decide, before they speak for the others of it
AGREE = 0.99  # share of them that must agree
SOURCE = ["format", "provider"]
_AS_IT_IS: dict[str, Any] = {"nulls_equal": True, "maintain_order": "left"}
PRICED = ("input_tokens", "cost_usd", "price_status", "price_entry")


READ = (
    *PRICING,
    *("format", "source_file", "convention", "cost_logged_usd", "cost_usd", "price_status", "price_entry"),
)


class Read(NamedTuple):
    """Priced calls with the counts that their costs prove, and the sources with that proof."""

    calls: pl.DataFrame
    sources: pl.DataFrame


def by_cost(calls: pl.DataFrame, sources: pl.DataFrame, book: PriceBook, voted: pl.DataFrame | None = None) -> Read:
    """Decide undecided and assumed calls by the costs that the log states.

    calls    priced calls [schema.REQUESTS + cost_usd]; undecided ones hold the reading `inside`
    sources  path, format, convention, proof
    voted    `votes` of all parts of the log, where the calls are one part of it
    A call follows its own cost, against the documented reading only if its source does; one that states none follows
    its source, if at least 20 calls of it agree to 99 %.
    """
    # Asked as a query: a column of one value that is taken out of a table has room for all calls from then on.
    if voted is None and calls.select(pl.col("cost_logged_usd").null_count()).item() == calls.height:
        return Read(calls, sources)
    at = _doubtful(calls)
    inside = calls.select(name for name in READ if name in calls.columns)[at]
    if voted is None and not (inside["cost_logged_usd"] > 0).any():
        return Read(calls, sources)
    beside = _beside(inside, book)
    said = inside.with_columns(_other=beside["cost_usd"]).with_columns(_said=_said())
    said = said.join(_verdicts(_counted(said) if voted is None else voted), on=SOURCE, how="left", **_AS_IT_IS)
    bold = (pl.col("convention") == "undecided") | (pl.col("_said") == "inside")
    reading = said.select(reading=pl.coalesce(pl.when(bold).then("_said"), "_all"))["reading"]
    moved = (reading == "beside").fill_null(value=False)
    proved = at.filter(reading.is_not_null())
    changed = calls.with_columns(
        calls["convention"].scatter(proved, "proved"),
        *[calls[name].scatter(at.filter(moved), beside[name].filter(moved)) for name in PRICED],
    )
    return Read(changed, _told(sources, said.select("source_file", "format", "_said", reading=reading)))


def votes(calls: pl.DataFrame, book: PriceBook) -> pl.DataFrame:
    """How many doubtful calls of each format and provider state the cost of either reading: inside, beside."""
    inside = calls.select(name for name in READ if name in calls.columns)[_doubtful(calls)]
    return _counted(inside.with_columns(_other=_beside(inside, book)["cost_usd"]).with_columns(_said=_said()))


def _doubtful(calls: pl.DataFrame) -> pl.Series:
    doubtful = pl.col("convention").is_in(["undecided", "assumed"]) & pl.col("cost_usd").is_not_null()
    return calls.select(doubtful.fill_null(value=False)).to_series().arg_true()


def _beside(inside: pl.DataFrame, book: PriceBook) -> pl.DataFrame:
    """The calls priced as if what was cached stood beside the input."""
    cached = pl.col("cache_read_tokens").fill_null(0) + pl.col("cache_write_tokens").fill_null(0)
    return price(inside.with_columns(input_tokens=pl.col("input_tokens") + cached), book)


def _near(usd: str) -> pl.Expr:
    logged = pl.col("cost_logged_usd")
    return ((logged - pl.col(usd)).abs() <= pl.col(usd) * NEAR).fill_null(value=False) & (logged > 0)


def _said() -> pl.Expr:
    """The reading whose cost is the logged one; null where both or none are."""
    inside, beside = _near("cost_usd"), _near("_other")
    return pl.when(inside & ~beside).then(pl.lit("inside")).when(beside & ~inside).then(pl.lit("beside"))


def _counted(said: pl.DataFrame) -> pl.DataFrame:
    return said.group_by(SOURCE).agg((pl.col("_said") == word).sum().alias(word) for word in ("inside", "beside"))


def _verdicts(counted: pl.DataFrame) -> pl.DataFrame:
    """What the costs of a source say about those of its calls that state none: `_all`."""
    spoke = pl.col("inside") + pl.col("beside")
    said = (
        pl.when(spoke < ENOUGH)
        .then(None)
        .when(pl.col("beside") >= AGREE * spoke)
        .then(pl.lit("beside"))
        .when(pl.col("inside") >= AGREE * spoke)
        .then(pl.lit("inside"))
    )
    return counted.select(*SOURCE, _all=said)


def _told(sources: pl.DataFrame, read: pl.DataFrame) -> pl.DataFrame:
    """The sources with what their costs decided."""
    words = (
        pl.when((pl.col("reading") == "beside").all())
        .then(pl.lit("cache beside input"))
        .when((pl.col("reading") == "beside").any())
        .then(pl.lit("cache beside input in some rows"))
        .otherwise(pl.lit("cache inside input"))
    )
    states = pl.when(pl.col("reading").is_not_null()).then(pl.lit("proved")).otherwise(pl.lit("undecided"))
    by = read.group_by(pl.col("source_file").alias("path"), "format").agg(
        _convention=pl.concat_str(words, pl.lit(", "), states.unique().sort().str.join(" and ")),
        _proof=pl.concat_str(
            pl.col("_said").is_not_null().sum(),
            pl.lit(" of "),
            pl.len(),
            pl.lit(" such rows show it by their cost"),
        ),
        _any=pl.col("reading").is_not_null().any(),
    )
    joined = sources.join(by.filter("_any"), on=["path", "format"], how="left", maintain_order="left")
    return joined.with_columns(
        convention=pl.coalesce("_convention", "convention"), proof=pl.coalesce("_proof", "proof")
    ).select(sources.columns)
