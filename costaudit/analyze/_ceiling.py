"""What a limit on runs would have saved and harmed, replayed on the runs of the log."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import ceil, log

import msgspec
import polars as pl

from costaudit.analyze import _by_run
from costaudit.analyze._analyzer import ALONE, RUN
from costaudit.analyze._by_run import in_runs, named_by, parts, running
from costaudit.price.ledger import Ledger, joined
from costaudit.schema import USD
from costaudit.stats import theil_sen, tolerance_rank, wilson

CALLS = (
    *("row", "run_id", "step"),
    pl.col("input_tokens").fill_null(0).alias("tokens"),
    pl.col("cost_usd").fill_null(0).cast(USD).alias("spent"),
    pl.when(pl.col("task").is_not_null()).then("row").alias("task_row"),
    pl.when(pl.col("success").is_not_null()).then("row").alias("success_row"),
    pl.when(pl.col("model").is_not_null()).then("row").alias("model_row"),
    pl.when(pl.col("model").is_not_null()).then(pl.col("model").hash()).alias("model"),  # a number for a name
    pl.col("finish_reason").is_not_null().alias("says_finish"),
    (pl.col("run_source") == "guessed").fill_null(value=False).alias("guessed"),
)
METRICS = {"steps": "calls", "usd": "USD", "input_tokens": "tokens", "minutes": "minutes"}
SAID = "usd"  # the metric whose running total is what a run spent so far; that of `steps` is a call's place in it
CANDIDATES = 40  # limits tried a metric; the frontier bends in few places
LEAST_FINISHED = 10  # runs; fewer say nothing about a limit
PROVISIONAL = 1.5  # times the largest reference run, where there are too few runs for a tolerance bound
QUANTILES = ((299, 0.99), (59, 0.95))  # runs from which a quantile has a 95 % tolerance bound
PICKS = (("cuts no reference run", 0.0), ("cuts 1 % at most", 0.01), ("cuts 5 % at most", 0.05))
SLOPES = 50  # longest runs from which the growth of a context is read

OUTLIER, APART = 10.0, 2.0  # a finished run over 10 medians and twice the next one is what a ceiling is for


class Pick(msgspec.Struct, frozen=True):
    """A limit and what it does: steps and runs cut, reference runs harmed, and how sure that is."""

    metric: str
    limit: float
    basis: str
    provisional: bool


def replayed(
    ledger: Ledger, where: pl.Expr = ALONE, metrics: Collection[str] = tuple(METRICS)
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The runs, as `summary` gives them, and of their calls, run by run in order of their steps, what a limit asks:
    row, tokens, spent, and the running totals of metrics that these do not say.

    where  which calls of the ledger
    """
    if ledger.original.height <= _by_run.TOGETHER:
        steps = runs_of(ledger, where, metrics)
        return summary(steps, ledger), _kept(steps)
    # All columns of all calls at once would be most of the memory: whole runs, so many calls at a time.
    runs, kept = [], []
    at = number = 0
    for rows in parts(ledger.each(("row", RUN), where & pl.col("run_id").is_not_null())):
        steps = runs_of(ledger, where, metrics, rows=rows)
        steps = steps.with_columns(run=(pl.col("begins").cum_sum() + (number - 1)).cast(pl.UInt32))
        runs.append(summary(steps, ledger).with_columns(pl.col("place") + at))
        kept.append(_kept(steps))
        at, number = at + steps.height, number + runs[-1].height
    return pl.concat(runs), joined(kept)


def _kept(steps: pl.DataFrame) -> pl.DataFrame:
    more = [name for name in METRICS if name in steps.columns and name not in ("steps", SAID)]
    tokens = steps["tokens"]
    return steps.select("row", tokens.cast(pl.Int32) if (tokens < 2**31).all() else tokens, "spent", *more)


def runs_of(
    ledger: Ledger, where: pl.Expr = ALONE, metrics: Collection[str] = tuple(METRICS), rows: pl.Series | None = None
) -> pl.DataFrame:
    """The calls of runs in order of run and step: row, run_id, run, nth, begins, tokens; what they spent so far [USD],
    and the running total of each metric.

    where  which calls of the ledger; rows: these calls instead, in order
    """
    read: list[str | pl.Expr] = [*CALLS, *(["started_at"] if "minutes" in metrics else [])]
    calls = ledger.each(read, where) if rows is None else ledger.told(rows, read)
    counted = in_runs(calls).drop("step").with_columns(spent=running("spent"))
    totals = {"steps": pl.col("nth").cast(pl.Float64), "usd": pl.col("spent").cast(pl.Float64)}
    if "input_tokens" in metrics:
        totals["input_tokens"] = running("tokens").cast(pl.Float64)
    if "minutes" in metrics:
        since = pl.col("started_at") - pl.col("started_at").min().over("run")
        totals["minutes"] = (since.dt.total_microseconds() / 6e7).cum_max().over("run")
    return counted.with_columns(**totals).drop("started_at", strict=False)


