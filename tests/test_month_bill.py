"""The month against the bill: the buckets of that month, and the gap that `reconcile` finds."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest
from console import ROOT
from program import run as run

from costaudit.audit import Window
from costaudit.questions import _begun
from costaudit.reconciliation import BUCKET

LOGS, EXPORT = (ROOT / "sample_logs" / "reconcile" / name for name in ("app.jsonl", "usage.json"))
OCTOBER = Window(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC), "UTC")


def test_the_month_finds_the_gap_that_reconcile_finds_and_its_causes_add_up(run):
    month = json.loads(run("report", LOGS, "--month", "2026-10", "--against", EXPORT, "--format", "json").out)
    alone = json.loads(run("reconcile", LOGS, "--against", EXPORT, "--format", "json").out)
    bill = month["bill"]
    assert bill == alone
    assert sum(Decimal(cause["usd"]) for cause in bill["causes"]) == Decimal(bill["gap_usd"])
    assert Decimal(bill["logs_usd"]) == Decimal(month["total_usd"])


@pytest.mark.parametrize("format", ["terminal", "markdown", "html"])
def test_every_page_of_the_month_says_the_gap_and_only_when_asked(format, run):
    said = ("report", LOGS, "--month", "2026-10", "--format", format)
    with_bill, without = run(*said, "--against", EXPORT).out, run(*said).out
    assert "Against the bill" in with_bill
    assert "tier and batch" in with_bill
    assert "Against the bill" not in without


@pytest.mark.parametrize(
    ("days", "kept", "notes"),
    [
        ([(10, 1, 10, 2), (10, 31, 11, 1)], 2, []),
        ([(9, 30, 10, 1), (10, 1, 10, 2), (11, 1, 11, 2)], 1, ["2 buckets of the exports begin outside the month"]),
        ([(9, 15, 10, 15)], 0, ["1 bucket of the exports begins outside the month", "1 bucket crosses the edge"]),
        ([(10, 15, 11, 15)], 1, ["1 bucket crosses the edge"]),
        ([None], 1, []),
    ],
)
def test_the_buckets_that_begin_in_the_month_are_its_bill_and_the_others_are_counted(days, kept, notes):
    times = [
        (None, None) if day is None else (datetime(2026, *day[:2], tzinfo=UTC), datetime(2026, *day[2:], tzinfo=UTC))
        for day in days
    ]
    buckets = pl.DataFrame(times, schema={"start": BUCKET["start"], "end": BUCKET["end"]}, orient="row")
    rest, said = _begun(buckets, OCTOBER)
    assert rest.height == kept
    assert [line.startswith(note) for line, note in zip(said, notes, strict=True)] == [True] * len(notes)
