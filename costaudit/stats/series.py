"""Series in time: where the level changes, and whether it drifts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from costaudit.stats.normal import normal_cdf

if TYPE_CHECKING:
    from numpy import floating
    from numpy.random import Generator
    from numpy.typing import NDArray

    Array = NDArray[floating]

EDGE = 3  # points that must lie on either side of a change
BLOCK = 7  # days: shuffled together where neighbours resemble each other
DEPENDENT = 0.3  # lag-1 autocorrelation of the residuals above which they do
EXACT_PAIRS = 2_000  # points up to which all pairs are compared (16 MB of slopes)


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """The likeliest change of level in a series.

    index      of the first point after the change
    p          of seeing a jump this clear anywhere in the series by chance; where p > alpha shuffling stopped early and
               p is the share seen until then
    low, high  first and last index that explain the series nearly as well (statistic at least 95 % of the largest)
    """

    index: int
    statistic: float
    p: float
    low: int
    high: int


def change_point(
    values: Sequence[float], seed: int, *, draws: int = 199, alpha: float = 0.01, edge: int = EDGE
) -> ChangePoint:
    """The permutation test of one change of level, on ranks; ValueError under 2·`edge` points.

    Statistic: the largest |mean left - mean right|·√(k(n - k)/n) over splits k at least `edge` from both ends.
    Days that resemble their neighbours are shuffled in blocks of 7.
    p = (1 + shuffles at least as clear)/(1 + shuffles).
    """
    import numpy as np
    from numpy.random import PCG64, Generator

    n = len(values)
    if n < 2 * edge:
        raise ValueError(f"{n} points are too few to split")
    ranks = _ranks(np.asarray(values, float))
    statistics = _split_statistics(ranks[None, :], edge)[0]
    split = int(statistics.argmax())
    largest = float(statistics[split])
    near = np.flatnonzero(statistics >= 0.95 * largest) if largest else np.asarray([split])
    block = BLOCK if _dependent(ranks, split + edge) and n >= 2 * BLOCK else 1

    random = Generator(PCG64(seed))
    done = clearer = 0
    while done < draws and (1 + clearer) / (1 + draws) <= alpha:
        batch = min(draws - done, max(1, min(64, 500_000 // n)))
        shuffled = _shuffles(ranks, batch, block, random)
        # A tie counts against the change; rounding of equal sums must not decide.
        clearer += int((_split_statistics(shuffled, edge).max(axis=1) >= largest * (1 - 1e-12)).sum())
        done += batch
    p = (1 + clearer) / (1 + done)
    return ChangePoint(split + edge, largest, p, int(near[0]) + edge, int(near[-1]) + edge)


def theil_sen(x: Sequence[float], y: Sequence[float]) -> float:
    """The median of the slopes between all pairs of points; pairs with equal x have none.

    Above 2,000 points Theil's incomplete method: each point with the one half the series away. ValueError where no two
    x differ.
    """
    import numpy as np

    order = np.argsort(np.asarray(x, float), kind="stable")
    xs, ys = np.asarray(x, float)[order], np.asarray(y, float)[order]
    n = len(xs)
    if n <= EXACT_PAIRS:
        first, second = np.triu_indices(n, 1)
    else:
        half = (n + 1) // 2
        first, second = np.arange(n - half), np.arange(half, n)
    run = xs[second] - xs[first]
    usable = run > 0
    if not usable.any():
        raise ValueError("a slope needs two different x")
    return float(np.median((ys[second] - ys[first])[usable] / run[usable]))


def mann_kendall(values: Sequence[float]) -> float:
    """Two-sided p-value of "no monotone trend": Kendall's S, variance under ties, continuity correction."""
    import numpy as np

    y = np.asarray(values, float)
    n = len(y)
    s = sum(int(np.sign(y[i + 1 :] - y[i]).sum()) for i in range(n - 1))
    _, ties = np.unique(y, return_counts=True)
    spread = (n * (n - 1) * (2 * n + 5) - sum(int(t) * (int(t) - 1) * (2 * int(t) + 5) for t in ties)) / 18
    if spread <= 0 or s == 0:
        return 1.0
    z = (abs(s) - 1) / math.sqrt(spread)
    return min(1.0, 2 * normal_cdf(-z))


def _ranks(values: Array) -> Array:
    """Ranks from 1, ties sharing the mean of theirs."""
    import numpy as np

    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return (last - (counts - 1) / 2.0)[inverse]


def _split_statistics(series: Array, edge: int) -> Array:
    """The statistic of every split of each row; column j is the split before point j + `edge`."""
    import numpy as np

    n = series.shape[1]
    k = np.arange(edge, n - edge + 1)
    left = series.cumsum(axis=1)[:, k - 1]
    total = series.sum(axis=1, keepdims=True)
    statistics: Array = np.abs(left / k - (total - left) / (n - k)) * np.sqrt(k * (n - k) / n)
    return statistics


def _dependent(ranks: Array, split: int) -> bool:
    """Whether residuals around the two levels resemble their neighbours."""
    residuals = ranks.copy()
    residuals[:split] -= residuals[:split].mean()
    residuals[split:] -= residuals[split:].mean()
    spread = float((residuals**2).sum())
    return spread > 0 and float((residuals[1:] * residuals[:-1]).sum()) / spread > DEPENDENT


def _shuffles(ranks: Array, rows: int, block: int, random: Generator) -> Array:
    """`rows` random orders of the blocks of a series."""
    import numpy as np

    n = len(ranks)
    # Sorting uniform doubles, not `permuted`: their stream is the same in every version of numpy.
    keys = np.repeat(random.random((rows, -(-n // block))), block, axis=1)[:, :n]
    return ranks[np.argsort(keys, axis=1, kind="stable")]
