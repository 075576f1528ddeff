"""Pydantic AI: histories that hold the runs before them, and counts of nought that were not known."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent

LOG = sample("pydantic-ai.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}
    assert spent(made) == (4, 500 + 1_240 + 90, 256 + 1_000 + 64, 200, 40 + 25 + 6, 20 + 5)
    first, second, third, unknown = made.requests.sort("started_at").to_dicts()
    assert [first[k] for k in ("request_id", "task", "tenant", "run_id", "provider", "finish_reason")] == [
        "chatcmpl-pyd1", "triage", "acme", "run-1", "openai", "tool_calls",
    ]  # fmt: skip
    assert [c["name"] for c in first["tool_calls"]] == ["lookup"]
    assert (second["model"], third["provider"], unknown["usage_source"]) == ("claude-sonnet-5", "google", "absent")
    assert made.fates.skipped == {"request message": 2}


def test_a_history_as_it_is_saved_is_the_same_calls(tmp_path):
    messages = json.loads(LOG[0])["messages"]
    assert spent(read([messages])) == spent(read(messages)) == spent(read(LOG[:1]))


def test_a_longer_history_counts_the_responses_before_it_once():
    later = json.loads(LOG[0])
    later["messages"] += [json.loads(LOG[1]) | {"provider_response_id": "resp-pyd3"}]
    assert spent(read(LOG[:1], [later]))[:2] == (3, 500 + 1_240 + 90)
    nameless = json.loads(LOG[1])
    assert spent(read([nameless], [{"messages": [nameless, nameless | {"timestamp": "2026-09-05T12:00:00Z"}]}]))[0] == 2


def test_attempts_before_a_response_are_calls_of_their_own():
    rejected = {"model_name": "gpt-5-mini", "provider_name": "openai", "outcome": "rejected",
                "timestamp": "2026-09-05T11:00:58Z", "usage": {"input_tokens": 80, "output_tokens": 9}}  # fmt: skip
    failed = {"model_name": "gpt-5", "outcome": "error", "timestamp": "2026-09-05T11:00:57Z", "usage": None}
    answer = json.loads(LOG[1]) | {"run_id": "r", "failed_attempts": [failed, rejected]}
    made = read([answer], [{"messages": [answer]}])
    assert (spent(made)[:2], spent(made)[4], fates(made)["duplicates"]) == ((3, 90 + 80), 6 + 9, 3)
    rows = made.requests.sort("started_at").select("model", "status", "run_id").rows()
    assert rows == [("gpt-5", "error", "r"), ("gpt-5-mini", "ok", "r"), ("gemini-2.5-flash", "ok", "r")]


def test_thoughts_that_older_versions_leave_out_of_the_response_are_told_by_the_total():
    answer, details = json.loads(LOG[1]), {"thoughts_tokens": 40, "cached_content_tokens": 64}
    answer["usage"] = {"request_tokens": 90, "response_tokens": 60, "total_tokens": 190, "details": details}
    assert spent(read([answer])) == (1, 90, 64, 0, 100, 40)
    answer["usage"] |= {"total_tokens": 150}
    assert spent(read([answer])) == (1, 90, 64, 0, 60, 40)


def test_writes_for_an_hour_are_part_of_all_writes_and_searches_are_counted():
    answer = json.loads(LOG[1])
    answer["usage"] = {"input_tokens": 900, "cache_write_tokens": 300, "cache_write_1h_tokens": 200, "output_tokens": 9}
    answer["usage"]["details"] = {"web_search_requests": 2}
    call = read([answer]).requests.row(0, named=True)
    assert [(e["class"], int(e["quantity"])) for e in call["extras"]] == [("web_search", 2)]
    assert [call[k] for k in ("input_tokens", "cache_write_tokens", "cache_write_1h_tokens")] == [900, 300, 200]


@pytest.mark.parametrize(
    ("said", "identity", "provider"),
    [("anthropic", "msg_bdrk_1", "bedrock"), ("anthropic", "msg_1", "anthropic"), ("gateway", "msg_bdrk_1", "gateway")],
)
def test_a_platform_behind_anthropics_client_is_known_by_the_id(said, identity, provider):
    answer = json.loads(LOG[1]) | {"provider_name": said, "vendor_id": identity, "model_name": "claude-sonnet-5"}
    assert read([answer]).requests["provider"].item() == provider


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
