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

    def bound(self, known: pl.Series) -> _Found:
        """Those of the rows that have one of the ids."""
        some = self.ids.select((pl.col("key").is_in(known) | pl.col("response").is_in(known)).alias("")).to_series()
        return _Found(self.part, self.places.filter(some), self.ids.filter(some))


def portions(new: pl.DataFrame, place: Place, held: Sequence[Part], identified: Identified) -> Iterator[Portion]:
    """All new rows, each with its copies.

    identified   rows of a part with the `_key` of each
    """
    ids = pl.concat([_IDS.to_frame(), *(_ids(rows) for rows in scratch.slices(new, TOGETHER))])
    found = _found(ids, place, _near(new, held), identified)
    fresh = _fresh(new, found, place, identified)
    if fresh is not None:
        ids = ids.filter(fresh)
        known = _known(ids)
        found = [some for one in found if (some := one.bound(known)).ids.height]
    both = pl.concat([ids, *(one.ids for one in found)])
    del ids
    if both.height <= TOGETHER:
        old = (rows for one in found for rows in _old(place, one, identified))
        yield Portion(pl.concat([STORED.to_frame(), *_left(new, fresh)]), pl.concat([OLD.to_frame(), *old]))
        return
    numbers = _numbers(both)
    del both
    if numbers is None:
        yield from (Portion(rows, OLD.to_frame()) for rows in _left(new, fresh))
        return
    with closing(scratch.heap()) as heap:
        at = 0
        for rows in _left(new, fresh):
            _put(heap, "new", rows, numbers[at : at + rows.height])
            at += rows.height
        for one in found:
            for rows in _old(place, one, identified):
                _put(heap, "old", rows, numbers[at : at + rows.height])
                at += rows.height
        last: Any = numbers.max()
        for number in range(last + 1):
            yield Portion(_taken(heap, ("new", number), STORED), _taken(heap, ("old", number), OLD))


def printed(seed: int = 0) -> pl.Expr:
    """A hash of all that a row says; compared within one process only."""
    return pl.struct(STORED.names()).hash(seed=seed).alias(f"_print{seed}")


def _fresh(new: pl.DataFrame, found: Sequence[_Found], place: Place, identified: Identified) -> pl.Series | None:
    """Which new rows the store does not hold just as they are; None: none is held so.

    Most logs that are read again are known by that, and a row beside itself says nothing new.
    """
    prints = [printed(0), printed(1)]
    held = [rows.select(prints) for one in found for rows in _old(place, one, identified)]
    if not held:
        return None
    told = pl.concat(rows.select(prints) for rows in scratch.slices(new, TOGETHER)).with_row_index("_at")
    same = told.join(pl.concat(held), on=["_print0", "_print1"], how="semi")["_at"]
    return pl.repeat(value=True, n=new.height, eager=True).scatter(same, values=False) if same.len() else None


def _left(new: pl.DataFrame, fresh: pl.Series | None) -> Iterator[pl.DataFrame]:
    """The new rows that are looked at, some at a time."""
    at = 0
    for rows in scratch.slices(new, TOGETHER):
        yield rows if fresh is None else rows.filter(fresh[at : at + rows.height])
        at += rows.height


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
    known = _known(ids)
    found = []
    for part in near:
        told = pl.concat(_ids(rows) for _, rows in _slices(place, part, identified, ["request_id", *KEYS]))
        places = pl.int_range(told.height, dtype=pl.UInt32, eager=True)
        some = _Found(part, places, told).bound(known)
        if some.ids.height:
            found.append(some)
    return found


def _known(ids: pl.DataFrame) -> pl.Series:
    return pl.concat([ids["key"], ids["response"]]).unique().implode()


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
