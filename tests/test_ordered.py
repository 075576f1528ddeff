"""Rows put in order piece by piece are the rows put in order at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costaudit import schema, scratch
from costaudit.ingest import _identity, _ordered
from costaudit.ingest._ordered import ORDER, in_time, pieces

START = datetime(2026, 9, 1, tzinfo=UTC)
PLACE = st.tuples(
    st.sampled_from([None, *(START + timedelta(seconds=n) for n in range(3))]),
    st.sampled_from([None, "b.jsonl", "a.jsonl", "ä.jsonl"]),
    st.sampled_from([None, 1, 2, 2**40]),
)
TYPES = {"started_at": schema.UTC, "source_file": pl.String, "source_line": pl.Int64}


@given(st.lists(PLACE, max_size=30), st.integers(1, 7), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_order_of_time_is_that_of_a_sort_by_all_three(rows, number, as_read):
    frame = pl.DataFrame(rows, schema=TYPES, orient="row")
    frame = frame.sort("source_file", "source_line", nulls_last=True) if as_read else frame
    sorted_ = frame.with_row_index("_at").sort(ORDER, nulls_last=True, maintain_order=True)["_at"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_ordered, "NUMBERS", number)
        assert in_time(frame.height, lambda at, n: frame[at : at + n]).equals(sorted_)


@given(st.permutations(range(30)), st.integers(1, 40), st.integers(1, 40), st.integers(0, 60))
@settings(max_examples=40, deadline=None)
def test_pieces_are_the_rows_by_their_numbers(order, size, strip, near):
    rows = {
        "n": list(range(30)),
        "text": [f"a text that is longer than a view, {n}" if n % 3 else None for n in range(30)],
        "few": [None] * 29 + [7],
        "chain": [[n, n + 1] if n % 2 else [] for n in range(30)],
    }
    frame = pl.DataFrame(rows)
    places = pl.Series(order, dtype=pl.UInt32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_ordered, "STRIP", strip)
        patch.setattr(_ordered, "NEAR", near)
        found = list(pieces(places, size, 1.0, lambda at, n: frame[at : at + n]))
    assert all(0 < piece.height <= size for piece in found)
    assert schema.conform(pl.concat(found, how="diagonal"), frame.schema).equals(frame[places])


KEYED = {"_key": pl.String, "_also": pl.String, "_rank": pl.Int64, "started_at": pl.Int64}


@given(st.lists(st.sampled_from([None, "", "a", "b", "c", "d"]), max_size=20), st.integers(1, 9), st.booleans())
@settings(max_examples=40, deadline=None)
def test_copies_are_found_by_their_keys_even_where_hashes_are_equal(keys, some, alike):
    column = pl.Series("_key", keys, dtype=pl.String)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_identity, "HASHED", some)
        if alike:
            patch.setattr(
                _identity,
                "_hashed",
                lambda part, _: (
                    part["_key"].is_not_null().replace_strict({False: None, True: 7}, return_dtype=pl.UInt64)
                ),
            )
        found = _identity._copied(column.to_frame(), pl.col("_key")).to_list()
    assert found == [key is not None and keys.count(key) > 1 for key in keys]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, "a", "b", "x|1", "x|2"]), st.sampled_from([None, "a", "b"]), st.integers(-1, 1)
        ),
        max_size=12,
    )
)
@settings(max_examples=60, deadline=None)
def test_rows_known_by_their_response_alone_get_the_key_of_its_best_row(told):
    rows = [(key, also, rank, n) for n, (key, also, rank) in enumerate(told)]
    frame = pl.DataFrame(rows, schema=KEYED, orient="row")
    homes: dict[str, tuple[int, int, str]] = {}  # least first: the highest rank, then the earliest
    for key, also, rank, n in rows:
        if also is not None and key is not None and also != key:
            homes[also] = min(homes.get(also, (9, 0, "")), (-rank, n, key))
    expected = []
    for key, also, rank, _ in rows:
        best, _, home = homes.get(also or key or "", (0, 0, None))
        expected.append(home if home is not None and (key == (also or key) or rank < -best) else key)
    assert _identity._widened(frame)["_key"].to_list() == expected


def test_a_heap_gives_back_what_has_a_name_in_the_order_it_came():
    heap = scratch.heap()
    for n in range(6):
        heap.put(n % 2, bytes([n]) * n)
    assert list(heap.of(0)) == [b"", b"\2" * 2, b"\4" * 4]
    assert list(heap.of(1)) == [b"\1", b"\3" * 3, b"\5" * 5]
    assert list(heap.of(2)) == []
    heap.close()
