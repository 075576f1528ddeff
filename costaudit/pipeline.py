"""The stages in order: bytes -> requests -> attributed -> priced -> ledger -> findings -> audit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, time, timedelta, tzinfo
from pathlib import Path

import msgspec
import polars as pl
from msgspec.structs import replace

from costaudit import scratch
from costaudit.analyze import analyze, checked
from costaudit.attribute import Attributed, attribute
from costaudit.audit import UNDATED, Audit, Coverage, Fates, Prices, Window
from costaudit.config import Settings
from costaudit.errors import LogError, UsageError
from costaudit.ingest import REJECTS, Ingested, ingest
from costaudit.ingest import _store as store
from costaudit.ingest._aggregate import SKIPPED as AGGREGATE
from costaudit.ingest._files import UNDERSTOOD
from costaudit.kept import place
from costaudit.price.book import PriceBook
from costaudit.price.coverage import coverage
from costaudit.price.engine import price
from costaudit.price.exact import sum_usd
from costaudit.price.ledger import Ledger
from costaudit.price.readings import by_cost
from costaudit.price.spend import spend, spend_by
from costaudit.price.trust import NO_PEERS, Others, trust

__all__ = [
    "Loaded",
    "Progress",
    "audit",
    "audited",
    "cached",
    "checked",
    "load",
    "loaded",
    "prices",
    "requests",
]

Progress = Callable[
    [str, int, int], None
]  # file, its number, of how many; no file: all requests are read, their number
USUAL = ("task", "model", "tenant", "day")  # tables of every audit
PRICE = ("cost_usd", "price_status", "price_entry")
WHOLE_DAYS = timedelta(days=2)  # logs that span as much are shown as whole days, shorter ones to the minute


class Loaded(msgspec.Struct, frozen=True):
    """The calls of one window, priced and trusted, and how far they can be believed.

    calls  [schema.CALLS], one row a call, in order of `row`
    """

    calls: pl.DataFrame
    coverage: Coverage
    window: Window
    prices: Prices
    book: PriceBook


def audit(paths: Sequence[str], settings: Settings, progress: Progress | None = None) -> Audit:
    """Everything a report can say about the logs or the store at `paths`."""
    settings = checked(settings)
    return audited(load(paths, settings, progress), settings, paths)


def load(
    paths: Sequence[str], settings: Settings, progress: Progress | None = None, book: PriceBook | None = None
) -> Loaded:
    """The priced calls of the window that the settings ask for.

    book  prices to use; None: the ones the settings name
    Raises UsageError for a path that is not there, LogError where no request is left to judge.
    """
    return loaded(requests(paths, settings, progress), settings, paths, book)


def loaded(
    read: Ingested, settings: Settings, paths: Sequence[str], book: PriceBook | None = None, *, as_logged: bool = False
) -> Loaded:
    """The same for requests that are already read.

    as_logged  nobody looks for tasks, runs and tenants that the log does not name
    """
    inside, outside = split(read.requests, settings)
    if inside.is_empty():
        raise _nothing(paths, read)
    book = book or prices(settings)
    inside, refused = _possible(inside)
    said = (*refused, *_undated(read, settings, book))
    known = Attributed(inside) if as_logged else attribute(inside, settings)
    scratch.release()
    priced = price(known.requests, book, filed=True)
    told = by_cost(priced, read.sources, book)
    moved = told.calls if told.calls is priced else scratch.kept(told.calls, PRICE)
    others = unnamed(settings) if as_logged else Others()
    calls = trust(scratch.kept(moved.with_row_index("row"), ["row"]), book, others, filed=True)
    scratch.release()
    window = window_of(calls, settings)
    believed = coverage(
        calls,
        fates=_fates(read.fates, outside),
        sources=told.sources,
        sampled=read.sampled,
        notes=(*said, *read.notes, *known.notes),
    )
    return Loaded(
        calls, replace(believed, floor=settings.min_coverage, unread=read.unread), window, used(book, window), book
    )


def _possible(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """The requests without stated costs below nothing, which no call has, and a sentence that counts them."""
    below = (rows["cost_logged_usd"] < 0).fill_null(value=False)
    number = int(below.sum())
    if not number:
        return rows, []
    stated = pl.when(~below).then("cost_logged_usd").alias("cost_logged_usd")
    costs = "cost that the log states is" if number == 1 else "costs that the log states are"
    return rows.with_columns(stated), [f"{number:,} {costs} below zero and compared with nothing"]


def _undated(read: Ingested, settings: Settings, book: PriceBook) -> list[str]:
    """What calls without a time cost: they are in no window, and must not be lost without a word."""
    if settings.window == (None, None) or not read.requests["started_at"].null_count():
        return []
    from costaudit.report import _money as money

    whole = replace(settings, since=None, until=None)
    undated = replace(read, requests=read.requests.filter(pl.col("started_at").is_null()), notes=())
    calls = loaded(undated, whole, (), book, as_logged=True).calls.filter(~pl.col("rollup").fill_null(value=False))
    if calls.is_empty():
        return []
    unknown = int((calls["price_status"] == "unpriced").sum())
    more = f", {unknown:,} of them without a known price" if unknown else ""
    return [f"{money.plural(calls.height, 'call')} {UNDATED}: {money.usd(sum_usd(calls['cost_usd']))}{more}"]


def unnamed(settings: Settings) -> Others:
    """What calls say of each other while nobody has looked for tasks: with names of the user's own, nothing."""
    return Others(peers=NO_PEERS.to_frame() if settings.names_calls else None, named=False)


