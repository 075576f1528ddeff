"""What a limit on runs would have saved and harmed, replayed on the runs of the log (METHODS 8.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log

import polars as pl

from costaudit.analyze._by_run import in_runs, running
from costaudit.schema import USD
from costaudit.stats import theil_sen, tolerance_rank, wilson

CALLS = (
    *("row", "run_id", "step", "task", "model", "finish_reason", "status", "success", "source_file", "source_line"),
    *("run_source", "started_at", "input_tokens", "cost_usd"),
)
METRICS = {"steps": "calls", "usd": "USD", "input_tokens": "tokens", "minutes": "minutes"}
CANDIDATES = 40  # limits tried a metric; the frontier bends in few places
LEAST_FINISHED = 10  # runs; fewer say nothing about a limit
PROVISIONAL = 1.5  # times the largest reference run, where there are too few runs for a tolerance bound
QUANTILES = ((299, 0.99), (59, 0.95))  # runs from which a quantile has a 95 % tolerance bound
PICKS = (("cuts no reference run", 0.0), ("cuts 1 % at most", 0.01), ("cuts 5 % at most", 0.05))
SLOPES = 50  # longest runs from which the growth of a context is read

OUTLIER, APART = 10.0, 2.0  # a finished run over 10 medians and twice the next one is what a ceiling is for


@dataclass(frozen=True, slots=True)
class Pick:
    """A limit and what it does: steps and runs cut, reference runs harmed, and how sure that is."""

    metric: str
    limit: float
    basis: str
    provisional: bool


def runs_of(calls: pl.DataFrame) -> pl.DataFrame:
    """The calls of runs in order, with running totals: run, nth, run_id, row, usd, steps, input_tokens, minutes,
    after_usd (what the run cost after this call), and what is known of the run as a whole.
    """
    counted = in_runs(calls.select(CALLS)).with_columns(
        started="started_at",
        tokens=pl.col("input_tokens").fill_null(0),
        usd=pl.col("cost_usd").fill_null(0).cast(USD),
    )
    # Calls of one run stand together: a running total is that of all calls less what it was when the run began.
    ends = (pl.col("run") != pl.col("run").shift(-1)).fill_null(value=True)
    return counted.with_columns(
        spent=running("usd"),
        input_tokens=running("tokens").cast(pl.Float64),
        minutes=(pl.col("started") - pl.col("started").min().over("run")).dt.total_microseconds() / 6e7,
        steps=pl.col("nth").cast(pl.Float64),
    ).with_columns(
        total_usd=pl.when(ends).then("spent").backward_fill(),
        spent_usd=pl.col("spent").cast(pl.Float64),
    )


def summary(calls: pl.DataFrame) -> pl.DataFrame:
    """One row a run: run, run_id, task, model (of most calls), n, total_usd, largest value of every metric, success,
    finished, source.

    calls  as `runs_of` gives them
    """
    last = pl.col("finish_reason").last()
    return (
        calls.group_by("run", maintain_order=True)
        .agg(
            pl.col("run_id", "total_usd", "source_file", "source_line").first(),
            pl.col("task").drop_nulls().first(),
            model=pl.col("model").drop_nulls().mode().min(),
            n=pl.len().cast(pl.Int64),
            first_row=pl.col("row").min(),
            success=pl.col("success").drop_nulls().last(),
            finished=(last.is_in(["stop"]) & (pl.col("status").last() != "error").fill_null(value=True)),
            says_finish=pl.col("finish_reason").is_not_null().any(),
            guessed=(pl.col("run_source") == "guessed").any(),
            steps=pl.col("steps").max(),
            usd=pl.col("spent_usd").max(),
            input_tokens=pl.col("input_tokens").max(),
            minutes=pl.col("minutes").max(),
        )
        .with_columns(pl.col("finished").fill_null(value=False))
    )


def with_reference(runs: pl.DataFrame) -> pl.DataFrame:
    """The runs of one task and model with `reference`: those that a limit should not cut.

    Successful runs where outcomes are known; else finished ones, without runs so far above all others that they are
    what a limit is for; where nothing says how runs ended, all but those.
    """
    whole = pl.col("finished") if runs["says_finish"].any() else pl.lit(value=True)
    if runs["success"].null_count() < runs.height:
        return runs.with_columns(reference=pl.coalesce("success", whole))
    ended = runs.with_columns(reference=whole)
    cost: list[float] = ended.filter("reference")["usd"].sort().to_list()
    top, allowed = len(cost), max(1, len(cost) // 100)
    while (
        top > LEAST_FINISHED and allowed and cost[top - 1] > max(OUTLIER * cost[len(cost) // 2], APART * cost[top - 2])
    ):
        top, allowed = top - 1, allowed - 1
    if top < len(cost):
        ended = ended.with_columns(reference=pl.col("reference") & (pl.col("usd") <= cost[top - 1]))
    return ended


def cuts(calls: pl.DataFrame, runs: pl.DataFrame, metric: str, limits: Sequence[float]) -> pl.DataFrame:
    """What each limit cuts: limit, run, cut (last call that is still made), saved_usd.

    A limit on steps is known before the call that would exceed it; the others are passed by a call that was made. The
    limits meet the runs, not their calls: one search in the running totals for each run and limit.
    """
    tried = pl.DataFrame({"limit": sorted(set(limits))}, schema={"limit": pl.Float64})
    over = tried.join(runs.select("run", most=metric), how="cross").filter(pl.col("most") > pl.col("limit"))
    column = "spent_usd" if metric == "usd" else metric
    totals = calls.select("run", "nth", "spent", "total_usd", at=column).sort("at")
    found = over.sort("limit").join_asof(
        totals,
        left_on="limit",
        right_on="at",
        by="run",
        strategy="backward" if metric == "steps" else "forward",
        allow_exact_matches=metric == "steps",
        check_sortedness=False,  # sorted in the lines above; polars cannot verify it within groups
    )
    return (
        found.filter(pl.col("nth").is_not_null())
        .select("limit", "run", cut="nth", saved_usd=(pl.col("total_usd") - pl.col("spent")).cast(USD))
        .filter(pl.col("saved_usd") > 0)
    )


def frontier(calls: pl.DataFrame, runs: pl.DataFrame, metric: str, redo_factor: float) -> pl.DataFrame:
    """Every candidate limit of a metric with what it does: metric, limit, runs_cut, reference_cut, n, share_high
    (Wilson upper bound of the share of reference runs cut), saved_usd, redo_usd, net_usd.

    A reference run that is cut is done again in full, without the limit.
    """
    limits = candidates(runs, metric)
    done = cuts(calls, runs, metric, limits).join(runs.select("run", "reference", run_usd="total_usd"), on="run")
    redo = pl.when("reference").then(pl.col("run_usd")).otherwise(pl.lit(0, USD))
    by = done.group_by("limit").agg(
        runs_cut=pl.len().cast(pl.Int64),
        reference_cut=pl.col("reference").sum().cast(pl.Int64),
        saved_usd=pl.col("saved_usd").sum(),
        redo_usd=redo.sum(),
    )
    n = int(runs["reference"].sum())
    table = (
        pl.DataFrame({"limit": limits}, schema={"limit": pl.Float64})
        .join(by, on="limit", how="left")
        .with_columns(pl.col("runs_cut", "reference_cut").fill_null(0), pl.col("saved_usd", "redo_usd").fill_null(0))
        .sort("limit")
    )
    high = [wilson(cut, n).high if n else 1.0 for cut in table["reference_cut"]]
    factor = pl.lit(redo_factor)
    return table.with_columns(
        metric=pl.lit(metric),
        n=pl.lit(n, pl.Int64),
        share_high=pl.Series(high, dtype=pl.Float64),
        net_usd=pl.col("saved_usd").cast(pl.Float64) - factor * pl.col("redo_usd").cast(pl.Float64),
    ).select("metric", "limit", "runs_cut", "reference_cut", "n", "share_high", "saved_usd", "redo_usd", "net_usd")


def candidates(runs: pl.DataFrame, metric: str) -> list[float]:
    """Limits worth trying: the upper half of the runs, the largest reference run, and its tolerance bounds."""
    values = runs[metric].drop_nulls()
    spread = [values.quantile(0.5 + 0.5 * k / CANDIDATES, "higher") for k in range(CANDIDATES + 1)]
    reference = runs.filter("reference")[metric].drop_nulls().sort().to_list()
    bounds = [reference[-1], PROVISIONAL * reference[-1], bound(reference)] if reference else []
    bounds += [reference[ceil(q * len(reference)) - 1] for q in (0.95, 0.99) if reference]
    return sorted({float(v) for v in (*spread, *bounds) if v})


def bound(reference: Sequence[float]) -> float | None:
    """A tolerance bound of the reference runs (sorted): with 95 % confidence above 99 %, or 95 %, of the next ones.

    No tail is fitted: the largest of n runs is exceeded by one in n + 1 of the next ones, whatever curve is drawn.
    """
    for least, q in QUANTILES:
        if len(reference) >= least and (rank := tolerance_rank(len(reference), q)) is not None:
            return reference[rank - 1]
    return None


def pick(table: pl.DataFrame, runs: pl.DataFrame, metric: str, max_harm: float) -> Pick | None:
    """The limit with the best net saving whose share of reference runs cut is under `max_harm`, with confidence.

    With too few reference runs for any such bound: 1.5 times the largest, called provisional. None: nothing helps.
    """
    sure = table.filter((pl.col("share_high") < max_harm) & (pl.col("net_usd") > 0))
    offered = []
    for basis, share in PICKS:
        allowed = sure.filter(pl.col("reference_cut") <= share * pl.col("n"))
        if allowed.height:
            best = allowed.sort("net_usd", "limit", descending=[True, True]).row(0, named=True)
            offered.append((best["net_usd"], best["limit"], basis))
    if offered:
        # Equal savings: the pick that cuts fewer reference runs comes first.
        best_net = max(net for net, _, _ in offered)
        _, limit, basis = next(o for o in offered if o[0] == best_net)
        return Pick(metric, limit, basis, provisional=False)
    reference = runs.filter("reference")[metric]
    if wilson(0, max(1, reference.len())).high < max_harm or reference.len() < LEAST_FINISHED:
        return None
    largest = reference.max()
    limit = PROVISIONAL * float(largest) if isinstance(largest, float | int) else 0.0
    helps = table.filter((pl.col("limit") == limit) & (pl.col("net_usd") > 0)).height > 0
    return Pick(metric, limit, "1.5 times the largest reference run", provisional=True) if helps else None


def growth(calls: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """How contexts and costs of runs grow: tokens_per_step (Theil-Sen over steps, median over the longest runs), and
    cost_exponent (b of cost ~ calls^b over runs); null where there is too little to see.
    """
    longest = runs.filter(pl.col("n") >= 3).sort("n", "run_id", descending=[True, False]).head(SLOPES)
    slopes = [
        theil_sen(one["nth"].to_list(), one["tokens"].to_list())
        for _, one in calls.join(longest.select("run"), on="run", how="semi").group_by("run", maintain_order=True)
    ]
    costs = runs.filter((pl.col("usd") > 0) & (pl.col("n") > 0)).sort("run_id")
    steps = [log(n) for n in costs["n"]]
    exponent = theil_sen(steps, [log(usd) for usd in costs["usd"]]) if len(set(steps)) > 1 else None
    return pl.DataFrame(
        {"tokens_per_step": [pl.Series(slopes, dtype=pl.Float64).median()], "cost_exponent": [exponent]},
        schema={"tokens_per_step": pl.Float64, "cost_exponent": pl.Float64},
    )
