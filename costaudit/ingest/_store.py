"""The store: requests kept in Parquet, by month, merged by identity; history outlives the logs.

Calls are known by what `_identity` knows them by; of two copies the better one stays, whichever came first. Parts hold
whole days (`_order.sizes`), so that a new day is a new part and a window opens only the parts that can hold it.
Beyond one merge nothing is linked: the spans of one trace, and the rows that prove a token convention, count where they
are read together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from functools import partial
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, NamedTuple

import polars as pl
from xxhash import xxh3_128_hexdigest

from costaudit import schema, scratch
from costaudit.audit import Fates
from costaudit.errors import LogError
from costaudit.ingest import _parts as parts
from costaudit.ingest._away import Away
from costaudit.ingest._copies import OLD, Portion, portions, printed
from costaudit.ingest._identity import collapse
from costaudit.ingest._listing import MARK, Part, Place
from costaudit.ingest._order import ORDER, Feed, merged, run, sizes, without
from costaudit.ingest._parts import KEYS, STORED, Summary, Where, at, is_store

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
    known = before = 0
    gone: list[pl.DataFrame] = []
    with closing(Away()) as fresh:
        for portion in portions(new, place, held, _identified):
            calls = _calls(portion)
            known, before = known + calls.height, before + portion.old.height
            if portion.old.height:
                known_as, old = calls.with_columns(printed()), portion.old.with_columns(printed())
                same = known_as.join(old.select("_key", "_print0"), on=["_key", "_print0"], how="semi").select("_key")
                calls = calls.join(same, on="_key", how="anti")
                gone.append(old.join(same, on="_key", how="anti").select("_key", "_part"))
            fresh.put(calls)
        lost = pl.concat([OLD.to_frame().select("_key", "_part"), *gone])
        height = fresh.height
        if height or lost.height:
            held = _changed(place, held, fresh, lost, summary)
    added = max(0, known - before)
    return held, Merged(added, height - added, new.height - height, sum(part.rows for part in held))


def _calls(portion: Portion) -> pl.DataFrame:
    """Each call once: whatever was merged while it was read is one request here."""
    copies = pl.concat([portion.old.select(STORED.names()), portion.new]).with_columns(_rows=pl.lit(None, pl.Int64))
    return collapse(copies).requests.drop("_rows")


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
    return scratch.read(sum(part.rows for part in opened), _pieces(store, opened, names))


def _pieces(store: Where, opened: Sequence[Part], names: Sequence[str]) -> Iterator[Callable[[], pl.DataFrame]]:
    """Reads of the rows of parts in order of time, some rows each."""
    if _in_order(opened):
        yield from parts.read_pieces(store, opened, names)
        return
    for _, month in groupby(opened, key=lambda part: part.month):
        for frame in merged([run(at(store), part) for part in month]):
            yield partial(frame.select, names)


def _in_order(opened: Sequence[Part]) -> bool:
    """Whether the rows of the parts, one part after the other, are in order of time: each begins after the last."""
    return all(
        one.last is not None and (other.first is None or other.first > one.last) for one, other in pairwise(opened)
    )


def everything(store: Where) -> Ingested:
    """A store as something to merge into another one: its rows with what each is known by."""
    from costaudit.ingest import REJECTS, SOURCES, Ingested

    held = parts.load(store)
    if held and all(part.xxh3 for part in held):
        pieces = (partial(_keyed, piece) for piece in _pieces(store, held, STORED.names()))
        rows = scratch.made(sum(part.rows for part in held), pieces)
    else:
        rows = pl.concat([STORED.to_frame(), *(_identified(parts.read(store, part)) for part in held)])
        rows = rows.sort(ORDER, nulls_last=True)
    restated = int(rows["rollup"].fill_null(value=False).sum())
    fates = Fates(lines=rows.height, requests=rows.height - restated, rollups=restated)
    requests, identities = rows.select(schema.REQUESTS.names()), rows.select(KEYS.names())
    return Ingested(requests, fates, SOURCES.to_frame(), REJECTS.to_frame(), identities=identities)


def _keyed(piece: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    """Rows of a part [STORED] with the `_key` of each."""
    return piece().with_columns(_key=pl.coalesce("_key", "request_id"))


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


def _changed(
    store: Place, held: Sequence[Part], fresh: Away, gone: pl.DataFrame, summary: Summary | None
) -> list[Part]:
    """The store with rows added and others taken away: only parts that lose a row are written again."""
    files, keys = set(gone["_part"]), gone.select("_key")
    losing = [part for part in held if part.file in files]
    kept = [part for part in held if part.file not in files]
    for part in losing:
        if not part.xxh3:  # from before there were lists: in any order, and of any month
            fresh.put(without(_identified(parts.read(store, part)), keys))
    again = [part for part in losing if part.xxh3]
    for month in sorted({*fresh.times, *(part.month for part in again)}):
        rest = [part for part in again if part.month == month]
        runs = [*fresh.runs(month), *(run(store, part, keys) for part in rest)]
        times = [*fresh.times.get(month, []), *(_times(store, part, keys) for part in rest)]
        kept += _cut(store, month, merged(runs), pl.concat(times), summary)
    after: list[Part] = []
    for _, group in groupby(sorted(kept, key=lambda part: part.month), key=lambda part: part.month):
        several = list(group)
        after += several if len(several) <= PARTS else _rewritten(store, several, summary)
    return after


def _times(store: Where, part: Part, gone: pl.DataFrame) -> pl.Series:
    slices = parts.slices(store, part, parts.GROUP, ["started_at", "request_id", "_key"])
    return pl.concat(without(rows, gone)["started_at"] for rows in slices)


def _rewritten(store: Where, month: Sequence[Part], summary: Summary | None) -> list[Part]:
    """The rows of the parts of a month as fewer parts; they are not all in memory at a time."""
    place = at(store)
    if any(not part.xxh3 for part in month):  # from before there were lists: in any order, and of any month
        with closing(Away()) as rows:
            for part in month:
                rows.put(_identified(parts.read(place, part)))
            return [
                part
                for name in sorted(rows.times)
                for part in _cut(place, name, merged(rows.runs(name)), pl.concat(rows.times[name]), summary)
            ]
    times = pl.concat([parts.read(place, part, ["started_at"]) for part in month]).to_series()
    return _cut(place, month[0].month, merged([run(place, part) for part in month]), times, summary)


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
