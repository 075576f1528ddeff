"""Histories that grow with every step of a run: what keeping the last steps saves, less the cache that breaks."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from costaudit.analyze._analyzer import RUN, SOURCE, CannotCheck, Claim, single_calls
from costaudit.analyze._by_run import steps_of, whole_runs
from costaudit.analyze._cache import WRITES
from costaudit.analyze._places import places, repeated
from costaudit.finding import Confidence, Lever, Severity
from costaudit.price.ledger import Ledger
from costaudit.stats import theil_sen
from costaudit.words import plural

LEAST_GROWTH = 50.0  # tokens a step; a context that grows by less is trimmed already, or has nothing to trim
HISTORY = ("input_tokens", "cache_read_tokens", "cache_write_tokens", *WRITES.values())
SLOPES = 50  # longest runs from which a task's growth is read


def claims(ledger: Ledger, keep: int) -> Iterator[Claim]:
    """What history older than the last `keep` steps cost each task whose contexts grow."""
    counted = (pl.col("input_tokens") > 0) & pl.col("run_id").is_not_null()
    runs = single_calls(ledger, ("row", RUN), counted)
    if runs.is_empty():
        raise CannotCheck("long history: no runs with token counts")
    long = repeated(runs["run"], keep + 1)
    steps, named = whole_runs(ledger, runs.filter(pl.col("run").is_in(long.implode())))
    groups = places(named.select("task"), ["task"])
    for task, at in zip(groups["task"], groups["at"], strict=True):
        one = steps_of(ledger, steps, named[at], HISTORY)
        slope = _growth(one)
        if slope >= LEAST_GROWTH:
            yield from _claim(task, one, slope, keep, ledger)


def _growth(steps: pl.DataFrame) -> float:
    """Tokens a step by which contexts grow: Theil-Sen within runs, the median over the longest ones."""
    runs = steps.filter("begins").select("run", "run_id", "n").sort("n", "run_id", descending=[True, False])
    own = steps.filter(pl.col("run").is_in(runs["run"].head(SLOPES).implode()))
    slopes = [
        theil_sen(one["nth"].to_list(), one["input_tokens"].to_list())
        for _, one in own.group_by("run", maintain_order=True)
        if one.height >= 2
    ]
    return float(pl.Series(slopes, dtype=pl.Float64).median() or 0.0)  # type: ignore[arg-type]  # a Float64 column


def _trimmable(steps: pl.DataFrame, keep: int) -> pl.DataFrame:
    """The calls after step `keep` with `old`, how much of their context lies between the opening and the last `keep`
    steps."""
    left = pl.col("input_tokens") - pl.col("old")
    return steps.with_columns(old=pl.col("input_tokens").shift(keep) - pl.col("opening")).filter(
        (pl.col("nth") > keep) & (pl.col("old") > 0) & (left > pl.col("opening"))
    )


def _trimmed(calls: pl.DataFrame) -> pl.DataFrame:
    """The calls without their old history.

    It is gone, and with it the cache behind the opening: everything after that is sent fresh, or written again where
    the run writes to a cache.
    """
    left = pl.col("input_tokens") - pl.col("old")
    read = pl.min_horizontal(pl.col("cache_read_tokens").fill_null(0), "opening")
    writes = pl.col("cache_write_tokens").fill_null(0) > 0
    earlier = pl.lit(value=False)
    lives = []
    for name in WRITES.values():
        used = pl.col(name).fill_null(0) > 0
        lives.append(pl.when(used & ~earlier).then(left - read).otherwise(0).alias(name))
        earlier = earlier | used
    return calls.select(
        "row",
        "run_id",
        left.alias("input_tokens"),
        read.alias("cache_read_tokens"),
        pl.when(writes).then(left - read).otherwise(0).alias("cache_write_tokens"),
        *lives,
    )


def _claim(task: str, steps: pl.DataFrame, slope: float, keep: int, ledger: Ledger) -> Iterator[Claim]:
    old = _trimmable(steps, keep)
    if old.is_empty():
        return
    runs = old.group_by("run", maintain_order=True).agg(
        pl.col("run_id", "row").first(),
        steps=pl.col("n").first(),
        calls=pl.len().cast(pl.Int64),
        largest_input_tokens=pl.col("input_tokens").max(),
    )
    source = ledger.at(runs["row"], ("source_file", "source_line")).select(SOURCE)
    evidence = runs.hstack(source).drop("run", "row").sort("run_id")
    yield Claim(
        subject={"task": task, "part": "long-history"},
        title=f"{task}: history older than {keep} steps in {plural(runs.height, 'run')}, {{usd}}",
        remedy=f"keep the opening and the last {keep} steps, or a summary; test that answers stay as good",
        lever=Lever("history"),
        severity=Severity.LOW,
        confidence=Confidence.LOW,
        evidence=evidence,
        evidence_key="run_id",
        patch=_trimmed(old),
        low=_trimmed(_trimmable(steps, 2 * keep)),
        because=(
            f"contexts grow by {slope:,.0f} tokens a step in {plural(runs.height, 'long run')}",
            f"at the low end {2 * keep} steps are kept; the cache behind the opening is lost either way",
            "it can change answers",
        ),
    )
