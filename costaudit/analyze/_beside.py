"""Rules, and parts of a rule, that know nothing of each other, two at a time: most of the work of one is done by one
thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 2  # more would hold more in memory than they save in time
LARGE = 4_000_000  # calls, or prefixes of prompts: parts that have more together are worked on one by one

MEANWHILE = range(100_000, 20_000_000)  # calls: fewer are done before a thread is begun, more take too much memory


@contextmanager
def meanwhile(jobs: Sequence[Callable[[], R]], calls: int) -> Iterator[Iterator[Callable[[], R]]]:
    """The jobs in order, each a call for its result, done one after the other while the caller does something else.

    calls  how many each of them looks at: of few or very many, each is done when its result is asked for
    An error of a job is raised where its result is asked for; on the way out, the job at work is waited for and no
    other is begun.
    """
    if calls not in MEANWHILE:
        yield iter(jobs)
        return
    with ThreadPoolExecutor(1) as pool:
        begun = [pool.submit(job) for job in jobs]
        try:
            yield (one.result for one in begun)
        finally:
            for one in begun:
                one.cancel()


def beside(said: Callable[[T], R], parts: Iterable[T], size: Callable[[T], int]) -> Iterator[R]:
    """What is said of each part, in order of the parts, whichever is done first.

    Never more than AT_ONCE are worked on, or wait behind one that is, and none beside one with which it is LARGE. An
    error of a part is raised in its turn; what was begun meanwhile is waited for.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        begun: deque[tuple[int, Future[R]]] = deque()
        try:
            for part in parts:
                ready, own = [], size(part)
                while begun and (len(begun) == AT_ONCE or own + sum(large for large, _ in begun) > LARGE):
                    ready.append(begun.popleft()[1].result())
                begun.append((own, pool.submit(said, part)))
                yield from ready
            while begun:
                yield begun.popleft()[1].result()
        finally:
            for _, one in begun:
                one.cancel()
