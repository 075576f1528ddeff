"""price-change: both sides of a dated price, to the last decimal."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from costaudit.analyze import analyze
from costaudit.config import Settings
from costaudit.finding import Finding
from costaudit.price.bridge import bridge
from costaudit.price.ledger import Ledger
from tests.priced import book, call, calls

RULE = "price-change"
CUT = datetime(2026, 10, 1, tzinfo=UTC)  # `falling`: 10/40 before, 5/20 from here


def said(rows: list[dict[str, Any]]) -> list[Finding]:
    settings = Settings(select=(RULE,), floor_usd=Decimal(0), floor_share=0.0)
    return list(analyze(Ledger.of(calls(rows), book()), settings).findings)


def falling(day: int, month: int = 9, **columns: Any) -> dict[str, Any]:
    return call(model="falling", started_at=datetime(2026, month, day, 12, tzinfo=UTC), **columns)


def test_a_cut_is_what_the_calls_after_it_would_have_cost_more():
    (finding,) = said([falling(20), falling(30), falling(1, 10), falling(5, 10)])
    # two calls after the cut: 1,000 × 5/1e6 less for input, 100 × 20/1e6 less for output
    assert finding.stake_usd == -2 * (Decimal("0.005") + Decimal("0.002"))
    assert finding.subject == {"model": "acme:falling", "date": "2026-10-01"}
    assert finding.evidence.select("class", "old_rate", "new_rate", "calls").sort("class").rows() == [
        ("input", Decimal(10), Decimal(5), 2),
        ("output", Decimal(40), Decimal(20), 2),
    ]
    assert finding.evidence["excess_usd"].sum() == finding.stake_usd


def test_the_instant_itself_is_new():
    edge = [call(model="falling", started_at=CUT), falling(30)]
    (finding,) = said(edge)
    assert finding.requests == 1


def test_the_bridge_carries_the_same_number_in_its_price_bar():
    before, after = [falling(10), falling(20)], [falling(3, 10), falling(9, 10)]
    (finding,) = said(before + after)
    bars = {factor: usd for factor, _, usd in bridge(calls(before), calls(after), book()).by_factor()}
    assert set(bars) == {"price"}
    assert bars["price"] == finding.stake_usd


def test_an_announced_change_is_applied_to_the_last_four_weeks():
    (finding,) = said([falling(1), falling(20), falling(25)])
    assert "announced" in finding.title
    assert finding.stake_usd == -3 * Decimal("0.007")


@pytest.mark.parametrize(
    "rows",
    [
        [call(started_at=CUT), call(started_at=datetime(2026, 10, 9, tzinfo=UTC))],
        [falling(3, 10), falling(9, 10)],
        [call(model="newborn", started_at=datetime(2026, 10, 20, tzinfo=UTC)), call()],
        [call(model="gratis"), call(model="gratis", started_at=CUT)],
    ],
    ids=["a price that stays", "a change before the window", "a first price", "free calls"],
)
def test_it_is_silent_on(rows):
    assert said(rows) == []
