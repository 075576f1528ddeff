"""Containers of records: JSON arrays, documents, tables; a large one is never held in memory as a whole."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from costaudit.ingest._blocks import LONGEST, TOO_LONG, Lines
from costaudit.ingest._decode import mended, parsed
from costaudit.ingest._elements import elements
from costaudit.ingest._files import (
    UNREADABLE,
    Bad,
    Record,
    delimiter,
    lines,
    of_array,
)
from costaudit.ingest._streams import CHUNK, Read, Stream, head_and_rest

LARGE = 32 << 20  # bytes of a JSON file from which its values are read one by one, at a third of the speed
WEIGHT = 4 << 20  # bytes of values that are handed on together
ROWS = 10_000  # of a table, likewise
DAMAGED = "not JSON from here on"
ABSENT = ("", None, r"\N")  # cells that hold nothing; the last one as databases write it
COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+")  # a decimal one


def array(head: Read, stream: Stream) -> Iterator[Lines | list[Record | Bad]]:
    """A JSON array of records, or of arrays of records; lines that are arrays each are a log of batches."""
    rest = head_and_rest(head, stream, LARGE)
    data = rest.data
    if len(data) >= LARGE and not rest.problem:
        first, newline, _ = data.partition(b"\n")
        if newline and _is_array(first):
            yield from lines(rest, stream)
            return
        inner = data.index(b"[") + 1
        yield from _large(data[inner:], stream, inner)
        return
    try:
        found = msgspec.json.decode(data, type=list[msgspec.Raw])
    except UNREADABLE:
        first, newline, _ = data.strip().partition(b"\n")
        if newline and first.rstrip().endswith(b"]"):
            yield from lines(Read(data, rest.problem), io.BytesIO())
            return
        yield from _or_lines(_values(data.lstrip(b"\xef\xbb\xbf \t\r\n")[1:], rest.problem), rest)
        return
    numbered = enumerate(map(bytes, found), 1)
    yield [r for n, e in numbered for r in (of_array(e, n, 0) if e.startswith(b"[") else [Record(n, 0, e)])]


def _is_array(line: bytes) -> bool:
    """Whether the first line of a large file is an array by itself: a log of batches, one a line."""
    try:
        msgspec.json.decode(line.strip().removeprefix(b"\xef\xbb\xbf"), type=list[msgspec.Raw])
    except UNREADABLE:
        return False
    return True


def documents(head: Read, stream: Stream) -> Iterator[Lines | list[Record | Bad]]:
    """Pretty-printed documents, one or several after each other."""
    rest = head_and_rest(head, stream, LARGE)
    data = rest.data
    if len(data) >= LARGE and not rest.problem:
        if _broken(data) and any(_objects(data)):
            yield from lines(rest, stream)
            return
        for batch in _large(data.removeprefix(b"\xef\xbb\xbf"), stream, 0):
            yield [_opened(item) for item in batch]
        return
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except UNREADABLE:
        yield from _or_lines(_values(data, rest.problem), rest)
    else:
        yield [Record(1, 0, data)]


def _or_lines(values: list[Record | Bad], rest: Read) -> Iterator[Lines | list[Record | Bad]]:
    """The values up to the damage; the lines where they give more: of a log whose first line is damaged."""
    damaged = any(isinstance(value, Bad) and value.reason.startswith(DAMAGED) for value in values)
    if damaged and sum(_objects(rest.data)) >= len(values):
        yield from lines(rest, io.BytesIO())
    else:
        yield values


def _broken(data: bytes) -> bool:
    """Whether the first value of a file is damaged before its third line ends, as no document that goes on is."""
    text = mended(data).decode().lstrip("\ufeff \t\r\n")
    try:
        json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as damage:
        return damage.lineno <= 3
    except RecursionError:
        pass
    return False


def _objects(data: bytes) -> Iterator[bool]:
    """For each line below the first that begins an object, whether it is a whole one with keys.

    In a document that is printed over several lines none is.
    """
    at = data.find(b"\n{")
    while at >= 0:
        end = data.find(b"\n", at + 1)
        try:
            yield bool(msgspec.json.decode(data[at + 1 : end if end > 0 else None], type=dict[str, msgspec.Raw]))
        except UNREADABLE:
            yield False
        at = data.find(b"\n{", at + 1)


def _opened(item: Record | Bad) -> Record | Bad:
    """A document without the spaces it is printed with, which are no part of its prompts."""
    value = parsed(item.data) if isinstance(item, Record) and isinstance(item.data, bytes) else None
    return item._replace(data=value) if isinstance(item, Record) and isinstance(value, dict) else item


def _large(data: bytes, stream: Stream, offset: int) -> Iterator[list[Record | Bad]]:
    """The values of a large file one by one; a damaged one costs itself."""
    batch: list[Record | Bad] = []
    weight = number = 0
    for number, at, value, wrong in elements(data, stream.read, offset):
        if wrong:
            batch.append(Bad(number, at, wrong))
        elif value.startswith(b"["):
            batch += of_array(value, number, 0)
        else:
            batch.append(Record(number, 0, value))
        weight += len(value)
        if weight >= WEIGHT:
            yield batch
            batch, weight = [], 0
    if problem := getattr(stream, "problem", ""):
        batch.append(Bad(number + 1, 0, problem))
    yield batch


def _values(data: bytes, problem: str) -> list[Record | Bad]:
    """JSON values one after the other, commas between them allowed; the first damage ends the reading."""
    text = mended(data).decode().lstrip("\ufeff")
    decoder = json.JSONDecoder()
    batch: list[Record | Bad] = []
    at = 0
    while True:
        while at < len(text) and text[at] in " \t\r\n,]":
            at += 1
        if at >= len(text):
            break
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as damage:
            batch.append(Bad(len(batch) + 1, at, f"{DAMAGED} ({damage})"))
            break
        if isinstance(value, dict):
            batch.append(Record(len(batch) + 1, at, value))
        else:
            batch.append(Bad(len(batch) + 1, at, "not a JSON object"))
        at = end
    if problem:
        batch.append(Bad(len(batch) + 1, at, problem))
    return batch


def table(head: Read, stream: Stream) -> Iterator[list[Record | Bad]]:
    """CSV or TSV with a header, row by row; cells that hold nothing are absent."""
    header = head.data.removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0]
    chained = _Chained(head.data.removeprefix(b"\xef\xbb\xbf"), None if head.problem else stream)
    text = io.TextIOWrapper(io.BufferedReader(chained), encoding="utf-8", errors="replace", newline="")
    csv.field_size_limit(LONGEST)  # prompts are cells too
    mark = delimiter(header)
    reader = csv.DictReader(text, delimiter=mark)
    cell = _pointed if mark == ";" else _as_it_is
    batch: list[Record | Bad] = []
    handed = 0
    try:
        for row in reader:
            if None in row:
                batch.append(Bad(reader.line_num, 0, "more cells than the header has"))
            else:
                batch.append(Record(reader.line_num, 0, {k: cell(v) for k, v in row.items() if v not in ABSENT}))
            if len(batch) >= ROWS or chained.given - handed > LARGE:
                yield batch
                batch, handed = [], chained.given
    except csv.Error as problem:
        batch.append(Bad(reader.line_num, 0, f"not CSV from here on ({problem})"))
    if damage := head.problem or chained.problem or getattr(stream, "problem", ""):
        batch.append(Bad(reader.line_num + 1, 0, damage))
    yield batch


def _pointed(cell: str) -> str:
    """A number with a decimal point: where cells end with semicolons, the comma is what decimals begin with."""
    return cell.replace(".", "").replace(",", ".") if "," in cell and COMMA.fullmatch(cell.strip()) else cell


def _as_it_is(cell: str) -> str:
    return cell


class _Chained(io.RawIOBase):
    """What is read already, and the stream behind it, to its end or to a line without one."""

    def __init__(self, head: bytes, rest: Stream | None) -> None:
        self.held, self.rest = head, rest
        self.given = self.line = 0  # bytes so far, and of them in the line that has not ended
        self.problem = ""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if not self.held and self.rest is not None:
            self.held = self.rest.read(CHUNK) or b""
        size = 0 if self.problem else min(len(buffer), len(self.held))
        part, self.held = self.held[:size], self.held[size:]
        buffer[:size] = part
        self.given += size
        end = part.rfind(b"\n") + 1
        self.line = size - end if end else self.line + size
        if self.line > LONGEST:
            self.problem = f"a line {TOO_LONG}: nothing behind it was read"
        return size
