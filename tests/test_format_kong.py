"""Kong AI Gateway: a block a plugin, one call each."""

from __future__ import annotations

import json

from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

LOG = sample("kong.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}
    assert spent(made) == (5, 1_200 + 1_300 + 200 + 1_200, 0, 0, 80 + 40 + 10 + 80, 0)
    assert window(made) == ("2026-09-02 08:00:00", "2026-09-02 08:00:08")
    assert made.fates.skipped == {}
    assert not made.notes


def test_calls_of_the_gateway_itself_are_apart():
    rows = read(LOG).requests.sort("request_id").to_dicts()
    assert sorted(r["task"] for r in rows) == ["ai-request-transformer", *["chat"] * 4]
    assert {(r["tenant"], r["run_id"], r["environment"]) for r in rows} == {("acme", "s-1", "prod")}
    own = next(r for r in rows if r["task"] != "chat")
    assert own["request_id"] == "k" + "3".zfill(31) + " ai-request-transformer"
    assert (own["model_requested"], own["model"]) == ("gpt-5-mini", "gpt-5-mini-2025-08-07")


def test_bodies_cache_hits_and_errors_are_read():
    first, _, _, hit, failed = read(LOG).requests.sort("started_at", "request_id").to_dicts()
    assert (first["request_id"], first["finish_reason"], len(first["block_sha"])) == ("chatcmpl-k1", "stop", 2)
    assert hit["gateway_cache_hit"]
    assert (failed["status"], failed["http_status"], failed["usage_source"]) == ("error", 429, "absent")


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced


def test_a_request_to_another_route_is_no_call():
    entry = json.loads(LOG[0])
    made = read([{name: value for name, value in entry.items() if name != "ai"}, *LOG])
    assert spent(made) == spent(read(LOG))
    assert made.fates.skipped == {"request of no model": 1}
