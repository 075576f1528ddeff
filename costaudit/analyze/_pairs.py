"""Which models of a task are compared with which, for the task as a whole and for its tenants; and how many
comparisons that makes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial

import msgspec
import polars as pl
from msgspec.structs import replace

from costaudit.analyze._beside import beside
from costaudit.analyze._judge import Sides, Standard, Verdict, judge
from costaudit.analyze._quality import LABELS, Quality, broken, measure, stated_mean
from costaudit.analyze._task_units import TaskUnits
from costaudit.analyze._units import Arm
from costaudit.finding import Grade
from costaudit.price.exact import amount
from costaudit.stats import benjamini_hochberg

DEAR = 6  # models of a task, by spend, for which a cheaper one is looked for
CHEAP = 12  # others of it, by units, that may be that one: the cheapest models spend least
TENANTS = 10  # of a task, by spend, that are looked at on their own
SURE_Z = 2.576  # standard errors (one-sided 0.5 %) from which a tenant is left out of advice for all
FIRST = 50 * LABELS  # answers of a task that show whether they are labels
MIXED = 5 / 9  # Sarle's bimodality coefficient above which a family holds several kinds of work
MIXED_FROM = 100  # units from which it means anything


class Pair(msgspec.Struct, frozen=True):
    """Two models on the work of one task, or of one tenant in it, and what the log shows about them."""

    task: str
    tenant: str | None
    dear: Arm
    cheap: Arm
    verdict: Verdict


def compared(tasks: TaskUnits, floor: Decimal, by: Standard, stated: Mapping[str, float]) -> Iterator[Pair]:
    """Every comparison of an audit: the cheapest models of a task first, tasks and tenants by name.

    floor   what a task or tenant must spend to hold a finding [USD]
    """
    of_task = partial(_of_task, tasks, floor=floor, by=by, stated=stated)
    for pairs in beside(of_task, tasks.comparable(floor), tasks.size):
        yield from pairs


def _of_task(tasks: TaskUnits, task: str, floor: Decimal, by: Standard, stated: Mapping[str, float]) -> list[Pair]:
    mine = tasks.of(task, fronts=True)
    if not _large(mine, "task", floor):
        return []
    values, quality = measure(mine)
    if quality is None:
        return []
    del mine
    labels = _labels(tasks, task) if quality.binary else None
    why = broken(values, quality, stated_mean(stated, task), labels)
    pairs = list(_all(task, None, values, quality, why, tasks, by))
    if why is not None or values["tenant"].n_unique() < 2:
        return pairs
    for tenant in _large(values, "tenant", floor)[:TENANTS]:
        part = values.filter(pl.col("tenant") == tenant)
        enough = part.filter(pl.col("quality").is_not_null())
        if broken(enough, quality, None, None) is None:
            pairs.extend(_bare(pair) for pair in _all(task, tenant, part, quality, None, tasks, by))
    return pairs


def _bare(pair: Pair) -> Pair:
    """A pair of a tenant without its units where nothing is proven: then it is never shown."""
    none = pl.DataFrame()
    return pair if pair.verdict.proven else replace(pair, verdict=replace(pair.verdict, new=none, old=none))


def _large(units: pl.DataFrame, name: str, floor: Decimal) -> list[str]:
    """Groups that spend enough for a finding, the largest first."""
    sums = units.group_by(name).agg(pl.sum("cost_usd")).filter(pl.col("cost_usd") >= amount(floor)).drop_nulls(name)
    return sums.sort("cost_usd", name, descending=[True, False])[name].to_list()


def _all(
    task: str,
    tenant: str | None,
    values: pl.DataFrame,
    quality: Quality,
    why: str | None,
    tasks: TaskUnits,
    by: Standard,
) -> Iterator[Pair]:
    arms, dear = _arms(values, by.minimum if tenant is not None else 0)
    sides = Sides(values)
    for place, arm in enumerate(arms):
        if arm not in dear:
            continue
        for cheap in arms[:place]:
            if why is not None:
                verdict = Verdict(Grade.NO_EVIDENCE, (f"scores look broken: {why}",), quality)
            else:
                verdict = _capped(judge(sides, quality, cheap, arm, tasks, by), values)
            yield Pair(task, tenant, arm, cheap, verdict)


def _arms(values: pl.DataFrame, least: int) -> tuple[list[Arm], set[Arm]]:
    """The models whose units all have a price, the cheapest a unit first; and those of them that spend most.

    least  units with a known outcome that a model must have
    """
    seen = (
        values.filter(pl.col("model").is_not_null())
        .group_by("provider", "model")
        .agg(
            n=pl.len(),
            known=pl.col("quality").count(),
            spend=pl.sum("cost_usd"),
            unknown=pl.col("cost_usd").null_count(),
        )
        .filter((pl.col("unknown") == 0) & (pl.col("spend") > 0) & (pl.col("known") >= least))
        .sort("spend", "provider", "model", descending=[True, False, False])
    )
    rest = seen.slice(DEAR).sort("known", "provider", "model", descending=[True, False, False]).head(CHEAP)
    names = pl.concat([seen.head(DEAR), rest]).sort(pl.col("spend").cast(pl.Float64) / pl.col("n"), "provider", "model")
    arms = [Arm(provider, model) for provider, model in names.select("provider", "model").iter_rows()]
    return arms, {Arm(provider, model) for provider, model in seen.head(DEAR).select("provider", "model").iter_rows()}


def _labels(tasks: TaskUnits, task: str) -> int | None:
    """Distinct answers of a task, where they are few enough to be labels."""
    first = tasks.answers(task, FIRST).drop_nulls()
    if first.n_unique() > LABELS:  # most tasks have as many answers as calls, and their first calls say so
        return None
    answers = tasks.answers(task).drop_nulls()
    if answers.len() < 50 or answers.head(FIRST).n_unique() > LABELS:
        return None
    distinct = answers.n_unique()
    return distinct if distinct <= LABELS else None


def _capped(verdict: Verdict, mine: pl.DataFrame) -> Verdict:
    """A discovered prompt family that holds several kinds of work is never more than SUPPORTED."""
    if verdict.grade is not Grade.PROVEN or not mine["discovered"].any():
        return verdict
    sizes = (mine["output_tokens"].cast(pl.Int64) + 1).log()
    skew, peak = sizes.skew(), sizes.kurtosis(fisher=False)
    if mine.height >= MIXED_FROM and skew is not None and peak and (skew**2 + 1) / peak > MIXED:
        why = "the task was found by its prompt and its answers have two lengths: it may be two tasks"
        return replace(verdict, grade=Grade.SUPPORTED, because=(*verdict.because, why))
    return verdict


def discovered(pairs: Sequence[Pair], q: float) -> list[Pair]:
    """The pairs, with PROVEN only where false-discovery control over all comparisons of the audit keeps it.

    Counted are all comparisons that could have been PROVEN, passed or not: the best of many is a chance find. Those of
    tenants are a family of their own: many small ones would drown what a task shows as a whole.
    """
    tested = [i for i, pair in enumerate(pairs) if _could_prove(pair.verdict)]
    kept = list(pairs)
    for whole in (True, False):
        family = [i for i in tested if (pairs[i].tenant is None) is whole]
        adjusted = benjamini_hochberg([_p_worse(pairs[i].verdict) for i in family])
        for i, p in zip(family, adjusted, strict=True):
            verdict = pairs[i].verdict
            if verdict.grade is Grade.PROVEN and p > q:
                why = f"one of {len(family)} comparisons: a chance find cannot be excluded (adjusted p {p:.2f})"
                because = (*verdict.because, why)
                verdict = replace(verdict, grade=Grade.EXPERIMENT, proven=False, because=because, chance=True)
                kept[i] = replace(pairs[i], verdict=verdict)
    return kept


def _p_worse(verdict: Verdict) -> float:
    assert verdict.comparison is not None  # else it could not have been PROVEN
    return verdict.comparison.p_worse(verdict.margin)


def _could_prove(verdict: Verdict) -> bool:
    found, quality = verdict.comparison, verdict.quality
    return verdict.grade is Grade.PROVEN or (
        found is not None and quality is not None and quality.level == "S3" and found.design in ("paired", "random")
    )


def worse(pair: Pair) -> bool:
    """Whether the cheap model is shown to be worse, and by more than the margin; one tenant of ten is so by chance."""
    found = pair.verdict.comparison
    return found is not None and found.at(SURE_Z).high < 0 and found.difference.value < -pair.verdict.margin
