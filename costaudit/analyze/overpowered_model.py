"""Rule overpowered-model: tasks whose work a cheaper model does as well, as far as the log can tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple

import polars as pl

from costaudit.analyze._analyzer import Analyzer, CannotCheck, Claim, need, option, requests_of, total_usd
from costaudit.analyze._candidates import Candidate, candidates, cheapest, reasoning_ratio, simple
from costaudit.analyze._judge import Standard, Verdict, judge
from costaudit.analyze._quality import LABELS, broken, measure, stated_mean
from costaudit.analyze._swap import Ratios, able, facts_of, ratios, shared_ratio, swap
from costaudit.analyze._units import Arm, units
from costaudit.finding import Confidence, Grade, Kind, Severity
from costaudit.price.engine import price
from costaudit.price.entry import Facts
from costaudit.price.ledger import Ledger
from costaudit.schema import USD
from costaudit.stats import benjamini_hochberg, pairs_for_difference

ARMS = 6  # models of a task that are compared, by spend
MIXED = 5 / 9  # Sarle's bimodality coefficient above which a family holds several kinds of work
MIXED_FROM = 100  # units from which it means anything
DISAGREE = 0.1  # share of pairs assumed to disagree when an experiment is planned
SHOWN = 20  # disagreeing requests listed
SEVERITIES = {Grade.PROVEN: Severity.HIGH, Grade.SUPPORTED: Severity.MEDIUM}
CASE = "case"


class Subject(NamedTuple):
    """One task on one dear model, with the calls that would move."""

    task: str
    dear: Arm
    calls: pl.DataFrame


@dataclass(frozen=True)
class OverpoweredModel(Analyzer):
    """Tasks that run on a dear model though a cheaper one does them as well, as far as the log can tell.

    ## What it finds
    The cheapest model that reliably does a task. A log holds only the answer of the model that ran, so every finding
    has a grade. PROVEN: both models answered the same requests, or were assigned at random, and the cheaper one is not
    worse than the allowed margin. SUPPORTED: both did similar work for a visible reason that has nothing to do with the
    work, or the task switched. EXPERIMENT: short answers that a cheap model may well give; try it, here is how. NO
    EVIDENCE: what the log shows cannot carry a comparison, and why. A router that sends easy work to the cheap model
    makes it look good: such logs never prove anything here.
    ## Why it costs money
    Between neighbouring models of one provider prices differ by three to twenty times, and the dearest is the habit.
    ## What to do
    PROVEN: change the model of that task. SUPPORTED: change it for a part of the traffic first. EXPERIMENT: send a copy
    of the stated number of requests to the cheaper model and score both. Advice is per task: the total over all tasks
    can point the other way.
    ## Example
    ```console
    $ costaudit analyze --select overpowered-model sample_logs/analyzers/overpowered-model.jsonl
    …
           $1.64  triage: claude-opus-4-1 gives short answers, claude-haiku-4-5 may do: worth an
                  experiment, $1.64
                  low     overpowered-model · F-bfb4f5 · $1.60 to $1.67 · confidence low · EXPERIMENT ·
    …
    ```
    """

    name = "overpowered-model"
    kind = Kind.DECIDE
    order = 8

    delta_s3: float = option(0.02, "share of the scale", "How much worse an outcome may be and still count as equal.")
    delta_s2: float = option(0.01, "share", "The same for the form of the answer: schema, tool errors, cut answers.")
    min_units: int = option(30, "units", "Units of a task each model needs before it is compared.")
    q: float = option(0.10, "share", "False discoveries allowed among the PROVEN findings of an audit.")
    randomised: tuple[str, ...] = option((), "tasks", "Tasks whose model you assign at random.")
    stated: Mapping[str, float] = option(
        {}, "task: share", "Mean outcome of a task as known elsewhere; guards the scores."
    )
    candidates: tuple[str, ...] = option(
        (), "provider/model", "Models you would try; empty: those of the log and the book."
    )
    repeated: bool = option(
        False, "yes or no", "The same growing log is audited again and again: bounds hold at every look."
    )

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        calls = requests_of(ledger)
        need(calls, {"task": "no task is known", "model": "no model is named", "cost_usd": "no call has a price"})
        floor = ledger.settings.floor(total_usd(calls))
        everything = units(calls)
        judged = list(self._compared(ledger, calls, everything, floor))
        claims = [*_discovered(judged, self.q), *self._experiments(ledger, calls, judged, floor)]
        if not claims and not judged:
            raise CannotCheck(
                "NO EVIDENCE: no task ran on two models with a known outcome; log score, success or schema_ok, "
                "and send a sample of a task to a cheaper model"
            )
        yield from claims

    def _compared(
        self, ledger: Ledger, calls: pl.DataFrame, everything: pl.DataFrame, floor: Decimal
    ) -> Iterator[tuple[Verdict, Claim]]:
        """A verdict and its claim for each dear model of each task that ran on several and has a known outcome."""
        by = Standard({"S3": self.delta_s3, "S2": self.delta_s2}, self.min_units, self.randomised, self.repeated)
        for task, mine in _large_tasks(everything, floor):
            values, quality = measure(mine)
            arms = _arms(values)
            if quality is None or len(arms) < 2:
                continue
            others = everything.filter(pl.col("task") != task)
            why = broken(values, quality, stated_mean(self.stated, task), _labels(calls, task))
            for place, dear in enumerate(arms[1:], 1):
                verdicts = [
                    (Verdict(Grade.NO_EVIDENCE, (f"scores look broken: {why}",), quality), cheap)
                    if why
                    else (judge(values, quality, cheap, dear, others, by), cheap)
                    for cheap in arms[:place]
                ]
                verdict, cheap = max(verdicts, key=lambda v: v[0].rank)
                subject = Subject(task, dear, _calls_of(calls, task, dear))
                claim = _comparison(ledger, calls, subject, cheap, _capped(verdict, mine))
                tables = {"dominated": _dominated(dear, verdicts)} if any(v.proven for v, _ in verdicts) else {}
                yield verdict, replace(claim, details={**claim.details, **tables})

    def _experiments(
        self, ledger: Ledger, calls: pl.DataFrame, judged: list[tuple[Verdict, Claim]], floor: Decimal
    ) -> Iterator[Claim]:
        """Short structured answers on a dear model: worth a try, with the saving as a range."""
        done = {(claim.subject["task"], claim.subject["from"]) for _, claim in judged}
        paid = calls.filter(pl.col("task").is_not_null() & (pl.col("price_status") == "priced"))
        groups = paid.group_by("task", pl.col("provider").fill_null(""), "model").agg(pl.sum("cost_usd"))
        for task, provider, model, spend in groups.sort("task", "provider", "model").iter_rows():
            if spend < floor or (task, model) in done:
                continue
            subject = Subject(task, Arm(provider, model), _calls_of(calls, task, Arm(provider, model)))
            if not simple(subject.calls):
                continue
            options = candidates(calls, subject.dear, ledger.book, self.candidates)
            best = cheapest(subject.calls, options, ledger.book)
            if best is not None:
                yield _experiment(subject, best, self.delta_s3)


def _dominated(dear: Arm, verdicts: list[tuple[Verdict, Arm]]) -> pl.DataFrame:
    """The models that are cheaper a unit and, within the margin, no worse than a dear one."""
    rows = [
        (dear.model, cheap.model, v.grade.value, v.comparison.difference.value, v.comparison.difference.low)
        for v, cheap in verdicts
        if v.proven and v.comparison is not None
    ]
    return pl.DataFrame(rows, schema=["model", "by", "grade", "difference", "lower_bound"], orient="row")


def _large_tasks(everything: pl.DataFrame, floor: Decimal) -> Iterator[tuple[str, pl.DataFrame]]:
    """Tasks that spend enough for a finding, by name."""
    sums = everything.group_by("task").agg(pl.sum("cost_usd")).filter(pl.col("cost_usd") >= floor)
    for task in sums["task"].sort():
        yield task, everything.filter(pl.col("task") == task)


def _arms(values: pl.DataFrame) -> list[Arm]:
    """The models of a task, the cheapest a unit first; only those whose units all have a price."""
    seen = (
        values.filter(pl.col("model").is_not_null())
        .group_by("provider", "model")
        .agg(n=pl.len(), spend=pl.sum("cost_usd"), unknown=pl.col("cost_usd").null_count())
        .filter((pl.col("unknown") == 0) & (pl.col("spend") > 0))
        .sort("spend", "provider", "model", descending=[True, False, False])
        .head(ARMS)
        .sort(pl.col("spend").cast(pl.Float64) / pl.col("n"), "provider", "model")
    )
    return [Arm(provider, model) for provider, model in seen.select("provider", "model").iter_rows()]


def _labels(calls: pl.DataFrame, task: str) -> int | None:
    """Distinct answers of a task, where they are few enough to be labels."""
    answers = calls.filter(pl.col("task") == task)["output_sha"].drop_nulls()
    if answers.len() < 50:
        return None
    distinct = answers.n_unique()
    return distinct if distinct <= LABELS else None


def _calls_of(calls: pl.DataFrame, task: str, arm: Arm) -> pl.DataFrame:
    return calls.filter(
        (pl.col("task") == task) & (pl.col("provider").fill_null("") == arm.provider) & (pl.col("model") == arm.model)
    )


def _capped(verdict: Verdict, mine: pl.DataFrame) -> Verdict:
    """A discovered prompt family that holds several kinds of work is never more than SUPPORTED (METHODS 5.1)."""
    if verdict.grade is not Grade.PROVEN or not mine["task_source"].is_in(["family", "shape"]).any():
        return verdict
    sizes = (mine["output_tokens"] + 1).log()
    skew, peak = sizes.skew(), sizes.kurtosis(fisher=False)
    if mine.height >= MIXED_FROM and skew is not None and peak and (skew**2 + 1) / peak > MIXED:
        why = "the task was found by its prompt and its answers have two lengths: it may be two tasks"
        return replace(verdict, grade=Grade.SUPPORTED, because=(*verdict.because, why))
    return verdict


def _comparison(ledger: Ledger, calls: pl.DataFrame, subject: Subject, cheap: Arm, verdict: Verdict) -> Claim:
    """The claim of a verdict: a patch where it is proven or supported, $0 and the reason otherwise."""
    entry = _calls_of(calls, subject.task, cheap)["price_entry"].drop_nulls()
    facts = facts_of(ledger.book, entry[0] if entry.len() else None)
    shared = shared_ratio(calls, cheap, subject.dear)
    paired = verdict.comparison is not None and verdict.comparison.design == "paired"
    measured = verdict.proven
    ratio = (
        ratios(verdict.new, verdict.old, paired=paired, shared=shared) if measured else reasoning_ratio(subject.calls)
    )
    movable = subject.calls.filter(able(facts, known=False))
    left = subject.calls.height - movable.height
    because = [*verdict.because, _tokens_said(ratio)]
    if left:
        because.append(f"{left:,} calls stay: the cheaper model cannot take their size, tools or images")
    low, mid, high = _patches(subject.task, movable, cheap, facts, ratio)
    grade = verdict.grade
    claim = Claim(
        subject=_named(subject, cheap),
        title=_title(subject, cheap, grade, verdict),
        remedy=_remedy(subject, cheap, grade, verdict),
        severity=SEVERITIES.get(grade, Severity.LOW),
        confidence=Confidence.MEDIUM if verdict.proven else Confidence.LOW,
        evidence=_evidence(subject, cheap, verdict, ratio),
        patch=mid,
        low=low,
        high=high,
        evidence_key=CASE,
        grade=grade,
        because=tuple(because),
        requests=movable.height,
        details=_details(verdict),
    )
    if verdict.proven:
        return claim
    # Nothing is claimed; what the change could bring at most says whether the question is worth asking.
    most = _saving(ledger, movable, high)
    return replace(claim, patch=None, low=None, high=None, stake_high=max(most, Decimal(0)), requests=0)


def _discovered(judged: list[tuple[Verdict, Claim]], q: float) -> list[Claim]:
    """The claims, with PROVEN only where false-discovery control over the whole audit keeps it."""
    proven = [i for i, (_, claim) in enumerate(judged) if claim.grade is Grade.PROVEN]
    p_values = []
    for i in proven:
        verdict = judged[i][0]
        assert verdict.comparison is not None  # PROVEN has one
        p_values.append(verdict.comparison.p_worse(verdict.margin))
    adjusted = dict(zip(proven, benjamini_hochberg(p_values), strict=True))
    claims = []
    for i, (_, claim) in enumerate(judged):
        if adjusted.get(i, 0.0) > q:
            why = f"one of {len(proven)} comparisons: a chance find cannot be excluded (adjusted p {adjusted[i]:.2f})"
            claim = replace(
                claim,
                grade=Grade.EXPERIMENT,
                severity=Severity.LOW,
                patch=None,
                low=None,
                high=None,
                because=(*claim.because, why),
            )
        claims.append(claim)
    return claims


def _experiment(subject: Subject, to: Candidate, margin: float) -> Claim:
    ratio = reasoning_ratio(subject.calls)
    movable = subject.calls.filter(able(to.facts, known=not to.known))
    low, mid, high = _patches(subject.task, movable, to.arm, to.facts, ratio)
    n = pairs_for_difference(DISAGREE, margin)
    verdict = Verdict(Grade.EXPERIMENT, (), margin=margin)
    return Claim(
        subject=_named(subject, to.arm),
        title=_title(subject, to.arm, Grade.EXPERIMENT, verdict),
        remedy=_plan(subject, to.arm, n, margin),
        severity=Severity.LOW,
        confidence=Confidence.LOW,
        evidence=_evidence(subject, to.arm, verdict, ratio),
        patch=mid,
        low=low,
        high=high,
        evidence_key=CASE,
        grade=Grade.EXPERIMENT,
        because=(
            "shape only: short answers in one step from small prompts; no outcome says how good either model is",
            f"{to.arm.model}: {to.why}",
            _tokens_said(ratio),
        ),
        requests=movable.height,
    )


def _patches(
    task: str, calls: pl.DataFrame, to: Arm, facts: Facts, ratio: Ratios
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Patches of the least, the likely and the largest saving, keyed by the case of the evidence."""
    ends = (
        (ratio.input.high, ratio.output.high),
        (ratio.input.value, ratio.output.value),
        (ratio.input.low, ratio.output.low),
    )
    name = pl.lit(task).alias(CASE)
    low, mid, high = (swap(calls, to, facts, r_in, r_out).with_columns(name) for r_in, r_out in ends)
    return low, mid, high


