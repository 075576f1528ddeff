"""Rank segmentation: where a series changes its level, and which of the changes matter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

import msgspec
from msgspec.structs import replace

from costaudit.stats import Episode, change_point, episode
from costaudit.stats.series import EDGE

FIRM = 999  # shuffles for changes that enter a false-discovery step


class Step(msgspec.Struct, frozen=True):
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


def splits(values: Sequence[float], seed: int, *, alpha: float, least: float = 0.0) -> list[int]:
    """The first points after every change of level, in order of time: binary segmentation on ranks, and where no single
    change shows, a stretch `least` above or below what lies on either side of it.
    """

    def within(start: int, end: int) -> list[int]:
        if end - start < 2 * EDGE:
            return []
        found = change_point(values[start:end], seed, alpha=alpha)
        if found.p > alpha:
            one = episode(values[start:end], seed, alpha=alpha / 2)
            return [] if one is None or _apart(values[start:end], one) < least else [start + one.first, start + one.end]
        cut = start + found.index
        return [*within(start, cut), cut, *within(cut, end)]

    return within(0, len(values))


def _apart(values: Sequence[float], one: Episode) -> float:
    """How far the level of a stretch lies from the nearer of those around it."""
    bounds = (0, one.first, one.end, len(values))
    before, inside, after = (median(values[a:b]) for a, b in pairwise(bounds))
    return min(abs(inside - before), abs(inside - after))


def steps(values: Sequence[float], seed: int, *, alpha: float, min_change: float, follow: int) -> list[Step]:
    """The changes whose levels differ by `min_change` or more, tested anew between their neighbours.

    values      logarithms of the level
    follow      points that must come after a change; a later one is only to be watched
    Neighbouring segments that differ by less are merged, the most alike first.
    """
    least = math.log1p(min_change)
    bounds = [0, *splits(values, seed, alpha=alpha, least=least), len(values)]
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


def lasting(step: Step, found: Sequence[Step], values: Sequence[float], least: float) -> Step:
    """A change with all that followed it until the level came back: later changes do not end what it costs."""
    before, end = median(values[step.start : step.index]), step.end
    for later in found:
        if later.index == end and median(values[later.index : later.end]) - before >= least:
            end = later.end
    return replace(step, end=end, ratio=math.exp(median(values[step.index : end]) - before))


def came_back(step: Step, found: Sequence[Step], values: Sequence[float], least: float) -> bool:
    """Whether a rise only ends a dip: the level is what it was before, for longer than the dip."""
    fall = next((s for s in found if s.index == step.start and s.ratio < 1), None)
    if fall is None or step.index - step.start > fall.index - fall.start:
        return False
    return median(values[step.index : step.end]) - median(values[fall.start : fall.index]) < least


def only_down(found: Sequence[Step]) -> bool:
    """Whether the level has changed, and only downwards."""
    return bool(found) and all(s.ratio < 1 for s in found)
