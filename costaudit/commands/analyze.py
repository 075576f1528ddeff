"""Where the money went, what of it bought nothing, what to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from costaudit import plugins
from costaudit.commands import _options as options
from costaudit.commands._output import Copies, emit, progress, summarise, unjudged, whole
from costaudit.errors import CostAuditError

if TYPE_CHECKING:
    from costaudit.audit import Audit
    from costaudit.known import Said

FORMATS = ("terminal", *(name for name in plugins.names("costaudit.report") if name != "terminal"))


def command(
    paths: options.Paths,
    format: Annotated[str, options.format_of(*FORMATS)] = "terminal",
    output: options.Output = None,
    also: options.Also = None,
    since: options.Since = None,
    until: options.Until = None,
    tz: options.Zone = None,
    by: options.By = None,
    tasks: options.Tasks = None,
    outcomes: options.Outcomes = None,
    select: options.Select = None,
    ignore: options.Ignore = None,
    fail_on: options.FailOn = None,
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
    """Read logs in any format, price every call, and print where the money went and what of it to get back.

    PATH is one or more log files, folders or globs, - for standard input, or a store. Formats are told by content;
    they may be mixed, and compressed with gzip or zstd. Nothing leaves this machine.

    Exit code: 0 report printed; 1 a finding at or above --fail-on; 2 wrong usage or settings; 3 no readable record,
    a file or folder that could not be read, or less of the log priced than --min-coverage or --fail-on need.
    """
    from costaudit.known import Known

    settings = options.settings(
        config,
        no_cache=no_cache,
        since=since,
        until=until,
        tz=tz,
        by=by,
        tasks=tasks,
        outcomes=outcomes,
        select=select,
        ignore=ignore,
        fail_on=fail_on,
        min_coverage=min_coverage,
        prices_dir=prices,
        currency=currency,
        rates=rates,
    )
    view = options.view(settings.by, no_color=no_color, output=output, verbose=verbose)
    known = Known(paths, settings)
    how = f"{format} {view} {settings.currency}"
    alone = format != "github" and not also  # nothing else is written of the same audit
    said = known.said(how) if alone else None
    if said is not None:
        emit(said.text, output)
    else:
        from costaudit.report import renderer

        copies = Copies.of(also, renderer, output)
        with progress(quiet=quiet, verbose=verbose) as show:
            audit = known.audit(show)
        render = renderer(format)  # it needs tables, which a folder without a log does not
        with options.money(settings, audit.window):
            said = outcome(audit, render(audit, view))
            emit(said.text, output)
            copies.write(audit)
            if format == "github":
                summarise(renderer("markdown")(audit, view))
        known.say(how, said)
        if not failed(said, settings.fail_on):
            whole(audit.coverage)  # nothing is kept of what could not be read, so said is never of such logs
    code = gate(said, settings.fail_on, demanded=min_coverage is not None)
    if code == CostAuditError.exit_code:
        raise unjudged(settings.min_coverage)
    if code:
        raise typer.Exit(code)


def outcome(audit: Audit, text: str) -> Said:
    """The report of an audit with what its exit code hangs on."""
    from costaudit.known import Said

    worst = max((f.severity for f in audit.findings), key=lambda severity: severity.rank, default=None)
    return Said(text, worst and worst.value, audit.coverage.enough)


def failed(said: Said, fail_on: str | None) -> bool:
    """Whether there is a finding of that severity, or of a higher one."""
    from costaudit.config import SEVERITIES

    worst = said.worst
    return fail_on is not None and worst is not None and SEVERITIES.index(worst) >= SEVERITIES.index(fail_on)


def gate(said: Said, fail_on: str | None, *, demanded: bool) -> int:
    """The exit code: a finding that is there fails the gate however little was seen beside it.

    demanded  the user asked for a coverage on the command line, with or without a gate
    """
    if failed(said, fail_on):
        return 1
    return 3 if (demanded or fail_on is not None) and not said.enough else 0
