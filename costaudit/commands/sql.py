"""SQL over the priced calls of logs or a store"""

from __future__ import annotations

from typing import Annotated

import typer

from costaudit.commands import _options as options
from costaudit.commands._output import emit, progress, whole

FORMATS = ("terminal", "csv", "json")
ROWS = 200  # shown on a terminal


def command(
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help='e.g. "select task, sum(cost_usd) from calls group by task".')
    ],
    paths: options.Paths,
    format: Annotated[str, options.format_of(*FORMATS)] = "terminal",
    output: options.Output = None,
    since: options.Since = None,
    until: options.Until = None,
    tz: options.Zone = None,
    tasks: options.Tasks = None,
    outcomes: options.Outcomes = None,
    config: options.Config = None,
    prices: options.Prices = None,
    no_color: options.NoColor = False,
    no_cache: options.NoCache = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Ask the priced calls anything: the table is `calls`, its columns are those of the request table and its prices.

    Dollars stay exact decimals. Roll-ups are left out: every row is a call. `docs/schema.md` names the columns; csv and
    json write every row, a terminal the first ones.
    """
    from costaudit import pipeline, questions
    from costaudit.report import _evidence, csv, json
    from costaudit.report._layout import paint

    settings = options.settings(
        config, no_cache=no_cache, since=since, until=until, tz=tz, tasks=tasks, outcomes=outcomes, prices_dir=prices
    )
    with progress(quiet=quiet, verbose=verbose) as report:
        known = pipeline.load(paths, settings, report)
    answer = questions.asked(known, query)
    if format == "terminal":
        view = options.view(no_color=no_color, output=output)
        text = paint(_evidence.rows(answer, view.columns, ROWS, None), color=view.color)
    else:
        text = csv.written(answer) if format == "csv" else json.document({"rows": json.rows(answer)})
    emit(text, output)
    whole(known.coverage)
