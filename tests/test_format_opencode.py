"""OpenCode: tokens on messages or on their steps, reasoning inside or beside, files and database rows."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent

from costaudit.ingest import ingest

LOG = sample("opencode.jsonl")


def test_the_sample_counts_messages_or_their_steps_and_never_both():
    made = read(LOG)
    calls = made.requests.filter(pl.col("rollup").is_null())
    # 1,207 + 1,569 + 54,631 = 57,407: reasoning inside; 10 + 20 + 30 = 60: beside; two steps; an aborted message.
    assert calls["input_tokens"].drop_nulls().sort().to_list() == [7, 9, 10, 1_150, 55_838]
    assert calls["output_tokens"].drop_nulls().sort().to_list() == [3, 4, 50, 500, 1_569]
    assert fates(made) == {"duplicates": 1, "rollups": 1, "rejects": 0}  # the row of the database; the message of steps
    assert calls["status"].sort().to_list() == ["cancelled", "ok", "ok", "ok", "ok", "ok"]
    assert set(calls["run_id"].drop_nulls()) == {"ses_1:msg_u"}


@pytest.mark.parametrize(
    ("path", "calls"),
    [
        ("toktrack-msg_001.json", (1, 1_000 + 100 + 50, 100, 50, 500, 0)),
        ("toktrack-msg_002.json", (1, 2_000 + 200 + 100, 200, 100, 800, 150)),
        ("toktrack-msg_003_no_tokens.json", (1, 0, 0, 0, 0, 0)),
        ("agent-sessions-message-s_stage0_large-msg_0002.json", (1, 120, 0, 0, 16, 0)),
    ],
)
def test_real_messages_read_right(shared, path, calls):
    made = ingest([shared / "formats/opencode" / path])
    assert spent(made) == calls
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}


@given(mangled(LOG))
@settings(max_examples=20, deadline=None)
def test_damaged_lines_cost_themselves_and_nothing_else(lines):
    assert read(lines).fates.balanced
