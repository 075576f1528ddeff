"""How each section of costaudit.yaml is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from costaudit.config._assign import Assignment, assignment
from costaudit.config._node import Node
from costaudit.config._nouns import Budget, Columns, Forecast, Gate, Located, Suppression
from costaudit.config._read import (
    Reader,
    choice,
    day,
    each,
    expected,
    flag,
    mapping,
    moment,
    names,
    number,
    record,
    text,
    usd,
    whole,
    zone,
)

SEVERITIES = ("low", "medium", "high")
BY = (
    "task",
    "model",
    "provider",
    "tenant",
    "user",
    "environment",
    "key_id",
    "format",
    "source_file",
    "run",
    "hour",
    "day",
    "week",
    "month",
)
SCOPES = ("task", "tenant", "model", "provider", "user", "environment", "key_id")


def sections(base: Path) -> dict[str, Reader[Any]]:
    """How each key of the file is read; the keys are the fields of Settings."""

    def path(node: Node) -> Path:
        return base / Path(text(node)).expanduser()

    def about(target: str) -> Reader[Assignment]:
        return lambda node: assignment(target, base, node)

    return {
        "tz": zone,
        "since": moment,
        "until": moment,
        "floor_usd": usd,
        "floor_share": number(0, 1),
        "min_coverage": number(0, 1),
        "fail_on": choice(*SEVERITIES),
        "select": each(text),
        "ignore": each(text),
        "by": each(choice(*BY)),
        "rules": names(lambda node: {option: value.plain() for option, value in mapping(node).items()}),
        "tasks": about("task"),
        "tenants": about("tenant"),
        "users": about("user"),
        "environments": about("environment"),
        "runs": about("run_id"),
        "columns": _columns,
        "prices": each(_located),
        "prices_dir": path,
        "cache": flag,
        "cache_dir": path,
        "currency": text,
        "rates": path,
        "budgets": each(_budget),
        "gate": _gate,
        "suppressions": each(_suppression),
        "forecast": _forecast,
        "outcomes": path,
        "revenue": path,
        "limits": path,
    }


def _columns(node: Node) -> tuple[Columns, ...]:
    """One mapping for all files, or a list of {files: GLOB, columns: {...}}; the first that fits decides."""
    if isinstance(node.value, list):
        shape: dict[str, Reader[Any]] = {"files": text, "columns": names(text)}
        given = [(item.where, record(item, shape, required=["columns"])) for item in node.value]
        return tuple(Columns(it["columns"], it.get("files", "*"), where) for where, it in given)
    return (Columns(names(text)(node), where=node.where),)


def _located(node: Node) -> Located:
    return Located({key: value.plain() for key, value in mapping(node).items()}, node.file, node.line)


def _budget(node: Node) -> Budget:
    shape: dict[str, Reader[Any]] = {"usd": usd, "per": choice("month", "week", "day", "run", "call")}
    given = record(node, shape | dict.fromkeys(SCOPES, text), required=["usd"])
    scope = {key: given[key] for key in SCOPES if key in given}
    return Budget(given["usd"], given.get("per", "month"), scope, node.where)


def _suppression(node: Node) -> Suppression:
    shape: dict[str, Reader[Any]] = {
        "rule": text,
        "subject": names(text),
        "owner": text,
        "reason": text,
        "until": day,
        "max_usd": usd,
    }
    # Owner, reason and end are required: an exception that nobody owns never ends.
    given = record(node, shape, required=["rule", "subject", "owner", "reason", "until"])
    return Suppression(**given, where=node.where)


def _gate(node: Node) -> Gate:
    shape: dict[str, Reader[Any]] = {
        "tolerance": number(0),
        "pass_margin": number(0),
        "min_units": whole(2),
        "inconclusive": choice("pass", "fail"),
        "require_baseline": flag,
        "report_only": flag,
        "floor_usd": usd,
    }
    return Gate(**record(node, shape))


def _forecast(node: Node) -> Forecast:
    def factor(item: Node) -> float:
        value = number(0)(item)
        if value == 0:
            raise expected(item, "a growth factor above 0, e.g. 2")
        return value

    shape: dict[str, Reader[Any]] = {
        "growth": each(factor),
        "horizon_weeks": whole(1),
        "interval": number(0.5, 0.99),
        "growth_by": choice("traffic", "tenants"),
    }
    return Forecast(**record(node, shape))


def origins(node: Node) -> dict[str, str]:
    """Setting -> file:line for everything in the file, by dotted path."""
    found = {node.path: node.where}
    children = node.value.values() if isinstance(node.value, dict) else ()
    for child in children:
        found |= origins(child)
    return found
