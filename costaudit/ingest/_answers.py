"""What processes that read side by side answer: reads as bytes and back; where they are many, they wait in a file."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from costaudit import schema, scratch
from costaudit.ingest._arrow import arrow, table
from costaudit.ingest._file_read import FileRead
from costaudit.ingest._files import LogFile
from costaudit.ingest._stretch import Stretch, cut
from costaudit.ingest._tree import NODES

HELD = 24 << 20  # bytes of answers that wait in memory beside processes that read
HEAD = struct.Struct("<QQQQ")  # files; bytes of counts, rows and nodes

Group = list[int]  # numbers of files that are read together


def packed(reads: Sequence[FileRead]) -> bytes:
    """What files gave, as bytes for another process; the reads are empty afterwards."""
    heights = [(sum(f.height for f in read.frames), sum(f.height for f in read.nodes)) for read in reads]
    rows = arrow(_joined(cut(stretch for read in reads for stretch in read.frames)))
    nodes = arrow(_joined(cut(stretch for read in reads for stretch in read.nodes)))
    for read in reads:
        read.frames, read.nodes = [], []
    parts = (pickle.dumps((list(reads), heights), protocol=5), rows, nodes)
    head = HEAD.pack(len(reads), *map(len, parts))
    return b"".join(piece for part in (head, *parts) for piece in (part, bytes(scratch.aligned(len(part)) - len(part))))


def number(data: bytes) -> int:
    """Of how many files an answer is."""
    return int(HEAD.unpack_from(data)[0])


def _joined(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(frames, how="diagonal") if frames else pl.DataFrame()


def unpacked(data: bytes) -> list[FileRead]:
    """What `packed` was given."""
    counts, rows, nodes = (bytes(part) for part in _parts(memoryview(data)))
    return _shared(counts, table(rows), table(nodes))


def _mapped(data: Any) -> list[FileRead]:
    """The same from a part of a file that is mapped [pyarrow.Buffer]: the rows stay where they are."""
    import pyarrow as pa

    counts, *tables = _parts(data)
    frames: list[Any] = [
        pl.from_arrow(pa.ipc.open_file(part).read_all(), rechunk=False) if len(part) else pl.DataFrame()
        for part in tables
    ]
    return _shared(memoryview(counts), *frames)


def _parts(data: Any) -> Iterator[Any]:
    """Counts, rows and nodes."""
    _, *sizes = HEAD.unpack(memoryview(data)[: HEAD.size])
    at = scratch.aligned(HEAD.size)
    for size in sizes:
        yield data[at : at + size]
        at += scratch.aligned(size)


def _shared(counts: Any, rows: pl.DataFrame, nodes: pl.DataFrame) -> list[FileRead]:
    reads: list[FileRead]
    reads, heights = pickle.loads(counts)
    tables = (rows, schema.conform(nodes, NODES))
    at = [0, 0]
    for read, height in zip(reads, heights, strict=True):
        for n, into in enumerate((read.frames, read.nodes)):
            if height[n]:
                into.append(Stretch(tables[n], at[n], height[n]))
            at[n] += height[n]
    return reads


class Answers:
    """What groups of files gave, until the last one has; `most`: bytes of them that wait in memory."""

    def __init__(self, most: int = HELD) -> None:
        self._most = most
        self._few: list[tuple[Group, bytes | list[FileRead]]] = []
        self._held = 0
        self._heap = scratch.heap()

    def add(self, group: Group, answer: bytes | list[FileRead]) -> None:
        self._few.append((group, answer))
        self._held += len(answer) if isinstance(answer, bytes) else sum(map(_size, answer))
        if self._held > self._most:
            for waiting, said in self._few:
                self._heap.put(tuple(waiting), said if isinstance(said, bytes) else packed(said))
            self._few, self._held, self._most = [], 0, 0  # those that come later go there too

    def reads(self, files: Sequence[LogFile]) -> dict[int, FileRead]:
        """What each of the files gave, by its number."""
        found: dict[int, FileRead] = {}

        def take(group: Sequence[int], reads: Sequence[FileRead]) -> None:
            for n, read in zip(group, reads, strict=True):
                # A name that came from another process is a second one: of a million files half a gigabyte.
                read.file = files[n]
                found[n] = read

        for group, said in self._few:
            take(group, unpacked(said) if isinstance(said, bytes) else said)
        self._few = []
        for several, data in self._heap.taken():
            take(several, _mapped(data))
            scratch.release()  # it was read once, for texts are checked to be texts
        return found


def _size(read: FileRead) -> int:
    return int(sum(stretch.cut().estimated_size() for stretch in (*read.frames, *read.nodes)))
