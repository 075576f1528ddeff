"""The files of a store: immutable parts, and one list of them that makes a change visible all at once.

    STORE/costaudit-store.json                     the list: version of the request table, each part with its hash
    STORE/requests/month=2026-10/<hash>.parquet    rows of whole days, in order of time, zstd
    STORE/sums/month=2026-10/<hash>.parquet        what the rows of a part add up to (`costaudit.price.sums`)
    STORE/.lock                                    held by the one process that writes

A part is never changed. A change writes new parts, flushes them to disk, and then renames a new list over the old one;
files that no list names are what a killed process left behind, and the next writer removes them.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import polars as pl
from xxhash import xxh3_128_hexdigest

from costaudit import schema
from costaudit.errors import LogError, UsageError

MARK = "costaudit-store.json"
FORMAT = "costaudit-store"
UNDATED = "undated"  # month of rows whose log gives no time
KEYS = pl.Schema({"_key": pl.String(), "_also": pl.String(), "_rank": pl.Int64()})  # what `_identity` knows calls by
STORED = pl.Schema({**schema.REQUESTS, **KEYS})
PARQUET: dict[str, Any] = {"compression": "zstd", "compression_level": 1, "row_group_size": 200_000}
RESTORE = "restore it from a backup, or ingest the logs again into a new folder"


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """One file of rows.

    restated     rows that restate the usage of others (roll-ups), part of `rows`
    first, last  times of its rows; None in the part of rows without a time
    sums, stamp  the file of its sums, and what they were made with (prices, code)
    """

    file: str
    rows: int
    restated: int
    bytes: int
    xxh3: str
    first: datetime | None = None
    last: datetime | None = None
    sums: str | None = None
    stamp: str | None = None

    @property
    def month(self) -> str:
        return self.file.split("/")[1].removeprefix("month=")

    def within(self, start: datetime | None, end: datetime | None) -> bool:
        """Whether the half-open window can hold a row of it; a row without a time is in no window."""
        if start is None and end is None:
            return True
        if self.first is None or self.last is None:
            return False
        return (end is None or self.first < end) and (start is None or self.last >= start)


class _Version(msgspec.Struct):
    schema: int


class Listing(msgspec.Struct, frozen=True):
    """The list of a store's parts, in order of month and time."""

    schema: int
    format: str = FORMAT
    parts: list[Part] | None = None  # None: written before there were lists


class Summary(NamedTuple):
    """How the rows of a part are summed, a stamp that changes when the sums would, and the columns that are read."""

    stamp: str
    of: Callable[[pl.DataFrame], pl.DataFrame]
    columns: Sequence[str] | None = None


def is_store(path: Path) -> bool:
    return (path / MARK).is_file()


def prepare(store: Path) -> None:
    """Make a new store where there is none; UsageError where the folder holds something else."""
    if is_store(store):
        return
    begun = {".lock", MARK, f"{MARK}.writing"}  # what a process that does the same at this moment, or was killed, made
    if store.exists() and (not store.is_dir() or any(path.name not in begun for path in store.iterdir())):
        raise UsageError(f"{store}: not a store, and not empty", hint="name a new folder, or an existing store")
    with writing(store):
        if not is_store(store):
            save(store, [])


def load(store: Path) -> list[Part]:
    """The parts of a store; LogError where the list is damaged or of another version."""
    try:
        data = (store / MARK).read_bytes()
        version = msgspec.json.decode(data, type=_Version).schema
        found = msgspec.json.decode(data, type=Listing) if version == schema.VERSION else Listing(version)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise LogError(f"{store / MARK}: damaged", hint=RESTORE) from problem
    if version != schema.VERSION:
        raise LogError(
            f"{store}: written with version {version} of the request table, this program reads {schema.VERSION}",
            hint="ingest the logs again into a new folder",
        )
    if found.parts is not None:
        return found.parts
    return [_described(store, path) for path in sorted(store.glob("requests/month=*/*.parquet"))]


def save(store: Path, parts: Iterable[Part]) -> None:
    """Make these the parts of the store, at once."""
    ordered = sorted(parts, key=lambda p: (p.month, p.first.timestamp() if p.first else 0.0, p.file))
    data = msgspec.json.encode(Listing(schema.VERSION, parts=ordered))
    durable(store / MARK, msgspec.json.format(data, indent=1) + b"\n")


def _described(store: Path, path: Path) -> Part:
    """A part that no list describes."""
    known = (
        pl.scan_parquet(path)
        .select(
            rows=pl.len(),
            restated=pl.col("rollup").fill_null(value=False).sum(),
            first=pl.col("started_at").min(),
            last=pl.col("started_at").max(),
        )
        .collect()
        .row(0, named=True)
        if _readable(path)
        else {"rows": 0, "restated": 0, "first": None, "last": None}
    )
    return Part(path.relative_to(store).as_posix(), bytes=path.stat().st_size, xxh3="", **known)


