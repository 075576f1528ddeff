"""dearer-sibling: identical weights at another price, and the traps around it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from costaudit.analyze import analyze
from costaudit.config import Settings
from costaudit.finding import Finding, Grade
from costaudit.price.book import PriceBook
from costaudit.price.engine import price
from costaudit.price.ledger import Ledger
from costaudit.price.overrides import Override
from costaudit.schema import CALLS, conform
from tests.priced import call, calls

RULE = "dearer-sibling"
NAMES = "as_of: 2026-11-01\nproviders:\n  acme: []\n  resale: []\n"
ACME = """
provider: acme
sources: {page: {title: Acme, read_on: 2026-11-01}}
models:
  oak:
    facts: {same_as: oak, context: 100000}
    prices:
    - source: page
      rates: {input: 10, cache_read: 1, cache_write_5m: 12.5, output: 40}
      tiers: {priority: {rates: {input: 20, output: 80}}, flex: {rates: {input: 5, output: 20}}}
  oak-2026-01-01:
    facts: {same_as: oak}
    prices: [{source: page, rates: {input: 8, cache_read: 0.8, cache_write_5m: 10, output: 32}}]
  elm:
    prices:
    - {source: page, rates: {input: 10, output: 40}, tiers: {priority: {rates: {input: 20, output: 80}}}}
  oak-mini:
    prices: [{source: page, rates: {input: 1, output: 4}}]
"""
RESALE = """
provider: resale
sources: {page: {title: Resale, read_on: 2026-11-01}}
models:
  oak:
    facts: {same_as: oak, context: 50000, tools: false}
    prices: [{source: page, rates: {input: 5, cache_read: 4, cache_write_5m: 12.5, output: 20}}]
"""


PRIORITY = call(model="elm", service_tier="priority")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("book")
    for name, text in (("_names", NAMES), ("acme", ACME), ("resale", RESALE)):
        (folder / f"{name}.yaml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def book(folder: Path) -> PriceBook:
    return PriceBook.load(folder, cache=None)


def said(book: PriceBook, rows: list[dict[str, Any]], **options: Any) -> list[Finding]:
    requests = calls(rows).drop("cost_usd", "price_status", "price_entry")
    frame = conform(price(requests, book), CALLS)
    settings = Settings(select=(RULE,), floor_usd=Decimal(0), floor_share=0.0, rules={RULE: options})
    return list(analyze(Ledger.of(frame, book), settings).findings)


def test_a_cheaper_snapshot_of_the_same_weights_is_proven_by_its_price(book):
    (finding,) = said(book, [call(model="oak")] * 3)
    assert finding.grade is Grade.PROVEN_PRICE
    # 1,000 × 2/1e6 + 100 × 8/1e6 less a call
    assert finding.owned_usd == finding.evidence["waste_usd"].sum() == 3 * Decimal("0.0028")
    assert "acme:oak-2026-01-01" in finding.title
    assert finding.lever is None  # another name in the code, no parameter of its own


def test_another_provider_counts_only_where_one_may_buy(book):
    (finding,) = said(book, [call(model="oak")], providers=("acme", "resale"))
    assert "resale:oak" in finding.title
    assert finding.owned_usd == Decimal("0.014") / 2


@pytest.mark.parametrize(
    ("cached", "cheapest"),
    [
        (None, "resale:oak"),  # 10 here, 8 for the snapshot, 5 there
        (550, "acme:oak-2026-01-01"),  # of 1,000: 5.05 here, 4.04 for the snapshot, 4.45 there
    ],
)
def test_of_several_cheaper_offers_the_cheapest_is_made(book, cached, cheapest):
    rows = [call(model="oak", input_tokens=1_000, cache_read_tokens=cached, output_tokens=0)] * 50
    (finding,) = said(book, rows, providers=("acme", "resale"))
    assert cheapest in finding.title


def test_what_the_other_place_cannot_do_stays(book):
    tool = {"tools_declared": [{"name": "search", "sha": 1, "tokens": 9}]}
    (finding,) = said(book, [call(model="oak", **tool)], providers=("acme", "resale"))
    assert "oak-2026-01-01" in finding.title
    (finding,) = said(book, [call(model="oak", input_tokens=60_000)], providers=("acme", "resale"))
    assert "oak-2026-01-01" in finding.title


def test_a_cold_cache_can_eat_the_saving(book):
    """One prefix read once: 90,000 × 1/1e6 here; there it is written first, 90,000 × 12.5/1e6."""
    cached = {"input_tokens": 90_500, "cache_read_tokens": 90_000, "output_tokens": 1}
    (finding,) = said(book, [call(model="oak", **cached), call(model="oak", **cached)] * 40)
    assert "oak-2026-01-01" in finding.title
    assert said(book, [call(model="oak", **cached)]) == []


def test_a_fast_tier_that_nobody_asked_for(book):
    (finding,) = said(book, [PRIORITY])
    assert "tier standard" in finding.title
    assert finding.owned_usd == Decimal("0.014")  # 20 and 80 where 10 and 40 would do
    assert all("tier standard" not in f.title for f in said(book, [PRIORITY | {"service_tier_requested": "priority"}]))


def test_flex_only_where_the_task_may_wait(book):
    (finding,) = said(book, [call(model="oak")], latency_tolerant=("triage",))
    assert "tier flex" in finding.title
    assert finding.lever == ("flex", "")
    assert finding.owned_usd == Decimal("0.014") / 2


@pytest.mark.parametrize(
    "columns",
    [
        {"model": "oak-mini"},
        {"model": "oak-2026-01-01"},
        {"model": "oak", "region": "eu"},
        {"model": "oak", "service_tier": "provisioned"},
        {"model": "unknown"},
        {"model": "oak", "service_tier": "priority", "service_tier_requested": "priority"},
    ],
    ids=[
        "other weights, similar name",
        "already cheapest",
        "pinned residency",
        "provisioned",
        "no price",
        "a tier asked for",
    ],
)
def test_it_is_silent_on(book, columns):
    assert said(book, [call(**columns)]) == []


def test_a_contract_price_is_left_alone(folder):
    own = Override("acme/oak", token_multiplier=Decimal("0.9"))
    contract = PriceBook.load(folder, overrides=(own,), cache=None)
    assert said(contract, [call(model="oak")]) == []
