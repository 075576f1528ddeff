"""A store in object storage: the store of a folder, whoever else writes at the time, and whatever fails."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from buckets import nameless
from console import ROOT, run

from costaudit import schema
from costaudit.commands._sums import summary
from costaudit.config import Settings
from costaudit.errors import LogError, UsageError
from costaudit.ingest import _bucket, _listing, _store, _store_check
from costaudit.ingest._bucket import Bucket

AT = datetime(2026, 10, 1, tzinfo=UTC)


def calls(first, last, **columns):
    """Five calls an hour."""
    ids = [f"c{n}-{k}" for n in range(first, last) for k in range(5)]
    times = [AT + timedelta(hours=n) for n in range(first, last) for _ in range(5)]
    return schema.conform(pl.DataFrame({"request_id": ids, "started_at": times, **columns}))


@pytest.fixture
def store(bucket):
    return f"{bucket.url}/acme/history"


def objects(store):
    return sorted(Bucket(store)._listed(""))


def test_the_same_rows_give_the_same_parts_as_in_a_folder(store, tmp_path, monkeypatch):
    monkeypatch.setattr(_store, "PARTS", 2)
    rows, summed = calls(0, 100, input_tokens=7, provider="openai", model="gpt-5.4"), summary(Settings())
    pieces = [*rows.iter_slices(170), rows.slice(90, 40).with_columns(output_tokens=pl.lit(9, pl.Int64))]
    for piece in pieces:
        there = _store.merge(piece, store, summary=summed)
        assert there == _store.merge(piece, tmp_path / "here", summary=summed)
    for compacted in (False, True):
        for at in (store, tmp_path / "here"):
            assert not compacted or _store.compact(at, summed)
        assert nameless(Bucket(store).load()) == nameless(_store.parts.load(tmp_path / "here"))
        assert _store.read(store).equals(_store.read(tmp_path / "here"))
        assert not _store_check.verify(store).problems
    start = AT + timedelta(days=2)
    assert _store.window(store, start, None).requests.equals(_store.window(tmp_path / "here", start, None).requests)


COMMANDS = (
    "ingest sample_logs/demo/gateway --store STORE --quiet",
    "ingest sample_logs/demo/gateway --store STORE --quiet",
    "store verify STORE",
    "store info STORE",
    "analyze STORE",
    "spend STORE --by day,model",
    "spend STORE --by tenant --since 2026-10-20",
    "report --month 2026-10 --store STORE",
    'sql "select model, sum(cost_usd) from calls group by model order by model" STORE',
    "export -f focus STORE -o OUT.csv --account acme",
    "store compact STORE",
    "store verify STORE",
)


def test_every_command_says_of_it_what_it_says_of_a_folder(store, tmp_path):
    here = str(tmp_path / "history")
    for command in COMMANDS:
        told = command.replace("OUT", str(tmp_path / "out"))
        said = [run(f"costaudit {told.replace('STORE', at)}") for at in (store, here)]
        (there, code), (local, wanted) = said
        assert code == wanted == 0, command
        assert [" ".join(line.split()).replace(store, here) for line in there] == [
            " ".join(line.split()) for line in local
        ], command


def test_a_store_is_copied_by_merging_it_into_another_one(store, bucket, tmp_path):
    _store.merge(calls(0, 9), store)
    for one, other in ((store, tmp_path / "here"), (tmp_path / "here", f"{bucket.url}/other")):
        assert run(f"costaudit ingest {one} --store {other}")[1] == 0
        assert _store.read(other).equals(_store.read(store))


def test_a_copy_of_the_objects_is_a_store_in_a_folder(store, tmp_path):
    _store.merge(calls(0, 9), store)
    _store.merge(calls(9, 12), store)
    for name in objects(store):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Bucket(store).content(name))
    assert _store.read(tmp_path).equals(_store.read(store))
    assert _store.merge(calls(10, 14), tmp_path) == (10, 0, 10, 70)
    assert not _store_check.verify(tmp_path).problems


def test_of_two_writers_the_slower_one_merges_again(store, monkeypatch):
    _store.merge(calls(0, 3), store)
    created = Bucket._created

    def late(self, *given):
        monkeypatch.setattr(Bucket, "_created", created)
        _store.merge(calls(2, 5), Bucket(store))
        return created(self, *given)

    monkeypatch.setattr(Bucket, "_created", late)
    assert _store.merge(calls(4, 6), store) == (5, 0, 5, 30)
    assert _store.read(store)["request_id"].to_list() == calls(0, 6)["request_id"].to_list()
    assert not _store_check.verify(store).problems
    assert not [name for name in objects(store) if name.startswith("requests") and name not in all_named(store)]


def all_named(store):
    held = Bucket(store)
    return {name for number in held._lists() for name in _listing.named(held._parts_of(number))}


def test_a_writer_that_is_always_slower_gives_up_and_says_so(store, monkeypatch):
    _store.merge(calls(0, 3), store)
    monkeypatch.setattr(Bucket, "_created", lambda *_: False)
    monkeypatch.setattr(_bucket, "LONGEST", 0)
    with pytest.raises(LogError, match="wrote to it 12 times while this one merged") as error:
        _store.merge(calls(3, 4), store)
    assert "nothing was stored" in error.value.hint


WRITER = """
import sys
sys.path.insert(0, "tests")
from costaudit.ingest import _store
from test_bucket_store import calls
_store.PARTS = 2
print("ready", flush=True)
for n in range(int(sys.argv[2]), int(sys.argv[3])):
    _store.merge(calls(n, n + 1), sys.argv[1])
    print(n, flush=True)
