"""How many units an answer needs, and what could be seen with those at hand.

Everywhere 80 % power at one-sided 5 %: 2.487 = 1.645 + 0.842.
"""

from __future__ import annotations

import math

from costaudit.stats.normal import Z95

REACH = Z95 + 0.842


def pairs_for_difference(discordant: float, difference: float) -> int:
    """Pairs needed to see a difference of paired shares, where a share `discordant` of the pairs disagrees."""
    return _whole(discordant * (REACH / difference) ** 2)


def units_for_difference(share: float, difference: float) -> int:
    """Units an arm needs to see a difference of independent shares near `share`."""
    return _whole(2 * share * (1 - share) * (REACH / difference) ** 2)


def units_for_ratio(cv: float, ratio: float) -> int:
    """Units a side needs to see a cost ratio, where cost varies by `cv` (standard deviation over mean)."""
    return _whole(2 * (REACH * cv / math.log(ratio)) ** 2)


def units_for_paired_ratio(sd: float, ratio: float) -> int:
    """Pairs needed to see a cost ratio, where relative differences within a pair have standard deviation `sd`."""
    return _whole((REACH * sd / math.log(ratio)) ** 2)


def detectable_ratio(standard_error: float) -> float:
    """The smallest ratio that 80 % of repetitions would see, given the standard error of the log ratio."""
    return math.exp(REACH * standard_error)


def _whole(n: float) -> int:
    # Rounded up: with less the power would be short, and a need is never under one.
    return max(1, math.ceil(n))
