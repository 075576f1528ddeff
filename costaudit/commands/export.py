"""Priced requests for a warehouse, or as a FOCUS table"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from costaudit.commands import _options as options
from costaudit.commands._output import STDOUT, emit, emit_table, note, progress, whole, writable

FORMATS = ("parquet", "focus")


def command(
    paths: options.Paths,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", callback=writable, help="Where to: .parquet, or .csv for FOCUS."
        ),
    ],
    format: Annotated[str, options.format_of(*FORMATS)] = "parquet",
    focus_version: Annotated[str, typer.Option(metavar="VERSION", help="1.2, 1.3 or 1.4.")] = "1.2",
    account: Annotated[str, typer.Option(metavar="ID", help="FOCUS: the billing account; only you know it.")] = "",
    account_name: Annotated[str, typer.Option(metavar="NAME", help="FOCUS: its name.")] = "",
    invoice: Annotated[str, typer.Option(metavar="ID", help="FOCUS: the invoice the charges stand on.")] = "",
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
    """Write the priced calls of the logs to a file.

    `parquet`: every call with all columns of the request table, its exact cost and how far it can be trusted; no text.
    `focus`: a cost and usage table of the FinOps open specification, a row a day, tenant, model and usage class; CSV,
    or Parquet by the file's ending. Calls without a known price, and those without a time, are left out of it, and
    counted with what they cost.
    """
    from costaudit import pipeline
    from costaudit.errors import UsageError
    from costaudit.report import _focus, csv
    from costaudit.report import _money as money

    if format == "focus" and focus_version not in _focus.VERSIONS:
        raise UsageError(f"FOCUS {focus_version} is not written", hint=f"versions: {', '.join(_focus.VERSIONS)}")
    if format == "focus" and not account:
        raise UsageError(
            "FOCUS needs a billing account", hint="--account ID: your organisation at the provider, or one of your own"
        )
    named = {"--account": account, "--account-name": account_name, "--invoice": invoice}
    named["--focus-version"] = "" if focus_version == _focus.VERSIONS[0] else focus_version
    if format != "focus" and (without := [flag for flag, value in named.items() if value]):
        raise UsageError(f"{without[0]} says something of a FOCUS table, and {format} is none", hint="add -f focus")
    if output == STDOUT and format == "parquet":
        raise UsageError("a Parquet file is not written to standard output", hint="name it: -o calls.parquet")
    if format == "parquet" and output.suffix.lower() == ".csv":
        raise UsageError(
            f"{output} would hold Parquet",
            hint="name it .parquet; CSV: -f focus, or `costaudit sql 'select * from calls' PATH -f csv`",
        )
    settings = options.settings(
        config, no_cache=no_cache, since=since, until=until, tz=tz, tasks=tasks, outcomes=outcomes, prices_dir=prices
    )
    with progress(quiet=quiet, verbose=verbose) as report:
        known = pipeline.load(paths, settings, report)
    if format == "parquet":
        emit_table(known.calls, output)
        note(f"{money.plural(known.calls.height, 'call')} written to {output}", quiet=quiet)
        whole(known.coverage)
        return
    made = _focus.table(
        known.calls, known.book, version=focus_version, account=_focus.Account(account, account_name, invoice)
    )
    if output.suffix.lower() == ".parquet":
        emit_table(made.table, output)
    else:
        emit(csv.written(made.table), output)
    note(f"{money.plural(made.table.height, 'row')} of FOCUS {focus_version} written to {output}", quiet=quiet)
    for left in made.left_out:
        worth = f": {money.usd(left.usd)}" if left.usd else ""
        note(f"left out: {money.plural(left.calls, 'call')} {left.why}{worth}", quiet=quiet)
    whole(known.coverage)