"""


def writer(store, first, last):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, store, str(first), str(last)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def test_two_processes_at_once_lose_nothing(store):
    running = [writer(store, n, n + 5) for n in (0, 100)]
    for process in running:
        assert process.wait(timeout=300) == 0
        process.stdout.close()
    assert _store.read(store).height == 50
    assert not _store_check.verify(store).problems


def test_a_store_that_another_writer_begins_meanwhile_is_a_store(store, monkeypatch):
    looked = Bucket._exists

    def between(self, name):
        found = looked(self, name)
        if not found:
            monkeypatch.setattr(Bucket, "_exists", looked)
            _store.merge(calls(0, 3), Bucket(store))
        return found

    monkeypatch.setattr(Bucket, "_exists", between)
    assert _store.merge(calls(2, 5), store) == (10, 0, 5, 25)
    assert not _store_check.verify(store).problems


def test_a_process_killed_at_any_moment_leaves_a_whole_store(store):
    moments = random.Random(4)
    process = writer(store, 0, 10_000)
    assert process.stdout.readline() == "ready\n"
    said = [int(process.stdout.readline()) for _ in range(2)]
    time.sleep(moments.uniform(0, 0.2))
    process.kill()
    said = max([*said, *map(int, process.stdout.read().split())])
    process.wait()
    process.stdout.close()
    assert not _store_check.verify(store).problems
    whole = _store.read(store)["request_id"].str.extract(r"c(\d+)").cast(pl.Int64).value_counts()
    assert set(whole["count"]) == {5}
    assert set(whole["request_id"]) - {said + 1} == set(range(said + 1))


def test_what_a_killed_writer_left_is_not_read_and_is_removed_when_it_is_old(store, monkeypatch):
    _store.merge(calls(0, 3), store)
    before = objects(store)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "_created", killed)
        with pytest.raises(KeyboardInterrupt):
            _store.merge(calls(3, 9), store)
    assert len(objects(store)) == len(before) + 1
    assert _store.read(store).height == 15
    note = "1 object is not in the newest list; `costaudit store compact` removes such after 24 hours"
    assert _store_check.verify(store).notes == [f"{store}: {note}"]
    assert _store.compact(store).swept == 0  # its writer may be alive
    monkeypatch.setattr(_bucket, "GRACE", timedelta(seconds=-2))
    assert _store.compact(store).swept == 2  # and the list from before the first rows
    assert objects(store) == [name for name in before if name != "lists/0000000001.json"]
    assert not _store_check.verify(store).notes


def test_a_reader_finds_its_parts_while_others_compact(store, monkeypatch):
    for n in range(4):
        _store.merge(calls(n, n + 1), store)
    original = _store._rows
    before = _store.read(store)

    def late(_, opened):
        monkeypatch.setattr(_store, "_rows", original)
        assert _store.compact(store).after == 1
        return original(Bucket(store), opened)  # which has fetched nothing yet

    monkeypatch.setattr(_store, "_rows", late)
    assert _store.read(store).equals(before)
    assert len(Bucket(store).load()) == 1


def test_old_lists_go_and_their_numbers_are_not_given_again(store, monkeypatch):
    for n in range(5):
        _store.merge(calls(n, n + 1), store)
    slow = Bucket(store)
    held = slow._parts_of(3)
    with monkeypatch.context() as patch:
        patch.setattr(_bucket, "GRACE", timedelta(seconds=-2))
        assert slow.sweep() > 0
    assert list(slow._lists()) == [6]
    began = _bucket._clocks()
    assert not slow._created(4, held, began)  # it read the third list, and slept for a day
    assert not slow._created(7, held, (began[0] - 13 * 3600, began[1]))
    assert slow._created(7, slow.load(), began)
    assert _store.read(store).height == 25


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda at, key: at.obstore.delete(at.store, [key]), "cannot be read: NoSuchKey"),
        (lambda at, key: at.obstore.put(at.store, key, b"PAR1"), "not as it was written"),
    ],
)
def test_a_lost_or_damaged_part_is_found_and_named(store, harm, says):
    _store.merge(calls(0, 3), store)
    at = Bucket(store)
    part = at.load()[0]
    harm(at, at._key(part.file))
    assert [
        problem for problem in _store_check.verify(Bucket(store)).problems if part.file in problem and says in problem
    ]
    with pytest.raises(LogError, match=rf"{store}/{part.file}: damaged: "):
        _store.read(Bucket(store))
    printed, code = run(f"costaudit store verify {store}")
    assert code == 1
    assert any(part.file in line for line in printed)


def test_an_object_is_fetched_and_checked_once(store, monkeypatch):
    _store.merge(calls(0, 3), store, summary=summary(Settings()))
    at, fetched = Bucket(store), []
    original = at._fetch
    monkeypatch.setattr(at, "_fetch", lambda name: fetched.append(name) or original(name))
    monkeypatch.setattr(_listing, "digest", None)  # what was fetched is not hashed again
    assert not _store_check.verify(at).problems
    assert _store.read(at).height == 15
    part = at.load()[0]
    assert sorted(fetched) == sorted([part.file, part.sums])


def test_lists_that_are_gone_are_no_empty_store(store):
    _store.merge(calls(0, 3), store)
    at = Bucket(store)
    at._remove([_listing.numbered(n) for n in at._lists()])
    with pytest.raises(LogError, match="the lists of the store are gone"):
        _store.read(store)


def test_what_is_no_store_is_not_written_to(store, bucket):
    bucket.put("acme/history/notes.txt", b"mine")
    with pytest.raises(UsageError, match="not a store, and not empty"):
        _store.merge(calls(0, 1), store)
    assert run(f"costaudit store info {store}")[1] == 2
    assert objects(store) == ["notes.txt"]


def test_the_protocol_of_google_gives_the_same_store(google, tmp_path):
    for piece in (calls(0, 3), calls(2, 5)):
        assert _store.merge(piece, "gs://bucket/history") == _store.merge(piece, tmp_path / "here")
    there = Bucket("gs://bucket/history")
    assert nameless(there.load()) == nameless(_store.parts.load(tmp_path / "here"))
    assert there._create("lists/0000000003.json", b"") is False
    assert not _store_check.verify(there).problems


def test_storage_that_writes_over_what_is_there_is_refused_before_anything_is_stored(google):
    google.heeds = False
    with pytest.raises(UsageError, match="writes over an object though it is told not to") as error:
        _store.merge(calls(0, 3), Bucket("gs://bucket/history"))
    assert "nothing was stored" in error.value.hint
    assert not google.objects
    google.heeds = True
    _store.merge(calls(0, 3), Bucket("gs://bucket/history"))
    google.heeds = False  # another server, the same objects
    before = dict(google.objects)
    with pytest.raises(UsageError, match="told not to"):
        _store.merge(calls(3, 4), Bucket("gs://bucket/history"))
    assert google.objects.keys() == before.keys()


def test_an_answer_that_is_lost_is_no_failure(google):
    _store.merge(calls(0, 3), Bucket("gs://bucket/history"))
    google.lost.add("history/lists/0000000003.json")
    assert _store.merge(calls(3, 4), Bucket("gs://bucket/history")) == (5, 0, 0, 20)
    assert not google.lost
    assert sorted(Bucket("gs://bucket/history")._lists()) == [1, 2, 3]


def test_no_secret_is_in_a_message(store, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2-hunter2")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA-hunter2-id")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:hunter2-pass@127.0.0.1:9/")
    with pytest.raises(UsageError, match="cannot be written") as error:
        _store.merge(calls(0, 1), Bucket(store))
    assert "hunter2" not in str(error.value) + error.value.hint
    done = subprocess.run(
        [sys.executable, "-m", "costaudit", "store", "verify", store],
        cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ, timeout=300,
    )  # fmt: skip
    assert done.returncode == 3
    assert "hunter2" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_fetched_parts_take_a_bounded_place_on_disk(store, monkeypatch):
    for n in range(4):
        _store.merge(calls(n, n + 1), store)
    at = Bucket(store)
    parts = at.load()
    monkeypatch.setattr(_bucket, "KEPT", 1)
    for part in parts:
        (path,) = at.paths([part.file])
        assert [p.name for p in Path(path).parent.iterdir()] == [Path(path).name]
    assert len(at.paths([part.file for part in parts])) == 4
    assert all(Path(path).exists() for path in at.paths([part.file for part in parts]))
