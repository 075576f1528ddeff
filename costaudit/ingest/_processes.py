"""What processes that read side by side need, and nothing heavy: what is worth one, where files are cut, messages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

WORTH = 50_000_000  # bytes of input below which starting workers costs more than they save
SHARE = 16 << 20  # bytes read before an answer, at the end; at first more of them, for each answer has its price
LINE = 1 << 20  # bytes in which a line has to end for the file to be cut there
HEAD = 8  # bytes of a message's length


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
