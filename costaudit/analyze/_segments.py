"""Rank segmentation: where a series changes its level, and which of the changes matter (METHODS 8.4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from costaudit.stats import ChangePoint, change_point
from costaudit.stats.series import EDGE

FIRM = 999  # shuffles for changes that enter a false-discovery step


@dataclass(frozen=True, slots=True)
class Step:
    """A change of level that is large enough to matter.

    start, index, end  points [start, index) lie before it, [index, end) after it
    p                  of a change this clear by chance between its neighbours
    low, high          first and last index that explain the series nearly as well
    ratio              median level after over before
    """

    start: int
    index: int
    end: int
    p: float
    low: int
    high: int
    ratio: float


def splits(values: Sequence[float], seed: int, *, alpha: float) -> list[ChangePoint]:
    """Every change of level by binary segmentation on ranks, in order of time."""

    def within(start: int, end: int) -> list[ChangePoint]:
        if end - start < 2 * EDGE:
            return []
        found = change_point(values[start:end], seed, alpha=alpha)
        if found.p > alpha:
            return []
        shifted = replace(found, index=found.index + start, low=found.low + start, high=found.high + start)
        return [*within(start, shifted.index), shifted, *within(shifted.index, end)]

    return within(0, len(values))


def steps(values: Sequence[float], seed: int, *, alpha: float, min_change: float, follow: int) -> list[Step]:
    """The changes whose levels differ by `min_change` or more, tested anew between their neighbours.

    values      logarithms of the level
    follow      points that must come after a change; a later one is only to be watched
    Neighbouring segments that differ by less are merged, the most alike first.
    """
    bounds = [0, *(s.index for s in splits(values, seed, alpha=alpha)), len(values)]
    least = math.log1p(min_change)
    while len(bounds) > 2:
        levels = [median(values[a:b]) for a, b in pairwise(bounds)]
        gaps = [abs(b - a) for a, b in pairwise(levels)]
        nearest = min(range(len(gaps)), key=gaps.__getitem__)
        if gaps[nearest] >= least:
            break
        del bounds[nearest + 1]
    found = []
    for start, index, end in zip(bounds, bounds[1:], bounds[2:], strict=False):
        test = change_point(values[start:end], seed, draws=FIRM, alpha=alpha)
        ratio = math.exp(median(values[index:end]) - median(values[start:index]))
        if test.p <= alpha and len(values) - index >= follow:
            found.append(Step(start, index, end, test.p, test.low + start, test.high + start, ratio))
    return found
