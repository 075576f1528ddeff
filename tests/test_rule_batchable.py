"""batchable: work by the clock that nobody waits for, and load that only looks like it."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from costaudit.analyze import Analysis
from costaudit.analyze._analyzer import RUN
from costaudit.analyze.batchable import HINT, score
from costaudit.finding import Finding, Grade
from tests.ledgers import ask, calls

RULE = "batchable"
NIGHT = datetime(2026, 10, 5, 2, tzinfo=UTC)

Row = dict[str, Any]


def call(at: datetime, nth: int, **columns: Any) -> Row:
    usual = {"task": "digest", "started_at": at, "template_sha": 7, "run_id": f"run {nth}", "output_tokens": 100}
    return usual | columns


def nightly(nights: int = 5, n: int = 60, **columns: Any) -> list[Row]:
    """n calls within two minutes from 02:00, every night."""
    return [
        call(NIGHT + timedelta(days=night, seconds=2 * k), night * n + k, **columns)
        for night in range(nights)
        for k in range(n)
    ]


def said(rows: list[Row], **options: Any) -> list[Finding]:
    return list(ask(RULE, rows, **options).findings)


def test_a_nightly_job_is_worth_an_experiment_at_the_batch_price_of_the_book():
    (finding,) = said(nightly())
    assert finding.grade is Grade.EXPERIMENT
    # 300 calls, half of (1,000 × 10 + 100 × 50)/1e6
    assert finding.owned_usd == 300 * Decimal("0.0075") == finding.evidence["waste_usd"].sum()
    assert finding.evidence["score"].item() == 3


@pytest.mark.parametrize(("zone", "by_the_clock"), [("UTC", False), ("Asia/Kolkata", True)])
def test_the_clock_is_that_of_the_report(zone, by_the_clock):
    half_past = [row | {"started_at": row["started_at"] + timedelta(minutes=30)} for row in nightly()]
    frame = calls(half_past).with_columns(RUN)
    assert score(frame, declared=False, zone=ZoneInfo(zone)).scheduled == by_the_clock


def test_a_declared_task_is_proven_by_its_price():
    rows = nightly(task="mail")
    assert said(rows, async_tasks=("mail",))[0].grade is Grade.PROVEN_PRICE


def test_cached_input_is_priced_as_the_book_says_and_the_low_end_loses_the_hits():
    (finding,) = said(nightly(cache_read_tokens=800))
    now, batch = Decimal("0.0078"), Decimal("0.0039")  # 200 × 10 + 800 × 1 + 100 × 50; half of each
    assert finding.owned_usd == 300 * (now - batch)
    assert finding.low_usd == 300 * (now - Decimal("0.0075"))


def office(n: int = 600) -> list[Row]:
    random = Random(1)
    start = NIGHT + timedelta(hours=6)
    return [call(start + timedelta(seconds=random.uniform(0, 36_000)), k) for k in range(n)]


def chat_bursts() -> list[Row]:
    random = Random(2)
    starts = [NIGHT + timedelta(seconds=random.uniform(0, 80_000)) for _ in range(12)]
    return [call(at + timedelta(seconds=k), 100 * b + k) for b, at in enumerate(starts) for k in range(40)]


def agent() -> list[Row]:
    return [row | {"run_id": f"run {nth // 3}"} for nth, row in enumerate(nightly())]


@pytest.mark.parametrize(
    "rows",
    [
        office(),
        chat_bursts(),
        agent(),
        nightly(streamed=True),
        nightly(service_tier="batch"),
        nightly(n=30),
        nightly(tenant="vip"),
    ],
    ids=["interactive", "bursts without a schedule", "an agent", "streamed", "already a batch", "few calls", "tenant"],
)
def test_it_is_silent_on(rows):
    assert said(rows, latency_bound=("vip",)) == []


def test_without_a_batch_price_it_cannot_check():
    answer: Analysis = ask(RULE, nightly(model="small"))
    (why,) = (n.why for n in answer.not_checked)
    assert "batch price" in why


@pytest.mark.parametrize(
    ("task", "hint"),
    [("nightly-digest", True), ("embeddings", True), ("batch_import", True), ("triage", False), ("embattled", False)],
)
def test_a_name_can_say_it(task, hint):
    assert (HINT.search(task) is not None) is hint


@pytest.mark.parametrize("service", ["code", "conv"])
def test_an_hour_of_an_interactive_service_never_scores_above_two(shared, service):
    file = shared / "datasets" / "azure_llm_2023" / f"AzureLLMInferenceTrace_{service}.csv"
    with file.open(encoding="utf-8", newline="") as lines:
        times = [datetime.fromisoformat(row["TIMESTAMP"][:26]) for row in csv.DictReader(lines)][:6_000]
    rows = [call(at.replace(tzinfo=UTC), nth, output_tokens=1) for nth, at in enumerate(times)]
    frame: pl.DataFrame = calls(rows).with_columns(RUN)
    assert score(frame, declared=False).total <= 2