def _saving(ledger: Ledger, calls: pl.DataFrame, patch: pl.DataFrame) -> Decimal:
    after = price(calls.update(patch.drop(CASE), on="row", how="left"), ledger.book)
    both = calls.select("row", before="cost_usd").join(after.select("row", "cost_usd"), on="row").drop_nulls()
    return total_usd(both, "before") - total_usd(both)


def _named(subject: Subject, to: Arm) -> dict[str, str]:
    return {"task": subject.task, "from": subject.dear.model, "to": to.model}


def _title(subject: Subject, to: Arm, grade: Grade, verdict: Verdict) -> str:
    names = f"{subject.task}: {subject.dear.model}"
    if verdict.proven:
        word = "does it as well" if grade is Grade.PROVEN else "seems to do it as well"
        return f"{names} is overpowered, {to.model} {word}, saves {{usd}}"
    if grade is Grade.EXPERIMENT and verdict.quality is None:
        return f"{names} gives short answers, {to.model} may do: worth an experiment, {{usd}}"
    if verdict.comparison is not None:
        return f"{names} is not shown to be overpowered: {to.model} may be worse, {{usd}} claimed"
    return f"{names} against {to.model}: the log cannot tell, {{usd}} claimed"


def _remedy(subject: Subject, to: Arm, grade: Grade, verdict: Verdict) -> str:
    if grade is Grade.PROVEN:
        return f"route {subject.task} to {to.model}"
    if grade is Grade.SUPPORTED and verdict.proven:
        return f"route a tenth of {subject.task} to {to.model} at random, score it, then decide"
    if verdict.comparison is not None and not verdict.proven and verdict.comparison.difference.high < 0:
        return f"keep {subject.dear.model} for {subject.task}"
    return _plan(subject, to, pairs_for_difference(DISAGREE, verdict.margin or 0.02), verdict.margin or 0.02)


