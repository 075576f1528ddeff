"""Where spend is going in the days to come: the level of each weekday, the trend of whole weeks, a spread of days."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import fmean

from costaudit.stats import theil_sen

RECENT = 28  # days that make the level
LONGEST = 84  # days that make the trend
WHOLE_WEEKS = 4  # weeks from which there is a trend
SPREAD = 1.2816  # standard deviations: the ends of an 80 % interval
STEEPEST = math.log(2)  # a week; nothing that doubles faster is extrapolated faster


@dataclass(frozen=True, slots=True)
class Ahead:
    """Cumulative spend after each of the days to come [USD]: the likely path and the ends of its 80 % interval."""

    days: tuple[date, ...]
    low: tuple[float, ...]
    mid: tuple[float, ...]
    high: tuple[float, ...]


def ahead(history: Mapping[date, float], last: date, until: date) -> Ahead:
    """Spend from the day after `last` to `until`, from the spend of each day up to `last`; days without any are zero.

    Under four whole weeks: the mean day. From then on the mean of each weekday in the last four weeks, times the
    Theil-Sen trend of ln(weekly spend). Spread: deviations of the days from that level, independent, plus the error
    of the level itself.
    """
    first = min(history)
    n = min((last - first).days + 1, LONGEST)
    days = [last - timedelta(days=k) for k in range(n - 1, -1, -1)]
    values = [history.get(day, 0.0) for day in days]
    growth = _trend(values) if n >= 7 * WHOLE_WEEKS else 0.0
    recent = days[-RECENT:]
    level = _level(recent, history)
    usual = [level[day.weekday()] * math.exp(growth * (k - len(recent) / 2) / 7) for k, day in enumerate(recent)]
    apart = [history.get(day, 0.0) - u for day, u in zip(recent, usual, strict=True)]
    sd = math.sqrt(sum(a * a for a in apart) / max(len(apart) - 1, 1))
    to_come = [last + timedelta(days=k) for k in range(1, (until - last).days + 1)]
    low, mid, high, sum_ = [], [], [], 0.0
    for k, day in enumerate(to_come, 1):
        sum_ += level[day.weekday()] * math.exp(growth * (k + len(recent) / 2) / 7)
        half = SPREAD * sd * math.sqrt(k * (1 + k / len(recent)))
        low.append(max(0.0, sum_ - half))
        mid.append(sum_)
        high.append(sum_ + half)
    return Ahead(tuple(to_come), tuple(low), tuple(mid), tuple(high))


def _level(days: list[date], history: Mapping[date, float]) -> list[float]:
    """Mean spend of each weekday, or of all days where four weeks are not there."""
    whole = fmean(history.get(day, 0.0) for day in days)
    if len(days) < RECENT:
        return [whole] * 7
    return [fmean(history.get(day, 0.0) for day in days if day.weekday() == k) for k in range(7)]


def _trend(values: list[float]) -> float:
    """Growth of ln(weekly spend) a week, over the whole weeks at the end of the series."""
    weeks = [math.fsum(values[end - 7 : end]) for end in range(len(values), 6, -7)][::-1]
    logs = [(k, math.log(week)) for k, week in enumerate(weeks) if week > 0]
    if len(logs) < WHOLE_WEEKS:
        return 0.0
    slope = theil_sen([k for k, _ in logs], [y for _, y in logs])
    return max(-STEEPEST, min(STEEPEST, slope))
