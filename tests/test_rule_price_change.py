"""price-change: both sides of a dated price, to the last decimal."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from costaudit.analyze import analyze
from costaudit.config import Settings
from costaudit.finding import Finding
from costaudit.price.book import PriceBook
from costaudit.price.bridge import bridge
from costaudit.price.engine import price
from costaudit.price.ledger import Ledger
from costaudit.schema import CALLS, conform
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


TWICE = """
provider: acme
sources: {page: {title: Acme, read_on: 2026-11-01}}
models:
  tidal:
    prices:
    - {source: page, rates: {input: 10, output: 40}}
    - {source: page, since: "2026-10-01", rates: {input: 12, output: 40}}
    - {source: page, since: "2026-11-01", rates: {input: 15, output: 40}}
  clock:
    prices:
    - {source: page, rates: {input: 10, output: 40}, hours: {peak: {rates: {input: 20, output: 80}}}}
    - source: page
      since: "2026-10-01"
      rates: {input: 5, output: 20}
      hours: {peak: {rates: {input: 10, output: 40}}}
schedules:
  peak: {utc: [["08:00", "10:00"]], weekdays: [1, 2, 3, 4, 5]}
"""


def from_book(tmp_path, text: str, rows: list[dict[str, Any]]) -> list[Finding]:
    (tmp_path / "_names.yaml").write_text("as_of: 2026-11-01\nproviders:\n  acme: []\n")
    (tmp_path / "acme.yaml").write_text(text)
    own = PriceBook.load(tmp_path, cache=None)
    frame = conform(price(calls(rows).drop("cost_usd", "price_status", "price_entry"), own), CALLS)
    settings = Settings(select=(RULE,), floor_usd=Decimal(0), floor_share=0.0)
    return list(analyze(Ledger.of(frame, own), settings).findings)


def test_each_of_two_moves_owns_the_calls_up_to_the_next(tmp_path):
    days = [datetime(2026, m, 15, tzinfo=UTC) for m in (9, 10, 11)]
    findings = from_book(tmp_path, TWICE, [call(model="tidal", started_at=day) for day in days])
    stakes = {f.subject["date"]: f.stake_usd for f in findings}
    assert stakes == {"2026-10-01": Decimal("0.002"), "2026-11-01": Decimal("0.003")}


def test_of_two_announced_moves_only_the_next_is_told(tmp_path):
    (finding,) = from_book(tmp_path, TWICE, [call(model="tidal", started_at=datetime(2026, 9, 15, tzinfo=UTC))])
    assert finding.subject["date"] == "2026-10-01"


def test_where_the_hour_decides_both_prices_are_of_the_same_hour(tmp_path):
    hours = [
        datetime(2026, 10, 6, 9, tzinfo=UTC),
        datetime(2026, 10, 6, 12, tzinfo=UTC),
    ]  # a Tuesday, in and out of peak
    rows = [call(model="clock", started_at=at) for at in (datetime(2026, 9, 1, tzinfo=UTC), *hours)]
    (finding,) = from_book(tmp_path, TWICE, rows)
    assert finding.stake_usd == -(Decimal("0.014") + Decimal("0.007"))  # 1,000 × 10 + 100 × 40 less; half of it outside


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
