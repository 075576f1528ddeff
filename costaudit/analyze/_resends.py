"""Equal requests, told apart: sent again because the first failed, because nobody waited, or because nobody noticed.

Shared by duplicate-requests and retry-waste, so that no call can be both.
"""

from __future__ import annotations

import msgspec
import polars as pl

from costaudit.analyze._by_run import in_runs
from costaudit.price.ledger import Ledger

RETRY_WINDOW_S = 120.0  # default of retry-waste
DOUBLE_SUBMIT_S = 2.0  # default of duplicate-requests
CLUSTER = 0.05  # MAD/median of gaps below which a client's timer sets them
CLUSTER_N = 5  # gaps
SAMPLES = 3  # answers at once from which equal requests at a temperature are samples, unless a timer sent them again
STORMS = 0.5  # share of a task's samples that have to look sent again by a timer: by chance hardly one in seven does

FAILURE, TIMEOUT, REFUSED = "upstream failure", "client timeout", "validation retry"


class Timing(msgspec.Struct, frozen=True):
    """The two limits that the rules share, with the user's values where set [s]."""

    retry_window: float = RETRY_WINDOW_S
    double_submit: float = DOUBLE_SUBMIT_S

    @classmethod
    def of(cls, ledger: Ledger) -> Timing:
        rules = ledger.settings.rules
        return cls(
            float(rules.get("retry-waste", {}).get("retry_window", RETRY_WINDOW_S)),
            float(rules.get("duplicate-requests", {}).get("double_submit", DOUBLE_SUBMIT_S)),
        )


def failed() -> pl.Expr:
    """A call that gave no answer: an error status, or an HTTP status that says so."""
    return (pl.col("status") == "error").fill_null(value=False) | (pl.col("http_status") >= 400).fill_null(value=False)


def refused() -> pl.Expr:
    """An answer that a parser refused; a cut answer is another rule's."""
    cut = (pl.col("finish_reason") == "length").fill_null(value=False)
    return ~pl.col("schema_ok").fill_null(value=True) & ~cut


def attempts(calls: pl.DataFrame, timing: Timing) -> pl.DataFrame:
    """The calls that belong to one question sent several times: row, chain, nth, why, used, numbered.

    chain     row of the first attempt
    nth       position in the chain, from 1
    why       why this call was sent again: upstream failure, client timeout or validation retry; null for the last
    used      whether the answer of this attempt is the one that was used: the last that came
    numbered  whether the log itself counts the attempts
    """
    marked = _marked(calls)
    linked = pl.concat([_by_fingerprint(marked, timing), _by_number(marked, timing), _refused(marked, timing)])
    if linked.is_empty():
        return _chains(linked, marked)
    return _chains(linked.sort("row", "next", "why").unique("row", keep="first", maintain_order=True), marked)


def _marked(calls: pl.DataFrame) -> pl.DataFrame:
    wanted = ("row", "request_sha", "model", "tenant", "key_id", "instance_id", "run_id", "step", "task", "attempt")
    return calls.select(
        *wanted,
        *("started_at", "temperature", "reasoning_effort"),
        trial=pl.when(pl.col("instance_id").is_not_null()).then("run_id"),
        failed=failed(),
        refused=refused(),
        cancelled=(pl.col("status") == "cancelled").fill_null(value=False),
        cut=(pl.col("finish_reason") == "length").fill_null(value=False),
        ended=pl.coalesce("ended_at", "started_at"),
        timed="ended_at",
    )


def _by_fingerprint(marked: pl.DataFrame, timing: Timing) -> pl.DataFrame:
    """Links between neighbours of one fingerprint: row, next, why, numbered."""
    scope = ["request_sha", "model", "reasoning_effort", "tenant", "key_id", "trial"]
    several = marked.filter(pl.col("request_sha").is_not_null()).filter(pl.col("request_sha").is_duplicated())
    pairs = (
        several.sort(*scope, "row", nulls_last=True)
        .with_columns(
            next=pl.col("row").shift(-1).over(scope),
            gap_s=_seconds(pl.col("started_at").shift(-1).over(scope) - pl.col("started_at")),
            pause_s=_seconds(pl.col("started_at").shift(-1).over(scope) - pl.col("ended")),
            answers=(~pl.col("failed") & ~pl.col("cancelled")).sum().over(scope),
            took_s=_seconds(pl.col("timed") - pl.col("started_at")),
        )
        .with_columns(
            at_once=pl.col("pause_s").shift(1).gt(timing.retry_window).fill_null(value=True).cum_sum().over(scope),
            last_s=pl.col("took_s").shift(-1).over(scope),
        )
        .filter(pl.col("next").is_not_null() & (pl.col("pause_s") <= timing.retry_window))
    )
    drawn = (pl.col("temperature") > 0).fill_null(value=False) & (pl.col("answers") >= SAMPLES)
    pairs = pairs.with_columns(samples=drawn)
    samples = pl.col("samples") & ~_stormy(pairs, scope, timing)
    waited = (pl.col("gap_s") >= timing.double_submit) & ~pl.col("failed") & ~samples
    running = (pl.col("pause_s") < 0) & pl.col("timed").is_not_null()
    # An answer that was cut and asked for again came in time: that is for truncated-output.
    untimed = pl.col("timed").is_null() & ~pl.col("cut")
    timer = untimed & _clustered(pairs.filter(waited & untimed))
    why = (
        pl.when("failed")
        .then(pl.lit(FAILURE))
        .when("refused")
        .then(pl.lit(REFUSED))
        .when(pl.col("cancelled") | (waited & (running | timer)))
        .then(pl.lit(TIMEOUT))
    )
    return _links(pairs.with_columns(why=why), numbered=False)


