"""Results of tools: whether they failed, and hashes that leave out what differs between equal results.

Clock times, durations and uuids are masked, counters are kept: a result that counts up is not the same. The text is
taken as JSON escapes it, so that a result is hashed where it stands in the log; a text known only as such is escaped
first, in the shortest way, which is how programs that write no superfluous escapes have it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import xxhash

MARK = "·".encode()

_UNITS = rb"(?:ms|secs?|seconds|minutes|s|us|ns|\xc2\xb5s)(?![0-9A-Za-z_\x80-\xff])"
_DURATION = re.compile(rb"[0-9]+(?:[.,][0-9]+)? ?" + _UNITS)
_CLOCK = re.compile(rb"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)?(?![0-9A-Za-z_\x80-\xff])")
_DATE = re.compile(
    rb"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_BEFORE_CLOCK = len(b"2026-10-01T")
_UUID = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9A-Za-z_\x80-\xff])")
_WORD = re.compile(rb"[0-9A-Za-z_\x80-\xff]")
_NUMBER = re.compile(rb"[0-9]+(?:[.,][0-9]+)?\Z")
_LONGEST = 40  # characters of a number that a unit makes a duration

# The last digit of a number with a unit or a colon behind it. Translated first, so that one character stands for each
# class and the search goes from digit to digit: four times as fast as the same pattern with classes.
_CLASSES = bytes(
    ord("0") if chr(c) in "0123456789" else ord("s") if c in b"smun\xc2" else c if c in b" :" else 0 for c in range(256)
)
_PLACES = re.compile(rb"0(?=s| s|:0)")
BEFORE_HYPHEN, AFTER_HYPHEN = 8, 27  # digits before the first hyphen of a uuid, and what is after it
HYPHEN = ord("-")
FEW_HYPHENS = 64
_HYPHENS = re.compile(rb"-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-")


BEGINNING = 240  # bytes of a result in which it says that it failed
FAILURES = (b"error", b"exception", b"traceback", b"failed", b"fatal")
# What stands before the first word; an escape is passed over as a whole.
_BEFORE_WORD = re.compile(rb"(?:[^0-9A-Za-z_\\]++|\\(?:u[0-9a-fA-F]{4}|.))*+", re.DOTALL)
_FAILED = re.compile(rb"(?:" + b"|".join(FAILURES) + rb")(?![0-9A-Za-z_\x80-\xff])", re.IGNORECASE)
INITIALS = b"efEFtT"  # of those words
PIECE = 1 << 20  # bytes of a result that are looked at together


def result_sha(text: str) -> int:
    """Hash of a result known as text."""
    return escaped_sha(escaped(text))


def escaped(text: str) -> bytes:
    """A text as it stands between the quotes of a JSON string."""
    try:
        return msgspec.json.encode(text)[1:-1]
    except UnicodeEncodeError:  # half a character
        return msgspec.json.encode(text.encode("utf-8", "replace").decode())[1:-1]


def tells_failure(body: bytes) -> bool:
    """Whether an escaped result begins as errors do."""
    first = body[:1]
    at = 0 if first.isalpha() else _BEFORE_WORD.match(body, 0, BEGINNING).end()  # type: ignore[union-attr]
    return body[at : at + 1] in INITIALS and _FAILED.match(body, at, BEGINNING) is not None


def escaped_sha(body: bytes | memoryview) -> int:
    """Hash of a result as it stands between the quotes of a JSON string."""
    if len(body) <= PIECE:
        body = bytes(body)
        if not (spans := _spans(body)):
            return xxhash.xxh3_64_intdigest(body)
        hashed: Any = xxhash.xxh3_64()
        _update(hashed, body, spans)
    else:
        hashed = xxhash.xxh3_64()
        for piece in _pieces(body):
            _update(hashed, piece, _spans(piece))
    return int(hashed.intdigest())


def _spans(body: bytes) -> list[tuple[int, int]]:
    """What is masked: from, to; in order."""
    classes = body.translate(_CLASSES)
    spans = [span for m in _PLACES.finditer(classes) if (span := _time(body, m.start()))]
    if uuids := _uuids(body):
        spans += uuids
        spans.sort()
    return spans


def _uuids(body: bytes) -> list[tuple[int, int]]:
    """Hyphen by hyphen while they are few, which takes a fifth of the time of a search by pattern."""
    found: list[tuple[int, int]] = []
    last = len(body) - AFTER_HYPHEN
    at = body.find(b"-", BEFORE_HYPHEN)
    for _ in range(FEW_HYPHENS):
        if not 0 <= at < last:
            return found
        if body[at + 5] == HYPHEN and _HYPHENS.match(body, at) and (span := _uuid(body, at)):
            found.append(span)
        at = body.find(b"-", at + 1)
    if at < 0:
        return found
    return found + [span for m in _HYPHENS.finditer(body, at) if (span := _uuid(body, m.start()))]


def _pieces(body: bytes | memoryview) -> Iterator[bytes]:
    """A large body in pieces, cut behind an escaped line feed if there is one."""
    at = 0
    while at < len(body):
        piece = bytes(body[at : at + PIECE])
        end = piece.rfind(b"\\n") + 2
        if end > 2 and piece[end - 3] != 92 and at + PIECE < len(body):
            piece = piece[:end]
        yield piece
        at += len(piece)


def _update(hashed: Any, body: bytes, spans: list[tuple[int, int]]) -> None:
    done = 0
    for start, end in spans:
        if start >= done:
            hashed.update(body[done:start])
            hashed.update(MARK)
            done = end
    hashed.update(memoryview(body)[done:] if done else body)


def _uuid(body: bytes, hyphen: int) -> tuple[int, int] | None:
    start = hyphen - 8
    found = _UUID.match(body, start) if start >= 0 and _bounded(body, start) else None
    return found.span() if found else None


def _time(body: bytes, last: int) -> tuple[int, int] | None:
    """The time or the duration that the digit at `last` belongs to."""
    if body[last + 1 : last + 2] == b":":
        start = last - 1 - _BEFORE_CLOCK
        found = _DATE.match(body, start) if start >= 0 else None
        if found is None and last > 0 and _bounded(body, last - 1):
            found = _CLOCK.match(body, last - 1)
        return found.span() if found else None
    number = _NUMBER.search(body, max(0, last - _LONGEST), last + 1)
    if number is None or not _bounded(body, number.start()):
        return None
    found = _DURATION.match(body, number.start())
    return found.span() if found else None


def _bounded(body: bytes, start: int) -> bool:
    """Whether a word can begin here: not inside one, unless the letter before is that of an escape."""
    if start == 0 or not _WORD.match(body, start - 1):
        return True
    if body[start - 1] not in b"bfnrt":
        return False
    at = start - 2
    while at >= 0 and body[at] == 92:
        at -= 1
    return (start - 2 - at) % 2 == 1