def _plan(subject: Subject, to: Arm, n: int, margin: float) -> str:
    """The experiment to run: how many, which share of the traffic, when to stop."""
    share = n / max(subject.calls.height, 1)
    part = f"{share:.0%} of this window's" if share < 1 else "more than this window has"
    return (
        f"send a copy of {n:,} requests of {subject.task} ({part}) to {to.model}, log score or "
        f"success of both; change over once the lower bound of the difference is above {-margin * 100:+.0f} points, "
        f"stop once the upper bound is below it"
    )


def _tokens_said(ratio: Ratios) -> str:
    parts = " and ".join(
        f"{name} × {interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"
        for name, interval in (("input", ratio.input), ("output", ratio.output))
    )
    return f"tokens {'measured' if ratio.measured else 'assumed'}: {parts}"


def _evidence(subject: Subject, to: Arm, verdict: Verdict, ratio: Ratios) -> pl.DataFrame:
    found = verdict.comparison
    return pl.DataFrame(
        {
            CASE: [subject.task],
            "from": [subject.dear.model],
            "to": [to.model],
            "calls": [subject.calls.height],
            "design": [found.design if found else "none"],
            "units_from": [found.dear if found else verdict.old.height],
            "units_to": [found.cheap if found else verdict.new.height],
            "difference": [found.difference.value if found else None],
            "lower_bound": [found.difference.low if found else None],
            "margin": [-verdict.margin if verdict.margin else None],
            "r_in": [ratio.input.value],
            "r_out": [ratio.output.value],
            "calls_ratio": [ratio.calls],
            "usd_per_success_from": [_per_success(verdict.old)],
            "usd_per_success_to": [_per_success(verdict.new)],
        },
        schema_overrides={
            "difference": pl.Float64,
            "lower_bound": pl.Float64,
            "margin": pl.Float64,
            "usd_per_success_from": USD,
            "usd_per_success_to": USD,
        },
    )


def _per_success(arm: pl.DataFrame) -> Decimal | None:
    """All spend of the compared units over their successes [USD]; None where it cannot be said."""
    if "cost_usd" not in arm.columns or arm.is_empty() or arm["cost_usd"].null_count():
        return None
    runs = arm["runs"] if "runs" in arm.columns else 1
    good = Decimal(str((arm["quality"] * runs).sum()))
    return (total_usd(arm) / good).quantize(Decimal("1e-12")) if good else None


def _details(verdict: Verdict) -> dict[str, pl.DataFrame]:
    tables: dict[str, pl.DataFrame] = {}
    if verdict.balance is not None and verdict.balance.height:
        tables["balance"] = verdict.balance
    if verdict.comparison is not None and verdict.comparison.design == "paired":
        both = pl.DataFrame(
            {
                "request_to": verdict.new["request_id"],
                "request_from": verdict.old["request_id"],
                "quality_to": verdict.new["quality"],
                "quality_from": verdict.old["quality"],
            }
        )
        unequal = both.filter(pl.col("quality_to") != pl.col("quality_from"))
        tables["disagreeing"] = unequal.sort("request_to", "request_from").head(SHOWN)
    return tables
