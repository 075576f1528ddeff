"""Batch files: half price whatever the answer says, and nothing for what failed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

from costaudit.ingest import ingest

LOG = sample("openai-batch.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}
    assert made.fates.skipped == {"batch input": 1}
    # Chat 500 + 500, Responses 600 (512 read), embeddings 40, two that failed.
    assert spent(made) == (6, 1_640, 512, 0, 20 + 25 + 30, 0)
    assert set(made.requests["service_tier"]) == {"batch"}
    assert window(made) == ("2026-09-01 08:00:00", "2026-09-01 08:00:09")


def test_a_case_that_was_run_again_is_billed_again():
    made = read(LOG)
    assert made.requests.filter(made.requests["instance_id"] == "case-1").height == 2


def test_the_same_file_downloaded_twice_is_counted_once():
    made = read(LOG[1:], LOG[1:])
    assert (made.requests.height, made.fates.duplicates) == (7, 5)  # an embedding has no id of its own


def test_failed_lines_say_why_and_bill_nothing():
    failed = read(LOG).requests.filter(status="error")
    assert failed.select("error_type", "http_status").rows() == [
        ("invalid_request_error", 400),
        ("batch_expired", None),
    ]
    assert set(failed["usage_source"]) == {"absent"}


def test_a_status_that_is_no_status_is_absent():
    row = read([LOG[4].replace("400", str(2**70))]).requests.row(0, named=True)
    assert (row["status"], row["http_status"]) == ("error", None)


def test_the_answer_alone_in_another_log_is_the_same_call():
    usage = {"prompt_tokens": 500, "completion_tokens": 20}
    made = read(LOG[1:2], [{"id": "chatcmpl-b1", "object": "chat.completion", "choices": [], "usage": usage}])
    assert made.fates.duplicates_by_reason == {"the same call in another log": 1}


def test_the_documented_line_reads_right(shared):
    made = ingest([shared / "formats" / "openai-api" / "batch-output-line.jsonl"])
    assert spent(made) == (1, 24, 0, 0, 15, 0)
    assert made.requests["service_tier"].to_list() == ["batch"]


@pytest.mark.parametrize("name", ["batch-object.json", "usage-completions-page.json", "costs-page.json"])
def test_objects_that_sum_up_calls_are_no_calls(shared, name):
    made = ingest([shared / "formats" / "openai-api" / name])
    assert made.requests.is_empty()
    assert made.fates.balanced


def test_the_batch_object_beside_its_output_is_not_paid_again():
    usage = {"input_tokens": 500, "output_tokens": 50, "total_tokens": 550}
    job = {"id": "batch_1", "object": "batch", "endpoint": "/v1/chat/completions", "model": "gpt-4o", "usage": usage}
    assert spent(read(LOG, [job], [{"object": "list", "data": [job]}])) == spent(read(LOG))


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
