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


def test_a_status_that_is_sent_again_is_one_request():
    usage = {"input_other": 10, "input_cache_read": 300, "input_cache_creation": 0, "output": 7}

    def status(at, name, **more):
        payload = {"message_id": name, "token_usage": usage | more}
        return {"timestamp": at, "message": {"type": "StatusUpdate", "payload": payload}}

    made = read([status(1_788_249_600.5, "m1"), status(1_788_249_605.5, "m1"), status(1_788_249_605.5, "m2")])
    assert spent(made)[:2] == (2, 2 * 310)
    assert spent(read([status(1_788_249_600.5, None), status(1_788_249_605.5, None)]))[0] == 2


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
