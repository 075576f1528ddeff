"""The same reading on a Ray cluster: each task reads some files with the function that a worker process runs here.

The optional extra `costaudit[ray]`. A task gets names of files and gives back counts, and rows as Arrow; a task whose
machine dies is run again by Ray. Files must have the same path on every machine (a shared file system), or lie in
object storage: then each task fetches its own. What is decided over all rows, duplicates among them, happens where the
command runs, so that the result is that of one machine, byte for byte.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from costaudit.errors import LogError, UsageError
from costaudit.ingest._answers import Answers, Group
from costaudit.ingest._file_read import Asked, FileRead
from costaudit.ingest._pool import Progress, groups_of
from costaudit.ingest._task import Answer, costaudit_read

TRIES = 4  # of a task whose worker dies
AHEAD = 2  # tasks a core that are asked for at a time: their answers wait in memory


def read_all(asked: Sequence[Asked], progress: Progress | None, address: str | None) -> tuple[list[FileRead], set[str]]:
    """What each file gave, in order, and the objects that were not what their listing said (`Fetcher.doubtful`).

    address  of the cluster: `auto`, `host:6379`, `ray://host:10001`; None: RAY_ADDRESS, else a cluster of this machine
    Raises UsageError where Ray is not there or its machines run other code, LogError where the cluster fails.
    """
    ray = _ray()
    own = not ray.is_initialized()
    try:
        if own:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as problem:
        raise LogError(
            f"no Ray cluster at {address or 'this machine'}: {str(problem).splitlines()[0]}",
            hint="`ray status` says what runs; start one with `ray start --head`",
        ) from problem
    try:
        return _read(ray, asked, progress)
    except ray.exceptions.RayError as problem:
        raise LogError(
            f"the Ray cluster failed: {str(problem).splitlines()[0]}", hint="nothing was stored"
        ) from problem
    finally:
        if own:
            ray.shutdown()


def _read(ray: Any, asked: Sequence[Asked], progress: Progress | None) -> tuple[list[FileRead], set[str]]:
    task = ray.remote(max_retries=TRIES, scheduling_strategy="SPREAD")(costaudit_read)
    workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
    room = AHEAD * workers
    waiting = groups_of(asked, workers)[::-1]
    running: dict[Any, Group] = {}
    found = Answers()
    number = 0
    doubtful: set[str] = set()
    while waiting or running:
        while waiting and len(running) < room:
            group = waiting.pop()
            running[task.remote([asked[n] for n in group])] = group
        (done, *_), _ = ray.wait(list(running), num_returns=1)
        group = running.pop(done)
        answer = Answer(*ray.get(done))
        found.add(group, answer.own())
        number += len(group)
        doubtful |= answer.doubtful
        for n in group:
            if progress:
                progress(asked[n][0].shown, number, len(asked))
    reads = found.reads([file for file, _ in asked])
    return [reads[n] for n in range(len(asked))], doubtful


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the machines
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise UsageError("--engine ray needs the extra `ray`", hint="pip install 'costaudit[ray]'") from None
    return ray
