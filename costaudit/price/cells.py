"""Priced calls summed into cells that can be summed again: tables, total and trust of any number of parts.

A cell is what some calls have in common: values of grouping columns, provider, model and trust status. Everything in it
adds up, so the cells of two parts of a log are the cells of the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

import polars as pl

from costaudit.audit import Coverage, Fates
from costaudit.price.book import PriceBook
from costaudit.price.coverage import header, with_entries
from costaudit.price.engine import list_usd
from costaudit.price.exact import sum_usd
from costaudit.schema import USD
from costaudit.spent import Table

TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
KIND = ("provider", "model", "trust")
SUMMED = pl.Schema(
    {
        "requests": pl.Int64(),
        "known": pl.Int64(),
        **dict.fromkeys(TOKENS, pl.Int64()),
        "cost_usd": USD,
        "low_usd": USD,
        "high_usd": USD,
        "unbounded": pl.Int64(),
        "allowance_usd": USD,
    }
)
SPANS = {"hour": "%Y-%m-%d %H:00", "day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}
NO_DAY = "(no date)"


def columns(by: str) -> tuple[str, ...]:
    """The columns of cells that a grouping is read from; `day` and `hour` are computed, the others are the log's."""
    if by in SPANS:
        return ("hour" if by == "hour" else "day",)
    return ("model", "provider") if by == "model" else ("run_id" if by == "run" else by,)


