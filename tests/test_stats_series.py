"""Statistics of a series of days: where its level changes, and where it goes."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costaudit import stats

scipy_stats = pytest.importorskip("scipy.stats", reason="scipy is the oracle of these tests (extra `dev`)")

# Change points


def _series(seed: int, n: int, jump: float = 0.0, at: int = 0) -> list[float]:
    source = random.Random(seed)
    return [source.gauss(jump if i >= at > 0 else 0.0, 1.0) for i in range(n)]


def test_a_clear_step_is_found_at_its_place():
    found = stats.change_point(_series(1, 60, jump=3.0, at=25), seed=1)
    assert (found.index, found.p) == (25, 1 / 200)
    assert found.low <= 25 <= found.high


def test_unchanged_series_raise_one_alarm_in_a_hundred():
    alarms = sum(stats.change_point(_series(i, 40), seed=i).p <= 0.01 for i in range(1_000))
    assert alarms / 1_000 <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / 1_000)


def test_one_outlier_is_no_change_of_level():
    series = _series(3, 60)
    series[30] = 500.0
    assert stats.change_point(series, seed=1).p > 0.01


def test_a_stretch_is_found_with_both_its_ends_and_chance_gives_one_in_two_hundred():
    series = [x + 2.0 * (20 <= n < 32) for n, x in enumerate(_series(1, 60))]
    found = stats.episode(series, seed=1)
    assert (found.first, found.end, found.p) == (20, 32, 1 / 400)
    spike = _series(3, 60)
    spike[30] = 500.0
    assert stats.episode(spike, seed=1) is None
    alarms = sum(stats.episode(_series(i, 40), seed=i) is not None for i in range(400))
    assert alarms / 400 <= 0.005 + 3 * math.sqrt(0.005 * 0.995 / 400)


def test_slow_waves_are_shuffled_in_blocks_and_raise_fewer_alarms_than_loose_days():
    source = random.Random(9)
    alarms = 0
    for trial in range(100):
        level, series = 0.0, []
        for _ in range(70):
            level = 0.5 * level + source.gauss(0, 1)
            series.append(level)
        alarms += stats.change_point(series, seed=trial).p <= 0.01
    assert alarms <= 10


def test_a_change_point_is_the_same_for_the_same_seed_and_only_depends_on_ranks():
    series = _series(5, 50, jump=0.8, at=20)
    once, again = stats.change_point(series, seed=3), stats.change_point(series, seed=3)
    assert once == again == stats.change_point([math.exp(x) for x in series], seed=3)


@pytest.mark.parametrize("values", [[1.0] * 6, [2.0] * 50])
def test_a_constant_series_has_no_change(values):
    assert stats.change_point(values, seed=1).p == pytest.approx(1.0, abs=0.5)
    assert stats.change_point(values, seed=1).p > 0.01


def test_a_series_too_short_to_split_is_refused():
    with pytest.raises(ValueError, match="too few"):
        stats.change_point([1.0] * 5, seed=1)


# Trends


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.floats(-1e3, 1e3)),
        min_size=2,
        max_size=30,
        unique_by=(lambda p: p[0], lambda p: p[1]),
    )
)
def test_theil_sen_agrees_with_scipy(points):
    x, y = [float(p[0]) for p in points], [p[1] for p in points]
    assert stats.theil_sen(x, y) == pytest.approx(scipy_stats.theilslopes(y, x).slope, rel=1e-9, abs=1e-9)


def test_the_incomplete_slope_of_a_long_series_is_close():
    source = random.Random(1)
    x = [float(i) for i in range(5_000)]
    assert stats.theil_sen(x, [0.5 * i + source.gauss(0, 10) for i in x]) == pytest.approx(0.5, rel=0.01)


def test_mann_kendall_is_near_the_exact_test_and_sees_no_trend_in_a_constant():
    source = random.Random(2)
    values = [0.05 * i + source.gauss(0, 1) for i in range(40)]
    exact = scipy_stats.kendalltau(range(40), values, method="exact").pvalue
    assert stats.mann_kendall(values) == pytest.approx(exact, abs=0.005)
    assert stats.mann_kendall([1.0] * 20) == 1.0
    assert stats.mann_kendall([]) == stats.mann_kendall([1.0]) == 1.0
