"""Parts are merged in order of time, a slice of each at a time: the rows are those of one sorted table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from stores import log

from costaudit import schema, scratch
from costaudit.errors import LogError
from costaudit.ingest import _away, _copies, _order, _parts, _store, _store_check

DAY = datetime(2026, 10, 1, tzinfo=UTC)


def rows(*calls):
    """Calls as (hour of October or None, line), each with an id of its own."""
    made = {
        "request_id": [f"c{hour}-{line}-{n}" for n, (hour, line) in enumerate(calls)],
        "started_at": [None if hour is None else DAY + timedelta(hours=hour) for hour, _ in calls],
        "source_file": ["log" if line % 3 else "log2" for _, line in calls],
        "source_line": [line for _, line in calls],
    }
    return schema.conform(pl.DataFrame(made, schema_overrides={"started_at": schema.UTC}), _parts.STORED)


HOURS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), min_size=1, max_size=12)


@given(held=st.lists(HOURS, min_size=1, max_size=4), dated=st.booleans(), at_once=st.integers(1, 9))
@settings(max_examples=15)
def test_slices_of_parts_are_the_rows_of_one_sorted_table(tmp_path_factory, held, dated, at_once):
    place = _parts.at(tmp_path_factory.mktemp("parts"))
    frames = [rows(*((hour if dated else None, line + 10 * n) for hour, line in calls)) for n, calls in enumerate(held)]
    month = "2026-10" if dated else "undated"
    made = [_parts.write(place, month, _order.in_order(frame), None) for frame in frames]
    with pytest.MonkeyPatch.context() as few:
        few.setattr(_order, "AT_ONCE", at_once)
        few.setattr(_order, "FEWEST", 1)
        pieces = list(_order.merged([_order.run(place, part) for part in made]))
    assert_frame_equal(pl.concat(pieces), _order.in_order(pl.concat(frames)))


@pytest.mark.parametrize(
    ("hours", "parts"),
    [
        ([0, 1, 2], [3]),
        ([0, 1, 24, 25, 48], [4, 1]),  # whole days
        ([0, 1, 2, 24, 25, 26], [3, 3]),
        ([0, 1, 2, 3, 4, 5, 24], [4, 3]),  # a day of more is cut
        ([0, 1, 2, 2, 2, 3], [2, 4]),  # between two moments
        ([5, 5, 5, 5, 5, 6], [5, 1]),  # of one moment all stay together
        ([24, 25, 26, 48, 48, 48, 48, 48], [3, 5]),
        ([None] * 9, [4, 4, 1]),
    ],
)
def test_parts_hold_whole_days_or_a_day_is_cut_between_two_moments(hours, parts):
    assert list(_order.sizes(rows(*((hour, 1) for hour in hours))["started_at"], 4)) == parts


def test_a_part_is_the_same_file_however_its_rows_come(tmp_path):
    whole = rows(*((n % 700, n) for n in range(3_000))).sort(_order.ORDER)
    for n in range(2):
        (tmp_path / f"{n}").mkdir()
    one = _parts.write(tmp_path / "0", "2026-10", whole, None)
    other = _parts.write_stream(tmp_path / "1", "2026-10", whole.iter_slices(170), None)
    assert one == other
    assert (tmp_path / "0" / one.file).read_bytes() == (tmp_path / "1" / one.file).read_bytes()


def test_a_day_of_more_rows_than_a_part_is_cut_and_stays_whole_in_the_store(tmp_path, monkeypatch):
    monkeypatch.setattr(_store, "ROWS", 10)
    monkeypatch.setattr(_store, "PARTS", 2)
    everything = rows(*((n // 4, n) for n in range(120)))  # four calls an hour
    for first in range(7):  # every part holds hours of every day
        _store.merge(everything.gather_every(7, first).select(schema.REQUESTS.names()), tmp_path / "store")
    _store.compact(tmp_path / "store")
    held = _parts.load(tmp_path / "store")
    assert max(part.rows for part in held) <= 10
    assert all(one.last < other.first for one, other in pairwise(held))
    assert _store.read(tmp_path / "store").height == 120
    assert not _store_check.verify(tmp_path / "store").problems


def test_full_parts_that_overlap_are_put_in_order_once(tmp_path, monkeypatch):
    monkeypatch.setattr(_store, "ROWS", 10)
    everything = rows(*((24 * n, n) for n in range(20))).select(schema.REQUESTS.names())
    for first in range(2):
        _store.merge(everything.gather_every(2, first), tmp_path / "store")
    _store.compact(tmp_path / "store")
    held = _parts.load(tmp_path / "store")
    assert [(part.rows, part.first.day) for part in held] == [(10, 1), (10, 11)]
    assert _store.compact(tmp_path / "store") == (2, 2, 0)
    assert _parts.load(tmp_path / "store") == held


def test_a_damaged_part_stops_a_merge_of_parts_by_its_name_and_the_store_is_as_it_was(tmp_path):
    store = tmp_path / "store"
    for n in range(3):
        _store.merge(rows((n, 1)).select(schema.REQUESTS.names()), store)
    before = _parts.load(store)
    (store / before[1].file).write_bytes(b"PAR1")
    with pytest.raises(LogError, match=rf"{before[1].xxh3}\.parquet: damaged"):
        _store.compact(store)
    assert _parts.load(store) == before
    assert not list(store.glob("*.writing"))


IDS = st.tuples(st.integers(0, 9), st.none() | st.integers(0, 9), st.integers(0, 3), st.integers(0, 900))


def stored(drawn):
    """Rows whose ids are copies of each other's, in chains too."""
    keys = pl.DataFrame(
        [(f"{key}", None if also is None else f"{also}", rank) for key, also, rank, _ in drawn],
        schema=_parts.KEYS, orient="row",
    )  # fmt: skip
    return rows(*((at, n) for n, (*_, at) in enumerate(drawn))).select(schema.REQUESTS.names()), keys


