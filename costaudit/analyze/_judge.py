"""From two models on one task to a grade: which design the log holds, what it shows, what it cannot."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property

import msgspec
import polars as pl
from msgspec.structs import replace
from polars import selectors as cs

from costaudit.analyze._compare_models import Comparison, paired, switched, unpaired
from costaudit.analyze._design import Balance, balance, mechanism, switch_time
from costaudit.analyze._places import repeated
from costaudit.analyze._quality import Quality
from costaudit.analyze._task_units import TaskUnits
from costaudit.analyze._units import Arm
from costaudit.finding import Grade
from costaudit.stats import Z95, newcombe
from costaudit.words import percent

SELECTED_Z = 2.576  # standard errors (two-sided 1 %) by which paired and other units must differ to be another kind
OWN_PROMPT = 0.5  # templates a unit above which a template is no family
SAME_PROMPT = 0.9  # share of units whose prompt family both models got
MIXED = 0.05  # share of units answered by several models that leaves the others a selection
WORK = (
    *("unit", "task", "tenant", "key_id", "started_at", "provider", "model", "outages", "opening_tokens", "history"),
    *("tools", "step", "hour", "first_block", "front", "order"),
)
SHOWN = ("unit", "quality", "cost_usd", "calls", "input_tokens", "output_tokens", "reasoning", "runs")
OUTCOME = ("success", "score", "well_formed", "discovered")  # what `quality` says in short, and what no model says
AGAIN = timedelta(minutes=10)  # the same question asked again so soon was not answered well
MARGIN_OF_DRIFT = 0.05  # share of units more asked again that is worth a warning


class Standard(msgspec.Struct, frozen=True):
    """What a comparison is held against.

    margin    difference that does not matter, as a share, by level: S3, S2
    minimum   units an arm
    declared  tasks whose model is assigned at random, as the user says
    repeated  the log is looked at again and again
    """

    margin: dict[str, float]
    minimum: int
    declared: Sequence[str]
    repeated: bool


class Verdict(msgspec.Struct, frozen=True):
    """What the log shows about a cheaper model on a task.

    proven     the bound is above the margin under a design that can carry `grade`
    new, old   units of both models the comparison rests on (pairs: row by row), with SHOWN
    chance     it passed on its own, and is one of too many comparisons
    """

    grade: Grade
    because: tuple[str, ...]
    quality: Quality | None = None
    comparison: Comparison | None = None
    proven: bool = False
    new: pl.DataFrame = msgspec.field(default_factory=pl.DataFrame)
    old: pl.DataFrame = msgspec.field(default_factory=pl.DataFrame)
    balance: pl.DataFrame | None = None
    margin: float = 0.0
    chance: bool = False

    @property
    def rank(self) -> tuple[bool, int, float]:
        """Verdicts from the least to the most useful: proven, then by grade, then the nearest miss."""
        order = (Grade.NO_EVIDENCE, Grade.EXPERIMENT, Grade.SUPPORTED, Grade.PROVEN)
        miss = 0.0 if self.proven else -1.0 if self.comparison is None else self.comparison.difference.low
        return self.proven, order.index(self.grade), miss


def of_arm(units: pl.DataFrame, arm: Arm) -> pl.DataFrame:
    return units.filter((pl.col("provider") == arm.provider) & (pl.col("model") == arm.model))


class Sides:
    """The units of one task, with `quality`, by model: each model is gathered once, not once for each of its pairs."""

    def __init__(self, task: pl.DataFrame) -> None:
        self.task = task
        self._known: dict[Arm, pl.DataFrame] = {}
        self._cases: dict[Arm, pl.DataFrame] = {}

    def known(self, arm: Arm) -> pl.DataFrame:
        """The units of a model whose quality is known, with `order`, their place in time among all of the task."""
        if arm not in self._known:
            own = of_arm(self.task.drop(OUTCOME, strict=False).with_columns(self._order), arm)
            self._known[arm] = own.filter(pl.col("quality").is_not_null()) if own["quality"].null_count() else own
        return self._known[arm]

    def cases(self, arm: Arm) -> pl.DataFrame:
        """The same with one row a case."""
        if arm not in self._cases:
            self._cases[arm] = _per_case(self.known(arm))
        return self._cases[arm]

    def paired(self, arm: Arm) -> pl.DataFrame:
        """The units of a model whose case was worked on more than once."""
        return self.known(arm).filter(pl.col("case").is_in(self._again.implode()))

    @cached_property
    def _order(self) -> pl.Series:
        at = self.task.select("started_at", "unit").with_row_index("at").sort("started_at", "unit")["at"]
        place = pl.int_range(at.len(), dtype=pl.UInt32, eager=True)
        return pl.repeat(0, at.len(), dtype=pl.UInt32, eager=True).scatter(at, place).alias("order")

    @cached_property
    def _again(self) -> pl.Series:
        return repeated(self.task["case"].drop_nulls(), 2)


def judge(task: Sides, quality: Quality, cheap: Arm, dear: Arm, others: TaskUnits, by: Standard) -> Verdict:
    """The best design the log holds for one task and two models, and its result.

    others   the units of all tasks: the other ones are controls of a switch
    """
    verdict = _judged(task, quality, cheap, dear, others, by)
    # Verdicts outlive their task: they keep what is said of their units, not all that was asked.
    new, old = (units.select(cs.by_name(SHOWN, require_all=False)) for units in (verdict.new, verdict.old))
    verdict = replace(verdict, new=new, old=old)
    if verdict.proven and (why := _censored(task.task, cheap, dear, verdict)) is not None:
        return replace(verdict, grade=Grade.NO_EVIDENCE, proven=False, because=(*verdict.because, why))
    return verdict


def _censored(task: pl.DataFrame, cheap: Arm, dear: Arm, verdict: Verdict) -> str | None:
    """Whether the cheap model passes only because more of its outcomes are missing: what crashes is not scored."""
    arms = [of_arm(task, arm)["quality"] for arm in (cheap, dear)]
    missing = [arm.null_count() for arm in arms]
    shares = [lost / arm.len() for lost, arm in zip(missing, arms, strict=True)]
    more = newcombe(missing[0], arms[0].len(), missing[1], arms[1].len(), Z95)
    assert verdict.comparison is not None  # else nothing is proven
    if more.low <= 0 or verdict.comparison.difference.low - more.value > -verdict.margin:
        return None
    return (
        f"{percent(shares[0], 1)} of its outcomes are missing, {percent(shares[1], 1)} of {dear.model}: "
        "were they failures, it would be worse than allowed"
    )


def _judged(task: Sides, quality: Quality, cheap: Arm, dear: Arm, others: TaskUnits, by: Standard) -> Verdict:
    margin = by.margin[quality.level]
    pairs = pairs_of(task.paired(cheap), task.paired(dear))
    if pairs[0].height >= by.minimum:
        return _paired(pairs, (task.known(cheap), task.known(dear)), quality, margin, by)
    new, old = task.cases(cheap), task.cases(dear)
    mixed = task.task["model"].null_count() / task.task.height
    few = f"too few units: {new.height} of {cheap.model} and {old.height} of {dear.model} with {quality.name}"
    if min(new.height, old.height) < by.minimum:
        return Verdict(Grade.NO_EVIDENCE, (f"{few}; {by.minimum} each are needed",), quality, margin=margin)
    if mixed > MIXED:
        why = f"{percent(mixed)} of the units used several models: escalations take the hard work out of the comparison"
        return Verdict(Grade.NO_EVIDENCE, (why,), quality, margin=margin)
    both = pl.concat([new.select(WORK, cheap=pl.lit(value=True)), old.select(WORK, cheap=pl.lit(value=False))])
    both = both.sort("order").drop("order")
    return _unpaired(both, (new, old), quality, margin, others, by)


def _per_case(units: pl.DataFrame) -> pl.DataFrame:
    """One row a case: several runs of one case are one observation, with their mean quality."""
    case = pl.coalesce("case", pl.col("unit").cast(pl.UInt64))
    if units.select(case).n_unique() == units.height:
        return units
    rest = pl.exclude("case", "quality").first()
    return units.group_by(case.alias("case"), maintain_order=True).agg(rest, pl.mean("quality")).select(units.columns)


def pairs_of(new: pl.DataFrame, old: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Cases that both models worked on, row by row; several runs of a case are averaged first."""
    means = ("quality", "calls", "input_tokens", "output_tokens", "reasoning")

    def cases(units: pl.DataFrame) -> pl.DataFrame:
        known = units.filter(pl.col("case").is_not_null())
        return known.group_by("case", maintain_order=True).agg(
            *(pl.mean(name).cast(pl.Float64) for name in means),
            pl.first("unit"),
            pl.sum("cost_usd"),
            runs=pl.len(),
        )

    common = new.select("case").join(old.select("case"), on="case", how="semi")
    first, second = (cases(units.join(common, on="case", how="semi", maintain_order="left")) for units in (new, old))
    return (
        first.join(second.select("case"), on="case", how="semi").sort("case"),
        second.join(first.select("case"), on="case", how="semi").sort("case"),
    )


