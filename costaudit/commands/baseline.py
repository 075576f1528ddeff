"""A small file to commit, that `check` compares with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from costaudit.commands import _options as options
from costaudit.commands._output import emit, note, progress, whole, writable

app = typer.Typer(
    no_args_is_help=True, help="Keep what `check` needs of these logs in a small file: no content, no rows of calls."
)


@app.callback()
def group() -> None:
    """Keep what `check` needs of these logs in a small file: no content, no rows of calls."""


@app.command()
def save(
    paths: options.Paths,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", callback=writable, help="The file to write.")
    ],
    name: Annotated[
        str, typer.Option(metavar="TEXT", help="What this baseline is called, e.g. a branch.")
    ] = "baseline",
    since: options.Since = None,
    until: options.Until = None,
    tz: options.Zone = None,
    tasks: options.Tasks = None,
    config: options.Config = None,
    prices: options.Prices = None,
    no_cache: options.NoCache = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Write unit costs, their mix and hashes of how prompts begin, by task, to a file that can be committed.

    The same logs give the same bytes. Ids of cases are hashed; prompts and answers are not in it.
    """
    from costaudit import pipeline
    from costaudit.compare import baseline
    from costaudit.compare.side import measure
    from costaudit.words import plural

    settings = options.settings(
        config, no_cache=no_cache, since=since, until=until, tz=tz, tasks=tasks, prices_dir=prices
    )
    with progress(quiet=quiet, verbose=verbose) as show:
        loaded = pipeline.load(paths, settings, show)
    whole(loaded.coverage)  # before it is saved: later builds would be compared with a part of it
    side = measure(loaded.calls, loaded.book, name=name, window=loaded.window, coverage=loaded.coverage.share)
    emit(baseline.dumps(side), output)
    counted = f"{plural(side.units.height, 'unit')} of {plural(side.units['task'].n_unique(), 'task')}"
    note(f"{output}: {counted}, priced on {side.priced_on}", quiet=quiet)