def keys(tables: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The columns that cells need for some tables, beside those every cell has."""
    needed = [name for by in tables for one in by for name in columns(one)]
    return tuple(dict.fromkeys(name for name in needed if name not in KIND))


def moments(names: Sequence[str], tz: str) -> list[pl.Expr]:
    """Those of `keys` that are computed from `started_at`: a date, and the beginning of an hour, of the zone."""
    local = pl.col("started_at").dt.convert_time_zone(tz)
    made = {"day": local.dt.date(), "hour": local.dt.replace_time_zone(None).dt.truncate("1h")}
    return [made[name].alias(name) for name in names if name in made]


def cells(calls: pl.DataFrame, book: PriceBook, names: Sequence[str], tz: str = "UTC") -> pl.DataFrame:
    """Trusted calls [schema.CALLS] as cells: `names`, KIND, SUMMED; roll-ups are no calls and are left out.

    known      calls whose cost is known; the others add nothing to cost_usd
    unbounded  calls whose cost has no upper bound; they add nothing to high_usd
    allowance_usd  list price of calls under a subscription, which is not in cost_usd
    """
    counted = calls.filter(pl.col("trust").is_not_null())
    return (
        counted.with_columns(*(() if "_calls" in counted.columns else moments(names, tz)), allowance(counted, book))
        .group_by(*names, *KIND)
        .agg(summed(weighted="_calls" in counted.columns))
        .cast(dict(SUMMED))  # type: ignore[arg-type]
    )


def allowance(calls: pl.DataFrame, book: PriceBook) -> pl.Series:
    """`allowance_usd` of each call: what it would cost at list prices, if it is under a subscription."""
    under = (calls["trust"] == "subscription").fill_null(value=False)
    found = pl.Series("allowance_usd", [None], dtype=USD).new_from_index(0, calls.height)
    return found.scatter(under.arg_true(), list_usd(calls.filter(under), book)) if under.any() else found


def summed(*, weighted: bool = False) -> list[pl.Expr]:
    """The columns of SUMMED over trusted calls; weighted: each row stands for `_calls` of them (`linear`)."""
    unknown = (pl.col("trust") == "unmetered") & (pl.col("cost_usd") == 0)
    each = pl.col("_calls") if weighted else pl.lit(1, pl.Int64)
    return [
        (pl.col("_calls").sum() if weighted else pl.len()).alias("requests"),
        pl.when(pl.col("cost_usd").is_not_null() & ~unknown).then(each).sum().alias("known"),
        *(pl.col(name).sum() for name in TOKENS),
        *(pl.col(name).sum() for name in ("cost_usd", "low_usd", "high_usd")),
        pl.when(pl.col("high_usd").is_null()).then(each).sum().alias("unbounded"),
        pl.col("allowance_usd").sum(),
    ]


def added(pieces: Iterable[pl.DataFrame], tables: Sequence[Sequence[str]]) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """Cells that come in pieces as cells by KIND alone, and as rows of each table (`table`).

    Cells of equal `keys` are in one piece.
    """
    kinds: list[pl.DataFrame] = []
    rows: list[list[pl.DataFrame]] = [[] for _ in tables]
    met = [False for _ in tables]
    for piece in pieces:
        kinds.append(piece.group_by(KIND).agg(pl.sum(*SUMMED)))
        for nth, by in enumerate(tables):
            named = [_named(name) if name in by else pl.col(name) for name in _names(by)]
            # There can be as many rows as calls: nothing is summed here that the table does not say.
            summed = piece.lazy().group_by(named).agg(pl.sum("requests", "known", "cost_usd", *TOKENS))
            rows[nth].append(summed.collect(engine="streaming"))
            met[nth] |= not _told_whole(piece, by)
    again = [_again(found, _names(by) if meet else ()) for by, found, meet in zip(tables, rows, met, strict=True)]
    return _again(kinds, KIND), again


def _told_whole(piece: pl.DataFrame, by: Sequence[str]) -> bool:
    """Whether a table has all keys of its cells as they are: then no row of it comes from two pieces.

    A week has several days; what has no name gets one that something else may have.
    """
    told = [columns(one)[0] for one in by if one not in ("week", "month")]
    others = set(piece.columns) - {*KIND, *SUMMED}
    return others <= set(told) and not any(piece[name].null_count() for name in told)


def _again(frames: list[pl.DataFrame], by: Sequence[str]) -> pl.DataFrame:
    """Sums as one, those of equal keys as well; nothing of them is left in the list."""
    whole = pl.concat(frames)
    several = len(frames) > 1
    frames.clear()
    if not (several and by):
        return whole
    return whole.lazy().group_by(by).agg(pl.exclude(by).sum()).collect(engine="streaming")


def _names(by: Sequence[str]) -> list[str]:
    """The columns that tell rows of a table apart: a model is told with who sells it."""
    return [*by, *(["provider"] if "model" in by and "provider" not in by else [])]


def table(rows: pl.DataFrame, by: Sequence[str], total: Decimal) -> Table:
    """The rows as a table: spans of time in their order, everything else by dollars, ties by name."""
    names = _names(by)
    share = pl.col("cost_usd").cast(pl.Float64) / float(total) if total else pl.lit(None, pl.Float64)
    known = pl.col("known") > 0
    # What belongs together stands together: the outer grouping by its time or its sum, then the rows of each.
    outer = [pl.col(by[0])] if by[0] in SPANS else [pl.col("cost_usd").sum().over(by[0]), pl.col(by[0])]
    inner = [pl.col(one) for one in by[1:] if one in SPANS]
    order = [*outer, *inner, pl.col("cost_usd"), pl.col("requests"), *map(pl.col, names)]
    down = [*([] if by[0] in SPANS else [True]), False, *([False] * len(inner)), True, True, *([False] * len(names))]
    return Table(
        tuple(by),
        rows.sort(order, descending=down, nulls_last=True)
        .with_columns(
            unknown=pl.col("requests") - pl.col("known"),
            cost_usd=pl.when(known).then("cost_usd"),
            share=pl.when(known).then(share),
        )
        .select(*names, "requests", "unknown", "cost_usd", "share", *TOKENS),
    )


def _named(by: str) -> pl.Expr:
    (column, *_) = columns(by)
    if by in SPANS:
        return pl.col(column).dt.to_string(SPANS[by]).fill_null(NO_DAY).alias(by)
    return pl.col(column).cast(pl.String).fill_null(f"(no {by})").alias(by)


def covered(found: pl.DataFrame, fates: Fates, sources: pl.DataFrame) -> Coverage:
    """The trust header of cells: what `coverage.coverage` says of their calls, where no record was rejected."""
    tokens = pl.col("input_tokens") + pl.col("output_tokens")
    return header(
        found.group_by("trust").agg(calls=pl.sum("requests"), tokens=tokens.sum()),
        fates=fates,
        sources=sources,
        low_usd=sum_usd(found["low_usd"]),
        high_usd=None if found["unbounded"].sum() else sum_usd(found["high_usd"]),
        unpriced=with_entries(
            found.filter(pl.col("trust") == "unpriced")
            .group_by("provider", "model")
            .agg(pl.sum("requests"), tokens=tokens.sum())
        ),
    )
