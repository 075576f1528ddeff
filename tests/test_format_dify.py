"""Dify: messages and nodes of its tables, answers and events of its API; a workflow and its nodes count once."""

from __future__ import annotations

import csv
import json

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

from costaudit.data import bundled
from costaudit.ingest import ingest
from costaudit.price.book import PriceBook
from costaudit.price.engine import price
from costaudit.price.trust import trust

LOG = sample("dify.jsonl")
ROWS = [json.loads(line) for line in LOG]
CHAT, AGENT, FLOW, ANSWER, SORT = ROWS[:5]
ENDED = ROWS[11]


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 2, "rejects": 0}
    # Two messages, two nodes of a run (its message is their sum), a node that failed, a run without its nodes, a node
    # of a stream (whose end is its sum), an answer.
    given = 1_200 + 900 + 700 + 300 + 500 + 200 + 100
    assert spent(made) == (8, given, 0, 0, 80 + 60 + 50 + 5 + 40 + 20 + 10, 0)
    assert window(made) == ("2026-09-02 08:00:01", "2026-09-02 08:00:20")
    assert made.fates.skipped == {
        "event: message": 1, "node: code": 1, "node: iteration": 1, "run of a workflow, the sum of its nodes": 1,
    }  # fmt: skip
    assert not made.notes


def test_columns_are_those_of_the_row():
    chat, *_ = read([CHAT]).requests.to_dicts()
    assert [chat[k] for k in ("provider", "model", "run_id", "user", "key_id", "environment")] == [
        "openai", "gpt-5-mini", "conv-1", "user-1", "app-1", "service-api",
    ]  # fmt: skip
    assert (chat["ended_at"] - chat["started_at"]).total_seconds() == 2.5
    assert float(chat["cost_logged_usd"]) == 0.00046
    node, *_ = read([ANSWER]).requests.to_dicts()
    assert [node[k] for k in ("model", "task", "tenant", "ttft_s", "finish_reason", "run_id")] == [
        "gpt-5-mini", "Answer", "ws-1", 0.4, "stop", "run-1",
    ]  # fmt: skip


def test_prompts_are_known_by_their_fingerprints_and_never_those_of_a_sum():
    chat, agent, node = read([CHAT, AGENT, ANSWER]).requests.to_dicts()
    assert len(chat["block_sha"]) == 2
    assert chat["system_sha"] is not None
    assert node["block_sha"] is not None
    assert agent["block_sha"] is None
    other = {**CHAT, "id": "x", "message": json.dumps(CHAT["message"])}
    assert set(read([CHAT, other]).requests["request_sha"]) == {chat["request_sha"]}


def test_the_node_of_an_agent_names_its_model_in_its_inputs():
    asked = {"model": {"provider": "langgenius/openai/openai", "model": "gpt-5-mini"}, "query": "?"}
    used = {"usage": json.loads(ANSWER["outputs"])["usage"], "text": "late"}
    agent = {**ANSWER, "node_type": "agent", "inputs": asked, "process_data": None, "outputs": used}
    row = read([CHAT, agent]).requests.to_dicts()[1]
    assert [row[k] for k in ("model", "provider", "input_tokens", "summed")] == ["gpt-5-mini", "openai", 700, True]


def test_a_workflow_and_its_nodes_count_once_in_whatever_files():
    for logs in ([[FLOW, ANSWER, SORT]], [[ANSWER, SORT], [FLOW]], [[FLOW], [ANSWER], [SORT]]):
        made = read(*logs)
        assert spent(made) == (2, 1_000, 0, 0, 55, 0)
        assert fates(made)["rollups"] == 1
    # Without its nodes the message is all there is, of no model.
    alone = read([FLOW])
    assert spent(alone) == (1, 1_000, 0, 0, 55, 0)
    assert alone.requests["model"].to_list() == [None]
    assert alone.requests["summed"].to_list() == [True]


def test_a_row_exported_twice_and_a_node_that_the_api_told_too_are_one():
    event = {"event": "node_finished", "task_id": "t", "workflow_run_id": "run-1",
             "data": {**ANSWER, "process_data": json.loads(ANSWER["process_data"]), "tenant_id": None}}  # fmt: skip
    made = read([CHAT, ANSWER], [CHAT, event])
    assert spent(made) == (2, 1_900, 0, 0, 130, 0)
    assert fates(made)["duplicates"] == 2
    assert set(made.requests["tenant"]) == {None, "ws-1"}


