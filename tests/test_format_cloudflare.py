"""Cloudflare AI Gateway: pages, single logs and Logpush lines, cached answers and fallbacks."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from samples import SAMPLES, fates, mangled, read, sample, spent, window

from costaudit import pipeline
from costaudit.config import Settings

LOG = sample("cloudflare.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}
    assert spent(made) == (5, 1_200 + 1_200 + 0 + 310 + 90, 0, 0, 80 + 80 + 0 + 25 + 9, 0)
    assert window(made) == ("2026-09-02 08:00:00", "2026-09-02 08:00:06")
    assert made.fates.skipped == {}
    assert not made.notes


def test_an_answer_of_the_gateways_cache_costs_nothing():
    ledger = pipeline.load([str(SAMPLES / "cloudflare.jsonl")], Settings()).calls.lazy().collect()
    hit = ledger.filter(pl.col("gateway_cache_hit")).row(0, named=True)
    assert (hit["input_tokens"], hit["cost_usd"]) == (1_200, 0)
    assert ledger.filter(pl.col("request_id") == "01J00000")["cost_usd"].item() > 0


def test_a_fallback_is_a_second_attempt_after_one_that_failed():
    rows = {r["request_id"]: r for r in read(LOG).requests.to_dicts()}
    assert (rows["01J00004"]["status"], rows["01J00004"]["http_status"]) == ("error", 529)
    assert (rows["01J00005"]["attempt"], rows["01J00005"]["status"]) == (2, "ok")


def test_metadata_says_task_tenant_user_and_session():
    first = read(LOG).requests.row(0, named=True)
    assert [first[k] for k in ("task", "tenant", "user", "run_id")] == ["triage", "acme", "u-7", "s-1"]
    pushed = read([LOG[-1]]).requests.row(0, named=True)
    assert (pushed["tenant"], pushed["model"], pushed["provider"]) == ("beta", "gpt-5-mini", "openai")


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
