"""Shares and their differences: Wilson, Newcombe, Mantel-Haenszel."""

from __future__ import annotations

import math
from collections.abc import Iterable
from random import Random

from costaudit.stats.normal import Z95, Interval


def wilson(successes: int, n: int, z: float = Z95) -> Interval:
    """Share `successes / n` with Wilson's score interval (1927); ValueError without trials."""
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is not a share")
    p = successes / n
    shrink = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / shrink
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / shrink
    # At 0 and n successes the exact bounds are 0 and 1; rounding must not move them.
    return Interval(p, 0.0 if successes == 0 else centre - half, 1.0 if successes == n else centre + half)


def newcombe(successes_1: int, n_1: int, successes_2: int, n_2: int, z: float = Z95) -> Interval:
    """Difference p1 - p2 of two independent shares (Newcombe 1998, method 10)."""
    first, second = wilson(successes_1, n_1, z), wilson(successes_2, n_2, z)
    return _newcombe(first, second, 0.0)


def newcombe_paired(both: int, first_only: int, second_only: int, neither: int, z: float = Z95) -> Interval:
    """Difference p1 - p2 of two shares measured on the same units (Newcombe 1998, paired method 10).

    both, first_only, second_only, neither    units on which both succeeded, only the first did, only the second, none
    """
    n = both + first_only + second_only + neither
    if min(both, first_only, second_only, neither) < 0:
        raise ValueError("counts cannot be negative")
    first, second = wilson(both + first_only, n, z), wilson(both + second_only, n, z)
    product = (both + first_only) * (second_only + neither) * (both + second_only) * (first_only + neither)
    phi = 0.0
    if product:
        numerator: float = both * neither - first_only * second_only
        if numerator > 0:
            numerator = max(numerator - n / 2, 0.0)  # Newcombe's continuity correction of the correlation
        phi = numerator / math.sqrt(product)
    interval = _newcombe(first, second, phi)
    return interval._replace(value=(first_only - second_only) / n)


def _newcombe(first: Interval, second: Interval, phi: float) -> Interval:
    difference = first.value - second.value
    down_1, up_1 = first.value - first.low, first.high - first.value
    down_2, up_2 = second.value - second.low, second.high - second.value
    low = difference - math.sqrt(max(down_1**2 - 2 * phi * down_1 * up_2 + up_2**2, 0.0))
    high = difference + math.sqrt(max(up_1**2 - 2 * phi * up_1 * down_2 + down_2**2, 0.0))
    return Interval(difference, max(low, -1.0), min(high, 1.0))


def mantel_haenszel(strata: Iterable[tuple[int, int, int, int]], z: float = Z95) -> Interval:
    """Common difference of two shares over strata (successes_1, n_1, successes_2, n_2).

    Weights n1·n2/(n1 + n2); variance of Sato (1989), which holds for few large and for many small strata. Strata
    with an empty arm carry no weight. ValueError where none has both arms.
    """
    weight = difference = p_sum = q_sum = 0.0
    for x_1, n_1, x_2, n_2 in strata:
        if n_1 <= 0 or n_2 <= 0:
            continue
        n = n_1 + n_2
        weight += n_1 * n_2 / n
        difference += (x_1 * n_2 - x_2 * n_1) / n
        p_sum += (n_1 * n_1 * x_2 - n_2 * n_2 * x_1 + n_1 * n_2 * (n_2 - n_1) / 2) / (n * n)
        q_sum += (x_1 * (n_2 - x_2) + x_2 * (n_1 - x_1)) / (2 * n)
    if not weight:
        raise ValueError("no stratum has both arms")
    common = difference / weight
    half = z * math.sqrt(max(common * p_sum + q_sum, 0.0)) / weight
    return Interval(common, max(common - half, -1.0), min(common + half, 1.0))


def no_worse_probability(
    cheap: tuple[int, int], dear: tuple[int, int], margin: float, seed: int, draws: int = 20_000
) -> float:
    """P(p_cheap > p_dear - margin) under Beta(1, 1) priors, by seeded draws; (successes, n) per arm.

    Its Monte-Carlo error is at most 0.0036 (one standard error) at 20,000 draws.
    """
    for successes, n in (cheap, dear):
        if not 0 <= successes <= n:
            raise ValueError(f"{successes} of {n} is not a share")
    random = Random(seed)
    hits = sum(
        random.betavariate(1 + cheap[0], 1 + cheap[1] - cheap[0])
        > random.betavariate(1 + dear[0], 1 + dear[1] - dear[0]) - margin
        for _ in range(draws)
    )
    return hits / draws
