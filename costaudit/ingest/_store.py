"""The store: requests kept in Parquet, by month, merged by identity; history outlives the logs.

Calls are known by what `_identity` knows them by; of two copies the better one stays, whichever came first. Parts hold
whole days (`_order.sizes`), so that a new day is a new part and a window opens only the parts that can hold it.
Beyond one merge nothing is linked: the spans of one trace, and the rows that prove a token convention, count where they
are read together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, NamedTuple

import polars as pl
from xxhash import xxh3_128_hexdigest

from costaudit import schema, scratch
from costaudit.audit import Fates
from costaudit.errors import LogError
from costaudit.ingest import _parts as parts
from costaudit.ingest._identity import collapse
from costaudit.ingest._listing import MARK, Part, Place
from costaudit.ingest._order import ORDER, Feed, in_order, merged, sizes
from costaudit.ingest._parts import KEYS, STORED, UNDATED, Summary, Where, at, is_store

if TYPE_CHECKING:
    from costaudit.ingest import Ingested

__all__ = [
    "MARK",
    "Merged",
    "Summary",
    "Window",
    "compact",
    "everything",
    "is_store",
    "merge",
    "read",
    "sums",
    "window",
]

APART = timedelta(days=2)  # between two copies of one call; batches answer within a day
ROWS = 500_000  # of a part, unless more have the same moment; what memory a merge takes grows with it
PARTS = 8  # of a month, before a merge compacts it
# What a call without any identity is known by, beside its place in the file; the name of the file may change.
CONTENT = (
    "format", "source_line", "source_offset", "started_at", "provider", "model_requested", "model", "input_tokens",
    "cache_read_tokens", "cache_write_tokens", "output_tokens", "run_id", "task", "tenant", "user", "request_sha",
    "output_sha",
)  # fmt: skip


class Merged(NamedTuple):
    """What a merge did: rows that are new, rows a better copy has changed, rows known already, rows in all."""

    added: int
    improved: int
    known: int
    total: int


class Window(NamedTuple):
    """The rows of a window, and how many the store holds outside of the parts that were opened."""

    requests: pl.DataFrame
    outside: int
    outside_restated: int


class Compacted(NamedTuple):
    """Parts before and after, and files removed that no list named."""

    before: int
    after: int
    swept: int


def merge(
    requests: pl.DataFrame, store: Where, identities: pl.DataFrame | None = None, summary: Summary | None = None
) -> Merged:
    """Add requests [schema.REQUESTS] to a store, once each; the same logs again change nothing.

    identities  columns of `_parts.KEYS`, a row a request; without them a call is known by its `request_id`
    summary     how each part is summed up; None: parts carry no sums
    Raises UsageError where there is something else, or where it cannot be written: it is then unchanged.
    """
    new = _identified(requests if identities is None else pl.concat([requests, identities], how="horizontal"))
    place = at(store)
    done: list[Merged] = []

    def made(held: list[Part]) -> list[Part]:
        after, said = _merged(place, held, new, summary)
        done.append(said)
        return after

    place.change(made)
    return done[-1]


def _merged(place: Place, held: list[Part], new: pl.DataFrame, summary: Summary | None) -> tuple[list[Part], Merged]:
    """The parts with the new rows in them, and what was done."""
    old = _Copies.of(new, place, held)
    # Whatever was merged while it was read is one request here.
    copies = pl.concat([old.rows.select(STORED.names()), new]).with_columns(_rows=pl.lit(None, pl.Int64))
    known = collapse(copies).requests.drop("_rows").with_columns(_print=_print())
    same = known.join(old.rows.select("_key", "_print"), on=["_key", "_print"], how="semi")
    fresh = known.join(same.select("_key"), on="_key", how="anti").drop("_print")
    gone = old.rows.join(same.select("_key"), on="_key", how="anti")
    if fresh.height or gone.height:
        held = _changed(place, held, fresh, gone, summary)
    added = max(0, known.height - old.rows.height)
    improved = fresh.height - added
    return held, Merged(added, improved, new.height - fresh.height, sum(part.rows for part in held))


def read(store: Where) -> pl.DataFrame:
    """All requests of a store, in order of time; raises LogError where a file of it is damaged."""
    return window(store, None, None).requests


def window(store: Where, start: datetime | None, end: datetime | None) -> Window:
    """The requests of a half-open window, and those without a time, in order of time; no other part is opened."""
    for attempt in range(5):
        held = parts.load(store)
        opened = [part for part in held if part.first is None or part.within(start, end)]
        try:
            requests = _rows(store, opened)
            break
        except LogError:
            if attempt == 4 or parts.load(store) == held:
                raise  # else a writer has replaced the part in between
    closed = [part for part in held if part not in opened]
    return Window(
        requests,
        sum(part.rows - part.restated for part in closed),
        sum(part.restated for part in closed),
    )


def _rows(store: Where, opened: Sequence[Part]) -> pl.DataFrame:
    """The requests of some parts, in order of time; many of them stand in a file of their own (`scratch`)."""
    names = schema.REQUESTS.names()
    if not opened:
        return schema.REQUESTS.to_frame()
    if any(not part.xxh3 for part in opened):  # from before there were lists: in any order
        rows = pl.concat(parts.read(store, part, names) for part in opened)
        return scratch.kept(rows.sort(ORDER[:3], nulls_last=True, maintain_order=True))
    if _in_order(opened):
        pieces = parts.read_pieces(store, opened, names)
    else:
        months = (list(month) for _, month in groupby(opened, key=lambda part: part.month))
        frames = (frame for month in months for frame in merged(at(store), month))
        pieces = (partial(frame.select, names) for frame in frames)
    return scratch.read(sum(part.rows for part in opened), pieces)


def _in_order(opened: Sequence[Part]) -> bool:
    """Whether the rows of the parts, one part after the other, are in order of time: each begins after the last."""
    return all(
        one.last is not None and (other.first is None or other.first > one.last) for one, other in pairwise(opened)
    )


def everything(store: Where) -> Ingested:
    """A store as something to merge into another one: its rows with what each is known by."""
    from costaudit.ingest import REJECTS, SOURCES, Ingested

    rows = pl.concat([STORED.to_frame(), *(_identified(parts.read(store, part)) for part in parts.load(store))])
    rows = rows.sort(ORDER, nulls_last=True)
    restated = int(rows["rollup"].fill_null(value=False).sum())
    fates = Fates(lines=rows.height, requests=rows.height - restated, rollups=restated)
    requests, identities = rows.select(schema.REQUESTS.names()), rows.select(KEYS.names())
    return Ingested(requests, fates, SOURCES.to_frame(), REJECTS.to_frame(), identities=identities)


def compact(store: Where, summary: Summary | None = None) -> Compacted:
    """Write the parts of each month as few and as full as they can be, with sums that are up to date."""
    place = at(store)
    counts: list[tuple[int, int]] = []

    def made(held: list[Part]) -> list[Part]:
        after: list[Part] = []
        for _, group in groupby(held, key=lambda part: part.month):
            month = list(group)
            if _tight(month):
                after += [parts.summed(place, part, summary) for part in month]
            else:
                after += _rewritten(place, month, summary)
        counts.append((len(held), len(after)))
        return after

    swept = place.change(made)
    return Compacted(*counts[-1], swept + place.sweep())


def sums(store: Where, stamp: str) -> pl.DataFrame | None:
    """The sums of all parts, one under the other; None where a part has none, or has them from other prices."""
    held = parts.load(store)
    if any(part.stamp != stamp for part in held):
        return None
    found, without = parts.read_sums(store, held)
    return pl.concat(found).drop("part") if found and not without else None


def _identified(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows [STORED] of which each has a `_key`: its own, else its request's id, else a hash of what it says."""
    frame = schema.conform(rows, STORED).with_columns(_key=pl.coalesce("_key", "request_id"))
    nameless = frame["_key"].is_null()
    if not nameless.any():
        return frame
    said = pl.concat_str([pl.col(name).cast(pl.String).fill_null("") for name in CONTENT], separator="\x1f")
    alone = frame.filter(nameless).with_columns(_said=said)
    # Copies within one reading are calls of their own: they stand in different files.
    alone = alone.with_columns(_nth=pl.int_range(pl.len()).over("_said"))
    said_nth = alone.select("_said", "_nth").iter_rows()
    keys = [f"row {xxh3_128_hexdigest(f'{text}#{nth}'.encode())}" for text, nth in said_nth]
    return pl.concat([frame.filter(~nameless), alone.select(frame.columns).with_columns(_key=pl.Series(keys))])


