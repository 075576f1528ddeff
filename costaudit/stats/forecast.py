"""Where daily spend goes: the trend of whole weeks beside the week before, with an interval that was back-tested.

Trend: ln(weekly spend) = a + g·t with g by Theil-Sen, the days of a week as weeks of the log had them. Interval:
residual block bootstrap (blocks of weeks; residuals widened for the two fitted numbers as a Student interval is).
Back-test: rolling origin. An interval that holds in under 70 % of the origins is widened by split conformal prediction;
a trend that does not beat the week before is not shown, the week before is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from statistics import fmean
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from costaudit.stats.normal import Interval, normal_quantile, seed_of, student_quantile
from costaudit.stats.series import theil_sen
from costaudit.stats.spread import conformal_width

if TYPE_CHECKING:
    from numpy import floating
    from numpy.random import Generator
    from numpy.typing import NDArray

    Array = NDArray[floating]

TREND, NAIVE, RATE = "trend", "seasonal naive", "run-rate"
WEEKS = 4  # whole weeks from which there is a trend
RECENT = 28  # days of a run-rate
FEW = 3  # days under which their spread says nothing
LONGEST = 26  # weeks that make it: half a year, older weeks say little about the next ones
STEEPEST = math.log(2)  # a week; nothing that doubles faster is extrapolated faster
DRAWS, TEST_DRAWS = 800, 300
ORIGINS = 12  # of the back-test at most
ENOUGH = 4  # origins from which errors can carry an 80 % interval
TRUSTED = 0.7  # hit rate under which the interval is widened
DEPENDENT = 0.3  # lag-1 autocorrelation of the residuals above which they are drawn in pairs of weeks


class Backtest(msgspec.Struct, frozen=True):
    """The same forecast made at earlier weeks, against what came.

    weeks   ahead; hits: origins whose spend fell inside the interval of what is shown, of `origins`; that of the last
            week again is made of the errors of the other origins
    error   mean |ln(actual/forecast)| of the trend, and of the week before repeated
    """

    origins: int
    weeks: int
    hits: int
    error: float
    naive_error: float

    @property
    def hit_rate(self) -> float:
        return self.hits / self.origins


class Outlook(msgspec.Struct, frozen=True):
    """Daily spend after `last` [USD].

    kind      what is shown: trend; seasonal naive (the last week again) where the trend does not beat it; run-rate
              (the mean day, no forecast) under four whole weeks
    weeks     whole weeks of history used; days: days of history
    growth    trend of weekly spend: 0.05 is 5 % more every week
    widened   whether the interval was widened because it held too rarely
    daily     likely spend of each day to come; naive: the last week again (run-rate: the mean day)
    """

    kind: str
    last: date
    days: int
    weeks: int
    growth: float
    backtest: Backtest | None
    widened: bool
    level: float
    daily: tuple[float, ...]
    naive: tuple[float, ...]
    _draws: Any = None
    _width: float = 0.0  # half-width of ln(spend) at the weeks of the back-test
    _noise: float = 0.0  # standard deviation of a day: of its ln, for a run-rate in USD

    def over(self, start: date, end: date) -> Interval:
        """Spend of the days from `start` to `end`, both included; days before the first one to come are left out."""
        i, j = max(0, (start - self.last).days - 1), (end - self.last).days
        if j > len(self.daily):
            raise ValueError(f"{end} lies beyond the forecast")
        if j <= i:
            return Interval(0.0, 0.0, 0.0)
        mid = math.fsum(self.daily[i:j])
        z = normal_quantile((1 + self.level) / 2)
        if self.kind == RATE:
            known = min(self.days, RECENT)
            t = student_quantile((1 + self.level) / 2, max(1, known - 1))
            half = t * self._noise * math.sqrt((j - i) * (1 + (j - i) / known))
            return Interval(mid, max(0.0, mid - half), mid + half)
        low = high = mid
        if self._draws is not None:
            mid, low, high = _ends(self._draws[:, i:j].sum(axis=1), self.level)
        if self._width:
            grown = _wandered(i / 7, j / 7) / _wandered(0, self.backtest.weeks if self.backtest else 1)
            width = math.hypot(self._width * math.sqrt(max(1.0, grown)), z * self._noise / math.sqrt(j - i))
            low, high = min(low, mid * math.exp(-width)), max(high, mid * math.exp(width))
        return Interval(mid, low, high)

    def path(self) -> list[Interval]:
        """Cumulative spend after each of the days to come."""
        start = self.last + timedelta(days=1)
        return [self.over(start, self.last + timedelta(days=k)) for k in range(1, len(self.daily) + 1)]


def forecast(history: Mapping[date, float], last: date, until: date, *, level: float = 0.8) -> Outlook:
    """Spend from the day after `last` to `until`, from the spend of each day up to `last`; days without any are zero.

    The trend needs four whole weeks with spend. ValueError for a history without a day.
    """
    import numpy as np

    first = min(history)
    n = (last - first).days + 1
    ahead = max(0, (until - last).days)
    recent = [history.get(last - timedelta(days=k), 0.0) for k in range(min(n, 7 * LONGEST) - 1, -1, -1)]
    weeks = len(recent) // 7
    table = np.asarray(recent[len(recent) - 7 * weeks :], float).reshape(weeks, 7)
    if weeks < WEEKS or int((table.sum(axis=1) > 0).sum()) < WEEKS or not table[-1].sum():
        return _rate(recent, last, n, ahead, level)
    draws, growth = _simulated(table, ahead, DRAWS, seed_of("forecast"))
    mid = np.median(draws, axis=0) if ahead else np.zeros(0)
    naive = np.resize(table[-1], ahead)
    tests, errors, naive_errors = _backtest(table, max(1, -(-ahead // 7)), level)
    kind, width, widened = TREND, 0.0, False
    if tests is not None and len(errors) >= ENOUGH:
        if tests.naive_error <= tests.error:
            kind, width = NAIVE, _conformal(naive_errors, level)
            tests = replace(tests, hits=_held(naive_errors, level))
        elif tests.hit_rate < TRUSTED:
            width, widened = _conformal(errors, level), True
    shown = naive if kind == NAIVE else mid
    return Outlook(
        kind=kind,
        last=last,
        days=n,
        weeks=weeks,
        growth=math.expm1(growth),
        backtest=tests,
        widened=widened,
        level=level,
        daily=tuple(map(float, shown)),
        naive=tuple(map(float, naive)),
        _draws=None if kind == NAIVE else draws,
        _width=width,
        _noise=_day_noise(table) if kind == NAIVE else 0.0,
    )


def _wandered(start: float, end: float) -> float:
    """Variance of the mean of a random walk over the weeks from `start` to `end`, in steps of a week."""
    m = max(1.0, end - start)
    return start + (m + 1) * (2 * m + 1) / (6 * m)


def _rate(values: Sequence[float], last: date, n: int, ahead: int, level: float) -> Outlook:
    """The mean day and the spread of days: no forecast. Under three days that spread is taken to be the mean itself."""
    recent = values[-RECENT:]
    mean = fmean(recent)
    sd = math.sqrt(math.fsum((x - mean) ** 2 for x in recent) / max(len(recent) - 1, 1))
    sd = max(sd, mean) if n < FEW else sd
    daily = (mean,) * ahead
    return Outlook(RATE, last, n, n // 7, 0.0, None, False, level, daily, daily, None, 0.0, sd)


def _simulated(table: Array, ahead: int, draws: int, seed: int) -> tuple[Array, float]:
    """Draws of the days to come [draws, ahead], and the growth of ln(weekly spend) a week.

    table  spend by whole week and day, the last week last
    """
    import numpy as np
    from numpy.random import PCG64, Generator

    sums = table.sum(axis=1)
    paid = sums > 0
    t = np.flatnonzero(paid).astype(float)
    y = np.log(sums[paid])
    growth = float(np.clip(theil_sen(t.tolist(), y.tolist()), -STEEPEST, STEEPEST))
    start = float(np.median(y - growth * t))
    residuals = (y - start - growth * t) * _inflation(len(y))
    random = Generator(PCG64(seed))
    block = 2 if len(y) >= 8 and _lag(residuals) > DEPENDENT else 1
    refit = start + growth * t + residuals[_blocks(random, draws, len(y), len(y), block)]
    i, j = np.triu_indices(len(t), 1)
    slopes = np.clip(np.median((refit[:, j] - refit[:, i]) / (t[j] - t[i]), axis=1), -STEEPEST, STEEPEST)
    starts = np.median(refit - slopes[:, None] * t, axis=1)
    weeks = max(1, -(-ahead // 7))
    factor = np.zeros(len(sums))
    factor[paid] = np.exp(residuals)
    days = np.zeros_like(table)
    days[paid] = table[paid] / sums[paid, None]
    drawn = _blocks(random, draws, weeks, len(sums), block)
    to_come = len(sums) - 1 + np.arange(1, weeks + 1)
    levels = np.exp(np.minimum(starts[:, None] + slopes[:, None] * to_come, 700.0)) * factor[drawn]
    daily: Array = (levels[:, :, None] * days[drawn]).reshape(draws, 7 * weeks)[:, :ahead]
    return daily, growth


def _inflation(n: int) -> float:
    """By how much n residuals of a line with two fitted numbers are too small, tails of Student's t included."""
    return math.sqrt(n / (n - 2)) * student_quantile(0.9, n - 2) / normal_quantile(0.9)


