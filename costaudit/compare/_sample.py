"""The comparable units of one task: pairing, the ratio of their mean costs, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, median

import msgspec
import polars as pl

from costaudit import stats

LEVEL = 0.95  # one-sided; the ends of a 90 % interval
EXCHANGED = 10_000  # units of both sides up to which they are exchanged; beyond, the formula is as good


class Sample(msgspec.Struct, frozen=True):
    """The comparable units of a task: mean cost and tokens of a run of each; if paired, case by case."""

    base: tuple[float, ...]
    head: tuple[float, ...]
    base_tokens: tuple[float, ...]
    head_tokens: tuple[float, ...]
    paired: bool

    @property
    def sizes(self) -> tuple[int, int]:
        return len(self.base), len(self.head)


def sample_of(base: pl.DataFrame, head: pl.DataFrame, least: int) -> Sample:
    """Pairs where enough cases are on both sides, else all units of either."""
    cases = base.filter(pl.col("case").is_not_null()).join(
        head.filter(pl.col("case").is_not_null()), on="case", suffix="_head", maintain_order="left"
    )
    shared = cases.height
    if shared >= max(2, least) and 2 * shared >= min(base.height, head.height):
        before = cases.select("usd", "tokens", "runs")
        after = cases.select(usd="usd_head", tokens="tokens_head", runs="runs_head")
        return _pack(before, after, paired=True)
    return _pack(base, head, paired=False)


def _pack(base: pl.DataFrame, head: pl.DataFrame, *, paired: bool) -> Sample:
    return Sample(_means(base, "usd"), _means(head, "usd"), _means(base, "tokens"), _means(head, "tokens"), paired)


def _means(units: pl.DataFrame, column: str) -> tuple[float, ...]:
    """The mean of a run of each unit."""
    return tuple((units[column].cast(pl.Float64) / units["runs"]).to_list())


def tested(formula: stats.LogRatio, sample: Sample, task: str, allowed: float) -> tuple[stats.Interval, float]:
    """Interval of the ratio, and p-value of "at most `allowed`"; by resampling where a formula would be too sure.

    A rise that exchanging the units of both sides does not make rare is none, whatever formula or bootstrap say: where
    nothing changed, that test is exact for any costs.
    """
    seed = stats.seed_of("check", task)
    if stats.wants_bootstrap(sample.base, sample.head):
        resample = stats.bootstrap_ratio_paired if sample.paired else stats.bootstrap_ratio
        interval = resample(sample.base, sample.head, seed, level=LEVEL)
    else:
        interval = formula.student(LEVEL)
    p = formula.p_above(allowed)
    if interval.low <= allowed or sum(sample.sizes) > EXCHANGED:
        return interval, p
    exchanged = stats.exchange_p(sample.base, [usd / allowed for usd in sample.head], seed, paired=sample.paired)
    return interval, p if exchanged <= 1 - LEVEL else max(p, exchanged)


def needed(sample: Sample, formula: stats.LogRatio, step: float) -> int:
    """Units a side at which a ratio of `step` beyond the limit is seen by 8 in 10."""
    if sample.paired:
        return stats.units_for_paired_ratio(formula.se * sqrt(len(sample.base)), step)
    cv = [stats.variation(side) for side in (sample.base, sample.head)]
    return stats.units_for_ratio(sqrt((cv[0] ** 2 + cv[1] ** 2) / 2), step)


def free_p(sample: Sample) -> float:
    """p-value of "as many units are free as before", where all were: Fisher's exact test, one-sided."""
    n_base, n_head = sample.sizes
    paid = sum(x > 0 for x in sample.head)
    # All `paid` units fall on the candidate's side of n_base + n_head by chance.
    chance = 1.0
    for i in range(paid):
        chance *= (n_head - i) / (n_base + n_head - i)
    return chance


def mean_ratio(base: Sequence[float], head: Sequence[float]) -> float | None:
    """The ratio of two means; None where there is nothing to divide by."""
    before = fmean(base) if base else 0.0
    return fmean(head) / before if before and head else None


def median_ratio(sample: Sample) -> float | None:
    """The median of the pairs' ratios, else the ratio of the medians; None where there is nothing to divide by."""
    if sample.paired:
        ratios = [b / a for a, b in zip(sample.base, sample.head, strict=True) if a > 0]
        return median(ratios) if ratios else None
    before = median(sample.base)
    return median(sample.head) / before if before else None
