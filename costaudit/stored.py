"""Totals of a store: from the sums of its parts where they say it, else from the few columns that the question needs.

A part is judged by itself as far as it can be. What rests on rows of other parts (`trust.hinges`) is judged anew, part
by part, once all have been seen. So memory holds one part, and the figures are those of all rows in one table.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, time
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import polars as pl

from costaudit import schema
from costaudit.audit import Fates
from costaudit.config import Settings
from costaudit.errors import LogError
from costaudit.ingest import SOURCES
from costaudit.ingest import _parts as parts
from costaudit.ingest._footer import facts
from costaudit.ingest._listing import Part
from costaudit.ingest._parts import Where
from costaudit.pipeline import outside_all, unnamed
from costaudit.price import linear, sums
from costaudit.price._facts import Facts
from costaudit.price.book import PriceBook
from costaudit.price.cells import KIND, SUMMED, cells, moments
from costaudit.price.engine import price
from costaudit.price.folded import Folded
from costaudit.price.linear import FILES, READ
from costaudit.price.readings import by_cost, votes
from costaudit.price.tariff import Key
from costaudit.price.trust import NO_PEERS, Others, by_others, dearest_calls, hinges, trust

PLACE = ("part", "hinges")
AT_ONCE = 250_000  # rows that are priced together: parts may be small
MANY = 1_000_000  # rows from which footers are asked: who reads them takes a tenth of a second to import
READERS = 2  # parts that are read at the same time: decoding one leaves half of two cores idle
SUMMED_BY = ("day", "task")  # what sums are kept by, beside provider and model


T = TypeVar("T", pl.DataFrame, pl.LazyFrame)
Item = TypeVar("Item")
Done = TypeVar("Done")


class Held(NamedTuple):
    """The calls of a window as cells, what became of all rows, and the times of the first and the last one.

    cells  to be taken piece by piece, once
    stale  parts whose sums could have answered, were they of these prices and of this program
    undated  requests without a time, if a window was asked for: no window holds them
    """

    cells: Folded
    fates: Fates
    first: datetime | None
    last: datetime | None
    stale: int = 0
    undated: int = 0


def held(store: Where, settings: Settings, names: Sequence[str], book: PriceBook) -> Held:
    """What a store holds in the window of the settings, by `names` (`cells.keys`), at the prices of a book."""
    for attempt in range(5):
        found = parts.load(store)
        try:
            return _Reading(store, found, settings, tuple(names), book).held()
        except LogError:
            if attempt == 4 or parts.load(store) == found:
                raise  # else a writer has replaced a part in between
    raise AssertionError


class _Reading:
    """One reading of a store."""

    def __init__(
        self, store: Where, found: Sequence[Part], settings: Settings, names: tuple[str, ...], book: PriceBook
    ) -> None:
        self.store, self.all, self.settings, self.names, self.book = store, found, settings, names, book
        self.start, self.end = settings.window
        self.opened = [part for part in found if part.within(self.start, self.end)]
        self.many = sum(part.rows for part in self.opened) >= MANY
        self.stale = 0
        self.lock = Lock()
        self.others = unnamed(settings)
        self.kinds = pl.DataFrame(schema={name: schema.REQUESTS[name] for name in Key._fields})
        if not self.opened:
            first, last = ({part.first for part in found} - {None}, {part.last for part in found} - {None})
            raise outside_all(parts.at(store).shown, min(first, default=None), max(last, default=None))  # type: ignore[type-var]

    def held(self) -> Held:
        summed, doubtful = self._folded(), self._folded()
        again: set[int] = set()
        doubted: set[int] = set()
        decided = False
        for frame in self._first():
            asked, unsure, stated = _hinged(frame)
            again, doubted, decided = again | asked, doubted | unsure, decided or stated
            summed.add(_without(frame, asked | unsure))
            doubtful.add(frame.filter(pl.col("part").is_in(unsure)))
        if decided:
            again |= doubted
        else:  # costs that no call states decide nothing
            summed.take(doubtful)
        for frame in self._again([part for at, part in enumerate(self.opened) if at in again], decided=decided):
            summed.add(frame)
        rows = sum(part.rows for part in self.all)
        restated = sum(part.restated for part in self.all)
        calls = summed.requests
        fates = Fates(lines=rows, requests=calls, rollups=restated, outside=rows - restated - calls)
        windowed = self.start is not None or self.end is not None
        undated = sum(part.rows - part.restated for part in self.all if part.first is None) if windowed else 0
        return Held(summed, fates, *self._span(), stale=self.stale, undated=undated)

    def _folded(self) -> Folded:
        made: dict[str, Any] = {"day": pl.Date(), "hour": pl.Datetime("us"), "trust": pl.String()}
        columns = {name: made.get(name) or schema.REQUESTS[name] for name in (*self.names, *KIND)}
        return Folded(self.names, pl.Schema(columns | dict(SUMMED)))

    def _first(self) -> Iterator[pl.DataFrame]:
        """Cells by part, those that rest on something else apart (`hinges`)."""
        summed = [at for at, part in enumerate(self.opened) if self._answers(part)]
        found, without = parts.read_sums(self.store, [self.opened[at] for at in summed], self._of_sums)
        for frame in found:
            yield frame.with_columns(part=pl.lit(pl.Series(summed, dtype=pl.UInt32)).gather("part"))
        told = {at for n, at in enumerate(summed) if n not in without}
        slow = [(at, part) for at, part in enumerate(self.opened) if at not in told]
        yield from self._cells(slow, None, Others(named=False), PLACE)

    def _cells(
        self, asked: Iterable[tuple[int, Part]], voted: pl.DataFrame | None, others: Others, also: tuple[str, ...] = ()
    ) -> Iterator[pl.DataFrame]:
        """Cells of parts: what is linear in tokens is summed before it is priced, the rest call by call."""
        batch: list[tuple[pl.DataFrame, pl.DataFrame]] = []
        places = ((at, part, parts.path_of(self.store, part)) for at, part in asked)  # fetched one after the other
        for (at, _, _), (alike, rest) in ahead(self._read, places, READERS):
            place = pl.lit(at, pl.UInt32).alias("part")
            batch.append((alike.with_columns(place), rest.with_columns(place)))
            if sum(one.height + other.height for one, other in batch) > AT_ONCE:
                yield from self._priced(batch, voted, others, also)
                batch = []
        yield from self._priced(batch, voted, others, also)

    def _priced(
        self,
        batch: Sequence[tuple[pl.DataFrame, pl.DataFrame]],
        voted: pl.DataFrame | None,
        others: Others,
        also: tuple[str, ...],
    ) -> Iterator[pl.DataFrame]:
        found = []
        for nth in (0, 1):
            frames = [both[nth] for both in batch if both[nth].height]
            if frames:
                calls = self._decided(pl.concat(frames), voted if nth else None)
                trusted = trust(calls, self.book, others)
                hinged = trusted.with_columns(hinges(trusted))
                found.append(cells(hinged, self.book, (*self.names, *also), self.settings.tz))
        if found:
            yield pl.concat(found)

    def _read(self, place: tuple[int, Part, str]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """A part as sums of calls that prices treat alike (`linear`), and the other calls one by one."""
        _, part, path = place
        if not part.xxh3:  # as it was before there were lists: columns may be absent
            rows = self._rows(part)
            return rows.clear(), rows
        try:
            return self._condensed(part, path)
        except (pl.exceptions.PolarsError, OSError) as problem:
            raise parts.damaged(self.store, part, problem) from problem

    def _condensed(self, part: Part, path: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        scan = self._inside(pl.scan_parquet(path, glob=False, hive_partitioning=False), part)
        alike, plain = self._alike(part, scan, facts(path, READ) if self.many else Facts())
        if plain is None or alike["_calls"].sum() == part.rows - part.restated:
            return alike, alike.clear()
        return alike, scan.filter(~plain).select(self._columns()).collect(engine="streaming")

    def _alike(self, part: Part, scan: pl.LazyFrame, known: Facts) -> tuple[pl.DataFrame, pl.Expr | None]:
        """Sums of the calls that prices treat alike, and which calls these are; None: all."""
        zone = self.settings.tz
        same = part.first and part.last and part.first.date() == part.last.date() and zone == "UTC"
        day = pl.lit(part.first.date() if part.first else None, pl.Date)
        told = [name for name in self.names if not (same and name == "day")]
        by = [*moments(told, zone), *(pl.col(name) for name in told if name in schema.REQUESTS)]
        while True:
            kinds = self.kinds
            plain = linear.plain(kinds, self.book, known)
            asked = linear.condensed(scan, plain, kinds, self.book, by, part.first, part.last, known)
            found = asked.collect(engine="streaming")
            new = found.select(Key._fields).unique().join(kinds, on=Key._fields, how="anti", nulls_equal=True)
            if new.is_empty():
                break
            with self.lock:
                self.kinds = pl.concat([self.kinds, new]).unique()
        if len(told) < len(self.names):
            found = found.with_columns(day=day)
        return found.select(*self.names, pl.exclude(self.names)), plain

    def _answers(self, part: Part) -> bool:
        """Whether the sums of a part say what is asked, at these prices."""
        days = "day" not in self.names or self.settings.tz == "UTC"
        whole = all(edge is None or edge.time() == time() for edge in (self.start, self.end))
        if not (days and whole and set(self.names) <= set(SUMMED_BY)):
            return False
        current = part.stamp == sums.stamp(self.book)
        self.stale += not current
        return current

    def _of_sums(self, found: pl.LazyFrame) -> pl.LazyFrame:
        """Sums of the window as cells."""
        if self.start is not None:
            found = found.filter(pl.col("day") >= self.start.date())
        if self.end is not None:
            found = found.filter(pl.col("day") < self.end.date())
        return found.group_by(*self.names, *PLACE, *KIND).agg(pl.sum(*SUMMED))

    def _rows(self, part: Part, also: Sequence[str] = ()) -> pl.DataFrame:
        """The rows of a part within the window, as few columns of them as are read."""
        return self._inside(parts.read(self.store, part, self._columns(also)))

    def _columns(self, also: Sequence[str] = ()) -> list[str]:
        return list(dict.fromkeys((*READ, *(name for name in (*self.names, *also) if name in schema.REQUESTS))))

    def _inside(self, rows: T, part: Part | None = None) -> T:
        """The rows of the window; nothing is asked of them where the part says that all are."""
        if self.start is not None and not (part and part.first and part.first >= self.start):
            rows = rows.filter(pl.col("started_at") >= self.start)
        if self.end is not None and not (part and part.last and part.last < self.end):
            rows = rows.filter(pl.col("started_at") < self.end)
        return rows

    def _again(self, again: Sequence[Part], *, decided: bool) -> Iterator[pl.DataFrame]:
        """Cells of parts that rest on others, now that all can be asked; decided: some call states what it cost."""
        if not again:
            return
        voted = self._votes(again) if decided else None
        others = self.others._replace(files=self._files())
        if others.peers is None:
            others = others._replace(peers=self._peers(again, voted, others))
        yield from self._cells(enumerate(again), voted, others)

    def _decided(self, calls: pl.DataFrame, voted: pl.DataFrame | None) -> pl.DataFrame:
        """Calls read as the costs of all prove it."""
        priced = price(calls, self.book)
        return priced if voted is None else by_cost(priced, SOURCES.to_frame(), self.book, voted).calls

    def _votes(self, again: Sequence[Part]) -> pl.DataFrame:
        found = pl.concat(votes(price(self._rows(part), self.book), self.book) for part in again)
        return found.group_by("format", "provider").agg(pl.sum("inside", "beside"))

    def _files(self) -> pl.DataFrame:
        """The files that state in any row what was read from a cache."""
        read = [*FILES, "cache_read_tokens", "started_at"]
        found = [
            self._inside(parts.read(self.store, part, read)).drop_nulls("cache_read_tokens").select(FILES).unique()
            for part in self.opened
        ]
        return pl.concat(found).unique()

    def _peers(self, again: Sequence[Part], voted: pl.DataFrame | None, others: Others) -> pl.DataFrame:
        """The dearest calls of the tasks and models that a call without usage is compared with."""
        known = others._replace(peers=NO_PEERS.to_frame())
        key = ("task", pl.coalesce("model", "model_requested").alias("_model"))
        asked = pl.concat(
            trust(self._decided(self._rows(part), voted), self.book, known)
            .filter(by_others())
            .select(key)
            .drop_nulls("task")
            .unique()
            for part in again
        ).unique()
        found = [NO_PEERS.to_frame()]
        for part in self.opened if asked.height else ():
            wanted = (
                self._rows(part).with_columns(key[1]).join(asked, on=["task", "_model"], how="semi", nulls_equal=True)
            )
            found.append(dearest_calls(trust(self._decided(wanted.drop("_model"), voted), self.book, known)))
        return pl.concat(found).group_by("task", "_model").agg(pl.max("_peer"))

    def _span(self) -> tuple[datetime | None, datetime | None]:
        """The times of the first and the last row of the window."""
        found: list[tuple[datetime, datetime]] = []
        for part in self.opened:
            if part.first is None or part.last is None:
                continue
            first, last = part.first, part.last
            if (self.start and first < self.start) or (self.end and last >= self.end):
                times = self._inside(parts.read(self.store, part, ["started_at"]))["started_at"]
                low, high = times.min(), times.max()
                if not (isinstance(low, datetime) and isinstance(high, datetime)):
                    continue
                first, last = low, high
            found.append((first.astimezone(UTC), last.astimezone(UTC)))
        return min((a for a, _ in found), default=None), max((b for _, b in found), default=None)


def ahead(work: Callable[[Item], Done], items: Iterable[Item], threads: int) -> Iterator[tuple[Item, Done]]:
    """What becomes of each item, in order; as many are worked on at a time, and no more wait than that."""
    waiting: deque[tuple[Item, Future[Done]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) > threads:
                first, done = waiting.popleft()
                yield first, done.result()
        while waiting:
            first, done = waiting.popleft()
            yield first, done.result()


def _hinged(cells: pl.DataFrame) -> tuple[set[int], set[int], bool]:
    """Parts that rest on others, those that do if some call of them all states a cost, and whether one here does."""
    bits = {bit: ((pl.col("hinges") & bit) != 0).any() for bit in (1, 2, 4)}
    found = cells.group_by("part").agg(asked=bits[1] | bits[4], unsure=bits[2], stated=bits[4])
    asked = set(found.filter("asked")["part"])
    return asked, set(found.filter("unsure")["part"]) - asked, bool(found["stated"].any())


def _without(cells: pl.DataFrame, gone: set[int]) -> pl.DataFrame:
    return cells.filter(~pl.col("part").is_in(gone)) if gone else cells
