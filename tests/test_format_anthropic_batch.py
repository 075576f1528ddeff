"""Message Batches: half price on every class, nothing for what did not succeed."""

from __future__ import annotations

from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent

LOG = sample("anthropic-batch.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}
    assert spent(made) == (4, 100 + 900, 900, 0, 40, 0)
    assert set(made.requests["service_tier"]) == {"batch"}
    assert made.requests["instance_id"].to_list() == ["case-1", "case-2", "case-3", "case-4"]
    assert made.requests["status"].to_list() == ["ok", "error", "error", "cancelled"]
    assert made.requests["error_type"].to_list() == [None, "invalid_request_error", "expired", "canceled"]


def test_a_batch_that_reports_the_ordinary_tier_is_a_batch_all_the_same():
    made = read([LOG[0].replace('"service_tier":"batch"', '"service_tier":"standard"')])
    assert made.requests["service_tier"].item() == "batch"


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
