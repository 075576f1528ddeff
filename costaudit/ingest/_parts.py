"""The parts of a store, wherever it lies: rows in order of time, and what they add up to.

A part is never changed. A change writes new parts and then a new list; until then nobody sees them.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import polars as pl
from xxhash import xxh3_128_hexdigest

from costaudit import schema
from costaudit.errors import LogError
from costaudit.ingest._folder import Folder
from costaudit.ingest._listing import PIECE, Part, Place, changed, digest, hash_of, unread
from costaudit.ingest._objects import is_remote

UNDATED = "undated"  # month of rows whose log gives no time
KEYS = pl.Schema({"_key": pl.String(), "_also": pl.String(), "_rank": pl.Int64()})  # what `_identity` knows calls by
STORED = pl.Schema({**schema.REQUESTS, **KEYS})
GROUP = 25_000  # rows that are compressed together, and wait for it in memory
READ = 200_000  # rows of large parts that are read in one piece
TOGETHER = 100_000  # rows of small parts that are
PARQUET: dict[str, Any] = {"compression": "zstd", "compression_level": 1, "row_group_size": GROUP}
SAYS = {"costaudit.schema": str(schema.VERSION)}

Where = str | Path | Place
Asked = Callable[[pl.LazyFrame], pl.LazyFrame]
Pieces = Callable[[], Iterator[pl.DataFrame]]


class Summary(NamedTuple):
    """How the rows of a part are summed, a stamp that changes when the sums would, and the columns that are read.

    of   is given what reads the rows, some at a time, as often as it is called
    """

    stamp: str
    of: Callable[[Pieces], pl.DataFrame]
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
    return write_stream(store, month, iter([rows]), summary)


def write_stream(store: Where, month: str, frames: Iterator[pl.DataFrame], summary: Summary | None) -> Part:
    """The same from frames that follow each other; not all of them are in memory at a time."""
    place = at(store)
    told = _Told()
    with place.room() as path:
        told.pass_on(frames, path)
        xxh3, size = digest(path), path.stat().st_size
        summed = None if summary is None else summary.of(partial(_pieces, path, told.rows, summary.columns))
        name = place.put(f"requests/month={month}/{xxh3}.parquet", path)
    return Part(
        file=name,
        rows=told.rows,
        restated=told.restated,
        bytes=size,
        xxh3=xxh3,
        first=told.first,
        last=told.last,
        sums=_put_sums(place, month, summed) if summed is not None else None,
        stamp=summary.stamp if summary else None,
    )


class _Told:
    """What is to be known of rows while they pass."""

    def __init__(self) -> None:
        self.rows = self.restated = 0
        self.first: datetime | None = None
        self.last: datetime | None = None
        self.problem: Exception | None = None

    def pass_on(self, frames: Iterator[pl.DataFrame], path: Path) -> None:
        """Write the frames as one file."""
        from polars.io.plugins import register_io_source

        source = register_io_source(lambda *_: self._noted(frames), schema=STORED)
        try:
            source.sink_parquet(path, metadata=SAYS, **PARQUET)
        except pl.exceptions.PolarsError as problem:
            if self.problem is not None:
                raise self.problem from None
            with path.open("ab") as file:  # a full disk says here what it is, which polars does not
                file.write(bytes(PIECE))
                file.flush()
            raise OSError(errno.EIO, str(problem).partition("\n")[0]) from problem

    def _noted(self, frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        try:
            for frame in frames:
                self.rows += frame.height
                self.restated += int(frame["rollup"].fill_null(value=False).sum())
                first, last = frame["started_at"].min(), frame["started_at"].max()
                if isinstance(first, datetime) and isinstance(last, datetime):
                    self.first, self.last = min(self.first or first, first), max(self.last or last, last)
                yield frame
        except Exception as problem:
            self.problem = problem  # polars would tell it in its own words
            raise


def summed(store: Where, part: Part, summary: Summary | None) -> Part:
    """The same part with sums that are as asked for, and whole; None: with those it has."""
    place = at(store)
    if summary is None or (part.stamp == summary.stamp and _is_there(place, part.sums)):
        return part
    sums = summary.of(lambda: slices(place, part, GROUP, summary.columns))
    file = _put_sums(place, part.month, sums)
    return msgspec.structs.replace(part, sums=file, stamp=summary.stamp)


def _put_sums(place: Place, month: str, sums: pl.DataFrame) -> str:
    stream = io.BytesIO()
    sums.write_parquet(stream, metadata=SAYS, **PARQUET)
    data = stream.getvalue()
    return place.put(f"sums/month={month}/{xxh3_128_hexdigest(data)}.parquet", data)


def read(store: Where, part: Part, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The rows of a part [STORED]; LogError where it is damaged or gone."""
    path = path_of(store, part)
    try:
        if not part.xxh3:  # as it was before there were lists: columns may be absent
            frame = schema.conform(pl.read_parquet(path), STORED)
            return frame if columns is None else frame.select(columns)
        return pl.read_parquet(path if columns else _whole(store, part), columns=_list(columns))
    except (pl.exceptions.PolarsError, OSError) as problem:
        raise damaged(store, part, problem) from problem


