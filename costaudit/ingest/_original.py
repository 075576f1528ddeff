"""The record a call was read from, opened again in its log: the only way back to text, and only when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from costaudit.errors import LogError
from costaudit.ingest._decode import parsed, unfolded
from costaudit.ingest._files import LogFile, Record, records
from costaudit.prompts import Difference

PROMPTS = (
    "system",
    "systemInstruction",
    "system_instruction",
    "instructions",
    "tools",
    "messages",
    "input",
    "contents",
    "prompt",
)
DEPTH = 6  # how deep a prompt may stand in a record
BESIDE = 60  # characters shown on either side of a difference


def original(source_file: str, line: int) -> dict[str, Any]:
    """The record at a line of a log (for a container: its element), as it stands there.

    Raises LogError where the log has gone, or holds something else there by now.
    """
    path = Path(source_file)
    if not path.is_file():
        raise LogError(
            f"{source_file}: the log is no longer there", hint="the store keeps no text; bring the log back to read it"
        )
    for batch in records(LogFile(path, source_file)):
        for item in batch:
            if item.line == line and isinstance(item, Record):
                value = parsed(item.data)
                if isinstance(value, dict):
                    return value
    raise LogError(f"{source_file}:{line}: no record there now", hint="the log was changed after it was read")


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> Difference | None:
    """The first place where the prompts of two records differ; None where they do not, or none was found."""
    sides = [list(islice(_texts(_prompts(record)), 10_000)) for record in (one, other)]
    for (place, first), (_, second) in zip(*sides, strict=False):
        if first != second:
            at = next(
                (n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
            )
            start = max(0, at - BESIDE)
            return Difference(place, at + 1, first[start : at + BESIDE], second[start : at + BESIDE], start)
    longer = max(sides, key=len)
    shared = min(map(len, sides))
    if len(longer) > shared:
        place, text = longer[shared]
        ends = ("", text[:BESIDE]) if longer is sides[1] else (text[:BESIDE], "")
        return Difference(place, 1, *ends)
    return None


def _prompts(record: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The parts of a record that are sent to a model, in the order in which providers read them."""
    level: list[tuple[str, Any]] = [("", record)]
    for _ in range(DEPTH):
        below: list[tuple[str, Any]] = []
        for path, value in level:
            value = unfolded(value)
            if not isinstance(value, Mapping):
                continue
            found = [(f"{path}{name}", value[name]) for name in PROMPTS if value.get(name)]
            if any(name.rpartition(".")[2] in ("messages", "input", "contents", "prompt") for name, _ in found):
                return found
            below += [(f"{path}{key}.", child) for key, child in value.items()]
        level = below[:2_000]
    return []


def _texts(parts: Sequence[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    """Every text and number of the parts with its place, in order, without recursion."""
    stack = list(reversed(parts))
    while stack:
        place, value = stack.pop()
        if isinstance(value, Mapping):
            stack += [(f"{place}.{key}", child) for key, child in reversed(list(value.items()))]
        elif isinstance(value, list | tuple):
            stack += [(f"{place}[{n}]", child) for n, child in reversed(list(enumerate(value)))]
        elif value is not None:
            yield place, str(value)
