"""The sums that a store's parts carry, at the prices of the settings."""

from __future__ import annotations

import polars as pl

from costaudit.config import Settings
from costaudit.ingest import _store as store
from costaudit.ingest._parts import Where
from costaudit.pipeline import prices
from costaudit.price.linear import READ
from costaudit.price.sums import stamp, sums


def summary(settings: Settings) -> store.Summary:
    """How the parts of a store are summed up."""
    book = prices(settings)
    return store.Summary(stamp(book), lambda rows: sums(rows, book), READ)


def priced_sums(path: Where, settings: Settings) -> pl.DataFrame | None:
    """What the parts of a store add up to [price.sums.SUMS], if their sums were made at these prices."""
    return store.sums(path, stamp(prices(settings)))