def audited(known: Loaded, settings: Settings, paths: Sequence[str], baseline: pl.DataFrame | None = None) -> Audit:
    """What the rules and the sums say about loaded calls.

    baseline  priced calls of the window before, where unit costs are compared with it
    """
    found = analyze(Ledger.of(known.calls, known.book, baseline, settings), settings)
    return Audit(
        window=known.window,
        prices=known.prices,
        coverage=known.coverage,
        spend=replace(
            spend(known.calls, known.book, tz=settings.tz),
            asked={name: spend_by(known.calls, name, tz=settings.tz) for name in settings.by if name not in USUAL},
        ),
        findings=found.findings,
        clean=found.clean,
        not_checked=found.not_checked,
        below_floor=found.below_floor,
        suppressed=found.suppressed,
        unshown=found.unshown,
        accepted=found.accepted,
        paths=tuple(str(path) for path in paths),
        range_usd=found.range_usd,
    )


def requests(
    paths: Sequence[str],
    settings: Settings,
    progress: Progress | None = None,
    only: Collection[str] | None = None,
) -> Ingested:
    """The requests at `paths`: log files, folders and globs in any mixture, or one store.

    only  columns that are needed, as in `ingest`; None: all
    """
    kept = only_store(paths)
    if kept is None:
        read = ingest(paths, columns=settings.columns, progress=progress, cache=cached(settings), only=only)
    else:
        held = store.window(kept, *settings.window)
        read = stored(held.requests, held.outside, held.outside_restated)
    if progress is not None:
        progress("", read.fates.requests, read.fates.requests)
    return read


def only_store(paths: Sequence[str]) -> str | None:
    """The store that the paths name, None for logs; UsageError for a store among other paths."""
    stores = [path for path in map(str, paths) if store.is_store(path)]
    if not stores:
        return None
    if len(paths) > 1:
        raise UsageError(
            f"{stores[0]} is a store: it cannot be read together with other paths",
            hint=f"merge the logs into it first: costaudit ingest LOGS --store {stores[0]}",
        )
    return stores[0]


def cached(settings: Settings) -> Path | None:
    """The folder of the ingest cache, if the settings want one."""
    return place(settings.cache_dir) if settings.cache else None


def stored(held: pl.DataFrame, outside: int = 0, outside_rollups: int = 0) -> Ingested:
    """The requests of a store as if they had just been read: every line of it is a request or a roll-up.

    outside  requests of parts that were not opened because the window cannot hold them
    """
    rolled = pl.col("rollup").fill_null(value=False)
    rollups = _restating(held)
    said = (
        held.lazy()
        .select("format", "convention", pl.col("source_file").alias("path"), requests=(~rolled).cast(pl.Int64))
        .group_by("path", "format", "convention")
        .agg(pl.col("requests").sum())
        .collect(engine="streaming")  # some calls at a time
    )
    sources = said.group_by("path", "format").agg(
        pl.col("requests").sum(), pl.col("convention").drop_nulls().sort().str.join(", ")
    )
    sources = sources.with_columns(
        convention=pl.col("convention").replace("", None), proof=pl.lit(None, pl.String)
    ).sort("path", "format")
    fates = Fates(
        lines=held.height + outside + outside_rollups,
        requests=held.height - rollups,
        rollups=rollups + outside_rollups,
        outside=outside,
    )
    return Ingested(held, fates, sources, REJECTS.to_frame())


