"""The plan for scale: where spend goes, what growth costs, what breaks first."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from costaudit.commands import _options as options
from costaudit.commands._output import emit, note, progress, unjudged, whole
from costaudit.errors import UsageError
from costaudit.words import plural

FORMATS = ("terminal", "json", "markdown", "csv", "html")
FACTOR = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)[x×X]?", re.ASCII)


def command(
    paths: options.Paths,
    growth: Annotated[
        list[str] | None,
        typer.Option(metavar="FACTOR", help="Growth to plan for, e.g. 10x (repeatable). Default: 2x, 10x."),
    ] = None,
    growth_by: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What grows: traffic (of today's tenants), or tenants (more like them)."),
    ] = None,
    limits: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Rate limits by model, YAML: requests, tokens per minute.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="USD", help="Find the least risky way under this spend a month.")
    ] = None,
    weeks: Annotated[int | None, typer.Option(metavar="NUMBER", min=1, max=52, help="Weeks ahead. Default: 4.")] = None,
    format: Annotated[str, options.format_of(*FORMATS)] = "terminal",
    output: options.Output = None,
    since: options.Since = None,
    until: options.Until = None,
    tz: options.Zone = None,
    tasks: options.Tasks = None,
    outcomes: options.Outcomes = None,
    select: options.Select = None,
    ignore: options.Ignore = None,
    min_coverage: options.MinCoverage = None,
    config: options.Config = None,
    prices: options.Prices = None,
    currency: options.Currency = None,
    rates: options.Rates = None,
    no_color: options.NoColor = False,
    no_cache: options.NoCache = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Say where spend goes, what growth costs and why, which limit breaks first, and how to stay under a target.

    The weeks ahead come with an 80 % interval and the result of a back-test on your own log. Growth is a replay of the
    last 28 days, in drivers that add up. The way under --target is priced by replay too: waste first, then decisions.

    Exit code: 0 plan printed; 2 wrong usage or settings; 3 no request, or less of it priced than --min-coverage asks.
    """
    from costaudit import pipeline, questions
    from costaudit.report import _forecast

    if growth_by not in (None, "traffic", "tenants"):
        raise UsageError(f"nothing grows by {growth_by!r}", hint="--growth-by traffic, or --growth-by tenants")
    usd = _usd(target)
    settings = options.settings(
        config,
        no_cache=no_cache,
        since=since,
        until=until,
        tz=tz,
        tasks=tasks,
        outcomes=outcomes,
        select=select,
        ignore=ignore,
        min_coverage=min_coverage,
        prices_dir=prices,
        currency=currency,
        rates=rates,
        limits=limits,
    )
    usual = settings.forecast
    asked = replace(
        usual,
        growth=tuple(sorted({_factor(written) for written in growth})) if growth else usual.growth,
        growth_by=growth_by or usual.growth_by,
        horizon_weeks=weeks or usual.horizon_weeks,
    )
    settings = pipeline.checked(replace(settings, forecast=asked))
    with progress(quiet=quiet, verbose=verbose) as show:
        known = pipeline.load(paths, settings, show)
    found = questions.planned(known, settings, usd)
    with options.money(settings, found.window):
        emit(_forecast.RENDERERS[format](found, options.view(no_color=no_color, output=output)), output)
    told = len(found.ahead) - 1  # the last one is all of them
    if weeks and told < weeks:
        note(f"{plural(told, 'week')} ahead, not {weeks}: no more than the log has", quiet=quiet)
    whole(known.coverage)
    if min_coverage is not None and not known.coverage.enough:
        raise unjudged(min_coverage)


def _factor(written: str) -> float:
    found = FACTOR.fullmatch(written.strip())
    if found is None or float(found[1]) <= 0:
        raise UsageError(f"not a growth factor: {written}", hint="e.g. --growth 10x")
    return float(found[1])


def _usd(written: str | None) -> Decimal | None:
    if written is None:
        return None
    try:
        amount = Decimal(written.strip().removeprefix("$").replace(",", ""))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 <= amount < 10**15:
        raise UsageError(f"not an amount in dollars: {written}", hint="e.g. --target 500")
    return amount
