"""Order statistics, concentration, and the weight of the variance bridge."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median


def tolerance_rank(n: int, q: float, confidence: float = 0.95) -> int | None:
    """The smallest r for which the r-th smallest of n values bounds their q-quantile from above.

    That is the smallest r with BinomCDF(r - 1; n, q) >= confidence; None where even the largest value does not.
    """
    if n < 0 or not 0 < q < 1 or not 0 < confidence < 1:
        raise ValueError("a count, and two probabilities strictly between 0 and 1, are needed")
    log_q, log_p = math.log(q), math.log1p(-q)
    # Sum P(X >= r) from the top, where the terms near the answer are the first and the smallest.
    tail = 0.0
    for k in range(n, -1, -1):
        ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        tail += math.exp(ways + k * log_q + (n - k) * log_p)
        if tail > 1 - confidence:
            return k + 1 if k < n else None
    return None


def conformal_width(errors: Sequence[float], coverage: float = 0.8) -> float:
    """Half-width that covers the next error: the ⌈(m + 1)·coverage⌉-th smallest of m back-test errors (absolute).

    Split conformal prediction (Vovk 2005). ValueError where m is too small for the coverage asked (m >= 4 for 0.8).
    """
    rank = math.ceil((len(errors) + 1) * coverage)
    if rank > len(errors):
        raise ValueError(f"{len(errors)} errors cannot carry a coverage of {coverage:g}")
    return sorted(abs(e) for e in errors)[rank - 1]


def robust_z(values: Sequence[float]) -> list[float]:
    """0.6745·(x - median)/MAD of each value (Iglewicz and Hoaglin 1993).

    Where more than half the values are equal the MAD is 0: equal values score 0, all others ±infinity.
    """
    centre = median(values)
    mad = median(abs(x - centre) for x in values)
    if mad == 0:
        return [0.0 if x == centre else math.copysign(math.inf, x - centre) for x in values]
    return [0.6745 * (x - centre) / mad for x in values]


def mixture_half_width(n: int, sd: float, planned: int, alpha: float = 0.05) -> float:
    """Half-width of a two-sided interval of a mean that holds at every n at once, so that one may look again and again.

    The normal-mixture confidence sequence (Robbins 1970); its free parameter ρ is set to be tightest near n = `planned`
    by ρ² = (-2 ln α + ln(-2 ln α + 1))/planned (Howard et al. 2021).
    """
    if n < 1 or planned < 1 or not 0 < alpha < 1:
        raise ValueError("n and planned must be at least 1, alpha between 0 and 1")
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / planned
    inside = 2 * (n * rho2 + 1) / (n * n * rho2) * math.log(math.sqrt(n * rho2 + 1) / alpha)
    return sd * math.sqrt(inside)


def lmdi_weight(a: float, b: float) -> float:
    """The logarithmic mean (a - b)/ln(a/b) of two positive numbers; a where they are equal (Ang 2005)."""
    if a <= 0 or b <= 0:
        raise ValueError("the logarithmic mean is of positive numbers")
    x = (a - b) / b
    if abs(x) < 1e-4:  # the quotient loses digits here; the series b(1 + x/2 - x²/12 + x³/24) has an error of x⁴/40
        return b * (1 + x / 2 - x * x / 12 + x**3 / 24)
    return (a - b) / math.log(a / b)


def gini(values: Iterable[float]) -> float:
    """Gini coefficient of non-negative values: 0 all equal, (n - 1)/n one has all; 0 for nothing to share."""
    ordered = sorted(values)
    total = math.fsum(ordered)
    n = len(ordered)
    if not total:
        return 0.0
    weighted = math.fsum(rank * value for rank, value in enumerate(ordered, 1))
    return 2 * weighted / (n * total) - (n + 1) / n


def herfindahl(values: Iterable[float]) -> float:
    """Herfindahl-Hirschman index Σ share², 1/n to 1; 0 where nothing is there to share."""
    amounts = list(values)
    total = math.fsum(amounts)
    return math.fsum((x / total) ** 2 for x in amounts) if total else 0.0
