"""The program: which command, and how an end is told. The commands themselves live in `costaudit.commands`."""

from __future__ import annotations

import importlib
import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from costaudit import __version__, commands, plugins
from costaudit.commands import _flags
from costaudit.errors import CostAuditError, UsageError

SIGNALLED = 128  # and the number of the signal that ended the program, as shells count
INTERRUPTED = SIGNALLED + signal.SIGINT
ASKED = ("SIGTERM", "SIGHUP")  # to end, by those who stop a job and by a terminal that is closed
BUG_EXIT = 3  # never 1: a crash must not read as a proved regression, nor as findings
NAME = 200  # characters of a path in a message
_TYPE = re.compile(r" <[\w\[\] ]+>\Z")  # `PATH <list[str]>`: how Python calls it is no help
_SUMMARY = re.compile(r'\A"""(.+?)(?:"""|\n)')


def summary(name: str) -> str:
    """The first line of a command module's docstring, read from its source: importing all would cost 100 ms."""
    source = Path(commands.__path__[0]) / f"{name}.py"
    found = _SUMMARY.match(source.read_text(encoding="utf-8"))
    return found[1].rstrip(".") if found else ""


def load(name: str) -> Any:
    """The command of that name as typer builds it: the only place where a command module is imported."""
    module = importlib.import_module(f"{commands.__name__}.{name}")
    group: typer.Typer | None = getattr(module, "app", None)
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    if group is None:
        app.command(name, cls=Command)(module.command)
        return typer.main.get_command(app)
    app.add_typer(group, name=name, cls=Group)
    group.rich_markup_mode = None
    for one in group.registered_commands:
        one.cls = Command
    return typer.main.get_group(app).commands[name]


class Command(_flags.Parser, TyperCommand):
    """A command whose help names its arguments and not their Python types."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        for title, kind in (("Arguments", "argument"), ("Options", "option")):
            records = [one.get_help_record(ctx) for one in self.get_params(ctx) if one.param_type_name == kind]
            if rows := [(_TYPE.sub("", record[0]), record[1]) for record in records if record]:
                with formatter.section(title):
                    formatter.write_dl(rows)


class Group(_flags.Parser, TyperGroup):
    """Commands under one name, each with the whole first sentence of its help: typer would cut it."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.commands and not ctx.resilient_parsing:
            raise _flags.no_command(args[0], self.list_commands(ctx), ctx)
        return super().resolve_command(ctx, args)

    def sentence(self, name: str) -> str:
        return self.commands[name].get_short_help_str(limit=400)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        rows = [(name, self.sentence(name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class Later(TyperCommand):
    """A command that is imported when it is used, not when it is listed."""

    def make_context(self, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        return load(str(self.name)).make_context(info_name, args, parent=parent, **extra)


class Program(Group):
    """The group of all commands: help and completion import none of them."""

    def __init__(self, **settings: Any) -> None:
        later = [Later(name, help=summary(name)) for name in plugins.names(commands.__name__)]
        super().__init__(**settings | {"commands": later})

    def sentence(self, name: str) -> str:
        return summary(name)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"costaudit {__version__}")
        raise typer.Exit


program = typer.Typer(
    name="costaudit",
    cls=Program,
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with `costaudit analyze PATH`: files, folders or globs, any format, mixed and compressed.",
)


@program.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Offline cost audit of LLM request logs: where the money went, what bought nothing, what to change."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and end the process with its exit code."""
    if sys.stdout is None:  # closed by whoever started the program
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    _end_when_asked()
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")  # an output encoding without some character is no reason to stop
    try:
        typer.main.get_command(program).main(args=given, prog_name="costaudit")
    except CostAuditError as error:
        _tell(f"error: {error}", f"hint: {error.hint}" if error.hint else "")
        sys.exit(error.exit_code)
    except OSError as error:  # of a file or a folder that nobody expected to be such
        _tell(f"error: {_named(error)}: {error.strerror or error}", "hint: check that it is there and may be used")
        sys.exit(UsageError.exit_code if error.filename else BUG_EXIT)
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        if "KeyboardInterrupt" in f"{type(error).__name__} {error}":  # polars stops in its own way
            sys.exit(INTERRUPTED)
        if os.environ.get("COSTAUDIT_DEBUG") or {"-v", "--verbose"} & set(given):
            traceback.print_exc()
        _tell(
            f"error: this is a bug in costaudit {__version__}: {type(error).__name__}: {error}",
            "hint: the same command with COSTAUDIT_DEBUG=1 prints the traceback to report",
        )
        sys.exit(BUG_EXIT)


def _end_when_asked() -> None:
    """Let signals that ask for the end end the program as errors do: workers stopped, temporary files removed."""

    def end(number: int, _: Any) -> None:
        sys.exit(SIGNALLED + number)

    for known in (getattr(signal, name) for name in ASKED if hasattr(signal, name)):
        with suppress(ValueError):  # not in the main thread: then whoever called answers for it
            if signal.getsignal(known) is signal.SIG_DFL:  # `nohup` has it ignored
                signal.signal(known, end)


def _named(error: OSError) -> str:
    name = str(error.filename or "cannot read or write")
    return name if len(name) <= NAME else f"{name[:NAME]}…"


def _tell(*lines: str) -> None:
    from costaudit.report._text import clean

    for line in lines:
        if line:
            typer.echo(clean(line), err=True)