def _paired(
    pairs: tuple[pl.DataFrame, pl.DataFrame],
    arms: tuple[pl.DataFrame, pl.DataFrame],
    quality: Quality,
    margin: float,
    by: Standard,
) -> Verdict:
    sides = [p["quality"].to_list() for p in pairs]
    binary = quality.binary and _all_or_nothing(pairs)
    comparison = _steady(paired(sides[0], sides[1], binary=binary), by)
    for arm, pair in zip(arms, pairs, strict=True):
        if (why := _selected(arm, pair, quality)) is not None:
            return Verdict(Grade.EXPERIMENT, (why,), quality, comparison, False, *pairs, margin=margin)
    said = (f"{comparison.n:,} requests answered by both models",)
    return _graded(comparison, quality, margin, Grade.PROVEN, said, pairs)


def _all_or_nothing(arms: Sequence[pl.DataFrame]) -> bool:
    """Whether every unit is good or bad: means of several runs of a case are neither."""
    return all(arm["quality"].is_in([0.0, 1.0]).all() for arm in arms)


def _selected(arm: pl.DataFrame, pairs: pl.DataFrame, quality: Quality) -> str | None:
    """Whether the cases both models saw were chosen by how the first did: an escalation is no comparison."""
    inside = arm.join(pairs.select("case"), on="case", how="semi")["quality"].to_list()
    outside = arm.join(pairs.select("case"), on="case", how="anti")["quality"].to_list()
    if min(len(inside), len(outside)) < 30:
        return None
    gap = unpaired(inside, outside, binary=quality.binary, design="selection").at(SELECTED_Z)
    if gap.low > 0 or gap.high < 0:
        return (
            f"the requests both models answered are no fair sample: {arm['model'][0]} does "
            f"{percent(abs(gap.value), 1)} {'better' if gap.value > 0 else 'worse'} on them than on its other requests"
        )
    return None