def read_some(store: Where, part: Part, first: int, number: int, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Rows of a part [STORED] by their place in it. Raises as `read` does."""
    path = path_of(store, part)
    try:
        return _some(path if first else _whole(store, part), first, number, columns)
    except (pl.exceptions.PolarsError, OSError) as problem:
        raise damaged(store, part, problem) from problem


def _some(path: str | Path, first: int, number: int, columns: Sequence[str] | None) -> pl.DataFrame:
    rows = pl.scan_parquet(path, glob=False, hive_partitioning=False).slice(first, number)
    return (rows if columns is None else rows.select(columns)).collect()


def _pieces(path: Path, rows: int, columns: Sequence[str] | None) -> Iterator[pl.DataFrame]:
    return (_some(path, at, GROUP, columns) for at in range(0, rows, GROUP))


def slices(store: Where, part: Part, number: int, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
    """All rows of a part [STORED] in order, so many at a time. Raises as `read` does."""
    if not part.xxh3:  # from before there were lists
        yield read(store, part, columns)
        return
    for at in range(0, part.rows, number):
        yield read_some(store, part, at, number, columns)


def some_columns(store: Where, part: Part, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Some columns of all rows that a part has [STORED], a row group at a time. Raises as `read` does."""
    if not part.xxh3:  # from before there were lists
        yield read(store, part, columns)
        return
    path = path_of(store, part)
    try:
        yield from _pieces(Path(path), _height(path), columns)
    except (pl.exceptions.PolarsError, OSError) as problem:
        raise damaged(store, part, problem) from problem


def _height(path: str) -> int:
    return int(pl.scan_parquet(path, glob=False, hive_partitioning=False).select(pl.len()).collect().item())


def _list(columns: Sequence[str] | None) -> list[str] | None:
    return None if columns is None else list(columns)


def path_of(store: Where, part: Part) -> str:
    """A part as a file of this machine; LogError where it cannot be had."""
    try:
        return at(store).paths([part.file])[0]
    except OSError as problem:
        raise damaged(store, part, problem) from problem


def damaged(store: Where, part: Part, why: Exception | str) -> LogError:
    """That a part is not as it was written, or not there; or why it cannot be read."""
    return unread(at(store).show(part.file), why)


def read_sums(
    store: Where, parts: Sequence[Part], asked: Asked = lambda sums: sums
) -> tuple[list[pl.DataFrame], set[int]]:
    """The sums of parts, with the number in the list of each row's `part`; and the numbers of those without.

    asked  what of them is wanted; it keeps `part` apart
    Sums that are damaged are as if there were none: the rows say the same.
    """
    place = at(store)
    names = {n: part.sums for n, part in enumerate(parts) if part.sums is not None}
    if not names:
        return [], set(range(len(parts)))
    with suppress(pl.exceptions.PolarsError, OSError):  # reading one after the other says which one is damaged
        return [_sums(place, names, asked)], set(range(len(parts))) - names.keys()
    found = {}
    for n, name in names.items():
        with suppress(pl.exceptions.PolarsError, OSError):
            found[n] = _sums(place, {n: name}, asked)
    return list(found.values()), set(range(len(parts))) - found.keys()


def counted(place: Place, file: str) -> int:
    """How many requests a file of sums is of."""
    return int(pl.read_parquet(place.paths([file])[0], columns=["requests"])["requests"].sum())


def _sums(place: Place, names: Mapping[int, str], asked: Asked) -> pl.DataFrame:
    """The files in one pass; parts that say the same share one."""
    held = list(dict.fromkeys(names.values()))
    files = dict(zip(held, place.whole(held), strict=True))
    whose = pl.DataFrame(
        {"part": [files[name] for name in names.values()], "_number": list(names)},
        schema={"part": pl.String, "_number": pl.UInt32},
    )
    scan = pl.scan_parquet([*files.values()], glob=False, hive_partitioning=False, include_file_paths="part")
    found = asked(scan).collect(engine="streaming").join(whose, on="part")
    return found.with_columns(part="_number").drop("_number")


def read_pieces(store: Where, parts: Sequence[Part], columns: Sequence[str]) -> Iterator[Callable[[], pl.DataFrame]]:
    """Reads of the rows of parts [STORED], one after the other, so many rows each. They raise as `read` does."""
    few: list[Part] = []
    for part in parts:
        if few and sum(one.rows for one in few) + part.rows > TOGETHER:
            yield partial(_together, store, few, columns)
            few = []
        if part.rows <= TOGETHER:
            few.append(part)
        else:
            yield from (partial(_groups, store, part, nth, columns) for nth in range(-(-part.rows // READ)))
    if few:
        yield partial(_together, store, few, columns)


def _together(store: Where, parts: Sequence[Part], columns: Sequence[str]) -> pl.DataFrame:
    return pl.concat([_groups(store, part, None, columns) for part in parts])


def _groups(store: Where, part: Part, nth: int | None, columns: Sequence[str]) -> pl.DataFrame:
    """The rows of the row groups that begin in a piece; None: all. Lists are decoded by pyarrow, in half the time."""
    import pyarrow as pa
    from pyarrow import parquet

    path = path_of(store, part)
    flat = [name for name in columns if not STORED[name].is_nested()]
    try:
        if not nth:
            _whole(store, part)
        with parquet.ParquetFile(path) as file:
            first, groups = _of_piece(file.metadata, nth)
            number = sum(file.metadata.row_group(group).num_rows for group in groups)
            absent = _absent(file.metadata, groups)
            rows = pl.scan_parquet(path, glob=False, hive_partitioning=False)
            rows = rows.select(name for name in flat if name not in absent)
            if nth is not None:
                rows = rows.slice(first, number)
            lists = file.read_row_groups(groups, [n for n in columns if n not in flat], use_threads=False)
            found = pl.concat([rows.collect(), pl.DataFrame(lists)], how="horizontal")
            return found.select(pl.lit(None, STORED[n]).alias(n) if n in absent else n for n in columns)
    except (pl.exceptions.PolarsError, pa.ArrowException, OSError) as problem:
        raise damaged(store, part, problem) from problem


def _of_piece(told: Any, nth: int | None) -> tuple[int, list[int]]:
    """The first row of a piece and its row groups, whatever size these were written in."""
    heights = [told.row_group(group).num_rows for group in range(told.num_row_groups)]
    if nth is None:
        return 0, list(range(len(heights)))
    starts = [0, *accumulate(heights)]
    groups = [group for group in range(len(heights)) if starts[group] // READ == nth]
    return starts[groups[0]] if groups else 0, groups


def _is_there(place: Place, file: str | None) -> bool:
    """Whether sums are there, as they were written."""
    with suppress(OSError):
        return file is not None and bool(place.whole([file]))
    return False


def _whole(store: Where, part: Part) -> str:
    """The path of a part that is as it was written; OSError else."""
    if hash_of(part.file) != part.xxh3:
        raise changed(part.file)
    return at(store).whole([part.file])[0]


def _absent(told: Any, groups: Sequence[int]) -> set[str]:
    """The columns of single values of which row groups say that all are null."""
    held = [told.row_group(group) for group in groups]

    def null(at: int) -> bool:
        said = [(group.column(at).statistics, group.num_rows) for group in held]
        return all(one is not None and one.null_count == rows for one, rows in said)

    return {told.schema.column(at).path for at in range(told.num_columns) if null(at)}
