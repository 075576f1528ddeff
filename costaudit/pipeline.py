"""The stages in order: bytes -> requests -> attributed -> priced -> ledger -> findings -> audit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from costaudit.analyze import analyze, checked, chosen
from costaudit.attribute import attribute
from costaudit.audit import Audit, Coverage, Fates, Prices, Window
from costaudit.config import Settings
from costaudit.data import bundled
from costaudit.errors import LogError, UsageError
from costaudit.ingest import Ingested, ingest
from costaudit.ingest import _store as store
from costaudit.ingest._cache import place
from costaudit.ingest._original import original
from costaudit.price.book import PriceBook
from costaudit.price.engine import price
from costaudit.price.ledger import Ledger
from costaudit.price.overrides import parse_overrides
from costaudit.price.readings import by_cost
from costaudit.price.spend import spend, spend_by
from costaudit.price.trust import coverage, trust

if TYPE_CHECKING:  # what one command alone needs is imported in its stage: an audit starts without it
    from costaudit.plan import Plan
    from costaudit.prompts import Difference, Parting
    from costaudit.reconciliation import Reconciliation
    from costaudit.routes import Route
    from costaudit.scenario import Change, Scenario
    from costaudit.timeline import Timeline
    from costaudit.verdict import Month

__all__ = [
    "Loaded",
    "Progress",
    "asked",
    "audit",
    "audited",
    "cached",
    "checked",
    "load",
    "loaded",
    "original",
    "parting",
    "planned",
    "prices",
    "reconciled",
    "request_rows",
    "requests",
    "reviewed",
    "routes",
    "run",
    "simulated",
]

Progress = Callable[[str, int, int], None]  # file, its number, of how many
HISTORY = timedelta(days=182)  # before a month that make its forecast: half a year
USUAL = ("task", "model", "tenant", "day")  # tables of every audit
WHOLE_DAYS = timedelta(days=2)  # logs that span as much are shown as whole days, shorter ones to the minute


@dataclass(frozen=True, slots=True)
class Loaded:
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


def loaded(read: Ingested, settings: Settings, paths: Sequence[str], book: PriceBook | None = None) -> Loaded:
    """The same for requests that are already read."""
    inside, outside = split(read.requests, settings)
    if inside.is_empty():
        raise _nothing(paths, read)
    book = book or prices(settings)
    known = attribute(inside, settings)
    told = by_cost(price(known.requests, book), read.sources, book)
    calls = trust(told.calls.with_row_index("row"), book)
    window = window_of(calls, settings)
    believed = coverage(
        calls, fates=_fates(read.fates, outside), sources=told.sources, notes=(*read.notes, *known.notes)
    )
    return Loaded(calls, replace(believed, floor=settings.min_coverage), window, used(book, window), book)


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


def simulated(known: Loaded, settings: Settings, changes: Sequence[Change]) -> Scenario:
    """Loaded calls as they would have been with some changes.

    Raises UsageError for a change of something that is not there.
    """
    from costaudit.analyze._scenario import replay
    from costaudit.scenario import Scenario, known_tasks

    settings = checked(settings)
    known_tasks(changes, [str(task) for task in known.calls["task"].drop_nulls().unique().sort()])
    done = replay(Ledger.of(known.calls, known.book, settings=settings), changes, chosen(settings))
    total = known.calls["cost_usd"].sum()
    return Scenario(
        window=known.window,
        prices=known.prices,
        coverage=known.coverage,
        before_usd=total if isinstance(total, Decimal) else Decimal(0),
        after_usd=done.usd[0],
        low_usd=min(done.usd),
        high_usd=max(done.usd),
        steps=done.steps,
        by_task=done.by_task,
        by_model=done.by_model,
        unseen=known.calls.filter(pl.col("cost_usd").is_null() & ~pl.col("rollup").fill_null(value=False)).height,
    )


def run(known: Loaded, settings: Settings, wanted: str) -> Timeline:
    """One run of loaded calls, step by step, with what the rules say of it; UsageError where there is none."""
    from costaudit.analyze import _timeline

    settings = checked(settings)
    ledger = Ledger.of(known.calls, known.book, settings=settings)
    return _timeline.timeline(ledger, wanted, chosen(settings), known.window)


def routes(known: Loaded, settings: Settings, paths: Sequence[str], accept: Sequence[str]) -> list[Route]:
    """Which model serves which task once the accepted findings of loaded calls are acted on."""
    from costaudit.analyze import _routes

    findings = _routes.accepted(audited(known, settings, paths).findings, accept)
    return _routes.routes(known.calls, findings, settings.budgets)


def asked(known: Loaded, query: str) -> pl.DataFrame:
    """The answer of an SQL query over the table `calls`; UsageError where polars does not understand it."""
    calls = known.calls.lazy().filter(~pl.col("rollup").fill_null(value=False))
    try:
        return pl.SQLContext(calls=calls).execute(query, eager=True)
    except (pl.exceptions.PolarsError, ValueError, TypeError) as problem:
        first = str(problem).strip().splitlines()
        hint = "the table is `calls`; its columns are in docs/schema.md"
        raise UsageError(
            f"the query cannot be answered: {first[0] if first else type(problem).__name__}", hint=hint
        ) from None


def request_rows(known: Loaded, wanted: str) -> pl.DataFrame:
    """The calls of one request id [schema.CALLS]: one, or its billed parts; UsageError where there is none."""
    exact = known.calls.filter(pl.col("request_id") == wanted)
    rows = (
        exact if exact.height else known.calls.filter(pl.col("request_id").str.starts_with(wanted)) if wanted else exact
    )
    if rows.is_empty():
        raise UsageError(
            f"no request {wanted!r} in these logs", hint="`costaudit show run RUN PATH` lists those of a run"
        )
    if (ids := rows["request_id"].unique().sort()).len() > 1:
        raise UsageError(f"{ids.len():,} requests begin with {wanted!r}", hint=f"they are: {', '.join(ids.head(5))}")
    return rows


def parting(known: Loaded, subject: Mapping[str, str]) -> Parting | None:
    """Where the prompts of a finding's task and model part."""
    from costaudit.analyze import _prompts

    calls = known.calls.filter(~pl.col("rollup").fill_null(value=False))
    for name in ("task", "model"):
        if name in subject:
            calls = calls.filter(pl.col(name) == subject[name])
    return _prompts.parting(calls)


