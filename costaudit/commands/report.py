"""The monthly review: what changed, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from costaudit.commands import _options as options
from costaudit.commands._output import emit, progress, unjudged, whole

FORMATS = ("terminal", "json", "markdown", "csv", "html")


def command(
    month: Annotated[str, typer.Option(metavar="YYYY-MM", help="The month to review.")],
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Log files, folders, globs, - for standard input, or a store."),
    ] = None,
    store: Annotated[
        str | None, typer.Option(metavar="DIR", help="A store of `costaudit ingest`, instead of PATH.")
    ] = None,
    compare: Annotated[str | None, typer.Option(metavar="YYYY-MM", help="Compare with; else the month before.")] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="EXPORT", help="The provider's usage or cost export of the month (repeatable)."),
    ] = None,
    format: Annotated[str, options.format_of(*FORMATS)] = "terminal",
    output: options.Output = None,
    tz: options.Zone = None,
    by: options.By = None,
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
    """Compare a month with the one before: total, a bridge that adds up to the cent, tables with unit costs and trends,
    regressions with their day, findings new, open and fixed, budgets, prices, and a forecast.

    Growth (more work) stands apart from efficiency (the same work for more or less) and from prices. Months begin and
    end in the time zone of --tz.

    Exit code: 0 report printed; 2 wrong usage or settings; 3 no request in the month, or less of it priced than
    --min-coverage asks.
    """
    from costaudit.errors import UsageError
    from costaudit.known import Known, Said

    places = [store] if store is not None else list(paths or ())
    if (store is not None) == bool(paths):
        raise UsageError("report reads logs or one store", hint="costaudit report --month 2026-10 PATH, or --store DIR")
    settings = options.settings(
        config,
        no_cache=no_cache,
        tz=tz,
        by=by,
        tasks=tasks,
        outcomes=outcomes,
        select=select,
        ignore=ignore,
        min_coverage=min_coverage,
        prices_dir=prices,
        currency=currency,
        rates=rates,
    )
    view = options.view(settings.by, no_color=no_color, output=output)
    known = Known(places, settings)
    how = f"report {month} {compare} {format} {view} {settings.currency}"
    said = None if against else known.said(how)
    if said is not None:
        emit(said.text, output)
    else:
        from costaudit import pipeline, questions
        from costaudit.analyze import checked
        from costaudit.compare import month as months
        from costaudit.report import _month

        reviewed = months.parse(month)
        compared = months.parse(compare) if compare else months.preceding(reviewed)
        settings = checked(settings)
        with progress(quiet=quiet, verbose=verbose) as show:
            read = pipeline.requests(places, settings, show)
        review = questions.reviewed(read, settings, places, reviewed, compared, against or ())
        with options.money(settings, review.audit.window):
            said = Said(_month.RENDERERS[format](review, view), None, review.audit.coverage.enough)
        emit(said.text, output)
        if not against:
            known.say(how, said)
        whole(review.audit.coverage)
    if min_coverage is not None and not said.enough:
        raise unjudged(min_coverage)
