"""Kimi: requests of both wire dialects, cache beside the input."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

from costaudit.ingest import ingest

LOG = sample("kimi.jsonl")


def test_the_sample_counts_each_request_with_its_cache():
    made = read(LOG)
    assert made.requests["input_tokens"].to_list() == [200 + 900 + 50, 30 + 1_100, 7 + 60]
    assert made.requests["cache_read_tokens"].to_list() == [900, 1_100, 60]
    assert made.requests["output_tokens"].to_list() == [40, 10, 5]
    assert set(made.requests["model"]) == {"kimi-k2.7-code"}  # the model that was asked, not its alias
    assert made.requests["run_id"].n_unique() == 3
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}


@pytest.mark.parametrize(
    ("path", "calls", "seen"),
    [
        ("agent-sessions-assistant_tools", (23, 691_678, 661_504, 0, 5_515, 0),
         ("2026-08-01 19:50:01", "2026-08-01 21:17:44")),
        ("agent-sessions-subagent_agent-0", (3, 41_321, 28_416, 0, 330, 0),
         ("2026-08-01 20:16:05", "2026-08-01 20:16:29")),
    ],
)  # fmt: skip
def test_real_sessions_read_right(shared, path, calls, seen):
    made = ingest([shared / f"formats/kimi/{path}.jsonl"])
    assert spent(made) == calls
    assert window(made) == seen
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}


@given(mangled(LOG))
@settings(max_examples=20, deadline=None)
def test_damaged_lines_cost_themselves_and_nothing_else(lines):
    assert read(lines).fates.balanced
