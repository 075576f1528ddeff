"""Databricks: usage tables, their entities, and inference tables of the same calls."""

from __future__ import annotations

import json

from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

LOG = sample("databricks.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 1, "rollups": 0, "rejects": 0}
    # The first call stands in the usage table and in the inference table.
    assert spent(made) == (4, 1_200 + 1_300 + 310, 900, 0, 80 + 75 + 25, 0)
    assert window(made) == ("2026-09-02 08:00:01", "2026-09-02 08:00:07")
    assert made.fates.skipped == {"span: workflow": 2}
    assert not made.notes


def test_served_entities_lend_their_model_and_endpoint():
    both, llama, failed, gateway = read(LOG).requests.to_dicts()
    assert [both[k] for k in ("request_id", "model", "key_id", "task", "tenant", "finish_reason")] == [
        "msg_d1", "claude-haiku-4-5-20251001", "support", "triage", "acme", "stop",
    ]  # fmt: skip
    assert (llama["model"], llama["tenant"], llama["provider"]) == ("system.ai.llama-4-maverick", "beta", "databricks")
    assert (failed["http_status"], failed["model"], failed["usage_source"]) == (429, "claude-haiku-4-5", "absent")
    assert (gateway["model"], gateway["task"], gateway["run_id"]) == ("gpt-5", "summary", None)


def test_entities_may_stand_in_a_file_of_their_own():
    entities = [line for line in LOG if "databricks_request_id" not in line]
    assert spent(read(entities, [line for line in LOG if line not in entities])) == spent(read(LOG))


def test_counts_that_are_the_length_of_the_text_are_the_gateways_estimate():
    # (5,200 + 1) // 4 = 1,300 and (300 + 1) // 4 = 75; the first call's 1,200 and 80 are not.
    assert read(LOG).requests["usage_source"].to_list() == ["provider", "gateway", "absent", "provider"]


def test_a_sampled_inference_table_says_that_totals_are_a_floor():
    row = json.loads(next(line for line in LOG if "sampling_fraction" in line)) | {"sampling_fraction": 0.1}
    assert read([row]).notes == (
        "Databricks: the inference table is a sample (0.1 of calls): totals are at least this",
    )


def test_the_applications_own_log_of_a_call_is_the_same_call():
    payload = next(line for line in LOG if "sampling_fraction" in line)
    answer = json.loads(json.loads(payload)["response"]) | {"object": "chat.completion", "created": 1_788_336_001}
    made = read([payload], [answer])
    assert spent(made)[:2] == (1, 1_200)
    assert made.fates.duplicates_by_reason == {"the same call in another log": 1}


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