def _print() -> pl.Expr:
    return pl.struct(STORED.names()).hash(seed=0)  # compared within one process only


class _Copies(NamedTuple):
    """Rows of a store that new rows may be copies of, with the hash of each and the part it is in."""

    rows: pl.DataFrame

    @classmethod
    def of(cls, new: pl.DataFrame, store: Where, held: Sequence[Part]) -> _Copies:
        ids = pl.concat([new["_key"], new["_also"].drop_nulls()]).unique()
        known = pl.col("_key").is_in(ids.implode()) | pl.col("_also").is_in(ids.implode()).fill_null(value=False)
        found = [STORED.to_frame().with_columns(_print=_print(), _part=pl.lit(""))]
        for part in _near(new, held):
            names = ["request_id", *KEYS]
            if part.xxh3 and not _keyed(parts.read(store, part, names)).filter(known).height:
                continue
            rows = _identified(parts.read(store, part)).filter(known)
            found.append(rows.with_columns(_print=_print(), _part=pl.lit(part.file)))
        return cls(pl.concat(found))


def _keyed(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(_key=pl.coalesce("_key", "request_id"))


def _near(new: pl.DataFrame, held: Iterable[Part]) -> list[Part]:
    """The parts that can hold copies of the rows: of the same days, or without a time on either side."""
    first, last = new["started_at"].min(), new["started_at"].max()
    if new["started_at"].null_count() or not isinstance(first, datetime) or not isinstance(last, datetime):
        return list(held)
    return [p for p in held if p.first is None or p.within(first - APART, last + APART)]


def _changed(
    store: Where, held: Sequence[Part], fresh: pl.DataFrame, gone: pl.DataFrame, summary: Summary | None
) -> list[Part]:
    """The store with rows added and others taken away: only parts that lose a row are written again."""
    losing = set(gone["_part"])
    kept = [part for part in held if part.file not in losing]
    away = gone.select("_key")
    rest = [_identified(parts.read(store, p)).join(away, on="_key", how="anti") for p in held if p.file in losing]
    kept += _written(store, pl.concat([fresh.select(STORED.names()), *rest]), summary)
    after: list[Part] = []
    for _, group in groupby(sorted(kept, key=lambda part: part.month), key=lambda part: part.month):
        month = list(group)
        after += month if len(month) <= PARTS else _rewritten(store, month, summary)
    return after


def _written(store: Where, rows: pl.DataFrame, summary: Summary | None) -> list[Part]:
    """Rows as parts, each as full as may be."""
    month = pl.col("started_at").dt.strftime("%Y-%m").fill_null(UNDATED)
    months = rows.with_columns(_month=month).partition_by("_month", as_dict=True, include_key=False)
    return [
        part
        for (name,), group in sorted(months.items())
        for part in _cut(store, str(name), [in_order(group)], group["started_at"], summary)
    ]


def _rewritten(store: Where, month: Sequence[Part], summary: Summary | None) -> list[Part]:
    """The rows of the parts of a month as fewer parts; they are not all in memory at a time."""
    place = at(store)
    if any(not part.xxh3 for part in month):  # from before there were lists: in any order, and of any month
        return _written(place, pl.concat([_identified(parts.read(place, part)) for part in month]), summary)
    times = pl.concat([parts.read(place, part, ["started_at"]) for part in month]).to_series()
    return _cut(place, month[0].month, merged(place, month), times, summary)


def _cut(
    store: Where, month: str, frames: Iterable[pl.DataFrame], times: pl.Series, summary: Summary | None
) -> list[Part]:
    feed = Feed(frames)
    return [parts.write_stream(store, month, feed.take(size), summary) for size in sizes(times.sort(), ROWS)]


def _tight(month: Sequence[Part]) -> bool:
    """Whether writing the rows of a month anew would change nothing: no neighbours overlap, or fit into one part."""
    if any(not part.xxh3 for part in month) or not (month[0].first is None or _in_order(month)):
        return False
    return all(one.rows + other.rows > ROWS for one, other in pairwise(month))
