"""The values of a JSON array, or of documents one after the other, that are too large to be held as a whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from costaudit.ingest._blocks import LONGEST, TOO_LONG

CHUNK = 1 << 20  # bytes read at a time, at least
TOKENS = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["{}\[\]]', re.DOTALL)  # a text as a whole, or what opens and closes


NO_OBJECT = "not a JSON object"


class Element(NamedTuple):
    """One value, or what stands in its place; `offset` is that of its first byte."""

    number: int
    offset: int
    data: bytes
    wrong: str = ""  # why there is no value


def elements(data: bytes, more: Callable[[int], bytes], offset: int) -> Iterator[Element]:
    """The objects and lists that stand one after the other, commas between them allowed, until one closes too many.

    data    what is read already, from byte `offset` on
    more    reads up to so many bytes more; none at the end
    """
    held, number, at, start, depth, done = bytearray(data), 0, 0, -1, 0, 0
    ended = False
    while not ended:
        for token in TOKENS.finditer(held, at):
            mark = held[token.start()]
            if mark == QUOTE and token.end() - token.start() == 1:
                break  # a text of which the end is not read yet
            at = token.end()
            if mark in OPENS:
                if depth == 0:
                    start = token.start()
                    if held[done:start].strip(SPACE):
                        number += 1
                        yield Element(number, offset + done, bytes(held[done:start]), NO_OBJECT)
                depth += 1
            elif mark != QUOTE:
                depth -= 1
                if depth < 0:
                    return
                if depth == 0:
                    number, done = number + 1, at
                    yield Element(number, offset + start, bytes(held[start:at]))
                    start = -1
        cut = start if start >= 0 else done
        del held[:cut]
        offset, at, start, done = offset + cut, at - cut, 0 if start >= 0 else -1, 0
        if len(held) > LONGEST:  # where it ends cannot be known without reading all of it
            yield Element(number + 1, offset, b"", f"a value {TOO_LONG}: nothing behind it was read")
            return
        read = more(max(CHUNK, len(held)))
        ended = not read
        held += read
    if held.strip(SPACE):
        yield Element(number + 1, offset, b"", NO_OBJECT)


QUOTE = ord('"')
OPENS = b"{["
SPACE = b" \t\r\n,"
