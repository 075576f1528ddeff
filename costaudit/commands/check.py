"""Fail a build that made a unit of work dearer."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from costaudit.commands import _options as options
from costaudit.commands._output import emit, note, progress

if TYPE_CHECKING:
    from datetime import date

    from costaudit.compare.side import Side
    from costaudit.config import Settings
    from costaudit.pipeline import Loaded, Progress

_LAST_DAYS = re.compile(r"last-([1-9]\d{0,3})d")


def command(
    candidate: options.Paths,
    baseline: Annotated[
        str, typer.Option(metavar="PATH", help="Logs, a file of `baseline save`, or last-28d: the days before --since.")
    ],
    month: Annotated[
        str | None, typer.Option(metavar="PATH", help="Logs of last month: the effect at its volume, and the floor.")
    ] = None,
    tolerance: Annotated[float | None, typer.Option(metavar="SHARE", help="Growth of unit cost allowed: 0.05.")] = None,
    require_baseline: Annotated[bool, typer.Option(help="Exit 3 where a task has no baseline.")] = False,
    fail_inconclusive: Annotated[bool, typer.Option(help="Exit 1 where the gate cannot tell.")] = False,
    format: Annotated[
        str, typer.Option("--format", "-f", metavar="NAME", help="terminal, json, markdown, github, junit.")
    ] = "terminal",
    output: options.Output = None,
    since: options.Since = None,
    until: options.Until = None,
    tz: options.Zone = None,
    tasks: options.Tasks = None,
    min_coverage: options.MinCoverage = None,
    config: options.Config = None,
    prices: options.Prices = None,
    no_color: options.NoColor = False,
    no_cache: options.NoCache = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Compare what a unit of each task costs with a baseline: FAIL, PASS, CANNOT TELL or CANNOT JUDGE.

    A unit is a case (instance id), else a run, else a call; the same cases on both sides are compared in pairs. Both
    sides pay the prices of one day, so that a price change fails no build; neither does a change of mix between tasks.

    Exit code: 0 within limits, or inconclusive and said so; 1 a proved rise; 2 wrong usage; 3 cannot judge.
    """
    from costaudit.compare.gate import check
    from costaudit.compare.side import measure
    from costaudit.errors import UsageError
    from costaudit.report import _check

    if format not in _check.RENDERERS:
        raise UsageError(f"check has no format {format!r}", hint=f"formats: {', '.join(_check.RENDERERS)}")
    settings = options.settings(
        config,
        no_cache=no_cache,
        since=since,
        until=until,
        tz=tz,
        tasks=tasks,
        min_coverage=min_coverage,
        prices_dir=prices,
    )
    limits = replace(
        settings.gate,
        tolerance=settings.gate.tolerance if tolerance is None else _share(tolerance),
        require_baseline=settings.gate.require_baseline or require_baseline,
        inconclusive="fail" if fail_inconclusive else settings.gate.inconclusive,
    )
    with progress(quiet=quiet, verbose=verbose) as show:
        from costaudit import pipeline

        head = pipeline.load(candidate, settings, show)
        base, day = _baseline(baseline, candidate, settings, head, show)
        units, floor = _month(month, settings, head, show)
    name = ", ".join(map(str, candidate))
    side = measure(head.calls, head.book, name=name, window=head.window, coverage=head.coverage.share, on=day)
    floor = limits.floor_usd if limits.floor_usd is not None else floor
    gate = check(
        side,
        base,
        limits,
        floor_usd=floor,
        min_coverage=settings.min_coverage,
        month=units,
        suppressions=settings.suppressions,
    )
    if base is None:
        note(f"warning: {baseline} is not there: nothing was compared", quiet=quiet)
    emit(_check.RENDERERS[format](gate, options.view(no_color=no_color, output=output)), output)
    if gate.exit_code:
        raise typer.Exit(gate.exit_code)


def _share(tolerance: float) -> float:
    from costaudit.errors import UsageError

    if not 0 <= tolerance <= 10:
        raise UsageError(f"--tolerance must be a share from 0 to 10, not {tolerance}", hint="5 % is 0.05")
    return tolerance


def _baseline(
    baseline: str, candidate: list[str], settings: Settings, head: Loaded, show: Progress | None
) -> tuple[Side | None, date | None]:
    """The baseline, and the day whose prices both sides pay; no baseline where its path is not there."""
    from costaudit import pipeline
    from costaudit.compare import baseline as files
    from costaudit.compare.side import last_day, measure

    if files.is_baseline(Path(baseline)):
        side = files.load(Path(baseline))
        return side, side.priced_on
    day = last_day(head.calls)
    if found := _LAST_DAYS.fullmatch(baseline):
        before = _before(settings, int(found[1]))
        loaded = pipeline.load(candidate, before, show, head.book)
    elif baseline != "-" and not any(c in baseline for c in "*?[") and not Path(baseline).exists():
        return None, day
    else:
        loaded = pipeline.load([baseline], replace(settings, since=None, until=None), show, head.book)
    name = baseline
    side = measure(loaded.calls, loaded.book, name=name, window=loaded.window, coverage=loaded.coverage.share, on=day)
    return side, day


def _before(settings: Settings, days: int) -> Settings:
    """The same settings for the days before the window asked for."""
    from costaudit.errors import UsageError

    start, _ = settings.window
    if start is None:
        raise UsageError(
            f"--baseline last-{days}d needs --since: it is the days before", hint="e.g. --since 2026-11-01"
        )
    return replace(settings, since=start - timedelta(days=days), until=start)


def _month(
    month: str | None, settings: Settings, head: Loaded, show: Progress | None
) -> tuple[dict[str, float] | None, Decimal]:
    """Units of last month by task, and the floor their spend sets."""
    from costaudit import pipeline
    from costaudit.compare.side import DAYS_OF_MONTH, month_units
    from costaudit.price._sum import usd

    if month is None:
        return None, Decimal(0)
    loaded = pipeline.load([month], replace(settings, since=None, until=None), show, head.book)
    window = loaded.window
    if window.start is None or window.end is None:
        return None, Decimal(0)
    days = max((window.end - window.start).total_seconds() / 86_400, 1.0)
    total = usd(loaded.calls["cost_usd"])
    return month_units(loaded.calls, days), settings.floor(total * DAYS_OF_MONTH / Decimal(days))
