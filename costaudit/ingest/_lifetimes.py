"""Cache writes and the lifetimes they are split by, as Anthropic's models report them: one reading for every log."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import polars as pl

COLUMNS = ("cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")


class Writes(NamedTuple):
    """All writes, those that live 5 minutes and those that live an hour [tokens]; whether the split was made to fit."""

    all: int | None
    short: int | None
    long: int | None
    assumed: bool = False


def writes(written: int | None, short: int | None, long: int | None) -> Writes:
    """Writes of which the lifetimes are no more than all of them.

    The total is what is billed. Where the split is more than it, the total is divided as the split is; where it is
    less, the lifetime of the rest is unknown. Without a total, or with one of 0, the split is all there is.
    """
    if short is None and long is None:
        return Writes(written, short, long)
    split = (short or 0) + (long or 0)
    if not written:
        return Writes(split, short, long)
    if split <= written:
        return Writes(written, short, long)
    hour = written * (long or 0) // split
    return Writes(written, written - hour, hour, assumed=True)


def settled(frame: pl.DataFrame) -> pl.DataFrame:
    """The same for the columns of a frame; where a split was made to fit, `convention` is assumed."""
    import polars as pl

    short, long = (pl.col(name) for name in COLUMNS[1:])
    said = short.is_not_null() | long.is_not_null()
    split = pl.sum_horizontal(short, long)
    if not frame.select((said & split.ne_missing(pl.col(COLUMNS[0]))).any()).item():
        return frame  # nearly all logs
    made = [writes(*cells) for cells in frame.select(COLUMNS).rows()]
    columns = [pl.Series(name, [one[n] for one in made], frame.schema[name]) for n, name in enumerate(COLUMNS)]
    assumed = pl.Series("convention", ["assumed" if one.assumed else None for one in made], pl.String)
    return frame.with_columns(*columns, assumed)
