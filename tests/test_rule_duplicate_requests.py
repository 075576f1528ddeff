"""duplicate-requests: only an answer that could have been used again is bought twice."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import ask, at

from costaudit.finding import Confidence

CALL = Decimal("0.015")
HOUR = 3600


def same(*seconds, **changes):
    """Equal requests at temperature 0, one at each time; each answered within a second."""
    return [
        {"task": "faq", "request_sha": 7, "temperature": 0.0, "started_at": at(s), "ended_at": at(s + 1)} | changes
        for s in seconds
    ]


def waste(rows, **options):
    return sum((f.owned_usd for f in ask("duplicate-requests", rows, **options).findings), Decimal(0))


@pytest.mark.parametrize(
    ("rows", "copies"),
    [
        (same(0, HOUR, 2 * HOUR), 2),
        (same(0, 25 * HOUR), 0),  # a day later the answer is no longer kept
        (same(0, 20 * HOUR, 40 * HOUR), 1),  # the second is served by the first, the third is new
        (same(0, 0.5), 1),  # a double submit
        (same(0, HOUR, temperature=None, output_sha=3), 1),  # equal answers
        (same(0, HOUR, temperature=0.8, output_sha=3), 1),
        (same(0, HOUR, temperature=None), 0),  # nobody knows what was answered
        ([*same(0, status="error", output_tokens=0), *same(HOUR)], 0),  # nothing to keep yet
        ([*same(0, HOUR, request_sha=None), {"request_sha": 1}], 0),
        ([*same(0), *same(HOUR, tenant="other")], 0),  # answers are not shared between tenants
        ([*same(0), *same(HOUR, model="small")], 0),
        ([*same(0, reasoning_effort="low"), *same(HOUR, reasoning_effort="high")], 0),  # thought about anew
        (
            same(0, HOUR, model="text-embedding-9", provider="acme", temperature=None, output_tokens=0),
            0,
        ),  # unpriced: $0
        ([*same(0), *same(HOUR, gateway_cache_hit=True)], 0),  # it was kept: nothing was paid
        ([*same(0), *same(0, rollup=True)], 0),
    ],
)
def test_what_is_bought_again(rows, copies):
    assert waste(rows) == copies * CALL


def test_sampling_several_answers_on_purpose_is_silent():
    rows = [row | {"output_sha": nth} for nth, row in enumerate(same(*range(0, 50, 5), temperature=0.7))]
    assert waste(rows) == 0


def test_votes_that_often_agree_are_still_samples():
    rows = [
        row | {"output_sha": (nth % 4 == 0) + 0, "request_sha": nth // 5}
        for nth, row in enumerate(same(*range(0, 100), temperature=0.7, task="vote"))
    ]
    assert waste(rows) == 0


def test_trials_of_an_evaluation_are_silent():
    rows = [row | {"instance_id": "case-1", "run_id": f"trial-{nth}"} for nth, row in enumerate(same(0, 60, 120, 180))]
    assert waste(rows) == 0
    assert waste([row | {"run_id": None} for row in rows]) == 0  # a gateway may not say which run a call belongs to
    assert waste([row | {"run_id": "trial-1"} for row in rows]) > 0


def test_retries_and_client_timeouts_are_not_duplicates():
    assert waste([*same(0, status="error"), *same(5)]) == 0
    slow = [row | {"ended_at": at(row_at + 60)} for row, row_at in zip(same(0, 30), (0, 30), strict=True)]
    assert waste(slow) == 0


def test_health_checks_may_repeat():
    assert waste(same(0, 60, 120), allow=["faq"]) == 0


def test_the_evidence_names_the_request_and_adds_up():
    (finding,) = ask("duplicate-requests", [*same(0, 1, HOUR), *same(10, 20 * HOUR, request_sha=9)]).findings
    assert finding.title == "faq: 3 answers bought again, $0.045"
    assert finding.confidence is Confidence.HIGH
    columns = ("request_sha", "copies", "double_submits", "waste_usd", "source")
    assert finding.evidence.select(columns).rows() == [
        (7, 2, 1, 2 * CALL, "log.jsonl:2"),
        (9, 1, 0, CALL, "log.jsonl:5"),
    ]


def test_equal_answers_at_an_unknown_temperature_are_less_sure():
    (finding,) = ask("duplicate-requests", same(0, HOUR, temperature=None, output_sha=1)).findings
    assert finding.confidence is Confidence.MEDIUM


def test_it_says_what_it_lacks():
    assert [n.why for n in ask("duplicate-requests", [{}]).not_checked] == ["no request fingerprints"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 100)), min_size=1, max_size=25))
def test_copies_are_what_a_cache_that_keeps_a_day_would_have_served(events):
    rows = [same(HOUR * hour + 10 * nth)[0] | {"request_sha": sha} for nth, (sha, hour) in enumerate(events)]
    kept, hits = {}, 0
    for row in sorted(rows, key=lambda r: r["started_at"]):
        made = kept.get(row["request_sha"])
        if made is not None and (row["started_at"] - made).total_seconds() <= 24 * HOUR:
            hits += 1
        else:
            kept[row["request_sha"]] = row["started_at"]
    assert waste(rows) == hits * CALL


def test_trials_of_airline_agents_are_not_waste(shared):
    rows = []
    traces = json.loads((shared / "datasets/tau_airline_gpt4o/gpt-4o-airline.json").read_text())
    for nth, trace in enumerate(traces):
        chain, step = 0, 0
        for message in trace["traj"]:
            text = json.dumps(message, sort_keys=True)
            if message["role"] == "assistant":
                rows.append(
                    {
                        "task": "airline",
                        "instance_id": str(trace["task_id"]),
                        "run_id": f"{trace['task_id']}-{trace['trial']}",
                        "request_sha": chain,
                        "output_sha": xxhash.xxh3_64_intdigest(text.encode()),
                        "started_at": at(600 * nth + 7 * step),
                    }
                )
                step += 1
            chain = xxhash.xxh3_64_intdigest(text.encode(), seed=chain)
    assert len(rows) == 2_454
    assert waste(rows) == 0


@pytest.mark.parametrize(
    ("rows", "title", "because"),
    [
        (same(0, 1), "faq: 1 answer bought again, $0.015", "1 repeat of 1 request; an answer is kept 24 hours"),
        (same(0, 1, 2), "faq: 2 answers bought again, $0.030", "2 repeats of 1 request; an answer is kept 24 hours"),
    ],
)
def test_one_is_told_in_the_singular(rows, title, because):
    (finding,) = ask("duplicate-requests", rows).findings
    assert (finding.title, finding.because[0]) == (title, because)
