"""Rule overpowered-model: tasks whose work a cheaper model does as well, as far as the log can tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

import polars as pl
from msgspec.structs import replace

from costaudit.analyze import _advice as advice
from costaudit.analyze._analyzer import Analyzer, CannotCheck, Claim, need_single, option, single_usd, total_usd
from costaudit.analyze._candidates import TRIED, Candidate, candidates, cheapest, reasoning_ratio
from costaudit.analyze._judge import Standard, Verdict
from costaudit.analyze._pairs import Pair, compared, discovered, worse
from costaudit.analyze._swap import Ratios, able, facts_of, ratios, shared_ratio, swap
from costaudit.analyze._task_units import TaskUnits
from costaudit.analyze._units import Arm
from costaudit.analyze._work import Work
from costaudit.finding import Confidence, Grade, Kind, Severity
from costaudit.price.engine import READS as PRICING
from costaudit.price.engine import price
from costaudit.price.entry import Facts
from costaudit.price.exact import amount
from costaudit.price.ledger import Ledger
from costaudit.words import plural

SEVERITIES = {Grade.PROVEN: Severity.HIGH, Grade.SUPPORTED: Severity.MEDIUM}
SAMPLE = 2_000  # calls from which the size of an unproven saving is judged


class OverpoweredModel(Analyzer):
    """Tasks that run on a dear model though a cheaper one does them as well, as far as the log can tell.

    ## What it finds
    The cheapest model that reliably does a task. A log holds only the answer of the model that ran, so every finding
    has a grade. PROVEN: both models answered the same requests, or were assigned at random, and the cheaper one is not
    worse than the allowed margin. SUPPORTED: both did similar work for a visible reason that has nothing to do with the
    work, or the task switched. EXPERIMENT: short answers that a cheap model may well give; try it, here is how. NO
    EVIDENCE: what the log shows cannot carry a comparison, and why. A router that sends easy work to the cheap model
    makes it look good: such logs never prove anything here. A tenant with enough data of its own is looked at alone:
    left out of the advice where the cheaper model is worse for it, advised where only it shows something.
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
    levers = ("model",)
    reads = (
        *("request_id", "run_id", "step", "task", "task_source", "instance_id", "tenant", "key_id"),
        *(
            "temperature",
            "max_tokens",
            "http_status",
            "finish_reason",
            "request_sha",
            "block_sha",
            "block_tokens",
            "system_sha",
        ),
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
        lack = {"task": "no task is known", "model": "no model is named", "cost_usd": "no call has a price"}
        need_single(ledger, lack)
        floor = ledger.settings.floor(single_usd(ledger))
        by = Standard({"S3": self.delta_s3, "S2": self.delta_s2}, self.min_units, self.randomised, self.repeated)
        work = Work(ledger)
        pairs = discovered(list(compared(TaskUnits(work), floor, by, self.stated)), self.q)
        claims = [*_comparisons(work, pairs), *self._experiments(work, pairs, floor)]
        if not claims and not pairs:
            raise CannotCheck(
                "NO EVIDENCE: no task ran on two models with a known outcome; log score, success or schema_ok, "
                "and send a sample of a task to a cheaper model"
            )
        yield from claims

    def _experiments(self, work: Work, pairs: Sequence[Pair], floor: Decimal) -> Iterator[Claim]:
        """Short structured answers on a dear model: worth a try, with the saving as a range."""
        done = {(pair.task, pair.dear.model) for pair in pairs}
        groups = work.groups.filter((pl.col("paid") > 0) & (pl.col("spend") >= amount(floor)))
        for task, provider, model in groups.select("task", "provider", "model").iter_rows():
            arm, book = Arm(provider, model), work.ledger.book
            if (task, model) in done or not work.simple(task, arm):
                continue
            subject = advice.Subject(task, arm, work.of(task, arm))
            best = cheapest(
                work.sample(subject.calls["row"], TRIED)[0], candidates(work.used, arm, book, self.candidates), book
            )
            if best is not None:
                yield _experiment(work, subject, best, self.delta_s3)


def _comparisons(work: Work, pairs: Sequence[Pair]) -> Iterator[Claim]:
    """One claim for each dear model of a task; and for each tenant that the task as a whole says nothing about."""
    groups: dict[tuple[str, Arm], list[Pair]] = {}
    for pair in pairs:
        groups.setdefault((pair.task, pair.dear), []).append(pair)
    for (task, dear), mine in groups.items():
        whole = [pair for pair in mine if pair.tenant is None]
        if not whole:
            continue
        best = max(whole, key=lambda pair: pair.verdict.rank)
        tenants = [pair for pair in mine if pair.tenant is not None]
        hurt = sorted({p.tenant for p in tenants if p.cheap == best.cheap and worse(p) and p.tenant is not None})
        subject = advice.Subject(task, dear, work.of(task, dear))
        kept: tuple[str, ...] = ()
        if best.verdict.proven and hurt:
            subject = subject._replace(calls=subject.calls.filter(~pl.col("tenant").is_in(hurt).fill_null(value=False)))
            kept = (f"left out, for it is worse there: {', '.join(hurt)}",)
        claim = _comparison(work, subject, best.cheap, best.verdict, kept)
        tables = {"dominated": _dominated(dear, whole)} if any(pair.verdict.proven for pair in whole) else {}
        yield replace(claim, details={**claim.details, **tables})
        if best.verdict.proven:
            continue
        for tenant in sorted({pair.tenant for pair in tenants if pair.tenant is not None}):
            one = max((p for p in tenants if p.tenant == tenant), key=lambda pair: pair.verdict.rank)
            if one.verdict.proven:
                subject = advice.Subject(task, dear, work.of(task, dear, tenant), tenant)
                yield _comparison(work, subject, one.cheap, one.verdict)


def _dominated(dear: Arm, pairs: Sequence[Pair]) -> pl.DataFrame:
    """The models that are cheaper a unit and, within the margin, no worse than a dear one."""
    rows = [
        (dear.model, p.cheap.model, p.verdict.grade.value, found.difference.value, found.difference.low)
        for p in pairs
        if p.verdict.proven and (found := p.verdict.comparison) is not None
    ]
    return pl.DataFrame(rows, schema=["model", "by", "grade", "difference", "lower_bound"], orient="row")


def _comparison(
    work: Work,
    subject: advice.Subject,
    cheap: Arm,
    verdict: Verdict,
    kept: tuple[str, ...] = (),
) -> Claim:
    """The claim of a verdict: a patch where it is proven or supported, $0 and the reason otherwise.

    kept  what else is to be said about calls that stay
    """
    facts = facts_of(work.ledger.book, work.entry(subject.task, cheap, subject.tenant))
    paired = verdict.comparison is not None and verdict.comparison.design == "paired"
    if verdict.comparison is None:
        ratio = reasoning_ratio(subject.calls)
    else:
        ratio = ratios(
            verdict.new, verdict.old, paired=paired, shared=lambda: shared_ratio(work.shared, cheap, subject.dear)
        )
    movable = subject.calls.filter(able(facts, known=False))
    left = subject.calls.height - movable.height
    because = [*verdict.because, *kept, advice.tokens_said(ratio)]
    if left:
        because.append(
            f"{plural(left, 'call stays', 'calls stay')}: "
            "the cheaper model cannot take the size, tools, images or answers"
        )
    if facts.output is not None and (asked := movable.filter(pl.col("max_tokens") > facts.output).height):
        because.append(
            f"{plural(asked, 'call allows', 'calls allow')} more than the {facts.output:,} tokens "
            "it can answer: lower max_tokens"
        )
    grade = verdict.grade
    claim = Claim(
        subject=advice.named(subject, cheap),
        title=advice.title(subject, cheap, grade, verdict),
        remedy=advice.remedy(subject, cheap, grade, verdict),
        lever=advice.lever(cheap, grade, verdict),
        severity=SEVERITIES.get(grade, Severity.LOW),
        confidence=Confidence.MEDIUM if verdict.proven else Confidence.LOW,
        evidence=advice.evidence(subject, cheap, verdict, ratio),
        evidence_key=advice.CASE,
        grade=grade,
        because=tuple(because),
        details=advice.details(verdict, work.ledger),
    )
    if verdict.proven:
        low, mid, high = _patches(subject.case, work.swapped(movable["row"]), cheap, facts, ratio)
        return replace(claim, patch=mid, low=low, high=high, requests=movable.height)
    # Nothing is claimed; what the change could bring at most says whether the question is worth asking.
    return replace(claim, stake_high=_most(work, movable["row"], cheap, facts, ratio))


def _experiment(work: Work, subject: advice.Subject, to: Candidate, margin: float) -> Claim:
    ratio = reasoning_ratio(subject.calls)
    movable = subject.calls.filter(able(to.facts, known=not to.known))
    low, mid, high = _patches(subject.case, work.swapped(movable["row"]), to.arm, to.facts, ratio)
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
    case: str, calls: pl.DataFrame, to: Arm, facts: Facts, ratio: Ratios
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Patches of the least, the likely and the largest saving, keyed by the case of the evidence."""
    ends = (
        (ratio.input.high, ratio.output.high),
        (ratio.input.value, ratio.output.value),
        (ratio.input.low, ratio.output.low),
    )
    name = pl.lit(case).alias(advice.CASE)
    low, mid, high = (swap(calls, to, facts, r_in, r_out).with_columns(name) for r_in, r_out in ends)
    return low, mid, high


def _most(work: Work, rows: pl.Series, to: Arm, facts: Facts, ratio: Ratios) -> Decimal:
    """What a change could save at most [USD], from an even sample of the calls; for scale, not for a sum."""
    sample, step = work.sample(rows, SAMPLE)
    patch = swap(sample, to, facts, ratio.input.low, ratio.output.low)
    after = price(sample.update(patch, on="row", how="left"), work.ledger.book)
    both = sample.select("row", before="cost_usd").join(after.select("row", "cost_usd"), on="row").drop_nulls()
    return max(Decimal(0), (total_usd(both, "before") - total_usd(both)) * step)
