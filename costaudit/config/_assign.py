"""Assignments: the user's word on what a call is - its task, tenant, user, environment or run."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import msgspec

from costaudit.config._node import Node, parse, read_text
from costaudit.config._read import each, expected, record, suggest, text
from costaudit.errors import ConfigError

TARGETS = ("task", "tenant", "user", "environment", "run_id")


class Rule(msgspec.Struct, frozen=True):
    """Calls that match get values.

    match  request column -> patterns: a glob, a /regex/, or None for "absent". In every column one
           pattern has to fit.
    give   one or more of TARGETS -> value; `$1` in it stands for the first group of the rule's only /regex/
    """

    match: Mapping[str, tuple[str | None, ...]]
    give: Mapping[str, str]
    where: str


class Assignment(msgspec.Struct, frozen=True):
    """What one of `tasks`, `tenants`, `users`, `environments`, `runs` says.

    rules  the first that matches a call decides
    names  old name -> new name, exactly as written; applied after the rules, to discovered names too
    """

    rules: tuple[Rule, ...] = ()
    names: Mapping[str, str] = msgspec.field(default_factory=dict)


def assignment(target: str, base: Path, node: Node) -> Assignment:
    """A section: a file relative to `base`, a list of rules, or a mapping of old names to new ones."""
    if isinstance(node.value, dict):
        return Assignment(names={old: text(new) for old, new in node.value.items()})
    if isinstance(node.value, list):
        return Assignment(rules=tuple(_rule(target, item) for item in node.value))
    if isinstance(node.value, str):
        return load_assignment(target, base / Path(node.value).expanduser())
    raise expected(node, "a list of rules, a mapping of old to new names, or a file that holds one of them")


def load_assignment(target: str, path: Path) -> Assignment:
    """What `--tasks FILE` holds: rules or names as YAML or JSON, names as CSV with the columns old, new.

    `target` is the column of the request table that it is about. ConfigError names file and line.
    """
    if path.suffix.lower() == ".csv":
        return Assignment(names=_csv_names(path))
    node = parse(path)
    if node is None:
        return Assignment()
    if not isinstance(node.value, dict | list):
        raise expected(node, "a list of rules or a mapping of old to new names")
    return assignment(target, path.parent, node)


def _rule(target: str, node: Node) -> Rule:
    if not isinstance(node.value, dict):
        raise expected(node, "a rule, e.g. {match: {user: 'ci-*'}, " + target + ": nightly}")
    given = record(node, {"match": _match} | dict.fromkeys(TARGETS, text), required=["match"])
    match = given.pop("match")
    if not given:
        raise ConfigError(f"{node.where}: the rule gives nothing", hint=f"add `{target}: NAME`")
    return Rule(match, given, node.where)


def _match(node: Node) -> dict[str, tuple[str | None, ...]]:
    if not isinstance(node.value, dict) or not node.value:
        raise expected(node, "a mapping of request columns to patterns")
    return {column: each(_pattern)(patterns) for column, patterns in node.value.items()}


def _pattern(node: Node) -> str | None:
    return None if node.value is None else text(node)


def _csv_names(path: Path) -> dict[str, str]:
    rows = csv.reader(io.StringIO(read_text(path)), strict=True)
    names: dict[str, str] = {}
    try:
        for number, row in enumerate(rows):
            where = f"{path}:{rows.line_num}"
            if not row or (number == 0 and [cell.strip().lower() for cell in row] == ["old", "new"]):
                continue
            if len(row) != 2 or not all(cell.strip() for cell in row):
                raise ConfigError(
                    f"{where}: expected two columns, old name and new name", hint="e.g. family-3fa2,triage"
                )
            if names.setdefault(row[0], row[1]) != row[1]:
                raise ConfigError(f"{where}: {row[0]!r} is renamed twice", hint=f"first to {names[row[0]]!r}")
    except csv.Error as error:
        raise ConfigError(f"{path}:{rows.line_num}: not readable as CSV: {error}") from error
    return names


def check_columns(assignment: Assignment, known: tuple[str, ...]) -> None:
    """ConfigError where a rule matches on a column that the request table does not have."""
    for rule in assignment.rules:
        for column in rule.match:
            if column not in known:
                raise ConfigError(f"{rule.where}: unknown request column {column!r}", hint=suggest(column, known))
