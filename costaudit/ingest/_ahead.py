"""A head start: the sums of transcripts are read while the program is still being imported.

Processes are forked before anything heavy is, read what nearly all rows are (`_transcript_sums`), and give back tuples.
What they leave, be it a file of another kind or a line, is read in the ordinary way, so no figure depends on them.
"""

from __future__ import annotations

import gc
import os
import pickle
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import IO, NamedTuple

from costaudit.errors import CostAuditError
from costaudit.ingest import _transcript_shape
from costaudit.ingest._blocks import BRACE, Lines
from costaudit.ingest._files import Known, LogFile, more, walk
from costaudit.ingest._processes import SHARE, WAITING, WORTH, Answer, Answered, cores, cuts, receive, send
from costaudit.ingest._state import above, place_of
from costaudit.ingest._transcript_sums import Odd, Seen, Sums
from costaudit.ingest._transcript_types import family
from costaudit.kept import matching

PORTION = 4 << 20  # bytes of files that are given to a process together
MOST = 10_000  # portions; their numbers have to fit into a pipe
FILES = 100  # of a portion
LEFT = 1 << 20  # bytes of lines left over by which a file is one of another kind
SAMPLE, AGREED = 50, 4  # rows looked at, and how many of them have to be a transcript's (`_detect`)
NUMBER = 4  # bytes

Place = tuple[str, int, int | None]  # path, and where a slice of the file begins and ends


class Piece(NamedTuple):
    """A file, or a slice of it from a line to another."""

    file: LogFile
    start: int
    end: int | None

    @property
    def place(self) -> Place:
        return str(self.file.path), self.start, self.end


class Ahead:
    """Processes that read ahead; their answers are taken once."""

    def __init__(self, portions: Sequence[Sequence[Piece]], workers: int) -> None:
        self.places = {piece.place for portion in portions for piece in portion}
        self._answers: Answered[int] = Answered(WAITING)
        self._children: list[int] = []
        ask, tell = os.pipe()
        for n in range(len(portions)):
            os.write(tell, n.to_bytes(NUMBER, "little"))
        os.close(tell)
        ends = [_fork(ask, portions) for _ in range(workers)]
        os.close(ask)
        for child, answers in ends:
            self._children.append(child)
            Thread(target=self._listen, args=(child, answers), daemon=True).start()

    def _listen(self, child: int, answers: IO[bytes]) -> None:
        with answers:
            while (data := receive(answers)) is not None:
                self._answers.put(Answer(child, data))
        self._answers.put(Answer(child, None))

    def answers(self) -> Iterator[tuple[Place, Seen]]:
        """What was seen of each piece, until all processes have ended."""
        for _ in self._children:
            while (data := self._answers.get().data) is not None:
                yield from pickle.loads(data)
        for child in self._children:
            os.waitpid(child, 0)


_begun: list[Ahead] = []


def begin(paths: Sequence[Path | str], cache: Path | None = None) -> None:
    """Read ahead what is below the paths, if that is worth it and processes can still be forked safely.

    cache  a folder where files below the paths may be known already: if any are, the others are few
    """
    threads = list(Path("/proc/self/task").iterdir()) if sys.platform == "linux" else []
    if len(threads) != 1 or any(str(path) == "-" or "://" in str(path) for path in paths):
        return
    if cache is not None and any(matching(cache, f"*/{place_of(folder)}") for folder in above(paths)):
        return
    try:
        files = [(file, file.path.stat().st_size) for file in walk(paths) if file.path.is_file()]
    except (CostAuditError, OSError, ValueError):
        return  # whoever reads them in the ordinary way will tell
    workers = cores()
    if workers > 1 and sum(size for _, size in files) >= WORTH:
        _begun.append(Ahead(list(_portions(files)), workers))


def taken(places: Sequence[Place]) -> Iterator[tuple[Place, Seen]]:
    """What was read ahead of these places; processes that read something else are not waited for."""
    if _begun and not _begun[0].places.isdisjoint(places):
        yield from _begun.pop().answers()


def _portions(files: Sequence[tuple[LogFile, int]]) -> Iterator[list[Piece]]:
    most = max(PORTION, sum(size for _, size in files) // MOST)
    portion: list[Piece] = []
    held = 0
    for file, size in files:
        for piece, bytes_ in _cut(file, size):
            if portion and (held + bytes_ > most or len(portion) == FILES):
                yield portion
                portion, held = [], 0
            portion.append(piece)
            held += bytes_
    if portion:
        yield portion


def _cut(file: LogFile, size: int) -> list[tuple[Piece, int]]:
    """The file in the slices that reading it in the ordinary way has (`_slices`)."""
    if size < 2 * SHARE or not _usual(next(more(file, Known(0, 0)), None)):
        return [(Piece(file, 0, None), size)]
    ends = [*cuts(file.path, size, SHARE), size]
    starts = [0, *ends]
    return [(Piece(file, start, end), end - start) for start, end in zip(starts, ends, strict=False)]


def _fork(ask: int, portions: Sequence[Sequence[Piece]]) -> tuple[int, IO[bytes]]:
    answers, tell = os.pipe()
    child = os.fork()
    if child:
        os.close(tell)
        return child, os.fdopen(answers, "rb")
    try:
        os.close(answers)
        gc.freeze()
        gc.disable()
        with suppress(KeyboardInterrupt, BrokenPipeError), os.fdopen(tell, "wb") as stream:
            while number := os.read(ask, NUMBER):
                pieces = portions[int.from_bytes(number, "little")]
                found = [(piece.place, seen) for piece in pieces if (seen := read(piece)) is not None]
                send(stream, pickle.dumps(found, protocol=5))
    finally:
        os._exit(0)


def read(piece: Piece) -> Seen | None:
    """What a piece of a transcript gives; None for a file of any other kind."""
    path, start, end = piece.place
    sums = Sums(family(piece.file.path)[0])
    left: list[Odd] = []
    at, lines, complete = start, 0, True
    try:
        for block in more(LogFile(piece.file.path, path, end=end), Known(start, 0)):
            if at == start == 0 and not _usual(block):
                return None
            complete = block.data[block.end - 1] == ord("\n")
            left += sums.scan(block)
            lines += block.lines
            at = block.offset + block.end - block.start
            if sum(len(odd.data) for odd in left) > LEFT:
                return None
    except Exception:
        return None
    return sums.seen(left, lines, at if complete else None)


def _usual(block: Lines | None) -> bool:
    """Whether the first block of a file is surely one of a transcript, whatever else it might be."""
    if block is None or block.data[block.start] != BRACE or block.data.find(b"\0", block.start, block.end) >= 0:
        return False
    at, agreed = block.start, 0
    for _ in range(SAMPLE):
        end = block.data.find(b"\n", at, block.end)
        score = _transcript_shape.score(bytes(block.data[at : block.end if end < 0 else end]))
        if score is None:
            return False
        agreed += score > 0
        at = end + 1
        if agreed == AGREED or end < 0 or at == block.end:
            break
    return agreed > 0
