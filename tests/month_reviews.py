"""A review of one month, made by hand."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
from audits import AUDIT
from msgspec.structs import replace
from priced import book, call, calls

from costaudit.analyze.budget_overrun import standing
from costaudit.compare.month import days_of as days_of_spend
from costaudit.compare.month import following, review, window
from costaudit.config import Budget
from costaudit.finding import Confidence, Finding, Kind, Severity
from costaudit.price.spend import spend
from costaudit.verdict import Month

SEPTEMBER, OCTOBER = date(2026, 9, 1), date(2026, 10, 1)


def days_of(month: date, n: int, **columns: object) -> list[dict[str, object]]:
    """Calls spread over a month, one every few hours, of three tasks and two tenants."""
    source = random.Random(n)
    start, end = (datetime.combine(day, datetime.min.time(), UTC) for day in (month, following(month)))
    return [
        call(
            task=("triage", "answer", "research")[i % 3],
            tenant=("acme corp", None)[i % 2],
            model=source.choice(["large", "small", "falling"]),
            run_id=f"{month}-{i // 2}",
            started_at=start + (end - start) * i / n,
            input_tokens=source.randint(100, 3_000),
            output_tokens=source.randint(10, 400),
        )
        | columns
        for i in range(n)
    ]


def reviewed(now: list[dict[str, object]], then: list[dict[str, object]] | None, **options: object) -> Month:
    frame, before = calls(now), None if then is None else calls(then)
    audit = replace(AUDIT, spend=spend(frame, book()), window=window(OCTOBER, UTC, "UTC"))
    given = {"month": OCTOBER, "compared": SEPTEMBER, "zone": UTC} | options
    if before is not None:
        given = {"history": days_of_spend(before, UTC)} | given
    return review(audit, frame, before, book(), **given)


def claim(task: str, usd: str, rule: str = "runaway-loop", **columns: object) -> Finding:
    return Finding(
        rule=rule,
        kind=Kind.WASTE,
        severity=Severity.HIGH,
        confidence=Confidence.HIGH,
        title=f"{task}: runs repeat themselves, ${usd} after the stop point",
        subject={"task": task},
        remedy="stop them",
        evidence=pl.DataFrame({"day": [date(2026, 10, 12)]}),
        owned_usd=Decimal(usd),
        low_usd=Decimal(usd) / 2,
        high_usd=Decimal(usd),
    )


def a_month() -> Month:
    """A month with one finding fixed, one open and one new, a budget that is exceeded and a price that fell."""
    then = replace(AUDIT, findings=(claim("research", "0.30"), claim("answer", "0.10")))
    kept = (claim("answer", "0.20"), claim("triage", "0.05"))
    rising = replace(claim("answer", "0.11", "cost-regression"), kind=Kind.EXCESS, stake_usd=Decimal("0.11"))
    before = days_of(SEPTEMBER, 120)
    now = [
        r | ({"input_tokens": r["input_tokens"] // 8} if r["task"] == "research" else {}) for r in days_of(OCTOBER, 200)
    ]
    frame = calls(now)
    audit = replace(
        AUDIT,
        findings=(*kept, rising),
        spend=spend(frame, book()),
        window=window(OCTOBER, UTC, "UTC"),
        clean=(),
        not_checked=(),
    )
    limits = (
        Budget(Decimal("2")),
        Budget(Decimal("9"), scope={"tenant": "acme corp"}),
        Budget(Decimal("0.05"), per="run"),
    )
    return review(
        audit,
        frame,
        calls(before),
        book(),
        month=OCTOBER,
        compared=SEPTEMBER,
        zone=UTC,
        before_share=1.0,
        before_audit=then,
        history=days_of_spend(calls(before), UTC),
        budgets=standing(limits, pl.concat([calls(before), frame]), UTC, OCTOBER, following(OCTOBER)),
    )
