"""The cache changes how fast logs are read, never what is read from them."""

from __future__ import annotations

import errno
import gzip
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from console import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cli import run as run

from costaudit import kept
from costaudit.ingest import _assembled, _cache, _pack, _read, _state, formats, ingest
from costaudit.ingest import _ingest as reading
from costaudit.ingest._format import TableFormat

CALL = {"object": "chat.completion", "model": "gpt-5.4", "choices": [], "usage": {"prompt_tokens": 7}}
SECRET = "xylophone-confidential"


def call(n, **changes):
    return json.dumps(CALL | {"id": f"c{n}", "created": 1_790_000_000 + n} | changes)


def lines(*numbers):
    return "".join(call(n) + "\n" for n in numbers)


@pytest.fixture
def settled(monkeypatch):
    """Files are old enough to be kept as soon as they are written; what changes in these tests changes its size."""
    monkeypatch.setattr(_state, "TICK_NS", -1_000_000_000)
    monkeypatch.setattr(_state, "COARSE_NS", -1_000_000_000)


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


def same(one, other):
    assert one.requests.equals(other.requests)
    assert one.rejects.equals(other.rejects)
    assert one.sources.equals(other.sources)
    assert one.fates == other.fates
    assert one.notes == other.notes


def both(path, cache):
    """The same logs with the cache and without: they must agree."""
    cached = ingest([path], cache=cache)
    same(cached, ingest([path]))
    return cached


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


FOUND = {
    "chat": "".join(call(n) + "\n" for n in range(12)).encode(),
    "damaged": (lines(1, 2) + "{broken\n" + call(3, usage={"prompt_tokens": -5}) + "\n\n" + lines(4)).encode(),
    **{
        path.name: path.read_bytes()
        for name in ("codex", "claude-code", "otlp", "langfuse", "generic", "gemini-cli")
        for path in sorted((ROOT / "sample_logs" / "formats").rglob(f"{name}*"))[:1]
        if path.is_file()
    },
}
CHANGES = st.lists(
    st.tuples(st.sampled_from(["append", "truncate", "rewrite", "replace", "touch", "none"]), st.floats(0, 1)),
    min_size=1,
    max_size=3,
)


