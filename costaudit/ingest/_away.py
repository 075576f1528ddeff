"""Rows for the months of a store, that wait until all of them are there; in a file if they are many."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

import polars as pl

from costaudit import schema, scratch
from costaudit.ingest._arrow import arrow, table
from costaudit.ingest._order import Run, in_order
from costaudit.ingest._parts import STORED, UNDATED
from costaudit.scratch import Heap

PIECE = 2_000  # rows that are read together
FEW = 8_000  # rows that wait in memory


class Away:
    """Rows [STORED] with the `_key` of each, by month.

    height  rows in all
    times   started_at of the rows of a month
    """

    def __init__(self) -> None:
        self.height = 0
        self.times: dict[str, list[pl.Series]] = {}
        self._runs: dict[str, list[Run]] = {}
        self._heap: Heap[Any] = scratch.heap()
        self._held: dict[tuple[str, int], pl.DataFrame] = {}

    def put(self, rows: pl.DataFrame) -> None:
        month = pl.col("started_at").dt.strftime("%Y-%m").fill_null(UNDATED)
        months = rows.with_columns(_month=month).partition_by("_month", as_dict=True, include_key=False)
        for (name,), group in months.items():
            self._put(str(name), in_order(group))
        self.height += rows.height
        if self.height > FEW:
            self._put_down()

    def runs(self, month: str) -> list[Run]:
        return self._runs.get(month, [])

    def close(self) -> None:
        self._heap.close()

    def _put(self, month: str, rows: pl.DataFrame) -> None:
        runs = self._runs.setdefault(month, [])
        name = (month, len(runs))
        self._held[name] = rows
        times = rows["started_at"]
        first, last = times.min(), times.max()
        dated = isinstance(first, datetime) and isinstance(last, datetime)
        runs.append(Run(first if dated else None, last if dated else None, partial(self._pieces, name)))  # type: ignore[arg-type]
        self.times.setdefault(month, []).append(times)

    def _put_down(self) -> None:
        for name, rows in self._held.items():
            for piece in rows.iter_slices(PIECE):
                self._heap.put(name, arrow(piece))
        self._held.clear()

    def _pieces(self, name: tuple[str, int], _: int) -> Iterator[pl.DataFrame]:
        if name in self._held:
            yield self._held[name]
            return
        for data in self._heap.of(name):
            yield schema.conform(table(data), STORED)
