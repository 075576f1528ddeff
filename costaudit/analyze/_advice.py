"""What overpowered-model says: titles, remedies, the plan of an experiment, the tables behind a verdict."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import polars as pl

from costaudit.analyze._analyzer import total_usd
from costaudit.analyze._judge import Verdict
from costaudit.analyze._swap import Ratios
from costaudit.analyze._units import Arm
from costaudit.finding import Grade, Lever
from costaudit.price.ledger import Ledger
from costaudit.schema import USD
from costaudit.stats import pairs_for_difference
from costaudit.words import percent

DISAGREE = 0.1  # share of pairs assumed to disagree when an experiment is planned
LIKELY = 0.02  # margin of an experiment where no quality is known yet
SHOWN = 20  # disagreeing requests listed
CASE = "case"


class Subject(NamedTuple):
    """One task on one dear model, with the calls that would move.

    tenant  the one whose work it is; None: of all
    """

    task: str
    dear: Arm
    calls: pl.DataFrame
    tenant: str | None = None

    @property
    def case(self) -> str:
        return self.task if self.tenant is None else f"{self.task} of {self.tenant}"


def named(subject: Subject, to: Arm) -> dict[str, str]:
    whose = {} if subject.tenant is None else {"tenant": subject.tenant}
    return {"task": subject.task, **whose, "from": subject.dear.model, "to": to.model}


def title(subject: Subject, to: Arm, grade: Grade, verdict: Verdict) -> str:
    names = f"{subject.case}: {subject.dear.model}"
    if verdict.chance:
        return f"{subject.case}: {to.model} may do, one comparison of many, {{usd}} claimed"
    if verdict.proven:
        word = "does it as well" if grade is Grade.PROVEN else "seems to do it as well"
        return f"{names} is overpowered, {to.model} {word}, saves {{usd}}"
    if grade is Grade.EXPERIMENT and verdict.quality is None:
        return f"{names} gives short answers, {to.model} may do: worth an experiment, {{usd}}"
    if verdict.comparison is not None:
        return f"{names} is not shown to be overpowered: {to.model} may be worse, {{usd}} claimed"
    return f"{names} against {to.model}: the log cannot tell, {{usd}} claimed"


def remedy(subject: Subject, to: Arm, grade: Grade, verdict: Verdict) -> str:
    if grade is Grade.PROVEN:
        return f"route {subject.case} to {to.model}"
    if grade is Grade.SUPPORTED and verdict.proven:
        return f"route a tenth of {subject.case} to {to.model} at random, score it, then decide"
    if verdict.comparison is not None and not verdict.proven and verdict.comparison.difference.high < 0:
        return f"keep {subject.dear.model} for {subject.case}"
    return plan(subject, to, verdict.margin or LIKELY)


def lever(to: Arm, grade: Grade, verdict: Verdict) -> Lever | None:
    """Set where the remedy is to route; an experiment changes no setting yet."""
    routed = grade is Grade.PROVEN or (grade is Grade.SUPPORTED and verdict.proven)
    return Lever("model", to.model) if routed else None


def plan(subject: Subject, to: Arm, margin: float) -> str:
    """The experiment to run: how many, which share of the traffic, when to stop."""
    n = pairs_for_difference(DISAGREE, margin)
    share = n / max(subject.calls.height, 1)
    part = f"{percent(share)} of this window's" if share < 1 else "more than this window has"
    return (
        f"send a copy of {n:,} requests of {subject.case} ({part}) to {to.model}, log score or "
        f"success of both; change over once the lower bound of the difference is above {-margin * 100:+.0f} points, "
        f"stop once the upper bound is below it"
    )


def tokens_said(ratio: Ratios) -> str:
    parts = " and ".join(
        f"{name} × {interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"
        for name, interval in (("input", ratio.input), ("output", ratio.output))
    )
    return f"tokens {'measured' if ratio.measured else 'assumed'}: {parts}"


def evidence(subject: Subject, to: Arm, verdict: Verdict, ratio: Ratios) -> pl.DataFrame:
    found = verdict.comparison
    return pl.DataFrame(
        {
            CASE: [subject.case],
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


def details(verdict: Verdict, ledger: Ledger) -> dict[str, pl.DataFrame]:
    tables: dict[str, pl.DataFrame] = {}
    if verdict.balance is not None and verdict.balance.height:
        tables["balance"] = verdict.balance
    if verdict.comparison is not None and verdict.comparison.design == "paired":
        first = [ledger.at(side["unit"], ("request_id",))["request_id"] for side in (verdict.new, verdict.old)]
        both = pl.DataFrame(
            {
                "request_to": first[0],
                "request_from": first[1],
                "quality_to": verdict.new["quality"],
                "quality_from": verdict.old["quality"],
            }
        )
        unequal = both.filter(pl.col("quality_to") != pl.col("quality_from"))
        tables["disagreeing"] = unequal.sort("request_to", "request_from").head(SHOWN)
    return tables
