"""overpowered-model: what a log of two models on one task can prove, and what it must never claim."""

from __future__ import annotations

import math
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from costaudit.finding import Grade
from tests.ledgers import ask
from tests.rivals import RULE, Row, call, only, pairs, said


def test_equal_answers_to_the_same_requests_prove_the_cheaper_model():
    finding = only(pairs(600, worse=5, better=5))
    assert finding.grade is Grade.PROVEN
    assert finding.subject == {"task": "triage", "from": "big", "to": "small"}
    # big: 600 calls × (1,000 × 10 + 300 × 50)/1e6 = $15.00; small answers the same for a tenth.
    assert finding.owned_usd == 15 - 15 / 10
    assert finding.low_usd == finding.owned_usd == finding.high_usd  # token ratios are measured, and exactly 1
    assert finding.evidence["waste_usd"].sum() == finding.owned_usd
    assert finding.lever == ("model", "small")


def test_the_same_pairs_with_a_worse_small_model_claim_nothing():
    finding = only(pairs(600, worse=60))
    assert finding.grade is Grade.NO_EVIDENCE
    assert finding.owned_usd == 0
    assert "keep big" in finding.remedy
    assert finding.lever is None
    assert finding.details["disagreeing"].height == 20


def test_under_thirty_units_it_says_too_few():
    finding = only(pairs(29, worse=1))
    assert finding.grade is Grade.NO_EVIDENCE
    assert "too few" in finding.because[0]


def test_the_form_of_the_answer_alone_never_proves():
    rows = pairs(600, worse=1, better=1)
    rows = [row | {"success": None, "schema_ok": row["success"]} for row in rows]
    assert only(rows).grade is Grade.SUPPORTED


def test_several_runs_of_a_case_count_once():
    rows = [row | {"instance_id": f"case {row.pop('request_sha') % 20}"} for row in pairs(600)]
    rows[0]["success"] = False  # scores vary, or they would look broken
    assert "too few" in only(rows).because[0]


def test_a_growing_log_looked_at_every_month_needs_more_than_one_looked_at_once():
    rows = pairs(600, worse=10, better=10)
    assert only(rows).grade is Grade.PROVEN
    assert only(rows, repeated=True).grade is Grade.NO_EVIDENCE


def test_one_comparison_of_many_must_survive_the_others():
    finding = only(pairs(600, worse=5, better=5), q=1e-9)
    assert finding.grade is Grade.EXPERIMENT
    assert finding.owned_usd == 0
    assert any("one of 1 comparisons" in why for why in finding.because)


# --- tenants, and many models --------------------------------------------------------------------------------------


def of_tenant(tenant: str, n: int, first: int, **hits: int) -> list[Row]:
    """Pairs of one tenant whose requests are its own."""
    return [row | {"tenant": tenant, "request_sha": row["request_sha"] + first} for row in pairs(n, **hits)]


def test_a_tenant_for_whom_the_cheaper_model_is_worse_is_left_out():
    finding = only(of_tenant("acme", 3_000, 0, worse=10, better=10) + of_tenant("globex", 200, 5_000, worse=30))
    assert finding.grade is Grade.PROVEN
    assert finding.subject == {"task": "triage", "from": "big", "to": "small"}
    assert any("left out, for it is worse there: globex" in why for why in finding.because)
    assert finding.owned_usd == Decimal("0.0225") * 3_000  # $0.025 a call, a tenth of it on the small model


def test_a_tenant_with_enough_of_its_own_is_advised_where_the_task_as_a_whole_is_not():
    found = said(of_tenant("acme", 600, 0, worse=5, better=5) + of_tenant("globex", 600, 5_000, worse=90))
    assert [(f.subject.get("tenant"), f.grade, f.owned_usd > 0) for f in found] == [
        ("acme", Grade.PROVEN, True),
        (None, Grade.NO_EVIDENCE, False),
    ]
    assert found[0].title.startswith("triage of acme: big is overpowered")


def test_a_tenant_with_few_units_says_nothing_of_its_own():
    found = said(of_tenant("acme", 25, 0) + of_tenant("globex", 600, 5_000, worse=90))
    assert [f.subject.get("tenant") for f in found] == [None]


def matrix(skill: dict[str, tuple[float, int]], n: int = 500) -> list[Row]:
    """Every model answers every request; a model of skill s is right on the easiest share s of them.

    skill  model -> share right, output tokens: what it costs
    """
    return [
        call(nth, model, nth < share * n, request_sha=nth + 1, output_tokens=tokens)
        for nth in range(n)
        for model, (share, tokens) in skill.items()
    ]


def test_the_cheapest_of_many_models_that_does_the_job_is_named_though_it_spends_least():
    skill = {"big": (0.9, 4_000), "auto": (0.6, 10), "small": (0.9, 300)}
    found = {f.subject["from"]: f for f in said(matrix(skill))}
    assert (found["big"].subject["to"], found["big"].grade) == ("small", Grade.PROVEN)
    assert found["auto"].owned_usd == 0 or found["auto"].subject["to"] == "small"


# --- evidence short of proof --------------------------------------------------------------------------------------


def balanced(n: int, key: bool = True) -> list[Row]:
    """Models split by key, equal work, equal quality."""
    random = Random(9)
    rows = []
    for nth in range(n):
        model = random.choice(["big", "small"])
        columns = {"key_id": f"key {nth % 3} of {model}"} if key else {}
        rows.append(call(nth, model, random.random() < 0.95, input_tokens=random.randrange(900, 1_100), **columns))
    return rows


def test_a_visible_reason_supports_and_names_what_would_overturn_it():
    finding = only(balanced(3_000))
    assert finding.grade is Grade.SUPPORTED
    assert "split by key" in finding.because[1]
    assert "overturn" in finding.because[2]


