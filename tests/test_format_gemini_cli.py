"""Gemini CLI: messages written again and again, twins in two file forms, thoughts beside the output."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

from costaudit.ingest import ingest

LOG = sample("gemini-cli.jsonl")


def message(own="m1", *, kind="gemini", **more):
    return {"id": own, "timestamp": "2026-09-04T10:00:00Z", "type": kind, "content": "", "model": "gemini-3-pro"} | more


def session(*messages):
    return {"sessionId": "s", "projectHash": "p", "startTime": "2026-09-04T10:00:00Z", "messages": list(messages)}


def test_the_sample_counts_each_message_once_and_rewound_ones_too():
    made = read(LOG)
    # 1,000 with 800 cached; 1,100 and a tool's prompt of 50 with 900 cached; 100 beside 900 cached, as the total shows.
    assert made.requests["input_tokens"].to_list() == [1_000, 1_150, 1_000]
    assert made.requests["cache_read_tokens"].to_list() == [800, 900, 900]
    assert made.requests["output_tokens"].to_list() == [20 + 30, 40, 10 + 5]
    assert made.requests["reasoning_tokens"].to_list() == [30, 0, 5]
    assert made.requests["run_id"].to_list() == ["g-0001:u1", "g-0001:u1", "g-0001:u2"]
    assert fates(made) == {"duplicates": 2, "rollups": 0, "rejects": 0}


def test_tools_meet_their_results_although_both_stand_on_the_message_that_called():
    one, two, three = read(LOG).requests.to_dicts()
    assert [c["name"] for c in one["tool_calls"]] == ["run_shell_command"]
    assert one["tool_results"] is None
    assert [r["id"] for r in two["tool_results"]] == [c["id"] for c in one["tool_calls"]]
    assert three["tool_results"] is None


@pytest.mark.parametrize(
    ("tokens", "counts"),
    [
        ({"input": 100, "output": 10, "cached": 20, "thoughts": 30}, (100, 20, 40, 30)),
        ({"input": 100, "output": 10, "cached": 20, "thoughts": 30, "tool": 0, "total": 140}, (100, 20, 40, 30)),
        ({"input": 100, "output": 40, "cached": 20, "thoughts": 30, "tool": 0, "total": 140}, (100, 20, 40, 30)),
        ({"input": 80, "output": 10, "cached": 20, "thoughts": 30, "tool": 0, "total": 140}, (100, 20, 40, 30)),
        ({"input": 100, "output": 10, "cached": 20, "thoughts": 30, "tool": 7, "total": 147}, (107, 20, 40, 30)),
        (None, (None, None, None, None)),
    ],
)
def test_the_total_says_what_stands_inside_what(tokens, counts):
    row = read([session(message(tokens=tokens))]).requests
    assert row.select("input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens").row(0) == counts


def test_a_session_in_both_file_forms_is_read_once():
    messages = [message(kind="user", own="u1"), message(tokens={"input": 24_000, "output": 152})]
    lines = [{"sessionId": "s", "projectHash": "p"}, *messages]
    assert spent(read([session(*messages)], lines))[:2] == (1, 24_000)


@pytest.mark.parametrize(
    ("path", "calls", "duplicates", "seen"),
    [
        # Real: 11 rows of 6 messages; input 202,586 of which 48,951 cached, output 2,152 and thoughts 2,141 beside.
        ("vct-real-session-0.40-redacted.jsonl", (6, 202_586, 48_951, 0, 2_152 + 2_141, 2_141), 5,
         ("2026-04-23 12:53:11", "2026-04-23 12:56:02")),
        ("agent-sessions-jsonl_v040.jsonl", (2, 11_855 + 12_069, 11_502, 0, 81 + 147, 0), 0,
         ("2026-04-29 21:39:35", "2026-04-29 21:39:45")),
        ("toktrack-session-abc123.json", (2, 100 + 250, 20 + 50, 0, 50 + 30 + 150 + 100, 130), 0,
         ("2026-01-15 10:00:01", "2026-01-15 10:02:00")),
        ("agent-sessions-small.json", (1, 10, 0, 0, 5, 0), 0, ("2026-01-16 18:34:02", "2026-01-16 18:34:02")),
    ],
)  # fmt: skip
def test_real_sessions_read_right(shared, path, calls, duplicates, seen):
    made = ingest([shared / "formats/gemini-cli" / path])
    assert spent(made) == calls
    assert window(made) == seen
    assert fates(made) == {"duplicates": duplicates, "rollups": 0, "rejects": 0}


@given(mangled([*LOG, json.dumps(session(message(tokens={"input": 5, "output": 1}), message(own="m9")))]))
@settings(max_examples=20, deadline=None)
def test_damaged_lines_cost_themselves_and_nothing_else(lines):
    assert read(lines).fates.balanced
