"""Envoy AI Gateway: access logs whose keys the gateway's owner chose."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

from costaudit.ingest import ingest

LOG = sample("envoy.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}
    # The third counts 400 read and 50 written beside its 10, as its total of 480 shows.
    assert spent(made) == (4, 1_200 + 1_300 + 460, 900 + 1_100 + 400, 50, 80 + 40 + 20, 0)
    assert window(made) == ("2026-09-02 08:00:00", "2026-09-02 08:00:06")
    assert made.fates.skipped == {}
    assert not made.notes


def test_headers_route_and_status_are_read():
    first, _, retried, failed = read(LOG).requests.to_dicts()
    assert [first[k] for k in ("request_id", "task", "tenant", "run_id")] == ["chatcmpl-e1", "triage", "acme", "s-1"]
    assert (first["model_requested"], first["model"]) == ("gpt-5", "gpt-5-2025-08-07")
    assert (retried["attempt"], retried["convention"]) == (2, "proved")
    assert (failed["status"], failed["http_status"], failed["error_type"]) == ("error", 503, "UF,URX")
    assert failed["usage_source"] == "absent"


def test_a_recorded_line_is_read(shared):
    made = ingest([shared / "formats/envoy-ai-gateway"])
    assert spent(made) == (1, 15, 0, 0, 7, 0)
    assert set(made.requests["format"]) == {"envoy"}


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced


@pytest.mark.parametrize("nothing", [None, "-"])
def test_a_dash_is_what_is_not_there(nothing):
    entry = json.loads(LOG[0])
    bare = entry | {name: nothing for name in entry if name.startswith("gen_ai.")}
    model = {"gen_ai.request.model": "gpt-5", "response_code": 503, "x-request-id": "r-failed"}
    made = read([*LOG, bare, bare | model])
    assert made.fates.rejects == {}
    assert made.fates.skipped == {"request of no model": 1}  # a health check, say
    failed = made.requests.filter(made.requests["request_id"] == "r-failed").row(0, named=True)
    assert (failed["status"], failed["usage_source"]) == ("error", "absent")