def _unpaired(
    both: pl.DataFrame,
    arms: tuple[pl.DataFrame, pl.DataFrame],
    quality: Quality,
    margin: float,
    others: TaskUnits,
    by: Standard,
) -> Verdict:
    new, old = arms
    task, flags = both["task"][0], both["cheap"]
    values = new["quality"].to_list(), old["quality"].to_list()
    binary = quality.binary and _all_or_nothing(arms)
    plain = unpaired(*values, binary=binary, design="overlap")
    check = balance(both, flags, seed=both.height, counted_alike=task not in by.declared or _one_family(*arms))
    no_claim = Verdict(Grade.NO_EVIDENCE, (), quality, None, False, new, old, check.table, margin)
    if (why := _other_prompt(new, old)) is not None:
        return _because(no_claim, why)
    if (switch := switch_time(both, flags)) is not None and task not in by.declared:
        same = balance(both, flags, seed=both.height, timeless=True)
        return _switch(plain, switch, (new, old), quality, margin, others, by, same)
    if task in by.declared:
        if check.refuted:
            return _because(no_claim, f"declared random, but the models got different work: {_uneven(check)}")
        comparison = _steady(unpaired(*values, binary=binary, design="random"), by)
        said = ("assigned at random, as declared",)
        return _graded(comparison, quality, margin, Grade.PROVEN, said, arms, check.table)
    if not check.passed:
        why = f"the models got different work ({_uneven(check)}): a difference in quality says nothing"
        return _because(no_claim, why)
    if (how := mechanism(both, flags)) is None:
        why = "the work looks alike, but nothing shows who chose the model: a router may know what the log does not"
        return Verdict(Grade.EXPERIMENT, (why,), quality, None, False, new, old, check.table, margin)
    return _supported(_steady(plain, by), quality, margin, f"{how}; the work looks alike", arms, check.table)


def _one_family(new: pl.DataFrame, old: pl.DataFrame) -> bool:
    """Whether both models are of one maker by their names: what lies before the first figure or hyphen."""
    makers = [re.split(r"[-\d]", str(arm["model"][0]).rpartition("/")[2])[0] for arm in (new, old)]
    return makers[0] == makers[1]


