"""Apache APISIX: summaries whose numbers may be text."""

from __future__ import annotations

import json

from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

LOG = sample("apisix.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}
    # The second counts 400 read and 50 written beside its 10.
    assert spent(made) == (3, 1_200 + 460 + 300, 900 + 400, 50, 80 + 20 + 12, 30)
    assert window(made) == ("2026-09-02 08:00:00", "2026-09-02 08:00:05")
    assert made.fates.skipped == {}
    assert not made.notes


def test_the_duration_of_a_summary_is_the_time_to_the_first_token():
    first, _, plain = read(LOG).requests.to_dicts()
    assert (first["ttft_s"], plain["ttft_s"]) == (0.4, None)
    assert (first["ended_at"] - first["started_at"]).total_seconds() == 1.5005
    assert [first[k] for k in ("task", "tenant", "user", "run_id")] == ["chat", "acme", "u-7", "s-1"]
    assert len(first["block_sha"]) == 2


def test_what_the_counts_do_not_prove_is_undecided():
    assert read(LOG).requests["convention"].to_list() == ["undecided", "proved", None]


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced


def test_a_request_to_another_route_is_no_call():
    entry = json.loads(LOG[0])
    made = read([{name: value for name, value in entry.items() if not name.startswith("llm")}, *LOG])
    assert spent(made) == spent(read(LOG))
    assert made.fates.skipped == {"request of no model": 1}
