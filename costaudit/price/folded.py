"""Cells of any number of calls, summed while they come; what memory does not hold stands in a file without a name.

Many keys are met again soon (those of an hour) or never (those of a user's one day). So cells are first summed in
memory; once they are too many there, they go to the file in buckets of their keys, and are summed bucket by bucket.
"""

from __future__ import annotations

import io
import weakref
from collections.abc import Iterator, Sequence
from contextlib import closing

import polars as pl

from costaudit import scratch
from costaudit.price.cells import KIND, SUMMED
from costaudit.scratch import Heap

HELD = 500_000  # cells in memory, which take some 100 MB, and several times that while they are summed
BUCKETS = 64


class Folded:
    """Cells by `names`, KIND.

    requests  of all cells that were added
    lacking   those of `names` that some cell has no value of
    """

    def __init__(self, names: Sequence[str], schema: pl.Schema) -> None:
        self.by = [*names, *KIND]
        self.names = list(names) or self.by
        self.few = pl.DataFrame(schema=schema)
        self.new: list[pl.DataFrame] = []
        self.requests = 0
        self.lacking: set[str] = set()
        self.away: Heap[int] | None = None

    def add(self, cells: pl.DataFrame) -> None:
        """Cells [names, KIND, SUMMED], in any order, with equal keys too."""
        if cells.is_empty():
            return
        self.requests += int(cells["requests"].sum())
        self.lacking |= {name for name in self.by[: -len(KIND)] if cells[name].null_count()}
        self.new.append(cells.select(self.few.columns))
        if sum(frame.height for frame in self.new) > max(HELD // 2, self.few.height):
            self._sum_up()
            if self.few.height > HELD:
                if self.away is None:
                    self.away = scratch.heap()
                    weakref.finalize(self, self.away.close)
                self._put_away(self.away)

    def take(self, other: Folded) -> None:
        """All that another one has, which is then empty."""
        for cells in other.pieces():
            self.add(cells)

    def pieces(self) -> Iterator[pl.DataFrame]:
        """Each key once; those of equal `names` in one piece. It is then empty."""
        self._sum_up()
        if self.away is None:
            few, self.few = self.few, self.few.clear()
            yield few
            return
        self._put_away(self.away)
        with closing(self.away) as away:
            for bucket in range(BUCKETS):
                found = [pl.read_ipc_stream(io.BytesIO(data)) for data in away.of(bucket)]
                if found:
                    yield self._summed(found)
        self.away = None

    def _sum_up(self) -> None:
        if self.new:
            frames, self.new = [self.few, *self.new], []
            self.few = self._summed(frames)

    def _summed(self, frames: list[pl.DataFrame]) -> pl.DataFrame:
        return pl.concat(frames).lazy().group_by(self.by).agg(pl.sum(*SUMMED)).collect(engine="streaming")

    def _put_away(self, away: Heap[int]) -> None:
        """What memory holds goes to the file."""
        bucket = pl.struct(self.names).hash(seed=0) % BUCKETS
        parts = self.few.with_columns(_bucket=bucket).partition_by("_bucket", as_dict=True, include_key=False)
        self.few = self.few.clear()
        for (number,), cells in parts.items():
            stream = io.BytesIO()
            cells.write_ipc_stream(stream, compression="lz4")
            away.put(int(number), stream.getvalue())
