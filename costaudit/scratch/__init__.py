"""Long tables in a file instead of memory: columns are written once, mapped, and read like any others.

The file has no name: the system removes it when the process ends, however it ends. It holds what the store holds and
nothing more, no text of a prompt or an answer.
"""

from __future__ import annotations

import logging
import mmap
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from shutil import disk_usage
from typing import IO, Any

import polars as pl

from costaudit.errors import CostAuditError
from costaudit.scratch._heap import Heap as Heap
from costaudit.scratch._shelf import Shelf, mappings
from costaudit.scratch._shelf import aligned as aligned

MANY = 100_000  # rows from which columns are kept in a file; fewer take less memory than the program itself
READERS = 2  # pieces that are read at the same time, while as many are written
FILED, OWN = 600, 160  # bytes a call, on disk and in memory, of all rules: `bench/analysis.py`, ten million calls
MEMORY = Path("/proc/meminfo")


def kept(frame: pl.DataFrame, names: Iterable[str] | None = None, beside: pl.DataFrame | None = None) -> pl.DataFrame:
    """The same table with the named columns (None: all) in a file, if it is long.

    beside  columns of the same rows that are kept already: one that says the same is taken for what a column says
    """
    if frame.height < MANY:
        return frame
    with no_room(), Shelf(frame.height, nameless, beside) as shelf:
        shelf.put(frame if names is None else frame.select(list(names)))
        return frame.with_columns(shelf.columns())


def with_columns(frame: pl.DataFrame, made: pl.DataFrame) -> pl.DataFrame:
    """The table with the columns of another one, added or in its own place; one of one value still takes no room."""
    names = list(dict.fromkeys((*frame.columns, *made.columns)))
    return pl.concat([frame.drop(made.columns, strict=False), made], how="horizontal").select(names)


def heap() -> Heap[Any]:
    """A file for bytes that come in pieces."""
    return Heap(nameless, no_room)


def read(height: int, pieces: Iterable[Callable[[], pl.DataFrame]]) -> pl.DataFrame:
    """A table of so many rows, in a file if they are many.

    pieces   each reads the next rows, all columns of them; some are read at the same time, and few are in memory
    """
    if height >= MANY:
        for lack in _lacking(height):
            logging.getLogger(__name__).warning("%s calls: %s", f"{height:,}", lack)
    return made(height, pieces)


def made(height: int, pieces: Iterable[Callable[[], pl.DataFrame]], beside: pl.DataFrame | None = None) -> pl.DataFrame:
    """The same without a word about what it takes; `beside` as in `kept`."""
    return filed(height, pieces, beside) if height >= MANY else pl.concat([piece() for piece in pieces])


def filed(
    height: int, pieces: Iterable[Callable[[], pl.DataFrame]], beside: pl.DataFrame | None = None
) -> pl.DataFrame:
    """The same in a file, however few the rows are."""
    with Shelf(height, nameless, beside) as shelf, ThreadPoolExecutor(READERS) as pool:
        ahead: deque[Future[pl.DataFrame]] = deque()
        behind: deque[Future[None]] = deque()
        at = 0
        waiting = iter(pieces)
        while True:
            while len(ahead) < READERS and (piece := next(waiting, None)) is not None:
                ahead.append(pool.submit(piece))
            if not ahead:
                break
            frame = ahead.popleft().result()
            with no_room():
                jobs = shelf.placed(frame, at)
            behind.append(pool.submit(_write, jobs))
            at += frame.height
            del frame, jobs
            if len(behind) == READERS:
                behind.popleft().result()
        for written in behind:
            written.result()
        return _table(height, shelf)


def _write(jobs: list[Callable[[], None]]) -> None:
    with no_room():
        for job in jobs:
            job()


def _table(height: int, shelf: Shelf) -> pl.DataFrame:
    with no_room():
        columns = shelf.columns()
    found = pl.DataFrame([pl.int_range(height, dtype=pl.UInt32, eager=True).alias("")])
    return found.with_columns(columns).select(shelf.names)


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


def release() -> None:
    """Take no memory for what was read from files so far; what is looked at again is mapped again."""
    for whole in mappings:
        if hasattr(whole, "madvise"):  # not on Windows
            whole.madvise(mmap.MADV_DONTNEED)


def slices(rows: pl.DataFrame, number: int) -> Iterator[pl.DataFrame]:
    """Rows so many at a time; pages that were looked at are given back in between."""
    for at in range(0, rows.height, number):
        yield rows[at : at + number]
        release()


def size() -> int:
    """Bytes of the files that tables stand in now."""
    return sum(len(whole) for whole in mappings)


def nameless() -> IO[bytes]:
    """A working file that is gone once it is closed, whatever happens to the program."""
    with _told("no working file can be made there", "name a folder that can be written"):
        return tempfile.TemporaryFile(prefix="costaudit-", dir=folder())


def no_room() -> AbstractContextManager[None]:
    """While a working file is written: a full disk is told as such."""
    return _told("no room for the working file of so many requests", "make room there, or name a folder that has it")


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
