"""Gemini's Interactions API: thoughts and the prompts of tools beside the totals, unless the sum says otherwise."""

from __future__ import annotations

import json

from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

LOG = sample("gemini-interactions.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 1, "rollups": 0, "rejects": 0}
    # 80 + 30 thoughts; 1,300 + 5 of tools, 40 + 10 thoughts; the third failed
    assert spent(made) == (3, 1_200 + 1_305, 900 + 1_100, 0, 110 + 50, 30 + 10)
    assert window(made) == ("2026-09-02 08:00:00", "2026-09-02 08:00:05")
    first, second, failed = made.requests.to_dicts()
    assert [first[k] for k in ("task", "tenant", "run_id", "finish_reason", "max_tokens")] == [
        "triage", "acme", "s-1", "stop", 500,
    ]  # fmt: skip
    assert (second["finish_reason"], second["parent_id"]) == ("tool_calls", "v1_i1")
    assert (failed["status"], failed["error_type"], failed["usage_source"]) == ("error", "failed", "absent")


def test_a_total_of_input_and_output_alone_holds_the_thoughts_inside():
    row = json.loads(LOG[1])
    row["usage"] |= {"total_tokens": 1_340}
    assert spent(read([row])) == (1, 1_300, 1_100, 0, 40, 10)


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
