"""What processes that read side by side need, and nothing heavy: what is worth one, where files are cut, messages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import IO, Generic, NamedTuple, TypeVar

WORTH = 50_000_000  # bytes of input below which starting workers costs more than they save
SHARE = 16 << 20  # bytes read before an answer, at the end; at first more of them, for each answer has its price
LINE = 1 << 20  # bytes in which a line has to end for the file to be cut there
HEAD = 8  # bytes of a message's length
WAITING = 16 << 20  # bytes of answers that are not taken, from which those who answer wait

T = TypeVar("T")


class Answer(NamedTuple, Generic[T]):
    """What was answered, if anything was, and to whom."""

    to: T
    data: bytes | None


class Answered(Queue[Answer[T]]):
    """Answers that wait to be taken, up to so many bytes: one more is put there once some are taken."""

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self._held = 0

    def _qsize(self) -> int:
        return self._held

    def _put(self, item: Answer[T]) -> None:
        super()._put(item)
        self._held += _size(item)

    def _get(self) -> Answer[T]:
        item = super()._get()
        self._held -= _size(item)
        return item


def _size(answer: Answer[T]) -> int:
    return 1 + len(answer.data or b"")


def cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def cuts(path: Path, size: int, most: int) -> Iterator[int]:
    """Places behind a line feed, about `most` bytes apart."""
    with path.open("rb") as stream:
        at = most
        while at < size:
            stream.seek(at)
            line = stream.read(LINE).find(b"\n")
            if line >= 0 and at + line + 1 < size:
                yield at + line + 1
            at += most


def send(stream: IO[bytes], data: bytes) -> None:
    stream.write(len(data).to_bytes(HEAD, "little"))
    stream.write(data)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes | None:
    """A message; None if the other side is gone."""
    head = _exactly(stream, HEAD)
    return None if head is None else _exactly(stream, int.from_bytes(head, "little"))


def _exactly(stream: IO[bytes], size: int) -> bytes | None:
    parts = []
    while size:
        data = stream.read(min(size, 1 << 20))
        if not data:
            return None
        parts.append(data)
        size -= len(data)
    return b"".join(parts)
