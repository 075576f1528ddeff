"""spend-anomaly: one day unlike its neighbours."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from costaudit.analyze import Analysis, analyze
from costaudit.analyze.spend_anomaly import distances, standing_out
from costaudit.config import Settings
from costaudit.price.ledger import Ledger
from tests.priced import book, call, calls

RULE = "spend-anomaly"
START = datetime(2026, 9, 7, tzinfo=UTC)  # a Monday

Row = dict[str, Any]


def log(days: int, units: Any, tokens: Any = lambda _nth: 1_000, hours: bool = False) -> list[Row]:
    """Calls spread over each day (or hour), a little noise in their number and size."""
    random = Random(3)
    step = timedelta(hours=1) if hours else timedelta(days=1)
    rows = []
    for nth in range(days):
        n = units(nth) + random.randrange(3)
        for k in range(n):
            size = round(tokens(nth) * math.exp(random.gauss(0, 0.1)))
            rows.append(call(started_at=START + nth * step + k * step / n, input_tokens=size, tenant=f"t{k % 3}"))
    return rows


def ask(rows: list[Row], floor: str = "0.01", **options: Any) -> Analysis:
    settings = Settings(select=(RULE,), floor_usd=Decimal(floor), floor_share=0.0, rules={RULE: options})
    return analyze(Ledger.of(calls(rows), book()), settings)


def test_a_day_of_three_times_the_volume_is_growth_not_price():
    (finding,) = ask(log(28, lambda nth: 60 if nth == 17 else 20)).findings
    row = finding.evidence.row(0, named=True)
    assert row["at"] == (START + timedelta(days=17)).replace(tzinfo=None)
    assert "growth, not price" in finding.title
    assert finding.stake_usd == row["excess_usd"] == row["actual_usd"] - row["expected_usd"]
    assert finding.details["tenants"]["units"].sum() == finding.requests


def test_runs_are_the_units_and_calls_are_what_is_counted():
    rows = [
        call(run_id=f"{nth}-{k}", started_at=START + timedelta(days=nth, minutes=k))
        for nth in range(28)
        for k in range(60 if nth == 17 else 20)
        for _ in range(3)
    ]
    (finding,) = ask(rows).findings
    assert (finding.details["tenants"]["units"].sum(), finding.requests) == (60, 180)


def test_a_day_of_long_prompts_is_unit_cost():
    (finding,) = ask(log(28, lambda _nth: 20, lambda nth: 6_000 if nth == 11 else 1_000)).findings
    assert "unit cost ×" in finding.title
    assert "volume flat" in finding.title


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_the_hour_that_a_clock_shows_twice_is_two_hours(zone):
    """In Berlin 25 October 2026 has the hour from two to three twice: nothing is unusual about it."""
    start = datetime(2026, 10, 22, tzinfo=UTC)
    rows = [call(started_at=start + timedelta(minutes=k)) for k in range(6 * 24 * 60)]
    settings = Settings(select=(RULE,), floor_usd=Decimal(0), floor_share=0.0, tz=zone)
    assert analyze(Ledger.of(calls(rows), book()), settings).clean == (RULE,)


def test_a_short_log_is_looked_at_by_the_hour():
    (finding,) = ask(log(96, lambda nth: 40 if nth == 50 else 8, hours=True)).findings
    assert finding.evidence["at"][0] == (START + timedelta(hours=50)).replace(tzinfo=None)


@pytest.mark.parametrize(
    "rows",
    [
        log(28, lambda _nth: 20),
        log(28, lambda nth: 6 if nth % 7 >= 5 else 20),
        log(28, lambda nth: 20 if nth < 14 else 60),
        log(28, lambda nth: 60 if nth in (13, 14, 15) else 20),
        log(28, lambda nth: 3 if nth == 15 else 20),
        log(56, lambda nth: 80 if (START + timedelta(days=nth + 1)).day == 1 else 20),
    ],
    ids=["nothing", "weekly wave", "lasting change", "three days in a row", "a quiet day", "month-ends"],
)
def test_it_is_silent_on(rows):
    answer = ask(rows)
    assert answer.findings == ()
    assert answer.clean == (RULE,)


@pytest.mark.parametrize("seed", range(4))
def test_days_of_few_or_uneven_units_differ_by_chance(seed):
    """Half of the days are missing, and units differ as the calls of agents do."""
    random = Random(seed)
    rows = [
        call(started_at=START + timedelta(days=day, seconds=random.randrange(80_000)),
             input_tokens=round(1_000 * math.exp(random.gauss(0, 1.2))))
        for day in range(60) if random.random() < 0.4 for _ in range(random.randrange(8, 16))
    ]  # fmt: skip
    assert ask(rows).findings == ()


def test_a_launch_day_under_the_floor_is_not_shown():
    assert ask(log(28, lambda nth: 60 if nth == 17 else 20), floor="5").findings == ()


def test_a_log_of_two_days_cannot_be_checked():
    assert ask(log(2, lambda _nth: 20)).not_checked


def test_the_outlier_of_a_quality_series_is_an_anomaly_and_the_only_one(shared):
    file = shared / "datasets" / "changepoint_truth" / "quality_control_3.json"
    values = json.loads(file.read_text())["series"][0]["raw"][:179]  # up to its one change point
    level = sorted(values)[len(values) // 2]
    low = [level - v for v in values]  # the outlier lies below: look downwards
    assert standing_out([distances(low, [0.0] * len(low))], 4.0) == [42]
