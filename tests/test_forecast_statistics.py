"""Where daily spend goes, and how full the next minutes are: planted series, and traffic of real services."""

from __future__ import annotations

import csv
import json
import math
import random
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from costaudit.stats import Outlook, forecast, peak, peak_ahead
from costaudit.stats.forecast import NAIVE, RATE, TREND

FIRST = date(2026, 1, 5)  # a Monday
WEEKEND = (1.2, 1.2, 1.1, 1.1, 1.0, 0.4, 0.2)


def last_of(weeks: int) -> date:
    return FIRST + timedelta(days=7 * weeks - 1)


def series(weeks: int, growth: float = 1.0, *, season: bool = False, noise: float = 0.0, seed: int = 0):
    """$100 a day, times `growth` every week, with a weekday profile and log-normal noise."""
    source = random.Random(seed)
    days = (FIRST + timedelta(days=k) for k in range(7 * weeks))
    return {
        day: 100.0
        * growth ** (k // 7)
        * (WEEKEND[day.weekday()] if season else 1.0)
        * math.exp(source.gauss(0, noise) if noise else 0.0)
        for k, day in enumerate(days)
    }


def ahead(history: dict[date, float], weeks: int) -> Outlook:
    last = max(history)
    return forecast(history, last, last + timedelta(days=7 * weeks))


def total(outlook: Outlook):
    return outlook.over(outlook.last + timedelta(days=1), outlook.last + timedelta(days=len(outlook.daily)))


@pytest.mark.parametrize("growth", [1.1, 0.9])
def test_exponential_spend_without_noise_is_continued_exactly(growth):
    found = ahead(series(10, growth), 2)
    assert (found.kind, round(found.growth, 6)) == (TREND, round(growth - 1, 6))
    assert total(found) == pytest.approx(3 * [700 * growth**10 + 700 * growth**11])
    assert found.backtest is not None
    assert (found.backtest.hit_rate, found.backtest.error) == (1.0, pytest.approx(0, abs=1e-9))


def test_the_weekday_profile_goes_on():
    found = ahead(series(6, season=True), 1)
    assert found.daily == pytest.approx([100 * share for share in WEEKEND])


def test_after_a_step_the_week_before_is_nearer_than_the_trend_and_is_shown():
    history = series(12) | {FIRST + timedelta(days=k): 200.0 for k in range(56, 84)}
    found = ahead(history, 1)
    assert found.kind == NAIVE
    assert total(found).value == pytest.approx(1_400)
    assert found.backtest is not None
    assert found.backtest.naive_error < found.backtest.error
    assert found.backtest.hits == found.backtest.origins - 1  # its interval, without the origin before the step


def test_under_four_weeks_there_is_a_run_rate_and_no_forecast():
    found = ahead({FIRST + timedelta(days=k): 10.0 + k for k in range(10)}, 1)
    assert (found.kind, found.backtest, found.growth) == (RATE, None, 0.0)
    low, high = total(found).low, total(found).high
    assert total(found).value == pytest.approx(7 * 14.5)
    assert low < 7 * 14.5 < high


def test_cumulative_spend_never_falls_and_ends_where_the_sum_does():
    found = ahead(series(9, 1.05, season=True, noise=0.3, seed=3), 4)
    path = found.path()
    for side in ("low", "value", "high"):
        values = [getattr(point, side) for point in path]
        assert values == sorted(values)
    assert path[-1] == total(found)
    assert all(p.low <= p.value <= p.high for p in path)


def test_the_same_history_gives_the_same_digits():
    assert total(ahead(series(8, noise=0.2), 4)) == total(ahead(series(8, noise=0.2), 4))


def test_days_beyond_the_forecast_are_refused():
    found = ahead(series(6), 1)
    with pytest.raises(ValueError, match="beyond"):
        found.over(last_of(6), last_of(6) + timedelta(days=8))


def test_weeks_without_spend_do_not_end_the_forecast():
    history = series(10)
    history |= {FIRST + timedelta(days=k): 0.0 for k in range(21, 28)}
    assert total(ahead(history, 1)).value == pytest.approx(700)


def test_the_interval_holds_about_as_often_as_it_says():
    # 40 of the 200 series of bench/forecast.py; with 40 the error of a share of 0.8 is 0.06
    inside = 0
    for seed in range(40):
        whole = series(10, 1 + (seed % 4) * 0.02, season=seed % 2 == 0, noise=0.25, seed=seed)
        history = {day: usd for day, usd in whole.items() if day <= last_of(8)}
        found = total(ahead(history, 2))
        inside += found.low <= sum(usd for day, usd in whole.items() if day > last_of(8)) <= found.high
    assert 0.68 <= inside / 40 <= 0.97


# Minutes


def test_the_peak_counts_the_quiet_minutes():
    assert peak(dict.fromkeys(range(11), 10.0), 10_000) == 10.0
    assert peak(dict.fromkeys(range(10), 10.0), 10_000) == 0.0  # 9,990 of 10,000 minutes are empty: that is 99.9 %


def test_the_peak_of_days_is_drawn_from_days():
    quiet = {day * 1_440 + minute: 5.0 for day in range(28) for minute in range(60)}
    loud = quiet | {1_440 + minute: 50.0 for minute in range(60)}
    assert peak_ahead(quiet, 28 * 1_440) == (5.0, 5.0, 5.0)
    found = peak_ahead(loud, 28 * 1_440)
    assert (found.value, found.low, found.high) == (50.0, 5.0, 50.0)  # without that day the next month has none of it


def halves(events: list[tuple[float, int]]) -> list[tuple[Counter[int], int, int]]:
    """Requests and tokens a minute of the first half, its minutes, and the peak minute of the second half."""
    start, half = events[0][0], (events[-1][0] - events[0][0]) / 2
    n = int(half // 60)
    found = []
    for weigh in (lambda _tokens: 1, lambda tokens: tokens):
        sides: tuple[Counter[int], Counter[int]] = (Counter(), Counter())
        for at, tokens in events:
            late = at - start >= half
            sides[late][int((at - start - half * late) // 60)] += weigh(tokens)
        first = Counter({minute: value for minute, value in sides[0].items() if minute < n})
        found.append((first, n, max(value for minute, value in sides[1].items() if minute < n)))
    return found


def azure(path: Path) -> list[tuple[float, int]]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        (datetime.fromisoformat(r["TIMESTAMP"][:26]).timestamp(), int(r["ContextTokens"]) + int(r["GeneratedTokens"]))
        for r in rows
    ]


def mooncake(path: Path) -> list[tuple[float, int]]:
    calls = [json.loads(line) for line in path.read_text().splitlines()]
    return sorted((c["timestamp"] / 1_000, c["input_length"] + c["output_length"]) for c in calls)


@pytest.mark.parametrize(
    ("file", "read"),
    [
        ("azure_llm_2023/AzureLLMInferenceTrace_code.csv", azure),
        ("azure_llm_2023/AzureLLMInferenceTrace_conv.csv", azure),
        ("mooncake_conversation/conversation_trace.jsonl", mooncake),
    ],
    ids=["code", "conversation", "mooncake"],
)
def test_the_peak_minute_of_the_second_half_lies_where_the_first_half_says(shared, file, read):
    for minutes, n, actual in halves(read(shared / "datasets" / file)):
        found = peak_ahead(minutes, n)
        assert found.low <= actual <= found.high
        assert found.high < 3 * found.value  # an interval that holds everything says nothing
