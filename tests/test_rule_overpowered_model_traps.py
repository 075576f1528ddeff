"""Overpowered models in logs that flip the sign, or look as if: nothing is claimed of them."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest

from costaudit.finding import Grade
from tests.rivals import UNPROVEN, Row, call, only, pairs, said


def routed(seed: int, n: int = 1_200, **columns: Any) -> list[Row]:
    """Hard requests go to the big model, which is better; the small one looks better because its work is easy."""
    random = Random(seed)
    rows = []
    for nth in range(n):
        hard = random.random() < 0.5
        model = "big" if random.random() < (0.9 if hard else 0.1) else "small"
        right = random.random() < {("big", True): 0.7, ("small", True): 0.3}.get((model, hard), 0.97)
        rows.append(call(nth, model, right, input_tokens=1_000 + random.randrange(50), **columns))
    return rows


@pytest.mark.parametrize("seed", range(5))
def test_a_router_whose_reasons_the_log_does_not_show_is_never_believed(seed):
    rows = routed(seed)
    shares = {m: [r["success"] for r in rows if r["model"] == m] for m in ("big", "small")}
    assert sum(shares["small"]) / len(shares["small"]) > sum(shares["big"]) / len(shares["big"])  # the sign is flipped
    finding = only(rows)
    assert finding.grade in UNPROVEN
    assert finding.owned_usd == 0


def test_two_keys_of_which_one_has_the_easier_work_are_no_support():
    random = Random(3)
    rows = []
    for nth in range(800):
        model = "big" if random.random() < 0.5 else "small"
        right = random.random() < (
            0.75 if model == "big" else 0.95
        )  # hard work has a key of its own, and the big model
        rows.append(call(nth, model, right, key_id=f"key {nth % 2} of {model}"))
    finding = only(rows)
    assert finding.grade is Grade.EXPERIMENT
    assert finding.owned_usd == 0
    assert "the easier work may have gone to it" in finding.because[0]


def test_a_router_with_one_key_a_model_is_no_split_by_key():
    """The small model is 10 points worse; hard work goes to the big one so often that both look equal."""
    random = Random(0)
    rows = []
    for nth in range(9_000):
        hard = random.random() < 0.35
        model = "big" if random.random() < (0.7 if hard else 0.3) else "small"
        right = random.random() < {"big": (0.97, 0.72), "small": (0.95, 0.45)}[model][hard]
        rows.append(call(nth, model, right, input_tokens=random.randrange(900, 1_100), key_id=f"key of {model}"))
    finding = only(rows)
    assert (finding.grade, finding.owned_usd) == (Grade.EXPERIMENT, 0)
    assert "nothing shows who chose the model" in finding.because[0]


def test_a_router_by_length_is_seen_by_the_length():
    random = Random(1)
    rows = []
    for nth in range(800):
        tokens = round(1_000 * math.exp(random.gauss(0, 1)))
        model = "big" if tokens * math.exp(random.gauss(0, 1)) > 1_000 else "small"
        rows.append(call(nth, model, random.random() < 0.9, input_tokens=tokens))
    finding = only(rows)
    assert finding.grade is Grade.NO_EVIDENCE
    assert "log tokens" in finding.because[0]
    assert finding.details["balance"]["feature"][0] == "log_tokens"


def test_a_declared_random_assignment_is_refuted_by_work_that_differs():
    rows = [row | {"input_tokens": 4_000 if row["model"] == "big" else 1_000} for row in routed(3)]
    finding = only(rows, randomised=("triage",))
    assert finding.grade is Grade.NO_EVIDENCE


def test_escalating_what_the_small_model_could_not_do_is_no_comparison():
    """A cascade: everything to `small`, what it fails again to `big`. Pairs exist only for failures."""
    random = Random(2)
    rows = []
    for nth in range(400):
        good = random.random() < 0.6
        rows.append(call(nth, "small", good, request_sha=nth + 1))
        if not good:
            rows.append(call(nth, "big", random.random() < 0.4, request_sha=nth + 1))
    rows += [call(400 + nth, "big", True, request_sha=1_000 + nth) for nth in range(100)]
    finding = only(rows)
    assert finding.grade in UNPROVEN
    assert finding.owned_usd == 0


def test_escalation_inside_a_run_leaves_the_easy_runs_behind():
    random = Random(4)
    rows = []
    for nth in range(600):
        run = {"run_id": f"run {nth}"}
        if nth % 2:
            rows.append(call(nth, "big", random.random() < 0.9, **run))
            continue
        good = random.random() < 0.8
        rows.append(call(nth, "small", None if not good else random.random() < 0.97, **run))
        if not good:
            rows.append(call(nth, "big", random.random() < 0.9, **run))
    finding = only(rows, randomised=("triage",))
    assert finding.grade in UNPROVEN


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _row, _nth: {"success": True}, "is the same"),
        (lambda row, nth: {"success": None} if row["model"] == "small" and nth % 4 == 0 else {}, "missing"),
        (lambda row, nth: {"success": row["model"] == "big" and nth % 5 > 0, "output_sha": nth % 4}, "below guessing"),
    ],
    ids=["constant", "missing for one model", "below guessing"],
)
def test_broken_scores_compare_nothing(change, words):
    rows = [row | change(row, nth // 2) for nth, row in enumerate(pairs(400, worse=2, better=3))]
    finding = only(rows)
    assert finding.grade is Grade.NO_EVIDENCE
    assert finding.because[0].startswith("scores look broken")
    assert words in finding.because[0]


def test_a_score_that_is_the_length_of_the_answer_compares_nothing():
    rows = [row | {"success": None, "output_tokens": size, "score": min(1.0, size / 900)}
            for nth, row in enumerate(pairs(200)) for size in [200 + nth * 37 % 500]]  # fmt: skip
    assert "follows the length of the answer" in only(rows).because[0]


@pytest.mark.parametrize("declared", [(), ("triage",)], ids=["paired", "random"])
def test_a_model_that_crashes_unscored_in_4_cases_of_100_is_not_as_good(declared):
    """Four points of missing scores pass the guard of five, and hide twice the two points that are allowed."""
    rows = [row | {"success": None} if row["model"] == "small" and nth // 2 % 25 == 0 else row
            for nth, row in enumerate(pairs(2_000, worse=5, better=5))]  # fmt: skip
    if declared:
        rows = [row | {"request_sha": None} for nth, row in enumerate(rows) if Random(nth).random() < 0.5]
    finding = only(rows, randomised=declared)
    assert (finding.grade, finding.owned_usd) == (Grade.NO_EVIDENCE, 0)
    assert "worse than allowed" in finding.because[-2]


def test_scores_of_a_sample_are_enough():
    rows = [row | {"success": None} if Random(nth).random() < 0.7 else row
            for nth, row in enumerate(pairs(4_000, worse=20, better=20))]  # fmt: skip
    assert only(rows).grade is Grade.PROVEN


def test_a_mean_that_contradicts_the_stated_one_is_broken():
    assert "stated" in only(pairs(400, worse=2, better=3), stated={"triage": 0.6}).because[0]


def test_one_model_far_from_all_others_is_broken():
    rows = []
    for model, good in (("big", 0.90), ("small", 0.92), ("auto", 0.91), ("gift", 0.10), ("big-2", 0.89)):
        rows += [call(nth, model, nth < 200 * good, provider="acme", request_sha=nth + 1) for nth in range(200)]
    assert all("far from all other models" in f.because[0] for f in said(rows))
