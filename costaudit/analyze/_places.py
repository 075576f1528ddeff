"""Where the calls of each group stand, and what is there several times, found in one pass over numbers."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

_KEY = "_key"


def places(calls: pl.DataFrame, by: Sequence[str | pl.Expr], **sums: pl.Expr) -> pl.DataFrame:
    """One row a group, in order of its key: the columns of the key, `at` [list of UInt32], where its rows stand, and
    what else is asked of it."""
    names = [pl.col(one) if isinstance(one, str) else one for one in by]
    key = pl.reduce(lambda a, b: a ^ b, [one.hash(nth) for nth, one in enumerate(names)])
    rows = calls.with_row_index("at").with_columns(key.alias(_KEY))
    # One number groups many times faster than several names.
    found = rows.group_by(_KEY).agg(*(one.first() for one in names), "at", **sums).drop(_KEY)
    return found.sort(found.columns[: len(by)])


def repeated(numbers: pl.Series, times: int) -> pl.Series:
    """The numbers [UInt64, no nulls] that are there so many times or more, each once."""
    import numpy as np

    # Sorting plain numbers takes a fraction of the time and the memory of counting them.
    ordered = np.sort(numbers.to_numpy())
    last = times - 1
    same = ordered[last:] == ordered[: len(ordered) - last] if len(ordered) > last else np.zeros(0, bool)
    return pl.Series(numbers.name, np.unique(ordered[last:][same]), dtype=numbers.dtype)
