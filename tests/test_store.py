"""The store: the same logs again change nothing, and a crash leaves the old month or the new one."""

from __future__ import annotations

import json

import polars as pl
import pytest

from costaudit import schema
from costaudit.errors import LogError, UsageError
from costaudit.ingest import _store, ingest


def log(path, numbers, **changes):
    call = {"object": "chat.completion", "model": "gpt-5.4", "choices": [], "usage": {"prompt_tokens": 7}}
    rows = [call | {"id": f"c{n}", "created": 1_790_000_000 + n * 86_400} | changes for n in numbers]
    path.write_text("\n".join(map(json.dumps, rows)))
    return ingest([path]).requests


def test_merging_is_idempotent_and_overlaps_count_once(tmp_path):
    first, second = log(tmp_path / "a", range(40)), log(tmp_path / "b", range(30, 60))
    store = tmp_path / "store"
    assert _store.merge(first, store) == (40, 0, 40)
    assert _store.merge(first, store) == (0, 40, 40)
    assert _store.merge(second, store) == (20, 10, 60)
    assert _store.read(store)["input_tokens"].sum() == 60 * 7


def test_calls_without_an_id_are_kept_apart_by_what_they_are_and_known_again(tmp_path):
    requests = log(tmp_path / "a", range(5), id=None)
    moved = requests.with_columns(source_file=pl.lit("archive/a"))
    store = tmp_path / "store"
    assert _store.merge(requests, store).added == 5
    assert _store.merge(moved, store).known == 5


def test_what_comes_out_is_what_went_in(tmp_path):
    requests = log(tmp_path / "a", range(40))
    _store.merge(requests, tmp_path / "store")
    assert _store.read(tmp_path / "store").equals(requests)
    assert _store.read(tmp_path / "store").schema == schema.REQUESTS


def test_a_half_written_month_is_not_read(tmp_path):
    store = tmp_path / "store"
    requests = log(tmp_path / "a", range(3))
    _store.merge(requests, store)
    month = next((store / "requests").iterdir())
    (month / "requests.writing").write_bytes(b"PAR1 half of a mon")
    assert _store.read(store).height == 3
    assert _store.merge(log(tmp_path / "b", range(4)), store).added == 1


def test_what_is_no_store_is_not_written_to(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="not a store"):
        _store.merge(schema.REQUESTS.to_frame(), tmp_path)


@pytest.mark.parametrize(("mark", "says"), [("{", "damaged"), ('{"schema": 99}', "version 99")])
def test_a_damaged_or_newer_store_stops_with_a_sentence(tmp_path, mark, says):
    store = tmp_path / "store"
    _store.merge(log(tmp_path / "a", range(3)), store)
    (store / _store.MARK).write_text(mark)
    with pytest.raises(LogError, match=says):
        _store.read(store)


def test_a_damaged_month_stops_with_its_name(tmp_path):
    store = tmp_path / "store"
    _store.merge(log(tmp_path / "a", range(3)), store)
    path = next(store.glob("requests/*/requests.parquet"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(LogError, match=r"requests\.parquet: damaged"):
        _store.read(store)
