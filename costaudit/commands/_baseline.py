"""What `check` compares with: a committed file, logs, a store, or the days before the candidate's own window."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from costaudit.errors import CostAuditError, UsageError

if TYPE_CHECKING:
    from costaudit.compare.side import Side
    from costaudit.config import Settings
    from costaudit.ingest import Ingested
    from costaudit.ingest._streams import Read
    from costaudit.pipeline import Loaded, Progress

LAST_DAYS = re.compile(r"last-([1-9]\d{0,3})d")


class Volume(msgspec.Struct, frozen=True):
    """What a month is worth: units of each task in it, the floor of findings at its spend, where both come from."""

    units: dict[str, float] | None = None
    floor_usd: Decimal = Decimal(0)
    name: str = ""


class Base(msgspec.Struct, frozen=True):
    """The baseline, the day whose prices both sides pay, and the volume of a month where the baseline holds it.

    unread  what of it could not be read, each a sentence
    """

    side: Side | None = None
    day: date | None = None
    volume: Volume = Volume()
    unread: tuple[str, ...] = ()


class Finder(msgspec.Struct, frozen=True):
    """Finds the baseline of a candidate.

    read, head  the candidate's requests before its window was cut out, and its calls
    window      of the baseline, where it was asked for: first moment in, first moment out
    """

    candidate: Sequence[str]
    read: Ingested
    head: Loaded
    settings: Settings
    window: tuple[date | datetime | None, date | datetime | None] = (None, None)
    show: Progress | None = None

    def find(self, given: str | None, *, required: bool) -> Base:
        """No baseline where none was named; a path that is not there is a mistake, or a missing baseline (exit 3)."""
        from costaudit.compare.baseline import loads
        from costaudit.compare.side import last_day

        day = last_day(self.head.calls)
        if given is None:
            return Base(day=day)
        if days := LAST_DAYS.fullmatch(given):
            return self._before(given, timedelta(days=int(days[1])), day)
        if not _is_there(given):
            raise _missing(given, required=required)
        if saved := _saved(Path(given)):
            if any(self.window):
                raise UsageError(
                    f"{given} is a saved baseline: it has its own window", hint="leave --baseline-since out"
                )
            side = loads(saved.data, given, saved.problem)
            return Base(side, side.priced_on)
        if self._same(given) and not any(self.window):
            return self._before(given, None, day)
        return self._logs(given, day)

    def _same(self, given: str) -> bool:
        return [Path(path).resolve() for path in self.candidate] == [Path(given).resolve()]

    def _before(self, given: str, span: timedelta | None, day: date | None) -> Base:
        """The candidate's own logs before its window: their volume is what a month of production holds."""
        start, _ = self.settings.window
        if start is None:
            what = "it is the days before" if span else "else the candidate would be compared with itself"
            raise UsageError(f"--baseline {given} needs --since: {what}", hint="e.g. --since 2026-11-01")
        earlier = replace(self.settings, since=start - span if span else None, until=start)
        loaded = self._earlier(earlier)
        name = given if span else f"{given} before {start:%Y-%m-%d}"
        return Base(
            _measured(loaded, name, day), day, volume(loaded, self.settings, name), unread=loaded.coverage.unread
        )

    def _earlier(self, settings: Settings) -> Loaded:
        """The candidate's own logs in another window. Of a store only the parts of the candidate's window were read."""
        from costaudit import pipeline
        from costaudit.ingest import _store as store

        kept = any(store.is_store(path) for path in self.candidate)
        read = pipeline.requests(self.candidate, settings, self.show) if kept else self.read
        return pipeline.loaded(read, settings, self.candidate, self.head.book)

    def _logs(self, given: str, day: date | None) -> Base:
        from costaudit import pipeline
        from costaudit.ingest import _store as store

        since, until = self.window
        earlier = replace(self.settings, since=since, until=until)
        if self._same(given):
            loaded = self._earlier(earlier)
        else:
            loaded = pipeline.load([given], earlier, self.show, self.head.book)
        produced = store.is_store(given) or any(self.window)
        worth = volume(loaded, self.settings, given) if produced else Volume()
        return Base(_measured(loaded, given, day), day, worth, unread=loaded.coverage.unread)


def volume(loaded: Loaded, settings: Settings, name: str) -> Volume:
    """The volume of a month from the calls of a window, scaled to 30.4 days."""
    from costaudit.compare.side import DAYS_OF_MONTH, month_units
    from costaudit.price.exact import sum_usd

    start, end = loaded.window.start, loaded.window.end
    if start is None or end is None:
        return Volume()
    days = max((end - start).total_seconds() / 86_400, 1.0)
    total = sum_usd(loaded.calls["cost_usd"])
    floor = settings.floor(total * DAYS_OF_MONTH / Decimal(days))
    return Volume(month_units(loaded.calls, days), floor, f"{name}, {days:.3g} days")


def _measured(loaded: Loaded, name: str, day: date | None) -> Side:
    from costaudit.compare.side import measure

    return measure(loaded.calls, loaded.book, name=name, window=loaded.window, coverage=loaded.coverage.share, on=day)


def _saved(path: Path) -> Read | None:
    """The text of a saved baseline, however a shell or a tool has recoded or packed it since; None for other files."""
    from costaudit.compare import baseline as files
    from costaudit.ingest import _streams as streams

    if not path.is_file():
        return None
    with suppress(OSError), closing(streams.open_log(path)) as packed:
        stream: streams.Stream = packed
        head = streams.head_of(stream)
        if head.data.startswith(streams.UTF16):
            stream = streams.Recoded(head, stream)
            head = streams.head_of(stream)
        head = head._replace(data=head.data.removeprefix(BOM_UTF8))
        if files.is_baseline(head.data):
            return streams.head_and_rest(head, stream, files.MAX_BYTES + 1)
    return None  # what cannot be read is told as a log


def _is_there(given: str) -> bool:
    if given == "-" or Path(given).exists():
        return True
    if not any(c in given for c in "*?["):
        return False
    path = Path(given)
    return any(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor))))


def _missing(given: str, *, required: bool) -> CostAuditError:
    hint = "the days before the window are written last-28d" if given.startswith("last") else ""
    hint = hint or "save one: costaudit baseline save PATH... -o FILE; without any, leave --baseline out"
    if required:
        return CostAuditError(f"the baseline {given} is not there, and one is required", hint=hint)
    return UsageError(f"the baseline {given} is not there", hint=hint)
