"""Rule reasoning-overspend: hidden reasoning that costs more than it brings."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from costaudit.analyze._analyzer import ALONE, Analyzer, Claim, need_single, option, single_calls, single_usd
from costaudit.analyze._candidates import SHAPE, brief, simple
from costaudit.analyze._judge import Sides, Standard, Verdict, judge
from costaudit.analyze._places import places
from costaudit.analyze._quality import broken, measure
from costaudit.analyze._task_units import TaskUnits
from costaudit.analyze._units import PROVIDER, TOOLS, Arm, units
from costaudit.analyze._work import Work
from costaudit.finding import Confidence, Grade, Kind, Lever, Severity
from costaudit.price.engine import READS as PRICING
from costaudit.price.ledger import Ledger

CASE = "case"
JUDGED = (
    *("row", "task", "provider", "model", "cost_usd"),
    *("input_tokens", "output_tokens", "reasoning_tokens", "reasoning_effort"),
)
THINKING = pl.col("task").is_not_null() & (pl.col("price_status") == "priced")
LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
SEVERITIES = {Grade.PROVEN: Severity.HIGH, Grade.SUPPORTED: Severity.MEDIUM}


class ReasoningOverspend(Analyzer):
    """Hidden reasoning that a task pays for and, as far as the log can tell, does not need.

    ## What it finds
    Two efforts of one model on one task: the lower one is not worse than the allowed margin, by the same tests and
    grades as `overpowered-model`. One effort only: short answers after reasoning more than `ratio` times as long, worth
    an experiment. Hard work with long reasoning and no second effort to compare with is left alone, and reasoning is
    never guessed from latency.
    ## Why it costs money
    Reasoning is billed as output, the dearest class, and nobody sees it.
    ## What to do
    Lower the effort of that task, or set a reasoning budget; in an experiment score both efforts on the same requests.
    ## Example
    ```console
    $ costaudit analyze --select reasoning-overspend sample_logs/analyzers/reasoning-overspend.jsonl
    …
           $1.21  moderate: gpt-5 reasons 1520 times as long as it answers, $1.21
                  low     reasoning-overspend · F-66587e · $0.00 to $2.42 · confidence low ·
    …
    ```
    """

    name = "reasoning-overspend"
    kind = Kind.DECIDE
    order = 8
    levers = ("effort",)
    reads = (
        *("request_id", "run_id", "step", "task", "task_source", "instance_id", "tenant", "key_id"),
        *(
            "temperature",
            "reasoning_effort",
            "http_status",
            "finish_reason",
            "request_sha",
            "block_sha",
            "block_tokens",
        ),
        *("template_sha", "tools_declared", "tool_calls", "tool_error", "score", "success", "schema_ok"),
        *("cost_usd", "price_status", "price_entry"),
        *PRICING,
    )

    ratio: float = option(
        10.0, "times", "Reasoning over visible answer, at the median, from which one effort is doubted."
    )
    delta_s3: float = option(0.02, "share of the scale", "How much worse an outcome may be and still count as equal.")
    delta_s2: float = option(0.01, "share", "The same for the form of the answer.")
    min_units: int = option(30, "units", "Units of a task each effort needs before it is compared.")
    randomised: tuple[str, ...] = option((), "tasks", "Tasks whose effort you assign at random.")

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        need_single(ledger, {"task": "no task is known", "reasoning_tokens": "reasoning is not reported"})
        floor = ledger.settings.floor(single_usd(ledger))
        group = (pl.col("task").hash(0) ^ PROVIDER.hash(1) ^ pl.col("model").hash(2)).alias("group")
        hidden = (pl.col("reasoning_tokens") > 0).fill_null(value=False).alias("hidden")
        calls = single_calls(ledger, ("row", group, hidden, "cost_usd"), THINKING)
        spend = pl.col("cost_usd").filter("hidden").sum()
        found = places(calls, ["group"], first=pl.first("row"), some=pl.col("hidden").any(), spend=spend)
        large = found.filter(pl.col("some") & (pl.col("spend") >= floor))
        # Names of all calls at once would be most of the memory: one call of each group says them.
        names = ledger.told(large["first"], ("task", PROVIDER, "model"))
        groups = large.select("at").hstack(names).drop_nulls("model").sort("task", "provider", "model")
        rows = calls["row"]
        del calls
        for nth, (task, *of) in enumerate(groups.select("task", "provider", "model").iter_rows()):
            mine, arm = ledger.told(rows.gather(groups["at"][nth]), JUDGED), Arm(*of)
            claim = self._levels(task, arm, mine, ledger) or self._shape(task, arm.model, mine, ledger)
            if claim is not None:
                yield claim

    def _levels(self, task: str, arm: Arm, mine: pl.DataFrame, ledger: Ledger) -> Claim | None:
        """Two efforts compared as two models are; None where there is one, or nothing to say."""
        efforts = [e for e in LEVELS if e in set(mine["reasoning_effort"].drop_nulls().str.to_lowercase())]
        if len(efforts) < 2:
            return None
        by = Standard({"S3": self.delta_s3, "S2": self.delta_s2}, self.min_units, self.randomised, False)
        own = (pl.col("task") == task) & (arm.provider == PROVIDER) & (pl.col("model") == arm.model)
        effort = pl.col("reasoning_effort").str.to_lowercase().fill_null("")
        values, quality = measure(units(ledger, ALONE & THINKING & own, provider=pl.lit(""), model=effort))
        if quality is None or broken(values, quality, None, None) is not None:
            return None
        sides, others = Sides(values), TaskUnits(Work(ledger))
        for high in reversed(efforts[1:]):
            for low in efforts[: efforts.index(high)]:
                verdict = judge(sides, quality, Arm("", low), Arm("", high), others, by)
                if verdict.proven:
                    return _compared(task, arm.model, low, high, mine, verdict)
        return None

    def _shape(self, task: str, model: str, mine: pl.DataFrame, ledger: Ledger) -> Claim | None:
        """One effort: short answers after much longer reasoning."""
        if mine["reasoning_effort"].drop_nulls().n_unique() > 1:
            return None
        if not brief(mine) or not simple(mine.hstack(ledger.told(mine["row"], (*SHAPE, TOOLS))), thoughtful=True):
            return None
        visible = (pl.col("output_tokens") - pl.col("reasoning_tokens").fill_null(0)).clip(1)
        median = mine.select((pl.col("reasoning_tokens").fill_null(0) / visible).median()).item()
        if median is None or median <= self.ratio:
            return None
        most = int(self.ratio * float(mine.select(visible.median()).item()))
        return _claim(
            task,
            model,
            mine,
            most,
            grade=Grade.EXPERIMENT,
            words=f"reasons {median:.0f} times as long as it answers",
            remedy=f"lower the reasoning effort of {task} on a copy of some hundred requests, score both",
            effort="",
            because=("shape only: short answers in one step from small prompts; no second effort to compare with",),
        )


def _compared(task: str, model: str, low: str, high: str, mine: pl.DataFrame, verdict: Verdict) -> Claim | None:
    effort = pl.col("reasoning_effort").str.to_lowercase()
    cheap = mine.filter(effort == low)["reasoning_tokens"].fill_null(0)
    usual, long = cheap.quantile(0.5, "lower"), cheap.quantile(0.9, "higher")
    assert usual is not None  # the effort has units, so it has calls
    assert long is not None
    return _claim(
        task,
        model,
        mine.filter(effort == high),
        int(usual),
        cautious=int(long),
        grade=verdict.grade,
        words=f"reasons at effort {high}, {low} does as well",
        remedy=f"set the reasoning effort of {task} to {low}",
        effort=low,
        because=verdict.because,
        verdict=verdict,
    )


def _claim(
    task: str,
    model: str,
    calls: pl.DataFrame,
    most: int,
    *,
    cautious: int | None = None,
    grade: Grade,
    words: str,
    remedy: str,
    effort: str,
    because: tuple[str, ...],
    verdict: Verdict | None = None,
) -> Claim | None:
    """What reasoning beyond `most` tokens a call costs; None where no call has any.

    effort     the level to set; empty where it is to be found out
    cautious   the same for the low end; None: the low end claims nothing, and the likely saving is half of the most
    """
    hidden = pl.col("reasoning_tokens").fill_null(0)
    long = calls.filter(hidden > most)
    if long.is_empty():
        return None
    name = f"{task}: {model}"

    def down_to(left: pl.Expr) -> pl.DataFrame:
        kept = pl.min_horizontal(hidden, left)
        fewer = pl.col("output_tokens") - (hidden - kept)
        return long.select("row", pl.lit(name).alias(CASE), output_tokens=fewer, reasoning_tokens=kept)

    high = down_to(pl.lit(most))
    low = down_to(hidden if cautious is None else pl.lit(cautious))
    patch = high if cautious is not None else down_to((hidden + most) // 2)
    found = verdict.comparison if verdict else None
    evidence = pl.DataFrame(
        {
            CASE: [name],
            "calls": [calls.height],
            "reasoning_tokens": [int(calls["reasoning_tokens"].sum())],
            "output_tokens": [int(calls["output_tokens"].sum())],
            "tokens_a_call": [most],
            "difference": [found.difference.value if found else None],
            "lower_bound": [found.difference.low if found else None],
        },
        schema_overrides={"difference": pl.Float64, "lower_bound": pl.Float64},
    )
    return Claim(
        subject={"task": task, "model": model},
        title=f"{name} {words}, {{usd}}",
        remedy=remedy,
        lever=Lever("effort", effort),
        severity=SEVERITIES.get(grade, Severity.LOW),
        confidence=Confidence.MEDIUM if verdict else Confidence.LOW,
        evidence=evidence,
        patch=patch,
        low=low,
        high=high,
        evidence_key=CASE,
        grade=grade,
        because=(*because, f"what would be left with {most:,} reasoning tokens a call"),
        requests=long.height,
    )
