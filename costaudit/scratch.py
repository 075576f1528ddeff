"""Long tables in a file instead of memory: columns are written once, mapped, and read like any others.

The file has no name: the system removes it when the process ends, however it ends. It holds what the store holds and
nothing more, no text of a prompt or an answer.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import polars as pl

from costaudit.errors import CostAuditError

MANY = 100_000  # rows from which columns are kept in a file; fewer take less memory than the program itself
AT_ONCE = 128 * 2**20  # bytes of columns that are in memory before they are written
WIDE = 64  # bytes a row that a nested column is taken for
ALIGNED = 64  # bytes; Arrow's own alignment, so that nothing need be copied to be read

_mapped: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()


def kept(frame: pl.DataFrame, names: Iterable[str] | None = None) -> pl.DataFrame:
    """The same table with the named columns (None: all) in a file, if it is long."""
    if frame.height < MANY:
        return frame
    wanted = frame.columns if names is None else list(names)
    return frame.with_columns(read(frame.select(wanted).schema, frame.height, frame.select).get_columns())


def read(schema: pl.Schema, height: int, columns: Callable[[Sequence[str]], pl.DataFrame]) -> pl.DataFrame:
    """A table of so many rows, in a file if they are many.

    columns   reads some of the columns, always in the same order of rows; never all of a long table at once
    """
    if height < MANY:
        return columns(schema.names())
    with _Shelf() as shelf:
        for names in _batches(schema, height):
            shelf.put(columns(names))
        found = pl.DataFrame([pl.int_range(height, dtype=pl.UInt32, eager=True).alias(""), *shelf.columns()])
    # A column without a value is a literal: it takes no room until somebody looks at it.
    absent = [pl.lit(None, dtype).alias(name) for name, dtype in schema.items() if name not in found.columns]
    return found.with_columns(absent).select(schema.names())


def release() -> None:
    """Take no memory for what was read from files so far; what is looked at again is mapped again."""
    for whole in _mapped:
        if hasattr(whole, "madvise"):  # not on Windows
            whole.madvise(mmap.MADV_DONTNEED)


def _batches(schema: pl.Schema, height: int) -> Iterable[list[str]]:
    """The columns in batches of about `AT_ONCE` bytes."""
    batch: list[str] = []
    size = 0
    for name, dtype in schema.items():
        width = WIDE if dtype.is_nested() else 16 if dtype == pl.String or dtype.is_decimal() else 8
        if batch and size + width * height > AT_ONCE:
            yield batch
            batch, size = [], 0
        batch.append(name)
        size += width * height
    if batch:
        yield batch


class _Shelf:
    """One nameless file of Arrow streams, one a batch of columns."""

    def __enter__(self) -> _Shelf:
        self._file: IO[bytes] = _nameless()
        self._starts: list[int] = []
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # what could not be written was told
            self._file.close()  # a mapping lives on without it

    def put(self, frame: pl.DataFrame) -> None:
        """Write the columns that have a value."""
        import pyarrow as pa

        some = frame.select(c.rechunk() for c in frame.get_columns() if c.null_count() < frame.height)
        if not some.width:
            return
        table = some.to_arrow(compat_level=pl.CompatLevel.newest())
        with _told("no room for the working file of so many requests", "make room there, or name a folder that has it"):
            self._file.seek(-(-self._file.tell() // ALIGNED) * ALIGNED)
            self._starts.append(self._file.tell())
            with pa.ipc.new_stream(self._file, table.schema) as stream:
                stream.write_table(table)
            self._file.flush()

    def columns(self) -> list[pl.Series]:
        import pyarrow as pa

        if not self._starts:
            return []
        mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        _mapped.add(mapped)
        whole = pa.py_buffer(mapped)
        tables = [pa.ipc.open_stream(whole.slice(start)).read_all() for start in self._starts]
        frames: list[Any] = [pl.from_arrow(table, rechunk=False) for table in tables]
        return [column for frame in frames for column in frame.get_columns()]


def _nameless() -> IO[bytes]:
    with _told("no working file can be made there", "name a folder that can be written"):
        return tempfile.TemporaryFile(prefix="costaudit-", dir=folder())


@contextmanager
def _told(what: str, hint: str) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        said = f"{folder()}: {what}: {problem.strerror or problem}"
        raise CostAuditError(said, hint=f"{hint} in the environment variable TMPDIR") from problem


def folder() -> Path:
    """Where working files go: TMPDIR, else the place for large ones: /tmp is memory on many systems."""
    if not any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")) and os.access("/var/tmp", os.W_OK):
        return Path("/var/tmp")
    return Path(tempfile.gettempdir())
