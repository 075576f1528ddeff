"""OTLP as protobuf, said again in the names of its JSON: what the collector's file exporter writes as `format: proto`.

A file is messages, each with its length before it (four bytes, the highest first), or one message as it was sent.
Numbers and types of fields: opentelemetry-proto, `trace/v1`, `logs/v1`, `common/v1` and `resource/v1`. What a later
version adds is passed over, as protobuf means it to be.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

from costaudit.ingest._blocks import LONGEST, TOO_LONG
from costaudit.ingest._files import Bad, Record
from costaudit.ingest._streams import CHUNK, Read, Stream

PREFIX = 4  # bytes of the length before a message
DEEPEST = 30  # lists in lists of a value
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # types of fields
SIZES = {FIXED64: 8, FIXED32: 4}
GROUP, INSIDE = 0x0A, (0x0A, 0x12, 0x1A)  # what a message begins with, and what its groups are made of
METRICS: Mapping[str, Any] = {"resourceMetrics": []}  # sums of calls that the spans are
DAMAGE = (ValueError, IndexError, TypeError, AttributeError, struct.error)  # of fields that are not what they should be


def begins(head: bytes) -> bool:
    """Whether a file begins as such messages do; a text may begin with the same byte, and goes on otherwise."""
    return _first(head, 0) or _first(head, PREFIX)


def _first(head: bytes, at: int) -> bool:
    try:
        size, inner = _varint(head, at + 1)
        length, start = _varint(head, inner + 1)
        return head[at] == GROUP and head[inner] in INSIDE and start - inner + length <= size and b"\0" in head
    except DAMAGE:
        return False


def messages(head: Read, stream: Stream) -> Iterator[list[Record | Bad]]:
    """The exports of a file; damage inside one costs that one, and nothing can be found behind one that is cut off."""
    held, problem, offset = head.data, head.problem, 0
    start = 0 if _first(held, 0) else PREFIX
    for number in count(1):
        end = start + int.from_bytes(held[:PREFIX]) if start else LONGEST
        while len(held) < end <= LONGEST and not problem and (more := stream.read(CHUNK)):
            held, problem = held + more, getattr(stream, "problem", "")
            end = start + int.from_bytes(held[:PREFIX]) if start else end
        if not held:
            return
        if end > LONGEST or (start and len(held) < end) or problem:
            cut = TOO_LONG if end > LONGEST else problem or "cut off"
            yield [Bad(number, offset, f"a message {cut}: nothing behind it was read")]
            return
        try:
            yield [Record(number, offset, _export(memoryview(held)[start:end]))]
        except DAMAGE as damage:
            yield [Bad(number, offset, f"not OTLP ({damage})")]
        held, offset = held[end:], offset + end


def _export(data: memoryview) -> dict[str, Any]:
    """A message in the names of OTLP/JSON: of spans, of log events, or of metrics."""
    groups = _message(data, EXPORT).get("groups", [])
    scopes = [scoped for group in groups for scoped in group["scopes"]]
    kinds = {kind for scoped in scopes for kind in map(_kind, scoped["items"])}
    if kinds == {""}:
        return dict(METRICS)
    outer, middle, inner, fields = LOGS if "log" in kinds else SPANS
    for scoped in scopes:
        scoped[inner] = [_message(item, fields) for item in scoped.pop("items")]
    return {outer: [{"resource": group.get("resource"), middle: group["scopes"]} for group in groups]}


def _kind(item: memoryview) -> str:
    """What the types of its fields tell: only spans have a time at 7, only events of a log one at 1 or 11."""
    types = {number: kind for number, kind, _ in _fields(item)}
    return "span" if types.get(7) == FIXED64 else "log" if FIXED64 in (types.get(1), types.get(11)) else ""


def _fields(data: memoryview) -> Iterator[tuple[int, int, Any]]:
    """Number, type and value of each field of a message."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, kind, value
            continue
        size, at = (SIZES[kind], at) if kind in SIZES else _varint(data, at)
        if kind not in (FIXED64, FIXED32, BYTES) or at + size > end:
            raise ValueError(f"a field of type {kind} and {size} bytes where {end - at} are left")
        yield tag >> 3, kind, data[at : at + size]
        at += size


def _varint(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """A number and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at + shift // 7]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + shift // 7 + 1
    raise ValueError("a number of more than 64 bits")


def _text(value: memoryview) -> str:
    return bytes(value).decode("utf-8", "replace")


def _value(data: memoryview, depth: int = 0) -> Any:
    """A value of an attribute: text, truth, number, list or mapping; bytes that are no text are left out."""
    for number, _, value in _fields(data) if depth < DEEPEST else ():
        if number == 1:
            return _text(value)
        if number == 2:
            return bool(value)
        if number == 3:
            return value - (1 << 64) if value >> 63 else value
        if number == 4:
            return struct.unpack("<d", value)[0]
        if number == 5:
            return [_value(part, depth + 1) for _, _, part in _fields(value)]
        if number == 6:
            return dict(_pair(part, depth + 1) for _, _, part in _fields(value))
    return None


def _pair(data: memoryview, depth: int = 0) -> tuple[str, Any]:
    found = {number: value for number, _, value in _fields(data)}
    return _text(found.get(1, memoryview(b""))), _value(found.get(2, memoryview(b"")), depth)


def _message(data: memoryview, fields: Fields) -> dict[str, Any]:
    """The known fields by name: lists of those that there may be several of, attributes as one mapping."""
    found: dict[str, Any] = {name: [] for name, read in fields.values() if isinstance(read, list)}
    for number, _, value in _fields(data):
        name, read = fields.get(number, ("", None))
        if isinstance(read, list):
            found[name].append(read[0](value))
        elif read is _pair:
            found.setdefault(name, {}).update((_pair(value),))
        elif read is not None:
            found[name] = read(value)
    return found


def _of(fields: Fields) -> Callable[[memoryview], dict[str, Any]]:
    return lambda data: _message(data, fields)


def _time(value: memoryview) -> int:
    return int.from_bytes(value, "little")


def _plain(value: Any) -> Any:
    return value


def _hex(value: memoryview) -> str:
    return value.hex()


Fields = Mapping[int, tuple[str, Any]]
ATTRIBUTES = ("attributes", _pair)
EVENT: Fields = {1: ("timeUnixNano", _time), 2: ("name", _text), 3: ATTRIBUTES}
SCOPE: Fields = {1: ("name", _text), 2: ("version", _text)}
SCOPED: Fields = {1: ("scope", _of(SCOPE)), 2: ("items", [_plain])}
EXPORT: Fields = {1: ("groups", [_of({1: ("resource", _of({1: ATTRIBUTES})), 2: ("scopes", [_of(SCOPED)])})])}
SPAN: Fields = {
    1: ("traceId", _hex),
    2: ("spanId", _hex),
    3: ("traceState", _text),
    4: ("parentSpanId", _hex),
    5: ("name", _text),
    7: ("startTimeUnixNano", _time),
    8: ("endTimeUnixNano", _time),
    9: ATTRIBUTES,
    11: ("events", [_of(EVENT)]),
    15: ("status", _of({2: ("message", _text), 3: ("code", _plain)})),
}
LOG: Fields = {
    1: ("timeUnixNano", _time),
    5: ("body", _value),
    6: ATTRIBUTES,
    9: ("traceId", _hex),
    10: ("spanId", _hex),
    12: ("eventName", _text),
}
SPANS = ("resourceSpans", "scopeSpans", "spans", SPAN)
LOGS = ("resourceLogs", "scopeLogs", "logRecords", LOG)
