"""The flags that several commands share: each is written once, with its help, and means the same everywhere."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec.structs import replace

from costaudit import plugins
from costaudit.commands._output import writable
from costaudit.errors import UsageError

if TYPE_CHECKING:
    from costaudit.audit import Window
    from costaudit.config import Settings
    from costaudit.report import View

PIPED = 100  # columns of a report that nobody's terminal limits


def _rules(incomplete: str) -> list[str]:
    rules = (name.replace("_", "-") for name in plugins.names("costaudit.analyze"))
    return [name for name in rules if name.startswith(incomplete)]


def format_of(*names: str) -> Any:
    """The flag --format of a command that writes these: help, completion and errors name no other."""

    def checked(ctx: typer.Context, name: str) -> str:
        from costaudit.report import suggested

        if name not in names and not ctx.resilient_parsing:
            command = ctx.command_path.removeprefix("costaudit ")
            raise UsageError(f"{command} has no format {name!r}", hint=suggested(name, names))
        return name

    return typer.Option(
        "--format",
        "-f",
        metavar="NAME",
        autocompletion=lambda incomplete: [name for name in names if name.startswith(incomplete)],
        callback=checked,
        help=f"{', '.join(names)}.",
    )


Paths = Annotated[
    list[str], typer.Argument(metavar="PATH", help="Log files, folders, globs, - for standard input, or a store.")
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        callback=writable,
        help="Write the report to a file; else, or as -, to standard output.",
    ),
]
Also = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=FILE", help="Write the same answer in another format too (repeatable)."),
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="DATE",
        help="First day or moment in, ISO 8601; else all. Calls without a time are left out then, and named.",
    ),
]
Until = Annotated[str | None, typer.Option(metavar="DATE", help="First day or moment out; else all.")]
Zone = Annotated[
    str | None,
    typer.Option("--tz", metavar="ZONE", help="Time zone of days and windows, e.g. Europe/Berlin. Default: UTC."),
]
By = Annotated[
    list[str] | None,
    typer.Option(
        "--by", metavar="NAME", help="Show this table in full: task, model, tenant, user, run, key_id, day, week …"
    ),
]
Tasks = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Which calls belong to which task: rules, or old names to new.")
]
Outcomes = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Outcomes by run_id or request_id: success, score.")
]
Select = Annotated[
    list[str] | None,
    typer.Option(metavar="RULE", autocompletion=_rules, help="Only these rules: NAME,NAME or repeatable."),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(metavar="RULE", autocompletion=_rules, help="Not these rules: NAME,NAME or repeatable."),
]
FailOn = Annotated[
    str | None,
    typer.Option(
        metavar="SEVERITY", help="Exit 1 for a finding of this severity or above: low, medium, high; else none fails."
    ),
]
MinCoverage = Annotated[
    float | None, typer.Option(metavar="SHARE", help="Exit 3 if less of the log can be priced, 0 to 1.")
]
Config = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Settings; else costaudit.yaml here or in a folder above.")
]
Prices = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Your prices over the built-in ones, or a whole book.")
]
Currency = Annotated[
    str | None,
    typer.Option(
        metavar="CODE", help="Show amounts in this currency, e.g. EUR; machines get US dollars. Default: USD."
    ),
]
Rates = Annotated[Path | None, typer.Option(metavar="FILE", help="What a dollar is worth in it, by date; YAML.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only the report and errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Name each file as it is read; tracebacks of bugs.")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Read and work out all anew; keep nothing for the next run.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="No colours; so does the variable NO_COLOR.")]


def settings(
    config: Path | None = None,
    *,
    since: str | None = None,
    until: str | None = None,
    tasks: Path | None = None,
    no_cache: bool = False,
    **flags: Any,
) -> Settings:
    """The settings of the file, with the flags that were given over them; a flag left out changes nothing.

    Raises UsageError for rates of a currency that nobody asked for.
    """
    from costaudit.config import Settings, load_assignment

    given: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in flags.items() if v is not None}
    given |= {name: rules(given[name]) for name in ("select", "ignore") if name in given}
    given |= {name: v for name, v in (("since", moment(since)), ("until", moment(until))) if v is not None}
    if no_cache:
        given["cache"] = False
    if tasks is not None:
        given["tasks"] = load_assignment("task", tasks)
    merged = replace(Settings.load(config, start=Path.cwd()), **given)
    if "rates" in given and "currency" not in given and merged.currency.upper() == "USD":
        raise UsageError("--rates without a currency changes nothing", hint="name it, e.g. --currency EUR")
    return merged


def rules(given: Iterable[str]) -> tuple[str, ...]:
    """`a,b` and `c` as three names."""
    return tuple(name.strip() for several in given for name in several.split(","))


def view(by: Sequence[str] = (), *, no_color: bool = False, output: Path | None = None, verbose: bool = False) -> View:
    """How the report will be looked at: in this terminal, or by a pipe or file."""
    from costaudit.report import View
    from costaudit.report._spark import writable

    plain = output is None and not writable(sys.stdout.encoding)  # files are written as UTF-8
    if output is not None or not sys.stdout.isatty():
        return View(width=_columns(), by=tuple(by), ascii=plain, verbose=verbose)
    color = not (no_color or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb")
    return View(
        width=shutil.get_terminal_size().columns, color=color, plain=False, by=tuple(by), ascii=plain, verbose=verbose
    )


def room(output: Path | None = None) -> int:
    """Columns of this terminal; a pipe or a file has as many as a line needs."""
    seen = view(output=output)
    return sys.maxsize if seen.plain else seen.columns


def money(settings: Settings, window: Window) -> AbstractContextManager[None]:
    """Amounts in the currency of the settings, at the rate in force when the window ends.

    Raises UsageError where a currency has no rates, ConfigError where the file has none for it.
    """
    from costaudit.report import _money

    code = settings.currency.upper()
    if code == "USD":
        return _money.shown_in(None)
    if settings.rates is None:
        raise UsageError(f"no rates for {code}", hint=f"--rates FILE with a line `{code}: {{2026-10-01: 0.92}}`")
    if window.end is None:
        raise UsageError(f"these logs have no times, so no rate of {code} holds for them")
    from costaudit.config import rate

    last = (window.end - timedelta(microseconds=1)).astimezone(settings.zone).date()
    return _money.shown_in(_money.Currency(*rate(settings.rates, code, last)))


def _columns() -> int:
    width = os.environ.get("COLUMNS", "")
    return int(width) if width.isascii() and width.isdigit() and len(width) < 5 else PIPED


def moment(written: str | None) -> date | datetime | None:

    from costaudit.config import as_moment

    if written is None:
        return None
    try:
        return as_moment(written)
    except ValueError:
        raise UsageError(f"not a date or time: {written}", hint="e.g. 2026-10-01 or 2026-10-01T09:00+02:00") from None
