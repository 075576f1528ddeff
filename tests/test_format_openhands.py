"""OpenHands: calls instead of accumulated counts; the same call in two states is one."""

from __future__ import annotations

import json

from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent

LOG = sample("openhands.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}
    assert spent(made) == (4, 6_000 + 7_000 + 900 + 300, 5_000 + 512, 6_000, 200 + 100 + 70 + 20, 40)
    calls = {row["request_id"]: row for row in made.requests.to_dicts()}
    first = calls["chatcmpl-oh1"]
    assert [first[k] for k in ("run_id", "instance_id", "task", "environment")] == [
        "django__django-1", "django__django-1", "agent", "evaluation",
    ]  # fmt: skip
    assert (first["ended_at"] - first["started_at"]).total_seconds() == 2.5
    assert str(first["cost_logged_usd"].normalize()) == "0.012"
    assert (calls[None]["task"], calls[None]["summed"], calls["resp-oh3"]["started_at"]) == ("condenser", True, None)


def test_a_state_written_later_holds_the_calls_of_the_one_before():
    later = json.loads(LOG[0])
    later["metrics"]["token_usages"].append(later["metrics"]["token_usages"][1] | {"response_id": "chatcmpl-oh9"})
    assert spent(read(LOG[:1], [later]))[:2] == (3, 6_000 + 7_000 + 7_000)


def test_cached_input_that_is_more_than_the_prompt_stands_beside_it():
    state = json.loads(LOG[1])
    state["stats"]["usage_to_metrics"]["agent"]["token_usages"][0]["cache_read_tokens"] = 2_000
    assert read([state]).requests.filter(request_id="resp-oh3")["input_tokens"].item() == 2_900


def test_one_bad_call_of_a_state_costs_that_call():
    state = json.loads(LOG[0])
    state["metrics"]["token_usages"][1]["prompt_tokens"] = "many"
    made = read([state])
    assert (spent(made)[0], fates(made)["rejects"]) == (1, 1)


@given(mangled(LOG))
@settings(max_examples=20, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
