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
from costaudit.schema import joined

LONG = 36 << 20  # bytes of rows from which they stand in a file
PIECE = 5_000  # rows of a piece at most; a few pieces are in memory at a time
WEIGHT = 2 << 20  # bytes of a piece, about
FRAMES, SEEN = 8, 60  # and rows of each that what a row takes is told from


def rows(frames: Sequence[pl.DataFrame], columns: pl.Schema, needed: Iterable[str]) -> pl.DataFrame:
    """The rows of all frames, without the columns that none of them has: those would be half of the memory.

    needed   columns that are there all the same
    """
    held = {column.name for frame in frames for column in frame if column.null_count() < frame.height}
    kept = pl.Schema({name: dtype for name, dtype in columns.items() if name in held})
    height = sum(frame.height for frame in frames)
    if _long(frames):
        found = _filed(height, (schema.conform(strip, kept) for strip in strips(frames, kept)))
    else:
        alike = joined(frames)
        # Column by column, so that of one at a time there is a copy.
        found = pl.DataFrame([_column(alike, name, dtype) for name, dtype in kept.items()], height=height)
    if not height:
        return columns.to_frame().select(name for name in columns if name in needed)
    absent = [name for name in columns if name in needed and name not in held]
    names = [name for name in columns if name in held or name in needed]
    return found.with_columns(pl.lit(None, columns[name]).alias(name) for name in absent).select(names)


def _long(frames: Sequence[pl.DataFrame]) -> bool:
    height = sum(frame.height for frame in frames)
    if height < PIECE:
        return False  # whatever they hold; and to ask many small frames takes time
    # Columns without a value take nothing, be they made of one that is told for all rows.
    filled = (column for frame in frames for column in frame if column.null_count() < frame.height)
    return height >= scratch.MANY or sum(column.estimated_size() for column in filled) >= LONG


def _weight(frames: Sequence[pl.DataFrame]) -> float:
    """Bytes of a row, by some of them: what a part of a table takes cannot be asked for."""
    some = pl.concat([frame.head(SEEN) for frame in frames[:: len(frames) // FRAMES + 1]], how="diagonal")
    told = (len(arrow(some)) + 1) / max(some.height, 1)
    scratch.release()
    return told


def _size(weight: float) -> int:
    """How many rows a piece has."""
    return min(PIECE, max(int(WEIGHT / weight), 1))


def strips(frames: Sequence[pl.DataFrame], columns: pl.Schema) -> Iterator[pl.DataFrame]:
    """The rows of all frames, some at a time, with those of the columns that some of the frames have."""
    if not frames:
        return
    size = _size(_weight(frames))
    for portion in _portions(frames, size):
        some = joined(portion)  # not all at once: a piece of each column of each file would take more than its rows
        have = {name for frame in some for name in frame.columns}
        yield pl.DataFrame([_column(some, name, dtype) for name, dtype in columns.items() if name in have])
        scratch.release()


def _portions(frames: Sequence[pl.DataFrame], size: int) -> Iterator[list[pl.DataFrame]]:
    """Frames that make a piece together."""
    some: list[pl.DataFrame] = []
    held = 0
    for whole in frames:
        for frame in whole.iter_slices(size):
            if some and held + frame.height > size:
                yield some
                some, held = [], 0
            some.append(frame)
            held += frame.height
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
    if not _long([found]):
        return calls.some(0, height)[places], calls.duplicates
    scratch.release()
    weight = _weight([calls.some(at, SEEN) for at in range(0, height, height // FRAMES + 1)])
    ordered = pieces(places, _size(weight), weight, calls.some)
    names = calls.rows.schema
    return _filed(height, (schema.conform(piece, names) for piece in ordered)), calls.duplicates
