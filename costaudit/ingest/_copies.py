"""Which rows of a store new rows are copies of: looked for by hashes of ids, compared some at a time.

A row is bound to those that have its `_key`, or the id of its response (`_identity`): copies, and copies of copies, are
looked at together and everything else apart, so what memory holds of the rows does not grow with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import polars as pl

from costaudit import schema, scratch
from costaudit.ingest import _parts as parts
from costaudit.ingest._arrow import arrow, table
from costaudit.ingest._listing import Part, Place
from costaudit.ingest._parts import KEYS, STORED
from costaudit.scratch import Heap

APART = timedelta(days=2)  # between two copies of one call; batches answer within a day
TOGETHER = 8_000  # rows that are compared together, unless more are copies of each other
SLICE = 10_000  # rows of a part that are read together
OLD = pl.Schema({**STORED, "_part": pl.String()})  # rows of a store, with the part each is in

Identified = Callable[[pl.DataFrame], pl.DataFrame]


class Portion(NamedTuple):
    """New rows [STORED], and those of the store [OLD] that may be copies of them."""

    new: pl.DataFrame
    old: pl.DataFrame


class _Found(NamedTuple):
    """A part with the places of rows in it, and the hashes of what each is known by."""

    part: Part
    places: pl.Series
    ids: pl.DataFrame


def portions(new: pl.DataFrame, place: Place, held: Sequence[Part], identified: Identified) -> Iterator[Portion]:
    """All new rows, each with its copies.

    identified   rows of a part with the `_key` of each
    """
    ids = pl.concat([_IDS.to_frame(), *(_ids(rows) for rows in scratch.slices(new, TOGETHER))])
    found = _found(ids, place, _near(new, held), identified)
    both = pl.concat([ids, *(one.ids for one in found)])
    del ids
    if both.height <= TOGETHER:
        yield Portion(
            new, pl.concat([OLD.to_frame(), *(rows for one in found for rows in _old(place, one, identified))])
        )
        return
    numbers = _numbers(both)
    del both
    if numbers is None:
        yield from (Portion(rows, OLD.to_frame()) for rows in scratch.slices(new, TOGETHER))
        return
    with closing(scratch.heap()) as heap:
        at = 0
        for rows in scratch.slices(new, TOGETHER):
            _put(heap, "new", rows, numbers[at : at + rows.height])
            at += rows.height
        for one in found:
            for rows in _old(place, one, identified):
                _put(heap, "old", rows, numbers[at : at + rows.height])
                at += rows.height
        last: Any = numbers.max()
        for number in range(last + 1):
            yield Portion(_taken(heap, ("new", number), STORED), _taken(heap, ("old", number), OLD))


_IDS = pl.Schema({"key": pl.UInt64(), "response": pl.UInt64()})


def _ids(rows: pl.DataFrame) -> pl.DataFrame:
    """Hashes of the two ids of each row, which are the same where it has one."""
    return rows.select(key=pl.col("_key").hash(), response=pl.coalesce("_also", "_key").hash())


def _near(new: pl.DataFrame, held: Iterable[Part]) -> list[Part]:
    """The parts that can hold copies of the rows: of the same days, or without a time on either side."""
    first, last = new["started_at"].min(), new["started_at"].max()
    if new["started_at"].null_count() or not isinstance(first, datetime) or not isinstance(last, datetime):
        return list(held)
    return [p for p in held if p.first is None or p.within(first - APART, last + APART)]


def _found(ids: pl.DataFrame, place: Place, near: Iterable[Part], identified: Identified) -> list[_Found]:
    """Rows of parts that have an id of a new row."""
    known = pl.concat([ids["key"], ids["response"]]).unique().implode()
    found = []
    for part in near:
        told = pl.concat(_ids(rows) for _, rows in _slices(place, part, identified, ["request_id", *KEYS]))
        told = told.with_row_index("_at")
        some = told.filter(pl.col("key").is_in(known) | pl.col("response").is_in(known))
        if some.height:
            found.append(_Found(part, some["_at"], some.drop("_at")))
    return found


def _old(place: Place, found: _Found, identified: Identified) -> Iterator[pl.DataFrame]:
    """The rows that were found [OLD], some at a time."""
    part, places = found.part, found.places
    for at, rows in _slices(place, part, identified, None, places):
        first, last = (int(places.search_sorted(bound)) for bound in (at, at + rows.height))
        yield rows[places[first:last] - at].with_columns(_part=pl.lit(part.file))


def _slices(
    place: Place, part: Part, identified: Identified, columns: Sequence[str] | None, places: pl.Series | None = None
) -> Iterator[tuple[int, pl.DataFrame]]:
    """Rows of a part with the `_key` of each, some at a time, and the number of the first of them.

    places   in order: slices that hold none of them are not read
    """
    if not part.xxh3:  # from before there were lists: what a row is known by is told by those before it
        yield 0, identified(parts.read(place, part))
        return
    key = pl.coalesce("_key", "request_id").alias("_key")
    for at in range(0, part.rows, SLICE):
        if places is None or places.search_sorted(at) < places.search_sorted(at + SLICE):
            yield at, parts.read_some(place, part, at, SLICE, columns).with_columns(key)


def _numbers(ids: pl.DataFrame) -> pl.Series | None:
    """For each row the number of its portion; None where no row is a copy of another one."""
    import numpy as np

    _, node = np.unique(np.concatenate([ids["key"].to_numpy(), ids["response"].to_numpy()]), return_inverse=True)
    key, response = node[: ids.height].astype(np.uint32), node[ids.height :].astype(np.uint32)
    del node
    rows = np.arange(ids.height, dtype=np.uint32)
    first = rows  # of the rows that each is bound to
    while True:
        least = np.full(2 * ids.height, ids.height, dtype=np.uint32)
        np.minimum.at(least, key, first)
        np.minimum.at(least, response, first)
        nearer = np.minimum(least[key], least[response])
        nearer = nearer[nearer]  # a long chain of copies of copies takes few steps
        if (nearer == first).all():
            break
        first = nearer
    if (first == rows).all():
        return None
    before = np.cumsum(np.bincount(first, minlength=ids.height))
    return pl.Series((before[first] - 1) // TOGETHER).rank("dense") - 1


def _put(heap: Heap[tuple[str, int]], name: str, rows: pl.DataFrame, numbers: pl.Series) -> None:
    for number in numbers.unique(maintain_order=True):
        heap.put((name, number), arrow(rows.filter(numbers == number)))


def _taken(heap: Heap[tuple[str, int]], name: tuple[str, int], columns: pl.Schema) -> pl.DataFrame:
    return pl.concat([columns.to_frame(), *(schema.conform(table(data), columns) for data in heap.of(name))])
