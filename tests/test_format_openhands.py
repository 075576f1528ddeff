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
    assert [first[k] for k in ("instance_id", "task", "environment")] == ["django__django-1", "agent", "evaluation"]
    assert first["run_id"].endswith("/0.jsonl django__django-1")
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


def test_the_turns_of_an_agent_driven_over_acp_bear_its_sessions_id_and_are_a_row_each():
    state = json.loads(LOG[1]) | {"agent": {"kind": "ACPAgent"}}
    turn = {"prompt_tokens": 100, "completion_tokens": 10, "cache_read_tokens": 50, "response_id": "session-1"}
    uses = state["stats"]["usage_to_metrics"] = {"agent": {"model_name": "default", "token_usages": [turn] * 2}}
    # Whether 50 of 100 is cached or 50 besides is not to be told, until a turn has more cached than it was given.
    assert spent(read([state]))[:3] == (2, 200, 100)
    assert set(read([state]).requests["convention"]) == {"undecided"}
    before = json.loads(json.dumps(state))
    uses["agent"]["token_usages"].append(turn | {"cache_read_tokens": 900})
    made = read([before], [state])
    assert (spent(made)[:3], fates(made)["duplicates"]) == ((3, 300 + 1_000, 1_000), 2)
    assert made.requests["summed"].all()


def test_the_same_instance_of_two_evaluations_is_two_runs():
    sums = [json.loads(LOG[0]) for _ in range(2)]
    for said, model in zip(sums, ("anthropic/claude-sonnet-5", "openai/gpt-5-mini"), strict=True):
        said["metrics"] = {"accumulated_token_usage": {"model": model, "prompt_tokens": 500, "completion_tokens": 9}}
    made = read(*[[said] for said in sums])
    assert spent(made)[:2] == (2, 1_000)
    assert made.requests["run_id"].n_unique() == 2


def test_one_bad_call_of_a_state_costs_that_call():
    state = json.loads(LOG[0])
    state["metrics"]["token_usages"][1]["prompt_tokens"] = "many"
    made = read([state])
    assert (spent(made)[0], fates(made)["rejects"]) == (1, 1)


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
