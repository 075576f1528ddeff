"""Many rows in another order, where neither memory nor a file of theirs can be looked at all over the place.

What tells the order is kept of every row, in a few bytes. Rows that have far to go are read once, from the first to the
last, and put away by where they go; then what goes to one place is read at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import polars as pl

from costaudit import schema, scratch
from costaudit.ingest._arrow import arrow, table
from costaudit.scratch import Heap

ORDER = ("started_at", "source_file", "source_line")
NUMBERS = 100_000  # rows whose place in the order of time is made a number together
STRIP = 8 << 20  # bytes of rows that are put away, or taken out, together
NEAR = 4  # rows among which as many as are taken stand, times that: they are taken where they stand

Some = Callable[[int, int], pl.DataFrame]  # from a row on, so many


def in_time(height: int, some: Some) -> pl.Series:
    """Numbers of the rows in order of time, then of file and line; of equals the first one first.

    some   columns ORDER of some of the rows
    """
    files = _files(height, some)
    told = pl.concat([pl.DataFrame(schema=_SHORT), *(_short(piece, files) for piece in _slices(height, some))])
    told = told.with_row_index("_at")
    where = ["_file", "source_line"]
    behind = told.select(where).select(_before(where)).to_series()
    if behind.all():  # as logs are read; one column takes a fraction of the memory that several do
        return told.select("_at", "started_at").sort("started_at", nulls_last=True, maintain_order=True)["_at"]
    return told.sort("started_at", *where, nulls_last=True, maintain_order=True)["_at"]


_SHORT: dict[str, Any] = {"started_at": schema.UTC, "_file": pl.UInt32, "source_line": pl.Int64}


def _slices(height: int, some: Some) -> Iterator[pl.DataFrame]:
    for at in range(0, height, NUMBERS):
        yield some(at, NUMBERS)
        scratch.release()


def _files(height: int, some: Some) -> pl.DataFrame:
    """The names of files, in their order, with a number each."""
    names = pl.concat(
        [pl.Series("source_file", [], pl.String), *(p["source_file"].unique() for p in _slices(height, some))]
    )
    return names.drop_nulls().unique().sort().to_frame().with_row_index("_file")


def _short(piece: pl.DataFrame, files: pl.DataFrame) -> pl.DataFrame:
    numbered = piece.join(files, on="source_file", how="left", maintain_order="left")
    return numbered.select(pl.col(name).cast(dtype) for name, dtype in _SHORT.items())


def _before(where: list[str]) -> pl.Expr:
    """Whether a row does not come before the one above it; what is null comes last."""
    file, line = (pl.col(name) for name in where)
    above_file, above_line = (pl.col(name).shift(1) for name in where)
    first = pl.int_range(pl.len()) == 0
    known = file.is_not_null() & line.is_not_null()
    return first | (known & ((file > above_file) | ((file == above_file) & (line >= above_line)))).fill_null(
        value=False
    )


def pieces(places: pl.Series, size: int, weight: float, some: Some) -> Iterator[pl.DataFrame]:
    """The rows by the numbers in `places`, so many at a time.

    weight  bytes of a row
    some    of the rows in the order they are in
    """
    if _near(places, size):
        for at in range(0, places.len(), size):
            part = places[at : at + size]
            first = int(part.min())  # type: ignore[arg-type]
            yield some(first, int(part.max()) + 1 - first)[part - first]  # type: ignore[arg-type]
        return
    strip = max(size, int(STRIP / weight))
    with closing(scratch.heap()) as heap:
        _put_away(heap, places, strip, some)
        for n in range(-(-places.len() // strip)):
            found = pl.concat([table(data) for data in heap.of(n)], how="diagonal")
            order = found.drop_in_place("_to").arg_sort()
            for at in range(0, found.height, size):
                yield found[order[at : at + size]]


def _near(places: pl.Series, size: int) -> bool:
    """Whether the rows that are wanted together stand together."""
    parts = (places[at : at + size] for at in range(0, places.len(), size))
    return all(part.max() - part.min() < NEAR * size for part in parts)  # type: ignore[operator]


def _put_away(heap: Heap[int], places: pl.Series, strip: int, some: Some) -> None:
    """All rows in a file, with `_to`, the number they will have: those that will stand together under one name."""
    height = places.len()
    numbers = pl.int_range(height, dtype=pl.UInt32, eager=True)
    to = pl.zeros(height, dtype=pl.UInt32, eager=True).scatter(places, numbers)
    del numbers
    for at in range(0, height, strip):
        rows = some(at, strip).with_columns(to[at : at + strip].alias("_to"))
        order = rows["_to"].arg_sort()
        ends = (rows["_to"][order] // strip).rle().struct.unnest()
        first = 0
        for number, name in ends.iter_rows():
            heap.put(name, arrow(rows[order[first : first + number]]))
            first += number
        del rows
        scratch.release()