def _switch(
    plain: Comparison,
    switch: tuple[datetime, int],
    arms: tuple[pl.DataFrame, pl.DataFrame],
    quality: Quality,
    margin: float,
    others: TaskUnits,
    by: Standard,
    check: Balance,
) -> Verdict:
    moment, sign = switch
    when = f"the model changed on {moment:%Y-%m-%d}"
    if not check.passed:
        why = f"{when}, and so did the work ({_uneven(check)})"
        return Verdict(Grade.EXPERIMENT, (why,), quality, None, False, *arms, balance=check.table, margin=margin)
    task = arms[0]["task"][0]
    controls = others.controls(task, moment, by.minimum) if quality.binary else []
    if not controls:
        why = f"{when}, and no other task shows what else changed on that day"
        return Verdict(Grade.EXPERIMENT, (why,), quality, None, False, *arms, margin=margin)
    comparison = _steady(switched(plain, controls, sign=sign), by)
    tasks = "1 task" if len(controls) == 1 else f"{len(controls)} tasks"
    return _supported(comparison, quality, margin, f"{when}; {tasks} without a change as control", arms)


def _supported(
    comparison: Comparison,
    quality: Quality,
    margin: float,
    how: str,
    arms: tuple[pl.DataFrame, pl.DataFrame],
    table: pl.DataFrame | None = None,
) -> Verdict:
    if comparison.difference.low > margin:
        # Where nothing was assigned at random, a cheaper model that does clearly better is the work of a router.
        why = (
            f"{how}, yet {quality.name} of the cheaper model is {comparison.difference.value * 100:+.1f} points "
            "better: the easier work may have gone to it"
        )
        return Verdict(Grade.EXPERIMENT, (why,), quality, comparison, False, *arms, balance=table, margin=margin)
    strength = comparison.e_value(margin)
    hidden = (
        "consistent with equal quality, not proof: a hidden difference in the work that is "
        f"{strength:.2f} times as common with one model and matters {strength:.2f}-fold would overturn it"
    )
    again = [_asked_again(arm) for arm in arms]
    warned: tuple[str, ...] = ()
    if again[0] - again[1] > MARGIN_OF_DRIFT:
        warned = (
            f"{percent(again[0])} of the cheaper model's requests were sent again within 10 minutes "
            f"({percent(again[1])})",
        )
    return _graded(comparison, quality, margin, Grade.SUPPORTED, (how, hidden, *warned), arms, table)


def _graded(
    comparison: Comparison,
    quality: Quality,
    margin: float,
    best: Grade,
    said: tuple[str, ...],
    arms: tuple[pl.DataFrame, pl.DataFrame],
    table: pl.DataFrame | None = None,
) -> Verdict:
    """The grade a design can carry at most: PROVEN needs outcomes, and the bound decides."""
    difference = comparison.difference
    result = (
        f"{quality.name}: {percent(comparison.mean_cheap, 1)} against {percent(comparison.mean_dear, 1)}, difference "
        f"{difference.value * 100:+.1f} points, lower bound {difference.low * 100:+.1f}, allowed {-margin * 100:+.1f}"
    )
    passed = comparison.as_good(margin)
    grade = best if quality.level == "S3" else Grade.SUPPORTED
    return Verdict(
        grade if passed else Grade.NO_EVIDENCE,
        (result, *said),
        quality,
        comparison,
        passed,
        *arms,
        balance=table,
        margin=margin,
    )


def _steady(comparison: Comparison, by: Standard) -> Comparison:
    return comparison.looked_at_repeatedly() if by.repeated else comparison


def _because(verdict: Verdict, why: str) -> Verdict:
    return Verdict(
        verdict.grade, (why,), verdict.quality, None, False, verdict.new, verdict.old, verdict.balance, verdict.margin
    )


def _uneven(check: Balance) -> str:
    feature, worst, auc = check.feature, check.worst, check.auc
    return f"{feature.replace('_', ' ')} differs by {worst:.2f} standard deviations, AUC {auc:.2f}"


def _other_prompt(new: pl.DataFrame, old: pl.DataFrame) -> str | None:
    """Whether the prompt changed with the model: then neither can be blamed or praised alone."""
    seen = [arm["template_sha"].drop_nulls() for arm in (new, old)]
    # Without instructions of its own every question is its own template, which says nothing about a change.
    if any(s.is_empty() or s.n_unique() > OWN_PROMPT * s.len() for s in seen):
        return None
    shares = [s.is_in(o.unique().implode()).sum() / s.len() for s, o in ((seen[0], seen[1]), (seen[1], seen[0]))]
    if min(shares) < SAME_PROMPT:
        return "the prompt or its tools changed with the model"
    return None


def _asked_again(arm: pl.DataFrame) -> float:
    """Share of units whose request came again within 10 minutes."""
    known = arm.filter(pl.col("case").is_not_null()).sort("case", "started_at", "unit")
    if known.is_empty():
        return 0.0
    gap = (pl.col("started_at").shift(-1) - pl.col("started_at")).over("case")
    return float(known.select((gap <= AGAIN).fill_null(value=False).mean()).item())
