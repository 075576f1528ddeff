"""What a remedy is called where it is set: the parameter of the interface that served the calls."""

from __future__ import annotations

import re
from typing import get_args

import polars as pl
import pytest
from audits import AUDIT, SPEND, finding
from console import ROOT
from msgspec.structs import replace

from costaudit.analyze import analyzers
from costaudit.config import Settings
from costaudit.finding import Lever, LeverName
from costaudit.pipeline import audit
from costaudit.report import json
from costaudit.report._dials import BY_LEVER, FAMILIES, dials

# What the remedies of each rule's sample set, lever and value; a rule that is not here has no lever.
SET = {
    "batchable": ("batch", ""),
    "cache-miss": ("cache", "5m"),
    "context-bloat": None,  # a result sent twice is left out by the application
    "dearer-sibling": ("standard", ""),
    "duplicate-requests": ("reuse", ""),
    "missing-ceiling": ("step-limit", "4"),
    "overpowered-model": None,  # an experiment comes first
    "reasoning-overspend": ("effort", ""),
    "retry-waste": ("retries", ""),
    "runaway-loop": ("run-limit", ""),
    "tenant-concentration": ("budget", ""),
    "tenant-under-water": ("budget", ""),
    "truncated-output": ("output-limit", "2400"),
    "unmetered-usage": ("usage", ""),
}


def served(*pairs: tuple[str, str]):
    """An audit whose calls were served so: model, provider."""
    models = pl.DataFrame(pairs, schema=["model", "provider"], orient="row")
    return replace(AUDIT, spend=replace(SPEND, by_model=models))


@pytest.mark.parametrize(
    ("model", "provider", "said"),
    [
        ("claude-opus-5-5", "anthropic", 'Anthropic: `"cache_control": {"type": "ephemeral", "ttl": "1h"}`'),
        ("us.anthropic.claude-opus-5-5", "aws.bedrock", 'Bedrock Converse: `{"cachePoint": {"type": "default"'),
        ("gpt-5.4", "azure", "OpenAI: from 1,024 tokens on it caches by itself"),
        ("gemini-3-pro", "", "Gemini: from 2.5 on it caches by itself"),
        ("in-house-7b", "vllm", None),
    ],
)
def test_a_setting_has_the_name_of_the_interface_that_served_the_model(model, provider, said):
    found = finding(subject={"task": "t", "model": model}, lever=Lever("cache", "1h"))
    told = dials(found, served((model, provider), ("o3", "openai")))
    assert len(told) == (said is not None)
    assert all(one.startswith(said) for one in told)


def test_a_finding_that_names_no_model_is_told_for_each_interface_of_the_log():
    found = finding(subject={"task": "digest"}, lever=Lever("batch"))
    models = [("gpt-5.4", "openai"), ("claude-opus-5", "anthropic"), ("o3", "openai"), ("in-house-7b", "")]
    assert dials(found, served(*models)) == (
        "OpenAI: `POST /v1/batches` with a file of requests",
        "Anthropic: `POST /v1/messages/batches`",
    )


def test_a_lifetime_that_the_remedy_leaves_open_is_the_shortest():
    (said,) = dials(finding(subject={"model": "claude-opus-5"}, lever=Lever("cache")), AUDIT)
    assert '"ttl": "5m"' in said


def test_a_remedy_without_a_lever_has_no_setting():
    assert dials(finding(rule="cache-miss", remedy="mark the prefix for caching: write everything for 1h"), AUDIT) == ()


def test_every_lever_has_words_for_each_interface_or_none_on_purpose():
    assert set(BY_LEVER) == set(get_args(LeverName)) == {lever for rule in analyzers() for lever in rule.levers}
    for said in BY_LEVER.values():
        for one in said:
            assert isinstance(one, str) or (set(one) == set(FAMILIES) and any(one.values())), one


def test_the_page_on_json_names_every_lever():
    (row,) = (line for line in (ROOT / "docs/json.md").read_text("utf-8").splitlines() if "findings[].lever" in line)
    assert set(re.findall(r"`([a-z-]+)`", row)) - {"name", "value", "null"} == set(get_args(LeverName))


def test_json_has_the_lever_beside_what_it_is_called():
    of = json.finding(finding(lever=Lever("cache", "1h")), ["said"])
    assert (of["lever"], of["settings"]) == ({"name": "cache", "value": "1h"}, ["said"])
    assert json.finding(finding(lever=Lever("batch")), [])["lever"] == {"name": "batch", "value": None}
    assert json.finding(finding(), [])["lever"] is None


@pytest.mark.parametrize("rule", analyzers(), ids=lambda rule: rule.name)
def test_what_the_remedy_of_a_rule_sets_is_on_its_page(rule):
    sample = ROOT / f"sample_logs/analyzers/{rule.name}"
    with_settings = sample.with_suffix(".yaml")
    settings = Settings.load(with_settings, start=ROOT) if with_settings.exists() else Settings()
    made = audit([f"{sample}.jsonl"], replace(settings, select=(rule.name,), cache=False))
    assert {one.lever for one in made.findings} == {SET.get(rule.name)}
    assert {one.lever.name for one in made.findings if one.lever} <= set(rule.levers)
    assert bool(rule.levers) == (rule.name in SET)


@pytest.mark.parametrize(
    ("rule", "part"),
    [
        ("batchable", "/batches"),
        ("missing-ceiling", "max_turns=4"),
        ("reasoning-overspend", "`reasoning_effort`"),
        ("truncated-output", "`max_"),
        ("dearer-sibling", '"service_tier": "default"'),
        ("runaway-loop", "max_turns"),
        ("unmetered-usage", None),
        ("failed-calls", None),
    ],
)
def test_the_sample_of_a_rule_is_told_what_to_set(rule, part):
    settings = replace(Settings(), select=(rule,), cache=False)
    made = audit([str(ROOT / f"sample_logs/analyzers/{rule}.jsonl")], settings)
    told = " ".join(dials(made.findings[0], made))
    assert (part or "") in told
    assert bool(told) == (part is not None)


def test_what_a_log_says_is_not_read_as_a_pattern():
    found = finding(subject={"from": "gpt-5", "to": "{value}"}, lever=Lever("model", "{value}"))
    assert dials(found, AUDIT)[0].startswith('`"model": "{value}"`')
