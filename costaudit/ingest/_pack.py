"""A pack: what many files gave, in one cache file that is whole or ignored.

    magic, length and hash of the header | header (msgpack) | rows (Arrow IPC) | nodes (Arrow IPC)

The header lists the files with everything that is no table; their rows lie one after the other in the two tables. A
run that reads a folder again thus opens a few packs instead of a file for each log.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import msgspec
import polars as pl
from xxhash import xxh3_64_intdigest

from costaudit.ingest._state import State
from costaudit.kept import written

MAGIC = b"costaudit-pack1\n"
SIZES = len(MAGIC) + 16  # magic, then length and hash of the header, 8 bytes each
SUFFIX = ".pack"


class Damaged(Exception):
    """The file is no whole pack."""


class Entry(msgspec.Struct, array_like=True):
    """One file in a pack: its identity and state, its counts, and where its rows are."""

    key: bytes
    state: State
    lines: int
    blank: int
    skipped: list[tuple[str, str, int]]
    rejects: list[tuple[int, str, str]]
    problem: str
    notes: list[str]
    rows: tuple[int, int]  # first, how many
    nodes: tuple[int, int]
    until: tuple[int, int] | None = None  # offset and lines from where an appended file is read on
    whole: int = 0  # xxh3 of all bytes until there


class _Table(msgspec.Struct, array_like=True):
    size: int
    xxh3: int


class Header(msgspec.Struct, array_like=True):
    """The entries of a pack, and the tables behind them."""

    entries: list[Entry]
    tables: list[_Table]  # rows, nodes


_decode = msgspec.msgpack.Decoder(Header).decode


def write(folder: Path, entries: Sequence[Entry], rows: pl.DataFrame, nodes: pl.DataFrame) -> Path:
    """A new pack in the folder, flushed under another name and then renamed; OSError where there is no room."""
    tables = [_packed(rows), _packed(nodes)]
    header = msgspec.msgpack.encode(
        Header(list(entries), [_Table(len(table), xxh3_64_intdigest(table)) for table in tables])
    )
    sizes = len(header).to_bytes(8, "little") + xxh3_64_intdigest(header).to_bytes(8, "little")
    return written(folder, (MAGIC, sizes, header, *tables), SUFFIX)


def _packed(frame: pl.DataFrame) -> bytes:
    kept = [column.name for column in frame if column.null_count() < frame.height]  # most logs fill a third of them
    if not kept:
        return b""
    stream = io.BytesIO()
    frame.select(kept).write_ipc(stream, compression="zstd")
    return stream.getvalue()


class Pack:
    """A pack on disk; the tables are read when they are first asked for."""

    def __init__(self, path: Path) -> None:
        """Reads the header; raises OSError or Damaged."""
        self.path = path
        with path.open("rb") as file:
            start = file.read(SIZES)
            if len(start) < SIZES or not start.startswith(MAGIC):
                raise Damaged
            length = int.from_bytes(start[-16:-8], "little")
            data = file.read(length) if length < 1 << 32 else b""
        if len(data) != length or xxh3_64_intdigest(data) != int.from_bytes(start[-8:], "little"):
            raise Damaged
        try:
            self.header = _decode(data)
        except msgspec.DecodeError as problem:
            raise Damaged from problem
        self._at = SIZES + length
        self._data: list[bytes] = []

    def load(self) -> None:
        """Take the tables from the disk; raises OSError or Damaged."""
        with self.path.open("rb") as file:
            file.seek(self._at)
            self._data = [file.read(table.size) for table in self.header.tables]
        for data, table in zip(self._data, self.header.tables, strict=True):
            if len(data) != table.size or xxh3_64_intdigest(data) != table.xxh3:
                raise Damaged

    def tables(self) -> tuple[pl.DataFrame | None, pl.DataFrame | None]:
        """Rows and nodes as they were loaded, without the columns that are null in all of them."""
        rows, nodes = (pl.read_ipc(data) if data else None for data in self._data)
        return rows, nodes