def _blocks(random: Generator, draws: int, length: int, of: int, block: int) -> Any:
    """Places 0..of-1 drawn in runs of `block`: [draws, length]."""
    import numpy as np

    starts = np.floor(random.random((draws, -(-length // block))) * (of - block + 1)).astype(int)
    return (starts[:, :, None] + np.arange(block)).reshape(draws, -1)[:, :length]


def _lag(residuals: Array) -> float:
    apart = residuals - residuals.mean()
    spread = float((apart**2).sum())
    return float((apart[1:] * apart[:-1]).sum()) / spread if spread else 0.0


def _ends(sums: Array, level: float) -> tuple[float, float, float]:
    import numpy as np

    low, mid, high = np.quantile(sums, [(1 - level) / 2, 0.5, (1 + level) / 2])
    return float(mid), float(low), float(high)


def _backtest(table: Array, ahead: int, level: float) -> tuple[Backtest | None, list[float], list[float]]:
    """Rolling origin: from each of the last weeks with four before them, the weeks that followed.

    As many weeks ahead as asked for, fewer where that would leave under four origins.
    """
    import numpy as np

    weeks = len(table)
    ahead = max(1, min(ahead, weeks - WEEKS - ENOUGH + 1))
    hits, errors, naive = 0, [], []
    sums = table.sum(axis=1)
    for origin in range(max(WEEKS, weeks - ahead - ORIGINS + 1), weeks - ahead + 1):
        actual = float(sums[origin : origin + ahead].sum())
        before = sums[:origin]
        if actual <= 0 or before[-1] <= 0 or int((before > 0).sum()) < WEEKS:
            continue
        drawn, _ = _simulated(table[:origin], 7 * ahead, TEST_DRAWS, seed_of("forecast", str(origin)))
        mid, low, high = _ends(drawn.sum(axis=1), level)
        hits += low * (1 - 1e-9) <= actual <= high * (1 + 1e-9)
        errors.append(abs(math.log(actual / mid)))
        naive.append(abs(math.log(actual / (ahead * float(before[-1])))))
    if not errors:
        return None, [], []
    return Backtest(len(errors), ahead, hits, float(np.mean(errors)), float(np.mean(naive))), errors, naive


def _conformal(errors: Sequence[float], level: float) -> float:
    """Half-width from the back-test errors; the largest where they are too few to carry the level."""
    if math.ceil((len(errors) + 1) * level) > len(errors):
        return max(errors)
    return conformal_width(errors, level)


def _held(errors: Sequence[float], level: float) -> int:
    """How many errors lie within the half-width that the others give."""
    return sum(e <= _conformal([*errors[:k], *errors[k + 1 :]], level) for k, e in enumerate(errors))


def _day_noise(table: Array) -> float:
    """Spread of ln(day) about the weekday's usual share of its week, over days with spend."""
    import numpy as np

    sums = table.sum(axis=1, keepdims=True)
    shares = np.divide(table, sums, out=np.zeros_like(table), where=sums > 0)
    usual = shares.mean(axis=0)
    paid = (shares > 0) & (usual > 0)
    return float(np.std(np.log(shares[paid] / np.broadcast_to(usual, shares.shape)[paid]))) if paid.any() else 0.0
