"""Rows of small files share a frame, for it costs as much as five hundred rows: whose each of them is."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from costaudit.ingest._decode import nothing, silent

if TYPE_CHECKING:
    from costaudit.ingest._files import Record
    from costaudit.ingest._format import Out
    from costaudit.ingest._prompt import Facts
    from costaudit.ingest._table import TableReader

BATCH = 5_000  # rows that become one frame: fewer, and the frame costs more than its rows
SMALL = 1 << 16  # bytes of records that are held back; together they are what one answer of a worker may hold


class Held(NamedTuple):
    """Records that are decoded and wait for others of their file, or of other files."""

    reader: TableReader
    records: list[Record]
    values: Sequence[Sequence[Any]]
    facts: Facts | None = None  # what their prompts and answers say, where that has been read


class Owners:
    """Whose the rows of a frame are: one file's after the other's."""

    def __init__(self, outs: Sequence[Out], ends: Sequence[int]) -> None:
        self.outs, self.ends = outs, ends

    @classmethod
    def of(cls, outs: Sequence[Out], heights: Iterable[int]) -> Owners:
        """The owners of so many rows each."""
        return cls(outs, list(accumulate(heights)))

    def part(self, start: int, end: int) -> Owners:
        """The owners of some of the rows."""
        return Owners(self.outs, [min(max(last, start), end) - start for last in self.ends])

    def whose(self, row: int) -> Out:
        return self.outs[bisect_right(self.ends, row)]

    def reject(self, frame: pl.DataFrame, why: str) -> None:
        """Rows for which a column has a reason."""
        for row, line, reason in frame.drop_nulls(why).select("_row", "source_line", why).iter_rows():
            self.whose(row).rejects.append((line, reason))

    def skip(self, frame: pl.DataFrame) -> None:
        """Rows that are no request by design, each with its type."""
        if len(self.outs) == 1:
            self.outs[0].skipped.update(frame["_skip"].drop_nulls().to_list())
            return
        for row, kind in frame.drop_nulls("_skip").select("_row", "_skip").iter_rows():
            self.whose(row).skipped[kind] += 1

    def foreign(self, rows: pl.Series, records: Sequence[Record]) -> None:
        for row in rows:
            self.whose(row).foreign.append(records[row])

    def give(self, frame: pl.DataFrame) -> None:
        """The requests, to each file its own; they are in order of their rows."""
        if len(self.outs) == 1:
            self.outs[0].frames.append(frame.drop("_row"))
            return
        rows, whole, first = frame["_row"].to_list(), frame.drop("_row"), 0
        for out, end in zip(self.outs, self.ends, strict=True):
            last = bisect_right(rows, end - 1, first)
            if last > first:
                out.frames.append(whole.slice(first, last - first))
            first = last


def framed(outs: Iterable[Out]) -> bool:
    """Frame what is held back, like with like; whether there was any."""
    groups: dict[tuple[Any, ...], list[tuple[Held, Out]]] = {}
    for out in outs:
        for held in out.held:
            reader = held.reader
            groups.setdefault((id(reader.plan), reader.told, held.facts is None), []).append((held, out))
        out.held = []
    for group in groups.values():
        for some in _bearable(group):
            _frame(some)
    return bool(groups)


def _bearable(group: Sequence[tuple[Held, Out]]) -> Iterator[list[tuple[Held, Out]]]:
    """Portions of about as many rows as are framed together of one file."""
    some: list[tuple[Held, Out]] = []
    height = 0
    for one in group:
        some.append(one)
        height += len(one[0].records)
        if height >= BATCH:
            yield some
            some, height = [], 0
    if some:
        yield some


def _frame(group: Sequence[tuple[Held, Out]]) -> None:
    parts, outs = [held for held, _ in group], [out for _, out in group]
    records = [record for part in parts for record in part.records]
    absent = nothing(len(records))
    values = [
        absent if all(map(silent, several)) else tuple(chain.from_iterable(several))
        for several in zip(*(part.values for part in parts), strict=True)
    ]
    known = [part.facts for part in parts if part.facts is not None]
    facts = list(chain.from_iterable(known)) if known else None
    parts[0].reader.frame(records, values, Owners.of(outs, [len(part.records) for part in parts]), facts)