def prices(settings: Settings) -> PriceBook:
    """The price book of the settings: the bundled one or a folder of the user's, with the user's overrides."""
    return PriceBook.of(settings)


def used(book: PriceBook, window: Window) -> Prices:
    """What the report says about a book: its age is counted to the end of the window."""
    stale = (window.end.date() - book.as_of).days if window.end else 0
    return Prices(book.as_of, book.sha256, max(0, stale), len(book.overrides))


def split(rows: pl.DataFrame, settings: Settings) -> tuple[pl.DataFrame, int]:
    """The requests of the window asked for, and how many are outside; one without a time is in no window."""
    start, end = settings.window
    if start is None and end is None:
        return rows, 0
    inside = pl.lit(value=True)
    if start is not None:
        inside &= (pl.col("started_at") >= start).fill_null(value=False)
    if end is not None:
        inside &= (pl.col("started_at") < end).fill_null(value=False)
    kept = _where(rows, inside)
    return kept, rows.height - _restating(rows) - kept.height + _restating(kept)


def _restating(rows: pl.DataFrame) -> int:
    return int(rows["rollup"].sum() or 0)


def _where(rows: pl.DataFrame, inside: pl.Expr) -> pl.DataFrame:
    """The rows for which it holds; no copy of them where they follow each other, as those of a store do."""
    places = rows.select(inside).to_series().arg_true()
    first, last = places.min(), places.max()
    if isinstance(first, int) and isinstance(last, int) and last - first + 1 == places.len():
        return rows.slice(first, places.len())
    return rows[places]


def window_of(calls: pl.DataFrame, settings: Settings) -> Window:
    """The window asked for; where an end is open, the whole days (or minutes) that hold the calls."""
    return window_over(calls["started_at"].min(), calls["started_at"].max(), settings)


def window_over(first: object, last: object, settings: Settings) -> Window:
    """The same from the times of the first and the last call; None: no call has one."""
    start, end = settings.window
    if isinstance(first, datetime) and isinstance(last, datetime):
        days = last - first >= WHOLE_DAYS
        start = start or _edge(first, settings.zone, days=days)
        end = end or _edge(last, settings.zone, days=days, after=1)
    return Window(start, end, settings.tz)


def _edge(when: datetime, zone: tzinfo, *, days: bool, after: int = 0) -> datetime:
    """The start of the day or minute that holds the moment, in the report's zone, or of the one `after` it."""
    if not days:
        return when.replace(second=0, microsecond=0) + timedelta(minutes=after)
    day = when.astimezone(zone).date() + timedelta(days=after)
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _fates(read: Fates, outside: int) -> Fates:
    return replace(read, requests=read.requests - outside, outside=read.outside + outside)


def outside_all(where: str, first: object, last: object) -> LogError:
    """That no call is in the window asked for; `first` and `last` are the times of the calls there are."""
    span = "has no times"
    if isinstance(first, datetime) and isinstance(last, datetime):
        span = f"runs from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"
    return LogError(f"{where}: no request in the window asked for", hint=f"the log {span}")


def _nothing(paths: Sequence[str], read: Ingested) -> LogError:
    from costaudit.report import _money as money

    where = ", ".join(map(str, paths))
    if read.requests.height:
        return outside_all(where, read.requests["started_at"].min(), read.requests["started_at"].max())
    said = [f"{number:,} {why}" for why, number in [*read.fates.rejects.items(), *read.fates.skipped.items()]]
    hint = f"`costaudit doctor PATH` says what each file is missing; {UNDERSTOOD}"
    if AGGREGATE in read.fates.skipped:
        hint = "an export of usage or costs is compared with logs: costaudit reconcile LOGS --against FILE"
    elif told := [note for note in read.notes if "`columns: {" in note]:
        hint = told[0]
    return LogError(
        f"{where}: no request among {money.plural(read.fates.lines, 'record')}: {', '.join(said) or 'all blank'}",
        hint=hint,
    )
