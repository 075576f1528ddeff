"""Rule missing-ceiling: runs that a limit would have ended in time."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import partial

import polars as pl

from costaudit.analyze import _ceiling
from costaudit.analyze._analyzer import (
    NO_MODEL,
    NO_TASK,
    Analyzer,
    CannotCheck,
    Claim,
    dollars,
    need_single,
    option,
)
from costaudit.analyze._beside import beside
from costaudit.analyze._places import places
from costaudit.errors import ConfigError
from costaudit.finding import Confidence, Kind, Lever, Severity
from costaudit.price.ledger import Ledger
from costaudit.schema import USD
from costaudit.words import plural

AT_RISK = 5.0  # times the median from which the dearest of a few runs is worth a word


class MissingCeiling(Analyzer):
    """Agent tasks whose runs have no effective limit, and the limit that their own runs support.

    ## What it finds
    Limits in steps and dollars are replayed on the log: what each would have saved, and which good runs it would have
    cut. Good runs are the successful ones; where outcomes are not known, the finished ones. A run that a limit cuts by
    mistake is done again in full, and that is taken off. The limit with the best net saving is shown, with how often it
    would cut a good run, and how a limit from the first half of the log would have done in the second.
    ## Why it costs money
    One stuck run can cost as much as a month of good ones, and most stuck runs never repeat themselves: only a limit
    ends them. A ceiling is insurance where models rarely fail, and real money where they often do.
    ## What to do
    Set the limit in the agent or the gateway, and look at what it cuts for a week.
    ## Example
    ```console
    $ costaudit analyze --select missing-ceiling sample_logs/analyzers/missing-ceiling.jsonl
    …
           $4.06  book on claude-opus-5-5: a ceiling of 4 calls would have saved $4.06
                  medium  missing-ceiling · F-cf1a32 · $4.06 · confidence low · 26 requests
    …
    ```
    """

    name = "missing-ceiling"
    kind = Kind.DECIDE
    order = 7
    levers = ("step-limit", "spend-limit", "input-limit")
    reads = (
        *("source_file", "source_line", "started_at", "run_id", "run_source", "step", "task"),
        *("model", "input_tokens", "status", "finish_reason", "success", "cost_usd"),
    )
    max_harm: float = option(0.05, "share", "Largest share of good runs a limit may cut, with confidence.")
    metrics: tuple[str, ...] = option(
        ("steps", "usd"), "names", "What may be limited: steps, usd, input_tokens, minutes."
    )
    redo_factor: float = option(1.0, "runs", "Cost of doing a run again that was cut by mistake, in runs.")

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        for metric in self.metrics:
            if metric not in _ceiling.METRICS:
                raise ConfigError(
                    f"missing-ceiling.metrics: unknown metric {metric!r}", hint="known: " + ", ".join(_ceiling.METRICS)
                )
        need_single(ledger, {"run_id": "no runs", "cost_usd": "no known prices"})
        runs, steps = _ceiling.replayed(ledger, metrics=self.metrics)
        runs = runs.with_columns(pl.col("task").fill_null(NO_TASK), pl.col("model").fill_null(NO_MODEL))
        if runs["n"].max() == 1:
            raise CannotCheck("no run has more than one call")
        sums = {"runs": pl.len(), "most": pl.max("n"), "steps": pl.sum("n")}
        groups = places(runs.select("task", "model", "n"), ["task", "model"], **sums)
        several = groups.filter((pl.col("runs") > 2) & (pl.col("most") > 1))
        of_group = partial(self._said, runs, steps)
        some = zip(*several["task", "model", "at", "steps"], strict=True)
        for claims in beside(of_group, some, lambda group: int(group[-1])):
            yield from claims

    def _said(self, runs: pl.DataFrame, steps: pl.DataFrame, of: tuple[str, str, pl.Series, int]) -> list[Claim]:
        """What is said of the runs of one task and model."""
        task, model, at, _ = of
        found = runs[at].sort("run_id")
        group = _ceiling.with_reference(found)
        if group["reference"].sum() < _ceiling.LEAST_FINISHED:
            return list(_at_risk(task, model, found))
        if group["reference"].sum() == group.height:  # every good run that is cut costs more than it saves
            return []
        return list(self._advice(task, model, group, steps))

    def _advice(self, task: str, model: str, runs: pl.DataFrame, steps: pl.DataFrame) -> Iterator[Claim]:
        tables = [_ceiling.frontier(steps, runs, metric, self.redo_factor) for metric in self.metrics]
        found = [
            (float(table.filter(pl.col("limit") == chosen.limit)["net_usd"][0]), chosen)
            for table, metric in zip(tables, self.metrics, strict=True)
            if (chosen := _ceiling.pick(table, runs, metric, self.max_harm)) is not None
        ]
        if not found:
            return
        best = max(found, key=lambda f: f[0])[1]
        cut = _ceiling.cuts(steps, runs, best.metric, [best.limit]).join(runs, on="run", maintain_order="left")
        evidence = cut.select(
            "run_id",
            steps="n",
            cut_step="cut",
            good_run="reference",
            run_usd="total_usd",
            source=pl.format("{}:{}", "source_file", "source_line"),
            added_usd=pl.when("reference")
            .then(
                (pl.col("total_usd").cast(pl.Float64) * self.redo_factor).cast(USD)
                if self.redo_factor != 1
                else "total_usd"
            )
            .otherwise(pl.lit(Decimal(0), USD)),
        )
        patch = pl.DataFrame(
            {
                "row": steps["row"].gather(_ceiling.calls_of(cut, after="cut")),
                "run_id": cut.select(pl.col("run_id").repeat_by(pl.col("n") - pl.col("cut")).explode()).to_series(),
            }
        ).with_columns(exists=pl.lit(value=False))
        harmed, good = int(cut["reference"].sum()), int(runs["reference"].sum())
        yield Claim(
            subject={"task": task, "model": model},
            title=f"{task} on {model}: a ceiling of {_written(best)} would have saved {{usd}}",
            remedy=f"set a ceiling of {_written(best)} a run, and look at what it cuts for a week",
            lever=_lever(best),
            severity=Severity.MEDIUM,
            confidence=Confidence.LOW if best.provisional or not _labelled(runs) else Confidence.MEDIUM,
            evidence=evidence,
            evidence_key="run_id",
            patch=patch,
            because=(
                f"{cut.height:,} of {runs.height:,} runs {'is' if cut.height == 1 else 'are'} cut, "
                f"{harmed:,} of {good:,} good ones ({best.basis})",
                "good runs are the successful ones"
                if _labelled(runs)
                else "outcomes are not known: finished runs count as good",
                *self._back_tested(runs, steps, best),
            ),
            details={
                "limit": pl.DataFrame({"metric": [best.metric], "limit": [best.limit]}),
                "frontier": pl.concat(tables),
                "growth": _ceiling.growth(steps, runs),
            },
        )

    def _back_tested(self, runs: pl.DataFrame, steps: pl.DataFrame, best: _ceiling.Pick) -> Iterator[str]:
        """How a limit from the earlier half of the runs would have done in the later half, in words."""
        ordered = runs.sort("first_row")
        early, late = ordered.head(runs.height // 2), ordered.tail(runs.height - runs.height // 2)
        if early["reference"].sum() < _ceiling.LEAST_FINISHED or not late["reference"].sum():
            return
        table = _ceiling.frontier(steps, early, best.metric, self.redo_factor)
        chosen = _ceiling.pick(table, early, best.metric, self.max_harm)
        if chosen is None:
            return
        good = late.filter("reference")
        cut = good.filter(pl.col(best.metric) > chosen.limit).height
        promised = table.filter(pl.col("limit") == chosen.limit).row(0, named=True)
        yield (
            f"a limit from the earlier half ({_written(chosen)}) cut {promised['reference_cut']:,} of "
            f"{promised['n']:,} good runs there and {cut:,} of {good.height:,} in the later half"
        )


def _labelled(runs: pl.DataFrame) -> bool:
    return runs["success"].null_count() < runs.height


def _written(chosen: _ceiling.Pick) -> str:
    """The limit in words: a run of 7 calls is within 7.5, one of 8 is not."""
    if chosen.metric == "usd":
        return dollars(Decimal(chosen.limit))
    unit = _ceiling.METRICS[chosen.metric]
    if chosen.metric == "minutes":
        return f"{chosen.limit:,.1f} {unit}" if chosen.limit >= 1 else f"{chosen.limit:.2g} {unit}"
    return plural(int(chosen.limit), unit.removesuffix("s"))


def _lever(chosen: _ceiling.Pick) -> Lever | None:
    match chosen.metric:
        case "steps":
            return Lever("step-limit", f"{int(chosen.limit)}")
        case "usd":
            return Lever("spend-limit", f"{chosen.limit:.6g}")
        case "input_tokens":
            return Lever("input-limit", f"{int(chosen.limit)}")
    return None


def _at_risk(task: str, model: str, runs: pl.DataFrame) -> Iterator[Claim]:
    """Too few runs for a limit: the dearest of them against the median."""
    dearest = runs.sort("total_usd", "run_id", descending=[True, False]).row(0, named=True)
    median = runs["total_usd"].sort()[(runs.height - 1) // 2]
    if dearest["total_usd"] < Decimal(AT_RISK) * median:
        return
    stake = dearest["total_usd"] - median
    evidence = pl.DataFrame(
        {
            "run_id": [dearest["run_id"]],
            "steps": [dearest["n"]],
            "run_usd": [dearest["total_usd"]],
            "median_usd": [median],
            "at_risk_usd": [stake],
            "source": [f"{dearest['source_file']}:{dearest['source_line']}"],
        },
        schema_overrides={"run_usd": USD, "median_usd": USD, "at_risk_usd": USD},
    )
    yield Claim(
        subject={"task": task, "model": model},
        kind=Kind.EXPOSURE,
        title=f"{task} on {model}: the dearest run cost {{usd}} more than the median, and nothing limits the next one",
        remedy="set a ceiling in dollars a run; with ten good runs a limit can be derived from them",
        lever=Lever("spend-limit"),
        severity=Severity.LOW,
        confidence=Confidence.LOW,
        evidence=evidence,
        stake_usd=stake,
        requests=int(dearest["n"]),
        because=(f"{plural(runs.height, 'run')}, too few for a limit",),
    )
