"""Series in time: where the level changes, and whether it drifts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from costaudit.stats.normal import normal_cdf

if TYPE_CHECKING:
    from numpy import floating, intp
    from numpy.random import Generator
    from numpy.typing import NDArray

    Array = NDArray[floating]
    Indices = NDArray[intp]

EDGE = 3  # points that must lie on either side of a change
BLOCK = 7  # days: shuffled together where neighbours resemble each other
DEPENDENT = 0.3  # lag-1 autocorrelation of the residuals above which they do
FARTHEST = 4.0  # robust standard deviations; one day of ten times the cost must not make a stretch
GRID = 365  # points of a series whose every pair of days is tried as an episode; longer ones on a grid of as many
FEW = 200  # points whose pairs are kept: 0.3 MB
EXACT_PAIRS = 2_000  # points up to which all pairs are compared (16 MB of slopes)


class ChangePoint(msgspec.Struct, frozen=True):
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


class Episode(msgspec.Struct, frozen=True):
    """Points [first, end) that stand at another level than those before and after; p as of a change point."""

    first: int
    end: int
    p: float


def episode(
    values: Sequence[float], seed: int, *, draws: int = 399, alpha: float = 0.005, edge: int = EDGE
) -> Episode | None:
    """The stretch inside a series that differs most from all else, by permutation; None where alpha is not met.

    A level that comes back hides from a search for one change. Circular binary segmentation (Olshen and others 2004):
    the largest |mean inside - mean outside|·√(m(n - m)/n) over stretches of m points, `edge` from both ends. Values are
    robust z, cut at 4: among the ranks of a long series a few far points are not far enough.
    """
    import numpy as np
    from numpy.random import PCG64, Generator

    n = len(values)
    if n < 3 * edge:
        return None
    levels = np.clip(_robust(np.asarray(values, float)), -FARTHEST, FARTHEST)
    at = np.unique(np.linspace(edge, n - edge, min(n - 2 * edge + 1, GRID)).round().astype(int))
    first, end = (at[side] for side in np.triu_indices(len(at), 1))
    wide = end - first >= edge
    first, end = first[wide], end[wide]
    if not len(first):
        return None
    inside = end - first
    scale = np.sqrt(inside * (n - inside) / n)

    def clearest(rows: Array) -> Array:
        sums = np.concatenate([np.zeros((len(rows), 1)), rows.cumsum(axis=1)], axis=1)
        within = sums[:, end] - sums[:, first]
        found: Array = np.abs(within / inside - (sums[:, -1:] - within) / (n - inside)) * scale
        return found

    statistics = clearest(levels[None, :])[0]
    best = int(statistics.argmax())
    residuals = levels.copy()
    for part in (slice(first[best], end[best]), np.r_[0 : first[best], end[best] : n]):
        residuals[part] -= residuals[part].mean()
    block = BLOCK if _alike(residuals) and n >= 3 * BLOCK else 1
    random = Generator(PCG64(seed))
    done = clearer = 0
    while done < draws and (1 + clearer) / (1 + draws) <= alpha:
        batch = min(draws - done, max(1, min(16, 2_000_000 // len(first))))
        shuffled = _shuffles(levels, batch, block, random)
        clearer += int((clearest(shuffled).max(axis=1) >= statistics[best] * (1 - 1e-12)).sum())
        done += batch
    p = (1 + clearer) / (1 + done)
    return Episode(int(first[best]), int(end[best]), p) if p <= alpha else None


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
        first, second = _few_pairs(n) if n <= FEW else np.triu_indices(n, 1)
    else:
        half = (n + 1) // 2
        first, second = np.arange(n - half), np.arange(half, n)
    run = xs[second] - xs[first]
    usable = run > 0
    if not usable.any():
        raise ValueError("a slope needs two different x")
    return _median((ys[second] - ys[first])[usable] / run[usable])


@cache
def _few_pairs(n: int) -> tuple[Indices, Indices]:
    """The pairs of n points: a bootstrap asks for the same ones a thousand times."""
    import numpy as np

    first, second = np.triu_indices(n, 1)
    return first, second


def _median(values: Array) -> float:
    """The median of numbers, none of them missing: numpy's own spends four fifths of its time on other questions."""
    import numpy as np

    half = len(values) // 2
    if len(values) % 2:
        return float(np.partition(values, half)[half])
    low, high = np.partition(values, (half - 1, half))[half - 1 : half + 1]
    return float((low + high) / 2)


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


def _robust(values: Array) -> Array:
    """Distances from the median in standard deviations read off the median distance; zeros where nothing varies."""
    import numpy as np

    apart = values - np.median(values)
    spread = float(np.median(np.abs(apart))) / 0.6745
    return apart / spread if spread > 0 else np.sign(apart) * FARTHEST


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
    return _alike(residuals)


def _alike(residuals: Array) -> bool:
    spread = float((residuals**2).sum())
    return spread > 0 and float((residuals[1:] * residuals[:-1]).sum()) / spread > DEPENDENT


def _shuffles(ranks: Array, rows: int, block: int, random: Generator) -> Array:
    """`rows` random orders of the blocks of a series."""
    import numpy as np

    n = len(ranks)
    # Sorting uniform doubles, not `permuted`: their stream is the same in every version of numpy.
    keys = np.repeat(random.random((rows, -(-n // block))), block, axis=1)[:, :n]
    return ranks[np.argsort(keys, axis=1, kind="stable")]
