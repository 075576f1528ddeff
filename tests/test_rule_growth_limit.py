"""growth-limit: the factor at which a declared limit breaks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from costaudit.analyze import Analysis, analyze
from costaudit.analyze._limits import Limit, limits
from costaudit.config import Forecast, Settings
from costaudit.errors import ConfigError
from costaudit.finding import Severity
from costaudit.price.ledger import Ledger
from tests.priced import book, call, calls

RULE = "growth-limit"
START = datetime(2026, 10, 5, tzinfo=UTC)  # a Monday


def day(peak: int = 20) -> list[dict[str, Any]]:
    """One call every ten minutes for two days; `peak` calls in each of the 20 minutes from 14:00."""
    rows = [call(started_at=START + timedelta(minutes=10 * k)) for k in range(289)]
    busy = [START + timedelta(days=d, hours=14, minutes=m) for d in range(2) for m in range(20)]
    return rows + [call(started_at=at + timedelta(seconds=s)) for at in busy for s in range(peak)]


@pytest.fixture
def ask(tmp_path: Path):
    def answer(text: str, rows: list[dict[str, Any]], **changes: Any) -> Analysis:
        path = tmp_path / "limits.yaml"
        path.write_text(text)
        settings = Settings(limits=path, select=(RULE,), floor_usd=Decimal(0), floor_share=0.0)
        return analyze(Ledger.of(calls(rows), book()), replace(settings, **changes))

    return answer


def test_a_limit_of_three_times_the_peak_breaks_at_three(ask):
    (finding,) = ask("large: {requests_per_minute: 63}", day()).findings
    assert finding.details["limits"]["peak"].item() in (20, 21)
    assert "break at 3.0×" in finding.title
    assert finding.severity is Severity.LOW
    assert "Monday at 14:" in finding.because[0]
    # At 10× a minute of 20 asks for 200 and 63 pass: 137/200 of 10 × 20 calls of $0.014 are refused.
    assert finding.evidence["refused_usd"].sum() == finding.stake_usd
    assert float(finding.evidence["refused_usd"][-1]) == pytest.approx(137 * 0.014)


def test_the_limit_that_breaks_first_decides(ask):
    text = "acme/l*: {requests_per_minute: 1000, tokens_per_minute: 30000}"
    (finding,) = ask(text, day()).findings
    assert "tokens per minute" in finding.title  # 20 × 1,100 = 22,000 tokens
    assert finding.severity is Severity.MEDIUM  # before the first planned growth, 2×


@pytest.mark.parametrize(
    ("limit", "provider", "peak"),
    [
        ("{tokens_per_minute: 10000}", "acme", 22_000),  # 20 calls of 1,000 in, 900 of them cached, and 100 out
        ("{input_tokens_per_minute: 10000}", "acme", 20_000),
        ("{output_tokens_per_minute: 1000}", "acme", 2_000),
        ("{tokens_per_minute: 1000, cached_input: false}", "acme", 4_000),
        ("{input_tokens_per_minute: 1000}", "anthropic", 2_000),
        ("{input_tokens_per_minute: 1000, cached_input: true}", "anthropic", 20_000),
    ],
)
def test_tokens_are_counted_as_the_provider_counts_them(ask, limit, provider, peak):
    rows = [row | {"provider": provider, "cache_read_tokens": 900} for row in day()]
    (finding,) = ask(f"large: {limit}", rows).findings
    assert finding.details["limits"]["peak"].item() in (peak, peak * 21 // 20)


@pytest.mark.parametrize(
    "text",
    ["large: {requests_per_minute: 500}", "other-model: {requests_per_minute: 1}"],
    ids=["room for more than is planned", "a limit of another model"],
)
def test_it_is_silent_on(ask, text):
    answer = ask(text, day())
    assert answer.findings == ()
    assert answer.clean == (RULE,)


def test_growth_that_is_not_planned_is_not_held_against_a_limit(ask):
    assert ask("large: {requests_per_minute: 63}", day(), forecast=Forecast(growth=(2.0,))).findings == ()


def test_a_log_of_hours_cannot_be_checked(ask):
    (why,) = (n.why for n in ask("large: {requests_per_minute: 5}", [call(started_at=START)] * 3).not_checked)
    assert "peak hour" in why


def test_prompts_that_get_longer_every_week_cost_more_than_in_proportion():
    rows = [
        call(started_at=START + timedelta(days=d, hours=h), input_tokens=round(1_000 * 1.15 ** (d // 7)))
        for d in range(63)
        for h in range(0, 24, 3)
    ]
    settings = Settings(select=(RULE,), floor_usd=Decimal(0), floor_share=0.0)
    (finding,) = analyze(Ledger.of(calls(rows), book()), settings).findings
    assert finding.subject == {"growth": "10"}
    assert finding.evidence["usd"].sum() == finding.stake_usd > 0
    flat = [row | {"input_tokens": 1_000} for row in rows]
    assert analyze(Ledger.of(calls(flat), book()), settings).findings == ()


def test_without_a_limits_file_it_is_not_checked():
    answer = analyze(Ledger.of(calls(day()), book()), Settings(select=(RULE,)))
    assert "limits" in answer.not_checked[0].why


@pytest.mark.parametrize(
    "text",
    [
        "large: {requests_per_hour: 5}",
        "large: {cached_input: true}",
        "large: {requests_per_minute: many}",
        "large: {}",
        "- large",
        "",
    ],
    ids=["unknown key", "only how it counts", "no number", "no limit", "a list", "empty"],
)
def test_a_wrong_limits_file_is_refused(tmp_path, text):
    path = tmp_path / "limits.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        limits(path)


def test_a_limit_matches_by_glob_whatever_the_case():
    assert Limit("GPT-5*").holds("openai", "gpt-5-mini")
    assert Limit("openai/*").holds("openai", "o3")
    assert not Limit("gpt-5").holds("openai", "gpt-5-mini")
