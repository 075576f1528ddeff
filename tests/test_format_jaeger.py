"""Jaeger: tags for attributes, references for parents, microseconds."""

from __future__ import annotations

import json

from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

LOG = sample("jaeger.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 1, "rejects": 0}
    # The agent's span repeats the 2,500 of its two chats.
    assert spent(made) == (3, 1_200 + 1_300, 900, 0, 80 + 40, 0)
    assert window(made) == ("2026-09-02 08:00:00", "2026-09-02 08:00:06")
    assert made.fates.skipped == {"span: execute_tool": 1}
    assert not made.notes


def test_tags_processes_and_durations_are_read():
    rows = read(LOG).requests.to_dicts()
    calls = [r for r in rows if r["request_id"]]
    assert {(r["task"], r["run_id"], r["environment"]) for r in calls} == {("triage", "s-1", "prod")}
    assert {(r["ended_at"] - r["started_at"]).total_seconds() for r in calls} == {1.0}
    failed = rows[-1]
    assert (failed["status"], failed["error_type"], failed["task"]) == ("error", "timeout", "search")


def test_a_stored_span_and_a_trace_a_line_are_the_same_spans():
    trace = json.loads(LOG[0])["data"][0]
    stored = [span | {"process": trace["processes"]["p1"]} for span in trace["spans"]]
    assert spent(read([trace])) == spent(read(stored)) == (2, 2_500, 900, 0, 120, 0)


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
