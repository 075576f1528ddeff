"""Readers: from a node of a settings file to a value of the right type, or a ConfigError.

The error says what was expected, and where. A reader is a function of one node; readers of lists and
records are made of readers.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from costaudit.config._node import Node
from costaudit.errors import ConfigError

T = TypeVar("T")
Reader = Callable[[Node], T]

MAX_USD = Decimal(10) ** 15  # fits Decimal(38, 18) with room for sums


def suggest(name: str, known: Iterable[str]) -> str:
    """A hint for a name that is not known: the nearest ones, else all of them."""
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=2, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(repr(n) for n in near) + "?"
    return "known: " + ", ".join(names)


def unknown(kind: str, name: str, known: Iterable[str], where: str, inside: str = "") -> ConfigError:
    return ConfigError(f"{where}: unknown {kind} {name!r}{inside}", hint=suggest(name, known))


def expected(node: Node, what: str) -> ConfigError:
    return ConfigError(f"{node.where}: {node.what} must be {what}, not {node.shown}")


def text(node: Node) -> str:
    """Text as written: YAML's idea of numbers, dates and booleans does not change a name."""
    if isinstance(node.value, dict | list) or node.value is None or not node.text.strip():
        raise expected(node, "text")
    return node.text


def flag(node: Node) -> bool:
    if not isinstance(node.value, bool):
        raise expected(node, "true or false")
    return node.value


def whole(low: int = 0) -> Reader[int]:
    def read(node: Node) -> int:
        if isinstance(node.value, bool) or not isinstance(node.value, int) or node.value < low:
            raise expected(node, f"a whole number of at least {low}")
        return node.value

    return read


def number(low: float, high: float = float("inf")) -> Reader[float]:
    what = f"a number from {low:g} to {high:g}" if high != float("inf") else f"a number of at least {low:g}"

    def read(node: Node) -> float:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise expected(node, what)
        if value == float("inf"):
            raise expected(node, what)
        return float(value)

    return read


def usd(node: Node) -> Decimal:
    """An amount in US dollars, exactly as written."""
    try:
        value = Decimal(node.text.replace("_", ""))
    except InvalidOperation:
        raise expected(node, "an amount in US dollars, e.g. 12.50") from None
    if not value.is_finite() or not 0 <= value < MAX_USD:
        raise expected(node, "an amount in US dollars from 0")
    return value


def choice(*words: str) -> Reader[str]:
    def read(node: Node) -> str:
        word = node.text if not isinstance(node.value, dict | list) else ""
        if word not in words:
            error = expected(node, "one of " + ", ".join(words))
            error.hint = suggest(word, words)
            raise error
        return word

    return read


def day(node: Node) -> date:
    if type(node.value) is not date:
        raise expected(node, "a date, e.g. 2026-10-31")
    return node.value


def moment(node: Node) -> date | datetime:
    """A date, or a time with or without its own offset; without one it is meant in the report's zone."""
    try:
        return as_moment(node.text)
    except ValueError:
        raise expected(node, "a date or a time, e.g. 2026-10-31 or 2026-10-31T06:00") from None


def as_moment(written: str) -> date | datetime:
    """A date or time in ISO 8601; ValueError otherwise."""
    return date.fromisoformat(written) if len(written) <= len("2026-10-31") else datetime.fromisoformat(written)


def zone(node: Node) -> str:
    name = text(node)
    if not is_zone(name):
        raise expected(node, "a time zone, e.g. Europe/Berlin")
    return name


# Files of the zone database that the standard library opens as zones, and that are none to whoever counts days.
NO_ZONES = ("Factory", "localtime", "posixrules")
OTHER_CLOCKS = ("posix/", "right/")


def is_zone(name: str) -> bool:
    """Whether the name is a time zone; UTC is one even where no zone data is installed."""
    if name == "UTC":
        return True
    if name in NO_ZONES or name.startswith(OTHER_CLOCKS):
        return False
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def each(read: Reader[T]) -> Reader[tuple[T, ...]]:
    """A list; a single value stands for a list of one."""

    def read_all(node: Node) -> tuple[T, ...]:
        if isinstance(node.value, list):
            return tuple(read(item) for item in node.value)
        return (read(node),)

    return read_all


def mapping(node: Node) -> dict[str, Node]:
    if not isinstance(node.value, dict):
        raise expected(node, "a mapping")
    return node.value


def names(read: Reader[T]) -> Reader[dict[str, T]]:
    """A mapping with free keys."""

    def read_all(node: Node) -> dict[str, T]:
        return {key: read(value) for key, value in mapping(node).items()}

    return read_all


def record(node: Node, fields: Mapping[str, Reader[Any]], required: Iterable[str] = ()) -> dict[str, Any]:
    """A mapping with known keys; the values of those that are given."""
    given = mapping(node)
    for key, value in given.items():
        if key not in fields:
            raise unknown("key", key, fields, value.where, f" in {node.path}" if node.path else "")
    for key in required:
        if key not in given:
            raise ConfigError(f"{node.where}: {node.what} lacks {key!r}", hint=f"it takes {', '.join(fields)}")
    return {key: fields[key](value) for key, value in given.items()}
