"""The rows of all files as one table, and as requests in order of time; where they are many, both stand in files.

A long table is made piece by piece (`scratch`), so what memory takes does not grow with the log, but for the few
columns that rows are compared and put in order by.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from io import BytesIO
from typing import Any

import polars as pl

from costaudit import schema, scratch
from costaudit.ingest._arrow import arrow
from costaudit.ingest._identity import apart
from costaudit.ingest._ordered import ORDER, in_time, pieces
from costaudit.ingest._stretch import Stretch, whole
from costaudit.schema import joined

LONG = 36 << 20  # bytes of rows from which they stand in a file
PIECE = 5_000  # rows of a piece at most; a few pieces are in memory at a time
WEIGHT = 2 << 20  # bytes of a piece, about
MANY = 500  # frames; one of fifty columns takes 19 KB, however few its rows are
FRAMES, SEEN = 8, 60  # and rows of each that what a row takes is told from


def rows(stretches: Sequence[Stretch], columns: pl.Schema, needed: Iterable[str]) -> pl.DataFrame:
    """The rows of all stretches, without the columns that none of their tables has: those would be half of the memory.

    needed   columns that are there all the same
    """
    held = {column.name for table in _tables(stretches) for column in _filled(table)}
    kept = pl.Schema({name: dtype for name, dtype in columns.items() if name in held})
    height = sum(one.height for one in stretches)
    if _long(stretches):
        found = _filed(height, (schema.conform(strip, kept) for strip in strips(stretches, kept)))
    else:
        alike = joined(frames(stretches, kept))
        # Column by column, so that of one at a time there is a copy.
        found = pl.DataFrame([_column(alike, name, dtype) for name, dtype in kept.items()], height=height)
    if not height:
        return columns.to_frame().select(name for name in columns if name in needed)
    absent = [name for name in columns if name in needed and name not in held]
    names = [name for name in columns if name in held or name in needed]
    return found.with_columns(pl.lit(None, columns[name]).alias(name) for name in absent).select(names)


def frames(stretches: Sequence[Stretch], columns: pl.Schema) -> list[pl.DataFrame]:
    """The rows as frames: cut where those are few, else put together, for each takes the room of many rows."""
    return [one.cut() for one in stretches] if len(stretches) < MANY else list(strips(stretches, columns))


def _tables(stretches: Iterable[Stretch]) -> Iterable[pl.DataFrame]:
    return {id(one.table): one.table for one in stretches}.values()


def _filled(table: pl.DataFrame) -> list[pl.Series]:
    """The columns that have a value; others take nothing, be they made of one that is told for all rows."""
    return [column for column in table if column.null_count() < table.height]


def _long(stretches: Sequence[Stretch]) -> bool:
    height = sum(one.height for one in stretches)
    if height < PIECE or height >= scratch.MANY:
        return height >= PIECE  # few are short whatever they hold
    of = {id(table): sum(column.estimated_size() for column in _filled(table)) for table in _tables(stretches)}
    return sum(of[id(one.table)] * one.height / one.table.height for one in stretches if one.height) >= LONG


def _weight(stretches: Sequence[Stretch]) -> float:
    """Bytes of a row, by some of them: what a part of a table takes cannot be asked for."""
    seen = (one._replace(height=min(one.height, SEEN)) for one in stretches[:: len(stretches) // FRAMES + 1])
    some = pl.concat([one.cut() for one in seen], how="diagonal")
    told = (len(arrow(some)) + 1) / max(some.height, 1)
    scratch.release()
    return told


def _size(weight: float) -> int:
    """How many rows a piece has."""
    return min(PIECE, max(int(WEIGHT / weight), 1))


def strips(stretches: Sequence[Stretch], columns: pl.Schema) -> Iterator[pl.DataFrame]:
    """The rows of all stretches, some at a time, with those of the columns that some of their tables have."""
    if not stretches:
        return
    size = _size(_weight(stretches))
    for portion in _portions(stretches, size):
        some = joined(portion)  # not all at once: a piece of each column of each file would take more than its rows
        have = {name for frame in some for name in frame.columns}
        yield pl.DataFrame([_column(some, name, dtype) for name, dtype in columns.items() if name in have])
        scratch.release()


def _portions(stretches: Sequence[Stretch], size: int) -> Iterator[list[pl.DataFrame]]:
    """Frames that make a piece together."""
    some: list[pl.DataFrame] = []
    held = 0
    for one in stretches:
        for at in range(0, one.height, size):
            height = min(size, one.height - at)
            if some and held + height > size:
                yield some
                some, held = [], 0
            some.append(Stretch(one.table, one.first + at, height).cut())
            held += height
    if some:
        yield some


def _filed(height: int, pieces: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """The pieces as one table that stands in a file."""
    return scratch.filed(height, (partial(pl.read_ipc, piece) for piece in _alone(pieces)))


def _alone(pieces: Iterable[pl.DataFrame]) -> Iterator[bytes]:
    """Each by itself: a part of a table holds the texts of its other rows too."""
    for piece in pieces:
        stream = BytesIO()
        piece.write_ipc(stream, compression="uncompressed")
        del piece
        scratch.release()  # here, where no other thread looks at what is mapped
        yield stream.getvalue()


def _column(frames: Sequence[pl.DataFrame], name: str, dtype: Any) -> pl.Series:
    """A column of all frames, in one piece."""
    nothing = pl.Series(name, [None], dtype=dtype)
    parts = [
        frame[name].cast(dtype) if name in frame.columns else nothing.new_from_index(0, frame.height)
        for frame in frames
    ]
    return pl.concat([nothing.clear(), *parts]).rechunk()


def requests(found: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The calls among the rows, each once and in order of time, and the copies (`_identity`)."""
    calls = apart(found)
    height = calls.height
    places = in_time(height, lambda at, number: calls.some(at, number, ORDER))
    if not _long([whole(found)]):
        return calls.some(0, height)[places], calls.duplicates
    scratch.release()
    weight = _weight([whole(calls.some(at, SEEN)) for at in range(0, height, height // FRAMES + 1)])
    ordered = pieces(places, _size(weight), weight, calls.some)
    names = calls.rows.schema
    return _filed(height, (schema.conform(piece, names) for piece in ordered)), calls.duplicates
