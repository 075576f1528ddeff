"""Many tests at once."""

from __future__ import annotations

from collections.abc import Sequence


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given; a test is kept at false-discovery rate q where its value is <= q.

    Benjamini and Hochberg (1995): the running minimum, from the largest p down, of m·p/rank.
    """
    m = len(p_values)
    adjusted = [0.0] * m
    least = 1.0
    for rank, index in zip(range(m, 0, -1), sorted(range(m), key=lambda i: -p_values[i]), strict=True):
        p = p_values[index]
        if not 0 <= p <= 1:
            raise ValueError(f"{p} is not a probability")
        least = min(least, p * m / rank)
        adjusted[index] = least
    return adjusted