@given(first=st.lists(IDS, max_size=12), then=st.lists(IDS, min_size=1, max_size=12))
@settings(max_examples=6)
def test_a_merge_some_rows_at_a_time_is_the_merge_of_all_at_once(tmp_path_factory, first, then):
    folder = tmp_path_factory.mktemp("merge")
    said = {}
    for name, number in (("whole", 1_000), ("pieces", 1)):
        with pytest.MonkeyPatch.context() as few:
            few.setattr(_copies, "TOGETHER", number)
            few.setattr(_away, "FEW", number)
            few.setattr(_away, "PIECE", number)
            said[name] = [_store.merge(stored(drawn)[0], folder / name, stored(drawn)[1]) for drawn in (first, then)]
            said[name].append(_store.merge(stored(then)[0], folder / name, stored(then)[1]))
    assert said["whole"] == said["pieces"]
    assert _parts.load(folder / "whole") == _parts.load(folder / "pieces")  # files are named by their content


def test_a_long_chain_of_copies_of_copies_is_one_portion():
    number = 20_000
    ids = pl.DataFrame({"key": range(number), "response": range(1, number + 1)}, schema=_copies._IDS)
    assert _copies._numbers(ids.reverse()).unique().to_list() == [0]


def test_parts_whose_groups_have_any_size_are_read_in_pieces(tmp_path, monkeypatch):
    whole = rows(*((n, n) for n in range(100)))
    monkeypatch.setattr(_parts, "TOGETHER", 10)
    monkeypatch.setattr(_parts, "READ", 40)
    for group in (7, 20, 40, 90):
        monkeypatch.setitem(_parts.PARQUET, "row_group_size", group)
        part = _parts.write(tmp_path, "2026-10", whole, None)
        pieces = [piece() for piece in _parts.read_pieces(tmp_path, [part], whole.columns)]
        assert len(pieces) == 3
        assert_frame_equal(pl.concat(pieces), whole)


@pytest.mark.parametrize("long", [True, False])
def test_all_of_a_store_is_its_rows_in_order_of_time_with_what_each_is_known_by(long, tmp_path, monkeypatch):
    if long:
        monkeypatch.setattr(scratch, "MANY", 1)
    for numbers in (range(0, 40, 2), range(1, 40, 2), range(90, 95)):
        _store.merge(log(tmp_path / f"{numbers.start}.jsonl", numbers), tmp_path / "store")
    found = _store.everything(tmp_path / "store")
    rows = pl.concat(_parts.read(tmp_path / "store", part) for part in _parts.load(tmp_path / "store"))
    rows = rows.with_columns(_key=pl.coalesce("_key", "request_id")).sort(_order.ORDER, nulls_last=True)
    assert found.requests.equals(rows.select(schema.REQUESTS.names()))
    assert found.identities.equals(rows.select(_parts.KEYS.names()))
    assert found.identities["_key"].null_count() == 0
    assert found.fates.lines == found.fates.requests == 45
