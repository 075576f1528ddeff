"""Many files at once: worker processes for large input, the same code in this one for small input.

A worker gets files and gives back counts, and rows as Arrow; at most one answer a worker waits to be taken. Workers are
forked while this process has one thread, which is before polars has run anything; else they are started anew.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO

import msgspec

from costaudit.ingest._ahead import taken
from costaudit.ingest._answers import HELD, Answers, Group, number, packed
from costaudit.ingest._file_read import Asked, FileRead
from costaudit.ingest._processes import SHARE, WAITING, WORTH, Answer, Answered, cores, receive, send
from costaudit.ingest._read import prepare, read_files, read_on, read_some
from costaudit.ingest._slices import joined, slices
from costaudit.ingest._transcript_sums import Seen, sums_alone

Progress = Callable[[str, int, int], None]  # file, its number, of how many

LARGEST = 64 << 20  # bytes of files that one answer is of, while many are left: a process holds their rows
TOGETHER = 20_000  # rows read ahead that become columns together
FILES = 500  # at most, of an answer
MUCH = 100_000_000  # bytes that take long enough to be counted
SEARCHED = 16  # answers after which lost cycles are looked for: a few objects, and all that is remembered is looked at
IDLE = ("jemalloc_bg", "polars-ooc")  # threads that importing polars starts; a child does well without them


def read_all(asked: Sequence[Asked], progress: Progress | None = None, workers: int | None = None) -> list[FileRead]:
    """What each file gave, in order; the same whatever the number of processes.

    workers   processes; None: one a core for large input, else none beside this one
    """
    if not asked:
        return []  # nothing is new: the formats need not be imported
    sizes = [_size(of) for of in asked]
    if workers is None:
        workers = cores() if sum(sizes) >= WORTH else 1
    parts = [slices(of, size, SHARE) if workers > 1 else [of] for of, size in zip(asked, sizes, strict=True)]
    flat = [of for several in parts for of in several]
    shares = [SHARE if len(several) > 1 else size for several, size in zip(parts, sizes, strict=True) for _ in several]
    told = _Told(asked, [n for n, several in enumerate(parts) for _ in several], shares, progress)
    known = _ahead(flat, told)
    rest = [n for n in range(len(flat)) if n not in known]
    if rest:
        if workers > 1:
            prepare(flat[rest[0]])  # once, for all workers
        told.files, told.sizes = [told.files[n] for n in rest], [shares[n] for n in rest]
        read = _read([flat[n] for n in rest], _groups([shares[n] for n in rest], workers), told, workers)
        known |= dict(zip(rest, read, strict=True))
    found = iter([known[n] for n in range(len(flat))])
    reads = [[next(found) for _ in several] for several in parts]
    return [
        several[0] if len(several) == 1 else joined(of[0], several) or read_files([of])[0]
        for of, several in zip(asked, reads, strict=True)
    ]


def _ahead(asked: Sequence[Asked], told: _Told) -> dict[int, FileRead]:
    """Those of the files, by number, of which the sums alone are wanted and were read ahead."""
    places = {
        (str(file.path), file.known.offset if file.known else 0, file.end): n
        for n, (file, names) in enumerate(asked)
        if not names and sums_alone(file)
    }
    answers = Answers(2 * HELD)  # processes that read sums alone take little
    waiting: list[tuple[int, Seen]] = []
    for place, seen in taken(list(places)):
        if place in places:
            told.of([places[place]])
            waiting.append((places[place], seen))
        if sum(len(part.rows) for _, part in waiting) >= TOGETHER:
            _take(asked, waiting, answers)
    _take(asked, waiting, answers)
    return answers.reads([file for file, _ in asked])


def _take(asked: Sequence[Asked], waiting: list[tuple[int, Seen]], answers: Answers) -> None:
    answers.add([n for n, _ in waiting], read_on([(asked[n], seen) for n, seen in waiting]))
    waiting.clear()


def _read(asked: Sequence[Asked], groups: Sequence[Group], told: _Told, workers: int) -> list[FileRead]:
    if min(workers, len(groups)) < 2:
        reads: list[FileRead] = []
        for group in groups:
            told.of(group)
            reads += read_files([asked[n] for n in group])
        return reads
    return _Pool(asked, groups, min(workers, len(groups)), told).run()


def groups_of(asked: Sequence[Asked], workers: int = 1) -> list[Group]:
    """The files by number, in the portions that are read together."""
    return _groups([_size(of) for of in asked], workers)


def _size(of: Asked) -> int:
    if of[0].object is not None:
        return of[0].object.size
    try:
        return of[0].path.stat().st_size
    except OSError:
        return 0


def _groups(sizes: Sequence[int], workers: int) -> list[Group]:
    """Files in a row that are read together; less of them towards the end, so that all workers end together."""
    groups: list[Group] = []
    left, room = sum(sizes), 0
    for n, size in enumerate(sizes):
        if not groups or size > room or len(groups[-1]) >= FILES:
            groups.append([])
            room = max(SHARE, min(LARGEST, left // (2 * workers)))
        groups[-1].append(n)
        left, room = left - size, room - size
    return groups


class _Told(msgspec.Struct):
    """Tells how far the reading is: each file as it begins, a large one again with each part of it.

    files  to which of them each part belongs
    sizes  of the parts [bytes]
    """

    asked: Sequence[Asked]
    files: Sequence[int]
    sizes: Sequence[int]
    progress: Progress | None
    begun: set[int] = msgspec.field(default_factory=set)
    read: int = 0
    all: int = 0

    def of(self, group: Group) -> None:
        self.all = self.all or sum(self.sizes)
        for n in group if self.progress else ():
            again = (file := self.files[n]) in self.begun
            self.begun.add(file)
            self.read += self.sizes[n]
            share = self._share()
            if self.progress and (not again or (share and n == group[-1])):
                self.progress(self.asked[file][0].shown + share, len(self.begun), len(self.asked))

    def _share(self) -> str:
        """`, 38 % of 3.0 GB` of much: files differ too much in size for their number to say how far it is."""
        return f", {self.read / self.all:.0%} of {self.all / 1e9:.1f} GB".replace("%", " %") if self.all >= MUCH else ""


class _Pool:
    def __init__(self, asked: Sequence[Asked], groups: Sequence[Group], workers: int, told: _Told) -> None:
        self.asked, self.told = asked, told
        self.groups: SimpleQueue[Group] = SimpleQueue()
        for group in groups:
            self.groups.put(group)
        self.answers: Answered[Group] = Answered(WAITING)
        self.broken: list[Exception] = []
        self.workers = [_start() for _ in range(workers)]  # before any thread is

    def run(self) -> list[FileRead]:
        found = Answers()
        try:
            for worker in self.workers:
                Thread(target=self._serve, args=(worker,), daemon=True).start()
            left = len(self.asked)
            while left:
                group, data = self.answers.get()
                if self.broken:
                    raise self.broken[0]
                left -= len(group)
                # Without an answer the worker is gone.
                found.add(group, read_files([self.asked[n] for n in group]) if data is None else data)
                self.told.of(group)
        finally:
            _emptied(self.groups)
            for worker in self.workers:
                worker.stop()
            _emptied(self.answers)  # nobody waits any more to put one there
        reads = found.reads([file for file, _ in self.asked])
        return [reads[n] for n in range(len(self.asked))]

    def _serve(self, worker: _Worker) -> None:
        """Give a worker group after group; if it dies, its groups are left to this process."""
        try:
            with suppress(Empty):
                while True:
                    group = self.groups.get_nowait()
                    for data in worker.ask([self.asked[n] for n in group]):
                        done = len(group) if data is None else number(data)
                        self.answers.put(Answer(group[:done], data))
                        group = group[done:]
        except Exception as error:  # who waits for answers would wait for ever
            self.broken.append(error)
            self.answers.put(Answer([], None))


def _emptied(queue: SimpleQueue[Group] | Answered[Group]) -> None:
    with suppress(Empty):
        while True:
            queue.get_nowait()


class _Worker(msgspec.Struct):
    """A process that reads, seen from the one that asks."""

    questions: IO[bytes]
    answers: IO[bytes]
    forked: int = 0
    started: subprocess.Popen[bytes] | None = None

    def ask(self, files: Sequence[Asked]) -> Iterator[bytes | None]:
        """What the files gave, some of them after the other (`packed`); None for those left if the process is gone."""
        left = len(files)
        with suppress(OSError, ValueError):  # closed on its side or, at the end of everything, on ours
            send(self.questions, pickle.dumps(files))
            while left and (data := receive(self.answers)) is not None:
                left -= number(data)
                yield data
        if left:
            yield None

    def stop(self) -> None:
        with suppress(OSError):
            self.questions.close()
        with suppress(OSError):
            self.answers.close()
        if self.started is not None:
            self.started.kill()
            self.started.wait()
        elif self.forked:
            os.kill(self.forked, 9)
            os.waitpid(self.forked, 0)


def _start() -> _Worker:
    if _forkable():
        return _fork()
    process = subprocess.Popen(
        [sys.executable, "-c", "from costaudit.ingest._pool import work; work()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "POLARS_MAX_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    if process.stdin is None or process.stdout is None:  # they were asked for
        raise AssertionError
    return _Worker(process.stdin, process.stdout, started=process)


def _forkable() -> bool:
    """Whether no thread can hold a lock that a child would wait for: polars starts its threads with its first query."""
    if sys.platform != "linux":
        return False
    names = [thread.read_text().strip() for thread in Path("/proc/self/task").glob("*/comm")]
    return sum(not name.startswith(IDLE) for name in names) == 1


def _fork() -> _Worker:
    ask, answer = os.pipe(), os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: see `_forkable`
        child = os.fork()
    if child:
        os.close(ask[0])
        os.close(answer[1])
        return _Worker(os.fdopen(ask[1], "wb"), os.fdopen(answer[0], "rb", buffering=0), forked=child)
    try:
        os.environ["POLARS_MAX_THREADS"] = "1"
        os.close(ask[1])
        os.close(answer[0])
        _loop(os.fdopen(ask[0], "rb"), os.fdopen(answer[1], "wb"))
    finally:
        os._exit(0)


def work() -> None:
    """A worker that was started anew: questions come on standard input, answers go to standard output."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing else may get among the answers
    _loop(sys.stdin.buffer, answers)


def _loop(questions: IO[bytes], answers: IO[bytes]) -> None:
    import gc

    gc.freeze()
    gc.disable()  # rows are made and thrown away by the ten thousand, and none of them is part of a circle
    given = 0
    with suppress(KeyboardInterrupt, BrokenPipeError):
        while (data := receive(questions)) is not None:
            for reads in read_some(pickle.loads(data)):
                send(answers, packed(reads))
                given += 1
                if not given % SEARCHED:
                    gc.collect()
