"""Object storage: the same logs give the same figures wherever they lie. A local server speaks the protocol."""

from __future__ import annotations

import gzip
import json
import sys

import pytest
from buckets import lines
from console import ROOT

from costaudit.errors import LogError, UsageError
from costaudit.ingest import _remote, ingest


def ids(read):
    return sorted(read.requests["request_id"].to_list())


def test_samples_of_every_format_give_the_same_from_a_bucket(bucket, tmp_path, monkeypatch):
    folder = ROOT / "sample_logs" / "formats"
    monkeypatch.setattr(_remote, "OBJECTS", 5)  # several batches
    names = [path.name for path in sorted(folder.iterdir()) if path.is_file()][::3]
    for name in names:
        bucket.put(f"formats/{name}", (folder / name).read_bytes())
        (tmp_path / "formats").mkdir(exist_ok=True)
        (tmp_path / "formats" / name).write_bytes((folder / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    here, there = ingest(["formats"]), ingest([f"{bucket.url}/formats/"])
    place = f"{bucket.url}/"
    moved = there.requests.with_columns(there.requests["source_file"].str.strip_prefix(place))
    assert moved.equals(here.requests)
    assert there.fates == here.fates
    assert there.sources["path"].str.strip_prefix(place).to_list() == here.sources["path"].to_list()


def test_compressed_objects_globs_and_single_keys(bucket):
    bucket.put("logs/2026-10-01/a.jsonl.gz", gzip.compress(lines(1, 2)))
    bucket.put("logs/2026-10-02/b c.jsonl", lines(3))
    bucket.put("logs/2026-11-01/deep/c.jsonl", lines(4))
    bucket.put("logs2/d.jsonl", lines(5))
    bucket.put("logs/.git/e.jsonl", lines(6))
    found = {
        "logs/": ["c1", "c2", "c3", "c4"],
        "logs": ["c1", "c2", "c3", "c4"],
        "": ["c1", "c2", "c3", "c4", "c5"],
        "logs/2026-10-02/b c.jsonl": ["c3"],
        "logs/2026-10-*/*": ["c1", "c2", "c3"],
        "logs/**/*.jsonl": ["c3", "c4"],
        "logs/2026-1[01]-01/**": ["c1", "c2", "c4"],
        "logs/*/?.jsonl.gz": ["c1", "c2"],
    }
    for key, expected in found.items():
        assert ids(ingest([f"{bucket.url}/{key}"])) == expected, key


def test_local_files_and_buckets_are_read_together_and_each_once(bucket, tmp_path):
    url = bucket.put("a.jsonl", lines(1))
    (tmp_path / "b.jsonl").write_bytes(lines(2))
    assert ids(ingest([tmp_path, url, bucket.url, url])) == ["c1", "c2"]
    assert bucket.fetched == ["a.jsonl"]


def test_an_object_is_fetched_once_until_it_changes(bucket, tmp_path):
    for n in range(3):
        bucket.put(f"logs/{n}.jsonl", lines(n))
    for _ in range(2):
        assert ids(ingest([f"{bucket.url}/logs"], cache=tmp_path)) == ["c0", "c1", "c2"]
    assert sorted(bucket.fetched) == [f"logs/{n}.jsonl" for n in range(3)]
    bucket.put("logs/1.jsonl", lines(7))  # as long as before
    assert ids(ingest([f"{bucket.url}/logs"], cache=tmp_path)) == ["c0", "c2", "c7"]
    assert ids(ingest([f"{bucket.url}/logs/1.jsonl"], cache=tmp_path)) == ["c7"]
    assert bucket.fetched[3:] == ["logs/1.jsonl"]


def test_an_object_that_changes_between_listing_and_reading_is_read_as_it_is_and_not_kept(
    bucket, tmp_path, monkeypatch
):
    bucket.put("log.jsonl", lines(1))
    original = _remote._get

    def late(item, place):
        bucket.put("log.jsonl", lines(2))
        return original(item, place)

    with monkeypatch.context() as patch:
        patch.setattr(_remote, "_get", late)
        assert ids(ingest([bucket.url], cache=tmp_path)) == ["c2"]
    assert not list(tmp_path.rglob("*.pack"))
    assert ids(ingest([bucket.url], cache=tmp_path)) == ["c2"]


def test_a_description_beside_a_transcript_comes_with_it(bucket, tmp_path):
    usage = {"input_tokens": 5, "output_tokens": 2}
    row = {"type": "assistant", "uuid": "u", "parentUuid": None, "isSidechain": True, "sessionId": "s", "agentId": "1"}
    row |= {"requestId": "r", "message": {"id": "m", "role": "assistant", "model": "claude-opus-5", "usage": usage}}
    url = bucket.put("s/subagents/agent-1.jsonl", json.dumps(row).encode())
    for kind in ("reviewer", "searcher"):
        bucket.put("s/subagents/agent-1.meta.json", json.dumps({"agentType": kind}).encode())
        for path in (url, bucket.url):
            assert ingest([path], cache=tmp_path).requests["task"].to_list() == [kind]


def test_an_object_that_cannot_be_fetched_costs_itself_and_says_why(bucket, tmp_path, monkeypatch):
    bucket.put("a.jsonl", lines(1))
    bucket.put("b.jsonl", lines(2))
    original = _remote._get

    def broken(item, place):
        if item.key == "b.jsonl":
            raise OSError("No space left on device")
        return original(item, place)

    monkeypatch.setattr(_remote, "_get", broken)
    read = ingest([bucket.url], cache=tmp_path)
    assert ids(read) == ["c1"]
    why = f"{bucket.url}/b.jsonl: cannot be fetched: No space left on device"
    assert (read.unread, read.sampled) == ((why,), True)  # totals are at least what they are, and nothing is judged
    assert read.notes == (f"{why}; it could not be read, so totals are at least this",)
    monkeypatch.setattr(_remote, "_get", original)
    assert ids(ingest([bucket.url], cache=tmp_path)) == ["c1", "c2"]


def test_what_is_not_there_or_refused_stops_with_a_sentence(bucket, server, monkeypatch):
    with pytest.raises(UsageError, match="no objects"):
        ingest([f"{bucket.url}/nothing/"])
    with pytest.raises(LogError, match="cannot be listed: NoSuchBucket: The specified bucket does not exist") as error:
        ingest(["s3://no-such-bucket/logs/"])
    assert "AWS_ACCESS_KEY_ID" in error.value.hint
    with pytest.raises(UsageError, match="names no bucket"):
        ingest(["s3:///logs"])
    bucket.put("acme/history/costaudit-store.json", b"{}")
    with pytest.raises(UsageError, match=f"holds a store, which is read by itself: {bucket.url}/acme/history$"):
        ingest([f"{bucket.url}/acme"])


def test_temporary_files_are_gone_and_batches_are_read_in_order(bucket, tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(_remote, "OBJECTS", 2)
    for n in range(5):
        bucket.put(f"{n}.jsonl", lines(n))
    told = []
    read = ingest([bucket.url], progress=lambda *said: told.append(said))
    assert [(number, of) for _, number, of in told] == [(n, 5) for n in range(1, 6)]
    assert told[4][0] == f"{bucket.url}/4.jsonl"
    assert ids(read) == [f"c{n}" for n in range(5)]
    assert not list(tmp_path.iterdir())


def test_keys_are_hostile_and_stay_inside_the_temporary_folder():
    for name in ("..", ".", "a" * 300 + ".jsonl", "x\0y"):
        assert _remote._safe(name) not in ("", ".", "..")
        assert len(_remote._safe(name)) <= 200
        assert "/" not in _remote._safe(name)
        assert "\0" not in _remote._safe(name)


def test_google_storage_is_read_by_its_own_protocol(google, tmp_path):
    google.put("logs/a.jsonl", lines(1, 2))
    google.put("logs/b c.jsonl", lines(3))
    assert ids(ingest(["gs://bucket/logs/"], cache=tmp_path)) == ["c1", "c2", "c3"]
    assert ids(ingest(["gs://bucket/logs/b c.jsonl"], cache=tmp_path)) == ["c3"]
    assert ids(ingest(["gs://bucket/logs/a*"])) == ["c1", "c2"]


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(UsageError, match="extra `cloud`") as error:
        ingest(["s3://bucket/logs"])
    assert error.value.hint == "pip install 'costaudit[cloud]'"
