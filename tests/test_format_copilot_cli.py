"""Copilot CLI: running totals of a session that is resumed, and answers that they restate."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent

from costaudit.ingest import ingest

LOG = sample("copilot-cli.jsonl")


def test_the_sample_counts_what_each_leg_added_and_the_answers_of_the_leg_that_crashed():
    made = read(LOG)
    calls = made.requests.filter(pl.col("rollup").is_null()).sort("started_at", "model")
    # Totals 400 and 3,000; then 4,500 - 3,000 of one model and nothing of the other; then a leg without totals.
    assert calls.select("model", "input_tokens", "cache_read_tokens", "output_tokens").rows() == [
        ("claude-haiku-4.5", 400, 0, 20),
        ("gpt-5-mini", 3_000, 2_000, 50),
        ("gpt-5-mini", 1_500, 1_100, 15),
        ("gpt-5-mini", None, None, 8),
    ]
    assert fates(made) == {"duplicates": 0, "rollups": 3, "rejects": 0}


def test_totals_that_fall_began_again():
    again = [line.replace('"inputTokens":4500', '"inputTokens":700') for line in LOG]
    made = read(again)
    assert spent(made)[1] == 400 + 3_000 + 700 + 400  # the other model's total belongs to the new count too


@pytest.mark.parametrize(
    ("path", "calls", "rollups"),
    [
        # Real: 6 requests; input 186,809 of which 151,738 cached, output 2,848 of which 1,024 reasoning.
        ("vct-real-events-1.0.34-redacted", (1, 186_809, 151_738, 0, 2_848, 1_024), 6),
        ("agent-sessions-schema_drift", (1, 1_000, 800, 0, 50, 0), 2),
        ("agent-sessions-large", (4, 0, 0, 0, 0, 0), 0),
    ],
)
def test_real_sessions_read_right(shared, path, calls, rollups):
    made = ingest([shared / f"formats/copilot-cli/{path}.jsonl"])
    assert spent(made) == calls
    assert fates(made) == {"duplicates": 0, "rollups": rollups, "rejects": 0}


@given(mangled(LOG))
@settings(max_examples=20, deadline=None)
def test_damaged_lines_cost_themselves_and_nothing_else(lines):
    assert read(lines).fates.balanced
