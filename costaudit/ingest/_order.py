"""Rows of parts in order of time, some at a time: what memory holds does not grow with the month.

Parts are sorted, so a row is next when every part has been read as far as its time. Of each part that is open only a
slice is in memory; parts whose time has not come are not open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

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


def merged(place: Place, held: Sequence[Part]) -> Iterator[pl.DataFrame]:
    """The rows of parts of one month as `in_order` has them, in pieces that follow each other."""
    overlap = max(sum(_during(other, part) for other in held) for part in held)
    cursors = [_Cursor(place, part, max(FEWEST, AT_ONCE // overlap)) for part in held]
    while cursors:
        bound = min((cursor.bound for cursor in cursors if cursor.bound is not None), default=None)
        pieces = [piece for cursor in cursors if (piece := cursor.taken(bound)).height]
        if pieces:
            yield pieces[0] if len(pieces) == 1 else in_order(pl.concat(pieces))
        cursors = [cursor for cursor in cursors if cursor.bound is not None or cursor.rows.height]
        for cursor in cursors:
            if cursor.bound == bound:
                cursor.read_on()


def _during(other: Part, part: Part) -> bool:
    """Whether a part is open when another one is opened."""
    if part.first is None or other.first is None or other.last is None:
        return True
    return other.first <= part.first <= other.last


class _Cursor:
    """How far a part has been read.

    rows   those that were read and not taken, with `_moment`
    bound  of rows before this moment all are there; None: of all
    """

    def __init__(self, place: Place, part: Part, step: int) -> None:
        self.place, self.part, self.step, self.at = place, part, step, 0
        self.rows = pl.DataFrame(schema={**parts.STORED, "_moment": pl.Int64 if part.first else pl.String})
        self.bound: Moment | None = (part.first - EPOCH) // timedelta(microseconds=1) if part.first else ""

    def taken(self, bound: Moment | None) -> pl.DataFrame:
        """The rows before the moment, which are then no longer here."""
        moments = self.rows["_moment"]
        number = self.rows.height if bound is None else int(moments.search_sorted(bound, side="left"))
        piece, self.rows = self.rows.head(number).drop("_moment"), self.rows.slice(number)
        return piece

    def read_on(self) -> None:
        more = parts.read_some(self.place, self.part, self.at, self.step)
        more = more.with_columns(_moment=_moments(self.part))
        self.at += more.height
        self.rows = pl.concat([self.rows, more]) if self.rows.height else more
        moments = self.rows["_moment"]
        if not moments.is_sorted():
            raise parts.damaged(self.place, self.part, "its rows are not in order of time")
        self.bound = moments[-1] if more.height and self.at < self.part.rows else None


def _moments(part: Part) -> pl.Expr:
    if part.first:
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