def difference(found: Parting) -> Difference | None:
    """The characters at which two calls part, read from their logs; LogError where a log has gone."""
    from costaudit.ingest._original import difference as differing

    sides = [original(place.source_file, place.source_line) for place in (found.before, found.after)]
    return differing(*sides)


def reviewed(read: Ingested, settings: Settings, paths: Sequence[str], month: date, compared: date) -> Month:
    """The review of a month of requests that are already read, against another month.

    Raises LogError where the month has no request.
    """
    from costaudit.analyze.budget_overrun import standing
    from costaudit.compare import month as months

    now, then = (replace(settings, since=day, until=months.following(day)) for day in (month, compared))
    known = loaded(read, now, paths)
    earlier = _loaded_if_any(read, then, paths, known.book)
    older = [
        part.calls
        for start, end in _around(month - HISTORY, month, compared, months.following(compared))
        if (part := _loaded_if_any(read, replace(settings, since=start, until=end), paths, known.book))
    ]
    before = earlier.calls if earlier and compared < month else None
    past = [*older, before] if before is not None else older
    columns = known.calls.columns
    return months.review(
        audited(known, now, paths, earlier.calls if earlier else None),
        known.calls,
        earlier.calls if earlier else None,
        known.book,
        month=month,
        compared=compared,
        zone=settings.zone,
        before_share=earlier.coverage.share if earlier else None,
        before_audit=audited(earlier, then, paths) if earlier else None,
        history=pl.concat([months.days_of(calls, settings.zone) for calls in past]) if past else None,
        budgets=standing(
            settings.budgets,
            pl.concat([*(calls.select(columns) for calls in past), known.calls]),
            settings.zone,
            month,
            months.following(month),
        )
        if settings.budgets
        else None,
        level=settings.forecast.interval,
    )


def _loaded_if_any(read: Ingested, settings: Settings, paths: Sequence[str], book: PriceBook) -> Loaded | None:
    """The same as `loaded`; None where nothing of that window is in the logs."""
    try:
        return loaded(read, settings, paths, book)
    except LogError:
        return None


def _around(start: date, end: date, gap_start: date, gap_end: date) -> list[tuple[date, date]]:
    """What is left of the days [start, end) without [gap_start, gap_end)."""
    parts = [(start, min(end, gap_start)), (max(start, gap_end), end)]
    return [(a, b) for a, b in parts if a < b]


def planned(known: Loaded, settings: Settings, target: Decimal | None = None) -> Plan:
    """The plan for the growth that the settings name, from loaded calls."""
    from costaudit.analyze._plan import plan

    return plan(
        known.calls,
        known.book,
        settings,
        window=known.window,
        prices=known.prices,
        coverage=known.coverage,
        target=target,
    )


