"""One run call by call, with what the rules say of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from costaudit.analyze._analyzer import (
    COST,
    NO_MODEL,
    NO_TASK,
    SOURCE,
    Analyzer,
    CannotCheck,
    Claim,
    single_calls,
    total_usd,
)
from costaudit.analyze._by_run import in_runs
from costaudit.audit import Window
from costaudit.errors import UsageError
from costaudit.price.ledger import Ledger
from costaudit.price.spend import NO_TENANT
from costaudit.stats import theil_sen
from costaudit.timeline import Timeline

STOP, CEILING = "runaway-loop", "missing-ceiling"
WORDS = {
    "runaway-loop": "repeats",
    "duplicate-requests": "answered before",
    "retry-waste": "sent again",
    "failed-calls": "failed",
    "truncated-output": "cut off",
}
GROWS = 3  # calls from which a slope says something


def timeline(ledger: Ledger, wanted: str, rules: Sequence[Analyzer], window: Window) -> Timeline:
    """The run whose id begins as given; UsageError where none or several do."""
    calls = single_calls(ledger)
    run = _found(calls, wanted)
    own = in_runs(calls.filter(pl.col("run_id") == run)).drop("run", "begins", "nth")
    rows = set(own["row"].to_list())
    marks: dict[int, str] = {}
    stop, advice, cut = None, "", None
    for rule in rules:
        for claim in _claims(rule, ledger):
            if rule.name == CEILING:
                if _is_of(claim, own):
                    advice = claim.remedy
                    cut = next(
                        (r["cut_step"] for r in claim.evidence.iter_rows(named=True) if r.get("run_id") == run), None
                    )
                continue
            assert claim.patch is not None
            for row in _removed(claim.patch):
                if row in rows:
                    marks.setdefault(row, WORDS[rule.name])
            if rule.name == STOP:
                stop = next((r["stop_step"] for r in claim.evidence.iter_rows(named=True) if r["run_id"] == run), stop)
    steps = _steps(own, marks)
    after = steps.filter(pl.col("nth") > stop) if stop is not None else steps.clear()
    return Timeline(
        run_id=run,
        run_source=str(own["run_source"].drop_nulls().first() or "log"),
        task=_one(own["task"], NO_TASK),
        tenant=_one(own["tenant"], NO_TENANT),
        window=window,
        steps=steps,
        total_usd=total_usd(own),
        unseen=own["cost_usd"].null_count(),
        waste_usd=total_usd(steps.filter(pl.col("mark") != "")),
        stop_step=stop,
        spent_after_usd=total_usd(after),
        advice=advice,
        cut_step=cut,
        tokens_per_step=_slope(steps),
    )


def _found(calls: pl.DataFrame, wanted: str) -> str:
    runs = calls["run_id"].drop_nulls().unique().sort()
    if wanted in runs.to_list():
        return wanted
    found = runs.filter(runs.str.starts_with(wanted)).to_list() if wanted else []
    if len(found) == 1:
        return str(found[0])
    if found:
        raise UsageError(f"{len(found):,} runs begin with {wanted!r}", hint=f"they are: {', '.join(found[:5])}")
    dear = (
        calls.filter(pl.col("run_id").is_not_null())
        .group_by("run_id")
        .agg(COST.sum())
        .sort("cost_usd", "run_id", descending=[True, False])
    )
    some = ", ".join(dear["run_id"].head(3))
    raise UsageError(
        f"no run {wanted!r} in these logs",
        hint=f"the dearest are: {some}"
        if some
        else "these logs know no runs; `costaudit doctor PATH` says how to log them",
    )


def _claims(rule: Analyzer, ledger: Ledger) -> Iterator[Claim]:
    """What a rule would change about whole calls; nothing where it cannot look."""
    if rule.name not in WORDS and rule.name != CEILING:
        return
    for turn in rule.turns():
        if turn.order is None:
            continue
        try:
            yield from (claim for claim in turn.look(ledger) if claim.patch is not None)
        except CannotCheck:
            continue


def _is_of(claim: Claim, own: pl.DataFrame) -> bool:
    models = [str(m) for m in own["model"].fill_null(NO_MODEL).mode()]
    return claim.subject.get("task") == _one(own["task"], NO_TASK) and claim.subject.get("model") in models


def _removed(patch: pl.DataFrame) -> Iterator[int]:
    if "exists" in patch.columns:
        yield from patch.filter(~pl.col("exists").fill_null(value=True))["row"]


def _steps(own: pl.DataFrame, marks: dict[int, str]) -> pl.DataFrame:
    first = own["started_at"].min()
    bad = (
        pl.when(pl.col("status") == "error")
        .then(pl.lit("failed"))
        .when(pl.col("finish_reason") == "length")
        .then(pl.lit("cut off"))
    )
    return own.select(
        "row",
        "request_id",
        "started_at",
        "model",
        "input_tokens",
        "cache_read_tokens",
        "output_tokens",
        "cost_usd",
        nth=pl.int_range(1, pl.len() + 1, dtype=pl.Int64),
        after_s=(pl.col("started_at") - pl.lit(first)).dt.total_microseconds() / 1e6,
        running_usd=COST.cum_sum(),
        tool=pl.col("tool_name"),
        note=bad.otherwise(pl.lit("")),
        mark=pl.col("row").replace_strict(marks, default="", return_dtype=pl.String) if marks else pl.lit(""),
        source=SOURCE,
    ).drop("row")


def _slope(steps: pl.DataFrame) -> float | None:
    known = steps.drop_nulls("input_tokens")
    if known.height < GROWS:
        return None
    return theil_sen(known["nth"].to_list(), known["input_tokens"].to_list())


def _one(names: pl.Series, nobody: str) -> str:
    return str(names.drop_nulls().first() or nobody)
