"""Logs against the provider's own usage or cost export"""

from __future__ import annotations

from typing import Annotated

import typer

from costaudit.commands import _options as options
from costaudit.commands._output import emit, progress, whole

FORMATS = ("terminal", "json", "markdown", "csv", "html")


def command(
    paths: options.Paths,
    against: Annotated[
        list[str],
        typer.Option(metavar="EXPORT", help="A usage or cost export, FOCUS file or invoice; several may be given."),
    ],
    max_gap: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Exit 1 if the gap is a larger share of the export, e.g. 0.02."),
    ] = None,
    format: Annotated[str, options.format_of(*FORMATS)] = "terminal",
    output: options.Output = None,
    since: options.Since = None,
    until: options.Until = None,
    tz: options.Zone = None,
    config: options.Config = None,
    prices: options.Prices = None,
    currency: options.Currency = None,
    rates: options.Rates = None,
    no_color: options.NoColor = False,
    no_cache: options.NoCache = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Compare the logs with what the provider counted or billed, and say where the gap is and why.

    Exports: pages of the OpenAI Usage and Costs API and the dashboard's CSV files, pages of Anthropic's usage and cost
    reports, FOCUS files, invoices as CSV. Usage is priced like the logs, so a gap in tokens is one in dollars; a bill
    beside it shows discounts. The causes add up to the gap.
    """
    from costaudit import pipeline, questions
    from costaudit.errors import UsageError
    from costaudit.report import _reconcile as page
    from costaudit.report import _reconcile_html, csv

    if max_gap is not None and not 0 <= max_gap < 1:
        raise UsageError(f"--max-gap {max_gap:g} is no share", hint="0.02 is two per cent")
    settings = options.settings(
        config, no_cache=no_cache, since=since, until=until, tz=tz, prices_dir=prices, currency=currency, rates=rates
    )
    with progress(quiet=quiet, verbose=verbose) as report:
        known = pipeline.load(paths, settings, report)
        said = questions.reconciled(known, against)
    if format == "csv":
        emit(csv.written(said.cells), output)
    else:
        renderers = {
            "terminal": page.terminal,
            "json": page.json,
            "markdown": page.markdown,
            "html": _reconcile_html.render,
        }
        render = renderers[format]
        with options.money(settings, said.window):
            emit(render(said, options.view(no_color=no_color, output=output)), output)
    whole(known.coverage)
    if max_gap is not None and (said.gap is None or abs(said.gap) > max_gap):
        raise typer.Exit(1)
