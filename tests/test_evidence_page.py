"""The page about evidence: its arithmetic holds, and every column of a rule's evidence is explained there."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from functools import cache

import pytest
from console import ROOT
from msgspec.structs import replace

from costaudit.config import Settings
from costaudit.pipeline import audit
from costaudit.report import View, renderer
from costaudit.report.json import stake, total

PAGE = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")
ROWS = {
    rule: row
    for row in PAGE.splitlines()
    for rule in re.findall(r"`([\w-]+)`", row.split("|")[1] if row[:1] == "|" else "")
}
SAMPLES = sorted(path.stem for path in (ROOT / "sample_logs" / "analyzers").glob("*.jsonl"))
RULES = ("cost-regression", "duplicate-requests", "overpowered-model")
SUMMED = {"waste_usd", "source"}  # explained above the table


@cache
def explained(rule: str) -> set[str]:
    above = PAGE.partition("## What the columns say")[2].partition("| rule |")[0]
    return set(re.findall(r"`(\w+)`", ROWS[rule] + above)) | SUMMED


@pytest.mark.parametrize("rule", SAMPLES)
def test_every_column_of_a_rule_is_explained_and_one_of_them_adds_up(rule):
    home = ROOT / "sample_logs" / "analyzers"
    settings = home / f"{rule}.yaml"
    chosen = Settings.load(settings, start=home) if settings.is_file() else Settings()
    made = audit([str(home / f"{rule}.jsonl")], replace(chosen, select=(rule,), cache=False))
    (found, *_) = (f for f in made.findings if f.rule == rule)
    tables = {"": found.evidence, **found.details}
    assert {column for table in tables.values() for column in table.columns} - explained(rule) == set()
    assert set(found.details) - explained(rule) == set()
    column = stake(found)
    assert column is not None
    assert total(found.evidence[column]) == found.amount_usd


@cache
def demo() -> dict[str, dict]:
    made = audit([str(ROOT / "sample_logs" / "demo")], replace(Settings(), select=RULES, cache=False))
    return {f["rule"]: f for f in json.loads(renderer("json")(made, View()))["findings"]}


def test_a_day_dearer_than_before_is_its_cost_less_its_units_at_the_cost_before():
    found = demo()["cost-regression"]
    before = [day for day in found["details"]["days"] if day["segment"] == "before"]
    usual = sum(Decimal(day["cost_usd"]) for day in before) / sum(day["units"] for day in before)
    for row in found["evidence"]:
        assert abs(Decimal(row["usd_per_unit_before"]) - usual) < Decimal("1e-17")
        beyond = Decimal(row["cost_usd"]) - row["units"] * Decimal(row["usd_per_unit_before"])
        assert beyond == Decimal(row["excess_usd"])


def test_the_cheaper_model_saves_seventy_of_a_hundred_of_what_duplicates_leave():
    triage = Decimal("62.3736375") - Decimal(demo()["duplicate-requests"]["owned_usd"])
    assert triage * Decimal("0.7") == Decimal(demo()["overpowered-model"]["owned_usd"])
