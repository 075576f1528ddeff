"""Ratios of mean costs: by formula where there are many even units, by resampling where there are few or one dominates.

A cluster is what varies independently: all runs of one case, or one run, or one call. Costs are not negative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

import msgspec

from costaudit.stats.normal import (
    Z95,
    Interval,
    normal_cdf,
    student_cdf,
    student_quantile,
)

if TYPE_CHECKING:
    from numpy.random import Generator

DRAWS = 2_000  # of a bootstrap: Monte-Carlo error of a 5 % bound is half a percent of the probability
CELLS = 2_000_000  # draws × clusters: bounds time and memory (16 MB)
FEW = 30  # clusters under which the normal approximation of a skewed mean is not to be trusted
SHARE = 0.2  # of spend in one cluster, above which the same holds whatever the number


class LogRatio(msgspec.Struct, frozen=True):
    """ln(mean of head / mean of base), its standard error and the degrees of freedom behind that error."""

    log: float
    se: float
    df: float

    @property
    def ratio(self) -> float:
        return math.exp(self.log)

    def interval(self, z: float = Z95) -> Interval:
        """The ratio with bounds at `z` standard errors on the log scale."""
        return Interval(self.ratio, math.exp(self.log - z * self.se), math.exp(self.log + z * self.se))

    def student(self, level: float = 0.95) -> Interval:
        """The ratio with one-sided bounds at `level` by Student's t: honest for few units."""
        return self.interval(student_quantile(level, self.df))

    def p_above(self, ratio: float) -> float:
        """One-sided p-value of "the true ratio is at most `ratio`"; an exact difference leaves no doubt."""
        distance = self.log - math.log(ratio)
        if self.se == 0:
            return 0.0 if distance > 0 else 1.0
        return 1 - student_cdf(distance / self.se, self.df)


def mean_ratio(base: Sequence[float], head: Sequence[float]) -> LogRatio:
    """Ratio of the means of two independent samples, by the delta method; Welch's degrees of freedom.

    se = √(s_a²/(n_a m_a²) + s_b²/(n_b m_b²)). ValueError under two values a side or where a mean is not positive.
    """
    parts = []
    for values in (base, head):
        if len(values) < 2:
            raise ValueError("two values a side are needed")
        mean = _positive_mean(values)
        parts.append((mean, _variance(values, mean) / (len(values) * mean * mean), len(values)))
    (m_a, v_a, n_a), (m_b, v_b, n_b) = parts
    total = v_a + v_b
    df = total * total / (v_a**2 / (n_a - 1) + v_b**2 / (n_b - 1)) if total else float(n_a + n_b - 2)
    return LogRatio(math.log(m_b / m_a), math.sqrt(total), df)


def mean_ratio_paired(base: Sequence[float], head: Sequence[float]) -> LogRatio:
    """Ratio of the means of the same units measured twice: d_i = b_i/m_b - a_i/m_a, se = sd(d)/√n."""
    if len(base) != len(head):
        raise ValueError("pairs are needed: both sides must have one value a unit")
    n = len(base)
    if n < 2:
        raise ValueError("two pairs are needed")
    m_a, m_b = _positive_mean(base), _positive_mean(head)
    d = [b / m_b - a / m_a for a, b in zip(base, head, strict=True)]
    # Differences at the rounding of a float are no spread: costs that moved by one exact factor have none.
    spread = math.sqrt(_variance(d, 0.0))
    return LogRatio(math.log(m_b / m_a), spread / math.sqrt(n) if spread > 1e-12 else 0.0, float(n - 1))


def wants_bootstrap(*sides: Sequence[float]) -> bool:
    """Whether a formula would be too sure: few clusters, or one that holds a fifth of the spend of its side.

    Above 10,000 clusters fewer than 200 draws would fit into CELLS, and the formula is the better of the two.
    """
    if max(len(side) for side in sides) > CELLS // 200:
        return False
    return any(len(side) < FEW or max(side) > SHARE * math.fsum(side) for side in sides)


