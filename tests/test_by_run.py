"""Calls in order of their runs: the quick order is the plain one, and so are its running totals and places."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import calls, ledger

from costaudit.analyze._by_run import in_runs, running
from costaudit.price.ledger import positions

SCHEMA = {"run_id": pl.String, "step": pl.Int64, "tokens": pl.Int64}
call = st.tuples(
    st.sampled_from([None, "a", "b", "c"]),
    st.one_of(st.none(), st.sampled_from([0, 1, 2, 7, 2**31, 2**40, -1])),
    st.integers(0, 9),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(call, max_size=12))
def test_runs_are_in_order_of_steps_that_each_call_has_for_itself_else_of_time(rows):
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row").with_row_index("row")
    ordered = in_runs(frame).with_columns(spent=running("tokens"))
    known = frame.filter(pl.col("run_id").is_not_null())
    clear = (pl.col("step").null_count() == 0) & (pl.col("step").n_unique() == pl.len())
    placed = known.with_columns(place=pl.when(clear.over("run_id")).then("step"))
    known = placed.sort("run_id", "place", "row", nulls_last=True).drop("place")
    plain = known.with_columns(
        nth=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("run_id"),
        spent=pl.col("tokens").cum_sum().over("run_id"),
    )
    assert ordered.sort("run_id", "nth").select(plain.columns).equals(plain)
    assert ordered["run"].rle().len() == known["run_id"].n_unique()  # each run stands together


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 20)), st.lists(st.integers(0, 25), max_size=6))
def test_positions_are_where_values_stand(column, values):
    ordered = sorted(column)
    found = positions(pl.Series(values, dtype=pl.UInt32), pl.Series(ordered, dtype=pl.UInt32))
    assert found.to_list() == [ordered.index(value) if value in ordered else None for value in values]


@pytest.mark.parametrize("rows", [[0, 1, 2], [3, 5, 9]])
def test_a_ledger_finds_its_calls_by_row_however_they_are_numbered(rows):
    held = ledger(
        calls([{"input_tokens": 1_000 * n} for n in (1, 2, 3)]).with_columns(row=pl.Series(rows, dtype=pl.UInt32))
    )
    patch = pl.DataFrame(
        {"row": [rows[2], 77], "input_tokens": [500, 1]}, schema={"row": pl.UInt32, "input_tokens": pl.Int64}
    )
    after = held.patched(patch).patched(
        pl.DataFrame({"row": [rows[0]], "exists": [False]}, schema={"row": pl.UInt32, "exists": pl.Boolean})
    )
    assert after.calls.select("row", "input_tokens").rows() == [(rows[1], 2_000), (rows[2], 500)]
    assert after.reading(("input_tokens",)).calls["input_tokens"].to_list() == [2_000, 500]
    assert after.as_logged().calls.equals(held.calls)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.dictionaries(st.integers(0, 29), st.integers(1, 9), min_size=1, max_size=4), max_size=3),
    st.lists(st.integers(0, 29), max_size=40),
)
def test_calls_that_are_asked_for_say_what_has_changed_of_them(patches, asked):
    held = ledger(calls([{"input_tokens": 1_000 + n, "task": "x"} for n in range(30)]))
    tokens, tasks = [1_000 + n for n in range(30)], ["x"] * 30
    for nth, patch in enumerate(patches):
        rows = sorted(patch)
        news = {"row": rows, "input_tokens": [patch[row] for row in rows], "task": [f"{nth} {row}" for row in rows]}
        held = held.patched(pl.DataFrame(news, schema_overrides={"row": pl.UInt32}))
        for row in rows:
            tokens[row], tasks[row] = patch[row], f"{nth} {row}"
    for rows in (asked, sorted(set(asked)), range(30)):
        found = held.at(pl.Series(rows, dtype=pl.UInt32), ("input_tokens", "task"))
        assert found.select("input_tokens", "task").rows() == [(tokens[row], tasks[row]) for row in rows]
