"""What a store holds, and whether it is whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

import msgspec
import polars as pl

from costaudit import schema
from costaudit.errors import LogError
from costaudit.ingest import _parts as parts
from costaudit.ingest._listing import Part, Place, hash_of
from costaudit.ingest._parts import UNDATED, Where


class Month(NamedTuple):
    """One month of a store; sizes in bytes."""

    month: str
    requests: int
    restated: int
    parts: int
    size: int
    first: datetime | None
    last: datetime | None


class Info(msgspec.Struct, frozen=True):
    """A store without its rows.

    sources  format, files, requests
    sums     `costaudit.price.sums` of all parts; None where a part has none or has them from other prices
    """

    path: str
    months: tuple[Month, ...]
    sources: pl.DataFrame
    sums: pl.DataFrame | None

    @property
    def size(self) -> int:
        return sum(month.size for month in self.months)


class Verified(msgspec.Struct, frozen=True):
    """Parts and rows looked at, what is wrong with them, and what is harmless."""

    path: str
    parts: int
    rows: int
    problems: list[str] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)


def info(store: Where, sums: pl.DataFrame | None) -> Info:
    """What the list of a store and two of its columns say; LogError where it is damaged."""
    place = parts.at(store)
    held = place.load()
    months = tuple(_month(name, list(group)) for name, group in groupby(held, key=lambda part: part.month))
    sources = (
        _files(place, held)
        .group_by("format")
        .agg(files=pl.len(), requests=pl.sum("requests"))
        .sort("requests", "format", descending=[True, False])
    )
    return Info(place.shown, months, sources, sums)


def _files(place: Place, held: Sequence[Part]) -> pl.DataFrame:
    """Each file and format that rows are of, and how many."""
    by = ["format", "source_file"]
    found = schema.REQUESTS.to_frame().select(*by, requests=pl.lit(0, pl.get_index_type()))
    for part in held:
        rows = [some.group_by(by).agg(requests=pl.len()) for some in parts.some_columns(place, part, by)]
        found = pl.concat([found, *rows]).group_by(by).agg(pl.sum("requests"))
    return found


def _month(name: str, held: Sequence[Part]) -> Month:
    firsts = [part.first for part in held if part.first is not None]
    lasts = [part.last for part in held if part.last is not None]
    return Month(
        name,
        sum(part.rows - part.restated for part in held),
        sum(part.restated for part in held),
        len(held),
        sum(part.bytes for part in held),
        min(firsts, default=None),
        max(lasts, default=None),
    )


def verify(store: Where) -> Verified:
    """Read every byte of a store and compare it with the list; LogError where the list itself cannot be read."""
    place = parts.at(store)
    held = place.load()
    found = Verified(place.shown, len(held), sum(part.rows for part in held))
    keys, spans, above = [_NONE], [_NONE], [_NONE]
    whole: list[Part] = []
    for part in held:
        problems = list(_damage(place, part))
        found.problems.extend(problems)
        whole += [] if problems else [part]
        for rows in () if problems else parts.some_columns(place, part, _PLACES):
            keys.append(rows.select(_KEY).to_series().drop_nulls().hash())
            calls = rows.filter(_used())
            spans.append(calls.select(_span()).to_series().drop_nulls())
            above.append(calls["parent_id"].drop_nulls().hash())
    twice = _twice(place, whole, pl.concat(keys))
    if twice:
        found.problems.append(f"{place.shown}: {twice:,} requests are in it twice")
    cut = int(pl.concat(spans).unique().is_in(pl.concat(above).unique().implode()).sum())
    if cut:
        many = "1 request stands" if cut == 1 else f"{cut:,} requests stand"
        found.notes.append(
            f"{place.shown}: {many} above others that were read another time, and both count: "
            "ingest the logs of whole traces in one command, also again"
        )
    found.notes.extend(place.strays(held))
    return found


def _twice(place: Place, held: Sequence[Part], hashes: pl.Series) -> int:
    """How many rows have a key that one before them has. The keys themselves would take all memory."""
    met = hashes.filter(hashes.is_duplicated()).unique().implode()
    if not met.item().len():
        return 0
    columns = ["request_id", "_key"]
    pieces = (some.select(_KEY).to_series() for part in held for some in parts.some_columns(place, part, columns))
    keys = pl.concat(some.filter(some.hash().is_in(met)) for some in pieces)
    return keys.len() - keys.n_unique()


_KEY = pl.coalesce("_key", "request_id").alias("_key")
_PLACES = ("request_id", "parent_id", "input_tokens", "output_tokens", "rollup", "_key")
_NONE = pl.Series([], dtype=pl.UInt64)


def _used() -> pl.Expr:
    """Calls that used something: of two, one right below the other, the upper one restates it (`_tree`)."""
    return ~pl.col("rollup").fill_null(value=False) & (pl.sum_horizontal("input_tokens", "output_tokens") > 0)


def _span() -> pl.Expr:
    """The hash of a span's id, where a call is known by its place in a trace."""
    place = pl.col("_key").str.extract(r"^span .*?(\S+)$")
    return pl.when(place.is_not_null()).then(place.hash())


def _damage(place: Place, part: Part) -> Iterator[str]:
    """What is wrong with a part and its sums."""
    path = place.show(part.file)
    try:
        size, xxh3 = place.told(part.file)
    except OSError as problem:
        yield f"{path}: cannot be read: {problem.strerror}"
        return
    if part.xxh3 and (size != part.bytes or xxh3 != part.xxh3):
        yield f"{path}: not as it was written ({size:,} bytes of {part.bytes:,}, or other ones)"
        return
    try:
        pieces = parts.some_columns(place, part, ["started_at", "rollup"])
        rows = pl.concat([schema.REQUESTS.to_frame().select("started_at", "rollup"), *pieces])
    except LogError as problem:
        yield str(problem)
        return
    restated = int(rows["rollup"].fill_null(value=False).sum())
    if (rows.height, restated) != (part.rows, part.restated):
        yield f"{path}: {rows.height:,} rows, the list says {part.rows:,}"
    months = rows.select(pl.col("started_at").dt.strftime("%Y-%m").fill_null(UNDATED)).to_series().unique().to_list()
    if months != [part.month]:
        yield f"{path}: rows of {', '.join(sorted(months)) or 'no month'} in a part of {part.month}"
    if (rows["started_at"].min(), rows["started_at"].max()) != (part.first, part.last):
        yield f"{path}: other times than the list says"
    if part.sums is not None:
        yield from _sums_damage(place, part, part.sums)


def _sums_damage(place: Place, part: Part, file: str) -> Iterator[str]:
    path = place.show(file)
    try:
        _, xxh3 = place.told(file)
    except OSError as problem:
        yield f"{path}: cannot be read: {problem.strerror}"
        return
    if xxh3 != hash_of(file):
        yield f"{path}: not as it was written"
    elif parts.counted(place, file) != part.rows - part.restated:
        yield f"{path}: adds up to another number of requests than its part"
