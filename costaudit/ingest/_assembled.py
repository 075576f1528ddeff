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

from costaudit import scratch
from costaudit.ingest._identity import Apart, apart
from costaudit.schema import joined

LONG = 36 << 20  # bytes of rows from which they stand in a file
PIECE = 5_000  # rows of a piece; a few of them are in memory at a time
ORDER = ("started_at", "source_file", "source_line")


def rows(frames: Sequence[pl.DataFrame], schema: pl.Schema, needed: Iterable[str]) -> pl.DataFrame:
    """The rows of all frames, without the columns that none of them has: those would be half of the memory.

    needed   columns that are there all the same
    """
    held = {column.name for frame in frames for column in frame if column.null_count() < frame.height}
    kept = pl.Schema({name: dtype for name, dtype in schema.items() if name in held})
    height = sum(frame.height for frame in frames)
    if _long(frames):
        found = _filed(height, (_piece(some, kept) for some in _portions(frames)))
    else:
        alike = joined(frames)
        # Column by column, so that of one at a time there is a copy.
        found = pl.DataFrame([_column(alike, name, dtype) for name, dtype in kept.items()], height=height)
    if not height:
        return schema.to_frame().select(name for name in schema if name in needed)
    absent = [name for name in schema if name in needed and name not in held]
    names = [name for name in schema if name in held or name in needed]
    return found.with_columns(pl.lit(None, schema[name]).alias(name) for name in absent).select(names)


def _long(frames: Sequence[pl.DataFrame]) -> bool:
    height = sum(frame.height for frame in frames)
    if height < PIECE:
        return False  # whatever they hold; and to ask many small frames takes time
    # Columns without a value take nothing, be they made of one that is told for all rows.
    filled = (column for frame in frames for column in frame if column.null_count() < frame.height)
    return height >= scratch.MANY or sum(column.estimated_size() for column in filled) >= LONG


def _portions(frames: Sequence[pl.DataFrame]) -> Iterator[list[pl.DataFrame]]:
    """Frames that make a piece together."""
    some: list[pl.DataFrame] = []
    for whole in frames:
        for frame in whole.iter_slices(PIECE):
            if some and sum(f.height for f in some) + frame.height > PIECE:
                yield some
                some = []
            some.append(frame)
    if some:
        yield some


def _piece(frames: Sequence[pl.DataFrame], schema: pl.Schema) -> pl.DataFrame:
    return pl.DataFrame([_column(frames, name, dtype) for name, dtype in schema.items()])


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
    single = calls.rows.select(ORDER)
    times = pl.concat([single if calls.alone is None else single[calls.alone], calls.best.select(ORDER)])
    places = times.with_row_index("_at").sort(ORDER, nulls_last=True, maintain_order=True)["_at"]
    del single, times
    if not _long([found]):
        return _at(calls, places), calls.duplicates
    height = places.len()
    return _filed(height, (_at(calls, places[at : at + PIECE]) for at in range(0, height, PIECE))), calls.duplicates


def _at(calls: Apart, places: pl.Series) -> pl.DataFrame:
    """Some of the calls: the single ones by their number, behind them those of which there were copies."""
    if calls.alone is None:
        return calls.rows[places]
    best = places >= calls.alone.len()
    single = calls.rows[calls.alone.gather(places.filter(~best))]
    if not best.any():
        return single
    both = pl.concat([single, calls.best[places.filter(best) - calls.alone.len()]])
    return both[pl.concat([(~best).arg_true(), best.arg_true()]).arg_sort()]
