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


def test_the_lifetimes_of_cache_writes_are_read_where_the_provider_told_them():
    row = json.loads(LOG[1])
    split = {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40}
    row["providerMetadata"]["anthropic"]["usage"] = {"cache_creation_input_tokens": 100, "cache_creation": split}
    made = read([row])
    assert made.requests.select("cache_write_5m_tokens", "cache_write_1h_tokens").row(0) == (60, 40)
    assert spent(made) == spent(read([LOG[1]]))


GEMINI = {"google": {"usageMetadata": {"toolUsePromptTokenCount": 7}}}


@pytest.mark.parametrize(
    ("model", "usage", "told", "spends"),
    [  # input, read, written, output, reasoning
        # Version 5 of Google's provider: 100 prompt + 7 results of its tools, 50 said + 30 thought.
        (
            "gemini-2.5-pro",
            {"outputTokens": 50, "totalTokens": 187, "reasoningTokens": 30},
            GEMINI,
            (107, 0, 0, 80, 30),
        ),
        ("gemini-2.5-pro", {"outputTokens": 50, "totalTokens": 180, "reasoningTokens": 30}, {}, (100, 0, 0, 80, 30)),
        ("gemini-2.5-pro", {"totalTokens": 130, "reasoningTokens": 30}, {}, (100, 0, 0, 30, 30)),  # said nothing
        # Version 6 has the thoughts inside and leaves the results of tools out.
        (
            "gemini-2.5-pro",
            {"outputTokens": 80, "totalTokens": 180, "outputTokenDetails": {"reasoningTokens": 30},
             "raw": {"totalTokenCount": 187, "toolUsePromptTokenCount": 7}},
            {},
            (107, 0, 0, 80, 30),
        ),
        # A provider of version 5 under version 6: the total of the SDK is a sum, the raw one is Google's.
        (
            "gemini-2.5-pro",
            {"outputTokens": 50, "totalTokens": 150, "reasoningTokens": 30, "raw": {"totalTokens": 180}},
            {},
            (100, 0, 0, 80, 30),
        ),
        ("gpt-5-mini", {"outputTokens": 50, "totalTokens": 150, "reasoningTokens": 30}, {}, (100, 0, 0, 50, 30)),
        # Claude by OpenRouter counts as OpenRouter does; by Anthropic's own provider of version 5 it has cache beside.
        (
            "anthropic/claude-sonnet-4.5",
            {"outputTokens": 50, "totalTokens": 150, "cachedInputTokens": 90},
            {"openrouter": {"usage": {"cost": 0.01}}},
            (100, 90, 0, 50, 0),
        ),
        (
            "claude-sonnet-4-5",
            {"outputTokens": 50, "totalTokens": 150, "inputTokenDetails": {"cacheReadTokens": 900}},
            {"anthropic": {"cacheCreationInputTokens": 200}},
            (1_200, 900, 200, 50, 0),
        ),
    ],
)  # fmt: skip
def test_counts_are_whole_whoever_left_a_part_of_them_out(model, usage, told, spends):
    row = {"finishReason": "stop", "usage": {"inputTokens": 100, **usage}, "providerMetadata": told}
    assert spent(read([row | {"text": "Yes.", "response": {"id": "r-1", "modelId": model}}])) == (1, *spends)


def test_a_result_that_lists_no_steps_stands_for_all_of_them():
    row = {key: value for key, value in json.loads(LOG[2]).items() if key != "steps"}
    call = read([row]).requests.row(0, named=True)
    assert (call["input_tokens"], call["output_tokens"], call["summed"]) == (700, 50, True)


def test_what_streamed_objects_end_with_is_a_call():
    made = {
        "usage": {"inputTokens": 100, "outputTokens": 50},
        "object": {"a": 1},
        "response": {"modelId": "gpt-5-mini"},
    }
    assert spent(read([made])) == (1, 100, 0, 0, 50, 0)


def test_steps_that_are_logged_beside_a_sum_are_the_calls():
    result = json.loads(LOG[2])
    steps = result.pop("steps")
    result["response"] = steps[-1]["response"]  # as the SDK gives it
    listed = read([{**result, "steps": steps}])
    for order in ([*steps, result], [result, *steps]):
        assert spent(read(order)) == spent(listed)


def test_what_stands_around_a_result_is_said_of_its_steps():
    made = read([json.loads(LOG[2]) | {"task": "hours", "tenant": "acme"}])
    assert (spent(made)[0], set(made.requests["task"]), set(made.requests["tenant"])) == (2, {"hours"}, {"acme"})


def test_a_count_that_is_none_costs_the_line():
    made = read([LOG[0].replace('"inputTokens":1200', '"inputTokens":"many"'), LOG[3]])
    assert spent(made)[0] == 1
    assert sum(made.fates.rejects.values()) == 1


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