def _readable(path: Path) -> bool:
    try:
        return pl.read_parquet_schema(path) is not None
    except (pl.exceptions.PolarsError, OSError):
        return False


def write(store: Path, month: str, rows: pl.DataFrame, summary: Summary | None) -> Part:
    """A new part of one month [STORED], named by its content, and its sums; OSError where there is no room."""
    file, data = _named("requests", month, rows)
    durable(store / file, data)
    sums = None
    if summary is not None:
        sums, summed = _named("sums", month, summary.of(rows))
        durable(store / sums, summed)
    first, last = rows["started_at"].min(), rows["started_at"].max()
    return Part(
        file=file,
        rows=rows.height,
        restated=int(rows["rollup"].fill_null(value=False).sum()),
        bytes=len(data),
        xxh3=Path(file).stem,
        first=first if isinstance(first, datetime) else None,
        last=last if isinstance(last, datetime) else None,
        sums=sums,
        stamp=summary.stamp if summary else None,
    )


def summed(store: Path, part: Part, summary: Summary | None) -> Part:
    """The same part with sums that are as asked for; None: with those it has."""
    if summary is None or part.stamp == summary.stamp:
        return part
    file, data = _named("sums", part.month, summary.of(read(store, part, summary.columns)))
    durable(store / file, data)
    return msgspec.structs.replace(part, sums=file, stamp=summary.stamp)


def _named(kind: str, month: str, frame: pl.DataFrame) -> tuple[str, bytes]:
    stream = io.BytesIO()
    frame.write_parquet(stream, metadata={"costaudit.schema": str(schema.VERSION)}, **PARQUET)
    data = stream.getvalue()
    return f"{kind}/month={month}/{xxh3_128_hexdigest(data)}.parquet", data


def read(store: Path, part: Part, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The rows of a part [STORED]; LogError where it is damaged or gone."""
    path = store / part.file
    try:
        if not part.xxh3:  # as it was before there were lists: columns may be absent
            frame = schema.conform(pl.read_parquet(path), STORED)
            return frame if columns is None else frame.select(columns)
        return pl.read_parquet(path, columns=list(columns) if columns is not None else None)
    except (pl.exceptions.PolarsError, OSError) as problem:
        raise LogError(f"{path}: damaged", hint=RESTORE) from problem


def read_sums(store: Path, part: Part) -> pl.DataFrame | None:
    """The sums of a part; None where it has none, or they are damaged: its rows say the same."""
    if part.sums is None:
        return None
    try:
        return pl.read_parquet(store / part.sums)
    except (pl.exceptions.PolarsError, OSError):
        return None


def read_all(store: Path, parts: Sequence[Part], columns: Sequence[str]) -> list[pl.DataFrame]:
    """The same for several parts, in their order; in one pass where they are all as they should be."""
    if len(parts) > 1 and all(part.xxh3 for part in parts):
        with suppress(pl.exceptions.PolarsError, OSError):  # reading one after the other says which one is damaged
            files = [store / part.file for part in parts]
            return [pl.scan_parquet(files, glob=False, hive_partitioning=False).select(columns).collect()]
    return [read(store, part, columns) for part in parts]


def durable(path: Path, data: bytes) -> None:
    """The whole file on disk, or the old one: written beside it, flushed, renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".writing")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        raise
    with suppress(OSError):  # the name is on disk once its folder is; not every system can flush one
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def orphans(store: Path, parts: Iterable[Part]) -> list[Path]:
    """Files that the list does not name: halves and leftovers of a process that was killed."""
    named = {name for part in parts for name in (part.file, part.sums) if name}
    found = [path for kind in ("requests", "sums") for path in store.glob(f"{kind}/*/*") if path.is_file()]
    found += store.glob("*.writing")
    return sorted(path for path in found if path.relative_to(store).as_posix() not in named)


def sweep(store: Path, parts: Iterable[Part]) -> int:
    """Remove what no list names; only while the lock is held."""
    gone = orphans(store, parts)
    for path in gone:
        with suppress(OSError):
            path.unlink()
            path.parent.rmdir()  # if it is empty now
    return len(gone)


@contextmanager
def writing(store: Path) -> Iterator[None]:
    """One writer at a time; the system frees the lock when a process dies. OSErrors become sentences."""
    try:
        store.mkdir(parents=True, exist_ok=True)
        with (store / ".lock").open("a") as lock:
            _wait(lock.fileno(), store)
            yield
    except OSError as problem:
        raise LogError(
            f"{store}: cannot be written: {problem.strerror or problem}", hint="the store is as it was before"
        ) from problem


def _wait(handle: int, store: Path) -> None:
    try:
        import fcntl
    except ImportError:  # no such locks on this system: the list is still replaced as a whole
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logging.getLogger(__name__).warning("%s: another process writes to it; waiting", store)
        fcntl.flock(handle, fcntl.LOCK_EX)


def locked(store: Path) -> bool:
    """Whether a process writes at this moment."""
    try:
        import fcntl

        with (store / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):
        return False
    return False
