"""How often the gate fails builds that changed nothing, and how often it sees a planted rise.

    python bench/gate.py [--splits 10000] [--seed 1000]

A/A: random halves of one pool of unit costs, at tolerance 0 and 5 %. A/B: two samples with a planted rise, beside the
power that the gate's formula gives. Prints a Markdown table with Wilson intervals; no thresholds.
"""

from __future__ import annotations

import argparse
import math
import random
from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from costaudit import stats
from costaudit.compare.gate import check
from costaudit.compare.side import UNITS, Side
from costaudit.config import Gate as Limits
from costaudit.price.mix import CLASS_ROWS, MODELS, TASKS, Mix
from costaudit.verdict import Verdict

NOTHING = Mix(TASKS.to_frame(), MODELS.to_frame(), CLASS_ROWS.to_frame())
POOLS = ((20, 0.5), (40, 1.0), (100, 1.0), (400, 1.0), (400, 2.0))  # units, coefficient of variation
RISES = (1.1, 1.2, 1.5)


@dataclass(frozen=True)
class Share:
    """How often something happened."""

    hits: int
    of: int

    def __str__(self) -> str:
        bounds = stats.wilson(self.hits, self.of, 1.96)
        return f"{100 * bounds.value:.1f} % ({100 * bounds.low:.1f} to {100 * bounds.high:.1f})"


def side(costs: list[float], cases: bool) -> Side:
    rows = [
        ("t", f"{i}" if cases else None, 1, Decimal(repr(round(usd, 15))), round(usd * 1e6))
        for i, usd in enumerate(costs)
    ]
    return Side("bench", pl.DataFrame(rows, schema=UNITS, orient="row"), NOTHING)


def pool(source: random.Random, units: int, cv: float) -> list[float]:
    """Log-normal unit costs with mean 1."""
    sigma = math.sqrt(math.log(1 + cv * cv))
    return [source.lognormvariate(-sigma * sigma / 2, sigma) for _ in range(units)]


def failing(base: list[float], head: list[float], *, cases: bool = False, tolerance: float = 0.0) -> bool:
    found = check(side(head, cases), side(base, cases), Limits(tolerance=tolerance))
    return found.rows[0].verdict is Verdict.FAIL


def unchanged(units: int, cv: float, splits: int, seed: int, tolerance: float) -> Share:
    source = random.Random(seed)
    costs, failed = pool(source, units, cv), 0
    for _ in range(splits):
        shuffled = source.sample(costs, units)
        failed += failing(shuffled[: units // 2], shuffled[units // 2 :], tolerance=tolerance)
    return Share(failed, splits)


def unchanged_pairs(units: int, sd: float, splits: int, seed: int, tolerance: float) -> Share:
    """The same cases run twice, each run off by `sd`: which run is the candidate is a coin's choice."""
    source = random.Random(seed)
    twice = [
        (cost * source.lognormvariate(0, sd), cost * source.lognormvariate(0, sd)) for cost in pool(source, units, 1)
    ]
    failed = 0
    for _ in range(splits):
        turned = [pair if source.random() < 0.5 else pair[::-1] for pair in twice]
        failed += failing([a for a, _ in turned], [b for _, b in turned], cases=True, tolerance=tolerance)
    return Share(failed, splits)


def seen(units: int, cv: float, rise: float, trials: int, seed: int) -> tuple[Share, float]:
    """How often a planted rise fails at tolerance 0, and the power the formula of the detectable ratio gives."""
    source, failed = random.Random(seed), 0
    for _ in range(trials):
        head = [rise * cost for cost in pool(source, units, cv)]
        failed += failing(pool(source, units, cv), head)
    error = cv * math.sqrt(2 / units)
    return Share(failed, trials), stats.normal_cdf(math.log(rise) / error - stats.Z95)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--splits", type=int, default=10_000)
    parser.add_argument("--trials", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1_000)
    given = parser.parse_args()

    print("| unchanged | failed at tolerance 0 | at 5 % |\n| :-- | --: | --: |")
    for units, cv in POOLS:
        shares = [unchanged(units, cv, given.splits, given.seed, t) for t in (0.0, 0.05)]
        print(f"| halves of {units} units, cv {cv:g} | {shares[0]} | {shares[1]} |", flush=True)
    for units, sd in ((10, 0.3), (50, 0.3)):
        shares = [unchanged_pairs(units, sd, given.splits, given.seed, t) for t in (0.0, 0.05)]
        print(f"| {units} cases run twice, sd {sd:g} | {shares[0]} | {shares[1]} |", flush=True)

    print("\n| planted | failed | expected |\n| :-- | --: | --: |")
    for units, cv in ((30, 0.5), (100, 1.0), (400, 1.0)):
        for rise in RISES:
            share, power = seen(units, cv, rise, given.trials, given.seed)
            print(f"| {rise - 1:+.0%}, {units} units a side, cv {cv:g} | {share} | {100 * power:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
