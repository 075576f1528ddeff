"""The CI gate: did a unit of work get dearer than allowed.

Never the total: a task can double per unit while the total falls. Both sides pay the prices of one day, so that a price
change fails nobody, and every verdict comes from an interval, so that chance does not either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from math import fsum, sqrt
from statistics import fmean

import msgspec
import polars as pl
from msgspec.structs import replace

from costaudit import stats
from costaudit.compare._prompt import first_difference
from costaudit.compare._sample import Sample, free_p, mean_ratio, median_ratio, needed, sample_of, tested
from costaudit.compare.accept import Acceptance
from costaudit.compare.side import Side
from costaudit.config import Gate as Limits
from costaudit.config import Suppression
from costaudit.price.bridge import between
from costaudit.price.mix import EXACT
from costaudit.verdict import BudgetVerdict, Gate, SideLabel, TaskVerdict, Verdict

FALSE_DISCOVERY = 0.05  # share of failed tasks that may be chance
REPEATS = 3  # runs of a case that a comparison at a temperature above 0 should have
RULE = "cost-regression"  # the name under which a rise is accepted on purpose
ORDER = (Verdict.FAIL, Verdict.CANNOT_JUDGE, Verdict.CANNOT_TELL, Verdict.PASS)
ZERO = Decimal(0)


def check(
    candidate: Side,
    baseline: Side | None,
    limits: Limits,
    *,
    floor_usd: Decimal = ZERO,
    min_coverage: float = 0.8,
    month: Mapping[str, float] | None = None,
    month_name: str = "",
    suppressions: Sequence[Suppression] = (),
    budgets: Sequence[BudgetVerdict] = (),
    unread: Sequence[str] = (),
) -> Gate:
    """The verdict on each task of the candidate and the baseline.

    baseline      None: there is none, and nothing can be judged
    floor_usd     monthly effect under which a dearer task does not fail, where last month's volume is known [USD]
    min_coverage  share of calls, tokens and of each task's units that must have a price
    month         task -> units of last month; without it the floor cannot let anything pass
    suppressions  of the rule `cost-regression` with a task as subject: rises that somebody accepted, until a day and up
                  to an amount a month
    budgets       what `compare.budgets` says of the candidate
    unread        what of either side could not be read, each a sentence: nothing can be judged then
    """
    about = _About(candidate, baseline, limits, month_name, tuple(budgets), tuple(unread))
    if unread:
        why = f"{len(unread):,} of its files or folders could not be read" if len(unread) > 1 else unread[0]
        return about.gate(_unjudged(why, baseline, candidate), covered=False)
    if baseline is None:
        rows = _unjudged("no baseline", None, candidate)
        return about.gate(rows, covered=_enough(candidate, min_coverage))
    blind = next((side for side in (candidate, baseline) if not _enough(side, min_coverage)), None)
    if blind is not None:
        why = f"only {_percent(blind.coverage)} of {blind.name} can be priced, under {_percent(min_coverage)}"
        return about.gate(_unjudged(why, baseline, candidate), covered=False)
    accepted = Acceptance(RULE, suppressions, candidate.window.end)
    rows = _Judge(candidate, baseline, limits, floor_usd, min_coverage, month or {}, accepted).all()
    return about.gate(rows, covered=True)


def _unjudged(why: str, *sides: Side | None) -> list[TaskVerdict]:
    """Every task of the baseline and of the candidate, with as many units as each has, and none compared."""
    base, head = (dict(side.units["task"].value_counts().iter_rows()) if side else {} for side in sides)
    return [
        TaskVerdict(task, Verdict.CANNOT_JUDGE, why, (base.get(task, 0), head.get(task, 0)))
        for task in sorted(base.keys() | head.keys())
    ]


def _by_task(units: pl.DataFrame) -> dict[str, pl.DataFrame]:
    return {str(key[0]): frame for key, frame in units.partition_by("task", as_dict=True).items()}


def _enough(side: Side, least: float) -> bool:
    return side.coverage >= least


class _Judge(msgspec.Struct, frozen=True):
    candidate: Side
    baseline: Side
    limits: Limits
    floor_usd: Decimal
    min_coverage: float
    month: Mapping[str, float]
    accepted: Acceptance

    def all(self) -> list[TaskVerdict]:
        """Every task measured, then judged together: many tasks must not add up their false alarms."""
        base, head = (_by_task(side.units) for side in (self.baseline, self.candidate))
        nothing = self.baseline.units.clear()
        measured = [
            self.measure(task, (base.get(task, nothing), head.get(task, nothing)))
            for task in sorted(base.keys() | head.keys())
        ]
        tested = [row for row in measured if row.p is not None]
        kept = stats.benjamini_hochberg([row.p for row in tested if row.p is not None])
        adjusted = {row.task: p for row, p in zip(tested, kept, strict=True)}
        rows = [self.judge(replace(row, p=adjusted.get(row.task))) for row in measured]
        return sorted(rows, key=lambda row: (ORDER.index(row.verdict), -(row.month_usd or ZERO), row.task))

    def measure(self, task: str, sides: tuple[pl.DataFrame, pl.DataFrame]) -> TaskVerdict:
        """Ratio, interval and p-value of one task; a verdict only where none of them can be had."""
        if sides[0].is_empty():
            return TaskVerdict(task, Verdict.CANNOT_JUDGE, "no baseline for this task", (0, sides[1].height))
        if sides[1].is_empty():
            return TaskVerdict(task, Verdict.CANNOT_JUDGE, "not in the candidate", (sides[0].height, 0))
        for units, name in zip(sides, ("baseline", "candidate"), strict=True):
            known = units.height - units["usd"].null_count()
            if known < self.min_coverage * units.height:
                why = f"{units.height - known:,} of {units.height:,} units of the {name} have no price"
                return TaskVerdict(task, Verdict.CANNOT_JUDGE, why, (sides[0].height, sides[1].height))
        base, head = (units.filter(pl.col("usd").is_not_null()) for units in sides)
        sample = sample_of(base, head, self.limits.min_units)
        row = TaskVerdict(
            task,
            Verdict.CANNOT_TELL,
            "",
            sample.sizes,
            unit_usd=(_money(sample.base), _money(sample.head)),
            paired=sample.paired,
            token_ratio=mean_ratio(sample.base_tokens, sample.head_tokens),
            month_units=self.month.get(task),
            advice=self.advice(task, sides[1]),
            left_out=(sides[0].height - sample.sizes[0], sides[1].height - sample.sizes[1]),
        )
        if min(sample.sizes) < max(2, self.limits.min_units):
            least = max(2, self.limits.min_units)
            have = "1 unit" if min(sample.sizes) == 1 else f"{min(sample.sizes)} units"
            return replace(row, why=f"{have} on one side, {least} are needed", needed=least)
        return self.estimate(row, sample)

    def advice(self, task: str, units: pl.DataFrame) -> str:
        """Cases that are sampled at a temperature vary by themselves: repeats, averaged, take that out."""
        temperature = self.candidate.sampled.get(task, 0.0)
        cases = units.filter(pl.col("case").is_not_null())
        if not temperature or cases.is_empty() or int((cases["runs"] < REPEATS).sum()) * 2 <= cases.height:
            return ""
        return f"answers are sampled at temperature {temperature:g}: run each case at least {REPEATS} times"

    def estimate(self, row: TaskVerdict, sample: Sample) -> TaskVerdict:
        base, head = fmean(sample.base), fmean(sample.head)
        month_usd = None
        if row.month_units is not None:
            month_usd = _decimal((head - base) * row.month_units)
        row = replace(row, month_usd=month_usd)
        if base == 0 or head == 0:
            return replace(row, p=free_p(sample) if base == 0 < head else None)
        formula = (stats.mean_ratio_paired if sample.paired else stats.mean_ratio)(sample.base, sample.head)
        allowed = 1 + self.limits.tolerance
        step = (allowed + self.limits.pass_margin) / allowed
        ratio, p = tested(formula, sample, row.task, allowed)
        return replace(
            row,
            ratio=ratio,
            median_ratio=median_ratio(sample),
            p=p,
            detectable=allowed * stats.detectable_ratio(formula.se),
            needed=max(self.limits.min_units, needed(sample, formula, step)) if step > 1 else None,
        )

    def judge(self, row: TaskVerdict) -> TaskVerdict:
        if row.why:
            return row
        if row.ratio is None:
            return self.judge_free(row)
        allowed = 1 + self.limits.tolerance
        dearer = row.ratio.low > allowed and row.p is not None and row.p <= FALSE_DISCOVERY
        small = row.month_usd is not None and row.month_usd < self.floor_usd
        if dearer and not small:
            return self.failed(row, f"dearer than the {_percent(self.limits.tolerance)} allowed")
        if row.ratio.high < allowed + self.limits.pass_margin:
            return replace(row, verdict=Verdict.PASS, why="within limits")
        if dearer:
            return replace(row, why=f"dearer, but under the floor of ${self.floor_usd:f} a month")
        if row.ratio.low > allowed:
            return replace(row, why="dearer alone, not among so many tasks: it may be chance")
        return replace(row, why="the interval reaches past the limit")

    def judge_free(self, row: TaskVerdict) -> TaskVerdict:
        """Where one side costs nothing there is no ratio."""
        base, head = row.unit_usd
        if not head:
            return replace(row, verdict=Verdict.PASS, why="costs nothing" if not base else "costs nothing any more")
        small = row.month_usd is not None and row.month_usd < self.floor_usd
        if row.p is not None and row.p <= FALSE_DISCOVERY and not small:
            return self.failed(row, "cost nothing before")
        return replace(row, why="cost nothing before, and in few units now")

    def failed(self, row: TaskVerdict, why: str) -> TaskVerdict:
        units = between(self.baseline.mix.per_unit(row.task), self.candidate.mix.per_unit(row.task))
        prompt = first_difference(self.baseline.openings.get(row.task), self.candidate.openings.get(row.task))
        row = replace(row, verdict=Verdict.FAIL, why=why, bridge=units, prompt=prompt)
        return self.unless_accepted(row)

    def unless_accepted(self, row: TaskVerdict) -> TaskVerdict:
        """A rise that somebody answers for passes until the day they gave, and up to their amount a month.

        Where the volume is not known the amount cannot be checked, and the rise fails.
        """
        accepted = self.accepted.of({"task": row.task}, row.month_usd)
        if accepted is None:
            return row
        verdict = Verdict.PASS if accepted.holds else row.verdict
        return replace(row, verdict=verdict, why=accepted.said(row.why), accepted=accepted.holds)


def _money(values: Sequence[float]) -> Decimal | None:
    return _decimal(fmean(values)) if values else None


def _decimal(usd: float) -> Decimal:
    with localcontext(prec=EXACT):
        return Decimal(usd).quantize(Decimal(1).scaleb(-18))


def _percent(share: float) -> str:
    return f"{round(100 * share, 1):g} %"


class _About(msgspec.Struct, frozen=True):
    """What the answer says beside its rows."""

    candidate: Side
    baseline: Side | None
    limits: Limits
    month: str
    budgets: tuple[BudgetVerdict, ...]
    unread: tuple[str, ...] = ()

    def gate(self, rows: Sequence[TaskVerdict], *, covered: bool) -> Gate:
        overall, tokens = _overall(rows, self.baseline)
        return Gate(
            rows=tuple(rows),
            baseline=_label(self.baseline) if self.baseline else None,
            candidate=_label(self.candidate),
            tolerance=self.limits.tolerance,
            pass_margin=self.limits.pass_margin,
            overall=overall,
            overall_tokens=tokens,
            priced_on=self.candidate.priced_on,
            exit_code=self.exit_code(rows, covered=covered),
            notes=(*self.unread, *_notes(self.candidate, self.baseline)),
            month=self.month,
            budgets=self.budgets,
        )

    def exit_code(self, rows: Sequence[TaskVerdict], *, covered: bool) -> int:
        """0, 1 for a proved rise or a budget exceeded, 3 where nothing can be judged that must be."""
        said = {row.verdict for row in rows} | {row.verdict for row in self.budgets}
        if Verdict.FAIL in said and not self.limits.report_only:
            return 1
        missing = self.baseline is None or not rows or any(row.units[0] == 0 for row in rows)
        if not covered or (self.limits.require_baseline and missing):
            return 3
        demanded = self.limits.inconclusive == "fail" and not self.limits.report_only
        return 1 if Verdict.CANNOT_TELL in said and demanded else 0


def _label(side: Side) -> SideLabel:
    return SideLabel(side.name, side.window, side.calls, side.coverage)


def _overall(rows: Sequence[TaskVerdict], baseline: Side | None) -> tuple[stats.Interval | None, float | None]:
    """Σ baseline share of spend × task ratio over the tasks that have one; errors of tasks are independent."""
    if baseline is None:
        return None, None
    spend = {task: float(usd) for task, usd in _spend(baseline).items()}
    known = [(row, row.ratio, spend.get(row.task, 0.0)) for row in rows if row.ratio is not None]
    total = fsum(weight for _, _, weight in known)
    if not total:
        return None, None
    ratio = fsum(weight * interval.value for _, interval, weight in known) / total
    reach = [
        sqrt(
            fsum((weight / total * abs(getattr(interval, end) - interval.value)) ** 2 for _, interval, weight in known)
        )
        for end in ("low", "high")
    ]
    tokens = [(row.token_ratio, weight) for row, _, weight in known if row.token_ratio is not None]
    weight = fsum(w for _, w in tokens)
    mean_tokens = fsum(r * w for r, w in tokens) / weight if weight else None
    return stats.Interval(ratio, max(ratio - reach[0], 0.0), ratio + reach[1]), mean_tokens


def _spend(side: Side) -> dict[str, Decimal]:
    return dict(side.mix.classes.group_by("task").agg(pl.col("usd").sum()).iter_rows())


def _notes(candidate: Side, baseline: Side | None) -> list[str]:
    if baseline is None:
        return ["there is no baseline: nothing was compared"]
    notes = []
    both = baseline.rates.keys() & candidate.rates.keys()
    if corrected := sorted(entry for entry in both if baseline.rates[entry] != candidate.rates[entry]):
        notes.append(f"prices of {', '.join(corrected)} were corrected since the baseline was saved: save it again")
    if candidate.guessed:
        calls = f"{candidate.guessed:,} calls" if candidate.guessed > 1 else "1 call"
        notes.append(
            f"{calls} of {candidate.name} without a task name, told apart by size: there a "
            "longer prompt is another task, not a dearer one; name tasks to judge them"
        )
    return notes + [
        f"{side.mix.unpriced.calls:,} calls of {side.name} have no price and are left out"
        if side.mix.unpriced.calls > 1
        else f"1 call of {side.name} has no price and is left out"
        for side in (baseline, candidate)
        if side.mix.unpriced.calls
    ]
