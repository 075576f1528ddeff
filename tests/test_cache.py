"""The cache changes how fast logs are read, never what is read from them."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from caches import both, call, lines, same
from caches import settled as settled
from console import ROOT
from program import run as run

from costaudit import kept
from costaudit.ingest import _assembled, _cache, _pack, _state, ingest
from costaudit.ingest import _ingest as reading

SECRET = "xylophone-confidential"


@pytest.fixture
def read(monkeypatch, settled):
    """The files that were really read."""
    names = []
    original = reading.read_all

    def counted(asked, *args, **more):
        names.extend(file.path.name for file, _ in asked)
        return original(asked, *args, **more)

    monkeypatch.setattr(reading, "read_all", counted)
    return names


def test_every_sample_is_the_same_from_the_cache(tmp_path, read):
    samples = sorted((ROOT / "sample_logs" / "formats").iterdir())[::4]
    first = ingest(samples, cache=tmp_path / "cache")
    number = len(read)
    again = ingest(samples, cache=tmp_path / "cache")
    assert number == len(samples)
    assert len(read) == number
    same(first, again)
    assert first.requests.height > 30


def test_a_cache_in_many_strips_says_what_logs_say(tmp_path, read, monkeypatch):
    monkeypatch.setattr(_assembled, "PIECE", 7)
    monkeypatch.setattr(_assembled, "MANY", 1)
    monkeypatch.setattr(_pack, "MOST", 2)
    samples = [ROOT / "sample_logs" / "demo", *sorted((ROOT / "sample_logs" / "formats").glob("otlp*"))]
    files = sorted(path for sample in samples for path in (sample.rglob("*.jsonl") if sample.is_dir() else [sample]))
    ingest(files[::2], cache=tmp_path / "cache")
    cached = ingest(files, cache=tmp_path / "cache")
    del read[:]
    again = ingest(files, cache=tmp_path / "cache")
    assert not read
    packs = [_pack.Pack(path) for path in (tmp_path / "cache").rglob("*.pack")]
    assert max(len(pack.header.rows) for pack in packs) > 2
    whole = ingest(files)
    same(cached, whole)
    same(again, whole)


def test_an_unchanged_file_is_read_once_and_a_changed_one_again(tmp_path, read):
    logs, cache = tmp_path / "logs", tmp_path / "cache"
    logs.mkdir()
    for name in "abc":
        (logs / name).write_text(lines(ord(name)))
    assert ingest([logs], cache=cache).requests.height == 3
    with (logs / "b").open("a") as file:
        file.write(lines(1))
    assert ingest([logs], cache=cache).requests.height == 4
    (logs / "c").write_text(lines(2, 3, 4))
    (logs / "a").unlink()
    assert ingest([logs], cache=cache).requests.height == 5
    assert read == ["a", "b", "c", "b", "c"]


def test_a_folder_inside_one_that_was_read_is_known(tmp_path, read):
    (tmp_path / "logs" / "october").mkdir(parents=True)
    (tmp_path / "logs" / "october" / "a").write_text(lines(1))
    ingest([tmp_path / "logs"], cache=tmp_path / "cache")
    ingest([tmp_path / "logs" / "october"], cache=tmp_path / "cache")
    ingest([tmp_path / "logs" / "october" / "a"], cache=tmp_path / "cache")
    assert read == ["a"]


def test_a_description_beside_a_transcript_is_part_of_it(tmp_path, settled):
    folder = tmp_path / "logs" / "session" / "subagents"
    folder.mkdir(parents=True)
    usage = {"input_tokens": 5, "output_tokens": 2}
    row = {"type": "assistant", "uuid": "u", "parentUuid": None, "isSidechain": True, "sessionId": "s", "agentId": "1"}
    row |= {"requestId": "r", "message": {"id": "m", "role": "assistant", "model": "claude-opus-5", "usage": usage}}
    (folder / "agent-1.jsonl").write_text(json.dumps(row) + "\n")
    for kind in ("reviewer", "searcher"):
        (folder / "agent-1.meta.json").write_text(json.dumps({"agentType": kind}))
        assert both(tmp_path / "logs", tmp_path / "cache").requests["task"].to_list() == [kind]


def test_a_database_in_use_is_read_again_when_its_log_grows(tmp_path, settled):
    """In WAL mode the file itself stays as it is until a checkpoint."""
    path = tmp_path / "calls.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("pragma journal_mode = wal")
        db.execute("create table calls (request_id text, model text, input_tokens int, output_tokens int)")
        for n in range(3):
            db.execute("insert into calls values (?, 'gpt-5.4', 10, 2)", [f"c{n}"])
            db.commit()
            assert both(path, tmp_path / "cache").requests.height == n + 1


def test_a_file_that_changed_a_moment_ago_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(_state, "TICK_NS", 3_600_000_000_000)
    monkeypatch.setattr(_state, "COARSE_NS", 3_600_000_000_000)
    (tmp_path / "log").write_text(lines(1))
    ingest([tmp_path / "log"], cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.pack"))


def test_a_change_of_the_program_is_a_new_cache(tmp_path, read, monkeypatch):
    (tmp_path / "log").write_text(lines(1))
    ingest([tmp_path / "log"], cache=tmp_path / "cache")
    monkeypatch.setattr(_cache, "version", lambda: "another")
    ingest([tmp_path / "log"], cache=tmp_path / "cache")
    assert read == ["log", "log"]


@pytest.mark.parametrize("damage", ["cut", "flip", "flip the header", "empty", "another file"])
def test_a_damaged_pack_is_thrown_away_and_replaced(tmp_path, read, damage):
    log, cache = tmp_path / "log", tmp_path / "cache"
    log.write_text(lines(*range(50)))
    ingest([log], cache=cache)
    pack = next(cache.rglob("*.pack"))
    data = bytearray(pack.read_bytes())
    if damage == "cut":
        data = data[:-100]
    elif damage.startswith("flip"):
        data[-60 if "header" in damage else 60] ^= 1
    else:
        data = bytearray(b"" if damage == "empty" else b"PAR1 something else altogether, and longer than a header")
    pack.write_bytes(data)
    assert both(log, cache).requests.height == 50
    assert not pack.exists()
    del read[:]
    assert ingest([log], cache=cache).requests.height == 50
    assert read == []


def test_many_packs_become_one_and_the_newest_state_counts(tmp_path, read, monkeypatch):
    monkeypatch.setattr(_cache, "PACKS", 3)
    logs, cache = tmp_path / "logs", tmp_path / "cache"
    logs.mkdir()
    for n in range(_cache.PACKS + 2):
        (logs / f"log{n:02d}").write_text(lines(n))
        with (logs / "log00").open("a") as file:
            file.write(lines(1000 + n))
        both(logs, cache)
    assert len(list(cache.rglob("*.pack"))) <= _cache.PACKS
    del read[:]
    assert ingest([logs], cache=cache).requests.height == 2 * (_cache.PACKS + 2)
    assert read == []


def test_the_cache_is_bounded_and_the_least_used_goes_first(tmp_path, read, monkeypatch):
    cache = tmp_path / "cache"
    for name in "abc":
        (tmp_path / name).mkdir()
        (tmp_path / name / "log").write_text(lines(*range(40)))
    for name in "ab":
        ingest([tmp_path / name], cache=cache)
    packs = {path.parent.name: path for path in cache.rglob("*.pack")}
    old, used = (packs[_state.place_of(str(tmp_path / name))] for name in "ba")
    os.utime(old, (1, 1))
    size = used.stat().st_size
    monkeypatch.setattr(kept, "LIMIT", int(2.5 * size))
    ingest([tmp_path / "c"], cache=cache)
    assert not old.exists()
    assert used.exists()


def test_a_full_disk_costs_one_note_and_nothing_else(tmp_path, monkeypatch, caplog, settled):
    (tmp_path / "log").write_text(lines(1, 2))

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_pack, "xxh3_64_intdigest", full)
    assert ingest([tmp_path / "log"], cache=tmp_path / "cache").requests.height == 2
    assert [record.message for record in caplog.records] == [
        f"{tmp_path / 'cache'}: the cache cannot be written, so the next run reads these logs again: "
        "No space left on device"
    ]


def test_a_folder_that_cannot_be_made_is_no_obstacle(tmp_path, caplog, settled):
    (tmp_path / "log").write_text(lines(1, 2))
    (tmp_path / "file").write_text("")
    assert ingest([tmp_path / "log"], cache=tmp_path / "file" / "cache").requests.height == 2
    assert "Not a directory" in caplog.text


def test_a_folder_that_may_not_be_looked_into_is_no_obstacle(tmp_path, run, monkeypatch):
    """The home of somebody else, as `sudo` leaves it; a name that no folder can have is refused to root too."""
    (tmp_path / "log").write_text(lines(1, 2))
    monkeypatch.setenv("COSTAUDIT_CACHE_DIR", str(tmp_path / ("x" * 300)))
    for command in ("spend", "analyze", "doctor"):
        assert run(command, "log").code == 0


def test_two_processes_at_once_leave_a_cache_that_both_can_use(tmp_path):
    logs, cache = tmp_path / "logs", tmp_path / "cache"
    logs.mkdir()
    for n in range(12):
        (logs / f"log{n}").write_text(lines(*range(n * 10, n * 10 + 10)))
    program = f"""
