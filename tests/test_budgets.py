"""Budgets of calls, runs, days, weeks and months are exceeded from their first cent."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from priced import call, calls, later, side

from costaudit.compare import budgets
from costaudit.compare.gate import check
from costaudit.config import Budget, Suppression
from costaudit.config import Gate as Limits
from costaudit.report import _gate
from costaudit.verdict import BudgetVerdict, Verdict


def judged(
    rows: list[dict[str, object]], budget: Budget, *suppressions: Suppression, **options: object
) -> BudgetVerdict:
    given = {"tz": "UTC", "end": datetime(2026, 10, 1, tzinfo=UTC), "suppressions": suppressions} | options
    return budgets.judge(calls(rows), [budget], **given)[0]


def spending(*usd: int, **columns: object) -> list[dict[str, object]]:
    """Runs that cost so many dollars: a million tokens of input are $10."""
    return [
        call(run_id=f"r{i}", input_tokens=100_000 * amount, output_tokens=0, started_at=later(60 * 24 * i)) | columns
        for i, amount in enumerate(usd)
    ]


@pytest.mark.parametrize(
    ("per", "usd", "verdict", "over", "worst", "beyond"),
    [
        ("run", "3", Verdict.PASS, 0, "r1", "0"),
        ("run", "2.99", Verdict.FAIL, 1, "r1", "0.01"),
        ("call", "0.5", Verdict.FAIL, 3, None, "4.5"),
        ("day", "2", Verdict.FAIL, 1, "2026-09-02", "1"),
        ("week", "5.99", Verdict.FAIL, 1, "week of 2026-08-31", "0.01"),  # 1 September 2026 is a Tuesday
        ("month", "6", Verdict.PASS, 0, "2026-09", "0"),
        ("month", "5", Verdict.FAIL, 1, "2026-09", "1"),
    ],
)
def test_a_budget_is_exceeded_from_its_first_cent(per, usd, verdict, over, worst, beyond):
    row = judged(spending(1, 3, 2), Budget(Decimal(usd), per))
    assert (row.verdict, row.over, row.beyond_usd) == (verdict, over, Decimal(beyond))
    assert worst is None or row.worst == worst


def test_a_run_of_several_tasks_is_one_run_for_a_budget():
    rows = [row | {"run_id": "both", "task": task} for row, task in zip(spending(2, 2), ("plan", "write"), strict=True)]
    row = judged(rows, Budget(Decimal(3), "run"))
    assert (row.verdict, row.of, row.beyond_usd) == (Verdict.FAIL, 1, Decimal(1))


def test_days_of_a_budget_are_days_of_its_zone():
    rows = [row | {"started_at": datetime(2026, 9, 1, 21 + i, 30, tzinfo=UTC)} for i, row in enumerate(spending(2, 2))]
    assert judged(rows, Budget(Decimal(3), "day")).verdict is Verdict.FAIL
    assert judged(rows, Budget(Decimal(3), "day"), tz="Europe/Berlin").verdict is Verdict.PASS  # 23:30 and 00:30
    assert judged(rows, Budget(Decimal(3), "day"), tz="Asia/Tokyo").verdict is Verdict.FAIL


def test_a_budget_looks_at_its_own_scope():
    rows = [*spending(9, tenant="acme"), *spending(1, tenant="other")]
    assert judged(rows, Budget(Decimal(5), "run", {"tenant": "other"})).verdict is Verdict.PASS
    assert judged(rows, Budget(Decimal(5), "run", {"tenant": "acme", "task": "triage"})).verdict is Verdict.FAIL
    nobody = judged(rows, Budget(Decimal(5), "run", {"tenant": "acmee"}))
    assert (nobody.verdict, nobody.of) == (Verdict.CANNOT_JUDGE, 0)


def test_what_has_no_price_may_be_over_and_is_never_called_within():
    unknown = call(run_id="odd", model="unheard-of", started_at=later(0))
    row = judged([*spending(1, 2), unknown], Budget(Decimal(3), "run"))
    assert row.verdict is Verdict.CANNOT_TELL
    assert "1 of 3 may be over" in row.why
    assert judged([*spending(1, 9), unknown], Budget(Decimal(3), "run")).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("until", "cap", "verdict"),
    [
        (date(2026, 9, 30), None, Verdict.PASS),
        (date(2026, 9, 29), None, Verdict.FAIL),
        (date(2026, 12, 1), Decimal(6), Verdict.PASS),
        (date(2026, 12, 1), Decimal(5), Verdict.FAIL),
    ],
    ids=["accepted", "expired", "within its cap", "past its cap"],
)
def test_an_overrun_accepted_on_purpose_passes_until_its_day_and_up_to_its_cap(until, cap, verdict):
    accepted = Suppression("budget-overrun", {"per": "run", "task": "triage"}, "ada", "a backfill", until, cap)
    row = judged(spending(9, 1), Budget(Decimal(3), "run", {"task": "triage"}), accepted)
    assert (row.verdict, row.accepted) == (verdict, verdict is Verdict.PASS)
    assert "accepted" in row.why


def test_a_budget_exceeded_fails_the_build_whatever_the_tasks_say():
    same = {f"case-{i}": 1.0 + i for i in range(8)}
    over = judged(spending(9), Budget(Decimal(3), "run"))
    passing = check(side({"t": same}), side({"t": same}), Limits(), budgets=[over])
    assert (passing.verdict, passing.exit_code) == (Verdict.FAIL, 1)
    assert _gate.headline(passing).startswith("FAIL: 1 of 1 budget exceeded: all calls, a run, $6.00 beyond it. PASS:")
    assert check(side({"t": same}), None, Limits(), budgets=[over]).exit_code == 1
    assert check(side({"t": same}), None, Limits(report_only=True), budgets=[over]).exit_code == 0
