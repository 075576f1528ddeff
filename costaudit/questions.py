"""What is asked of loaded calls: a month, a plan, a run, a request, a change, a bill, a query."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl
from msgspec.structs import replace

from costaudit.analyze import checked, chosen
from costaudit.audit import Window
from costaudit.config import Settings
from costaudit.errors import LogError, UsageError
from costaudit.ingest import Ingested
from costaudit.ingest._original import original
from costaudit.pipeline import Loaded, audited, loaded
from costaudit.price.book import PriceBook
from costaudit.price.exact import sum_usd
from costaudit.price.ledger import Ledger

if TYPE_CHECKING:  # what one question alone needs is imported in it: a command starts without the others
    from costaudit.plan import Plan
    from costaudit.prompts import Difference, Parting
    from costaudit.reconciliation import Reconciliation
    from costaudit.routes import Route
    from costaudit.scenario import Change, Scenario
    from costaudit.timeline import Timeline
    from costaudit.verdict import Month

__all__ = [
    "asked",
    "difference",
    "original",
    "parting",
    "planned",
    "reconciled",
    "request_rows",
    "reviewed",
    "routes",
    "run",
    "simulated",
]

SELECT = re.compile(r"[\s(]*(select|with|from|values|show|explain|--|/\*)", re.IGNORECASE)
NO_COLUMN = re.compile(r'column "([^"]+)"')
HISTORY = timedelta(days=182)  # before a month that make its forecast: half a year


def simulated(known: Loaded, settings: Settings, changes: Sequence[Change]) -> Scenario:
    """Loaded calls as they would have been with some changes.

    Raises UsageError for a change of something that is not there.
    """
    from costaudit.analyze._scenario import replay
    from costaudit.scenario import Scenario, known_tasks

    settings = checked(settings)
    known_tasks(changes, [str(task) for task in known.calls["task"].drop_nulls().unique().sort()])
    done = replay(Ledger.of(known.calls, known.book, settings=settings), changes, chosen(settings))
    return Scenario(
        window=known.window,
        prices=known.prices,
        coverage=known.coverage,
        before_usd=sum_usd(known.calls["cost_usd"]),
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
        answer = pl.SQLContext(calls=calls).execute(query, eager=True)
    except (pl.exceptions.PolarsError, ValueError, TypeError) as problem:
        said = (str(problem).strip().splitlines() or [type(problem).__name__])[0].partition("; valid columns: ")[0]
        lacks = NO_COLUMN.search(said)
        near = difflib.get_close_matches(lacks[1], known.calls.columns, n=1) if lacks else []
        hint = "the table is `calls`; its columns are in docs/schema.md"
        hint = f"did you mean {near[0]}? {hint}" if near else hint
        raise UsageError(f"the query cannot be answered: {said}", hint=hint) from None
    if not answer.width or not SELECT.match(query):
        raise UsageError("the query asks for nothing", hint="a query begins with SELECT or WITH; the table is `calls`")
    return answer


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


def reviewed(
    read: Ingested, settings: Settings, paths: Sequence[str], month: date, compared: date, exports: Sequence[str] = ()
) -> Month:
    """The review of a month of requests that are already read, against another month.

    exports  usage or cost exports of the provider, of which the buckets of the month are compared with its calls
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
    reviewed = months.review(
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
    return replace(reviewed, bill=reconciled(known, exports, within=known.window)) if exports else reviewed


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


def reconciled(known: Loaded, exports: Sequence[str], within: Window | None = None) -> Reconciliation:
    """Loaded calls against usage or cost exports; LogError for a file that is none.

    within  only buckets that begin in this window, and those without a time
    """
    from costaudit.compare.reconcile import compare as compare_exports
    from costaudit.ingest._aggregate import read as read_export
    from costaudit.ingest._files import nothing, walk
    from costaudit.reconciliation import BUCKET, Reconciliation

    read = [(file.shown, *read_export(file)) for file in walk(exports)]
    if not read:
        raise nothing(exports)
    buckets = pl.concat([BUCKET.to_frame(), *(rows for _, rows, _ in read)])
    buckets, left = _begun(buckets, within)
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
        notes=(*bad, *left, *done.notes),
    )


def _begun(buckets: pl.DataFrame, within: Window | None) -> tuple[pl.DataFrame, list[str]]:
    """The buckets that begin in a window, and what to say of the others."""
    if within is None or within.start is None or within.end is None:
        return buckets, []
    begins = pl.col("start").is_between(within.start, within.end, closed="left").fill_null(value=True)
    kept, left = buckets.filter(begins), buckets.filter(~begins).height
    across = (
        kept.filter(pl.col("end") > within.end).height
        + buckets.filter(~begins & (pl.col("start") < within.start) & (pl.col("end") > within.start)).height
    )
    notes = []
    if left:
        begin, are = ("bucket of the exports begins", "is") if left == 1 else ("buckets of the exports begin", "are")
        notes.append(f"{left:,} {begin} outside the month and {are} left out")
    if across:
        cross = "bucket crosses" if across == 1 else "buckets cross"
        notes.append(f"{across:,} {cross} the edge of the month: ask for days in the time zone {within.tz}")
    return kept, notes
