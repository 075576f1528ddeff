"""A log of lines in blocks of whole lines, without a copy of each line; one line of any length is one block."""

from __future__ import annotations

import io
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any, NamedTuple

import msgspec

BRACE = ord("{")
SIZE = 1 << 18  # bytes of a block; more leaves the processor's cache
GIANT = 1 << 23  # bytes from which a line of a plain file is mapped instead of read
LONGEST = 1 << 28  # bytes of a line, or of a value without lines, that is read where it cannot be mapped
TOO_LONG = f"longer than {LONGEST >> 20} MiB"


class Lines(msgspec.Struct):
    """Whole lines in `data[start:end]`, which holds until the next block is asked for."""

    data: Any  # bytes, bytearray or mmap: what has `find` and slices
    start: int
    end: int
    line: int  # number of the first one, from 1
    offset: int  # of `start` in the decompressed file
    lines: int = 0  # how many; whoever takes the block apart counts them


class Cut(NamedTuple):
    """Where a compressed stream ends in damage, or a line is longer than any: line, byte and reason."""

    line: int
    offset: int
    reason: str


def blocks(
    head: bytes, problem: str, stream: IO[bytes] | io.RawIOBase, offset: int, until: int | None = None
) -> Iterator[Lines | Cut]:
    """The lines of a stream of which `head`, from byte `offset` on, is read already.

    problem   the damage of the stream, if it is known that the head is all there is
    until     the byte behind a line, where a plain file is left
    """
    buffer = bytearray(head)
    line, filled, searched = 1, len(buffer), 0
    while True:
        end = buffer.rfind(b"\n", searched, filled) + 1
        if end:
            block = Lines(buffer, 0, end, line, offset)
            yield block
            line += block.lines
            offset += end
            rest = buffer[end:filled]
            filled = len(rest)
            if len(buffer) > 4 * SIZE + filled:
                buffer = bytearray(SIZE + filled)  # a long line is behind us
            buffer[:filled] = rest
        searched = filled
        if not problem and filled >= GIANT and (giant := _mapped(stream, filled)) is not None:
            yield Lines(giant.data, giant.start, giant.end, line, offset)
            offset += giant.end - giant.start
            line, filled, searched = line + 1, 0, 0
            giant.close()
            buffer = bytearray(SIZE)
        if not problem and filled >= LONGEST:
            yield Cut(line, offset, TOO_LONG)
            skipped, behind, problem = _past_line(stream)
            line, offset, filled, searched = line + 1, offset + filled + skipped, len(behind), 0
            buffer = bytearray(behind)
        got = 0
        if not problem:
            got, problem = _more(buffer, filled, stream, None if until is None else until - offset - filled)
            filled += got
        if not got or problem:
            break
    if filled:
        block = Lines(buffer, 0, filled, line, offset)
        yield block
        line += block.lines
    if problem:
        yield Cut(line, offset + filled, problem)


def _more(buffer: bytearray, filled: int, stream: Any, most: int | None) -> tuple[int, str]:
    """Read more into the buffer behind what fills it, of a plain file no more than `most`; and the damage of a
    compressed stream if this is where it ends.
    """
    room = len(buffer) - filled
    if room < max(1, SIZE // 2):
        buffer += bytes(max(SIZE - room, 0))
    if isinstance(stream, io.BufferedReader):
        with memoryview(buffer) as view:
            return stream.readinto(view[filled : None if most is None else filled + most]), ""
    data = stream.read(SIZE)
    buffer[filled:] = data
    return len(data), getattr(stream, "problem", "")


def _past_line(stream: Any) -> tuple[int, bytes, str]:
    """How many bytes there are to the end of the line, what was read behind it, and the damage if it never ends."""
    skipped = 0
    while data := stream.read(SIZE):
        skipped += len(data)
        end = data.find(b"\n") + 1
        if end:
            return skipped - len(data) + end, data[end:], getattr(stream, "problem", "")
    return skipped, b"", getattr(stream, "problem", "")


class _Giant:
    """One line of a plain file, mapped: its pages are the system's cache, not the process's memory."""

    def __init__(self, file: int, start: int, end: int) -> None:
        base = start - start % mmap.ALLOCATIONGRANULARITY
        self.data = mmap.mmap(file, end - base, offset=base, access=mmap.ACCESS_READ)
        self.start, self.end = start - base, end - base

    def close(self) -> None:
        with suppress(BufferError):  # somebody still holds a piece of it
            self.data.close()


def _mapped(stream: Any, filled: int) -> _Giant | None:
    """The line that the last `filled` bytes of a plain file begin; None for any other stream."""
    if not isinstance(stream, io.BufferedReader) or not isinstance(stream.raw, io.FileIO):
        return None
    file = stream.fileno()
    if not stat.S_ISREG(os.fstat(file).st_mode):
        return None
    here = stream.tell()
    start = here - filled
    while data := stream.read(SIZE):
        at = data.find(b"\n")
        here += len(data) if at < 0 else at + 1
        if at >= 0:
            break
    stream.seek(here)
    return _Giant(file, start, here)
