"""The parts of a store, wherever it lies: rows in order of time, and what they add up to.

A part is never changed. A change writes new parts and then a new list; until then nobody sees them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import polars as pl
from xxhash import xxh3_128_hexdigest

from costaudit import schema
from costaudit.errors import LogError
from costaudit.ingest._folder import Folder
from costaudit.ingest._listing import RESTORE, Part, Place, hash_of
from costaudit.ingest._objects import is_remote

UNDATED = "undated"  # month of rows whose log gives no time
KEYS = pl.Schema({"_key": pl.String(), "_also": pl.String(), "_rank": pl.Int64()})  # what `_identity` knows calls by
STORED = pl.Schema({**schema.REQUESTS, **KEYS})
PARQUET: dict[str, Any] = {"compression": "zstd", "compression_level": 1, "row_group_size": 200_000}

Where = str | Path | Place


class Summary(NamedTuple):
    """How the rows of a part are summed, a stamp that changes when the sums would, and the columns that are read."""

    stamp: str
    of: Callable[[pl.DataFrame], pl.DataFrame]
    columns: Sequence[str] | None = None


def at(where: Where) -> Place:
    """The place of a store: a folder, or a prefix in object storage (`s3://bucket/history`)."""
    if not isinstance(where, str | Path):
        return where
    if not is_remote(where):
        return Folder(Path(where))
    from costaudit.ingest._bucket import bucket

    return bucket(str(where))


def is_store(where: Where) -> bool:
    """Whether a store is there, as far as anybody can say."""
    if is_remote(where) and any(c in str(where) for c in "*?["):
        return False
    try:
        return at(where).exists()
    except LogError:
        return False  # who reads it as logs is told why


def load(store: Where) -> list[Part]:
    """The parts of a store; LogError where the list is damaged or of another version."""
    return at(store).load()


def write(store: Where, month: str, rows: pl.DataFrame, summary: Summary | None) -> Part:
    """A new part of one month [STORED], named by its content, and its sums; OSError where there is no room."""
    place = at(store)
    file, size = _put(place, "requests", month, rows)
    sums = _put(place, "sums", month, summary.of(rows))[0] if summary is not None else None
    first, last = rows["started_at"].min(), rows["started_at"].max()
    return Part(
        file=file,
        rows=rows.height,
        restated=int(rows["rollup"].fill_null(value=False).sum()),
        bytes=size,
        xxh3=hash_of(file),
        first=first if isinstance(first, datetime) else None,
        last=last if isinstance(last, datetime) else None,
        sums=sums,
        stamp=summary.stamp if summary else None,
    )


def summed(store: Where, part: Part, summary: Summary | None) -> Part:
    """The same part with sums that are as asked for; None: with those it has."""
    if summary is None or part.stamp == summary.stamp:
        return part
    place = at(store)
    file, _ = _put(place, "sums", part.month, summary.of(read(place, part, summary.columns)))
    return msgspec.structs.replace(part, sums=file, stamp=summary.stamp)


def _put(place: Place, kind: str, month: str, frame: pl.DataFrame) -> tuple[str, int]:
    """The name that a new file got, and its size in bytes."""
    stream = io.BytesIO()
    frame.write_parquet(stream, metadata={"costaudit.schema": str(schema.VERSION)}, **PARQUET)
    data = stream.getvalue()
    return place.put(f"{kind}/month={month}/{xxh3_128_hexdigest(data)}.parquet", data), len(data)


def read(store: Where, part: Part, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The rows of a part [STORED]; LogError where it is damaged or gone."""
    path = path_of(store, part)
    try:
        if not part.xxh3:  # as it was before there were lists: columns may be absent
            frame = schema.conform(pl.read_parquet(path), STORED)
            return frame if columns is None else frame.select(columns)
        return pl.read_parquet(path, columns=list(columns) if columns is not None else None)
    except (pl.exceptions.PolarsError, OSError) as problem:
        raise damaged(store, part) from problem


def path_of(store: Where, part: Part) -> str:
    """A part as a file of this machine; LogError where it cannot be had."""
    try:
        return at(store).paths([part.file])[0]
    except OSError as problem:
        raise damaged(store, part, problem.strerror or "") from problem


def damaged(store: Where, part: Part, why: str = "") -> LogError:
    """That a part is not as it was written, or not there."""
    what = f"damaged: {why}" if why else "damaged"
    return LogError(f"{at(store).show(part.file)}: {what}", hint=RESTORE)


def read_sums(store: Where, part: Part) -> pl.DataFrame | None:
    """The sums of a part; None where it has none, or they are damaged: its rows say the same."""
    if part.sums is None:
        return None
    try:
        return pl.read_parquet(at(store).paths([part.sums])[0])
    except (pl.exceptions.PolarsError, OSError):
        return None


def read_all(store: Where, parts: Sequence[Part], columns: Sequence[str]) -> list[pl.DataFrame]:
    """The same for several parts, in their order; in one pass where they are all as they should be."""
    if len(parts) > 1 and all(part.xxh3 for part in parts):
        with suppress(pl.exceptions.PolarsError, OSError):  # reading one after the other says which one is damaged
            files: list[Any] = list(at(store).paths([part.file for part in parts]))
            return [pl.scan_parquet(files, glob=False, hive_partitioning=False).select(columns).collect()]
    return [read(store, part, columns) for part in parts]
