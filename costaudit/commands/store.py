"""The store that outlives the logs: what it holds, whether it is whole, compaction."""

from __future__ import annotations

from typing import Annotated

import typer

from costaudit.commands import _options as options
from costaudit.commands._output import emit, note
from costaudit.errors import LogError, UsageError

app = typer.Typer(no_args_is_help=True, help="Look after the Parquet store that `costaudit ingest --store DIR` writes.")

Store = Annotated[str, typer.Argument(metavar="DIR", help="A store: a folder, or s3://BUCKET/PREFIX, gs://, az://.")]
FORMATS = ("terminal", "json")


@app.command()
def info(
    store: Store,
    format: Annotated[str, options.format_of(*FORMATS)] = "terminal",
    output: options.Output = None,
    config: options.Config = None,
    prices: options.Prices = None,
) -> None:
    """Show the months of a store: requests, files, size, and what they cost as far as their sums say it."""
    from costaudit.commands import _store_pages as pages
    from costaudit.commands._sums import priced_sums
    from costaudit.ingest import _store_check as check

    known = check.info(_known(store), priced_sums(store, options.settings(config, prices_dir=prices)))
    emit(pages.json(known) if format == "json" else pages.info(known, options.room(output)), output)


@app.command()
def verify(store: Store, quiet: options.Quiet = False) -> None:
    """Check every file of a store against its list: hashes, counts, times, and that no call is in it twice.

    Exit code: 0 whole; 1 something is wrong, and each line says what and where; 2 no store; 3 its list is damaged.
    """
    from costaudit.commands import _store_pages as pages
    from costaudit.ingest import _store_check as check

    found = check.verify(_known(store))
    for said in found.notes:
        note(said, quiet=quiet)
    emit(pages.verified(found))
    if found.problems:
        raise typer.Exit(1)


@app.command()
def compact(
    store: Store, config: options.Config = None, prices: options.Prices = None, quiet: options.Quiet = False
) -> None:
    """Write each month in as few files as it needs, bring its sums up to date, and remove what nothing names.

    Then every file is checked as by `verify`. Exit code: 0 whole; 1 something is wrong, and each line says what and
    where; 2 no store; 3 its list is damaged.
    """
    from costaudit.commands import _store_pages as pages
    from costaudit.commands._sums import summary
    from costaudit.ingest import _store as stored
    from costaudit.ingest import _store_check as check
    from costaudit.report import _money as money

    known, stopped = _known(store), None
    try:
        done = stored.compact(known, summary(options.settings(config, prices_dir=prices)))
    except LogError as problem:
        stopped = problem
    if (found := check.verify(known)).problems:
        emit(pages.verified(found))
        raise typer.Exit(1)
    if stopped is not None:
        raise stopped
    if done.swept:
        note(f"removed {money.plural(done.swept, 'file')} that a stopped process had left", quiet=quiet)
    emit(f"{store}: {money.plural(done.before, 'part')} before, {done.after:,} now\n")


def _known(where: str) -> str:
    """The store of that name; UsageError where there is none, LogError where nobody can say."""
    from costaudit.ingest._parts import at

    place = at(where)
    if not place.exists():
        raise UsageError(f"{place.shown}: not a store", hint="costaudit ingest LOGS --store DIR makes one")
    return where
