"""The sums that a store's parts carry, at the prices of the settings."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from costaudit.config import Settings
from costaudit.ingest import _store as store
from costaudit.ingest._parts import Pieces, Where
from costaudit.pipeline import prices
from costaudit.price.book import PriceBook
from costaudit.price.engine import price
from costaudit.price.linear import FILES, READ
from costaudit.price.sums import KEYS, SUMS, stamp, sums
from costaudit.price.trust import NO_PEERS, Others, dearest_calls, trust

AT_ONCE = 20_000  # rows that are priced together: a million of them take a gigabyte
OTHERS = 1  # `trust.hinges`: what other rows say can change it


def summary(settings: Settings) -> store.Summary:
    """How the parts of a store are summed up."""
    book = prices(settings)
    return store.Summary(stamp(book), lambda pieces: summed(pieces, book), READ)


def summed(pieces: Pieces, book: PriceBook) -> pl.DataFrame:
    """The sums of all rows [price.sums.SUMS], of which few are priced together."""
    found = []
    for some in _slices(pieces):
        found.append(sums(some, book))
        if ((found[-1]["hinges"] & OTHERS) != 0).any():
            others = _others(pieces, book)
            found = [sums(some, book, others) for some in _slices(pieces)]
            break
    if len(found) == 1:
        return found[0]
    by = [*KEYS, "trust", "hinges", "bin"]
    added = pl.concat([SUMS.to_frame(), *found]).group_by(by).agg(pl.exclude(by).sum())
    return added.select(list(SUMS)).cast(dict(SUMS)).sort(by, nulls_last=True)  # type: ignore[arg-type]


def _slices(pieces: Pieces) -> Iterator[pl.DataFrame]:
    return (some for rows in pieces() for some in rows.iter_slices(AT_ONCE))


def _others(pieces: Pieces, book: PriceBook) -> Others:
    """What all rows say of each, where one rests on others."""
    stated = [rows.drop_nulls("cache_read_tokens").select(FILES).unique() for rows in pieces()]
    known = Others(pl.concat(stated).unique(), NO_PEERS.to_frame(), named=False)
    found = [dearest_calls(trust(price(some, book), book, known)) for some in _slices(pieces)]
    return known._replace(peers=pl.concat(found).group_by("task", "_model").agg(pl.max("_peer")))


def priced_sums(path: Where, settings: Settings) -> pl.DataFrame | None:
    """What the parts of a store add up to [price.sums.SUMS], if their sums were made at these prices."""
    return store.sums(path, stamp(prices(settings)))
