"""Lists that begin as an earlier one did: each call of a conversation sends again all that was said before.

What was decoded once as elements of a list is recognised by its bytes, which is ten times as fast as to decode it, and
an empty object stands in its place. The record is as valid with it as without it, and says the same of everything but
that list:

- In a valid document one is inside a list behind `"key":[`, wherever it stands. Were its first quotation mark the end
  of a text, `key` could not follow; so it begins a text or is an escaped part of one, the second mark ends that text,
  and before a colon a text can only be a key. What stands before it is the same in both records.
- Elements that were part of a valid list, the last an object, leave a reader where `{}` does: behind an element.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

KEY = 128  # bytes by which elements are found
HELD = 8 << 20  # bytes that are held; then all of them are forgotten
VAIN = 20  # times that what was held had nothing in common with what begins alike, beyond the times that it had
GROWN = 8  # a part of it by which a conversation has to have grown for what is new to be kept as well
IN_PLACE = b"{}"
COMMA, CLOSING = ord(","), ord("}")

_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Known(msgspec.Struct):
    """Elements one after the other, and what may come after them, by its beginning."""

    text: bytes
    after: dict[bytes, Known] = msgspec.field(default_factory=dict)


class Cut(NamedTuple):
    """What was left out of a record: the bytes from `at` on, for which an empty object stands there."""

    at: int
    texts: Sequence[bytes]

    def undone(self, data: bytes) -> bytes:
        """The record as it was."""
        if not self.texts:
            return data
        return b"".join((data[: self.at], *self.texts, data[self.at + len(IN_PLACE) :]))


class Beginnings:
    """What lists of some records began with."""

    def __init__(self) -> None:
        self.first = Known(b"")
        self.held = 0
        self.vain = 0

    def find(self, data: Any, at: int, end: int) -> tuple[int, list[Known]]:
        """Where the known elements of a list end whose first element begins at `at`, and which they are.

        data  bytes or bytearray
        """
        found: list[Known] = []
        known = self.first.after.get(bytes(data[at : at + KEY]))
        while known is not None and data.startswith(known.text, at, end):
            found.append(known)
            at += len(known.text)
            known = known.after.get(bytes(data[at : at + KEY])) if known.after else None
        return at, found

    def keep(self, found: Sequence[Known], more: bytes) -> None:
        """Elements of a valid list that follow those that were found, to its end, without its brackets."""
        more = more.rstrip()
        if len(more) <= KEY or more[-1] != CLOSING or self.vain > VAIN:
            return
        last = found[-1] if found else self.first
        key = more[:KEY]
        beside = last.after.get(key)
        if beside is not None:
            self._part(last, key, beside, more)
        elif found and not last.after and len(last.text) < GROWN * len(more):
            last.text += more
            self._hold(len(more))
            self.vain -= 1
        elif not found or last.after:
            last.after[key] = Known(more)
            self._hold(len(more))

    def _part(self, last: Known, key: bytes, beside: Known, more: bytes) -> None:
        """What begins alike: the elements that both have, and behind them what each goes on with."""
        shared = _shared(beside.text, more)
        if not shared:
            self.vain += 1
            last.after[key] = Known(more)
            self._hold(len(more) - len(beside.text))
            return
        parted = Known(beside.text[:shared])
        for rest, after in ((beside.text[shared:], beside.after), (more[shared:], {})):
            if len(rest) > KEY:
                parted.after[rest[:KEY]] = Known(rest, after)
        last.after[key] = parted
        self._hold(len(more) - shared)

    def _hold(self, size: int) -> None:
        self.held += size
        if self.held > HELD:
            self.first, self.held = Known(b""), 0


def _shared(one: bytes, other: bytes) -> int:
    """How many bytes of elements both begin with."""
    comma = one[0] == COMMA
    at = shared = 0
    for element in _elements(b"[" + one[comma:] + b"]"):
        raw = bytes(element)
        end = one.index(raw, at) + len(raw)
        if not other.startswith(one[at:end], at):
            break
        at = end
        shared = end if raw[-1] == CLOSING else shared
    return shared
