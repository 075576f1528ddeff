"""What is wrong with these logs, and how to log better"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from costaudit.commands import _options as options
from costaudit.commands._output import emit, progress

FORMATS = ("terminal", "json")

if TYPE_CHECKING:
    from costaudit.ingest import Ingested
    from costaudit.known import Known
    from costaudit.report._doctor import Diagnosis


def command(
    paths: options.Paths,
    format: Annotated[str, options.format_of(*FORMATS)] = "terminal",
    output: options.Output = None,
    tasks: options.Tasks = None,
    outcomes: options.Outcomes = None,
    config: options.Config = None,
    prices: options.Prices = None,
    no_color: options.NoColor = False,
    no_cache: options.NoCache = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Say of each file how it was read, what was refused and why, and what it does not say about its calls.

    Below the files stand the fields that most calls lack, what each would serve and how to log it; price entries to
    complete for models without a price; and the rules that cannot look at such logs.
    """
    from costaudit import pipeline
    from costaudit.known import Known
    from costaudit.report import _doctor

    settings = options.settings(config, no_cache=no_cache, tasks=tasks, outcomes=outcomes, prices_dir=prices)
    known = Known(paths, settings)
    with progress(quiet=quiet, verbose=verbose) as show:
        read = pipeline.requests(paths, settings, show)
    found = diagnose(read, known)
    if format == "json":
        emit(_doctor.machine(found), output)
    else:
        emit(_doctor.terminal(found, options.view(no_color=no_color, output=output)), output)


def diagnose(read: Ingested, known: Known) -> Diagnosis:
    """The diagnosis of logs as read; logs that cannot be audited still get one, with the reason."""
    from msgspec.structs import replace

    from costaudit import pipeline
    from costaudit.errors import LogError
    from costaudit.report._doctor import Diagnosis, shares

    found = Diagnosis(read.fates, read.sources, read.rejects, shares(read.requests), read.notes)
    paths, settings = known.paths, known.settings
    try:
        audit = known.audit(make=lambda: pipeline.audited(pipeline.loaded(read, settings, paths), settings, paths))
    except LogError as error:
        return replace(found, problem=str(error))
    return replace(found, coverage=audit.coverage, not_checked=audit.not_checked)
