"""Realtime responses: audio and text apart, the model of their session."""

from __future__ import annotations

import json
from decimal import Decimal

from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent

from costaudit import pipeline
from costaudit.config import Settings
from costaudit.price.engine import price

LOG = sample("openai-realtime.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 1, "rollups": 0, "rejects": 0}
    assert made.fates.skipped == {"other record": 1}
    assert spent(made) == (2, 250 + 430, 64 + 300, 0, 100 + 50, 0)
    first, second = made.requests.to_dicts()
    assert {e["class"]: int(e["quantity"]) for e in second["extras"]} == {
        "input_audio": 230 - 120, "cache_read_audio": 120, "output_audio": 40}  # fmt: skip
    assert (first["model"], first["provider"], first["run_id"]) == ("gpt-realtime", "openai", "conv_rt_1")
    assert (first["status"], second["status"]) == ("ok", "cancelled")


def test_audio_and_text_cost_what_each_costs():
    calls = price(read(LOG[:3]).requests, pipeline.prices(Settings()))
    text, audio = 86 * Decimal(4) + 64 * Decimal("0.40") + 20 * 16, 100 * 32 + 80 * 64
    assert calls["cost_usd"][0] == (text + audio) / 1_000_000


def test_events_by_themselves_are_read_and_without_a_session_have_no_model():
    bare = [json.loads(line)["event"] for line in LOG]
    assert spent(read(bare)) == spent(read(LOG))
    assert read(bare[2:]).requests["model"].null_count() == 2


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
