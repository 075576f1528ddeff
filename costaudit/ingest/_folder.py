"""A store in a folder of this machine: one list that is replaced by renaming, under a lock.

    STORE/costaudit-store.json                     the list: version of the request table, each part with its hash
    STORE/requests/month=2026-10/<hash>.parquet    rows of whole days, in order of time, zstd
    STORE/sums/month=2026-10/<hash>.parquet        what the rows of a part add up to (`costaudit.price.sums`)
    STORE/.lock                                    held by the one process that writes

A change writes new parts, flushes them to disk, and then renames a new list over the old one; files that no list names
are what a killed process left behind, and the next writer removes them.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import polars as pl

from costaudit.errors import UsageError
from costaudit.ingest import _listing as listing
from costaudit.ingest._listing import MARK, Change, Part

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # what network file systems without locks say


class Folder:
    """A folder of this machine [Place]."""

    def __init__(self, path: Path) -> None:
        self.path, self.shown = path, str(path)

    def exists(self) -> bool:
        return os.path.isfile(self.path / MARK)  # noqa: PTH113 - a folder that may not be looked into is no store

    def load(self) -> list[Part]:
        try:
            data = (self.path / MARK).read_bytes()
            if lists := listing.head(data, self.show(MARK)).lists:  # the copy of a store in object storage
                newest = max((self.path / lists).glob("*.json"), key=lambda path: listing.number(path.name))
                data = newest.read_bytes()
        except (OSError, ValueError) as problem:
            raise listing.unread(self.show(MARK), problem) from problem
        found = listing.decoded(data, self.show(MARK))
        if found is not None:
            return found
        return [_described(self.path, path) for path in sorted(self.path.glob("requests/month=*/*.parquet"))]

    def change(self, made: Change) -> int:
        self._prepare()
        with writing(self.path):
            held = self.load()
            swept = self._sweep(held)
            after = list(made(held))
            if after != held:
                self._save(after)
                self._sweep(after)
        return swept

    def sweep(self) -> int:
        return 0  # each change has done it

    def _prepare(self) -> None:
        if self.exists():
            return
        begun = {".lock", MARK, f"{MARK}.writing"}  # of a process that does the same at this moment, or was killed
        store = self.path
        if store.exists() and (not store.is_dir() or any(path.name not in begun for path in store.iterdir())):
            raise UsageError(f"{store}: not a store, and not empty", hint="name a new folder, or an existing store")
        with writing(store):
            if not self.exists():
                self._save([])

    def _save(self, parts: Iterable[Part]) -> None:
        _durable(self.path / MARK, listing.encoded(parts))

    @contextmanager
    def room(self) -> Iterator[Path]:
        path = self.path / "part.writing"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def put(self, name: str, data: bytes | Path) -> str:
        _durable(self.path / name, data)
        return name

    def told(self, name: str) -> tuple[int, str]:
        path = self.path / name
        return path.stat().st_size, listing.digest(path)

    def paths(self, names: Sequence[str]) -> list[str]:
        return [str(self.path / name) for name in names]

    def whole(self, names: Sequence[str]) -> list[str]:
        for name in names:
            if listing.digest(self.path / name) != listing.hash_of(name):
                raise listing.changed(self.show(name))
        return self.paths(names)

    def show(self, name: str) -> str:
        return str(self.path / name)

    def strays(self, held: Sequence[Part]) -> list[str]:
        if _locked(self.path):
            return [f"{self.path}: a process is writing to it now"]
        orphans = self._orphans(held)
        if not orphans:
            return []
        left, them = ("1 file", "it") if len(orphans) == 1 else (f"{len(orphans):,} files", "them")
        removed = f"the next write or `costaudit store compact` removes {them}"
        return [f"{self.path}: {left} of a stopped process; {removed}"]

    def _orphans(self, held: Sequence[Part]) -> list[Path]:
        """Files that the list does not name: halves and leftovers of a process that was killed."""
        named = listing.named(held)
        found = [path for kind in ("requests", "sums") for path in self.path.glob(f"{kind}/*/*") if path.is_file()]
        found += self.path.glob("*.writing")
        return sorted(path for path in found if path.relative_to(self.path).as_posix() not in named)

    def _sweep(self, held: Sequence[Part]) -> int:
        """Remove what no list names; only while the lock is held."""
        gone = self._orphans(held)
        for path in gone:
            with suppress(OSError):
                path.unlink()
                path.parent.rmdir()  # if it is empty now
        return len(gone)


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


def _durable(path: Path, data: bytes | Path) -> None:
    """The whole file on disk, or the old one: written beside it, flushed, renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = data if isinstance(data, Path) else path.with_name(path.name + ".writing")
    try:
        with beside.open("ab") as file:
            if isinstance(data, bytes):
                file.truncate(0)
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


@contextmanager
def writing(store: Path) -> Iterator[None]:
    """One writer at a time; the system frees the lock when a process dies. OSErrors become sentences."""
    try:
        store.mkdir(parents=True, exist_ok=True)
        with (store / ".lock").open("a") as lock:
            _wait(lock.fileno(), store)
            yield
    except OSError as problem:
        locks = problem.errno in NO_LOCKS
        hint = "; keep it where the file system has locks, or in object storage" if locks else ""
        raise UsageError(
            f"{store}: cannot be written: {problem.strerror or problem}", hint=f"the store is as it was before{hint}"
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


def _locked(store: Path) -> bool:
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
