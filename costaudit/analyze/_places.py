"""Where the calls of each group stand, found in one pass: a group is then gathered once, with the columns it needs."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl


def places(calls: pl.DataFrame, by: Sequence[str | pl.Expr], **sums: pl.Expr) -> pl.DataFrame:
    """One row a group, in order of its key: the columns of the key, `at` [list of UInt32], where its rows stand, and
    what else is asked of it."""
    rows = calls.with_row_index("at")
    found = rows.group_by(by).agg("at", **sums)
    return found.sort(found.columns[: len(by)])
