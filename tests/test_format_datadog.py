"""Datadog: calls under workflow spans that repeat them, and beside APM spans that shadow them."""

from __future__ import annotations

import json
from decimal import Decimal

import polars as pl
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

from costaudit.ingest import ingest

LOG = sample("datadog.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 1, "rollups": 1, "rejects": 0}
    # The workflow around the first call repeats it; the APM span of the second call shadows it.
    assert spent(made) == (5, 1_200 + 1_300 + 60 + 53, 900 + 1_100, 200, 80 + 40 + 40, 0)
    assert window(made) == ("2026-09-02 08:00:01", "2026-09-02 08:00:11")
    assert made.fates.skipped == {"span: agent": 1, "span: tool": 1}
    assert not made.notes


def test_calls_take_session_task_and_tenant_from_tags_and_from_the_agent():
    calls = read(LOG).requests.filter(pl.col("run_id") == "s-1").to_dicts()
    assert {(c["task"], c["tenant"], c["environment"]) for c in calls} == {("triage", "acme", "prod")}
    first, second = (c for c in calls if not c["rollup"])
    assert (first["cache_write_5m_tokens"], first["ttft_s"], first["max_tokens"]) == (200, 0.4, 500)
    assert [c["id"] for c in first["tool_calls"]] == [r["id"] for r in second["tool_results"]]
    assert first["block_sha"] == second["block_sha"][:2]


def test_nanodollars_of_the_export_are_dollars():
    row = read(LOG).requests.filter(pl.col("model") == "text-embedding-3-small").row(0, named=True)
    assert row["cost_logged_usd"] == Decimal("0.0000012")


def test_shadow_counts_of_an_apm_span_stand_back_for_the_span_itself():
    shadow = json.loads(LOG[5])
    alone = read([shadow])
    assert spent(alone) == (1, 1_300, 1_100, 0, 40, 0)
    both = read([shadow], [json.loads(LOG[3])])
    assert spent(both) == spent(alone)
    assert both.fates.duplicates == 1
    assert both.requests["source_file"].item().endswith("1.jsonl")


def test_the_recorded_apm_span_is_read_in_its_list_of_traces(shared):
    made = ingest([shared / "formats/datadog-llmobs"])
    assert spent(made) == (1, 53, 0, 0, 40, 0)
    assert (made.requests["format"].item(), made.requests["model"].item()) == ("datadog", "gpt-4.1-2025-04-14")


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
