"""Is the cheap model as good as the dear one: differences of quality with bounds, by the design of the evidence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean, stdev

import msgspec
from msgspec.structs import replace

from costaudit.stats import (
    Z95,
    Interval,
    mantel_haenszel,
    mixture_half_width,
    newcombe,
    newcombe_paired,
    normal_cdf,
    student_quantile,
)

MANY_PAIRS = 100  # pairs from which the mean difference is normal
FEW_DISCORDANT = 20  # disagreeing pairs under which it is not
FARTHEST = 40.0  # standard errors; beyond any p-value a float can hold

At = Callable[[float], Interval]


class Comparison(msgspec.Struct, frozen=True):
    """Quality of the cheap model less that of the dear one, in shares of the scale.

    design          paired, random, overlap or switch
    cheap, dear     units an arm (pairs: the same number)
    difference      with one-sided 95 % bounds
    at              the difference with bounds at any z
    mean_cheap, mean_dear  of the known units
    discordant      pairs that disagree; 0 unless paired
    """

    design: str
    cheap: int
    dear: int
    difference: Interval
    at: At
    mean_cheap: float
    mean_dear: float
    discordant: int = 0

    @property
    def n(self) -> int:
        return min(self.cheap, self.dear)

    def as_good(self, margin: float) -> bool:
        """Whether the lower bound is above -margin: non-inferiority."""
        return self.difference.low > -margin

    def p_worse(self, margin: float) -> float:
        """One-sided p-value of "the cheap model is worse by the margin or more": the z whose bound touches it."""
        if self.difference.value <= -margin:
            return 1.0
        low, high = 0.0, FARTHEST
        if self.at(high).low > -margin:
            return normal_cdf(-high)
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self.at(middle).low > -margin else (low, middle)
        return normal_cdf(-low)

    def looked_at_repeatedly(self) -> Comparison:
        """The same with bounds that hold however often one looks (normal-mixture sequence)."""
        n = max(self.n, 1)
        z = mixture_half_width(n, 1.0, n, alpha=0.1) * math.sqrt(n)  # two-sided 10 %: one-sided 5 %
        return replace(self, difference=self.at(z), at=lambda s: self.at(s * z / Z95))

    def e_value(self, margin: float) -> float:
        """How strong a hidden confounder, by risk ratio, would pull the difference to the margin.

        VanderWeele and Ding (2017); the weaker of the readings on success and on failure.
        """
        floor = self.mean_dear - margin
        ratios = []
        if floor > 0:
            ratios.append(self.mean_cheap / floor)
        if self.mean_cheap < 1:
            ratios.append((1 - floor) / (1 - self.mean_cheap))
        return min((r + math.sqrt(r * (r - 1)) for r in ratios if r >= 1), default=1.0)


def paired(cheap: Sequence[float], dear: Sequence[float], *, binary: bool) -> Comparison:
    """The same units answered by both models; at least two pairs."""
    n = len(cheap)
    differences = [c - d for c, d in zip(cheap, dear, strict=True)]
    discordant = sum(d != 0 for d in differences)
    mean = fmean(differences)
    spread = stdev(differences, mean) / math.sqrt(n)
    if binary and (n < MANY_PAIRS or discordant < FEW_DISCORDANT):
        first, second = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
        both = round(sum(c * d for c, d in zip(cheap, dear, strict=True)))
        cells = (both, first, second, n - both - first - second)

        def at(z: float) -> Interval:
            return newcombe_paired(*cells, z=z)
    else:
        wide = 1.0 if n >= MANY_PAIRS else student_quantile(0.95, n - 1) / Z95

        def at(z: float) -> Interval:
            return Interval(mean, mean - z * wide * spread, mean + z * wide * spread)

    return Comparison("paired", n, n, at(Z95), at, fmean(cheap), fmean(dear), discordant)


def unpaired(cheap: Sequence[float], dear: Sequence[float], *, binary: bool, design: str) -> Comparison:
    """Different units for each model; at least two an arm."""
    m_cheap, m_dear = fmean(cheap), fmean(dear)
    n_cheap, n_dear = len(cheap), len(dear)
    if binary:
        good_cheap, good_dear = round(math.fsum(cheap)), round(math.fsum(dear))

        def at(z: float) -> Interval:
            return newcombe(good_cheap, n_cheap, good_dear, n_dear, z)
    else:
        v_cheap, v_dear = stdev(cheap) ** 2 / n_cheap, stdev(dear) ** 2 / n_dear
        total = v_cheap + v_dear
        df = total**2 / (v_cheap**2 / (n_cheap - 1) + v_dear**2 / (n_dear - 1)) if total else n_cheap + n_dear - 2
        spread = math.sqrt(total) * student_quantile(0.95, df) / Z95

        def at(z: float) -> Interval:
            return Interval(m_cheap - m_dear, m_cheap - m_dear - z * spread, m_cheap - m_dear + z * spread)

    return Comparison(design, n_cheap, n_dear, at(Z95), at, m_cheap, m_dear)


def switched(change: Comparison, controls: Sequence[tuple[int, int, int, int]], *, sign: int) -> Comparison:
    """A switch in time, less how tasks that kept their model changed at the same moment (difference in differences).

    change    cheap less dear across the switch
    controls  per task: good after, n after, good before, n before
    sign      +1 where the cheap model came second, -1 where it came first
    Bounds are combined by squares (MOVER; Zou and Donner 2008), as Newcombe's are.
    """

    def at(z: float) -> Interval:
        drift = mantel_haenszel(controls, z)
        if sign < 0:
            drift = Interval(-drift.value, -drift.high, -drift.low)
        inside = change.at(z)
        value = inside.value - drift.value
        down = math.hypot(inside.value - inside.low, drift.high - drift.value)
        up = math.hypot(inside.high - inside.value, drift.value - drift.low)
        return Interval(value, value - down, value + up)

    return replace(change, design="switch", difference=at(Z95), at=at)
