"""The accepted advice as a routing table: a model per task, budgets and ceilings beside it"""

from __future__ import annotations

from typing import Annotated

import typer

from costaudit.commands import _options as options
from costaudit.commands._output import emit, note, progress, whole

FORMATS = ("yaml", "litellm")


def command(
    paths: options.Paths,
    accept: Annotated[
        list[str] | None,
        typer.Option(metavar="FINDING|RULE", help="Act on this advice too, proven or not (repeatable)."),
    ] = None,
    format: Annotated[str, options.format_of(*FORMATS)] = "yaml",
    output: options.Output = None,
    since: options.Since = None,
    until: options.Until = None,
    tz: options.Zone = None,
    tasks: options.Tasks = None,
    outcomes: options.Outcomes = None,
    config: options.Config = None,
    prices: options.Prices = None,
    no_cache: options.NoCache = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Write which model serves which task, so that a model is swapped by configuration.

    Advice that is proven is accepted; advice that is not is accepted by its id or its rule. `yaml` is a plain table for
    your own code; `litellm` is the configuration of a LiteLLM proxy with one model name a task.
    """
    from costaudit import pipeline, questions
    from costaudit.report import _route as page

    settings = options.settings(
        config, no_cache=no_cache, since=since, until=until, tz=tz, tasks=tasks, outcomes=outcomes, prices_dir=prices
    )
    with progress(quiet=quiet, verbose=verbose) as report:
        known = pipeline.load(paths, settings, report)
    made = questions.routes(known, settings, paths, accept or ())
    emit(page.litellm(made, known.window) if format == "litellm" else page.plain(made, known.window), output)
    if not any(route.because for route in made):
        note("note: no advice is accepted: every task keeps its model; `--accept FINDING` takes one", quiet=quiet)
    whole(known.coverage)