def bootstrap_ratio(
    base: Sequence[float],
    head: Sequence[float],
    seed: int,
    *,
    base_sizes: Sequence[int] | None = None,
    head_sizes: Sequence[int] | None = None,
    level: float = 0.95,
) -> Interval:
    """Ratio of means of two independent samples of clusters, with one-sided bounds at `level`.

    base, head   sum of each cluster; with `*_sizes` the number of units in it (else one)

    Clusters are resampled whole. Percentiles of the log ratio are expanded for small samples (Hesterberg, The American
    Statistician 69, 2015, section 4.2): plain percentiles from ten units miss twice as often as they say.
    """
    from numpy.random import PCG64, Generator

    random = Generator(PCG64(seed))
    n = min(len(base), len(head))
    if n < 2:
        raise ValueError("two clusters a side are needed")
    draws = max(1, min(DRAWS, CELLS // max(len(base), len(head))))
    ratio = _mean(head, head_sizes) / _mean(base, base_sizes)
    drawn = _resampled(head, head_sizes, draws, random), _resampled(base, base_sizes, draws, random)
    return _bounds(ratio, [_ratio(b, a) for b, a in zip(*drawn, strict=True)], n, level)


def bootstrap_ratio_paired(base: Sequence[float], head: Sequence[float], seed: int, *, level: float = 0.95) -> Interval:
    """Ratio of means of the same clusters measured twice, pairs resampled together; bounds as in `bootstrap_ratio`."""
    import numpy as np
    from numpy.random import PCG64, Generator

    n = len(base)
    if n != len(head) or n < 2:
        raise ValueError("two pairs or more are needed, one value a side each")
    draws = max(1, min(DRAWS, CELLS // n))
    picks = (Generator(PCG64(seed)).random((draws, n)) * n).astype(np.intp)
    sums_a, sums_b = np.asarray(base, float)[picks].sum(axis=1), np.asarray(head, float)[picks].sum(axis=1)
    ratios = [_ratio(b, a) for b, a in zip(sums_b.tolist(), sums_a.tolist(), strict=True)]
    return _bounds(_positive_mean(head) / _positive_mean(base), ratios, n, level)


def exchange_p(base: Sequence[float], head: Sequence[float], seed: int, *, paired: bool) -> float:
    """One-sided p-value of "head is not dearer than base" by exchanging their units at random (Fisher, Pitman).

    Exact for any costs whatever where nothing changed: of all ways to tell the two sides apart, at most a share p gives
    head at least the cost it has. Pairs are exchanged within themselves.
    """
    import numpy as np
    from numpy.random import PCG64, Generator

    n = len(head) if paired else len(base) + len(head)
    if not base or not head or (paired and len(base) != len(head)):
        raise ValueError("two sides, and one value a side of each pair, are needed")
    draws = max(1, min(DRAWS, CELLS // n))
    uniform = Generator(PCG64(seed)).random((draws, n))
    if paired:
        a, b = np.asarray(base, float), np.asarray(head, float)
        sums = np.where(uniform < 0.5, a, b).sum(axis=1)
    else:
        pool = np.concatenate([np.asarray(head, float), np.asarray(base, float)])
        sums = pool[np.argsort(uniform, axis=1, kind="stable")[:, : len(head)]].sum(axis=1)
    seen = math.fsum(head)
    clearer = int((sums >= seen * (1 - 1e-12)).sum())  # a tie counts against the rise
    return (1 + clearer) / (1 + draws)


def cuped(values: Sequence[float], covariate: Sequence[float]) -> list[float]:
    """The values less what a covariate explains: v - θ(x - mean x), θ = cov/var; variance × (1 - ρ²).

    Deng et al. (2013). Only for covariates that the change under test cannot alter. A constant covariate explains
    nothing.
    """
    m_x, m_v = fmean(covariate), fmean(values)
    spread = math.fsum((x - m_x) ** 2 for x in covariate)
    if not spread:
        return list(values)
    theta = math.fsum((x - m_x) * (v - m_v) for x, v in zip(covariate, values, strict=True)) / spread
    return [v - theta * (x - m_x) for x, v in zip(covariate, values, strict=True)]


def variation(values: Sequence[float]) -> float:
    """Coefficient of variation: standard deviation over mean; ValueError under two values or for a mean of zero."""
    if len(values) < 2:
        raise ValueError("two values are needed")
    mean = _positive_mean(values)
    return math.sqrt(_variance(values, mean)) / mean


def _variance(values: Sequence[float], mean: float) -> float:
    """Sample variance around a known mean; `statistics.variance` works in fractions, at a hundred times the cost."""
    return math.fsum((x - mean) ** 2 for x in values) / (len(values) - 1)


def _positive_mean(values: Sequence[float]) -> float:
    mean = fmean(values)
    if not mean > 0 or math.isinf(mean):
        raise ValueError("a ratio of means needs means above zero")
    return mean


def _mean(sums: Sequence[float], sizes: Sequence[int] | None) -> float:
    mean = math.fsum(sums) / (sum(sizes) if sizes is not None else len(sums))
    if not mean > 0:
        raise ValueError("a ratio of means needs means above zero")
    return mean


def _resampled(sums: Sequence[float], sizes: Sequence[int] | None, draws: int, random: Generator) -> list[float]:
    """The mean of each of `draws` resamples of the clusters."""
    import numpy as np

    n = len(sums)
    # Uniform doubles, not `integers`: their stream is the same in every version of numpy.
    picks = (random.random((draws, n)) * n).astype(np.intp)
    totals = np.asarray(sums, float)[picks].sum(axis=1)
    counts = np.asarray(sizes, float)[picks].sum(axis=1) if sizes is not None else float(n)
    means: list[float] = (totals / counts).tolist()
    return means


def _ratio(head: float, base: float) -> float:
    if base == 0:
        return 1.0 if head == 0 else math.inf
    return head / base


def _bounds(ratio: float, drawn: list[float], n: int, level: float) -> Interval:
    """Expanded percentiles: at the normal probability of Student's t with n - 1 degrees of freedom times √(n/(n-1))."""
    drawn.sort()
    reach = student_quantile(level, n - 1) * math.sqrt(n / (n - 1))
    tail = normal_cdf(-reach)
    low = max(0, math.ceil(tail * len(drawn)) - 1)
    return Interval(ratio, min(drawn[low], ratio), max(drawn[len(drawn) - 1 - low], ratio))
