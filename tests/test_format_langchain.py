"""LangChain: every serialisation of a message, and states that hold all messages before them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent

LOG = sample("langchain.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 1, "rollups": 0, "rejects": 0}
    assert spent(made) == (6, 500 + 1_240 + 90 + 12 + 31 + 64, 256 + 1_000, 200, 30 + 25 + 6 + 8 + 4 + 9, 20)
    calls = {row["source_line"]: row for row in made.requests.to_dicts()}
    assert [calls[1][k] for k in ("request_id", "task", "run_id", "provider", "service_tier")] == [
        "chatcmpl-lc1", "triage", "s-1", "openai", None,
    ]  # fmt: skip
    assert (calls[2]["finish_reason"], calls[2]["tool_calls"][0]["name"]) == ("tool_calls", "lookup")
    assert all(row["started_at"] for row in calls.values())
    assert (calls[3]["model"], calls[3]["run_id"]) == ("gpt-4o-2024-08-06", "7c1e")
    assert (calls[6]["model"], calls[6]["finish_reason"]) == ("claude-haiku-4-5", "stop")


def test_a_message_is_the_same_however_it_was_serialised():
    plain = json.loads(LOG[0])["message"]
    known = {"lc": 1, "type": "constructor", "id": ["langchain_core", "messages", "AIMessage"], "kwargs": plain}
    for written in (plain, {"type": "ai", "data": plain}, known):
        assert spent(read([written])) == (1, 500, 256, 0, 30, 20)


def test_older_wrappers_of_anthropic_left_the_cache_out_of_the_input():
    row = json.loads(LOG[1])
    row["kwargs"]["usage_metadata"] |= {"input_tokens": 40, "total_tokens": 65}
    assert spent(read([row])) == (1, 1_240, 1_000, 200, 25, 0)


def test_the_sum_of_a_stream_beside_its_pieces_is_not_added_to_them():
    pieces = LOG[5:7]
    full = json.loads(pieces[1])
    full["chunk"]["usage_metadata"] = {"input_tokens": 64, "output_tokens": 9, "total_tokens": 73}
    assert spent(read([*pieces, full])) == spent(read(pieces)) == (1, 64, 0, 0, 9, 0)


@pytest.mark.parametrize(
    "counts",
    [
        [(100, 5), (0, 20)],  # Gemini's wrapper: what each piece adds
        [(100, 5), (0, 20), (100, 25)],  # and the message they make
        [(103, 5), (-3, 20)],  # the last piece lowers the input
        [(100, 5), (100, 25)],  # totals so far
        [(100, 0), (0, 25)],  # older wrapper of Anthropic
    ],
)
def test_the_counts_of_pieces_make_the_counts_of_the_stream(counts):
    piece = {"type": "AIMessageChunk", "content": "x", "id": "run--1", "response_metadata": {"model_name": "gemini-3"}}
    pieces = [
        piece | {"usage_metadata": {"input_tokens": i, "output_tokens": o, "total_tokens": i + o}} for i, o in counts
    ]
    assert spent(read([*pieces])) == (1, 100, 0, 0, 25, 0)


def test_cache_writes_that_are_told_only_by_their_lifetimes_are_writes():
    row = json.loads(LOG[1])
    details = {
        "cache_read": 1_000,
        "cache_creation": 0,
        "ephemeral_5m_input_tokens": 150,
        "ephemeral_1h_input_tokens": 50,
    }
    row["kwargs"]["usage_metadata"]["input_token_details"] = details
    made = read([row])
    assert spent(made) == (1, 1_240, 1_000, 200, 25, 0)
    assert made.requests.select("cache_write_5m_tokens", "cache_write_1h_tokens").row(0) == (150, 50)


def test_what_stands_around_a_list_is_said_of_its_messages():
    state = json.loads(LOG[3])
    call = read([{"time": state["time"], "task": "hours", **state["state"]}]).requests.row(0, named=True)
    assert (call["task"], call["started_at"] is not None, call["input_tokens"]) == ("hours", True, 12)


def test_candidates_for_one_prompt_are_one_call():
    row = json.loads(LOG[2])
    first = row["response"]["generations"][0][0]
    first["message"]["usage_metadata"] = {"input_tokens": 90, "output_tokens": 6, "total_tokens": 96}
    second = {**first, "message": first["message"] | {"id": "run-0003-1"}}
    row["response"]["generations"] = [[first, second]]
    assert spent(read([row])) == (1, 90, 0, 0, 6, 0)


def test_what_a_person_said_is_no_call():
    made = read([{"type": "human", "content": "Is it open?", "id": "h-1", "response_metadata": {}}, LOG[0]])
    assert spent(made)[0] == 1


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
