"""Weave: parents that hold the sum of their children, and usage in columns."""

from __future__ import annotations

import json

from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

LOG = sample("weave.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 1, "rejects": 0}
    # The first row is the sum of the second and the fourth.
    assert spent(made) == (3, 1_200 + 1_300 + 460, 900 + 1_100 + 400, 50, 80 + 40 + 20, 30)
    assert window(made) == ("2026-09-02 08:00:00", "2026-09-02 08:00:05")
    assert made.fates.skipped == {"span: workflow": 1}
    assert not made.notes


def test_threads_attributes_and_costs_are_read():
    rows = {r["request_id"]: r for r in read(LOG).requests.to_dicts()}
    first, second, third = (rows[k] for k in ("chatcmpl-w1", "chatcmpl-w2", "msg_w3"))
    assert [first[k] for k in ("run_id", "task", "tenant", "user")] == ["s-1", "triage", "acme", "VXNlcjox"]
    assert [c["id"] for c in first["tool_calls"]] == [r["id"] for r in second["tool_results"]]
    assert (third["convention"], third["finish_reason"], str(third["cost_logged_usd"])[:7]) == (
        "proved",
        "stop",
        "0.00011",
    )


def test_usage_in_columns_of_a_table_is_the_same_usage():
    row = json.loads(LOG[1])
    usage = row.pop("summary")["usage"]["gpt-5-2025-08-07"]
    flat = {f"summary.usage.gpt-4.1.{name}": value for name, value in usage.items() if not isinstance(value, dict)}
    flat["summary.usage.gpt-4.1.prompt_tokens_details.cached_tokens"] = 900
    made = read([row | flat])
    assert spent(made) == (1, 1_200, 900, 0, 80, 0)
    assert made.requests["model"].item() == "gpt-4.1"


def test_a_call_that_used_two_models_is_a_row_a_model():
    row = json.loads(LOG[0])
    row["summary"]["usage"]["gpt-5-mini"] = {"requests": 1, "prompt_tokens": 7, "completion_tokens": 1}
    made = read([row])
    assert spent(made)[:2] == (2, 2_507)
    assert sorted(made.requests["model"]) == ["gpt-5-2025-08-07", "gpt-5-mini"]


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
