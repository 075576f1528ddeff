"""Overpowered models in real evaluations: what a router hides is not believed, and what is dominated is named."""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path
from random import Random

import polars as pl
import pytest
import yaml

from costaudit.analyze._compare_models import unpaired
from costaudit.analyze.overpowered_model import OverpoweredModel
from costaudit.finding import Grade
from costaudit.schema import USD
from tests.ledgers import calls, ledger
from tests.rivals import UNPROVEN, Row, call, only


def gsm8k(shared: Path) -> list[tuple[bool, bool, int, int, int]]:
    """Right: weak, strong; length of question, weak answer, strong answer [characters]."""
    with (shared / "datasets" / "routellm_gsm8k" / "gsm8k_responses.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [(w == "True", s == "True", len(q), len(weak), len(strong)) for q, w, s, weak, strong in rows]


def gsm8k_calls(questions: list[tuple[bool, bool, int, int, int]], models: list[str]) -> list[Row]:
    rows = []
    for nth, (weak, strong, size, weak_size, strong_size) in enumerate(questions):
        for model in models[nth].split("+"):
            right, length = (weak, weak_size) if model == "small" else (strong, strong_size)
            tokens = {"input_tokens": size // 4 + 1, "output_tokens": length // 4 + 1}
            rows.append(call(nth, model, right, request_sha=nth + 1, **tokens))
    return rows


def test_gsm8k_answered_by_both_models_does_not_pass_at_any_margin_under_24_points(shared):
    questions = gsm8k(shared)
    rows = gsm8k_calls(questions, ["small+big"] * len(questions))
    finding = only(rows)
    row = finding.evidence.row(0, named=True)
    assert (row["units_from"], row["units_to"]) == (1_319, 1_319)
    assert row["difference"] == pytest.approx(-0.218, abs=5e-4)
    assert row["lower_bound"] == pytest.approx(-0.244, abs=5e-4)
    assert finding.grade is Grade.NO_EVIDENCE
    assert only(rows, delta_s3=0.24).grade is Grade.NO_EVIDENCE
    assert only(rows, delta_s3=0.25).grade is Grade.PROVEN
    assert only(rows, delta_s3=0.25).evidence["r_out"].item() == pytest.approx(301 / 419, abs=0.01)  # 28 % shorter


@pytest.mark.parametrize(("share", "naive"), [(0.8, 0.047), (0.9, 0.124)])
def test_gsm8k_sent_by_a_router_flips_the_sign_and_is_not_believed(shared, share, naive):
    questions = gsm8k(shared)
    gaps = []
    for seed in range(12):
        random = Random(seed)
        strong = [random.random() < (1 - share if weak else share) for weak, *_ in questions]
        right = [[q[s] for q, s in zip(questions, strong, strict=True) if s == to] for to in (False, True)]
        gaps.append(sum(right[0]) / len(right[0]) - sum(right[1]) / len(right[1]))
        if seed >= 2:
            continue  # the average needs many seeds, the rule's silence two
        finding = only(gsm8k_calls(questions, ["big" if s else "small" for s in strong]))
        assert finding.grade in UNPROVEN
        assert finding.owned_usd == 0
        if seed == 0:
            balance = finding.details["balance"].filter(pl.col("feature") == "log_tokens")["smd"].item()
            assert 0.1 < balance < 0.4
    assert sum(gaps) / len(gaps) == pytest.approx(naive, abs=0.01)


def test_gsm8k_assigned_at_random_and_declared_covers_the_truth(shared):
    questions = gsm8k(shared)
    covered = 0
    for seed in range(40):
        random = Random(seed)
        arms = [[], []]
        for weak, strong, *_ in questions:
            cheap = random.random() < 0.5
            arms[cheap].append(float(weak if cheap else strong))
        found = unpaired(arms[1], arms[0], binary=True, design="random").at(1.96)
        covered += found.low <= -0.218 <= found.high
    assert covered >= 36  # 95 % of 40 is 38; under 36 has a probability of 1 %
    random = Random(0)
    rows = gsm8k_calls(questions, [random.choice(["big", "small"]) for _ in questions])
    finding = only(rows, randomised=("triage",))
    assert finding.evidence["design"].item() == "random"
    assert finding.grade is Grade.NO_EVIDENCE


AIDER = {
    "DeepSeek-V3.2-Exp (Reasoner)",
    "gpt-5 (low)",
    "gpt-5 (high)",
    "o3-pro (high)",
    "o1-2024-12-17 (high)",
    "Gemini 2.5 Pro Preview 03-25",  # total_cost 0: not known
}


def aider(shared: Path) -> pl.DataFrame:
    """One call a case and model, with the case's share of the stated cost; the order of cases is not known."""
    file = shared / "datasets" / "aider_leaderboards" / "polyglot_leaderboard.yml"
    rows, usd = [], {}
    for entry in yaml.safe_load(file.read_text(encoding="utf-8")):
        if entry["model"] in AIDER:
            total = Decimal(str(entry["total_cost"]))
            usd[entry["model"]] = (total / entry["test_cases"]).quantize(Decimal("1e-12")) if total else None
            rows += [call(nth, entry["model"], nth < entry["pass_num_2"]) for nth in range(entry["test_cases"])]
    prices = pl.DataFrame({"model": list(usd), "cost_usd": pl.Series(list(usd.values()), dtype=USD)})
    return calls(rows).drop("cost_usd").join(prices, on="model", how="left", maintain_order="left")


def test_aider_models_that_are_dearer_and_no_better_are_dominated_and_unknown_costs_left_out(shared):
    # Asked without the ledger: no book prices these models, so no change could be priced.
    findings = list(OverpoweredModel(randomised=("triage",)).look(ledger(aider(shared))))
    dominated = {
        (model, by)
        for f in findings
        if "dominated" in f.details
        for model, by in f.details["dominated"].select("model", "by").iter_rows()
    }
    o1 = "o1-2024-12-17 (high)"  # solves 61.7 % for $186; three others solve 74 % and more for under $30
    assert dominated == {
        (o1, "DeepSeek-V3.2-Exp (Reasoner)"),
        (o1, "gpt-5 (low)"),
        (o1, "gpt-5 (high)"),
        (o1, "o3-pro (high)"),
    }
    assert not any("Gemini" in str(f.subject) for f in findings)
    paid = {f.subject["from"]: f.evidence["usd_per_success_from"].item() for f in findings}
    assert float(paid[o1]) == pytest.approx(186.4958 / 139, abs=1e-6)
    assert float(paid["gpt-5 (high)"]) == pytest.approx(29.0829 / 198, abs=1e-6)
