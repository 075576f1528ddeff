"""Portkey: counts as floats, metadata as two lists, cached input only where the answer was exported."""

from __future__ import annotations

from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

from costaudit.ingest import ingest

LOG = sample("portkey.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 1}
    # Anthropic's 30 leave 500 cached ones out.
    assert spent(made) == (4, 150 + 530 + 150 + 0, 500, 0, 20 + 5 + 20 + 0, 0)
    assert window(made) == ("2026-09-01 08:00:01", "2026-09-01 08:00:04")
    assert made.requests["gateway_cache_hit"].to_list() == [None, None, True, None]
    assert made.requests["tenant"].to_list() == ["northwind", None, "northwind", "northwind"]
    assert made.requests["task"].to_list() == ["triage", None, "triage", "triage"]
    assert made.requests["environment"].to_list() == [None, "production", None, None]
    assert made.requests["status"].to_list() == ["ok", "ok", "ok", "error"]


def test_the_cost_whose_unit_is_unsure_is_not_shown():
    assert read(LOG).requests["cost_logged_usd"].null_count() == 4


def test_real_rows_read_right(shared):
    row = ingest([shared / "formats" / "portkey" / "sample_metric_file.json"])
    assert spent(row) == (1, 150, 0, 0, 200, 0)
    assert row.requests.select("run_id", "user", "environment", "tenant").rows() == [
        ("sess_stu901", "john.doe@acme.com", "production", "acme-corp")
    ]
    whole = ingest([shared / "formats" / "portkey" / "sample_log_file.json"])
    assert spent(whole) == (1, 9, 0, 0, 9, 0)
    assert whole.requests["model_requested"].to_list() == ["gpt-3.5-turbo"]


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