def test_the_same_overlap_without_a_reason_stays_an_experiment():
    finding = only(balanced(3_000, key=False))
    assert finding.grade is Grade.EXPERIMENT
    assert finding.owned_usd == 0


def test_another_tokenizer_does_not_refute_a_declared_random_assignment():
    """The same texts are 20 % more tokens for the small model."""
    rows = [row | {"input_tokens": row["input_tokens"] * 12 // 10} if row["model"] == "small" else row
            for row in balanced(3_000, key=False)]  # fmt: skip
    finding = only(rows, randomised=("triage",))
    assert finding.grade is Grade.PROVEN
    assert finding.evidence["r_in"].item() == pytest.approx(1.2, abs=0.01)
    assert only(rows).grade is Grade.NO_EVIDENCE  # who is not told that it was random cannot tell work from tokens


def test_work_chosen_by_its_length_is_no_other_tokenizer_where_both_models_got_the_same_instructions():
    """Short questions go to the small model; both count the 400 tokens of instructions alike, or 1.2 times as many."""
    random = Random(4)
    for factor, by_length, grade in ((1.0, True, Grade.NO_EVIDENCE), (1.2, False, Grade.PROVEN)):
        rows = []
        for nth in range(3_000):
            size = random.gauss(0, 0.2)
            big = size + random.gauss(0, 0.2) > 0 if by_length else random.random() < 0.5
            counted = 1.0 if big else factor
            tokens = round((400 + 800 * math.exp(size)) * counted)
            front = round(400 * counted)
            blocks = {"block_sha": [1, nth + 2], "block_tokens": [front, tokens - front]}
            good = random.random() < 0.97
            rows.append(call(nth, "big" if big else "small", good, input_tokens=tokens, **blocks))
        assert only(rows, randomised=("triage",)).grade is grade


def test_the_same_overlap_declared_random_is_proven():
    assert only(balanced(3_000, key=False), randomised=("triage",)).grade is Grade.PROVEN


def switch(control: bool, other_prompt: bool = False) -> list[Row]:
    rows = []
    for nth in range(2_000):
        model = "big" if nth < 1_000 else "small"
        template = {"template_sha": 7 if model == "big" or not other_prompt else 8}
        rows.append(call(nth, model, nth % 20 > 0, **template))
        if control:
            rows.append(call(nth, "auto", nth % 10 > 0, task="summary"))
    return rows


def test_a_switch_with_a_control_supports():
    (finding,) = said(switch(control=True), delta_s3=0.05)
    assert finding.grade is Grade.SUPPORTED
    assert "model changed on" in finding.because[1]


def test_work_that_changes_with_the_model_makes_a_switch_no_comparison():
    rows = [row | {"input_tokens": 500} if row["model"] == "small" else row for row in switch(control=True)]
    (finding,) = said(rows, delta_s3=0.05)
    assert (finding.grade, finding.owned_usd) == (Grade.EXPERIMENT, 0)
    assert "so did the work" in finding.because[0]


def test_a_task_that_always_succeeds_is_no_control_of_a_switch():
    rows = [row | {"success": True} if row["task"] == "summary" else row for row in switch(control=True)]
    (finding,) = (f for f in said(rows, delta_s3=0.05) if f.subject["task"] == "triage")
    assert finding.grade is Grade.EXPERIMENT
    assert "no other task shows what else changed" in finding.because[0]


def test_a_switch_alone_stays_an_experiment():
    assert only(switch(control=False)).grade is Grade.EXPERIMENT


def test_a_switch_together_with_a_new_prompt_says_nothing():
    (finding,) = said(switch(control=True, other_prompt=True))
    assert finding.grade is Grade.NO_EVIDENCE
    assert "prompt" in finding.because[0]


def classification(n: int = 400, **columns: Any) -> list[Row]:
    short = {"output_tokens": 3, "success": None, "temperature": 0.0, "finish_reason": "stop", "input_tokens": 900}
    rows = [call(nth, "big", **(short | columns)) for nth in range(n)]
    return [*rows, call(n, "small", task="other", success=None)]


def test_short_answers_of_a_dear_model_are_worth_an_experiment():
    finding = only(classification())
    assert finding.grade is Grade.EXPERIMENT
    assert finding.subject["to"] == "small"
    assert 0 < finding.low_usd < finding.owned_usd < finding.high_usd
    # disagreement 0.1, margin 2 points: 0.1 × (2.487/0.02)² = 1,547 pairs
    assert "1,547" in finding.remedy


@pytest.mark.parametrize(
    "columns",
    [
        {"output_tokens": 400},
        {"input_tokens": 9_000},
        {"temperature": 0.8},
        {"reasoning_tokens": 900, "output_tokens": 903},
        {"run_id": "one agent"},
    ],
    ids=["long answers", "large prompts", "sampling", "much reasoning", "many steps"],
)
def test_work_of_another_shape_is_no_experiment(columns):
    assert said(classification(**columns)) == []


def test_without_a_second_model_or_an_outcome_it_cannot_look():
    answer = ask(RULE, [call(nth, "big", None) for nth in range(100)])
    (why,) = (n.why for n in answer.not_checked)
    assert "NO EVIDENCE" in why
    assert not answer.findings


def test_shuffling_the_log_changes_nothing():
    rows = balanced(2_000)
    for nth, row in enumerate(rows):
        row["request_id"], row["source_line"] = f"id {nth}", nth
    shuffled = rows.copy()
    Random(0).shuffle(shuffled)
    assert [repr(f) for f in said(rows)] == [repr(f) for f in said(shuffled)]
