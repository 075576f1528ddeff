"""What is known of all calls of a table without looking at any: what is never said, what always, and its bounds.

A Parquet file states this of each column. Whatever it answers need not be read, nor asked of each call.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
import polars as pl

UNKNOWN = (-(2**63), 2**63 - 1)


class Facts(msgspec.Struct, frozen=True):
    """Facts of the calls at hand; what is not stated is unknown.

    absent  columns in which no call has a value
    full    columns in which every call has one
    counts  column -> the least and the most of its numbers
    words   column -> the first and the last of its texts, by bytes; a text may end in place of the whole one
    """

    absent: Collection[str] = frozenset()
    full: Collection[str] = frozenset()
    counts: Mapping[str, tuple[int, int]] = msgspec.field(default_factory=dict)
    words: Mapping[str, tuple[str, str]] = msgspec.field(default_factory=dict)

    def count(self, name: str) -> pl.Expr:
        """A count of each call, unknown as 0."""
        if name in self.absent:
            return pl.lit(0, pl.Int64)
        return pl.col(name) if name in self.full else pl.col(name).fill_null(0)

    def bounds(self, name: str) -> tuple[int, int]:
        """The least and the most of `count`."""
        if name in self.absent:
            return 0, 0
        low, high = self.counts.get(name, UNKNOWN)
        return (low, high) if name in self.full else (min(low, 0), max(high, 0))

    def least(self, name: str) -> int:
        return self.bounds(name)[0]

    def most(self, name: str) -> int:
        return self.bounds(name)[1]

    def holds(self, name: str, *texts: str) -> bool:
        """Whether some call can have one of the texts in that column."""
        if name in self.absent:
            return False
        first, last = self.words.get(name, (None, None))
        return first is None or last is None or any(first <= text <= last for text in texts)

    def one(self, name: str) -> str | None:
        """The text that every call has in that column, if there is one."""
        first, last = self.words.get(name, (None, None))
        return first if name in self.full and first == last else None
