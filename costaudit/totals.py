"""What was spent, without a rule being run: the question that a total or a few tables answer."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from msgspec.structs import replace

from costaudit import pipeline
from costaudit.audit import UNDATED, Coverage, Prices, Window
from costaudit.config import BY, Settings, unknown
from costaudit.ingest import SOURCES
from costaudit.ingest._streams import STDIN
from costaudit.price.book import PriceBook
from costaudit.price.cells import added, cells, covered, keys, table
from costaudit.price.exact import sum_usd
from costaudit.price.linear import READ
from costaudit.price.trust import bounded_by_others
from costaudit.schema import REQUESTS
from costaudit.spent import Spent
from costaudit.stored import Held, held
from costaudit.words import plural

USUAL = (("model",), ("day",))


def groupings(asked: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Tables as they are asked for: `day,model` is one table by both; ConfigError for a name there is not."""
    tables = tuple(dict.fromkeys(tuple(dict.fromkeys(part.strip() for part in one.split(","))) for one in asked))
    for name in (name for by in tables for name in by):
        if name not in BY:
            raise unknown("grouping", name, BY, "--by")
    return tables


def spent(
    paths: Sequence[str],
    settings: Settings,
    by: Sequence[Sequence[str]] = USUAL,
    progress: pipeline.Progress | None = None,
) -> Spent:
    """The total and the tables `by` of the logs or the store at `paths`, and how far they can be believed.

    Raises UsageError for a path that is not there, LogError where no request is left.
    """
    kept = pipeline.only_store(paths)
    if kept is not None and not _attributed(by, settings, stored=True):
        book = pipeline.prices(settings)
        found = held(kept, settings, keys(by), book)
        if "task" not in found.cells.lacking:
            return _of_store(found, by, settings, paths, book)
    return answered(_calls(paths, settings, by, progress), by, settings, paths)


def _of_store(
    found: Held, by: Sequence[Sequence[str]], settings: Settings, paths: Sequence[str], book: PriceBook
) -> Spent:
    window = pipeline.window_over(found.first, found.last, settings)
    kinds, rows = added(found.cells.pieces(), by)
    notes = (f"{plural(found.undated, 'call')} {UNDATED}",) if found.undated else ()
    coverage = replace(covered(kinds, found.fates, SOURCES.to_frame()), floor=settings.min_coverage, notes=notes)
    return _spent(kinds, rows, by, window, pipeline.used(book, window), coverage, paths, found.stale)


def _spent(
    kinds: pl.DataFrame,
    rows: Sequence[pl.DataFrame],
    by: Sequence[Sequence[str]],
    window: Window,
    prices: Prices,
    coverage: Coverage,
    paths: Sequence[str],
    stale: int = 0,
) -> Spent:
    total = sum_usd(kinds["cost_usd"])
    return Spent(
        window=window,
        prices=prices,
        coverage=coverage,
        total_usd=total,
        tables=tuple(table(found, one, total) for found, one in zip(rows, by, strict=True)),
        subscription_usd=sum_usd(kinds["allowance_usd"]),
        paths=tuple(map(str, paths)),
        stale=stale,
    )


def answered(
    known: pipeline.Loaded, by: Sequence[Sequence[str]], settings: Settings, paths: Sequence[str] = ()
) -> Spent:
    """The total and the tables of calls that are already read and priced."""
    kinds, rows = added([cells(known.calls, known.book, keys(by), settings.tz)], by)
    return _spent(kinds, rows, by, known.window, known.prices, known.coverage, paths)


def _calls(
    paths: Sequence[str], settings: Settings, by: Sequence[Sequence[str]], progress: pipeline.Progress | None
) -> pipeline.Loaded:
    """The priced calls, with no more of them read and worked out than the tables ask for.

    What task a call was of is much of the work of reading agents' transcripts, and only a call without counts asks for
    it: the dearest call of its task bounds it. Nearly all logs have none.
    """
    if _attributed(by, settings):
        return pipeline.load(paths, settings, progress)
    wanted = _read(keys(by))
    tries = [wanted]
    if not settings.names_calls and str(STDIN) not in map(str, paths):  # names of the user's own bound nothing
        tries.insert(0, tuple(name for name in wanted if name != "task"))
    for only in tries:
        read = pipeline.requests(paths, settings, progress, only=only)
        known = pipeline.loaded(read, settings, paths, as_logged=True)
        if not bounded_by_others(known.calls):
            break
    return known


def _attributed(by: Sequence[Sequence[str]], settings: Settings, *, stored: bool = False) -> bool:
    """Whether a table shows what only attribution knows: tasks, runs, and names that the settings give.

    stored  calls of a store, which is asked whether each of them has a task
    """
    asked = {one for names in by for one in names}
    named = settings.names_calls and asked & {"task", "tenant", "user", "environment"}
    return bool(named or asked & ({"run"} if stored else {"run", "task"}))


def _read(names: Sequence[str]) -> tuple[str, ...]:
    """The columns that pricing, trust and the tables read."""
    return tuple(dict.fromkeys((*READ, *(name for name in names if name in REQUESTS))))
