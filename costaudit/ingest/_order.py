"""Rows of runs in order of time, some at a time: what memory holds does not grow with the month.

Runs, parts most of them, are sorted, so a row is next when every run has been read as far as its time. Of each run that
is open only a slice is in memory; runs whose time has not come are not open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import polars as pl

from costaudit.ingest import _parts as parts
from costaudit.ingest._listing import Part, Place

ORDER = ("started_at", "source_file", "source_line", "_key")
AT_ONCE = 100_000  # rows in memory, of all open parts together
FEWEST = 10_000  # rows of a part that are read at a time; fewer take longer
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST = "\U0010ffff"  # after the name of any file

Moment = int | str  # microseconds since 1970, or file and line where no time is known


def in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows [STORED] as they are stored: in order of time, without a second copy of ids, which are most of a row."""
    *first, key = ORDER
    ordered = rows.sort(*first, pl.coalesce(key, "request_id"), nulls_last=True)
    return ordered.with_columns(_key=pl.when(pl.col("_key").ne_missing(pl.col("request_id"))).then("_key"))


class Run(NamedTuple):
    """Rows [STORED] of one month in order of time, that are read once.

    first, last  the times of the first and the last row; None: no row has one
    pieces       the rows, about so many at a time
    """

    first: datetime | None
    last: datetime | None
    pieces: Callable[[int], Iterator[pl.DataFrame]]


def run(place: Place, part: Part, gone: pl.DataFrame | None = None) -> Run:
    """The rows of a part, without those whose `_key` is in `gone`."""

    def pieces(step: int) -> Iterator[pl.DataFrame]:
        last: list[Moment] = []
        for at in range(0, part.rows, step):
            rows = parts.read_some(place, part, at, step)
            moments = rows.select(_moment(part.first)).to_series()
            before, last = last, moments.tail(1).to_list()
            if not moments.is_sorted() or before > moments.head(1).to_list():
                raise parts.damaged(place, part, "its rows are not in order of time")
            yield rows if gone is None else without(rows, gone)

    return Run(part.first, part.last, pieces)


def without(rows: pl.DataFrame, gone: pl.DataFrame) -> pl.DataFrame:
    """The rows of a part whose `_key` is not in `gone`."""
    known = pl.coalesce("_key", "request_id")
    return rows.join(gone, left_on=known, right_on="_key", how="anti", maintain_order="left")


def merged(runs: Sequence[Run]) -> Iterator[pl.DataFrame]:
    """The rows of runs of one month as `in_order` has them, in pieces that follow each other."""
    overlap = max(sum(_during(other, run) for other in runs) for run in runs)
    cursors = [_Cursor(run, max(FEWEST, AT_ONCE // overlap)) for run in runs]
    while cursors:
        bound = min((cursor.bound for cursor in cursors if cursor.bound is not None), default=None)
        pieces = [piece for cursor in cursors if (piece := cursor.taken(bound)).height]
        if pieces:
            yield pieces[0] if len(pieces) == 1 else in_order(pl.concat(pieces))
        cursors = [cursor for cursor in cursors if cursor.bound is not None or cursor.rows.height]
        for cursor in cursors:
            if cursor.bound == bound:
                cursor.read_on()


def _during(other: Run, run: Run) -> bool:
    """Whether a run is open when another one is opened."""
    if run.first is None or other.first is None or other.last is None:
        return True
    return other.first <= run.first <= other.last


class _Cursor:
    """How far a run has been read.

    rows   those that were read and not taken, with `_moment`
    bound  of rows before this moment all are there; None: of all
    """

    def __init__(self, run: Run, step: int) -> None:
        self.pieces = run.pieces(step)
        self.moment = _moment(run.first).alias("_moment")
        self.rows = pl.DataFrame(schema={**parts.STORED, "_moment": pl.Int64 if run.first else pl.String})
        self.bound: Moment | None = (run.first - EPOCH) // timedelta(microseconds=1) if run.first else ""

    def taken(self, bound: Moment | None) -> pl.DataFrame:
        """The rows before the moment, which are then no longer here."""
        moments = self.rows["_moment"]
        number = self.rows.height if bound is None else int(moments.search_sorted(bound, side="left"))
        piece, self.rows = self.rows.head(number).drop("_moment"), self.rows.slice(number)
        return piece

    def read_on(self) -> None:
        more = next((piece for piece in self.pieces if piece.height), None)
        if more is None:
            self.bound = None
            return
        more = more.with_columns(self.moment)
        self.rows = pl.concat([self.rows, more]) if self.rows.height else more
        self.bound = self.rows["_moment"][-1]


def _moment(first: datetime | None) -> pl.Expr:
    if first:
        return pl.col("started_at").to_physical()
    line = pl.col("source_line").cast(pl.String).str.zfill(20).fill_null(LAST)
    return pl.concat_str(pl.col("source_file").fill_null(LAST), pl.lit("\0"), line)


def sizes(times: pl.Series, most: int) -> Iterator[int]:
    """How many rows each part of a month gets: whole days [UTC], as many as fit into `most`.

    times  started_at of all its rows, in order
    A day of more than `most` is cut between two moments; rows without a time are cut anywhere.
    """
    size = at = 0
    moments = times.to_physical()
    for number in times.dt.date().rle().struct.field("len"):
        if size and size + number > most:
            yield size
            size = 0
        while size + number > most:
            cut = _cut(moments.slice(at, number), most)
            if cut == number:
                break
            yield cut
            at, number = at + cut, number - cut
        at, size = at + number, size + number
    if size:
        yield size


def _cut(moments: pl.Series, most: int) -> int:
    """Where rows of one day are cut in two: as late as may be, but not between equal moments."""
    if moments.null_count():
        return most
    out = moments[most]
    return int(moments.search_sorted(out, side="left")) or int(moments.search_sorted(out, side="right"))


class Feed:
    """Frames that are taken by rows, whatever their own heights."""

    def __init__(self, frames: Iterable[pl.DataFrame]) -> None:
        self.frames = iter(frames)
        self.left: pl.DataFrame | None = None

    def take(self, rows: int) -> Iterator[pl.DataFrame]:
        """The next rows, in as many frames as they come in."""
        while rows:
            frame = next(self.frames) if self.left is None else self.left
            self.left = frame.slice(rows) if frame.height > rows else None
            rows -= min(rows, frame.height)
            yield frame if self.left is None else frame.head(frame.height - self.left.height)