@given(name=st.sampled_from(sorted(FOUND)), start=st.floats(0, 1), changes=CHANGES)
@settings(max_examples=8)
def test_whatever_happens_to_a_file_the_cache_tells_what_the_file_says(tmp_path_factory, name, start, changes):
    """Grown at any byte, cut anywhere, changed in place with its size and time kept: never a stale figure."""
    folder = tmp_path_factory.mktemp("changes")
    log, cache, data = folder / "log", folder / "cache", FOUND[name]
    log.write_bytes(data[: int(start * len(data))] or b"{}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_state, "TICK_NS", 0)  # some states are kept, others are too new: both must be right
        told(log, cache)
        for change, where in changes:
            changed(log, data, change, where)
            told(log, cache)
    shutil.rmtree(folder)


def told(log, cache):
    outcome = [attempt(log, None), attempt(log, cache), attempt(log, cache)]
    assert outcome[0] == outcome[1] == outcome[2]


def attempt(log, cache):
    try:
        got = ingest([log], cache=cache)
    except Exception as problem:
        return str(problem)
    return got.requests.to_dicts(), got.rejects.to_dicts(), got.sources.to_dicts(), got.fates, got.notes


def changed(log, data, change, where):
    size, at = log.stat().st_size, int(where * log.stat().st_size)
    if change == "append":
        with log.open("ab") as file:
            file.write(data[size : size + 1 + int(where * 400)] or b"\n")
    elif change == "truncate":
        os.truncate(log, at)
    elif change == "rewrite":
        before = log.stat()
        with log.open("r+b") as file:
            file.seek(at)
            file.write(b"7"[: size - at])
        os.utime(log, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "replace":
        beside = log.with_name("new")
        beside.write_bytes(data[at:])
        beside.replace(log)
    elif change == "touch":
        log.touch()


HELICONE = list(map(json.loads, (ROOT / "sample_logs" / "formats" / "helicone.jsonl").read_bytes().splitlines()))


@pytest.fixture
def beyond(monkeypatch, settled):
    """Bytes from which files were read on."""
    offsets = []
    original = _read.more

    def counted(file, known):
        offsets.append(known.offset)
        return original(file, known)

    monkeypatch.setattr(_read, "more", counted)
    monkeypatch.setattr(_state, "LEAST", 1)
    return offsets


def plain(size, first=0):
    """Lines of a format that reads each by itself; some are blank, some damaged, some of another such format."""
    odd = [b"\n", b"{broken\n", b'{"usage": 1}\n']
    numbers = range(first, first + 1 + size // 500)
    return b"".join(odd[n // 10 % 3] if n % 10 == 9 else row(n) for n in numbers)


def row(n):
    """A line of Helicone's, and a call of its own."""
    return json.dumps(HELICONE[n % len(HELICONE)] | {"request_id": f"r{n}"}).encode() + b"\n"


def test_a_file_that_has_grown_is_read_from_its_last_complete_line(tmp_path, beyond):
    log, cache = tmp_path / "log", tmp_path / "cache"
    log.write_bytes(plain(200_000))
    both(log, cache)
    sizes = []
    for n in range(3):
        sizes.append(log.stat().st_size)
        with log.open("ab") as file:
            file.write(plain(1_000, 5_000 * (n + 1)))
        read = both(log, cache)
        assert read.fates.balanced
    assert beyond == sizes
    assert read.requests["source_line"].max() > 400


STREAMED = (b"chat.completion.chunk", b'"message_', b'"content_block_', b'"iterations"', b'"ping"')


def test_every_format_that_is_read_on_gives_what_it_gives_as_a_whole(tmp_path, beyond):
    """A format whose rows depend on those beside them says so (`TableFormat.alone`), or this finds it out."""
    alone = [f.name for f in formats() if issubclass(f, TableFormat) and f.reader is TableFormat.reader and f.alone]
    alone += ["openai-chat", "anthropic-messages", "otlp"]  # but for streams
    samples = [path for path in sorted((ROOT / "sample_logs" / "formats").glob("*.jsonl")) if path.stem in alone]
    for sample in samples:
        lines = [line for line in sample.read_bytes().splitlines(keepends=True) if not any(m in line for m in STREAMED)]
        text, log = b"".join(lines).rstrip(b"\n") + b"\n", tmp_path / sample.name
        log.write_bytes(text * (66_000 // len(text) + 1))
        ingest([log], cache=tmp_path / "cache")
        with log.open("ab") as file:
            file.write(b"".join(text.splitlines(keepends=True)[-2:]))
        both(log, tmp_path / "cache")
    assert len(beyond) == len(samples) > 3


@pytest.mark.parametrize(
    ("before", "then"),
    [
        (lambda data: data[:-20], lambda data: data[-20:]),  # cut within a line
        (lambda data: data, lambda _: b'{"type":"user","uuid":"1","parentUuid":null,"sessionId":"s"}\n'),  # a session
        (lambda data: gzip.compress(data), lambda data: gzip.compress(data)),
        (lambda data: data.decode().encode("utf-16"), lambda data: data.decode().encode("utf-16")[2:]),
    ],
    ids=["half a line", "a format that remembers", "gzip", "UTF-16"],
)
def test_what_cannot_be_read_on_is_read_as_a_whole(tmp_path, settled, monkeypatch, before, then):
    monkeypatch.setattr(_state, "LEAST", 1)
    log, cache, data = tmp_path / "log", tmp_path / "cache", plain(200_000)
    log.write_bytes(before(data))
    both(log, cache)
    for _ in range(2):
        with log.open("ab") as file:
            file.write(then(data))
        both(log, cache)


@given(data=st.data())
@settings(max_examples=5)
def test_growth_and_changes_in_any_order_give_what_the_file_says(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("grown")
    log, cache = folder / "log", folder / "cache"
    log.write_bytes(plain(90_000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_state, "TICK_NS", -1_000_000_000)
        patch.setattr(_state, "COARSE_NS", -1_000_000_000)
        patch.setattr(_state, "LEAST", 1)
        attempt(log, cache)
        for _ in range(3):
            size = log.stat().st_size
            change = data.draw(st.sampled_from(["append", "append", "cut", "middle"]))
            with log.open("r+b") as file:
                if change == "middle":  # and grown, so that the size does not give it away
                    file.seek(data.draw(st.integers(0, size - 1)))
                    file.write(b"7")
                elif change == "cut":
                    file.truncate(size - data.draw(st.integers(1, 3_000)))
                file.seek(0, 2)
                more = plain(3_000, data.draw(st.integers(0, 10**6)))
                file.write(more[: data.draw(st.sampled_from([len(more), len(more), len(more) // 2, 1]))])
            told(log, cache)


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