def reconciled(known: Loaded, exports: Sequence[str]) -> Reconciliation:
    """Loaded calls against usage or cost exports; LogError for a file that is none."""
    from costaudit.compare.reconcile import compare as compare_exports
    from costaudit.ingest._aggregate import read as read_export
    from costaudit.ingest._files import walk
    from costaudit.reconciliation import BUCKET, Reconciliation

    read = [(file.shown, *read_export(file)) for file in walk(exports)]
    buckets = pl.concat([BUCKET.to_frame(), *(rows for _, rows, _ in read)])
    if buckets.is_empty():
        raise LogError(f"{', '.join(exports)}: the exports hold no use at all", hint="ask for a period with traffic")
    done = compare_exports(known.calls, buckets, known.book)
    cells = done.frame()
    sums = [
        total if isinstance(total := cells[name].sum(), Decimal) else Decimal(0) for name in ("logs_usd", "export_usd")
    ]
    first, last = buckets["start"].min(), buckets["end"].max()
    window = (
        Window(first, last, known.window.tz)
        if isinstance(first, datetime) and isinstance(last, datetime)
        else known.window
    )
    bad = [f"{name}: {len(why):,} lines not read, the first: {why[0]}" for name, _, why in read if why]
    return Reconciliation(
        window=window,
        prices=known.prices,
        coverage=known.coverage,
        exports=tuple(name for name, _, _ in read),
        billed=buckets["usd"].null_count() < buckets.height,
        logs_usd=sums[0],
        export_usd=sums[1],
        cells=cells,
        outside=done.outside,
        unpriced_calls=known.calls.filter(pl.col("price_status") == "unpriced").height,
        unpriced_buckets=done.unpriced_buckets,
        notes=(*bad, *done.notes),
    )


def requests(paths: Sequence[str], settings: Settings, progress: Progress | None = None) -> Ingested:
    """The requests at `paths`: log files, folders and globs in any mixture, or one store."""
    stores = [path for path in map(Path, paths) if store.is_store(path)]
    if not stores:
        return ingest(paths, columns=settings.columns, progress=progress, cache=cached(settings))
    if len(paths) > 1:
        raise UsageError(
            f"{stores[0]} is a store: it cannot be read together with other paths",
            hint=f"merge the logs into it first: costaudit ingest LOGS --store {stores[0]}",
        )
    held = store.window(stores[0], *settings.window)
    return stored(held.requests, held.outside, held.outside_restated)


def cached(settings: Settings) -> Path | None:
    """The folder of the ingest cache, if the settings want one."""
    return place(settings.cache_dir) if settings.cache else None


def stored(held: pl.DataFrame, outside: int = 0, outside_rollups: int = 0) -> Ingested:
    """The requests of a store as if they had just been read: every line of it is a request or a roll-up.

    outside  requests of parts that were not opened because the window cannot hold them
    """
    rolled = pl.col("rollup").fill_null(value=False)
    rollups = held.filter(rolled).height
    sources = held.group_by(pl.col("source_file").alias("path"), "format").agg(
        (~rolled).sum().cast(pl.Int64).alias("requests"),
        pl.col("convention").drop_nulls().unique().sort().str.join(", "),
    )
    sources = sources.with_columns(
        convention=pl.col("convention").replace("", None), proof=pl.lit(None, pl.String)
    ).sort("path", "format")
    rejects = pl.DataFrame(schema={"source_file": pl.String, "source_line": pl.Int64, "reason": pl.String})
    fates = Fates(
        lines=held.height + outside + outside_rollups,
        requests=held.height - rollups,
        rollups=rollups + outside_rollups,
        outside=outside,
    )
    return Ingested(held, fates, sources, rejects)


def prices(settings: Settings) -> PriceBook:
    """The price book of the settings: the bundled one or a folder of the user's, with the user's overrides."""
    return PriceBook.load(settings.prices_dir or bundled("pricing"), overrides=parse_overrides(settings.prices))


def used(book: PriceBook, window: Window) -> Prices:
    """What the report says about a book: its age is counted to the end of the window."""
    stale = (window.end.date() - book.as_of).days if window.end else 0
    return Prices(book.as_of, book.sha256, max(0, stale), len(book.overrides))


def split(rows: pl.DataFrame, settings: Settings) -> tuple[pl.DataFrame, int]:
    """The requests of the window asked for, and how many are outside; one without a time is in no window."""
    start, end = settings.window
    inside = pl.lit(value=True)
    if start is not None:
        inside &= (pl.col("started_at") >= start).fill_null(value=False)
    if end is not None:
        inside &= (pl.col("started_at") < end).fill_null(value=False)
    kept = rows.filter(inside)
    rolled = pl.col("rollup").fill_null(value=False)
    return kept, rows.filter(~rolled).height - kept.filter(~rolled).height


def window_of(calls: pl.DataFrame, settings: Settings) -> Window:
    """The window asked for; where an end is open, the whole days (or minutes) that hold the calls."""
    start, end = settings.window
    first, last = calls["started_at"].min(), calls["started_at"].max()
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


def _nothing(paths: Sequence[str], read: Ingested) -> LogError:
    where = ", ".join(map(str, paths))
    if read.requests.height:
        first, last = read.requests["started_at"].min(), read.requests["started_at"].max()
        span = "has no times"
        if isinstance(first, datetime) and isinstance(last, datetime):
            span = f"runs from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"
        return LogError(f"{where}: no request in the window asked for", hint=f"the log {span}")
    said = [f"{number:,} {why}" for why, number in [*read.fates.rejects.items(), *read.fates.skipped.items()]]
    return LogError(
        f"{where}: no request among {read.fates.lines:,} records: {', '.join(said) or 'all blank'}",
        hint="`costaudit doctor PATH` says what each file is missing; `costaudit formats` lists what is understood",
    )
