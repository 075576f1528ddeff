"""A commented costaudit.yaml from what the logs contain"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from costaudit.commands import _options as options
from costaudit.commands._output import emit, note, progress, writable


def command(
    paths: options.Paths,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", callback=writable, help="Where to write; - prints it.")
    ] = Path("costaudit.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    tz: options.Zone = None,
    no_cache: options.NoCache = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Write a settings file to begin with: tasks to name, models that need a price, budgets, limits.

    Nothing in it is in force but the time zone until you remove the `#` of a line. A file that is there is kept.
    """
    from costaudit.config import Settings
    from costaudit.errors import UsageError
    from costaudit.known import Known
    from costaudit.report._settings import proposal

    printed = str(output) == "-"
    if not printed and output.exists() and not force:
        raise UsageError(f"{output} is there already", hint="--force replaces it, -o - prints the proposal")
    settings = Settings(cache=not no_cache) if tz is None else Settings(tz=tz, cache=not no_cache)
    with progress(quiet=quiet, verbose=verbose) as show:
        audit = Known(paths, settings).audit(show)
    text = proposal(audit, tz=settings.tz)
    emit(text, None if printed else output)
    if not printed:
        note(f"wrote {output}", quiet=quiet)
