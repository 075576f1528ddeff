"""The columns of a long table in files without names, written piece after piece.

A column of one value is written nowhere, and one that says what another says is written once. Both are found out while
the pieces come; what a later piece contradicts is written after all.
"""

from __future__ import annotations

import errno
import mmap
import os
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

import polars as pl

from costaudit.scratch._sinks import Job, Sink, sink

ALIGNED = 64  # bytes; Arrow's own alignment, so that nothing need be copied to be read
FILLED = 1_000_000  # rows of one value that are made at a time

mappings: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()


def aligned(size: int) -> int:
    """Where what comes after so many bytes begins."""
    return -(-size // ALIGNED) * ALIGNED


class Shelf:
    """Columns of so many rows.

    opened  a new file without a name
    beside  columns of the same rows that stand somewhere already: what says the same is not written again
    """

    def __init__(self, height: int, opened: Callable[[], IO[bytes]], beside: pl.DataFrame | None = None) -> None:
        self.height = height
        self._given = [] if beside is None else [_Column(known.name, known) for known in beside.get_columns()]
        self._rooms = _Rooms(opened)
        self._columns: dict[str, _Column] = {}

    def __enter__(self) -> Shelf:
        return self

    def __exit__(self, *_: object) -> None:
        self._rooms.close()  # a mapping lives on without it

    @property
    def names(self) -> list[str]:
        return list(self._columns)

    def placed(self, piece: pl.DataFrame, at: int) -> list[Job]:
        """What is to be written so that rows from `at` on are these; pieces are placed one after the other, and can be
        written at the same time."""
        jobs: list[Job] = []
        for column in self._given:
            column.now = None if column.known is None else column.known.slice(at, piece.height)
        fresh = [] if at else list(self._given)  # columns that are written from this piece on, or given
        columns = [self._columns.setdefault(s.name, _Column(s.name)) for s in piece.get_columns()]
        for column, now in zip(columns, piece.get_columns(), strict=True):
            column.now = now
            if column.written(at, fresh):
                jobs += self._put(column, now, at)
        for column in (*columns, *self._given):
            column.now = None
        return jobs

    def put(self, frame: pl.DataFrame) -> None:
        """Keep whole columns."""
        for job in self.placed(frame, 0):
            job()

    def _put(self, column: _Column, piece: pl.Series, at: int) -> list[Job]:
        jobs: list[Job] = []
        for chunk in piece.get_chunks():
            array = chunk.to_arrow(compat_level=pl.CompatLevel.newest())
            if column.sink is None:
                column.sink = sink(array.type, self._rooms, self.height)
            jobs += column.sink.put(array, at)
            at += len(array)
        return jobs

    def columns(self) -> list[pl.Series | pl.Expr]:
        """The columns, for a table of as many rows."""
        filled = [column for column in self._columns.values() if column.since and column.sink is not None]
        for column in filled:
            if column.before is None:
                self._fill(column)
        for column in filled:
            if column.before is not None:
                said = self._made(column.before)
                self._slices(column, said.slice)
        made: dict[str, pl.Series | pl.Expr] = {}
        for column in self._columns.values():
            if column.twin is not None:
                made[column.name] = self._made(column.twin).alias(column.name)
            elif column.sink is not None:
                made[column.name] = self._made(column)
            elif column.one is not None:
                made[column.name] = pl.lit(column.one).first().alias(column.name)
        return list(made.values())

    def _fill(self, column: _Column) -> None:
        """Write the one value that the column had before it was written."""
        one = column.one
        if one is None or column.sink is None:
            return
        if one.null_count():
            column.sink.blank(column.since)
        else:
            self._slices(column, lambda _, number: one.new_from_index(0, number))

    def _slices(self, column: _Column, piece: Callable[[int, int], pl.Series]) -> None:
        for at in range(0, column.since, FILLED):
            for job in self._put(column, piece(at, min(FILLED, column.since - at)), at):
                job()

    def _made(self, column: _Column) -> pl.Series:
        if column.known is None and column.sink is not None:
            made = pl.from_arrow(column.sink.made(self.height))
            column.known = made.alias(column.name) if isinstance(made, pl.Series) else None
        assert column.known is not None
        return column.known


class _Column:
    """What is known of a column so far.

    one     the value of all its rows, before it is written
    sink    where it is written from row `since` on
    twin    the column that has said the same so far; `before`: that did so before row `since`
    now     its piece, while one is placed
    known   the whole of it, once it is known
    """

    def __init__(self, name: str, known: pl.Series | None = None) -> None:
        self.name = name
        self.known = known
        self.one: pl.Series | None = None
        self.sink: Sink | None = None
        self.since = 0
        self.twin: _Column | None = None
        self.before: _Column | None = None
        self.now: pl.Series | None = None

    def written(self, at: int, fresh: list[_Column]) -> bool:
        """Whether its piece from row `at` on has to be written."""
        assert self.now is not None
        if self.sink is not None:
            return True
        if self.twin is not None:
            if self.twin.now is not None and same(self.now, self.twin.now):
                return False
            self.twin, self.before, self.since = None, self.twin, at
            return True
        if constant(self.now) and (self.one is None or same(self.now.head(1), self.one)):
            self.one = self.now.head(1) if self.one is None else self.one
            return False
        self.since = at
        self.twin = next((other for other in fresh if self._like(other)), None)
        if self.twin is None:
            fresh.append(self)
        return self.twin is None

    def _like(self, other: _Column) -> bool:
        """Whether another column that is new has always said the same."""
        if other.now is None or self.now is None or not same(self.now, other.now):
            return False
        if self.one is None or other.one is None:
            return self.one is other.one
        return same(self.one, other.one)


class _Rooms:
    """Files without names: one for what has a known size, and one for each stream that grows."""

    def __init__(self, opened: Callable[[], IO[bytes]]) -> None:
        self._opened = opened
        self._files: list[_File] = []
        self._main: _File | None = None

    def of(self, size: int) -> _Region:
        if self._main is None:
            self._main = self._new()
        start = aligned(self._main.taken)
        self._main.taken = start + size
        _reserve(self._main.file, start, size)
        return _Region(self._main, start, size)

    def growing(self) -> _Region:
        return _Region(self._new(), 0, None)

    def _new(self) -> _File:
        self._files.append(_File(self._opened()))
        return self._files[-1]

    def close(self) -> None:
        for file in self._files:
            with suppress(OSError):  # what could not be written was told
                file.file.close()


def _reserve(file: IO[bytes], start: int, size: int) -> None:
    """Take room before it is written, which then costs half the time; OSError where there is none."""
    if not size or not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file.fileno(), start, size)
    except OSError as problem:
        if problem.errno == errno.ENOSPC:
            raise  # else a system that takes room only when it is written


