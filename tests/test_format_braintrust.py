"""Braintrust: spans around each other, evaluation apart, and exports that hold sums only."""

from __future__ import annotations

import json

import polars as pl
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

LOG = sample("braintrust.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 1, "rejects": 0}
    # The root repeats the three calls; the last of them is a judge's.
    assert spent(made) == (4, 1_200 + 1_300 + 300, 900 + 1_100, 60 + 40, 80 + 40 + 10, 30)
    assert window(made) == ("2026-09-02 08:00:00", "2026-09-02 08:00:06")
    assert made.fates.skipped == {"span: evaluator": 1, "span: execute_tool": 1}
    assert not made.notes


def test_calls_take_their_context_from_the_root_and_scorers_are_apart():
    rows = read(LOG).requests.filter(pl.col("model").is_not_null()).to_dicts()
    assert {(r["task"], r["tenant"], r["run_id"], r["user"]) for r in rows} == {("triage", "acme", "s-1", "u-7")}
    assert [r["environment"] for r in rows] == [None, None, "evaluation", None]
    assert [r["status"] for r in rows] == ["ok", "ok", "ok", "error"]
    assert (rows[1]["cache_write_5m_tokens"], rows[1]["cache_write_1h_tokens"]) == (60, 40)
    assert (rows[0]["ttft_s"], rows[0]["finish_reason"]) == (0.4, "tool_calls")


def test_an_export_of_traces_says_that_its_rows_are_sums():
    made = read([json.loads(LOG[0])])
    assert spent(made) == (1, 2_800, 0, 0, 130, 0)
    assert made.notes == (
        "Braintrust: 1 row is the sum of a whole trace, its calls are not in the export: export spans",
    )


def test_a_page_of_the_query_interface_holds_the_same_rows():
    assert spent(read([{"data": [json.loads(line) for line in LOG], "cursor": None}])) == spent(read(LOG))


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
