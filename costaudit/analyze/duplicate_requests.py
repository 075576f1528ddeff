"""Rule duplicate-requests: answers that were bought a second time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import polars as pl

from costaudit.analyze._analyzer import NO_TASK, SOURCE, Analyzer, Claim, need, option, single_calls, these
from costaudit.analyze._places import repeated
from costaudit.analyze._resends import DOUBLE_SUBMIT_S, Timing, attempts, failed
from costaudit.finding import Confidence, Kind, Lever, Severity
from costaudit.price.ledger import Ledger
from costaudit.words import plural

EQUAL = 0.95  # share of repeats with the same answer from which a task's answers can be kept
SCOPE = ["request_sha", "model", "reasoning_effort", "tenant", "key_id", "trial"]


class DuplicateRequests(Analyzer):
    """The same question, paid for again although its answer was already there.

    ## What it finds
    Requests equal in model, messages, tools and parameters, sent again within a day after one was answered. Only where
    an answer can be used twice: at temperature 0, for embeddings, or where the answers were equal anyway. Samples drawn
    on purpose, trials of an evaluation, retries and client timeouts are left alone.
    ## Why it costs money
    Nothing remembers the answer: two users ask the same, a job starts twice, a button is pressed twice.
    ## What to do
    Keep answers by request for a day, in the application or in the gateway; guard buttons and jobs against a second
    start.
    ## Example
    ```console
    $ costaudit analyze --select duplicate-requests sample_logs/analyzers/duplicate-requests.jsonl
    …
           $1.56  faq: 3 answers bought again, $1.56
                  medium  duplicate-requests · F-4cf8a4 · $1.56 · confidence high · 3 requests
    …
    ```
    """

    name = "duplicate-requests"
    kind = Kind.WASTE
    order = 2
    levers = ("reuse",)
    reads = (
        *("request_id", "source_file", "source_line", "started_at", "ended_at", "run_id", "parent_id", "step"),
        *("attempt", "task", "instance_id", "tenant", "user", "key_id", "model_requested", "model"),
        *("temperature", "input_tokens", "output_tokens", "status", "http_status", "finish_reason"),
        *("request_sha", "output_sha", "schema_ok", "cost_usd", "reasoning_effort"),
    )
    window: float = option(24.0, "h", "How long an answer could have been kept.")
    double_submit: float = option(DOUBLE_SUBMIT_S, "s", "Equal requests closer than this were sent by one action.")
    allow: tuple[str, ...] = option((), "tasks", "Tasks that repeat requests on purpose, such as health checks.")

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        calls = single_calls(ledger, ("row", "request_sha", "started_at"))
        need(calls, {"request_sha": "no request fingerprints", "started_at": "no times"})
        twice = repeated(calls["request_sha"].drop_nulls(), 2)
        several = calls.filter(pl.col("request_sha").is_in(twice.implode()))["row"]
        if several.is_empty():
            return
        copies = self.copies(these(ledger, several), Timing.of(ledger))
        for (task,), found in copies.group_by("task", maintain_order=True):
            yield self._claim(str(task), found)

    def copies(self, calls: pl.DataFrame, timing: Timing) -> pl.DataFrame:
        """The answered calls whose answer was there already: row, first_row, task, gap_s, known, and the columns of
        the evidence. `known`: temperature 0 or an embedding, not only equal answers.
        """
        sent_again = attempts(calls, timing).filter(~pl.col("used"))["row"]
        answered = (
            calls.filter(~failed() & (pl.col("status") != "cancelled").fill_null(value=True))
            .filter((pl.col("finish_reason") != "length").fill_null(value=True))  # nobody keeps half an answer
            .filter(pl.col("started_at").is_not_null() & ~pl.col("row").is_in(sent_again.implode()))
            .with_columns(
                # A declared case is run again on purpose: by its runs, else each of its calls is a trial.
                trial=pl.when(pl.col("instance_id").is_not_null()).then(
                    pl.coalesce("run_id", pl.col("row").cast(pl.String))
                ),
                task=pl.col("task").fill_null(NO_TASK),
            )
            .filter(~pl.col("task").is_in(self.allow))
            .sort(*SCOPE, "row", nulls_last=True)
        )
        copied = _after_first(answered, timedelta(hours=self.window)).with_columns(known=_deterministic())
        same = pl.col("output_sha") == pl.col("first_output_sha")
        equal = same.fill_null(value=False).filter(~pl.col("known")).mean().over("task", "model") >= EQUAL
        return copied.filter(pl.col("known") | (equal.fill_null(value=False) & same.fill_null(value=False))).sort(
            "task", "first_row", "row"
        )

    def _claim(self, task: str, copies: pl.DataFrame) -> Claim:
        groups = copies.group_by("first_row", maintain_order=True).agg(
            pl.col("request_sha", "model").first(),
            pl.len().cast(pl.Int64).alias("copies"),
            span_s=pl.col("gap_s").max(),
            double_submits=(pl.col("gap_s") < self.double_submit).sum().cast(pl.Int64),
            first_request_id=pl.col("first_request_id").first(),
            last_request_id=pl.col("request_id").last(),
            source=pl.col("source").first(),
        )
        doubles = int(groups["double_submits"].sum())
        known = bool(copies["known"].all())
        because = [
            f"{plural(copies.height, 'repeat')} of {plural(groups.height, 'request')}; "
            f"an answer is kept {self.window:g} hours"
        ]
        if doubles:
            because.append(
                f"{plural(doubles, 'copy was', 'copies were')} sent within {self.double_submit:g} s of the first: "
                "a double submit"
            )
        if not known:
            because.append("the temperature is not logged or not 0: the answers were equal, so one would have done")
        return Claim(
            subject={"task": task},
            title=f"{task}: {plural(copies.height, 'answer')} bought again, {{usd}}",
            remedy="keep answers by request for a day; guard buttons and jobs against a second start",
            lever=Lever("reuse"),
            severity=Severity.MEDIUM,
            confidence=Confidence.HIGH if known else Confidence.MEDIUM,
            evidence=groups,
            evidence_key="first_row",
            patch=copies.select("row", "first_row", exists=pl.lit(value=False)),
            because=tuple(because),
        )


def _deterministic() -> pl.Expr:
    """Whether the answer is the same by nature: temperature 0, or an embedding (input and no output at all)."""
    embedding = (
        (pl.col("output_tokens").fill_null(0) == 0)
        & (pl.col("input_tokens") > 0)
        & pl.col("finish_reason").is_null()
        & pl.coalesce("model", "model_requested").str.to_lowercase().str.contains("embed")
    )
    return (pl.col("temperature") == 0).fill_null(value=False) | embedding.fill_null(value=False)


def _after_first(answered: pl.DataFrame, window: timedelta) -> pl.DataFrame:
    """Every call that a kept answer would have served, with the call that gave it; a new one is kept per window.

    answered  sorted by scope and row. Each round takes the first call left of every scope and what follows in its
    window, so there are as many rounds as windows in the log at most.
    """
    rest = answered.select("row", "started_at", scope=pl.struct(SCOPE).rle_id())
    rounds = []
    while rest.height:
        first = pl.col("started_at").first().over("scope")
        served = rest.with_columns(
            first_row=pl.col("row").first().over("scope"), inside=pl.col("started_at") - first <= window
        )
        rounds.append(served.filter("inside").select("row", "first_row"))
        rest = served.filter(~pl.col("inside")).select("row", "started_at", "scope")
    if not rounds:
        rounds = [pl.DataFrame(schema={"row": pl.UInt32, "first_row": pl.UInt32})]
    firsts = answered.select("output_sha", "started_at", "request_id", first_row="row").rename(
        {"output_sha": "first_output_sha", "started_at": "first_at", "request_id": "first_request_id"}
    )
    wanted = ("row", "request_sha", "model", "model_requested", "task", "started_at", "temperature", "output_sha")
    return (
        pl.concat(rounds)
        .filter(pl.col("row") != pl.col("first_row"))
        .join(
            answered.select(*wanted, "request_id", "input_tokens", "output_tokens", "finish_reason", SOURCE), on="row"
        )
        .join(firsts, on="first_row")
        .with_columns(gap_s=(pl.col("started_at") - pl.col("first_at")).dt.total_microseconds() / 1e6)
        .sort("first_row", "row")
    )