def summary(steps: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """One row a run: run, run_id, task, model (of most calls), n, place (of its first call among the steps), total_usd,
    largest value of every metric, success, finished, first_row, source.

    steps  as `runs_of` gives them
    """
    sums = (
        steps.with_row_index("place")
        .group_by("run", maintain_order=True)
        .agg(
            pl.first("place", "run_id"),
            pl.col("row").first().alias("opening"),
            pl.col("row").last().alias("ending"),
            pl.col("row").min().alias("first_row"),
            pl.col("task_row", "model_row").first(ignore_nulls=True),
            pl.col("success_row").last(ignore_nulls=True),
            pl.any("says_finish", "guessed"),
            n=pl.len().cast(pl.Int64),
            total_usd=pl.col("spent").last(),
            **{name: pl.col(name).max() for name in METRICS if name in steps.columns},
        )
    )
    last = ledger.at(sums["ending"], ("finish_reason", "status"))
    ended = pl.col("finish_reason").is_in(["stop"]) & (pl.col("status") != "error").fill_null(value=True)
    return (
        sums.with_columns(
            ledger.at(sums["opening"], ("source_file", "source_line")).drop("row").get_columns(),
            task=named_by(ledger, sums["task_row"], "task"),
            model=named_by(ledger, sums["model_row"], "model"),
            success=named_by(ledger, sums["success_row"], "success"),
            finished=last.select(ended.fill_null(value=False)).to_series(),
        )
        .drop("opening", "ending", "task_row", "model_row", "success_row")
        .update(_mixed(steps, ledger), on="run")
    )


def _mixed(steps: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """run, model: what most calls of a run used, of runs that used several models."""
    other = (pl.col("run") == pl.col("run").shift()) & (pl.col("model") != pl.col("model").shift())
    named = steps.select("run", "row", "model").filter(pl.col("model").is_not_null())
    several = named.filter(other)["run"].unique()
    own = named.filter(pl.col("run").is_in(several.implode())).drop("model")
    models = own.with_columns(ledger.at(own["row"], ("model",))["model"])
    return models.group_by("run").agg(pl.col("model").mode().min())


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


def cuts(steps: pl.DataFrame, runs: pl.DataFrame, metric: str, limits: Sequence[float]) -> pl.DataFrame:
    """What each limit cuts: limit, run, nth (of the run among `runs`), cut (last call that is still made), saved_usd.

    A limit on steps is known before the call that would exceed it; the others are passed by a call that was made.
    Running totals only grow, so each call is asked once how many of the limits it passes.

    runs  some of those of the steps, as `summary` gives them
    """
    import numpy as np

    tried = np.array(sorted(set(limits)), dtype=np.float64)
    # Half of the runs stay under every limit that is worth a try.
    named = runs.select("run", "place", "n", "total_usd", metric).with_row_index("which")
    over = named.filter(pl.col(metric).fill_null(0) > tried.min(initial=np.inf))
    places, n = calls_of(over), over["n"].to_numpy()
    nth = np.arange(len(places)) - np.repeat(np.cumsum(n) - n, n) + 1
    if metric == "steps":
        total = nth.astype(np.float64)
    else:
        so_far = steps["spent" if metric == SAID else metric].gather(places)
        total = so_far.cast(pl.Float64).fill_null(0).to_numpy()
    passed = np.searchsorted(tried, total, side="left")
    before = np.concatenate([[0], passed[:-1]]) * (nth > 1)
    times = passed - before
    cut = np.repeat(np.arange(len(places)), times)
    which = np.arange(len(cut)) - np.repeat(np.cumsum(times) - times, times) + before[cut]
    if metric == "steps":
        cut = cut - 1
    run = over[pl.Series(np.repeat(np.arange(over.height), n)[cut], dtype=pl.UInt32)]
    made = steps["spent"].gather(places.gather(pl.Series(cut, dtype=pl.UInt32)))
    return pl.DataFrame(
        {
            "limit": tried[which],
            "run": run["run"],
            "nth": run["which"],
            "cut": pl.Series(nth[cut], dtype=pl.Int64),
            "saved_usd": (run["total_usd"] - made).cast(USD),
        }
    ).filter(pl.col("saved_usd") > 0)


def calls_of(runs: pl.DataFrame, after: str | None = None) -> pl.Series:
    """Where the calls of some runs stand among all steps.

    after  a column of the runs: only the calls after so many
    """
    import numpy as np

    left = runs[after].to_numpy() if after else np.zeros(runs.height, np.int64)
    n = runs["n"].to_numpy() - left
    starts = runs["place"].to_numpy() + left
    return pl.Series(np.repeat(starts - (np.cumsum(n) - n), n) + np.arange(n.sum()), dtype=pl.UInt32)


def frontier(steps: pl.DataFrame, runs: pl.DataFrame, metric: str, redo_factor: float) -> pl.DataFrame:
    """Every candidate limit of a metric with what it does: metric, limit, runs_cut, reference_cut, n, share_high
    (Wilson upper bound of the share of reference runs cut), saved_usd, redo_usd, net_usd.

    A reference run that is cut is done again in full, without the limit.
    """
    limits = candidates(runs, metric)
    done = cuts(steps, runs, metric, limits)
    done = done.hstack(runs.select("reference", run_usd="total_usd")[done["nth"]])
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


def growth(steps: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """How contexts and costs of runs grow: tokens_per_step (Theil-Sen over steps, median over the longest runs), and
    cost_exponent (b of cost ~ calls^b over runs); null where there is too little to see.
    """
    longest = runs.filter(pl.col("n") >= 3).sort("n", "run_id", descending=[True, False]).head(SLOPES)
    slopes = [
        theil_sen(list(range(1, n + 1)), steps["tokens"].slice(place, n).to_list())
        for place, n in longest.select("place", "n").iter_rows()
    ]
    costs = runs.filter((pl.col("usd") > 0) & (pl.col("n") > 0)).sort("run_id")
    lengths = [log(n) for n in costs["n"]]
    exponent = theil_sen(lengths, [log(usd) for usd in costs["usd"]]) if len(set(lengths)) > 1 else None
    return pl.DataFrame(
        {"tokens_per_step": [pl.Series(slopes, dtype=pl.Float64).median()], "cost_exponent": [exponent]},
        schema={"tokens_per_step": pl.Float64, "cost_exponent": pl.Float64},
    )
