"""LangSmith: totals on every level, runs in pieces, objects kept as text."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

from costaudit.ingest import ingest

LOG = sample("langsmith.jsonl")


def test_the_sample_is_paid_once_a_call():
    made = read(LOG)
    # 1,000 with 600 cached; 10 beside 400 read and 30 written; 40 of a run in two pieces; a failed call.
    assert spent(made) == (4, 1_000 + 440 + 40, 600 + 400, 30, 60 + 5 + 4, 20)
    assert fates(made) == {"duplicates": 0, "rollups": 1, "rejects": 0}
    assert made.fates.skipped == {"piece of a run": 1, "run: tool": 1}
    by = {r["request_id"]: r for r in made.requests.filter(pl.col("rollup").is_null()).to_dicts()}
    call = by["chatcmpl-ls2"]
    assert [call[k] for k in ("task", "tenant", "run_id", "key_id", "ttft_s", "finish_reason", "cost_logged_usd")] == [
        "triage", "acme", "th-1", "support", 0.25, "stop", Decimal("0.0012"),
    ]  # fmt: skip
    assert (call["model_requested"], call["model"]) == ("gpt-5.4", "gpt-5.4-2026-03-05")
    assert sorted(made.requests["status"]) == ["error", "ok", "ok", "ok", "ok"]


def test_a_root_alone_stands_for_the_runs_below_it():
    assert spent(read([LOG[3]]))[:2] == (1, 1_010)


def run(own, above, kind, **counts):
    return {"id": own, "trace_id": "1", "parent_run_id": above, "dotted_order": own, "run_type": kind} | counts


@pytest.mark.parametrize(
    ("between", "calls"),
    [("tool", (2, 107)), ("chain", (1, 7))],  # else it is the client's run around the provider's
)
def test_a_tool_that_asks_a_model_makes_a_call_of_its_own(between, calls):
    runs = [
        run("1", None, "llm", prompt_tokens=100, completion_tokens=5),
        run("2", "1", between, prompt_tokens=7, completion_tokens=1),
        run("3", "2", "llm", prompt_tokens=7, completion_tokens=1),
    ]
    assert spent(read(runs))[:2] == calls


def test_pieces_of_a_run_meet_across_batches():
    first, second = LOG[4].split('],"patch":')
    made = read([first + "]}", '{"patch":' + second])
    assert spent(made)[:2] == (1, 40)
    assert made.fates.balanced


@pytest.mark.parametrize(
    ("path", "calls", "seen"),
    [
        ("js_wrap_openai_default", (1, 9, 0, 0, 9, 0), "2024-10-13 07:05:37"),
        ("js_wrap_openai_reasoning", (1, 43, 0, 0, 1_901, 960), "2024-10-13 07:05:38"),
        ("py_wrap_openai_reasoning", (1, 43, 0, 0, 2_497, 1_408), "2024-10-11 20:58:24"),
        ("py_wrap_openai_stream", (1, 9, 0, 0, 9, 0), "2024-10-11 20:58:20"),
    ],
)
def test_real_batches_read_right(shared, path, calls, seen):
    made = ingest([shared / f"formats/langsmith/langsmith_{path}.json"])
    assert spent(made) == calls
    assert window(made) == (seen, seen)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}


@given(mangled(LOG))
@settings(max_examples=20, deadline=None)
def test_damaged_lines_cost_themselves_and_nothing_else(lines):
    assert read(lines).fates.balanced
