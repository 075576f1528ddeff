"""Where the money went by day, model, task, tenant; no rule is run"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from costaudit.commands import _options as options
from costaudit.commands._output import emit, note, progress, unjudged, whole
from costaudit.errors import UsageError

if TYPE_CHECKING:
    from costaudit.config import Settings

FORMATS = ("terminal", "json", "csv", "markdown")
ONE = ("day", "model")  # the table of a CSV file that nobody asked for another one


def _groupings(incomplete: str) -> list[str]:
    from costaudit.config import BY

    done, comma, name = incomplete.rpartition(",")
    return [f"{done}{comma}{one}" for one in BY if one.startswith(name) and one not in done.split(",")]


def _positive(number: int | None) -> int | None:
    if number is not None and number < 1:
        raise UsageError(f"--top {number}: a table has at least one row")
    return number


def _sums_alone(settings: Settings, by: Sequence[str]) -> bool:
    """Whether logs are read for nothing but sums."""
    names = {name.strip() for one in by for name in one.split(",")}
    return not (settings.columns or settings.names_calls or names & {"task", "run"})


def command(
    paths: options.Paths,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="NAME[,NAME]",
            autocompletion=_groupings,
            help="A table by this, or by both (repeatable): hour, day, week, month, model, provider, task, tenant, "
            "user, run, key_id, environment, format, source_file. Else model, and day.",
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            metavar="N", callback=_positive, help="Rows of a table, of times the last ones; one more sums the others."
        ),
    ] = None,
    format: Annotated[str, options.format_of(*FORMATS)] = "terminal",
    output: options.Output = None,
    since: options.Since = None,
    until: options.Until = None,
    tz: options.Zone = None,
    tasks: options.Tasks = None,
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
    """Say what was spent, in total and by what is asked for, and how far that can be believed.

    The figures are those of `costaudit analyze`, to the last digit. Of logs only what prices need is read; a store
    answers from the sums of its parts where these say it, else from the columns that the question needs.

    Exit code: 0 answered; 2 wrong usage or settings; 3 no readable record, a file or folder that could
    not be read, or less of the log priced than --min-coverage asks.
    """
    settings = options.settings(
        config,
        no_cache=no_cache,
        since=since,
        until=until,
        tz=tz,
        tasks=tasks,
        min_coverage=min_coverage,
        prices_dir=prices,
        currency=currency,
        rates=rates,
    )
    if _sums_alone(settings, by or settings.by):
        from costaudit.ingest import _ahead
        from costaudit.kept import place

        _ahead.begin(paths, place(settings.cache_dir) if settings.cache else None)
    from costaudit import totals
    from costaudit.report import _spend

    asked = totals.groupings(by if by else settings.by)
    if format == "csv" and len(asked) > 1:
        raise UsageError("a CSV file holds one table", hint="one table by both is --by day,model")
    with progress(quiet=quiet, verbose=verbose) as show:
        answer = totals.spent(paths, settings, asked or ((ONE,) if format == "csv" else totals.USUAL), show)
    view = options.view([",".join(one) for one in asked], no_color=no_color, output=output)
    with options.money(settings, answer.window):
        emit(_spend.RENDERERS[format](answer, view, top), output)
    if answer.stale:
        parts = "a part is" if answer.stale == 1 else f"{answer.stale:,} parts are"
        note(
            f"the sums of {parts} of other prices or of another version, so calls were read instead; "
            f"`costaudit store compact {answer.paths[0]}` brings them up to date",
            quiet=quiet,
        )
    whole(answer.coverage)
    if min_coverage is not None and not answer.coverage.enough:
        raise unjudged(min_coverage)
