"""budget-overrun: spent, and where it goes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from costaudit.analyze import Analysis, analyze
from costaudit.config import SCOPES, Budget, Settings
from costaudit.finding import Confidence
from costaudit.price.ledger import Ledger
from tests.priced import book, call, calls

RULE = "budget-overrun"
OCTOBER = datetime(2026, 10, 1, tzinfo=UTC)
A_CALL = Decimal("0.014")

Row = dict[str, Any]


def days(n: int, per_day: Any = lambda _nth: 10, start: datetime = OCTOBER, **columns: Any) -> list[Row]:
    """Ten calls a day ($0.14), spread over the whole day."""
    return [
        call(started_at=start + timedelta(days=nth, hours=24 * (k + 0.5) / per_day(nth)), **columns)
        for nth in range(n)
        for k in range(per_day(nth))
    ]


def ask(rows: list[Row], *budgets: Budget) -> Analysis:
    settings = Settings(select=(RULE,), floor_usd=Decimal(0), floor_share=0.0, budgets=budgets)
    return analyze(Ledger.of(calls(rows), book()), settings)


def test_linear_spend_will_exceed_on_the_day_arithmetic_says():
    # $0.14 a day: $2.80 on the 20th, $4.34 on the 31st; $3.00 are used up during the 22nd.
    (finding,) = ask(days(20), Budget(Decimal("3"))).findings
    row = finding.evidence.row(0, named=True)
    assert row["spent_usd"] == 20 * 10 * A_CALL
    assert float(row["mid_usd"]) == pytest.approx(4.34)
    assert row["likely"] == date(2026, 10, 22)
    assert finding.confidence is Confidence.MEDIUM
    assert float(finding.stake_usd) == pytest.approx(1.34)
    assert "will be exceeded" in finding.title


def test_what_is_already_exceeded_is_certain():
    (finding,) = ask(days(20), Budget(Decimal("1"))).findings
    assert finding.confidence is Confidence.HIGH
    assert "exceeded since 2026-10-08" in finding.title  # $1.12 after eight days


@pytest.mark.parametrize("scope", SCOPES)
def test_a_budget_may_be_of_any_scope(scope):
    mine = {"provider": "acme", "model": "large"}.get(scope, "mine")
    rows = [*days(20, **{scope: mine}), *days(20, **{scope: "other"})]
    (finding,) = ask(rows, Budget(Decimal("1"), scope={scope: mine})).findings
    assert finding.subject[scope] == mine


def test_stepped_spend_widens_the_interval_to_a_may():
    rows = days(20, lambda nth: 5 if nth % 2 else 15)
    answers = [ask(rows, Budget(Decimal(usd))).findings for usd in ("4.2", "6")]
    assert "be exceeded" in answers[0][0].title
    assert answers[0][0].low_usd < answers[0][0].high_usd
    assert answers[1] == ()


@pytest.mark.parametrize("usd", ["10", "4.35"], ids=["far inside", "just inside"])
def test_a_budget_that_holds_at_the_upper_end_is_silent(usd):
    answer = ask(days(20), Budget(Decimal(usd)))
    assert answer.findings == ()
    assert answer.clean == (RULE,)


def test_a_budget_counts_only_its_scope():
    rows = days(20, tenant="north") + days(20, tenant="south")
    (finding,) = ask(rows, Budget(Decimal("3"), scope={"tenant": "north"})).findings
    assert finding.subject == {"per": "month", "tenant": "north"}
    assert finding.evidence["spent_usd"].item() == 200 * A_CALL


def test_a_month_that_is_over_keeps_what_it_cost():
    rows = days(31) + days(3, start=datetime(2026, 11, 1, tzinfo=UTC))
    (finding,) = ask(rows, Budget(Decimal("4.3"))).findings
    assert finding.evidence["start"].to_list() == [date(2026, 10, 1)]
    assert finding.stake_usd == 310 * A_CALL - Decimal("4.3") == finding.evidence["overrun_usd"].sum()


def test_runs_and_calls_have_budgets_of_their_own():
    rows = [call(run_id="long")] * 10 + [call(run_id="short")]
    (finding,) = ask(rows, Budget(Decimal("0.1"), per="run")).findings
    assert finding.stake_usd == 10 * A_CALL - Decimal("0.1")
    assert finding.evidence["run_id"].to_list() == ["long"]
    (finding,) = ask([call(), call(input_tokens=50_000)], Budget(Decimal("0.1"), per="call")).findings
    assert finding.requests == 1


def test_a_run_of_several_tasks_is_one_run():
    rows = [call(run_id="both", task=task) for task in ("plan", "write") for _ in range(5)]
    (finding,) = ask(rows, Budget(Decimal("0.1"), per="run")).findings
    assert finding.stake_usd == 10 * A_CALL - Decimal("0.1")
    assert "exceeded by 1 of 1 runs" in finding.title
    assert finding.requests == 10
    assert not ask(rows, Budget(Decimal("0.1"), per="run", scope={"task": "plan"})).findings  # of the task, $0.07


def test_without_a_budget_it_is_not_checked():
    (why,) = (n.why for n in ask(days(3)).not_checked)
    assert "budgets" in why
