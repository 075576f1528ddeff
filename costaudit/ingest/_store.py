"""The store: requests kept in Parquet, by month, merged by identity; history outlives the logs.

    STORE/costaudit-store.json                    what it is, and the version of the request table
    STORE/requests/month=2026-10/requests.parquet one file a month, zstd, in order of time

A month is replaced as a whole: written beside the old one, flushed to disk, then renamed over it. A crash at any moment
leaves the old month or the new one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import polars as pl

from costaudit import schema
from costaudit.errors import LogError, UsageError

MARK = "costaudit-store.json"
UNDATED = "undated"  # month of rows whose log gives no time


class Merged(NamedTuple):
    """What a merge did: rows that are new, rows that the store had already, rows it now holds."""

    added: int
    known: int
    total: int


def is_store(path: Path) -> bool:
    return (path / MARK).is_file()


def merge(requests: pl.DataFrame, store: Path) -> Merged:
    """Add requests [schema.REQUESTS] to a store, once each; the same logs again change nothing.

    A call is known by its `request_id`; one without an id by all its columns but the name of its file.
    Raises UsageError where the folder is something else, LogError where it cannot be written.
    """
    _prepare(store)
    added = known = 0
    with _locked(store):
        for month, rows in _by_month(requests):
            path = store / "requests" / f"month={month}" / "requests.parquet"
            old = _read(path) if path.exists() else schema.REQUESTS.to_frame()
            both = pl.concat([old, rows]).with_columns(_identity=_identity())
            merged = both.unique("_identity", keep="first", maintain_order=True).drop("_identity")
            added += merged.height - old.height
            known += rows.height - (merged.height - old.height)
            if merged.height > old.height:
                _replace(path, merged.sort("started_at", "source_file", "source_line", nulls_last=True))
    return Merged(added, known, sum(frame.height for frame in _months(store)))


def read(store: Path) -> pl.DataFrame:
    """All requests of a store, in order of time; raises LogError where a file of it is damaged."""
    _check(store)
    months = [schema.REQUESTS.to_frame(), *_months(store)]
    return pl.concat(months).sort("started_at", "source_file", "source_line", nulls_last=True)


def _prepare(store: Path) -> None:
    if is_store(store):
        _check(store)
        return
    if store.exists() and (not store.is_dir() or any(store.iterdir())):
        raise UsageError(f"{store}: not a store, and not empty", hint="name a new folder, or an existing store")
    try:
        (store / "requests").mkdir(parents=True, exist_ok=True)
        _write(store / MARK, json.dumps({"format": "costaudit-store", "schema": schema.VERSION}).encode() + b"\n")
    except OSError as problem:
        raise LogError(f"{store}: cannot be written: {problem.strerror}") from problem


def _check(store: Path) -> None:
    try:
        version = json.loads((store / MARK).read_bytes())["schema"]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise LogError(
            f"{store / MARK}: damaged", hint="restore it from a backup, or ingest the logs again"
        ) from problem
    if version != schema.VERSION:
        raise LogError(
            f"{store}: written with version {version} of the request table, this program reads {schema.VERSION}",
            hint="ingest the logs again into a new folder",
        )


def _by_month(requests: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    months = requests.with_columns(_month=pl.col("started_at").dt.strftime("%Y-%m").fill_null(UNDATED))
    for (month,), rows in sorted(months.group_by(["_month"]), key=lambda part: str(part[0])):
        yield str(month), rows.drop("_month")


def _identity() -> pl.Expr:
    rest = [name for name in schema.REQUESTS if name not in ("request_id", "source_file")]
    return pl.coalesce("request_id", pl.struct(rest).hash(seed=0).cast(pl.String))


def _months(store: Path) -> Iterator[pl.DataFrame]:
    for path in sorted((store / "requests").glob("month=*/requests.parquet")):
        yield _read(path)


def _read(path: Path) -> pl.DataFrame:
    try:
        return schema.conform(pl.read_parquet(path))
    except (pl.exceptions.PolarsError, OSError) as problem:
        raise LogError(f"{path}: damaged", hint="restore it from a backup, or ingest the logs again") from problem


def _replace(path: Path, frame: pl.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".writing")
    try:
        frame.write_parquet(beside, compression="zstd", compression_level=1, row_group_size=200_000)
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(path)
    except OSError as problem:
        beside.unlink(missing_ok=True)
        raise LogError(
            f"{path}: cannot be written: {problem.strerror or problem}", hint="the store is unchanged"
        ) from problem


def _write(path: Path, data: bytes) -> None:
    beside = path.with_suffix(".writing")
    beside.write_bytes(data)
    beside.replace(path)


@contextmanager
def _locked(store: Path) -> Iterator[None]:
    """One writer at a time; the system frees the lock when a process dies. Where locks are unknown: without."""
    with (store / ".lock").open("w") as lock:
        try:
            import fcntl
        except ImportError:
            yield
            return
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
