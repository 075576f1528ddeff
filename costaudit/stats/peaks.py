"""The fullest minutes of a log, and how full those of the next window of the same length will be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from statistics import fmean, stdev

from costaudit.stats.normal import Interval, seed_of, student_quantile

PEAK = 0.999  # quantile of the minutes that counts as the peak: a minute in a thousand may be retried
DAYS, BLOCKS = 14, 14  # days from which days are drawn; blocks of an hour or a minute that a shorter log must have
DRAWS = 400
LEVEL = 0.95  # of the interval: a limit is broken by the one minute that lies outside
EULER = 0.5772156649015329
STICKY = 0.9  # a lag-1 autocorrelation beyond it says that there is one block, not how many


def peak(minutes: Mapping[int, float], span: int) -> float:
    """The 99.9 % quantile of `span` minutes of which only those with traffic are listed, by their number."""
    place = math.ceil(PEAK * span) - (span - len(minutes))  # rank among the minutes that have calls
    return sorted(minutes.values())[place - 1] if place > 0 else 0.0


def peak_ahead(minutes: Mapping[int, float], span: int, *, level: float = LEVEL) -> Interval:
    """The peak, and the interval in which that of the next `span` minutes lies, if they are like these.

    From 14 days on: days drawn with replacement. A shorter log has no minute to spare above the quantile, so its
    maximum is extrapolated: Gumbel's law fitted by moments to the maxima of hours, or minutes (Coles, An Introduction
    to Statistical Modeling of Extreme Values, 2001, chapter 3). Blocks that resemble their neighbours count for fewer
    (n·(1 - r)/(1 + r) with r the lag-1 autocorrelation), which lowers the low end. Under 14 minutes: no upper end
    beyond the peak itself.
    """
    value = peak(minutes, span)
    if not minutes or span < BLOCKS:
        return Interval(value, 0.0, value)
    days = span // 1_440
    low, high = _drawn(minutes, span, level) if days >= DAYS else _gumbel(_maxima(minutes, span), level)
    return Interval(value, max(0.0, min(low, value)), max(high, value))


def _drawn(minutes: Mapping[int, float], span: int, level: float) -> tuple[float, float]:
    """Ends of the quantile over draws of whole days."""
    import numpy as np
    from numpy.random import PCG64, Generator

    days = span // 1_440
    above = 1_440 * days - math.ceil(PEAK * 1_440 * days) + 1  # rank from the top
    # Of a day only the fullest minutes can be among the fullest of a draw.
    tops: list[list[float]] = [[] for _ in range(days)]
    for minute, value in minutes.items():
        if minute // 1_440 < days:
            tops[minute // 1_440].append(value)
    table = np.zeros((days, above))
    for day, values in enumerate(tops):
        most = sorted(values, reverse=True)[:above]
        table[day, : len(most)] = most
    random = Generator(PCG64(seed_of("peak")))
    picked = np.floor(random.random((DRAWS, days)) * days).astype(int)
    drawn = np.sort(table[picked].reshape(DRAWS, -1), axis=1)[:, -above]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _maxima(minutes: Mapping[int, float], span: int) -> list[float]:
    """The fullest minute of each hour, of each minute where there are under 14 hours."""
    size = 60 if span // 60 >= BLOCKS else 1
    found = [0.0] * (span // size)
    for minute, value in minutes.items():
        if minute // size < len(found):
            found[minute // size] = max(found[minute // size], value)
    return found


def _gumbel(maxima: list[float], level: float) -> tuple[float, float]:
    n, mean, sd = len(maxima), fmean(maxima), stdev(maxima)
    if not sd:
        return mean, mean
    lag = math.fsum((x - mean) * (y - mean) for x, y in pairwise(maxima)) / ((n - 1) * sd * sd)
    lag = min(max(lag, 0.0), STICKY)
    alone = max(1.0, n * (1 - lag) / (1 + lag))
    scale = sd * math.sqrt(6) / math.pi
    location = mean - EULER * scale
    t = student_quantile((1 + level) / 2, max(alone - 1, 1.0))

    def end(m: float, p: float) -> tuple[float, float]:
        """The median of the largest of m blocks, and how far from it the share p lies: by chance, and by the error of
        mean and spread, of which the next window has its own."""
        centre = location + scale * (math.log(m) - math.log(math.log(2)))
        chance = scale * (math.log(math.log(2)) - math.log(-math.log(p)))
        error = t * sd * math.sqrt((2 + ((centre - mean) / sd) ** 2 / 2) / alone)
        return centre, math.hypot(chance, error)

    (few, below), (many, above) = end(alone, (1 - level) / 2), end(n, (1 + level) / 2)
    return few - below, many + above