@pytest.mark.parametrize("kind", ["iteration", "loop", "tool"])
def test_nodes_that_state_what_nodes_below_them_used_are_no_calls(kind):
    assert spent(read([CHAT, {**ANSWER, "id": "x", "node_type": kind}]))[0] == 1


def test_other_nodes_are_calls_where_they_used_something():
    retrieval = {**SORT, "id": "x", "node_type": "knowledge-retrieval"}
    assert spent(read([CHAT, retrieval])) == (2, 1_500, 0, 0, 85, 0)
    nothing = {"usage": {"prompt_tokens": 0, "completion_tokens": 0}}
    assert spent(read([CHAT, {**retrieval, "process_data": nothing, "outputs": {}}]))[0] == 1
    # A model that was called and whose counts nobody knows is not free.
    silent = read([CHAT, {**ANSWER, "process_data": nothing, "outputs": nothing}]).requests
    assert silent["usage_source"].to_list() == ["provider", "absent"]


def test_an_answer_without_usage_is_unmetered_and_one_of_an_annotation_is_no_call():
    nobody = {**CHAT, "message_tokens": 0, "answer_tokens": 0, "total_price": 0}
    assert read([nobody]).requests["usage_source"].to_list() == ["absent"]
    noted = {**nobody, "id": "x", "message_metadata": json.dumps({"annotation_reply": {"id": "a"}})}
    assert read([CHAT, noted]).fates.skipped == {"answer of an annotation": 1}


def test_weighted_counts_of_claude_are_not_taken_for_the_providers():
    calls = read([CHAT, AGENT]).requests
    assert calls["usage_source"].to_list() == ["provider", "gateway"]
    book = PriceBook.load(bundled("pricing"))
    assert trust(price(calls, book), book)["trust"].to_list() == ["exact", "estimated"]


def test_prices_in_other_money_are_not_shown_as_dollars():
    assert read([{**CHAT, "currency": "RMB"}]).requests["cost_logged_usd"].to_list() == [None]


def test_csv_as_copy_writes_it(tmp_path):
    rows = [{**row, "agent_based": "t" if row is AGENT else "f"} for row in (CHAT, AGENT, FLOW)]
    for row in rows:
        row |= {"message": json.dumps(row["message"]), "inputs": "{}"}
    with (tmp_path / "messages.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with (tmp_path / "nodes.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ANSWER)
        writer.writeheader()
        writer.writerows([{**row, "workflow_run_id": None} for row in (ANSWER, SORT)])  # steps of a debugger
    made = ingest([tmp_path])
    assert spent(made) == (5, 1_200 + 900 + 1_000 + 1_000, 0, 0, 80 + 60 + 55 + 55, 0)
    assert set(made.requests["format"]) == {"dify"}
    summed = dict(made.requests.select("input_tokens", "summed").rows())
    assert (summed[1_200], summed[900], summed[1_000]) == (None, True, True)


def test_a_stream_as_it_came():
    events = [line for row in ROWS[9:13] for line in (f"data: {json.dumps(row)}", "")]
    made = read(["event: ping", "", *events])
    assert spent(made) == (1, 200, 0, 0, 20, 0)


def test_sums_of_workflows_alone_are_told_of():
    run = {"id": "r", "tenant_id": "ws-1", "app_id": "app-2", "workflow_id": "wf", "status": "succeeded",
           "total_tokens": 900, "total_steps": 3, "elapsed_time": 1.0, "created_by_role": "end_user"}  # fmt: skip
    blocking = {"task_id": "t", "workflow_run_id": "r", "data": {"id": "r", "workflow_id": "wf", "total_tokens": 900}}
    made = read([run, blocking])
    assert spent(made)[0] == 0
    assert made.notes == ("Dify: 2 runs of a workflow say only a sum of tokens: give `workflow_node_executions`",)


def test_steps_of_an_agent_are_in_its_message():
    step = {"id": "s", "message_id": AGENT["id"], "message_chain_id": None, "position": 1, "thought": "",
            "tool": "lookup", "message_token": 400, "answer_token": 20, "tokens": 420}  # fmt: skip
    assert spent(read([AGENT, step])) == (1, 900, 0, 0, 60, 0)


def test_a_count_that_is_none_costs_its_row():
    assert fates(read([CHAT, {**AGENT, "message_tokens": -1}]))["rejects"] == 1


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
