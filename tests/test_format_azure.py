"""Azure logs: bodies where the gateway kept them, one row a call where it did not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

from costaudit.ingest import ingest

LOG = sample("azure.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 1, "rollups": 0, "rejects": 0}
    assert made.fates.skipped == {
        "gateway log without a model's answer": 1,
        "other operation": 1,
        "part of a message": 1,
    }
    # Gateway 500 (384 read), cut off 60, streamed 70, 429; LLM log 900; diagnostics without tokens
    assert spent(made) == (6, 500 + 60 + 70 + 900, 384, 0, 40 + 7 + 3 + 100, 0)
    assert window(made) == ("2026-09-01 08:00:01", "2026-09-01 08:02:00")
    assert set(made.requests["provider"]) == {"azure"}
    assert set(made.requests["model_requested"]) == {"helpdesk-gpt"}
    assert made.requests.filter(status="error")["http_status"].to_list() == [429]


def test_the_two_gateway_logs_of_a_call_are_one_call_and_the_split_counts_win():
    row = read([LOG[0], LOG[5]]).requests.row(0, named=True)
    assert (row["input_tokens"], row["cache_read_tokens"], row["tenant"]) == (500, 384, "team-north")


def test_the_gateway_and_the_application_logged_the_same_call():
    answer = json.loads(json.loads(LOG[0])["properties"]["backendResponseBody"])
    made = read(LOG, [answer])
    assert made.fates.duplicates_by_reason["the same call in another log"] == 1


def test_rows_that_continue_a_message_add_nothing():
    one = json.loads(LOG[6])
    parts = [one | {"SequenceNumber": n, "DeploymentName": "", "PromptTokens": 900} for n in range(1, 4)]
    assert spent(read([one, *parts])) == (1, 900, 0, 0, 100, 0)


def test_ticks_are_not_seconds():
    row = read([LOG[8]]).requests.row(0, named=True)
    assert str(row["started_at"]) == "2026-09-01 08:02:00+00:00"
    assert (row["ended_at"] - row["started_at"]).total_seconds() == pytest.approx(1.021, abs=1e-5)


def test_a_delivery_of_several_records_counts_each():
    made = read([{"records": [json.loads(line) for line in LOG]}])
    assert (made.requests.height, made.fates.lines) == (6, len(LOG))
    assert made.fates.balanced


@pytest.mark.parametrize(
    ("name", "calls"),
    [("apim-gateway-log.jsonl", (1, 14, 0, 0, 8, 0)), ("request-response.jsonl", (1, 0, 0, 0, 0, 0))],
)
def test_real_records_read_right(shared, name, calls):
    made = ingest([shared / "formats" / "azure" / name])
    assert spent(made) == calls
    assert fates(made)["rejects"] == 0
    assert made.requests["model_requested"].to_list() == ["gpt-chat-pilot"]


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
