"""Rows of a table that several files share.

A frame of fifty columns takes 19 KB however few its rows are, so what a file gave is a place in a table until all files
are read: cut is what is needed as a table.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import polars as pl


class Stretch(NamedTuple):
    """So many rows of a table, from one on."""

    table: pl.DataFrame
    first: int
    height: int

    def cut(self) -> pl.DataFrame:
        whole = self.height == self.table.height
        return self.table if whole else self.table.slice(self.first, self.height)


def whole(table: pl.DataFrame) -> Stretch:
    """All rows of a table."""
    return Stretch(table, 0, table.height)


def together(stretches: Iterable[Stretch]) -> list[Stretch]:
    """The same rows in the same order: stretches of a table that go on where the one before ended are one."""
    long: list[Stretch] = []
    for one in stretches:
        before = long[-1] if long else None
        if before is not None and before.table is one.table and before.first + before.height == one.first:
            long[-1] = Stretch(one.table, before.first, before.height + one.height)
        else:
            long.append(one)
    return long


def cut(stretches: Iterable[Stretch]) -> list[pl.DataFrame]:
    """The rows as frames, in their order; few, for each takes room."""
    return [one.cut() for one in together(stretches)]
