"""What a remedy is called where it is set: the parameter of the interface that served the calls."""

from __future__ import annotations

import polars as pl
import pytest
from audits import AUDIT, SPEND, finding
from console import ROOT
from msgspec.structs import replace

from costaudit.analyze import _resends, cache_miss
from costaudit.config import Settings
from costaudit.pipeline import audit
from costaudit.report._dials import dials


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
    found = finding(
        rule="cache-miss", subject={"task": "t", "model": model}, remedy="mark the prefix: write all for 1h"
    )
    told = dials(found, served((model, provider), ("o3", "openai")))
    assert len(told) == (said is not None)
    assert all(one.startswith(said) for one in told)


def test_a_finding_that_names_no_model_is_told_for_each_interface_of_the_log():
    found = finding(rule="batchable", subject={"task": "digest"}, remedy="send digest through the batch interface")
    models = [("gpt-5.4", "openai"), ("claude-opus-5", "anthropic"), ("o3", "openai"), ("in-house-7b", "")]
    assert dials(found, served(*models)) == (
        "OpenAI: `POST /v1/batches` with a file of requests",
        "Anthropic: `POST /v1/messages/batches`",
    )


def test_every_remedy_of_the_cache_but_moving_text_has_a_setting():
    with_name = {
        cause: bool(dials(finding(rule="cache-miss", subject={"model": "claude-opus-5"}, remedy=remedy), AUDIT))
        for cause, remedy in cache_miss.REMEDY.items()
    }
    assert with_name == {cause: cause != cache_miss.UNSTABLE for cause in cache_miss.REMEDY}


@pytest.mark.parametrize("cause", [_resends.FAILURE, _resends.TIMEOUT, _resends.REFUSED])
def test_a_refused_answer_asks_for_a_schema_and_any_other_resend_for_fewer(cause):
    found = finding(rule="retry-waste", subject={"task": "t", "cause": cause})
    (said,) = dials(found, served(("gpt-5.4", "openai")))
    assert ("json_schema" if cause == _resends.REFUSED else "max_retries") in said


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
    found = finding(rule="overpowered-model", subject={"from": "gpt-5", "to": "{life}"}, remedy="route t to {life}")
    assert dials(found, AUDIT)[0].startswith('`"model": "{life}"`')
