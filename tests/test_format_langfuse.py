"""Langfuse: nested generations, usage with and without overlap, and counts that Langfuse made up itself."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

from costaudit.ingest import ingest

LOG = sample("langfuse.jsonl")


def observation(usage, own="1", parent=None, **more):
    return {
        "id": own,
        "traceId": "t",
        "type": "GENERATION",
        "startTime": "2026-09-03T09:00:00Z",
        "parentObservationId": parent,
        "model": "m",
        "usageDetails": usage,
    } | more


def test_the_sample_is_paid_once_a_call():
    made = read(LOG)
    calls = {r["model"]: r for r in made.requests.filter(pl.col("rollup").is_null()).to_dicts()}
    # 100 + 900 cached, 20 + 30 hidden; 50 and 200 of which 120 hidden; the later version of the embedding; a failure.
    assert spent(made) == (4, 1_000 + 50 + 41, 900, 0, 50 + 200, 30 + 120)
    assert fates(made) == {"duplicates": 1, "rollups": 1, "rejects": 0}
    assert not made.notes  # the outer generation says less and was not counted by a provider
    call = calls["gpt-5.4-2026-03-05"]
    assert [call[k] for k in ("task", "user", "tenant", "run_id", "environment", "ttft_s", "max_tokens")] == [
        "sort-mail", "u-1", "acme", "s-1", "prod", 0.4, 500,
    ]  # fmt: skip
    assert call["system_sha"] is not None
    assert calls["gemini-2.5-flash"]["task"] == "triage"
    assert (calls["gpt-5.4"]["status"], calls["gpt-5.4"]["usage_source"]) == ("error", "absent")


@pytest.mark.parametrize(
    ("usage", "tokens", "convention"),
    [
        ({"input": 10, "output": 5}, (10, 0, 0, 5, 0), None),
        ({"input": 10, "input_cache_read": 90, "output": 5, "total": 105}, (100, 90, 0, 5, 0), None),
        ({"input": 100, "input_cache_read": 90, "output": 5, "total": 105}, (100, 90, 0, 5, 0), None),
        ({"input": 179, "output": 35, "output_reasoning": 64, "total": 278}, (179, 0, 0, 99, 64), None),
        ({"input": 6, "output": 55, "completion_details.reasoning": 44, "total": 61}, (6, 0, 0, 55, 44), None),
        ({"input": 3, "cache_read_input_tokens": 70, "cache_creation_input_tokens": 20, "output": 9},
         (93, 70, 20, 9, 0), "assumed"),
        ({"input": 3, "input_cache_creation_1h": 20, "output": 9, "total": 32}, (23, 0, 20, 9, 0), None),
    ],
)  # fmt: skip
def test_the_total_says_whether_the_parts_overlap(usage, tokens, convention):
    row = read([observation(usage)]).requests
    names = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
    assert row.select(names).row(0) == tokens
    assert row["convention"].item() == convention


@pytest.mark.parametrize(
    "wrap",
    [
        lambda rows: rows,
        lambda rows: [{"data": rows, "meta": {"page": 1}}],
        lambda rows: [json.dumps(rows)],
        lambda rows: [{"trace": {"id": "t"} | TRACE, "observations": rows}],
        lambda rows: [{"id": "t"} | TRACE, *rows],
    ],
    ids=["lines", "pages", "array", "download", "both tables"],
)
def test_any_file_shape_gives_the_same_calls(wrap):
    rows = [observation({"input": 10, "output": 1}), observation({"input": 10, "output": 1}, "2", "1")]
    made = read(wrap(rows))
    assert spent(made)[:2] == (1, 10)
    assert made.fates.rollups == 1
    assert made.fates.balanced


TRACE = {"timestamp": "2026-09-03T09:00:00Z", "name": "triage", "sessionId": "s", "userId": "u", "release": None}


def test_a_tool_that_asks_a_model_makes_a_call_of_its_own():
    outer, inner = observation({"input": 100, "output": 5}), observation({"input": 7, "output": 1}, "3", "2")
    tool = {"id": "2", "traceId": "t", "type": "TOOL", "parentObservationId": "1", "usageDetails": {}}
    assert spent(read([outer, tool, inner]))[:2] == (2, 107)
    assert spent(read([outer, tool | {"type": "SPAN"}, inner]))[:2] == (1, 7)  # a framework's generation around


def test_counts_that_langfuse_made_from_text_are_marked():
    rows = [
        observation({"input": 10, "output": 1}, "1", providedUsageDetails={}),
        observation({"input": 10, "output": 1}, "2", metadata={"attributes": {"gen_ai.usage.input_tokens": 10}}),
    ]
    assert read(rows).requests.sort("usage_source")["usage_source"].to_list() == ["provider", "tokenizer"]


@pytest.mark.parametrize(
    ("path", "calls", "rollups", "seen"),
    [
        # The framework's spans around it are counted from text: 1,568 / 423 and 542 / 235.
        ("agno-2025-06-11", (2, 663 + 163, 0, 0, 225 + 20, 0), 2, ("2025-06-11 14:01:32", "2025-06-11 14:01:34")),
        ("claude-agent-2025-12-22", (4, 34, 0, 0, 94 + 56 + 53 + 29, 0), 0,
         ("2025-12-22 10:46:15", "2025-12-22 10:46:19")),
        ("google-gemini-2025-08-01", (1, 6, 0, 0, 2_055, 1_104), 0, ("2025-08-01 13:22:00", "2025-08-01 13:22:00")),
        ("langgraph-js-2025-10-30", (2, 179 + 142, 0, 0, 35 + 64 + 24, 64), 0,
         ("2025-10-30 08:45:41", "2025-10-30 08:45:43")),
        ("microsoft-agent-2025-12-17", (2, 77 + 216, 0, 0, 86 + 20, 0), 1,
         ("2025-12-17 09:37:37", "2025-12-17 09:37:40")),
        ("openai-agents-2025-09-30", (2, 85 + 55, 0, 0, 29 + 15, 0), 0, ("2025-09-30 09:03:59", "2025-09-30 09:04:01")),
        ("pydantic-ai-tools-2025-12-04", (4, 417 + 131 + 502 + 265, 0, 0, 53 + 69 + 14 + 73, 0), 0,
         ("2025-12-04 14:51:22", "2025-12-04 14:51:27")),
        ("vercel-aisdk-2025-11-17", (1, 62, 0, 0, 85, 0), 1, ("2025-11-17 14:55:18", "2025-11-17 14:55:18")),
    ],
)  # fmt: skip
def test_real_traces_read_right(shared, path, calls, rollups, seen):
    made = ingest([shared / f"formats/langfuse/{path}.trace.json"])
    assert spent(made) == calls
    assert window(made) == seen
    assert fates(made) == {"duplicates": 0, "rollups": rollups, "rejects": 0}


@given(mangled(LOG))
@settings(max_examples=20, deadline=None)
def test_damaged_lines_cost_themselves_and_nothing_else(lines):
    assert read(lines).fates.balanced


OF_TRACE = {"id": "t1", "name": "triage", "sessionId": "s1", "userId": "u1", "timestamp": "2026-09-02T08:00:00Z"}
OBSERVED = {
    "id": "o1", "traceId": "t1", "type": "GENERATION", "parentObservationId": None, "model": "gpt-5",
    "startTime": "2026-09-02T08:00:00Z", "usageDetails": {"input": 100, "output": 20, "total": 120, "audio": None},
}  # fmt: skip


@pytest.mark.parametrize(
    "document",
    [
        {"trace": OF_TRACE, "observations": [OBSERVED]},  # the trace is one by its place
        {**OF_TRACE, "observations": [OBSERVED], "scores": []},  # a trace as the interface gives it
        {"data": [{**OF_TRACE, "release": None, "observations": ["o1"]}, OBSERVED]},  # a list of traces has ids alone
    ],
)
def test_a_trace_lends_its_session_wherever_its_observations_stand(document):
    made = read([document])
    assert spent(made) == (1, 100, 0, 0, 20, 0)
    assert made.requests.select("task", "run_id", "user").rows() == [("triage", "s1", "u1")]
    assert made.fates.rejects == {}
    assert made.fates.skipped == {"trace": 1}


@pytest.mark.parametrize(
    ("older", "tokens"),
    [
        ({"usage": {"input": 100, "output": 20, "total": 120, "unit": "TOKENS"}}, (100, 20)),
        ({"promptTokens": 100, "completionTokens": 20, "totalTokens": 120}, (100, 20)),
        ({"usage": {"input": 900, "output": 80, "total": 980, "unit": "CHARACTERS"}}, (None, None)),
    ],
)
def test_rows_from_before_usage_details_have_the_tokens_they_state(older, tokens):
    made = read([{**OBSERVED, "usageDetails": {}} | older])
    assert made.requests.select("input_tokens", "output_tokens").row(0) == tokens
