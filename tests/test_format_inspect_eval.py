"""Inspect: calls instead of the statistics that restate them, and cached input that the total places."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent

from costaudit.ingest import ingest

LOG = sample("inspect-eval.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}
    # 512 of 610 inside; 40 beside 900 + 60, for 1,030 = 40 + 900 + 60 + 30; one of Inspect's cache; one failed.
    assert spent(made) == (4, 610 + 1_000 + 600, 512 + 900, 60, 17 + 30 + 20, 0)
    calls = {row["request_id"]: row for row in made.requests.to_dicts()}
    first, grader, cached, failed = (calls[f"chatcmpl-insp{n}"] if n else calls[None] for n in (1, 2, 3, 0))
    assert [first[k] for k in ("run_id", "instance_id", "task", "environment", "provider", "model", "score")] == [
        "smp-1", "security_guide/1", "security_guide", "evaluation", "openai", "gpt-4o-mini", 1.0,
    ]  # fmt: skip
    assert (grader["provider"], grader["run_id"]) == ("anthropic", "smp-1")
    assert (cached["gateway_cache_hit"], cached["score"]) == (True, 0.0)
    assert (failed["status"], failed["usage_source"]) == ("error", "absent")
    assert first["system_sha"] is not None


def test_a_sample_unpacked_from_an_archive_is_the_same_calls():
    samples = json.loads(LOG[0])["samples"]
    assert spent(read(*[[s] for s in samples])) == spent(read(LOG)) == spent(read(LOG, *[[s] for s in samples]))


def test_a_log_without_samples_is_a_row_a_model():
    log = {key: value for key, value in json.loads(LOG[0]).items() if key != "samples"}
    call = read([log]).requests.row(0, named=True)
    assert [call[k] for k in ("input_tokens", "cache_read_tokens", "output_tokens", "summed")] == [1_210, 512, 37, True]


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("2025-05-12T20-27-36-04-00_browser", None),
        ("2025-05-12T20-28-13-04-00_popularity", None),
        ("2025-05-12T20-28-26-04-00_security-guide", (6, 959, 1_033)),
    ],
)
def test_real_logs_add_up_to_their_own_statistics(shared, name, calls):
    path = shared / "datasets" / "inspect_eval_logs" / f"{name}.json"
    made = ingest([path])
    assert fates(made)["rejects"] == 0
    stated = json.loads(path.read_text())["stats"]["model_usage"].values()
    total = (sum(s["input_tokens"] for s in stated), sum(s["output_tokens"] for s in stated))
    assert (spent(made)[1], spent(made)[4]) == total
    if calls:
        assert (spent(made)[0], *total) == calls


def one(usage, **more):
    """A sample with one call."""
    event = {"event": "model", "model": "openai/gpt-5-mini", "output": {"usage": usage}, **more}
    return {"id": 1, "epoch": 1, "uuid": "u", "model_usage": {}, "events": [event]}


@pytest.mark.parametrize(
    ("total", "given"),
    # As it is documented; of an older version, with cached input inside; with a total of other parts besides.
    [(100 + 400 + 10, 500), (100 + 10, 100), (100 + 400 + 10 + 33, 500), (None, 500)],
)
def test_cached_input_stands_beside_unless_the_total_says_that_it_is_inside(total, given):
    cached = 400 if given == 500 else 40
    made = read([one({"input_tokens": 100, "output_tokens": 10, "input_tokens_cache_read": cached,
                      "total_tokens": total})])  # fmt: skip
    assert spent(made)[:3] == (1, given, cached)


def test_what_ran_in_batches_and_what_a_retried_sample_took_before_are_known():
    usage = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110, "total_cost": 0.25}
    sample = one(usage, config={"batch": 100})
    sample["error_retries"] = [{"message": "timeout", "events": one(usage)["events"]}]
    made = read([sample], [sample])
    assert (spent(made)[:2], fates(made)["duplicates"]) == ((2, 200), 2)
    assert sorted(made.requests["service_tier"].to_list(), key=str) == [None, "batch"]
    assert float(made.requests["cost_logged_usd"].sum()) == 0.5


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
