"""A thousand planted calls in five formats: right causes, right dollars, silence elsewhere; nothing statistical."""

from __future__ import annotations

from functools import cache

import pytest

from bench import columns, plant, scoring
from bench.problems._scene import Scene

SEED = 13
PROBLEMS = ("requests", "overlaps")
CASES = [
    ("openai", "openai_chat"),
    ("openai", "otlp"),
    ("anthropic", "anthropic_messages"),
    ("anthropic", "litellm"),
    ("anthropic", "generic_jsonl"),
]


@cache
def scene(vendor: str) -> Scene:
    return plant.scene(SEED, PROBLEMS, vendor)


@cache
def compared(vendor: str, name: str) -> dict[str, object]:
    return scoring.compare(scene(vendor), name, dict(plant.FORMATS[vendor])[name])


def test_the_same_seed_gives_the_same_calls_and_the_same_truth():
    again = plant.scene(SEED, PROBLEMS, "openai")
    assert (again.made, again.plants) == (scene("openai").made, scene("openai").plants)


@pytest.mark.parametrize(("vendor", "name"), CASES)
def test_the_total_is_right_to_the_cent_and_the_ledger_stays_under_it(vendor, name):
    found = compared(vendor, name)
    assert (found["total_right"], found["in_range"], found["ledger_ok"]) == (True, True, True)


@pytest.mark.parametrize(("vendor", "name"), CASES)
def test_what_was_planted_has_its_cause_and_its_dollars(vendor, name):
    found = compared(vendor, name)
    wrong = [
        f"{p['rule']} ({p['variant']}, {p['strength']}): shown {p['shown']}, off by {p.get('error')}"
        for p in found["plants"]
        if p["shown"] != (p["strength"] != "0.5x") or not p.get("dollars_right", True)
    ]
    assert (wrong, found["confused"]) == ([], [])


@pytest.mark.parametrize(("vendor", "name"), CASES)
def test_clean_calls_and_controls_are_left_alone(vendor, name):
    assert compared(vendor, name)["false"] == []


def test_every_format_says_the_same():
    seen = {
        name: sorted((p["rule"], p["variant"], p["shown"]) for p in compared("anthropic", name)["plants"])
        for vendor, name in CASES
        if vendor == "anthropic"
    }
    assert len({tuple(rows) for rows in seen.values()}) == 1


@pytest.mark.parametrize("column", ["ended_at", "cache_read_tokens", "status"])
def test_a_rule_that_lacks_a_column_invents_nothing(column):
    said = columns.wrong(SEED, "overlaps", "anthropic", column)
    assert (said["invented"], said["out of range"]) == ([], False)
