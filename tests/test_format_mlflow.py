"""MLflow: attributes that are JSON in text, sums on traces and agents, and a gateway's trace of the same call."""

from __future__ import annotations

import json

import polars as pl
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

LOG = sample("mlflow.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 1, "rollups": 1, "rejects": 0}
    # The agent's span and the trace's metadata repeat 2,500; the last two traces are one call.
    assert spent(made) == (4, 1_200 + 1_300 + 460, 900 + 1_100 + 400, 50, 80 + 40 + 20, 0)
    assert window(made) == ("2026-09-02 08:00:00", "2026-09-02 08:00:07")
    assert made.fates.skipped == {"span: execute_tool": 1}
    assert not made.notes


def test_trace_metadata_and_tags_are_the_context_of_every_call():
    first, second = read(LOG).requests.filter(pl.col("request_id").is_not_null()).to_dicts()
    assert [first[k] for k in ("run_id", "user", "task", "tenant")] == ["s-1", "u-7", "triage", "acme"]
    assert (first["model_requested"], first["model"], first["finish_reason"]) == (
        "gpt-5",
        "gpt-5-2025-08-07",
        "tool_calls",
    )
    assert [t["name"] for t in first["tools_declared"]] == ["lookup"]
    assert [c["id"] for c in first["tool_calls"]] == [r["id"] for r in second["tool_results"]]


def test_the_gateways_trace_of_a_clients_call_is_the_same_call():
    client, gateway = json.loads(LOG[2]), json.loads(LOG[3])
    made = read([client], [gateway])
    assert spent(made) == (1, 10 + 400 + 50, 400, 50, 20, 0)
    row = made.requests.row(0, named=True)
    assert (row["model"], row["tenant"], row["cache_write_1h_tokens"]) == ("claude-haiku-4-5-20251001", "acme", 50)
    assert row["cost_logged_usd"] is not None
    assert made.fates.duplicates == 1


def test_a_gateway_that_tried_twice_is_two_calls_and_the_client_a_copy():
    client, gateway = json.loads(LOG[2]), json.loads(LOG[3])
    spans = gateway["data"]["spans"]
    again = spans[0] | {"span_id": "IiIiIiIiIiI=", "start_time_unix_nano": spans[0]["start_time_unix_nano"] + 10**9}
    gateway["data"]["spans"] = [*spans, again]
    assert spent(read([client, gateway]))[:2] == (2, 2 * 460)


def test_a_trace_table_holds_the_trace_as_text():
    whole = json.loads(LOG[0])
    table = {"trace_id": whole["info"]["trace_id"], "trace": json.dumps(whole), "state": "OK", "trace_metadata": {}}
    assert spent(read([table])) == spent(read([whole]))


def test_spans_of_version_2_with_plain_ids_are_the_same():
    old = {
        "context": {"trace_id": "0x" + "e" * 32, "span_id": "0x" + "1" * 16}, "parent_id": None, "name": "llm",
        "start_time": 1_788_336_000 * 10**9, "end_time": 1_788_336_001 * 10**9, "status_code": "OK",
        "attributes": {"mlflow.spanType": '"LLM"', "mlflow.chat.tokenUsage": '{"input_tokens": 5, "output_tokens": 2}'},
    }  # fmt: skip
    made = read([{"info": {"request_id": "r", "request_metadata": {}}, "data": {"spans": [old]}}])
    assert spent(made) == (1, 5, 0, 0, 2, 0)


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
