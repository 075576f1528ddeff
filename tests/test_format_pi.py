"""pi and OpenClaw: cache beside the input, copies of sessions, servers that give one id to all responses."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

from costaudit.ingest import ingest

LOG = sample("pi.jsonl")


def test_the_sample_counts_responses_once_with_their_cache():
    made = read(LOG)
    assert spent(made) == (2, 10 + 300 + 40 + 5 + 350, 300 + 350, 40, 20 + 8, 0)
    assert made.requests["cost_logged_usd"].sum() == Decimal("0.003")
    assert fates(made) == {"duplicates": 1, "rollups": 0, "rejects": 0}
    one, two = made.requests.to_dicts()
    assert [r["id"] for r in two["tool_results"]] == [c["id"] for c in one["tool_calls"]]
    assert (one["run_id"], one["key_id"], two["finish_reason"]) == ("pi-1:u1", "/srv/shop", "stop")


def test_a_copy_of_a_session_is_not_paid_again():
    assert spent(read(LOG, LOG)) == spent(read(LOG))


def test_rows_of_the_first_version_have_no_ids():
    usage = {"input": 10, "output": 5, "cacheRead": 300, "cacheWrite": 40, "cost": {"total": 0.01}}
    said = {"role": "assistant", "provider": "anthropic", "model": "claude-sonnet-4-5", "usage": usage, "content": []}
    rows = [{"type": "message", "timestamp": f"2025-11-01T08:00:0{n}Z", "message": said} for n in (1, 2)]
    head = {"type": "session", "id": "s", "timestamp": "2025-11-01T08:00:00Z", "cwd": "/srv"}
    assert spent(read([head, *rows])) == (2, 700, 600, 80, 10, 0)


@pytest.mark.parametrize(
    ("path", "calls", "seen"),
    [
        # Both responses have the id `chatcmpl-pi-fixture`.
        ("pi/agent-sessions-small.jsonl", (2, 24, 0, 0, 14, 0), ("2026-05-12 01:02:27", "2026-05-12 01:02:45")),
        ("openclaw/agent-sessions-large.jsonl", (3, 0, 0, 0, 0, 0), ("2026-02-24 10:00:04", "2026-02-24 10:00:07")),
    ],
)
def test_real_sessions_read_right(shared, path, calls, seen):
    made = ingest([shared / "formats" / path])
    assert spent(made) == calls
    assert window(made) == seen
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}


@given(mangled(LOG))
@settings(max_examples=20, deadline=None)
def test_damaged_lines_cost_themselves_and_nothing_else(lines):
    assert read(lines).fates.balanced
