"""The rows behind a finding, a run step by step, a request line by line"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from costaudit.commands import _options as options
from costaudit.commands._output import emit, progress

if TYPE_CHECKING:
    from pathlib import Path

    from costaudit.audit import Audit
    from costaudit.config import Settings
    from costaudit.finding import Finding
    from costaudit.pipeline import Progress

FORMATS = ("terminal", "json", "csv", "html")
KINDS = ("run", "request")


def command(
    what: Annotated[
        str,
        typer.Argument(
            metavar="FINDING|run|request", help="A finding's id, e.g. F-3ac91b; or `run`, `request` and ID."
        ),
    ],
    paths: Annotated[
        list[str],
        typer.Argument(metavar="[ID] PATH", help="After run or request its id (the beginning is enough); the logs."),
    ],
    text: Annotated[
        bool, typer.Option("--text", help="Open the log again and show the text of prompts and answers.")
    ] = False,
    format: Annotated[str, options.format_of(*FORMATS)] = "terminal",
    output: options.Output = None,
    all: Annotated[bool, typer.Option("--all", help="Every row, not only the worst.")] = False,
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
    """Show what a figure rests on.

    \b
    show FINDING PATH...     a finding: how sure it is, what could be wrong
                             with it, the rows that add up to it
    show run RUN PATH...     a run step by step: time, dollars, context, where
                             it stopped getting anywhere, a ceiling
    show request ID PATH...  the bill of a request, line by line

    Give the same paths and flags as to `costaudit analyze`, whose audit is used again while nothing has changed.
    `--format csv` and `json` write every row with exact amounts. Text is shown only with --text, and read from the log
    itself.
    """
    from costaudit.errors import UsageError

    kind = what if what in KINDS else ""
    if kind and len(paths) < 2:
        raise UsageError(f"which {kind}, and in which logs?", hint=f"costaudit show {kind} ID PATH...")
    if format == "html" and kind != "run":
        raise UsageError("only a run has a page", hint="costaudit show run RUN PATH... --format html")
    settings = options.settings(
        config, no_cache=no_cache, since=since, until=until, tz=tz, tasks=tasks, outcomes=outcomes, prices_dir=prices
    )
    with progress(quiet=quiet, verbose=verbose) as report:
        if kind == "run":
            shown = _run(paths[0], paths[1:], settings, report, format, no_color=no_color, output=output, every=all)
        elif kind == "request":
            shown = _request(paths[0], paths[1:], settings, report, format, text=text)
        else:
            shown = _finding(
                what, paths, settings, report, format, no_color=no_color, output=output, every=all, text=text
            )
    emit(shown, output)


def _finding(
    wanted: str,
    paths: list[str],
    settings: Settings,
    report: Progress | None,
    format: str,
    *,
    no_color: bool,
    output: Path | None,
    every: bool,
    text: bool,
) -> str:
    from costaudit.known import Known
    from costaudit.report import _evidence, csv, json
    from costaudit.report._dials import dials

    audit = Known(paths, settings).audit(report)
    found = find(wanted, audit)
    if format == "csv":
        return csv.written(found.evidence)
    if format == "json":
        return json.document(json.finding(found, dials(found, audit), most=None))
    page = _evidence.terminal(found, dials(found, audit), options.view(no_color=no_color, output=output), every=every)
    return page + _prompts(found, paths, settings, report, text=text)


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


def _prompts(finding: Finding, paths: list[str], settings: Settings, report: Progress | None, *, text: bool) -> str:
    """For a cache that misses: where the prompts of its calls part, and with `text` the characters."""
    if finding.rule != "cache-miss":
        return ""
    from costaudit import pipeline, questions
    from costaudit.report import _original

    found = questions.parting(pipeline.load(paths, settings, report), finding.subject)
    return _original.parting(found, questions.difference(found) if text and found else None, asked=text)


def _run(
    wanted: str,
    paths: list[str],
    settings: Settings,
    report: Progress | None,
    format: str,
    *,
    no_color: bool,
    output: Path | None,
    every: bool,
) -> str:
    from costaudit import pipeline, questions
    from costaudit.report import _timeline, _timeline_html, csv

    run = questions.run(pipeline.load(paths, settings, report), settings, wanted)
    if format == "csv":
        return csv.written(run.steps)
    if format == "json":
        return _timeline.json(run)
    if format == "html":
        return _timeline_html.html(run, every=every)
    return _timeline.terminal(run, options.view(no_color=no_color, output=output), every=every)


def _request(
    wanted: str, paths: list[str], settings: Settings, report: Progress | None, format: str, *, text: bool
) -> str:
    from costaudit import pipeline, questions
    from costaudit.commands import _price_pages as pages
    from costaudit.price.quote import explained
    from costaudit.report import _original, csv, json

    known = pipeline.load(paths, settings, report)
    rows = questions.request_rows(known, wanted)
    if format == "csv":
        return csv.written(rows)
    answers = explained(rows, known.book)
    if format == "json":
        bills = [{"bill": json.rows(answer.lines.drop("row")), "how": list(answer.steps)} for answer in answers]
        requests = [row | bill for row, bill in zip(json.rows(rows), bills, strict=True)]
        return json.document({"schema": "costaudit.request/1", "requests": requests})
    shown = []
    for row, answer in zip(rows.iter_rows(named=True), answers, strict=True):
        shown += [_original.facts(row), pages.arithmetic(answer, "bill")]
        if text:
            shown.append(_original.record(questions.original(row["source_file"], row["source_line"])))
    return "\n".join(shown)
