"""Logs of text in which an object ends the line: what loggers, containers and journals put before it is left out."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import Any

from costaudit.ingest._blocks import Lines
from costaudit.ingest._decode import parsed
from costaudit.ingest._files import BLANK, Bad, Record, lines
from costaudit.ingest._streams import Read, Stream

ROWS = 1_000  # records that are handed on together
LOOKED = 50  # lines in which an object is looked for
OBJECT = re.compile(rb'\{\s*"')
TAG = re.compile(rb"\[[\w :.,+/-]{1,60}\][ \t]+\S")  # `[INFO] `, `[2026-09-01 08:00:00] `: no JSON array
MOMENT = re.compile(rb"\D{0,3}(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)(?![\d:])")
TIMES = frozenset(
    {"started_at", "start_time", "startTime", "request_time", "timestamp", "ts", "time", "@timestamp", "created",
     "created_at", "createTime"}
)  # fmt: skip
"""Names of a record's own time, before which that of its line gives way."""


def ends_in_objects(head: bytes, delimiter: str) -> bool:
    """Whether a line of the beginning is text and then an object, and no row of a table with one in its last cell."""
    seen = [line for line in head.split(b"\n", LOOKED)[:LOOKED] if line.strip()]
    cells = [_cells(line, delimiter) for line in seen[:1]]
    return any(
        (n == 0 or cells == [1] or _cells(line, delimiter) not in cells)
        and not line.startswith((b"{", b"data:"))
        and isinstance(_object(line), dict)
        for n, line in enumerate(seen)
    )


def _cells(line: bytes, delimiter: str) -> int:
    """How many cells a line has as a row of a table."""
    try:
        return len(next(csv.reader([line.decode("utf-8", "replace").strip("\r\n")], delimiter=delimiter), []))
    except csv.Error:
        return 0


def texts(head: Read, stream: Stream) -> Iterator[list[Record | Bad]]:
    """The objects that end the lines, with the time the line begins with if they have none of their own.

    A line of text alone is a record that says nothing.
    """
    batch: list[Record | Bad] = []
    for block in lines(head, stream):
        if isinstance(block, Lines):
            for line, number, offset in _apart(block):
                batch.append(_record(line, number, offset))
                if len(batch) >= ROWS:
                    yield batch
                    batch = []
        else:
            batch += block
    yield batch


def _apart(block: Lines) -> Iterator[tuple[bytes, int, int]]:
    number, at, offset = block.line, block.start, block.offset - block.start
    while at < block.end:
        end = block.data.find(b"\n", at, block.end)
        end = block.end if end < 0 else end
        yield bytes(memoryview(block.data)[at:end]), number, offset + at
        number, at = number + 1, end + 1
    block.lines = number - block.line


def _record(line: bytes, number: int, offset: int) -> Record | Bad:
    if not line.strip():
        return Bad(number, offset, BLANK)
    value = _object(line)
    if value is None:
        return Record(number, offset, {})
    return Record(number, offset, value) if isinstance(value, dict) else Bad(number, offset, value)


def _object(line: bytes) -> dict[str, Any] | str | None:
    """The object at the end of a line, why it is none, or None where no object begins."""
    found = OBJECT.search(line)
    if found is None:
        return None
    value = parsed(line[found.start() :].strip())
    if not isinstance(value, dict) or not TIMES.isdisjoint(value):
        return value
    told = MOMENT.match(line[: found.start()])
    return value if told is None else {"timestamp": told[1].decode().replace(",", "."), **value}
