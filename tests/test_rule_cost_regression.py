"""cost-regression: lasting changes of unit cost, and nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import polars as pl
import pytest

from costaudit.analyze import Analysis, analyze
from costaudit.analyze._segments import splits, steps
from costaudit.analyze._series import Series, weekday_effects
from costaudit.analyze.cost_regression import Change, _sharpened
from costaudit.config import Settings
from costaudit.finding import Confidence, Finding
from costaudit.price.ledger import Ledger
from costaudit.schema import USD
from tests.priced import book, calls

RULE = "cost-regression"
START = datetime(2026, 8, 3, tzinfo=UTC)  # a Monday
DAYS = 42

Row = dict[str, Any]


def day(nth: int, units: int = 22, seed: int = 0, **columns: Any) -> list[Row]:
    """One day of a task: log-normal prompts (cv 0.5), spread over the day."""
    random = Random(seed * 1_000 + nth)
    size = columns.pop("input_tokens", 1_000)
    return [
        {
            "request_id": f"{nth}-{unit}",
            "provider": "acme",
            "model": "large",
            "task": "triage",
            "status": "ok",
            "started_at": START + timedelta(days=nth, minutes=unit * (1_430 // units)),
            "input_tokens": round(size * math.exp(random.gauss(0, 0.5))),
            "output_tokens": 50,
        }
        | columns
        for unit in range(units)
    ]


def log(change: Callable[[int], Row], days: int = DAYS, units: Callable[[int], int] = lambda _nth: 22) -> list[Row]:
    return [row for nth in range(days) for row in day(nth, units(nth), **change(nth))]


def ask(rows: list[Row], **options: Any) -> Analysis:
    settings = Settings(select=(RULE,), floor_usd=Decimal(0), floor_share=0.0, rules={RULE: options})
    return analyze(Ledger.of(calls(rows), book()), settings)


def said(rows: list[Row], **options: Any) -> list[Finding]:
    return list(ask(rows, **options).findings)


def test_a_longer_prompt_is_found_with_its_day_its_cause_and_its_dollars():
    (finding,) = said(log(lambda nth: {"input_tokens": 1_000 if nth < 25 else 1_800}))
    assert finding.subject == {"task": "triage"}
    assert abs(finding.evidence["day"][0] - (START + timedelta(days=25)).date()) <= timedelta(days=1)
    assert finding.details["bridge"]["factor"][0] == "input tokens"
    assert "input tokens" in finding.title
    assert finding.evidence["excess_usd"].sum() == finding.stake_usd > 0
    assert finding.low_usd < finding.stake_usd < finding.high_usd
    assert finding.confidence is Confidence.HIGH
    assert finding.evidence["request_id"][0].endswith("-0")  # the first unit of that day


def test_the_excess_is_the_difference_of_means_times_the_units_after():
    def flat(nth: int) -> list[Row]:
        rows = day(nth)
        return [row | {"input_tokens": 1_000 if nth < 20 else 2_000, "output_tokens": 0} for row in rows]

    (finding,) = said([row for nth in range(40) for row in flat(nth)])
    # 1,000 tokens more at 10 USD per million, for 20 days of 22 units each.
    assert finding.stake_usd == Decimal("0.01") * 20 * 22


def test_more_calls_a_run_are_a_regression_of_the_run():
    rows = []
    for nth in range(30):
        for row in day(nth):
            steps = 2 if nth < 15 else 4
            rows += [
                row | {"run_id": row["request_id"], "request_id": f"{row['request_id']}-{k}"} for k in range(steps)
            ]
    (finding,) = said(rows)
    assert finding.details["bridge"]["factor"][0] == "calls per unit"


def test_a_task_of_a_few_units_a_day_is_watched_in_bins():
    (finding,) = said(log(lambda nth: {"input_tokens": 1_000 if nth < 60 else 2_500}, days=100, units=lambda _nth: 2))
    found = finding.evidence["day"][0] - START.date()
    assert timedelta(days=55) <= found <= timedelta(days=65)


def test_a_slow_drift_is_found_and_marked_as_a_guess():
    (finding,) = said(log(lambda nth: {"input_tokens": round(1_000 * 1.012**nth)}, days=60))
    assert "slowly" in finding.title or finding.details["days"].height == 60
    drifts = said(log(lambda nth: {"input_tokens": round(1_000 * 1.003**nth)}, days=60), min_change=0.12)
    assert all(f.confidence is Confidence.LOW for f in drifts)


# --- silence --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rows",
    [
        log(lambda _nth: {}),
        log(lambda _nth: {}, units=lambda nth: 20 + nth * 2),
        log(lambda nth: {"input_tokens": 1_600 if nth % 7 >= 5 else 1_000}),
        log(lambda nth: {"input_tokens": 9_000 if nth == 20 else 1_000}),
        log(lambda nth: {"input_tokens": 3_000 if nth == 41 else 1_000}),
        log(lambda _nth: {"model": "falling"}, days=90),
        log(lambda nth: {"input_tokens": 1_000 if nth < 38 else 2_000}),
        log(lambda nth: {"input_tokens": 2_000 if nth < 20 else 1_000}),
    ],
    ids=[
        "no change",
        "growth in volume",
        "weekly wave",
        "one outlier day",
        "the last day",
        "a price cut",
        "too few days since",
        "cheaper",
    ],
)
def test_it_is_silent_on(rows):
    answer = ask(rows)
    assert answer.findings == ()
    assert answer.clean == (RULE,)


def test_a_price_cut_does_not_hide_a_regression():
    """Prices halve on day 59; the prompt doubles on the same day: dollars a unit stay the same."""
    rows = log(lambda nth: {"model": "falling", "input_tokens": 1_000 if nth < 59 else 2_000}, days=90)
    (finding,) = said(rows)
    assert finding.evidence["day"][0] == datetime(2026, 10, 1, tzinfo=UTC).date()


def test_another_mix_of_tasks_is_no_regression():
    rows = log(lambda _nth: {"task": "cheap"}, units=lambda nth: 60 if nth < 20 else 25)
    rows += log(lambda _nth: {"task": "dear", "input_tokens": 8_000}, units=lambda nth: 25 if nth < 20 else 60)
    assert said(rows) == []


def test_another_mix_of_tenants_is_no_regression():
    rows = log(lambda _nth: {"tenant": "light"}, units=lambda nth: 40 if nth < 20 else 20)
    rows += log(lambda _nth: {"tenant": "heavy", "input_tokens": 5_000}, units=lambda nth: 20 if nth < 20 else 40)
    assert said(rows) == []


def test_one_tenant_that_got_dearer_is_named_where_its_task_hides_it():
    rows = log(lambda nth: {"tenant": "north", "input_tokens": 300 if nth < 20 else 600})
    rows += log(lambda _nth: {"tenant": "south", "input_tokens": 20_000}, units=lambda _nth: 30)
    (finding,) = said(rows)
    assert finding.subject == {"task": "triage", "tenant": "north"}


def test_a_last_day_that_ends_early_is_left_out():
    rows = log(lambda _nth: {})
    cut = [row for row in rows if row["started_at"] < START + timedelta(days=41, hours=6)]
    for row in cut:
        if row["started_at"] >= START + timedelta(days=41):
            row["input_tokens"] = 10_000
    assert said(cut) == []


def test_under_twelve_points_it_cannot_look_but_compares_with_a_baseline():
    few = log(lambda _nth: {}, days=8)
    (why,) = (n.why for n in ask(few).not_checked)
    assert "12 days" in why
    now = calls(log(lambda _nth: {"input_tokens": 2_000}, days=8))
    settings = Settings(select=(RULE,), floor_usd=Decimal(0), floor_share=0.0)
    (finding,) = analyze(Ledger.of(now, book(), baseline=calls(few)), settings).findings
    assert "window before" in finding.title
    assert finding.evidence["excess_usd"].sum() == finding.stake_usd
    assert finding.low_usd <= finding.stake_usd <= finding.high_usd


def test_a_level_that_comes_back_is_told_with_both_its_ends():
    (finding,) = said(log(lambda nth: {"input_tokens": 2_500} if 12 <= nth < 24 else {}))
    assert finding.evidence.height == 12
    ends = [START + timedelta(days=nth) for nth in (12, 23)]
    assert f"from {ends[0]:%Y-%m-%d} to {ends[1]:%Y-%m-%d}" in finding.title


def test_five_days_of_ten_times_the_cost_are_an_episode_and_one_such_day_is_none():
    (finding,) = said(log(lambda nth: {"input_tokens": 14_000} if 15 <= nth < 20 else {}))
    assert finding.evidence.height == 5
    assert said(log(lambda nth: {"input_tokens": 14_000} if nth == 15 else {})) == []


def test_the_end_of_a_dip_is_no_regression():
    assert said(log(lambda nth: {"input_tokens": 500} if 14 <= nth < 22 else {})) == []


def test_one_clear_change_survives_among_hundreds_of_series():
    """999 shuffles cannot give less than 0.001, and 0.1/300 is less."""
    days = [START.date() + timedelta(days=nth) for nth in range(40)]
    usd = pl.Series([Decimal(1 + nth % 3) + 5 * (nth >= 20) for nth in range(40)], dtype=USD)
    points = pl.DataFrame({"day": days, "last_day": days, "units": 20, "cost_usd": usd, "first": 0})
    change = Change(Series("t", None, points, daily=False), 0, 20, 40, 0.001, 20, 20, 3.0, False)
    tested = _sharpened([(0.001, change), *[(0.5, None)] * 299], 0.10)
    assert 300 * tested[0][0] <= 0.10
    assert _sharpened([(0.001, change)], 0.10) == [(0.001, change)]


def test_the_order_of_the_rows_changes_nothing():
    rows = log(lambda nth: {"input_tokens": 1_000 if nth < 25 else 1_800})
    priced = calls(rows)
    settings = Settings(select=(RULE,), floor_usd=Decimal(0), floor_share=0.0)
    answers = [
        analyze(Ledger.of(frame, book()), settings).findings
        for frame in (priced, priced.sample(fraction=1, shuffle=True, seed=1))
    ]
    assert [repr(f) for f in answers[0]] == [repr(f) for f in answers[1]]


def test_false_alarms_on_unchanged_heavy_tailed_series_are_rare():
    """Daily means of 50 log-normal units (cv 1.3) with a weekly wave, no change: alarms over 300 series."""
    random = Random(5)
    alarms = 0
    for seed in range(300):
        wave = [0.2 if nth % 7 >= 5 else 0.0 for nth in range(60)]
        values = [math.log(sum(math.exp(random.gauss(0, 1)) for _ in range(50)) / 50) + w for w in wave]
        days = [START.date() + timedelta(days=nth) for nth in range(60)]
        effect = weekday_effects(days, values)
        flat = [v - effect[d.weekday()] for v, d in zip(values, days, strict=True)]
        alarms += bool(steps(flat, seed, alpha=0.01, min_change=0.1, follow=5))
    assert alarms <= 9  # 1 % of 300 is 3; more than 9 has a probability of 0.1 %


# --- real data ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("series", "truth", "found"),
    [
        (1, 146, [87, 144, 206]),
        (2, 97, [97]),
        (3, 179, [179]),  # and not the outlier at 42
        (5, None, []),
    ],
)
def test_quality_control_series_change_where_their_makers_say(shared, series, truth, found):
    file = shared / "datasets" / "changepoint_truth" / f"quality_control_{series}.json"
    values = json.loads(file.read_text())["series"][0]["raw"]
    indices = splits(values, 7, alpha=0.01)
    assert indices == found
    assert truth is None or min(abs(index - truth) for index in indices) <= 2


def test_a_periodic_series_whose_season_is_not_removed_is_the_known_limit(shared):
    """Shuffling in blocks of a week keeps a wave of 20 points from looking like many changes; the true one is lost."""
    file = shared / "datasets" / "changepoint_truth" / "quality_control_4.json"
    values = json.loads(file.read_text())["series"][0]["raw"]
    assert len(splits(values, 7, alpha=0.01)) <= 2


def test_a_nightly_benchmark_keeps_the_change_that_blocks_of_a_week_can_prove(shared):
    """The reference detector says 15 and 71. Fifteen points are two blocks: chance puts them first in 4 % of orders."""
    frame = pl.read_csv(shared / "datasets" / "changepoint_truth" / "tigerbeetle.csv")
    values = [math.log(value) for value in frame["value"]]
    assert [step.index for step in steps(values, 7, alpha=0.01, min_change=0.05, follow=5)] == [71]
    assert {15, 71} <= set(splits(values, 7, alpha=0.05))
