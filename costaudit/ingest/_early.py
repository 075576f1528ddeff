"""Records decoded where they stand in a block, for what sums need: without a copy of their line, and without what other
records of the file began with too (`_beginnings`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from costaudit.ingest._beginnings import IN_PLACE, Beginnings, Cut
from costaudit.ingest._blocks import BRACE, Lines
from costaudit.ingest._decode import Path
from costaudit.ingest._files import UNREADABLE, Bad, Record, line
from costaudit.ingest._lean import Lean

LONG = 1 << 12  # bytes of a record from which looking for what is known of it is worth it
NEAR = 1 << 12  # bytes in which its messages begin
NOTICE = 1_000  # bytes of messages below which a reader may look for the words that stand in for hidden ones
CLOSING = ord("}")
NOTHING = Cut(0, ())
SAID = msgspec.Raw(b'"said"')  # in place of messages of which the beginning was left out


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """What was decoded of a record, by the shape of a generation of `Lean`; and what was left out of its data."""

    generation: int
    row: Any
    cut: Cut


class Early:
    """Decodes the records of one file, of which each that is decoded has a count of tokens.

    path     where messages stand
    counted  where counts do
    known    what messages began with
    """

    def __init__(self, path: Path, counted: Sequence[Path], known: Beginnings) -> None:
        self.path, self.counted, self.known = path, counted, known
        self.generation = 0
        self.marks = [b'"%s":[' % path[-1].encode(), b'"%s": [' % path[-1].encode()]
        self.field = ""

    def records(self, block: Lines, lean: Lean) -> Iterator[Record | Bad]:
        """The records of a block of lines."""
        data, at, stop, number = block.data, block.start, block.end, block.line
        offset, find = block.offset - block.start, data.find
        if lean.generation != self.generation:
            self._shaped(lean)
        with memoryview(data) as view:
            while at < stop:
                end = find(b"\n", at, stop)
                end = stop if end < 0 else end
                record = None
                if self.field and end - at >= LONG and data[at] == BRACE and data[end - 1] == CLOSING:
                    record = self._record(data, view, at, end, number, offset + at)
                if record is not None:
                    yield record
                else:
                    yield from line(bytes(view[at:end]), number, offset + at)
                number, at = number + 1, end + 1
        block.lines = number - block.line

    def _record(self, data: Any, view: memoryview, at: int, end: int, number: int, offset: int) -> Record | None:
        """The record of a line, if what is wanted of it can be told without what its messages begin with."""
        begin = self._messages(data, at, min(end, at + NEAR))
        if begin < 0:
            return None
        past, found = self.known.find(data, begin, end)
        cut = Cut(begin - at, [part.text for part in found]) if found else NOTHING
        text = b"".join((view[at:begin], IN_PLACE, view[past:end])) if found else bytes(view[at:end])
        try:
            row = self.decode(text)
        except UNREADABLE:
            return None
        parent = self.parent(row)
        raw = getattr(parent, self.field, None)
        here = begin - at  # in the text
        if type(raw) is not msgspec.Raw or not text.startswith(memoryview(raw), here - 1):
            return None
        self.known.keep(found, text[here + len(IN_PLACE) * bool(found) : here + len(memoryview(raw)) - 2])
        if found:
            hidden = past - begin + len(memoryview(raw)) < NOTICE
            if hidden or not self._is_counted(row):
                return None
            setattr(parent, self.field, SAID)
        return Record(number, offset, text, Decoded(self.generation, row, cut))

    def _is_counted(self, row: Any) -> bool:
        """Whether it has a count of tokens; then it is of this format, and nothing is estimated from its text."""
        for nth, count in enumerate(self.counts):
            if type(count(row)) is int:
                if nth:
                    self.counts.insert(0, self.counts.pop(nth))  # most records have the same
                return True
        return False

    def _messages(self, data: Any, at: int, end: int) -> int:
        """Where the first of a record's messages begins; -1 where there are none near its beginning."""
        for mark in self.marks:
            if (found := data.find(mark, at, end)) >= 0:
                return int(found) + len(mark)
        return -1

    def _shaped(self, lean: Lean) -> None:
        *above, key = self.path
        self.generation, self.decode = lean.generation, lean.decode
        self.parent, self.field = lean.at(tuple(above)), lean.field(tuple(above), key)
        self.counts = [lean.at(path) for path in self.counted if lean.field((), path[0])]


def undone(record: Record) -> Record:
    """The record with its data as it was."""
    return record if record.early is None else Record(*record[:2], record.early.cut.undone(record.data))
