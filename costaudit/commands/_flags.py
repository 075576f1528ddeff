"""How words of a command line become values, and how a wrong one is told: what, where, what next, exit code 2.

Typer makes values through pydantic, whose import costs as much as everything else that `costaudit explain` does; the
few types used here (text, paths, numbers, lists of them) need none. Anything else is left to typer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args, get_origin

import typer
from typer.core import TyperArgument, TyperOption

from costaudit.errors import UsageError

_EXTRA = re.compile(r"Got unexpected extra argument\(s\) \((.*)\)\Z", re.DOTALL)


def _whole(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise ValueError(f"not a whole number: {word}") from None


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"not a number: {word}") from None


READERS: dict[Any, Callable[[Any], Any]] = {str: str, Path: Path, int: _whole, float: _number}


class _Own:
    """What a flag and an argument have in common."""

    def process_value(self: Any, ctx: Any, value: Any) -> Any:
        kind = self.type_descriptor.annotation
        many = get_origin(kind) is list
        read = READERS.get(get_args(kind)[0] if many else kind)
        if value is not None and read is None:
            return super().process_value(ctx, value)  # type: ignore[misc]
        try:
            self.said(value)
            if many:
                value = tuple(map(read or str, value or ()))
            elif value is not None and read is not None:
                value = read(value)
        except ValueError as wrong:
            raise UsageError(f"{named(self)}: {wrong}", hint=self.help or "") from None
        self.within(value)
        if self.required and self.value_is_missing(value):
            raise UsageError(f"{ctx.command_path} needs {named(self)}", hint=needed(self, ctx))
        return value if self.callback is None else self.callback(ctx, self, value)

    def said(self: Any, value: Any) -> None:
        """ValueError for an empty word: as a path it would be the current folder."""
        if value != self.default and "" in (value if isinstance(value, list | tuple) else (value,)):
            raise ValueError("its value is empty; is a variable not set?")

    def within(self: Any, value: Any) -> None:
        """UsageError for a number outside the range of its flag."""
        low, high = self.min, self.max
        if value is not None and ((low is not None and value < low) or (high is not None and value > high)):
            raise UsageError(f"{named(self)} must be from {low} to {high}, not {value}", hint=self.help or "")


class Option(_Own, TyperOption):
    """A flag with a value."""


class Argument(_Own, TyperArgument):
    """A value without a flag."""


class Parser:
    """What the commands and groups of this program have in common."""

    def parse_args(self: Any, ctx: Any, args: list[str]) -> list[str]:
        self.params = [_own(one) for one in self.params]
        with told(ctx):
            found: list[str] = super().parse_args(ctx, args)  # type: ignore[misc]
            return found

    def get_help_option(self: Any, ctx: Any) -> Any:
        option = super().get_help_option(ctx)  # type: ignore[misc]
        return option and vars(self).setdefault("_helping", _own(option))  # the same one each time: typer compares


def _own(parameter: Any) -> Any:
    """A parameter as typer made it of a signature, with the ways of this module."""
    if isinstance(parameter, _Own):
        return parameter
    kind: Any = Option if isinstance(parameter, TyperOption) else Argument
    made = kind.__new__(kind)
    vars(made).update(vars(parameter))
    return made


def named(parameter: Any) -> str:
    """`--format`, or `PATH`."""
    return str(max(parameter.opts, key=len) if isinstance(parameter, TyperOption) else parameter.display_name_raw)


def needed(parameter: Any, ctx: Any) -> str:
    said = f"{named(parameter)}: {parameter.help} " if parameter.help else ""
    return f"{said}{helped(ctx)}"


def helped(ctx: Any) -> str:
    return f"`{ctx.command_path} --help` says more"


@contextmanager
def told(ctx: Any) -> Iterator[None]:
    """Errors of the parser of flags, in the form of all others."""
    try:
        yield
    except typer.TyperException as wrong:
        raise _phrased(wrong, ctx) from None


def _phrased(wrong: Any, ctx: Any) -> Exception:
    """The error as this program says it; told by name, for typer keeps the classes to itself."""
    flags = {flag: one for one in ctx.command.get_params(ctx) for flag in (*one.opts, *one.secondary_opts)}
    match type(wrong).__name__:
        case "NoSuchOption":
            return UsageError(
                f"{ctx.command_path} has no flag {wrong.option_name}",
                hint=nearest(wrong.option_name, [flag for flag in flags if flag.startswith("--")]) or helped(ctx),
            )
        case "BadOptionUsage" if one := flags.get(wrong.option_name):
            if getattr(one, "is_flag", False):
                return UsageError(f"{wrong.option_name} takes no value", hint=helped(ctx))
            return UsageError(f"{wrong.option_name} needs a value: {one.metavar or 'TEXT'}", hint=one.help or "")
        case "NoArgsIsHelpError":
            return wrong  # type: ignore[no-any-return]
    said = str(wrong.format_message()).rstrip(".")
    if extra := _EXTRA.match(said):
        return UsageError(f"{ctx.command_path} has no place for {extra[1]}", hint=str(ctx.get_usage()))
    return UsageError(f"{ctx.command_path}: {said}", hint=helped(ctx))


def nearest(typed: str, known: Sequence[str]) -> str:
    """A suggestion for something misspelt; empty where nothing is near."""
    from difflib import get_close_matches

    near = get_close_matches(typed, known, n=1)
    return f"did you mean {near[0]}?" if near else ""


def no_command(typed: str, known: Sequence[str], ctx: Any) -> UsageError:
    """What is said of a word that is no command; logs without a command are a likely wish."""
    near = nearest(typed, known)
    if not near and ctx.parent is None and Path(typed).exists():
        near = f"to audit it: {ctx.command_path} analyze {typed}"
    return UsageError(f"{ctx.command_path} has no command {typed!r}", hint=near or f"commands: {', '.join(known)}")
