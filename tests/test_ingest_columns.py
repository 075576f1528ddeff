"""Columns built from Python values are those polars would build, only sooner."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costaudit import schema
from costaudit.ingest._columns import series

calls = st.fixed_dictionaries(
    {"id": st.none() | st.integers(0, 2**64 - 1), "name": st.none() | st.text(max_size=3), "args_sha": st.just(7)}
)


@given(st.lists(st.none() | st.lists(calls, min_size=1, max_size=3), max_size=8))
def test_lists_of_structs_keep_their_order_and_their_gaps(cells):
    assert series("tool_calls", cells, schema.TOOL_CALLS).to_list() == cells


@pytest.mark.parametrize(
    ("cells", "dtype"),
    [([1, None, 2], pl.Int64()), ([[1, 2], None], pl.List(pl.UInt64())), ([], schema.EXTRAS), (["a"], pl.String())],
)
def test_other_columns_are_what_polars_makes_of_them(cells, dtype):
    assert series("x", cells, dtype).equals(pl.Series("x", cells, dtype=dtype), null_equal=True)


def test_an_empty_list_is_absent():
    assert series("x", [[], None], schema.EXTRAS).to_list() == [None, None]
