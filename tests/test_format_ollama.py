"""Ollama's own API: counts of the piece that ends a stream, and the time an answer began."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent

from costaudit import pipeline
from costaudit.config import Settings
from costaudit.price.engine import price

LOG = sample("ollama.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}
    assert spent(made) == (5, 26 + 40 + 8, 0, 0, 3 + 120 + 50, 0)
    calls = {row["source_line"]: row for row in made.requests.to_dicts()}
    assert sorted(calls) == [1, 2, 6, 7, 9]
    assert [calls[n]["finish_reason"] for n in (1, 2, 6)] == ["stop", "stop", "length"]
    assert (calls[1]["task"], calls[1]["run_id"], calls[1]["max_tokens"]) == ("triage", "r-1", 64)
    assert (calls[6]["input_tokens"], calls[9]["usage_source"]) == (None, "absent")
    assert {row["provider"] for row in calls.values()} == {"ollama"}


def test_an_answer_began_as_long_before_its_end_as_it_took():
    call = {row["source_line"]: row for row in read(LOG).requests.to_dicts()}[2]
    assert call["started_at"] == datetime(2026, 9, 2, 8, 0, 59, tzinfo=UTC)
    assert call["ended_at"] == datetime(2026, 9, 2, 8, 1, 0, 400_000, tzinfo=UTC)
    assert (call["ttft_s"], call["streamed"]) == (1.1, True)


def test_a_streamed_answer_is_the_same_answer_as_a_whole_one():
    stream = read(LOG[1:5]).requests.row(0, named=True)
    whole = json.loads(LOG[4]) | {"message": {"role": "assistant", "content": "Four."}}
    assert read([whole]).requests["output_sha"].item() == stream["output_sha"]


def test_cached_input_is_part_of_the_input():
    row = json.loads(LOG[0])
    row["response"]["prompt_eval_cached_count"] = 16
    assert spent(read([row])) == (1, 26, 16, 0, 3, 0)


def test_the_end_of_a_stream_can_say_something():
    pieces = [json.loads(line) for line in LOG[1:5]]
    pieces[-1]["message"]["content"] = "!"
    assert spent(read([*pieces])) == (1, 40, 0, 0, 120, 0)
    pieces[-1]["created_at"] = "2026-09-02T08:09:00Z"  # began long after: an answer of its own
    made = read([*pieces])
    assert spent(made) == (2, 40, 0, 0, 120, 0)
    assert sorted(made.requests["usage_source"]) == ["absent", "provider"]


def test_pieces_of_two_models_that_alternate_stay_apart():
    first, second = LOG[1:5], [line.replace("qwen3:8b", "llama3.2:3b") for line in LOG[1:5]]
    made = read([line for pair in zip(first, second, strict=True) for line in pair])
    assert spent(made) == (2, 80, 0, 0, 240, 0)


def test_a_server_of_ones_own_has_no_price():
    calls = price(read(LOG[:1]).requests, pipeline.prices(Settings()))
    assert calls["price_status"].to_list() == ["unpriced"]


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
