"""Converse answers in a program's log: cache beside the input, the model only in the request."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent

LOG = sample("bedrock-converse.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}
    assert spent(made) == (3, 12 + 1_000 + 500 + 40 + 1_500 + 90, 1_000 + 1_500, 500, 30 + 8 + 11, 0)
    first, second, streamed = made.requests.to_dicts()
    assert (first["cache_write_1h_tokens"], first["finish_reason"], first["region"]) == (
        500, "tool_calls", "eu-central-1")  # fmt: skip
    assert (first["model"], streamed["model"]) == (
        "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-lite-v1:0")  # fmt: skip
    assert (first["ended_at"] - first["started_at"]).total_seconds() == 1.4
    assert second["block_sha"][: len(first["block_sha"]) + 1] == [*first["block_sha"], first["reply_sha"]]
    assert [r["id"] for r in second["tool_results"]] == [c["id"] for c in first["tool_calls"]]
    assert [tool["name"] for tool in first["tools_declared"]] == ["look"]


def test_an_answer_that_bedrock_logged_too_is_one_call():
    body = json.loads(LOG[0])
    record = {
        "schemaType": "ModelInvocationLog", "schemaVersion": "1.0", "timestamp": "2026-09-01T08:00:00Z",
        "requestId": "conv-0001", "operation": "Converse", "modelId": body["request"]["modelId"],
        "input": {"inputTokenCount": 12, "inputBodyJson": body["request"]},
        "output": {"outputTokenCount": 30, "outputBodyJson": body["response"]},
    }  # fmt: skip
    assert spent(read(LOG[:1], [record])) == spent(read(LOG[:1]))


@pytest.mark.parametrize(
    "record",
    [
        {"usage": {"inputTokens": 5, "outputTokens": 2}},  # counts alone are anybody's
        {"usage": {"input_tokens": 5}, "stopReason": "end_turn", "output": {}},
        {"usage": {"inputTokens": 5, "outputTokens": 2}, "stopReason": "stop", "output": "text"},
    ],
)
def test_what_has_only_some_of_its_marks_is_none(record):
    assert read([record]).requests.is_empty()


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
