"""What a change would have cost, replayed on your own logs"""

from __future__ import annotations

from typing import Annotated

import typer

from costaudit.commands import _options as options
from costaudit.commands._output import emit, progress, whole

FORMATS = ("terminal", "json", "markdown")

Changes = list[str] | None


def command(
    paths: options.Paths,
    swap: Annotated[
        Changes, typer.Option(metavar="'[task=NAME: ]MODEL -> MODEL'", help="Other models, for a task or for all.")
    ] = None,
    ceiling: Annotated[
        Changes,
        typer.Option(
            metavar="[task=NAME:]METRIC=LIMIT", help="End runs at a limit: steps, usd, input_tokens, minutes."
        ),
    ] = None,
    cache: Annotated[
        Changes,
        typer.Option(
            metavar="[task=NAME:]LIFETIME", help="Cache for 5m, 30m, 1h or 12h (all=, seen=, turns=), or off."
        ),
    ] = None,
    batch: Annotated[Changes, typer.Option(metavar="task=NAME", help="Send a task's calls as a batch.")] = None,
    drop_duplicates: Annotated[
        bool, typer.Option("--drop-duplicates", help="The same as --fix duplicate-requests.")
    ] = False,
    fix: Annotated[
        Changes, typer.Option(metavar="RULE", help="Act on every finding of these rules, as the report advises.")
    ] = None,
    format: Annotated[str, options.format_of(*FORMATS)] = "terminal",
    output: options.Output = None,
    since: options.Since = None,
    until: options.Until = None,
    tz: options.Zone = None,
    tasks: options.Tasks = None,
    outcomes: options.Outcomes = None,
    config: options.Config = None,
    prices: options.Prices = None,
    currency: options.Currency = None,
    rates: options.Rates = None,
    no_color: options.NoColor = False,
    no_cache: options.NoCache = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Replay the logs with changes, and say what they would have cost.

    Every flag can be given several times, and all of them together. Changes are made in the order of the waste ledger
    and priced one on top of the other, so that what they save adds up; what a swap or a limit costs (cold caches, work
    done again, other tokenizers) is in it. Whether a cheaper model does the job as well is for `analyze` to say.
    """
    from costaudit import pipeline, questions, scenario
    from costaudit.report import _scenario as page

    changes = [
        *map(scenario.swap, swap or ()),
        *map(scenario.ceiling, ceiling or ()),
        *map(scenario.cache, cache or ()),
        *map(scenario.batch, batch or ()),
        *map(scenario.fix, [*options.rules(fix or ()), *(["duplicate-requests"] if drop_duplicates else [])]),
    ]
    settings = options.settings(
        config,
        no_cache=no_cache,
        since=since,
        until=until,
        tz=tz,
        tasks=tasks,
        outcomes=outcomes,
        prices_dir=prices,
        currency=currency,
        rates=rates,
    )
    with progress(quiet=quiet, verbose=verbose) as report:
        known = pipeline.load(paths, settings, report)
    said = questions.simulated(known, settings, changes)
    render = {"terminal": page.terminal, "json": page.json, "markdown": page.markdown}[format]
    with options.money(settings, said.window):
        emit(render(said, options.view(no_color=no_color, output=output)), output)
    whole(known.coverage)
