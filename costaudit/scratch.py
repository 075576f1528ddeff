"""Long tables in a file instead of memory: columns are written once, mapped, and read like any others.

The file has no name: the system removes it when the process ends, however it ends. It holds what the store holds and
nothing more, no text of a prompt or an answer.
"""

from __future__ import annotations

import logging
import mmap
import os
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import disk_usage
from typing import IO, Any

import polars as pl

from costaudit.errors import CostAuditError

MANY = 100_000  # rows from which columns are kept in a file; fewer take less memory than the program itself
AT_ONCE = 128 * 2**20  # bytes of columns that are in memory before they are written
WIDE = 64  # bytes a row that a nested column is taken for
FILED, OWN = 600, 300  # bytes a call, on disk and in memory, of all rules: `bench/analysis.py`, ten million calls
MEMORY = Path("/proc/meminfo")
ALIGNED = 64  # bytes; Arrow's own alignment, so that nothing need be copied to be read

_mapped: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()


def kept(frame: pl.DataFrame, names: Iterable[str] | None = None, beside: pl.DataFrame | None = None) -> pl.DataFrame:
    """The same table with the named columns (None: all) in a file, if it is long.

    beside  columns of the same rows that are kept already: one that says the same is taken for what a column says
    """
    if frame.height < MANY:
        return frame
    wanted = frame.select(frame.columns if names is None else list(names))
    known = [] if beside is None else beside.get_columns()
    pairs = ((column.name, next((one.name for one in known if _same(column, one)), "")) for column in wanted)
    old = {name: one for name, one in pairs if one}
    with _Shelf() as shelf:
        shelf.put(wanted.drop(old))
        found = frame.with_columns(shelf.columns())
    if not old or beside is None:
        return found
    twins = beside.select(pl.col(one).alias(name) for name, one in old.items())  # as a table: literals stay literals
    return pl.concat([found.drop(old), twins], how="horizontal").select(frame.columns)


def read(schema: pl.Schema, height: int, columns: Callable[[Sequence[str]], pl.DataFrame]) -> pl.DataFrame:
    """A table of so many rows, in a file if they are many.

    columns   reads some of the columns, always in the same order of rows; never all of a long table at once
    """
    if height < MANY:
        return columns(schema.names())
    for lack in _lacking(height):
        logging.getLogger(__name__).warning("%s calls: %s", f"{height:,}", lack)
    with _Shelf() as shelf, ThreadPoolExecutor(1) as writer:
        written: Future[None] | None = None
        for names in _batches(schema, height):
            if any(schema[name].is_nested() for name in names):
                _done(written)  # lists are large: never two at once
            frame = columns(names)  # while the batch before is written
            _done(written)
            written = writer.submit(shelf.put, frame)
            del frame
        _done(written)
        found = pl.DataFrame([pl.int_range(height, dtype=pl.UInt32, eager=True).alias("")])
        return found.with_columns(shelf.columns()).select(schema.names())


def _lacking(height: int) -> Iterator[str]:
    """What so many calls will probably want and not find, said before the work is begun."""
    shorter = "audit a shorter window (--since, --until)"
    with suppress(OSError):
        if (filed := height * FILED) > (free := disk_usage(folder()).free):
            folders = "name another folder in the environment variable TMPDIR"
            yield f"a working file of some {_gb(filed)}, {folder()} has {_gb(free)}: {shorter}, or {folders}"
    with suppress(OSError, ValueError, IndexError):  # not on every system
        free = int(MEMORY.read_text().split("MemAvailable:")[1].split()[0]) * 1024
        if (own := height * OWN) > free:
            yield f"all rules take some {_gb(own)} of memory, {_gb(free)} are free: {shorter}, or --select fewer rules"


def _gb(size: int) -> str:
    return f"{size / 1e9:,.0f} GB"


def _done(written: Future[None] | None) -> None:
    if written is not None:
        written.result()


def release() -> None:
    """Take no memory for what was read from files so far; what is looked at again is mapped again."""
    for whole in _mapped:
        if hasattr(whole, "madvise"):  # not on Windows
            whole.madvise(mmap.MADV_DONTNEED)


def size() -> int:
    """Bytes of the files that tables stand in now."""
    return sum(len(whole) for whole in _mapped)


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
    """One nameless file of Arrow streams, one a column.

    A column of one value is a literal: it takes no room until somebody looks at it. One that says what another says is
    written once.
    """

    def __enter__(self) -> _Shelf:
        self._file: IO[bytes] = _nameless()
        self._starts: dict[str, int] = {}
        self._ones: list[pl.Series] = []
        self._twins: dict[str, str] = {}
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # what could not be written was told
            self._file.close()  # a mapping lives on without it

    def put(self, frame: pl.DataFrame) -> None:
        """Keep the columns of a table."""
        done: list[pl.Series] = []
        for column in frame.get_columns():
            if _constant(column):
                self._ones.append(column.head(1))
            elif twin := next((other.name for other in done if _same(column, other)), ""):
                self._twins[column.name] = twin
            else:
                self._write(column)
                done.append(column)

    def _write(self, column: pl.Series) -> None:
        import pyarrow as pa

        table = column.rechunk().to_frame().to_arrow(compat_level=pl.CompatLevel.newest())
        with _told("no room for the working file of so many requests", "make room there, or name a folder that has it"):
            self._file.seek(-(-self._file.tell() // ALIGNED) * ALIGNED)
            self._starts[column.name] = self._file.tell()
            with pa.ipc.new_stream(self._file, table.schema) as stream:
                stream.write_table(table)
            self._file.flush()

    def columns(self) -> list[pl.Series | pl.Expr]:
        """The columns kept, for a table of as many rows."""
        filed = self._mapped()
        twins = [filed[twin].alias(name) for name, twin in self._twins.items()]
        return [*filed.values(), *twins, *(pl.lit(one).first().alias(one.name) for one in self._ones)]

    def _mapped(self) -> dict[str, pl.Series]:
        import pyarrow as pa

        if not self._starts:
            return {}
        mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        _mapped.add(mapped)
        whole = pa.py_buffer(mapped)
        tables = [pa.ipc.open_stream(whole.slice(start)).read_all() for start in self._starts.values()]
        frames: list[Any] = [pl.from_arrow(table, rechunk=False) for table in tables]
        return {name: frame.to_series() for name, frame in zip(self._starts, frames, strict=True)}


def _constant(column: pl.Series) -> bool:
    """Whether one value says all of the column, null included."""
    if not column.len() or column.null_count() not in (0, column.len()):
        return False
    one = column.head(1)
    return column.null_count() > 0 or (_alike(column.tail(1), one) and _alike(column, one))


def _same(column: pl.Series, other: pl.Series) -> bool:
    """Whether two columns say the same; the ends of most tell them apart."""
    if column.dtype != other.dtype or column.null_count() != other.null_count():
        return False
    return _alike(column.head(1), other.head(1)) and _alike(column.tail(1), other.tail(1)) and _alike(column, other)


def _alike(column: pl.Series, other: pl.Series) -> bool:
    return not column.dtype.is_nested() and bool(column.eq_missing(other).all())


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
