"""Vertex AI logs: one row a call, bodies of two vendors, as objects or as text."""

from __future__ import annotations

import json

from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

from costaudit.ingest import ingest

LOG = sample("vertex.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 1, "rollups": 0, "rejects": 1}
    # Google 5 / 20 + 100 twice; Claude 8 + 2,000 read / 4
    assert spent(made) == (3, 5 + 2_008 + 5, 2_000, 0, 120 + 4 + 120, 200)
    assert window(made) == ("2026-09-01 08:00:01", "2026-09-01 08:00:03")
    assert set(made.requests["provider"]) == {"vertex"}
    assert made.requests["region"].to_list() == ["europe-west1", "us-east5", "europe-west1"]
    assert made.requests["tenant"].to_list() == ["northwind", None, "northwind"]
    assert made.requests["model"].to_list() == ["gemini-2.5-pro", "claude-sonnet-4-5-20250929", "gemini-2.5-pro"]
    assert (made.requests["ended_at"] - made.requests["started_at"]).dt.total_milliseconds().to_list()[:2] == [
        1500,
        900,
    ]


def test_bodies_as_text_read_like_bodies_as_objects():
    row = json.loads(LOG[0])
    as_text = row | {name: json.dumps(row[name]) for name in ("full_request", "full_response", "metadata")}
    want, got = read([row]).requests, read([as_text]).requests
    same = [c for c in want.columns if not c.startswith("source_")]
    assert got.select(same).to_dicts() == want.select(same).to_dicts()


def test_provisioned_throughput_is_marked():
    line = LOG[0].replace("ON_DEMAND", "PROVISIONED_THROUGHPUT")
    assert read([line]).requests["service_tier"].item() == "provisioned"


def test_a_real_row_reads_right(shared):
    made = ingest([shared / "formats" / "vertex" / "prompt-response-row.json"])
    assert spent(made) == (1, 3, 0, 0, 29 + 901, 901)  # 933 in all
    assert window(made)[0] == "2025-09-08 21:04:11"
    assert made.requests.select("region", "model").rows() == [("us-central1", "gemini-2.5-pro")]


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
