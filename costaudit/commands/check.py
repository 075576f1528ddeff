"""Fail a build that made a unit of work dearer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec.structs import replace

from costaudit.commands import _options as options
from costaudit.commands._output import Copies, emit, note, progress, summarise

if TYPE_CHECKING:
    from costaudit.config import Settings

FORMATS = ("terminal", "json", "markdown", "html", "github", "gitlab", "sarif", "junit")
FAIL_ON = ("regression", "inconclusive", "never")


def command(
    candidate: options.Paths,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Logs, a store, a file of `baseline save`, or last-28d: before --since."),
    ] = None,
    baseline_since: Annotated[str | None, typer.Option(metavar="DATE", help="First moment of the baseline.")] = None,
    baseline_until: Annotated[str | None, typer.Option(metavar="DATE", help="First moment after it.")] = None,
    month: Annotated[
        str | None, typer.Option(metavar="PATH", help="Logs of last month: the effect at its volume, and the floor.")
    ] = None,
    tolerance: Annotated[float | None, typer.Option(metavar="SHARE", help="Growth of unit cost allowed: 0.05.")] = None,
    pass_margin: Annotated[
        float | None, typer.Option(metavar="SHARE", help="How far above it a PASS may reach: 0.10.")
    ] = None,
    min_units: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Units a side under which nothing is said: 5.")
    ] = None,
    require_baseline: Annotated[bool, typer.Option(help="Exit 3 where a task has no baseline.")] = False,
    fail_on: Annotated[
        str | None,
        typer.Option(metavar="WHAT", help="Exit 1 on: regression (default), inconclusive (on either), never."),
    ] = None,
    format: Annotated[str, options.format_of(*FORMATS)] = "terminal",
    output: options.Output = None,
    also: options.Also = None,
    since: options.Since = None,
    until: options.Until = None,
    tz: options.Zone = None,
    tasks: options.Tasks = None,
    min_coverage: options.MinCoverage = None,
    config: options.Config = None,
    prices: options.Prices = None,
    no_color: options.NoColor = False,
    no_cache: options.NoCache = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Compare what a unit of each task costs with a baseline: FAIL, PASS, CANNOT TELL or CANNOT JUDGE.

    A unit is a case (instance id), else a run, else a call; the same cases on both sides are compared in pairs. Both
    sides pay the prices of one day, so that a price change fails no build; neither does a change of mix between tasks.
    The budgets of costaudit.yaml are checked too, against what the candidate really cost.

    Exit code: 0 within limits, or inconclusive and said so; 1 a proved rise, or a budget exceeded; 2 wrong usage, or a
    baseline that is not there; 3 cannot judge, e.g. because a file or folder could not be read.
    """
    from costaudit import pipeline
    from costaudit.audit import UNDATED
    from costaudit.commands._baseline import Finder, volume
    from costaudit.compare import budgets
    from costaudit.compare.gate import check
    from costaudit.compare.side import measure
    from costaudit.errors import CostAuditError
    from costaudit.report import _check, _words
    from costaudit.report._gate import headline
    from costaudit.report._layout import shown_paths

    render = _check.renderer(format)
    copies = Copies.of(also, _check.renderer, output)
    settings = pipeline.checked(
        options.settings(
            config,
            no_cache=no_cache,
            since=since,
            until=until,
            tz=tz,
            tasks=tasks,
            min_coverage=min_coverage,
            prices_dir=prices,
        )
    )
    limits = _limits(settings, tolerance, pass_margin, min_units, fail_on, require_baseline)
    window = (options.moment(baseline_since), options.moment(baseline_until))
    with progress(quiet=quiet, verbose=verbose) as show:
        read = pipeline.requests(candidate, settings, show)
        head = pipeline.loaded(read, settings, candidate)
        finder = Finder(candidate, read, head, settings, window, show)
        base = finder.find(baseline, required=limits.require_baseline)
        last = base.volume
        unread = dict.fromkeys((*base.unread, *head.coverage.unread))
        if month is not None:
            produced = pipeline.load([month], replace(settings, since=None, until=None), show, head.book)
            last = volume(produced, settings, month)
            unread |= dict.fromkeys(produced.coverage.unread)
    name = ", ".join(map(str, candidate))
    side = measure(head.calls, head.book, name=name, window=head.window, coverage=head.coverage.share, on=base.day)
    gate = check(
        side,
        base.side,
        limits,
        floor_usd=last.floor_usd if limits.floor_usd is None else limits.floor_usd,
        min_coverage=settings.min_coverage,
        month=last.units,
        month_name=last.name,
        suppressions=settings.suppressions,
        budgets=budgets.judge(
            head.calls,
            settings.budgets,
            tz=settings.tz,
            end=head.window.end,
            suppressions=settings.suppressions,
        ),
        unread=[f"could not be read: {said}" for said in unread],
    )
    gate = replace(gate, notes=(*gate.notes, *(said for said in head.coverage.notes if UNDATED in said)))
    if base.side is None:
        note("warning: no baseline was given: nothing was compared", quiet=quiet)
    view = options.view(no_color=no_color, output=output)
    emit(render(gate, view), output)
    copies.write(gate)
    if format == "github":
        summarise(_check.renderer("markdown")(gate, view))
    if gate.exit_code == CostAuditError.exit_code:
        unpriced = ", ".join(_words.unpriced(head.coverage))
        said = (
            f"no price: {unpriced}; `costaudit doctor {shown_paths(candidate)}` prints the entries to complete"
            if unpriced
            else ""
        )
        raise CostAuditError(headline(gate), hint=said)
    if gate.exit_code:
        raise typer.Exit(gate.exit_code)


def _limits(
    settings: Settings,
    tolerance: float | None,
    pass_margin: float | None,
    min_units: int | None,
    fail_on: str | None,
    require_baseline: bool,
) -> Any:
    """The limits of the settings with the flags over them."""
    from costaudit.config import unknown
    from costaudit.errors import UsageError

    if fail_on is not None and fail_on not in FAIL_ON:
        raise unknown("value", fail_on, FAIL_ON, "--fail-on")
    if min_units is not None and not 2 <= min_units <= 1_000_000:
        raise UsageError(f"--min-units must be from 2, not {min_units}", hint="two units are the least to compare")
    changes: dict[str, Any] = {
        "tolerance": _share("--tolerance", tolerance),
        "pass_margin": _share("--pass-margin", pass_margin),
        "min_units": min_units,
        "require_baseline": require_baseline or None,
        "inconclusive": {"inconclusive": "fail", "regression": "pass"}.get(fail_on or ""),
        "report_only": None if fail_on is None else fail_on == "never",
    }
    return replace(settings.gate, **{name: value for name, value in changes.items() if value is not None})


def _share(flag: str, given: float | None) -> float | None:
    from costaudit.errors import UsageError

    if given is not None and not 0 <= given <= 10:
        raise UsageError(f"{flag} must be a share from 0 to 10, not {given}", hint="5 % is 0.05")
    return given
