"""Totals of a store: from the sums of its parts where they say it, else from the few columns that the question needs.

A part is judged by itself as far as it can be. What rests on rows of other parts (`trust.hinges`) is judged anew, part
by part, once all have been seen. So memory holds one part, and the figures are those of all rows in one table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from costaudit import schema
from costaudit.audit import Fates
from costaudit.config import Settings
from costaudit.errors import LogError
from costaudit.ingest import SOURCES
from costaudit.ingest import _parts as parts
from costaudit.ingest._parts import Part
from costaudit.pipeline import outside_all, unnamed
from costaudit.price import engine, sums
from costaudit.price import trust as trusting
from costaudit.price.book import PriceBook
from costaudit.price.cells import KIND, SUMMED, TOKENS, cells
from costaudit.price.engine import price
from costaudit.price.readings import by_cost, votes
from costaudit.price.trust import NO_PEERS, Others, dearest_calls, hinges, trust

READ = tuple(
    dict.fromkeys(
        name
        for name in (*engine.READS, *trusting.READS, *TOKENS, "cost_logged_usd", "started_at")
        if name in schema.REQUESTS
    )
)
FILES = ("format", "source_file")
SUMMED_BY = ("day", "task")  # what sums are kept by, beside provider and model


class Held(NamedTuple):
    """The calls of a window as cells, what became of all rows, and the times of the first and the last one."""

    cells: pl.DataFrame
    fates: Fates
    first: datetime | None
    last: datetime | None


def held(store: Path, settings: Settings, names: Sequence[str], book: PriceBook) -> Held:
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
        self, store: Path, found: Sequence[Part], settings: Settings, names: tuple[str, ...], book: PriceBook
    ) -> None:
        self.store, self.all, self.settings, self.names, self.book = store, found, settings, names, book
        self.start, self.end = settings.window
        self.opened = [part for part in found if part.within(self.start, self.end)]
        self.others = unnamed(settings)
        if not self.opened:
            first, last = ({part.first for part in found} - {None}, {part.last for part in found} - {None})
            raise outside_all(str(store), min(first, default=None), max(last, default=None))  # type: ignore[type-var]

    def held(self) -> Held:
        known = [self._first(part) for part in self.opened]
        hinged = sorted({bits for frame in known for bits in frame["hinges"].unique()})
        # Costs that no call states decide nothing.
        bits = 7 if any(n & 4 for n in hinged) else 1
        open_ = [((frame["hinges"] & bits) != 0).any() for frame in known]
        again = [part for part, rests in zip(self.opened, open_, strict=True) if rests]
        settled = [frame for frame, rests in zip(known, open_, strict=True) if not rests]
        found = pl.concat([self._empty(), *(f.drop("hinges") for f in settled), *self._again(again, bits)])
        summed = found.group_by(*self.names, *KIND).agg(pl.sum(*SUMMED))
        calls = int(summed["requests"].sum())
        rows = sum(part.rows for part in self.all)
        restated = sum(part.restated for part in self.all)
        fates = Fates(lines=rows, requests=calls, rollups=restated, outside=rows - restated - calls)
        return Held(summed, fates, *self._span())

    def _empty(self) -> pl.DataFrame:
        made: dict[str, Any] = {"day": pl.Date(), "hour": pl.Datetime("us"), "trust": pl.String()}
        columns = {name: made.get(name) or schema.REQUESTS[name] for name in (*self.names, *KIND)}
        return pl.DataFrame(schema=columns | dict(SUMMED))

    def _first(self, part: Part) -> pl.DataFrame:
        """Cells of a part, those that rest on something else apart (`hinges`)."""
        quick = self._sums(part)
        if quick is not None:
            return quick.group_by(*self.names, *KIND, "hinges").agg(pl.sum(*SUMMED))
        trusted = trust(price(self._rows(part), self.book), self.book, Others(named=False))
        hinged = trusted.with_columns(hinges(trusted))
        return cells(hinged, self.book, (*self.names, "hinges"), self.settings.tz)

    def _sums(self, part: Part) -> pl.DataFrame | None:
        """The sums of a part within the window; None where they do not say what is asked, or at other prices."""
        days = "day" not in self.names or self.settings.tz == "UTC"
        if not (days and set(self.names) <= set(SUMMED_BY) and part.stamp == sums.stamp(self.book)):
            return None
        if not all(edge is None or edge.time() == time() for edge in (self.start, self.end)):
            return None
        found = parts.read_sums(self.store, part)
        if found is None:
            return None
        if self.start is not None:
            found = found.filter(pl.col("day") >= self.start.date())
        return found if self.end is None else found.filter(pl.col("day") < self.end.date())

    def _rows(self, part: Part, also: Sequence[str] = ()) -> pl.DataFrame:
        """The rows of a part within the window, as few columns of them as are read."""
        return self._inside(parts.read(self.store, part, self._columns(also)))

    def _columns(self, also: Sequence[str] = ()) -> list[str]:
        return list(dict.fromkeys((*READ, *(name for name in (*self.names, *also) if name in schema.REQUESTS))))

    def _inside(self, rows: pl.DataFrame) -> pl.DataFrame:
        if self.start is not None:
            rows = rows.filter(pl.col("started_at") >= self.start)
        return rows if self.end is None else rows.filter(pl.col("started_at") < self.end)

    def _again(self, again: Sequence[Part], bits: int) -> Iterator[pl.DataFrame]:
        """Cells of parts that rest on others, now that all can be asked."""
        if not again:
            return
        voted = self._votes(again) if bits & 4 else None
        others = self.others._replace(files=self._files())
        if others.peers is None:
            others = others._replace(peers=self._peers(again, voted, others))
        for part in again:
            yield cells(trust(self._priced(part, voted), self.book, others), self.book, self.names, self.settings.tz)

    def _priced(self, part: Part, voted: pl.DataFrame | None) -> pl.DataFrame:
        calls = price(self._rows(part), self.book)
        return calls if voted is None else by_cost(calls, SOURCES.to_frame(), self.book, voted).calls

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
        alone = pl.col("high_usd").is_null() & pl.col("trust").is_in(["unmetered", "estimated"])
        key = ("task", pl.coalesce("model", "model_requested").alias("_model"))
        asked = pl.concat(
            trust(self._priced(part, voted), self.book, known).filter(alone).select(key).drop_nulls("task").unique()
            for part in again
        ).unique()
        found = [NO_PEERS.to_frame()]
        for part in self.opened if asked.height else ():
            rows = self._priced(part, voted)
            wanted = rows.with_columns(key[1]).join(asked, on=["task", "_model"], how="semi", nulls_equal=True)
            found.append(dearest_calls(trust(wanted.drop("_model"), self.book, known)))
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
