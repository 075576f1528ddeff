"""Amounts in another currency: one dated rate, printed; machines keep US dollars."""

from __future__ import annotations

import json
import re
import shutil
from datetime import date
from decimal import Decimal

import pytest
from console import ROOT
from program import run as run

from costaudit.config import rate
from costaudit.errors import ConfigError
from costaudit.report import _money as money

RATES = "EUR: {2026-01-01: 0.5, 2026-09-01: 0.25, 2027-01-01: 9}\nJPY: {2020-01-01: 150}\n"
LOG = ROOT / "sample_logs" / "analyzers" / "duplicate-requests.jsonl"


@pytest.fixture
def rates(tmp_path):
    path = tmp_path / "rates.yaml"
    path.write_text(RATES)
    return path


@pytest.mark.parametrize(
    ("code", "at", "says"),
    [("EUR", date(2026, 8, 31), "0.5"), ("EUR", date(2026, 9, 1), "0.25"), ("JPY", date(2026, 9, 1), "150")],
)
def test_the_rate_in_force_on_the_day_holds(rates, code, at, says):
    assert rate(rates, code, at).rate == Decimal(says)


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (RATES, "CHF", "unknown currency 'CHF'"),
        ("EUR: {2026-12-01: 1}", "EUR", "no rate of EUR on or before"),
        ("EUR: {2026-01-01: 0}", "EUR", "must be above 0"),
        ("EUR: {soon: 1}", "EUR", "not a date"),
        ("EUR: 1", "EUR", "must be a mapping"),
    ],
)
def test_a_rate_that_is_none_is_refused(tmp_path, content, code, says):
    path = tmp_path / "r.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=re.escape(says)):
        rate(path, code, date(2026, 9, 1))


@pytest.mark.parametrize(
    ("code", "says"), [("EUR", "€1,000.00"), ("CHF", "CHF 1,000.00"), ("JPY", "¥1,000.00"), ("USD", "$1,000.00")]
)
def test_amounts_carry_their_sign_or_their_code(code, says):
    with money.shown_in(money.Currency(code, Decimal("0.5"), date(2026, 9, 1))):
        assert money.usd(Decimal(2_000)) == says
    assert money.usd(Decimal(2_000)) == "$2,000.00"


def test_dollars_in_a_sentence_are_converted_from_their_digits():
    with money.shown_in(money.Currency("EUR", Decimal("0.5"), date(2026, 9, 1))):
        assert money.prose("above $2,000.50 a run, $0.0042 a call") == "above €1,000.25 a run, €0.0021 a call"


def test_a_report_in_another_currency_names_its_rate_and_has_no_dollar_left(run, rates):
    shutil.copy(LOG, "log.jsonl")
    dollars = run("analyze", "log.jsonl").out
    euros = run("analyze", "log.jsonl", "--currency", "eur", "--rates", rates).out
    assert "shown in EUR at 0.25 for 1 USD, rate of 2026-09-01" in " ".join(euros.split())
    assert not re.search(r"\$\d", euros)
    assert len(re.findall(r"€\d", euros)) == len(re.findall(r"\$\d", dollars))
    plain, other = (
        json.loads(run("analyze", "log.jsonl", "--format", "json", *more).out)
        for more in ((), ("--currency", "EUR", "--rates", rates))
    )
    assert plain == other


def test_a_currency_without_rates_says_how_to_give_them(run):
    shutil.copy(LOG, "log.jsonl")
    ran = run("analyze", "log.jsonl", "--currency", "EUR")
    assert ran.code == 2
    assert "--rates FILE" in ran.err


def test_rates_of_no_currency_are_a_mistake(run, rates):
    shutil.copy(LOG, "log.jsonl")
    ran = run("analyze", "log.jsonl", "--rates", rates)
    assert ran.code == 2
    assert "--currency EUR" in ran.err
