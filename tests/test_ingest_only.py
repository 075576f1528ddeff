"""A reading of some columns: what was asked for, and every count, is what a reading of all columns gives."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import SAMPLES, sample
from test_ingest_fast import respelled

from costaudit import schema
from costaudit.errors import ConfigError
from costaudit.ingest import ingest

PLACES = ("source_file", "source_line", "source_offset", "format")
SUMS = (
    *(column.name for column in schema.REQUEST if column.group in ("model", "usage")),
    *("request_id", "started_at", "parent_id", "key_id", "cost_logged_usd"),
)
ASKED = [
    SUMS,
    (*SUMS, "task", "run_id", "run_source"),
    ("tool_calls", "tool_results", "output_tokens"),
    ("request_sha", "started_at"),
    ("model",),
]
LOG = sample("claude-code.jsonl")


@cache
def samples():
    return ingest([SAMPLES])


def agrees(whole, part, only):
    """Whether both readings of one log say the same, as far as it was asked."""
    asked = [*PLACES, *only]
    assert part.requests.select(asked).equals(whole.requests.select(asked))
    assert part.rejects.equals(whole.rejects)
    assert part.sources.equals(whole.sources)
    assert (part.fates, part.notes) == (whole.fates, whole.notes)
    assert part.requests.schema == schema.REQUESTS


@pytest.mark.parametrize("only", ASKED, ids=["sums", "runs", "tools", "prompts", "one column"])
def test_every_format_gives_the_columns_it_is_asked_for(only):
    agrees(samples(), ingest([SAMPLES], only=only), only)


@given(st.lists(respelled(LOG), min_size=1, max_size=2), st.sampled_from(ASKED))
@settings(max_examples=20, deadline=None)
def test_any_log_gives_the_columns_it_is_asked_for(logs, only):
    with tempfile.TemporaryDirectory() as folder:
        for n, data in enumerate(logs):
            (Path(folder) / f"{n}.jsonl").write_bytes(data)
        agrees(ingest([folder]), ingest([folder], only=only), only)


def test_a_reading_of_some_columns_is_not_kept_and_takes_what_a_whole_one_has_kept(tmp_path):
    only, cache = ("model", "output_tokens"), tmp_path / "cache"
    ingest([SAMPLES], cache=cache, only=only)
    assert not [path for path in cache.rglob("*") if path.is_file()]
    whole = ingest([SAMPLES], cache=cache)
    assert ingest([SAMPLES], cache=cache, only=only).requests.equals(whole.requests)


def test_a_column_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="outputs: no column of requests"):
        ingest([SAMPLES], only=["outputs"])