class _Region:
    """A part of a file, or the whole of one that grows."""

    def __init__(self, file: _File, start: int, size: int | None) -> None:
        self.file, self.start, self.size = file, start, size

    def write(self, at: int, data: Any) -> None:
        self.file.write(self.start + at, data)

    def mapped(self) -> Any:
        whole = self.file.mapped()
        return whole if self.size is None else whole.slice(self.start, self.size)


class _File:
    """
    taken    bytes that regions are given out of, by the thread that places pieces
    written  bytes up to the last one that was written, by any thread
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.taken = 0
        self.written = 0
        self._turn = threading.Lock()  # the system writes to one file one after the other anyway
        self._whole: Any = None

    def write(self, at: int, data: Any) -> None:
        with self._turn:
            self.file.seek(at)
            self.file.write(data)
            self.written = max(self.written, self.file.tell())

    def mapped(self) -> Any:
        """All of it as an Arrow buffer, once all is written; what is written there later is seen too."""
        import pyarrow as pa

        self.file.flush()
        size = max(self.taken, self.written)
        if self._whole is None or self._whole.size < size:
            self._whole = pa.py_buffer(b"")
            if size:
                self.file.truncate(size)
                mapped = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ)
                mappings.add(mapped)
                self._whole = pa.py_buffer(mapped)
        return self._whole


def constant(column: pl.Series) -> bool:
    """Whether one value says all of the column, null included."""
    if not column.len() or column.null_count() not in (0, column.len()):
        return False
    return column.null_count() > 0 or (_begin_and_end(column, column.head(1)) and _alike(column, column.head(1)))


def same(column: pl.Series, other: pl.Series) -> bool:
    """Whether two columns say the same; the ends of most tell them apart."""
    if column.dtype != other.dtype or column.null_count() != other.null_count():
        return False
    return column.null_count() == column.len() or (_begin_and_end(column, other) and _alike(column, other))


def _begin_and_end(column: pl.Series, other: pl.Series) -> bool:
    # Values of Python are compared in a hundredth of the time of a query; there are very many such pairs.
    return not column.dtype.is_nested() and column[0] == other[0] and column[-1] == other[-1]


def _alike(column: pl.Series, other: pl.Series) -> bool:
    if column.has_nulls():
        return bool(column.eq_missing(other).all())
    return bool((column == other).all())  # without a query
