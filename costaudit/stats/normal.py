"""The normal and Student's distributions, and the interval every estimate comes with."""

from __future__ import annotations

import math
import zlib
from statistics import NormalDist
from typing import NamedTuple

Z95 = 1.645  # one-sided 95 %, and the ends of a two-sided 90 % interval

_STANDARD = NormalDist()


class Interval(NamedTuple):
    """An estimate and its bounds, in the unit of the estimate."""

    value: float
    low: float
    high: float


def seed_of(*words: str) -> int:
    """A seed that depends only on what is being computed, e.g. rule and subject."""
    return zlib.crc32("\0".join(words).encode())


def normal_cdf(x: float) -> float:
    """P(Z <= x)."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


def normal_quantile(p: float) -> float:
    """The x with P(Z <= x) = p; ValueError unless 0 < p < 1."""
    if not 0 < p < 1:
        raise ValueError(f"a probability strictly between 0 and 1 is needed, not {p}")
    return _STANDARD.inv_cdf(p)


def student_cdf(x: float, df: float) -> float:
    """P(T <= x) for Student's t with `df` > 0 degrees of freedom (fractions as in Welch's test are fine).

    By the regularised incomplete beta function: P(|T| > |x|) = I(df/2, 1/2; df/(df + x²)).
    """
    if df <= 0:
        raise ValueError(f"degrees of freedom must be positive, not {df}")
    if math.isinf(x):
        return 1.0 if x > 0 else 0.0
    square = x * x
    if square < df:  # near the middle the two tails would leave no digits
        return 0.5 + math.copysign(0.5, x) * _incomplete_beta(0.5, df / 2, square / (df + square))
    tail = 0.5 * _incomplete_beta(df / 2, 0.5, df / (df + square))
    return 1 - tail if x > 0 else tail


def student_quantile(p: float, df: float) -> float:
    """The x with P(T <= x) = p, by bisection of `student_cdf`; ValueError unless 0 < p < 1."""
    if not 0 < p < 1:
        raise ValueError(f"a probability strictly between 0 and 1 is needed, not {p}")
    if p < 0.5:
        return -student_quantile(1 - p, df)
    low, high = 0.0, 1.0
    while student_cdf(high, df) < p:
        low, high = high, high * 2
    while high - low > 1e-12 * max(1.0, high):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if student_cdf(middle, df) < p else (low, middle)
    return (low + high) / 2


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularised incomplete beta function by its continued fraction (DLMF 8.17.22), Lentz's method."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    tiny = 1e-300
    c, d = 1.0, 1 / (_away(1 - (a + b) * x / (a + 1), tiny))
    result = d
    for m in range(1, 10_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away(1 + term * d, tiny)
            c = _away(1 + term / c, tiny)
            result *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * result / a


def _away(x: float, tiny: float) -> float:
    return x if abs(x) > tiny else tiny
