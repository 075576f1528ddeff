"""The pages of the rules, read from their source: an explanation needs no table library, and answers at once."""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from costaudit import plugins
from costaudit.errors import UsageError

if TYPE_CHECKING:  # a page needs no table
    from costaudit.finding import LeverName

RULES = "costaudit.analyze"


class Threshold(NamedTuple):
    """An option of a rule as its source states it."""

    name: str
    default: str
    unit: str
    meaning: str


class Page(NamedTuple):
    """What a rule says about itself."""

    rule: str
    aliases: tuple[str, ...]
    text: str
    options: tuple[Threshold, ...]
    levers: tuple[LeverName, ...]


def pages() -> tuple[Page, ...]:
    """The page of every rule, by name."""
    homes = [Path(home) for home in plugins.folder(RULES)]
    found = [
        page
        for home in homes
        for name in plugins.names(RULES)
        for page in _pages((home / f"{name}.py").read_text("utf-8"))
    ]
    return tuple(sorted(found))


def page(rule: str) -> Page:
    """The page of one rule, under its name or an old one; UsageError with a suggestion for an unknown one."""
    wanted = rule.strip().lower().replace("_", "-")
    every = pages()
    for one in every:
        if wanted in (one.rule, *one.aliases):
            return one
    names = [one.rule for one in every]
    part = wanted.rstrip("s")
    near = difflib.get_close_matches(wanted, names, n=1) or [name for name in names if part and part in name]
    hint = f"did you mean {near[0]}?" if near else f"rules: {', '.join(names)}"
    raise UsageError(f"no rule is called {rule!r}", hint=hint)


def _pages(source: str) -> Iterator[Page]:
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            constants = _constants(node)
            if isinstance(name := constants.get("name"), str):
                old = constants.get("aliases", ())
                aliases = tuple(str(alias) for alias in old) if isinstance(old, tuple) else ()
                levers = cast("tuple[LeverName, ...]", constants.get("levers", ()))
                yield Page(name, aliases, ast.get_docstring(node) or "", tuple(_options(node)), levers)


def _constants(node: ast.ClassDef) -> dict[str, object]:
    """Class attributes whose value stands in the source as a literal."""
    found: dict[str, object] = {}
    for item in node.body:
        target = item.targets[0] if isinstance(item, ast.Assign) else getattr(item, "target", None)
        if isinstance(item, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name) and item.value is not None:
            try:
                found[target.id] = ast.literal_eval(item.value)
            except ValueError:
                continue
    return found


def _options(node: ast.ClassDef) -> Iterator[Threshold]:
    for item in node.body:
        if (
            isinstance(item, ast.AnnAssign)
            and isinstance(item.target, ast.Name)
            and isinstance(item.value, ast.Call)
            and isinstance(item.value.func, ast.Name)
            and item.value.func.id == "option"
            and len(item.value.args) == 3
        ):
            default, unit, meaning = item.value.args
            yield Threshold(item.target.id, _written(default), _text(unit), _text(meaning))


def _written(node: ast.expr) -> str:
    """A default as a settings file would write it: `Decimal("0.05")` is 0.05."""
    if isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords:
        return _text(node.args[0])
    if isinstance(node, ast.Tuple | ast.List | ast.Dict) and not ast.literal_eval(node):
        return "none"
    if isinstance(node, ast.Tuple):
        return f"[{', '.join(map(str, ast.literal_eval(node)))}]"
    return _text(node)


def _text(node: ast.expr) -> str:
    try:
        return inspect.cleandoc(str(ast.literal_eval(node)))
    except ValueError:
        return ast.unparse(node)
