"""The rows behind a finding"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from costaudit.commands import _options as options
from costaudit.commands._output import emit, progress

if TYPE_CHECKING:
    from costaudit.audit import Audit
    from costaudit.finding import Finding

FORMATS = ("terminal", "json", "csv")


def command(
    finding: Annotated[str, typer.Argument(help="Its id in the report, e.g. F-3ac91b; the beginning is enough.")],
    paths: options.Paths,
    format: options.Format = "terminal",
    output: options.Output = None,
    all: Annotated[bool, typer.Option("--all", help="Every row of evidence, not only the worst.")] = False,
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
    """Show a finding in full: how sure it is, what could be wrong with it, and the rows that add up to it.

    Give the same paths and flags as to `costaudit analyze`: the finding is worked out again.
    `--format csv` writes every row with exact amounts.
    """
    from costaudit import pipeline
    from costaudit.errors import UsageError
    from costaudit.report import _evidence, csv, json

    if format not in FORMATS:
        raise UsageError(f"show has no format {format!r}", hint=f"formats: {', '.join(FORMATS)}")
    settings = options.settings(
        config, no_cache=no_cache, since=since, until=until, tz=tz, tasks=tasks, outcomes=outcomes, prices_dir=prices
    )
    with progress(quiet=quiet, verbose=verbose) as report:
        audit = pipeline.audit(paths, settings, report)
    found = find(finding, audit)
    if format == "terminal":
        text = _evidence.terminal(found, options.view(no_color=no_color, output=output), every=all)
    else:
        text = csv.written(found.evidence) if format == "csv" else json.document(json.finding(found, most=None))
    emit(text, output)


def find(wanted: str, audit: Audit) -> Finding:
    """The finding whose id begins as given; UsageError where none or several do."""
    from costaudit.errors import UsageError
    from costaudit.report._words import groups

    every = [f for _, findings, _ in groups(audit) for f in findings]
    text = wanted.strip().upper().removeprefix("F-")
    found = [f for f in every if f.id.upper().removeprefix("F-").startswith(text)] if text else []
    if len(found) == 1:
        return found[0]
    some = ", ".join(f"{f.id} ({f.rule})" for f in (found or every)[:5])
    if found:
        raise UsageError(f"several findings begin with {wanted!r}", hint=f"they are: {some}")
    hint = f"the dearest are: {some}" if some else "there are no findings in these logs"
    raise UsageError(f"no finding {wanted!r} in these logs", hint=hint)
