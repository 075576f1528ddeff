"""retry-waste: three reasons to send again, priced only where the first attempt was billed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from ledgers import ask, at

from costaudit.finding import Confidence, Severity

CALL = Decimal("0.015")


def call(start, end=None, **changes):
    ended = {"ended_at": at(end)} if end is not None else {}
    return {"task": "triage", "request_sha": 7, "started_at": at(start)} | ended | changes


FAILED = {"status": "error", "http_status": 500}
UNBILLED = FAILED | {"http_status": 429, "input_tokens": None, "output_tokens": None}


def by_cause(rows, **options):
    found = ask("retry-waste", rows, **options).findings
    return {f.subject["cause"]: f.owned_usd for f in found}


@pytest.mark.parametrize(
    ("rows", "lever"),
    [
        ([call(0, 10, **FAILED), call(12, 20)], "retries"),
        ([call(0, 60), call(30, 70)], "retries"),
        ([call(0, 10, schema_ok=False), call(12, 20, schema_ok=True)], "output-format"),
    ],
)
def test_a_refused_answer_asks_for_a_schema_and_any_other_resend_for_fewer(rows, lever):
    (finding,) = ask("retry-waste", rows).findings
    assert finding.lever == (lever, "")


@pytest.mark.parametrize(
    ("rows", "owned"),
    [
        ([call(0, 10, **FAILED), call(12, 20)], {"upstream failure": CALL}),
        ([call(0, 10, **UNBILLED), call(12, 20)], {}),
        ([call(0, 10, **UNBILLED), call(12, 20, **FAILED), call(24, 30)], {"upstream failure": CALL}),
        ([call(0, 10, **FAILED), call(12, 20, **FAILED)], {"upstream failure": 2 * CALL}),  # no answer was ever used
        ([call(0, 10, **FAILED), call(131, 140)], {}),  # too late to be a retry
        ([call(0, 60), call(30, 70)], {"client timeout": CALL}),  # the first was still running
        ([call(0, 20), call(30, 70)], {}),  # it was not: a duplicate
        ([call(0, 60, status="cancelled"), call(61, 70)], {"client timeout": CALL}),
        ([call(0, 10, schema_ok=False), call(12, 20, schema_ok=True)], {"validation retry": CALL}),
        ([call(0, 60), call(30, 40, **FAILED)], {"client timeout": CALL}),  # the first came after all, and was used
        ([call(0, 60), call(30, 40, **UNBILLED)], {}),
        (
            [call(0, 10, **FAILED), call(12, 60), call(30, 40, **FAILED)],
            {"upstream failure": CALL, "client timeout": CALL},
        ),
        ([call(0, 10, **FAILED), call(12, 20, request_sha=8)], {}),  # another question
        ([call(0, 10, **FAILED), call(12, 20, tenant="other")], {}),
        ([call(0), call(1)], {}),  # a double submit
    ],
)
def test_what_sending_again_cost(rows, owned):
    assert by_cause(rows) == owned


def test_three_causes_are_three_findings():
    rows = [
        *[call(0, 10, **FAILED), call(12, 20)],
        *[call(1000, 1060, request_sha=8), call(1030, 1070, request_sha=8)],
        *[call(2000, 2010, request_sha=9, schema_ok=False), call(2012, 2020, request_sha=9)],
    ]
    assert by_cause(rows) == {"upstream failure": CALL, "client timeout": CALL, "validation retry": CALL}


def test_a_refused_answer_may_be_asked_again_with_a_note():
    rows = [
        call(0, 10, run_id="a", step=1, schema_ok=False),
        call(12, 20, run_id="a", step=2, request_sha=8, input_tokens=1_200),
    ]
    assert by_cause(rows) == {"validation retry": CALL}


def test_steps_that_contradict_the_times_say_of_no_call_that_it_was_sent_again():
    rows = [
        call(0, 10, run_id="a", step=2, request_sha=8, input_tokens=1_200),
        call(12, 20, run_id="a", step=1, schema_ok=False),  # a clock that is behind
    ]
    assert by_cause(rows) == {}


def test_gaps_at_one_value_are_a_clients_timer_where_no_end_is_logged():
    rows = [call(1000 * nth + gap, request_sha=nth) for nth in range(6) for gap in (0, 30 + nth / 10)]
    assert by_cause(rows) == {"client timeout": 6 * CALL}
    rows = [call(1000 * nth + gap, request_sha=nth) for nth in range(6) for gap in (0, 10 + 17 * nth)]
    assert by_cause(rows) == {}


def test_cut_answers_sent_again_at_one_gap_are_no_timeouts():
    rows = [call(1000 * nth + gap, request_sha=nth, finish_reason="length" if not gap else "stop")
            for nth in range(6) for gap in (0, 30)]  # fmt: skip
    assert by_cause(rows) == {}


def test_samples_drawn_at_once_are_not_timeouts():
    assert by_cause([call(3 * nth, 60, temperature=0.8) for nth in range(5)]) == {}


def samples(*ends, questions=6, every=30):
    """Questions at a temperature, asked again at one gap; each answer comes so many seconds after it was asked for."""
    return [
        call(1000 * q + every * n, 1000 * q + every * n + took, request_sha=q, temperature=0.7)
        for q in range(questions)
        for n, took in enumerate(ends)
    ]


@pytest.mark.parametrize(
    ("rows", "wasted"),
    [
        # A timer of 30 s, and the third answer in time: all answers were billed, two of three for nothing.
        (samples(45, 50, 15), 12),
        (samples(45, 50, 60, 15), 18),
        (samples(45, 50, 15, questions=2), 0),  # four gaps are no timer
        (samples(45, 50, 40), 0),  # the last came no sooner than the others: drawn at a pace
        (samples(45, 15, 45, 15), 0),  # nobody asks again after an answer in time
        # Most questions of the task are drawn at a pace, a few of which look like a timer.
        ([*samples(45, 50, 15, questions=3), *(row | {"request_sha": row["request_sha"] + 50}
          for row in samples(45, 50, 45, questions=9))], 0),
    ],
)  # fmt: skip
def test_one_question_sent_again_by_a_timer_is_no_sample_at_any_temperature(rows, wasted):
    assert by_cause(rows) == ({"client timeout": wasted * CALL} if wasted else {})


def test_attempt_numbers_need_no_fingerprint_and_make_it_sure():
    rows = [
        call(0, 10, request_sha=None, run_id="a", attempt=1, **FAILED),
        call(12, 20, request_sha=None, run_id="a", attempt=2),
    ]
    (finding,) = ask("retry-waste", rows).findings
    assert (finding.owned_usd, finding.confidence) == (CALL, Confidence.HIGH)


def test_many_attempts_are_a_storm():
    rows = [*[call(10 * nth, 10 * nth + 5, **FAILED) for nth in range(4)], call(50, 55)]
    (finding,) = ask("retry-waste", rows).findings
    assert (finding.owned_usd, finding.severity) == (4 * CALL, Severity.HIGH)
    assert finding.evidence["attempt"].sort().to_list() == [1, 2, 3, 4]
    assert finding.evidence["waste_usd"].sum() == finding.owned_usd


def test_the_answer_that_was_used_is_never_waste():
    rows = [call(0, 10, **FAILED), call(12, 20), call(5000, 5010)]
    (finding,) = ask("retry-waste", rows).findings
    assert finding.evidence["request_id"].to_list() == ["r0"]


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([{}], "no request fingerprints and no attempt numbers"),
        ([{"request_sha": 1, "status": None}], "no status field"),
        ([{"request_sha": 1, "started_at": None}], "no call has a time"),
    ],
)
def test_it_says_what_it_lacks(rows, why):
    assert [n.why for n in ask("retry-waste", rows).not_checked] == [why]
