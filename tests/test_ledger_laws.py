"""What holds for the rules that share the ledger, on any log at all."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledgers import at, calls, ledger

from costaudit.analyze import analyze
from costaudit.config import Settings
from costaudit.finding import Kind

EXACT = (
    *("runaway-loop", "duplicate-requests", "retry-waste", "failed-calls", "truncated-output", "missing-ceiling"),
    *("cache-miss", "context-bloat", "unpriced-usage", "unmetered-usage", "undecided-convention"),
)
OPEN = Settings(select=EXACT, floor_usd=Decimal(0), floor_share=0.0)
LEDGER = (Kind.WASTE, Kind.DECIDE)


def some(*values):
    return st.sampled_from([None, *values])


tokens = st.one_of(st.none(), st.sampled_from([0, 1, 999, 1_000, 5_000, 2**40]))
blocks = st.lists(st.integers(0, 3), max_size=4)
call = st.fixed_dictionaries(
    {
        "started_at": st.one_of(
            st.none(), st.integers(0, 40).map(lambda n: at(20_000 * n)), st.integers(0, 300).map(at)
        ),
        "task": some("a", "b", "\x1b[31m{usd}", ""),
        "tenant": some("x", "y"),
        "run_id": some("r1", "r2", "r3"),
        "run_source": some("log", "guessed"),
        "step": some(1, 2, 3, -1),
        "attempt": some(1, 2),
        "instance_id": some("case"),
        "model": some("big", "small", "auto", "gift", "no-such-model"),
        "provider": some("acme", "nobody"),
        "status": some("ok", "error", "cancelled"),
        "http_status": some(200, 429, 500),
        "finish_reason": some("stop", "length", "tool_calls", "refusal"),
        "input_tokens": tokens,
        "output_tokens": tokens,
        "cache_read_tokens": some(0, 500),
        "cache_write_tokens": some(0, 500),
        "cache_write_5m_tokens": some(0, 400),
        "reasoning_tokens": some(0, 100),
        "temperature": some(0.0, 0.7),
        "request_sha": some(1, 2, 3),
        "output_sha": some(1, 2),
        "tool_name": some("search", "finish", "a+b"),
        "tool_args_sha": some(1, 2),
        "tool_result_sha": some(1, 2),
        "tool_error": some(True, False),
        "schema_ok": some(True, False),
        "success": some(True, False),
        "usage_source": some("provider", "absent", "tokenizer"),
        "has_text": some(True, False),
        "convention": some("undecided", "proved"),
        "rollup": some(True, False),
        "gateway_cache_hit": some(True, False),
        "max_tokens": some(1, 100),
        "block_sha": st.one_of(st.none(), blocks),
        "block_tokens": st.one_of(st.none(), st.lists(st.integers(0, 4_000), max_size=4)),
        "reply_sha": some(1, 2),
        "template_sha": some(1),
        "tools_declared": some(
            [{"name": "search", "sha": 1, "tokens": 50}, {"name": "idle", "sha": 2, "tokens": None}]
        ),
        "tool_results": some([], [{"id": 1, "sha": 5, "error": None}]),
    }
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(call, min_size=1, max_size=14))
def test_no_log_breaks_a_rule_and_every_dollar_has_one_owner(rows):
    frame = calls(rows)
    said = analyze(ledger(frame), OPEN)
    spend = sum(frame["cost_usd"].drop_nulls(), Decimal(0))
    assert 0 <= sum((f.owned_usd for f in said.findings if f.kind in LEDGER), Decimal(0)) <= spend
    for finding in said.findings:
        if finding.owned_usd:
            assert sum(finding.evidence["waste_usd"].to_list(), Decimal(0)) == finding.owned_usd
            assert 0 <= finding.low_usd <= finding.owned_usd <= finding.high_usd
    assert len({f.id for f in said.findings}) == len(said.findings)
    assert set(said.clean).isdisjoint({n.rule for n in said.not_checked} | {f.rule for f in said.findings})
    told = {f.rule for f in said.findings} | {n.rule for n in said.not_checked} | set(said.clean)
    assert told == set(EXACT)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(call, min_size=2, max_size=10), st.randoms(use_true_random=False))
def test_the_order_of_lines_changes_no_finding(rows, random):
    numbered = [row | {"request_id": f"r{n}", "source_line": n + 1} for n, row in enumerate(rows)]
    shuffled = list(numbered)
    random.shuffle(shuffled)

    def told(given):
        found = analyze(ledger(given), OPEN).findings
        return [(f.id, f.title, f.owned_usd, f.low_usd, f.high_usd, f.stake_usd) for f in found]

    assert told(numbered) == told(shuffled)


@pytest.mark.parametrize("start", [0, 1_000_000_000])
def test_a_healthy_log_is_silent(start):
    """Agents that work, chats that go on, batches of different items: there is nothing to say."""
    rows = [
        {
            "task": ("chat", "classify", "extract")[n % 3],
            "started_at": at(start + 97 * n + n % 7),
            "ended_at": at(start + 97 * n + n % 7 + 3),
            "model": "auto",
            "request_sha": n,
            "output_sha": n % 5 if n % 3 == 1 else 1_000 + n,
            "temperature": 0.0,
            "finish_reason": "stop",
            "http_status": 200,
            "input_tokens": 800 + 13 * (n % 11),
            "block_sha": [n % 3, 100 + n],
            "block_tokens": [600, 200 + 13 * (n % 11)],
            "run_id": f"run-{n // 20}" if n % 3 == 0 else None,
            "tool_name": "search" if n % 3 == 0 else None,
            "tool_args_sha": n,
            "tool_result_sha": n,
        }
        for n in range(200)
    ]
    said = analyze(ledger(rows), OPEN)
    assert [f.title for f in said.findings] == []
