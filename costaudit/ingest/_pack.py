"""A pack: what many files gave, in one cache file that is whole or ignored.

    magic | strips of rows, then of nodes (Arrow IPC) | header (msgpack) | length and hash of the header

The header lists the files with everything that is no table; their rows lie one after the other in the two tables. A
run that reads a folder again thus opens a few packs instead of a file for each log. Tables are written and read strip
by strip, so a pack of any size takes little memory.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO

import msgspec
import polars as pl
from xxhash import xxh3_64_intdigest

from costaudit import schema, scratch
from costaudit.ingest._arrow import arrow, table
from costaudit.ingest._identity import ROWS
from costaudit.ingest._state import State
from costaudit.ingest._tree import NODES
from costaudit.kept import written

MAGIC = b"costaudit-pack3\n"
SIZES = 16  # length and hash of the header, 8 bytes each
SUFFIX = ".pack"
MOST = 8  # strips of a table that are held in memory; more stand in a file


class Damaged(Exception):
    """The file is no whole pack."""


class Entry(msgspec.Struct, array_like=True):
    """One file in a pack: its identity and state, its counts, and where its rows are."""

    key: bytes
    state: State
    lines: int
    blank: int
    skipped: list[int]  # the number of a kind, how many, the number of another one, …
    rejects: list[tuple[int, str, str]]
    problem: str
    sample: bool
    notes: list[str]
    rows: tuple[int, int]  # first, how many
    nodes: tuple[int, int]
    until: tuple[int, int] | None = None  # offset and lines from where an appended file is read on
    whole: int = 0  # xxh3 of all bytes until there


class _Strip(msgspec.Struct, array_like=True):
    """Some rows of a table: where they begin in the file, bytes and hash of them, and how many they are."""

    start: int
    size: int
    xxh3: int
    height: int


class Header(msgspec.Struct, array_like=True):
    """The entries of a pack, what they skipped (format, kind), and the strips of its tables."""

    entries: list[Entry]
    kinds: list[tuple[str, str]]  # once, not with each file
    rows: list[_Strip]
    nodes: list[_Strip]


_decode = msgspec.msgpack.Decoder(Header).decode


def write(
    folder: Path,
    entries: Sequence[Entry],
    kinds: Sequence[tuple[str, str]],
    rows: Iterable[pl.DataFrame],
    nodes: Iterable[pl.DataFrame],
) -> Path:
    """A new pack in the folder, flushed under another name and then renamed; OSError where there is no room.

    rows, nodes   the tables in strips, each with the columns that it has
    """
    return written(folder, _parts(Header(list(entries), list(kinds), [], []), rows, nodes), SUFFIX)


def _parts(header: Header, rows: Iterable[pl.DataFrame], nodes: Iterable[pl.DataFrame]) -> Iterator[bytes]:
    yield MAGIC
    at = len(MAGIC)
    for strips, frames in ((header.rows, rows), (header.nodes, nodes)):
        for frame in frames:
            data = arrow(frame, "zstd")
            strips.append(_Strip(at, len(data), xxh3_64_intdigest(data), frame.height))
            at += len(data)
            yield data
    said = msgspec.msgpack.encode(header)
    yield said
    yield len(said).to_bytes(8, "little") + xxh3_64_intdigest(said).to_bytes(8, "little")


class Pack:
    """A pack on disk; it stays open once it is known to be whole, whatever becomes of its name."""

    def __init__(self, path: Path) -> None:
        """Reads the header; raises OSError or Damaged."""
        self.path = path
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size < len(MAGIC) + SIZES:
                raise Damaged
            file.seek(0)
            begun = file.read(len(MAGIC))
            file.seek(size - SIZES)
            sizes = file.read(SIZES)
            length = int.from_bytes(sizes[:8], "little")
            if begun != MAGIC or length > size - len(MAGIC) - SIZES:
                raise Damaged
            file.seek(size - SIZES - length)
            data = file.read(length)
        if len(data) != length or xxh3_64_intdigest(data) != int.from_bytes(sizes[8:], "little"):
            raise Damaged
        try:
            self.header = _decode(data)
        except msgspec.DecodeError as problem:
            raise Damaged from problem
        self._file: IO[bytes] | None = None
        self._close: Callable[[], object] = bool

    def skipped(self, entry: Entry) -> dict[tuple[str, str], int]:
        """What one of its entries skipped: format and kind, how many."""
        said = entry.skipped
        return {self.header.kinds[kind]: number for kind, number in zip(said[::2], said[1::2], strict=True)}

    def load(self) -> None:
        """Open it and see that its tables are whole; raises OSError or Damaged."""
        number = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._close = weakref.finalize(self, os.close, number)  # or when nobody wants it any more
        self._file = os.fdopen(number, "rb", closefd=False)
        for strip in (*self.header.rows, *self.header.nodes):
            data = self._data(strip)
            if len(data) != strip.size or xxh3_64_intdigest(data) != strip.xxh3:
                self._close()
                raise Damaged

    def tables(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows [ROWS] and nodes [NODES] of a pack that was loaded, which is then closed."""
        found = self._table(self.header.rows, ROWS), self._table(self.header.nodes, NODES)
        self._close()
        return found

    def _table(self, strips: Sequence[_Strip], columns: pl.Schema) -> pl.DataFrame:
        if len(strips) <= MOST:
            frames = [_frame(self._data(strip), strip.height, columns) for strip in strips]
            return schema.conform(pl.concat(frames or [columns.to_frame()], how="diagonal"), columns)
        pieces = (partial(_whole, self._data(strip), strip.height, columns) for strip in strips)
        return scratch.filed(sum(strip.height for strip in strips), pieces)

    def _data(self, strip: _Strip) -> bytes:
        assert self._file is not None
        self._file.seek(strip.start)
        return self._file.read(strip.size)


def _frame(data: bytes, height: int, columns: pl.Schema) -> pl.DataFrame:
    """The rows of a strip, with those columns that say something."""
    return table(data) if data else columns.to_frame().clear(height)


def _whole(data: bytes, height: int, columns: pl.Schema) -> pl.DataFrame:
    return schema.conform(_frame(data, height, columns), columns)
