"""Cohere: what is billed, not what was counted; reranking by the search."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent

from costaudit import pipeline
from costaudit.config import Settings
from costaudit.price.engine import price

LOG = sample("cohere.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}
    assert spent(made) == (5, 9 + 5 + 4 + 0 + 20, 0, 0, 2 + 2 + 0 + 7, 0)
    calls = {row["request_id"]: row for row in made.requests.to_dicts()}
    assert [calls[f"co-000{n}"]["finish_reason"] for n in (1, 2)] == ["stop", "length"]
    assert [(e["class"], e["quantity"]) for e in calls["co-0004"]["extras"]] == [("rerank_search", 1)]
    assert calls["co-0001"]["started_at"] == datetime(2026, 9, 1, 8, tzinfo=UTC)
    assert calls["co-0001"]["task"] == "answer"


def test_the_request_beside_an_answer_says_what_was_sent():
    call = read(LOG[:1]).requests.row(0, named=True)
    assert (call["max_tokens"], len(call["block_sha"]), call["ended_at"].microsecond) == (100, 2, 800_000)


def test_its_calls_have_prices():
    calls = price(read(LOG).requests, pipeline.prices(Settings()))
    cost = dict(calls.select("request_id", "cost_usd").iter_rows())
    assert cost["co-0001"] == (9 * Decimal("2.50") + 2 * 10) / 1_000_000
    assert cost["co-0004"] == Decimal(2) / 1_000  # $2 a thousand searches
    assert set(calls["price_status"]) == {"priced"}


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
