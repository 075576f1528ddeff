"""Rule overpowered-model: tasks whose work a cheaper model does as well, as far as the log can tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

import polars as pl

from costaudit.analyze import _advice as advice
from costaudit.analyze._analyzer import Analyzer, CannotCheck, Claim, need, option, single_calls, total_usd
from costaudit.analyze._candidates import Candidate, candidates, cheapest, reasoning_ratio, simple
from costaudit.analyze._judge import Standard, Verdict, judge
from costaudit.analyze._quality import LABELS, broken, measure, stated_mean
from costaudit.analyze._swap import Ratios, able, facts_of, ratios, shared_ratio, shared_requests, swap
from costaudit.analyze._units import Arm, units
from costaudit.finding import Confidence, Grade, Kind, Severity
from costaudit.price.engine import READS as PRICING
from costaudit.price.engine import price
from costaudit.price.entry import Facts
from costaudit.price.ledger import Ledger
from costaudit.stats import benjamini_hochberg

ARMS = 6  # models of a task that are compared, by spend
MIXED = 5 / 9  # Sarle's bimodality coefficient above which a family holds several kinds of work
MIXED_FROM = 100  # units from which it means anything
SEVERITIES = {Grade.PROVEN: Severity.HIGH, Grade.SUPPORTED: Severity.MEDIUM}
SAMPLE = 2_000  # calls from which the size of an unproven saving is judged


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
    reads = (
        *("request_id", "run_id", "step", "task", "task_source", "instance_id", "tenant", "key_id"),
        *("temperature", "http_status", "finish_reason", "request_sha", "block_sha", "system_sha"),
        *("template_sha", "output_sha", "tools_declared", "tool_calls", "tool_error", "score", "success"),
        *("schema_ok", "cost_usd", "price_status", "price_entry"),
        *PRICING,
    )

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
        calls = single_calls(ledger)
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
        shared = shared_requests(calls)
        for task, mine in _large_tasks(everything, floor):
            values, quality = measure(mine)
            arms = _arms(values)
            if quality is None or len(arms) < 2:
                continue
            own = calls.filter(pl.col("task") == task)
            why = broken(values, quality, stated_mean(self.stated, task), _labels(own))
            for place, dear in enumerate(arms[1:], 1):
                verdicts = [
                    (Verdict(Grade.NO_EVIDENCE, (f"scores look broken: {why}",), quality), cheap)
                    if why
                    else (judge(values, quality, cheap, dear, everything, by), cheap)
                    for cheap in arms[:place]
                ]
                verdict, cheap = max(verdicts, key=lambda v: v[0].rank)
                subject = advice.Subject(task, dear, _calls_of(own, dear), _calls_of(own, cheap))
                claim = _comparison(ledger, shared, subject, cheap, _capped(verdict, mine))
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
            arm = Arm(provider, model)
            own = calls.filter(pl.col("task") == task)
            subject = advice.Subject(task, arm, _calls_of(own, arm), own.clear())
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


def _labels(calls: pl.DataFrame) -> int | None:
    """Distinct answers of a task, where they are few enough to be labels."""
    answers = calls["output_sha"].drop_nulls()
    if answers.len() < 50:
        return None
    distinct = answers.n_unique()
    return distinct if distinct <= LABELS else None


def _calls_of(calls: pl.DataFrame, arm: Arm) -> pl.DataFrame:
    return calls.filter((pl.col("provider").fill_null("") == arm.provider) & (pl.col("model") == arm.model))


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


def _comparison(ledger: Ledger, shared: pl.DataFrame, subject: advice.Subject, cheap: Arm, verdict: Verdict) -> Claim:
    """The claim of a verdict: a patch where it is proven or supported, $0 and the reason otherwise."""
    entry = subject.cheap_calls["price_entry"].drop_nulls()
    facts = facts_of(ledger.book, entry[0] if entry.len() else None)
    same = shared_ratio(shared, cheap, subject.dear)
    paired = verdict.comparison is not None and verdict.comparison.design == "paired"
    if verdict.comparison is None:
        ratio = reasoning_ratio(subject.calls)
    else:
        ratio = ratios(verdict.new, verdict.old, paired=paired, shared=same)
    movable = subject.calls.filter(able(facts, known=False))
    left = subject.calls.height - movable.height
    because = [*verdict.because, advice.tokens_said(ratio)]
    if left:
        because.append(f"{left:,} calls stay: the cheaper model cannot take their size, tools or images")
    grade = verdict.grade
    claim = Claim(
        subject=advice.named(subject, cheap),
        title=advice.title(subject, cheap, grade, verdict),
        remedy=advice.remedy(subject, cheap, grade, verdict),
        severity=SEVERITIES.get(grade, Severity.LOW),
        confidence=Confidence.MEDIUM if verdict.proven else Confidence.LOW,
        evidence=advice.evidence(subject, cheap, verdict, ratio),
        evidence_key=advice.CASE,
        grade=grade,
        because=tuple(because),
        details=advice.details(verdict),
    )
    if verdict.proven:
        low, mid, high = _patches(subject.task, movable, cheap, facts, ratio)
        return replace(claim, patch=mid, low=low, high=high, requests=movable.height)
    # Nothing is claimed; what the change could bring at most says whether the question is worth asking.
    return replace(claim, stake_high=_most(ledger, movable, cheap, facts, ratio))


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
                title=f"{claim.subject['task']}: {claim.subject['to']} may do, one comparison of many, {{usd}} claimed",
                grade=Grade.EXPERIMENT,
                severity=Severity.LOW,
                patch=None,
                low=None,
                high=None,
                because=(*claim.because, why),
            )
        claims.append(claim)
    return claims


def _experiment(subject: advice.Subject, to: Candidate, margin: float) -> Claim:
    ratio = reasoning_ratio(subject.calls)
    movable = subject.calls.filter(able(to.facts, known=not to.known))
    low, mid, high = _patches(subject.task, movable, to.arm, to.facts, ratio)
    verdict = Verdict(Grade.EXPERIMENT, (), margin=margin)
    return Claim(
        subject=advice.named(subject, to.arm),
        title=advice.title(subject, to.arm, Grade.EXPERIMENT, verdict),
        remedy=advice.plan(subject, to.arm, margin),
        severity=Severity.LOW,
        confidence=Confidence.LOW,
        evidence=advice.evidence(subject, to.arm, verdict, ratio),
        patch=mid,
        low=low,
        high=high,
        evidence_key=advice.CASE,
        grade=Grade.EXPERIMENT,
        because=(
            "shape only: short answers in one step from small prompts; no outcome says how good either model is",
            f"{to.arm.model}: {to.why}",
            advice.tokens_said(ratio),
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
    name = pl.lit(task).alias(advice.CASE)
    low, mid, high = (swap(calls, to, facts, r_in, r_out).with_columns(name) for r_in, r_out in ends)
    return low, mid, high


def _most(ledger: Ledger, calls: pl.DataFrame, to: Arm, facts: Facts, ratio: Ratios) -> Decimal:
    """What a change could save at most [USD], from an even sample of the calls; for scale, not for a sum."""
    step = max(1, calls.height // SAMPLE)
    sample = calls.gather_every(step)
    patch = swap(sample, to, facts, ratio.input.low, ratio.output.low)
    after = price(sample.update(patch, on="row", how="left"), ledger.book)
    both = sample.select("row", before="cost_usd").join(after.select("row", "cost_usd"), on="row").drop_nulls()
    return max(Decimal(0), (total_usd(both, "before") - total_usd(both)) * step)
