"""Qwen Code: rows like those of Claude Code around usage like Gemini's."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

from costaudit.ingest import ingest

LOG = sample("qwen.jsonl")


def test_the_sample_counts_messages_once_and_leaves_telemetry_out():
    made = read(LOG)
    assert spent(made) == (2, 500 + 600, 50, 0, 20 + 5 + 30, 30)  # cached inside the prompt, thoughts beside the output
    assert fates(made) == {"duplicates": 1, "rollups": 0, "rejects": 0}
    one, two = made.requests.to_dicts()
    assert [r["id"] for r in two["tool_results"]] == [c["id"] for c in one["tool_calls"]]
    assert {one["run_id"], two["run_id"]} == {"q-0001:u1"}


@pytest.mark.parametrize(
    ("path", "calls", "duplicates", "seen"),
    [
        # 500 + 20 and 600 + 5 with 50 cached inside: 1,125 in all, not 1,175.
        ("splitrail-qwen_code", (2, 1_100, 50, 0, 25, 0), 0, ("2026-06-15 14:40:22", "2026-06-15 14:40:22")),
        ("agent-sessions-019f0000-0000-7000-8000-000000000004", (2, 12, 0, 0, 4, 0), 1,
         ("2026-08-17 13:00:01", "2026-08-17 13:00:05")),
    ],
)  # fmt: skip
def test_real_sessions_read_right(shared, path, calls, duplicates, seen):
    made = ingest([shared / f"formats/qwen/{path}.jsonl"])
    assert spent(made) == calls
    assert window(made) == seen
    assert fates(made) == {"duplicates": duplicates, "rollups": 0, "rejects": 0}


@given(mangled(LOG))
@settings(max_examples=20, deadline=None)
def test_damaged_lines_cost_themselves_and_nothing_else(lines):
    assert read(lines).fates.balanced
