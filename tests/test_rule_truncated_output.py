"""truncated-output: a cut answer is waste when it was thrown away, its resent prompt when it was continued."""

from __future__ import annotations

from decimal import Decimal

import pytest
from ledgers import ask, at

from costaudit.finding import Confidence

CALL = Decimal("0.015")
PROMPT = Decimal("0.01")


def call(start, **changes):
    return {"task": "report", "started_at": at(start), "ended_at": at(start + 20), "finish_reason": "stop"} | changes


CUT = {"finish_reason": "length", "block_sha": [1, 2], "block_tokens": [10, 990], "reply_sha": 3, "request_sha": 50}


@pytest.mark.parametrize(
    ("rows", "wasted"),
    [
        ([call(0, **CUT), call(30, **CUT | {"finish_reason": "stop"})], CALL),  # sent again, whole
        (
            [call(0, **CUT), call(30, block_sha=[1, 2], block_tokens=[10, 990], request_sha=51)],
            CALL,
        ),  # with a higher limit
        ([call(0, **CUT), call(30, block_sha=[1, 2, 3, 4], block_tokens=[10, 990, 100, 5])], PROMPT),  # "continue"
        ([call(0, **CUT), call(30, block_sha=[1, 2, 3], block_tokens=[10, 990, 100])], PROMPT),  # from the cut text on
        ([call(0, **CUT), call(30, block_sha=[1, 2, 3, 4], block_tokens=[10, 990, 100, 80])], 0),  # a new question
        ([call(0, **CUT), call(3_000, **CUT | {"finish_reason": "stop"})], 0),  # another day
        ([call(0, **CUT), call(30, **CUT | {"finish_reason": "stop", "tenant": "other"})], 0),
        ([call(0, **CUT)], 0),  # accepted as it was
        ([call(0, **CUT, schema_ok=False)], CALL),
        ([call(0, **CUT, schema_ok=False, max_tokens=1)], 0),  # a label
        ([call(0, **CUT, reasoning_tokens=100)], CALL),  # nothing but hidden reasoning
        ([call(0, **CUT, run_id="a", step=1, success=False)], CALL),
        ([call(0, **CUT, run_id="a", step=1, success=True)], 0),
        ([call(0, **CUT, run_id="a", step=1, success=False), call(30, run_id="a", step=2, success=False)], 0),
        ([call(0, **CUT, status="error", input_tokens=None, output_tokens=None, schema_ok=False)], 0),
    ],
)
def test_what_a_cut_answer_cost(rows, wasted):
    said = ask("truncated-output", [call(-10_000), *rows])
    assert sum((f.owned_usd for f in said.findings), Decimal(0)) == wasted


def test_a_second_cut_in_a_row_is_continued_once_each():
    rows = [
        call(0, **CUT),
        call(30, finish_reason="length", block_sha=[1, 2, 3], block_tokens=[10, 990, 100], reply_sha=4),
        call(60, block_sha=[1, 2, 3, 4], block_tokens=[10, 990, 100, 100]),
    ]
    (finding,) = ask("truncated-output", rows).findings
    assert finding.owned_usd == 2 * PROMPT
    assert finding.evidence["waste_usd"].to_list() == [PROMPT, PROMPT]


def test_the_limit_advised_is_a_bound_of_the_answers_that_ended():
    ended = [call(1_000 + 30 * nth, output_tokens=100 + nth) for nth in range(60)]
    (finding,) = ask("truncated-output", [call(0, **CUT, schema_ok=False), *ended]).findings
    assert finding.remedy.startswith("set max_tokens to 159:")  # the largest of 60: a 95 % quantile, with confidence
    assert finding.confidence is Confidence.MEDIUM
    assert finding.because[0] == "1 does not parse"


def test_a_cut_answer_sent_again_is_neither_a_retry_nor_a_duplicate():
    rows = [
        call(0, **CUT, temperature=0.0, schema_ok=False),
        call(30, **CUT | {"finish_reason": "stop"}, temperature=0.0),
    ]
    for rule in ("retry-waste", "duplicate-requests"):
        assert ask(rule, rows).findings == ()


def test_it_says_what_it_lacks():
    assert [n.why for n in ask("truncated-output", [{}]).not_checked] == ["no finish reasons"]
    (blind,) = ask("truncated-output", [call(0, finish_reason="length")]).not_checked
    assert blind.why == "answers are cut, and no prompts, replies or outcomes say whether they were bought again"
    assert ask("truncated-output", [call(0, **CUT)]).clean == ("truncated-output",)