def _stormy(pairs: pl.DataFrame, scope: list[str], timing: Timing) -> pl.Expr:
    """Whether samples were in truth one question, sent again whenever a client's timer ran out.

    The timer is one value; every attempt but the last ran longer than it; the last came in time, and nothing was asked
    after it. Samples that are drawn at a steady pace go on after an answer that came before the next was asked.
    """
    if not pairs["samples"].any():
        return pl.lit(value=False)
    late = (pl.col("gap_s") >= timing.double_submit) & ~pl.col("failed") & pl.col("timed").is_not_null()
    late &= pl.col("pause_s") < 0
    in_time = (pl.col("last_s") <= pl.col("gap_s") * (1 + CLUSTER)).fill_null(value=False)
    group = [*scope, "at_once"]
    storm = late.all().over(group) & in_time.last().over(group)
    seen = pairs.filter("samples").with_columns(storm=storm)
    tasks = seen.group_by("task").agg(share=pl.col("storm").mean()).filter(pl.col("share") >= STORMS)["task"]
    usual = pl.col("task").is_in(tasks.implode(), nulls_equal=True)
    return storm & usual & _clustered(seen.filter("storm"))


def _clustered(pairs: pl.DataFrame) -> pl.Expr:
    """Whether the call's task is one whose gaps between equal requests sit at one value."""
    gap = pl.col("gap_s")
    spread = pairs.group_by("task").agg(n=pl.len(), middle=gap.median(), spread=(gap - gap.median()).abs().median())
    tasks = spread.filter((pl.col("n") >= CLUSTER_N) & (pl.col("spread") < CLUSTER * pl.col("middle")))
    middles = dict(tasks.select("task", "middle").iter_rows())
    at_timer = pl.lit(value=False)
    for task, middle in sorted(middles.items(), key=str):
        near = (gap - middle).abs() <= CLUSTER * middle
        at_timer = at_timer | (pl.col("task").eq_missing(pl.lit(task, pl.String)) & near)
    return at_timer


def _by_number(marked: pl.DataFrame, timing: Timing) -> pl.DataFrame:
    """Links that the log's own attempt numbers give: n followed by n + 1 of the same run, or fingerprint."""
    scope = ["run_id", "numbered_sha", "task", "model"]
    counted = marked.filter(pl.col("attempt").is_not_null()).with_columns(
        numbered_sha=pl.when(pl.col("run_id").is_null()).then("request_sha")
    )
    known = counted.filter(pl.col("run_id").is_not_null() | pl.col("numbered_sha").is_not_null())
    follows = pl.col("attempt").shift(-1).over(scope) == pl.col("attempt") + 1
    pairs = (
        known.sort(*scope, "row", nulls_last=True)
        .with_columns(
            next=pl.col("row").shift(-1).over(scope),
            pause_s=_seconds(pl.col("started_at").shift(-1).over(scope) - pl.col("ended")),
            follows=follows,
        )
        .filter(pl.col("follows").fill_null(value=False) & (pl.col("pause_s") <= timing.retry_window))
    )
    why = pl.when("failed").then(pl.lit(FAILURE)).when("refused").then(pl.lit(REFUSED)).otherwise(pl.lit(TIMEOUT))
    return _links(pairs.with_columns(why=why), numbered=True)


def _refused(marked: pl.DataFrame, timing: Timing) -> pl.DataFrame:
    """Answers that a parser refused, and the next call of the run, which asks again with a note of the error."""
    bad = pl.col("refused") & ~pl.col("failed")
    runs = marked.filter(bad)["run_id"].drop_nulls().unique()
    pairs = (
        in_runs(marked.filter(pl.col("run_id").is_in(runs.implode())))
        .with_columns(
            next=pl.col("row").shift(-1).over("run_id"),
            pause_s=_seconds(pl.col("started_at").shift(-1).over("run_id") - pl.col("ended")),
        )
        # Steps and times that contradict each other say of no call that it was sent again.
        .filter(bad & (pl.col("next") > pl.col("row")) & (pl.col("pause_s") <= timing.retry_window))
    )
    return _links(pairs.with_columns(why=pl.lit(REFUSED)), numbered=False)


def _links(pairs: pl.DataFrame, *, numbered: bool) -> pl.DataFrame:
    return pairs.filter(pl.col("why").is_not_null()).select(
        pl.col("row", "next").cast(pl.UInt32), pl.col("why").cast(pl.String), numbered=pl.lit(numbered)
    )


def _chains(links: pl.DataFrame, marked: pl.DataFrame) -> pl.DataFrame:
    """Links strung together; every call has at most one next, and `next` is a later row."""
    first: dict[int, int] = {}
    for row, following in links.select("row", "next").sort("row").iter_rows():
        first[following] = first.get(row, row)
    rows = pl.DataFrame(
        {"row": [*first, *set(first.values())], "chain": [*first.values(), *set(first.values())]},
        schema={"row": pl.UInt32, "chain": pl.UInt32},
    )
    return (
        rows.unique("row", keep="first", maintain_order=True)
        .join(links.select("row", "why", "numbered"), on="row", how="left")
        .join(marked.select("row", "failed", "cancelled"), on="row")
        .sort("chain", "row")
        .with_columns(
            nth=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("chain"),
            numbered=pl.col("numbered").any().over("chain"),
            answered=~pl.col("failed") & ~pl.col("cancelled"),
        )
        .with_columns(used=pl.col("answered") & (pl.col("row") == pl.col("row").filter("answered").max().over("chain")))
        .select("row", "chain", "nth", "why", "used", "numbered")
    )


def _seconds(duration: pl.Expr) -> pl.Expr:
    return duration.dt.total_microseconds() / 1e6
