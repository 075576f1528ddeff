"""The Responses API: however often a response is logged, it is one call."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

from costaudit.ingest import ingest

LOG = sample("openai-responses.jsonl")
SAID = {"id": "m", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Yes."}]}


def response(**more):
    return {"id": "resp_1", "object": "response", "created_at": 1_788_249_600.5, "status": "completed",
            "model": "gpt-5.4", "output": [SAID], "usage": {"input_tokens": 10, "output_tokens": 5}} | more  # fmt: skip


def one(*records):
    made = read(records)
    assert fates(made)["rejects"] == 0
    assert made.requests.height == 1
    return made.requests.row(0, named=True)


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 2, "rollups": 0, "rejects": 0}
    assert made.fates.skipped == {"response.output_text.delta": 1}
    # 2,600 (2,000 read, 400 written) + 9,000 (2,600 read) + 300 + 700 + failed: unknown
    assert spent(made) == (5, 12_600, 4_600, 400, 120 + 800 + 20 + 4_096, 64 + 500 + 4_000)
    assert window(made) == ("2026-09-01 08:00:00", "2026-09-01 08:04:00")
    assert made.requests["finish_reason"].to_list() == ["stop", "stop", "tool_calls", "length", "error"]
    assert made.requests["status"].to_list() == ["ok", "ok", "ok", "ok", "error"]
    assert made.requests["parent_id"].to_list() == [None, "resp_1", None, None, None]


def test_cache_writes_are_inside_the_input():
    row = read(LOG[:3]).requests.row(0, named=True)  # 2,000 read + 400 written + 200 rest = 2,600
    assert row["input_tokens"] - row["cache_read_tokens"] - row["cache_write_tokens"] == 200


@pytest.mark.parametrize(
    "records",
    [
        [response()],
        [{"request": {"model": "gpt-5.4", "input": "Really?"}, "response": response()}],
        [{"type": "response.completed", "response": response()}],
        [{"type": f"response.{kind}", "response": response(status="in_progress", usage=None, output=[])}
         for kind in ("created", "in_progress")] + [{"type": "response.completed", "response": response()}],
        [{"event": {"type": "response.completed", "response": response()}}],
        [response(status="queued", usage=None, output=[]), response(status="in_progress", usage=None), response()],
        [json.dumps({"message": json.dumps(response())})],
    ],
    ids=["bare", "with its request", "last event", "all events", "wrapped event", "polled", "text in a shipper's line"],
)  # fmt: skip
def test_one_response_is_one_call_however_it_is_logged(records):
    row, plain = one(*records), one(response())
    assert (row["input_tokens"], row["output_tokens"], row["finish_reason"]) == (10, 5, "stop")
    assert row["output_sha"] == plain["output_sha"]
    assert row["started_at"] == plain["started_at"]


def hosted(kind, **more):
    return {"type": f"{kind}_call", "status": "completed"} | more


@pytest.mark.parametrize(
    ("output", "extras"),
    [
        ([SAID], {}),
        ([hosted("web_search")], {"web_search": 1}),
        ([hosted("web_search", action={"type": "search"})] * 3, {"web_search": 3}),
        ([hosted("web_search", action={"type": "open_page"})], {}),
        ([hosted("web_search", status="failed")], {}),
        ([hosted("file_search"), hosted("file_search")], {"file_search": 2}),
        # A container is a session, however often it is used.
        ([hosted("code_interpreter", container_id=c) for c in ("a", "b", "a")], {"code_sessions": 2}),
        ("not a list", {}),
    ],
)
def test_hosted_tools_are_counted_as_they_are_billed(output, extras):
    row = one(response(output=output, tools=[{"type": "web_search"}, {"type": "file_search"}]))
    assert {item["class"]: int(item["quantity"]) for item in row["extras"] or ()} == extras


@pytest.mark.parametrize(
    ("change", "column", "value"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
         "finish_reason", "content_filter"),
        ({"status": "cancelled"}, "status", "cancelled"),
        ({"status": "failed", "error": {"code": "server_error"}}, "error_type", "server_error"),
        ({"service_tier": "priority"}, "service_tier", "priority"),
        ({"conversation": {"id": "conv_1"}}, "run_id", "conv_1"),
        ({"metadata": {"task": "triage"}}, "task", "triage"),
        ({"safety_identifier": "u-1"}, "user", "u-1"),
        ({"usage": {"input_tokens": 10, "output_tokens": 5, "input_tokens_details": {"cache_write_tokens": 4}},
          "prompt_cache_options": {"ttl": "12h"}}, "cache_write_12h_tokens", 4),
    ],
)  # fmt: skip
def test_a_field_fills_its_column(change, column, value):
    assert one(response(**change))[column] == value


def test_a_response_and_the_items_it_is_sent_back_as_chain():
    first = one({"request": {"model": "m", "input": [{"role": "user", "content": "a"}]}, "response": response()})
    again = [{"role": "user", "content": "a"}, SAID, {"role": "user", "content": "b"}]
    second = one({"request": {"model": "m", "input": again}, "response": response(id="resp_2")})
    assert second["block_sha"][1] == first["reply_sha"]


@pytest.mark.parametrize(
    ("name", "calls", "extras"),
    [
        ("response-text-input.json", (1, 36, 0, 0, 87, 0), None),
        ("response-file-input.json", (1, 8_438, 0, 0, 398, 0), None),
        ("response-functions.json", (1, 291, 0, 0, 23, 0), None),
        ("response-reasoning.json", (1, 81, 0, 0, 1_035, 832), None),
        ("response-web-search.json", (1, 328, 0, 0, 356, 0), "web_search"),
        ("response-file-search.json", (1, 18_307, 0, 0, 348, 0), "file_search"),
        ("response-image-input.json", (1, 328, 0, 0, 52, 0), None),
        ("response-completed-event.json", (1, 0, 0, 0, 0, 0), None),
        ("response-streaming.txt", (1, 37, 0, 0, 11, 0), None),
    ],
)
def test_real_responses_read_right(shared, name, calls, extras):
    made = ingest([shared / "formats" / "openai-api" / name])
    assert spent(made) == calls
    listed = made.requests["extras"].item()
    assert (listed is not None and [item["class"] for item in listed]) == (extras is not None and [extras])
    assert set(made.requests["format"]) == {"openai-responses"}


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