import sys; from pathlib import Path
from costaudit.ingest import _cache, _state, _state, ingest
_state.TICK_NS = _state.COARSE_NS = -1_000_000_000; _cache.PACKS = 2
for n in range(3):
    Path({str(logs)!r}, f"grown-{{sys.argv[1]}}").open("a").write("\\n")
    assert ingest([{str(logs)!r}], cache=Path({str(cache)!r})).requests.height == 120
"""
    running = [subprocess.Popen([sys.executable, "-c", program, str(n)], cwd=ROOT) for n in range(2)]
    assert [process.wait(timeout=300) for process in running] == [0, 0]
    both(logs, cache)
    assert not list(cache.rglob("*.writing"))


def test_pipes_and_standard_input_are_never_kept(tmp_path, settled):
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["sh", "-c", f"echo '{call(1)}' > {tmp_path / 'pipe'}"]) as writer:
        assert ingest([tmp_path / "pipe"], cache=tmp_path / "cache").requests.height == 1
        assert writer.wait(timeout=300) == 0
    assert not list((tmp_path / "cache").rglob("*.pack"))


def test_no_text_of_a_prompt_is_in_the_cache(tmp_path, settled):
    record = json.loads(call(1)) | {"choices": [{"message": {"role": "assistant", "content": SECRET}}]}
    asked = {"model": "gpt-5.4", "messages": [{"role": "user", "content": SECRET}]}
    (tmp_path / "log").write_text(json.dumps({"request": asked, "response": record}) + "\n")
    assert ingest([tmp_path / "log"], cache=tmp_path / "cache").requests.height == 1
    pack = _pack.Pack(next((tmp_path / "cache").rglob("*.pack")))
    pack.load()
    rows, _ = pack.tables()
    assert SECRET not in str(rows.to_dicts()) + str(pack.header)
    assert Path(pack.path).stat().st_mode & 0o077 == 0
