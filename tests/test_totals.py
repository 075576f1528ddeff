"""Totals against a calculator of its own: plain Decimals, the raw records, the lists of the price book.

Nothing here comes from `costaudit.price`: one list price a model, four classes of tokens, a million at a time.
"""

from __future__ import annotations

import gzip
import json
from decimal import Decimal

import events
import pytest
import yaml
from console import ROOT

from bench import writers as event_logs
from costaudit import pipeline
from costaudit.config import Settings
from costaudit.errors import LogError
from costaudit.finding import Kind

DEMO = ROOT / "sample_logs" / "demo"
SAMPLES = sorted(p for p in (ROOT / "sample_logs").glob("*/*") if p.suffix != ".yaml" and p.parent != DEMO)
CENT = Decimal("0.01")


def lists():
    """Rates in USD a million by model, of the last entry of each; more than the logs here need."""
    found = {}
    for provider in ("openai", "anthropic"):
        book = yaml.safe_load((ROOT / "pricing" / f"{provider}.yaml").read_text(encoding="utf-8"))
        for model, entry in book["models"].items():
            rates = entry["prices"][-1].get("rates", {})
            found[model] = {name: Decimal(str(rate)) for name, rate in rates.items()}
    return found


LISTS = lists()
SNAPSHOTS = {"gpt-5.4-2026-03-05": "gpt-5.4"}


def usd(model, fresh, read, write_5m, write_1h, output):
    """What one call costs: uncached input, cached reads, writes by lifetime, output; 0 where no list has the model."""
    rates = LISTS.get(SNAPSHOTS.get(model, model))
    if rates is None:
        return Decimal(0)
    names = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
    counts = (fresh, read, write_5m, write_1h, output)
    return sum((rates[name] * n for name, n in zip(names, counts, strict=True) if n), Decimal(0)) / 1_000_000


def of_openai(model, usage):
    read = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return usd(model, usage["prompt_tokens"] - read, read, 0, 0, usage["completion_tokens"])


def of_anthropic(model, usage):
    written = usage.get("cache_creation_input_tokens") or 0
    hour = (usage.get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or 0
    read = usage.get("cache_read_input_tokens") or 0
    return usd(model, usage["input_tokens"], read, written - hour, hour, usage["output_tokens"])


def answers(folder):
    """(response id, model, usage) of every record of the demo that is JSON and carries usage."""
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for line in data.splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            answer = record.get("response") or {}
            answer = answer if "usage" in answer else record.get("message") or record
            usage = answer.get("usage") or (record.get("metadata") or {}).get("usage_object")
            if isinstance(usage, dict):
                yield answer["id"], answer["model"], usage


def by_hand(folder):
    """The total of the demo: each response once, its most complete copy, each at its list price."""
    best = {}
    for identity, model, usage in answers(folder):
        said = usage.get("completion_tokens", usage.get("output_tokens")) or 0
        if identity not in best or said > best[identity][0]:
            best[identity] = (said, of_openai(model, usage) if "prompt_tokens" in usage else of_anthropic(model, usage))
    return sum((cost for _, cost in best.values()), Decimal(0))


def audit(*paths, **settings):
    made = Settings(**settings)
    return pipeline.audit([str(path) for path in paths], made)


@pytest.fixture(scope="module")
def demo():
    return audit(DEMO)


def identities(found):
    """What holds for any audit (the report's schema promises it)."""
    coverage, spend = found.coverage, found.spend
    assert coverage.fates.balanced
    for table in (spend.by_task, spend.by_model, spend.by_tenant, spend.by_day):
        assert sum(table["cost_usd"].drop_nulls(), Decimal(0)) == spend.total_usd
    for finding in found.findings:
        if finding.kind in (Kind.WASTE, Kind.DECIDE):
            assert sum(finding.evidence["waste_usd"], Decimal(0)) == finding.owned_usd, finding.rule
        else:
            assert finding.owned_usd == 0, finding.rule
    owned = sum((f.owned_usd for f in found.findings), Decimal(0))
    assert owned == found.owned(Kind.WASTE) + found.owned(Kind.DECIDE) <= spend.total_usd
    assert coverage.low_usd <= spend.total_usd
    assert coverage.high_usd is None or spend.total_usd <= coverage.high_usd


def test_the_total_of_the_demo_is_what_a_calculator_says(demo):
    assert abs(demo.spend.total_usd - by_hand(DEMO)) < CENT


@pytest.mark.parametrize("vendor", event_logs.WRITERS)
def test_the_total_of_planted_calls_is_what_a_calculator_says(vendor, tmp_path):
    made = events.events(vendor)
    for name, data in event_logs.WRITERS[vendor][0](made).items():
        (tmp_path / name).write_bytes(data)
    wanted = sum(
        usd(e.model, e.input - e.cached - e.written, e.cached, e.written, 0, e.output)
        for e in made
        if e.input is not None
    )
    assert audit(tmp_path).spend.total_usd == wanted


def test_identities_hold_on_the_demo(demo):
    identities(demo)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_identities_hold_on_every_sample(path):
    try:
        found = audit(path, floor_usd=Decimal(0), floor_share=0.0)
    except LogError:  # a sample that holds no request on purpose has no totals
        pytest.skip("no request in this sample")
    identities(found)


def test_identities_hold_on_real_samples_together(shared):
    identities(audit(shared / "formats", floor_usd=Decimal(0), floor_share=0.0))
