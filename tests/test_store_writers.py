"""Writers of a store: killed at any moment, on a full disk or two at once, they leave the old month or the new one."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
from console import ROOT
from stores import log

from costaudit.errors import UsageError
from costaudit.ingest import _folder, _parts, _store, _store_check
from costaudit.ingest._store import is_store


def test_what_a_killed_process_left_is_not_read_and_is_removed_by_the_next_write(tmp_path):
    store = tmp_path / "store"
    _store.merge(log(tmp_path / "a", range(3)), store)
    month = next((store / "requests").iterdir())
    (month / "half.parquet.writing").write_bytes(b"PAR1 half of a mon")
    (month / "unlisted.parquet").write_bytes(next(month.glob("*.parquet")).read_bytes())
    assert _store.read(store).height == 3
    assert _store_check.verify(store).notes == [
        f"{store}: 2 files of a stopped process; the next write or `costaudit store compact` removes them"
    ]
    assert _store.merge(log(tmp_path / "b", range(4)), store).added == 1
    assert not _store_check.verify(store).notes


def test_a_file_system_without_locks_is_told_with_what_to_do(tmp_path, monkeypatch):
    def refuses(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuses)
    with pytest.raises(UsageError, match="cannot be written: No locks available") as told:
        _store.merge(log(tmp_path / "a", range(3)), tmp_path / "store")
    assert "where the file system has locks" in told.value.hint


@pytest.mark.parametrize("when", ["part", "list"])
def test_a_full_disk_leaves_the_store_as_it_was(tmp_path, monkeypatch, when):
    store = tmp_path / "store"
    _store.merge(log(tmp_path / "a", range(3)), store)
    before = _store.read(store)
    original = os.fsync

    def full(handle):
        name = Path(f"/proc/self/fd/{handle}").readlink().name
        if name.endswith(".writing") and name.startswith("costaudit-store") == (when == "list"):
            raise OSError(errno.ENOSPC, "No space left on device")
        original(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left on device"):
        _store.merge(log(tmp_path / "b", range(9)), store)
    monkeypatch.undo()
    assert _store.read(store).equals(before)
    assert not _store_check.verify(store).problems
    assert _store.merge(log(tmp_path / "b", range(9)), store).added == 6


def test_a_really_full_disk_leaves_the_store_as_it_was(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("no right to mount a small disk: the injected error above stands for it")
    try:
        store = disk / "store"
        _store.merge(log(tmp_path / "a", range(2)), store)
        before = _store.read(store)
        with pytest.raises(UsageError, match="No space left on device"):
            _store.merge(log(tmp_path / "b", range(900)), store)
        assert _store.read(store).equals(before)
        assert not _store_check.verify(store).problems
    finally:
        subprocess.run(["umount", disk], check=True)


WRITER = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
import polars as pl
from costaudit import schema
from costaudit.ingest import _store
_store.PARTS = 2
at = datetime(2026, 10, 1, tzinfo=UTC)
print("ready", flush=True)
for n in range(int(sys.argv[2]), int(sys.argv[3])):
    rows = pl.DataFrame({"request_id": [f"c{n}-{k}" for k in range(5)], "started_at": [at + timedelta(hours=n)] * 5})
    _store.merge(schema.conform(rows), Path(sys.argv[1]))
    print(n, flush=True)
"""


def writer(store, first, last):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, store, str(first), str(last)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def test_a_writer_killed_at_any_moment_leaves_a_whole_store(tmp_path):
    """What was said to be stored is there, what was not is there whole or not at all."""
    store = tmp_path / "store"
    moments = random.Random(4)
    said = -1
    for _ in range(3):
        process = writer(store, said + 1, 10_000)
        assert process.stdout.readline() == "ready\n"
        for _ in range(moments.randrange(0, 3)):
            said = int(process.stdout.readline())
        time.sleep(moments.uniform(0, 0.1))
        process.kill()
        said = max([said, *map(int, process.stdout.read().split())])
        process.wait()
        process.stdout.close()
        if not is_store(store):
            continue  # killed before it made one
        assert not _store_check.verify(store).problems
        whole = _store.read(store)["request_id"].str.extract(r"c(\d+)").cast(pl.Int64).value_counts()
        assert set(whole["count"]) <= {5}
        assert set(whole["request_id"]) - {said + 1} == set(range(said + 1))
    assert said > 0


def test_a_store_that_another_process_makes_meanwhile_is_not_made_again(tmp_path, monkeypatch):
    store = tmp_path / "store"
    rows = log(tmp_path / "a", range(3))
    original = _folder.writing

    @contextmanager
    def late(path):
        monkeypatch.undo()
        _store.merge(rows, store)  # between the question and the lock
        with original(path):
            yield

    monkeypatch.setattr(_folder, "writing", late)
    _parts.at(store).change(lambda held: held)
    assert _store.read(store).height == 3


@pytest.mark.parametrize("left", [".lock", "costaudit-store.json.writing"])
def test_a_store_that_was_killed_while_it_was_made_is_made_again(tmp_path, left):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / left).write_bytes(b"")
    assert _store.merge(log(tmp_path / "a", range(3)), tmp_path / "store").added == 3


def test_two_writers_at_once_lose_nothing(tmp_path):
    store = tmp_path / "store"
    running = [writer(store, n, n + 6) for n in (0, 100)]
    for process in running:
        assert process.wait(timeout=300) == 0
        process.stdout.close()
    assert _store.read(store).height == 60
    assert not _store_check.verify(store).problems
