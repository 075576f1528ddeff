"""The OpenAI Agents SDK: turns restate the calls below them, agents are the task."""

from __future__ import annotations

import json

from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent

LOG = sample("openai-agents.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 1, "rejects": 0}
    assert spent(made) == (3, 500 + 700, 256 + 512, 0, 40 + 60, 20)
    calls = {row["source_line"]: row for row in made.requests.to_dicts() if not row["rollup"]}
    assert {row["task"] for row in calls.values()} == {"Triage agent"}
    assert {row["run_id"] for row in calls.values()} == {"trace_a1"}
    assert {row["tenant"] for row in calls.values()} == {"acme"}
    assert [calls[2][k] for k in ("model", "temperature", "max_tokens")] == ["gpt-5-mini", 0.2, 100]
    assert (calls[2]["system_sha"] is not None, calls[5]["request_id"]) == (True, "resp_agents_2")
    assert (calls[6]["status"], calls[6]["usage_source"]) == ("error", "absent")


def test_spans_in_one_body_are_the_same_calls():
    assert spent(read([{"data": [json.loads(line) for line in LOG]}])) == spent(read(LOG))


def test_a_log_of_the_response_lends_the_span_its_model():
    response = {
        "id": "resp_agents_2", "object": "response", "created_at": 1788336004, "status": "completed",
        "model": "gpt-5-mini", "output": [],
        "usage": {"input_tokens": 700, "input_tokens_details": {"cached_tokens": 512}, "output_tokens": 60,
                  "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 760},
    }  # fmt: skip
    made = read(LOG, [response])
    call = made.requests.filter(request_id="resp_agents_2")
    assert (call.height, call["model"].item(), call["task"].item()) == (1, "gpt-5-mini", "Triage agent")
    assert spent(made) == spent(read(LOG))


def test_a_usage_of_zeros_is_no_usage():
    span = json.loads(LOG[1])
    span["span_data"]["usage"] = {"requests": 1, "input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    assert read([span]).requests["usage_source"].to_list() == ["absent"]


def test_one_bad_span_of_a_body_costs_one_span():
    spans = [json.loads(line) for line in LOG]
    spans[4]["span_data"]["usage"]["input_tokens"] = "many"
    assert fates(read([{"data": [*spans, 7]}]))["rejects"] == 2


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
