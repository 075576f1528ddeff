"""The sums that a store's parts carry, at the prices of the settings."""

from __future__ import annotations

import polars as pl

from costaudit.config import Settings
from costaudit.ingest import _store as store
from costaudit.ingest._parts import Where
from costaudit.pipeline import prices
from costaudit.price.book import PriceBook
from costaudit.price.linear import READ
from costaudit.price.sums import KEYS, SUMS, stamp, sums

AT_ONCE = 20_000  # rows that are priced together: a million of them take a gigabyte
OTHERS = 1  # `trust.hinges`: what other rows say can change it


def summary(settings: Settings) -> store.Summary:
    """How the parts of a store are summed up."""
    book = prices(settings)
    return store.Summary(stamp(book), lambda rows: _summed(rows, book), READ)


def _summed(rows: pl.DataFrame, book: PriceBook) -> pl.DataFrame:
    """The sums of rows [price.sums.SUMS], some at a time where no row rests on another."""
    found = []
    for some in rows.iter_slices(AT_ONCE):
        found.append(sums(some, book))
        if ((found[-1]["hinges"] & OTHERS) != 0).any():
            return sums(rows, book)
    if len(found) == 1:
        return found[0]
    by = [*KEYS, "trust", "hinges", "bin"]
    added = pl.concat([SUMS.to_frame(), *found]).group_by(by).agg(pl.exclude(by).sum())
    return added.select(list(SUMS)).cast(dict(SUMS)).sort(by, nulls_last=True)  # type: ignore[arg-type]


def priced_sums(path: Where, settings: Settings) -> pl.DataFrame | None:
    """What the parts of a store add up to [price.sums.SUMS], if their sums were made at these prices."""
    return store.sums(path, stamp(prices(settings)))
