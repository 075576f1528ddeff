"""Vercel's AI SDK: steps instead of the results that restate them, and cached input that moved between versions."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent

LOG = sample("ai-sdk.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}
    given, cached = 1_200 + 1_200 + 300 + 400 + 90 + 500, 900 + 900 + 128 + 64
    assert spent(made) == (7, given, cached, 100 + 100, 30 + 30 + 30 + 20 + 6 + 60, 20 + 40)
    calls = {row["request_id"] or row["status"]: row for row in made.requests.to_dicts()}
    assert [calls["msg_v6"][k] for k in ("task", "tenant", "model", "finish_reason")] == [
        "triage", "acme", "claude-sonnet-5", "stop",
    ]  # fmt: skip
    assert calls["resp_sdk1"]["finish_reason"] == "tool_calls"
    assert [c["name"] for c in calls["resp_sdk1"]["tool_calls"]] == ["lookup"]
    kept, failed = calls["ok"], calls["error"]
    assert (kept["run_id"], kept["task"], kept["provider"]) == ("20260902T0804-a1", "summarise", "openai")
    assert (kept["ended_at"] - kept["started_at"]).total_seconds() == 2.5
    assert failed["usage_source"] == "absent"


@pytest.mark.parametrize(
    ("changed", "input_tokens"),
    [
        ({}, 1_200),  # 200 fresh, 900 read, 100 written
        ({"providerMetadata": None}, 1_100),  # the model's name says whose it is; the writes are lost
        ({"response": {"modelId": "gpt-5-mini"}, "providerMetadata": None}, 200),  # inside, as everybody else counts
    ],
)
def test_before_version_6_claude_has_its_cached_input_beside_the_input(changed, input_tokens):
    row = json.loads(LOG[1]) | changed
    assert read([row]).requests["input_tokens"].item() == input_tokens


def test_a_result_that_lists_no_steps_stands_for_all_of_them():
    row = {key: value for key, value in json.loads(LOG[2]).items() if key != "steps"}
    call = read([row]).requests.row(0, named=True)
    assert (call["input_tokens"], call["output_tokens"], call["summed"]) == (700, 50, True)


def test_what_stands_around_a_result_is_said_of_its_steps():
    made = read([json.loads(LOG[2]) | {"task": "hours", "tenant": "acme"}])
    assert (spent(made)[0], set(made.requests["task"]), set(made.requests["tenant"])) == (2, {"hours"}, {"acme"})


def test_a_count_that_is_none_costs_the_line():
    made = read([LOG[0].replace('"inputTokens":1200', '"inputTokens":"many"'), LOG[3]])
    assert spent(made)[0] == 1
    assert sum(made.fates.rejects.values()) == 1


@given(mangled(LOG))
@settings(max_examples=20, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
