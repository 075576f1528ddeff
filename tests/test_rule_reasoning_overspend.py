"""reasoning-overspend: two efforts compared like two models, one effort only by its shape."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

import pytest

from costaudit.finding import Finding, Grade
from tests.ledgers import ask, at

RULE = "reasoning-overspend"

Row = dict[str, Any]


def call(nth: int, effort: str | None, hidden: int, visible: int = 200, **columns: Any) -> Row:
    usual = {
        "task": "triage",
        "started_at": at(600 * nth),
        "reasoning_effort": effort,
        "reasoning_tokens": hidden,
        "output_tokens": hidden + visible,
        "success": nth % 50 > 0,
        "finish_reason": "stop",
    }
    return usual | columns


def said(rows: list[Row], **options: Any) -> list[Finding]:
    return list(ask(RULE, rows, **options).findings)


def efforts(n: int = 400, worse: int = 0) -> list[Row]:
    """The same requests at two efforts; low fails on `worse` of them where high does not."""
    rows = []
    for nth in range(n):
        rows.append(call(nth, "high", 3_000, request_sha=nth + 1))
        rows.append(call(nth, "low", 500, request_sha=nth + 1, success=nth % 50 > 0 and nth >= worse + 1))
    return rows


def test_a_lower_effort_that_does_as_well_is_proven_with_the_tokens_it_saves():
    (finding,) = said(efforts())
    assert finding.grade is Grade.PROVEN
    # 400 calls × 2,500 reasoning tokens × 50/1e6
    assert finding.owned_usd == 400 * 2_500 * Decimal("0.00005") == finding.evidence["waste_usd"].sum()
    assert finding.low_usd == finding.owned_usd  # the lower effort always takes 500
    assert "effort of triage to low" in finding.remedy
    assert finding.lever == ("effort", "low")


def test_a_lower_effort_that_fails_more_often_claims_nothing():
    assert said(efforts(worse=60)) == []


def test_effort_chosen_by_difficulty_claims_nothing():
    random = Random(1)
    rows = []
    for nth in range(800):
        hard = random.random() < 0.5
        effort = "high" if hard else "low"
        good = random.random() < (0.7 if hard else 0.98)
        rows.append(call(nth, effort, 3_000 if hard else 500, success=good))
    assert said(rows) == []


def test_one_word_after_long_reasoning_is_worth_an_experiment():
    (finding,) = said([call(nth, "high", 900, visible=3, success=None) for nth in range(100)])
    assert finding.grade is Grade.EXPERIMENT
    assert finding.low_usd == 0
    assert finding.low_usd < finding.owned_usd < finding.high_usd
    assert finding.high_usd == 100 * (900 - 30) * Decimal("0.00005")  # down to 10 × 3 tokens


@pytest.mark.parametrize(
    "rows",
    [
        [call(nth, "high", 9_000, visible=800, success=True) for nth in range(100)],
        [call(nth, None, 20, visible=3) for nth in range(100)],
        [call(nth, "high", 900, visible=3, input_tokens=20_000) for nth in range(100)],
    ],
    ids=["hard work without a second effort", "little reasoning", "large prompts"],
)
def test_it_is_silent_on(rows):
    assert said(rows) == []


def test_reasoning_that_is_not_reported_cannot_be_checked():
    rows = [call(nth, "high", 0, reasoning_tokens=None) for nth in range(50)]
    (why,) = (n.why for n in ask(RULE, rows).not_checked)
    assert "not reported" in why
