"""What holds for the statistical rules on any log at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from costaudit.analyze import analyze
from costaudit.config import Budget, Settings
from costaudit.finding import Kind
from costaudit.price.ledger import Ledger
from tests.ledgers import book, calls

RULES = (
    "overpowered-model",
    "cost-regression",
    "spend-anomaly",
    "price-change",
    "dearer-sibling",
    "batchable",
    "reasoning-overspend",
    "tenant-concentration",
    "budget-overrun",
)
AMOUNTS = {
    "cost-regression": "excess_usd",
    "spend-anomaly": "excess_usd",
    "price-change": "excess_usd",
    "tenant-concentration": "spend_usd",
    "budget-overrun": "overrun_usd",
}
START = datetime(2026, 8, 30, tzinfo=UTC)
CONFIG = Settings(
    select=RULES, floor_usd=Decimal(0), floor_share=0.0, budgets=(Budget(Decimal(1)), Budget(Decimal("0.1"), per="run"))
)


def any_call(random: Random) -> dict[str, Any]:
    """A call in which anything may be missing, huge, zero or strange."""
    tokens = random.choice([0, 1, 40, 1_000, 250_000, 10**9, None])
    answer = random.choice([0, 1, 3, 500, 10**8, None])
    return {
        "request_id": f"r{random.randrange(10**9)}",
        "started_at": random.choice([None, START + timedelta(minutes=random.randrange(60 * 24 * 40))]),
        "model": random.choice(["big", "small", "auto", "gift", "nobody-knows", None]),
        "provider": random.choice(["acme", "acme", "acme", None, "other"]),
        "task": random.choice(["triage", "triage", "nightly", "\x1b[31mred", None]),
        "tenant": random.choice(["a", "b", None]),
        "run_id": random.choice([None, f"run {random.randrange(40)}"]),
        "key_id": random.choice([None, "k1", "k2"]),
        "service_tier": random.choice([None, None, "batch", "priority", "provisioned"]),
        "input_tokens": tokens,
        "cache_read_tokens": random.choice([None, 0, tokens and tokens // 2]),
        "output_tokens": answer,
        "reasoning_tokens": random.choice([None, 0, answer and answer // 2]),
        "reasoning_effort": random.choice([None, "low", "high", "odd"]),
        "success": random.choice([None, True, False]),
        "score": random.choice([None, 0.5, float("nan"), float("inf"), -3.0, 1e300]),
        "request_sha": random.choice([None, random.randrange(30)]),
        "template_sha": random.choice([None, 1, 2]),
        "status": random.choice(["ok", "ok", "error", None]),
        "http_status": random.choice([None, 200, 429, 500]),
        "finish_reason": random.choice([None, "stop", "length"]),
        "temperature": random.choice([None, 0.0, 1.0]),
        "rollup": random.choice([None, False, False, True]),
        "gateway_cache_hit": random.choice([None, False, True]),
    }


def any_log(seed: int, n: int) -> pl.DataFrame:
    random = Random(seed)
    return calls([any_call(random) for _ in range(n)])


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 250))
def test_no_log_stops_a_rule_and_evidence_adds_up(seed, n):
    answer = analyze(Ledger.of(any_log(seed, n), book()), CONFIG)
    assert {f.rule for f in answer.findings} | set(answer.clean) | {x.rule for x in answer.not_checked} == set(RULES)
    for finding in answer.findings:
        column = AMOUNTS.get(finding.rule)
        if column is not None:
            assert finding.evidence[column].sum() == finding.stake_usd, finding.rule
        if finding.kind in (Kind.WASTE, Kind.DECIDE):
            assert finding.evidence["waste_usd"].sum() == finding.owned_usd >= 0
        if finding.high_usd is not None:
            assert finding.low_usd <= finding.high_usd


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6))
def test_the_order_of_the_rows_changes_no_finding(seed):
    log = any_log(seed, 200)
    answers = [
        analyze(Ledger.of(frame, book()), CONFIG) for frame in (log, log.sample(fraction=1, shuffle=True, seed=seed))
    ]
    assert [repr(f) for f in answers[0].findings] == [repr(f) for f in answers[1].findings]


@pytest.mark.parametrize("rule", RULES)
def test_an_empty_log_is_not_checked(rule):
    answer = analyze(Ledger.of(calls([]), book()), replace(CONFIG, select=(rule,)))
    assert [n.rule for n in answer.not_checked] == [rule]
