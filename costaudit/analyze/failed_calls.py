"""Rule failed-calls: calls that were billed and gave no answer."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from costaudit.analyze._analyzer import (
    COST,
    NO_MODEL,
    NO_TASK,
    SOURCE,
    Analyzer,
    Claim,
    need,
    option,
    requests_of,
    these,
)
from costaudit.analyze._resends import failed
from costaudit.finding import Confidence, Kind, Severity
from costaudit.price.ledger import Ledger
from costaudit.stats import wilson
from costaudit.words import plural

TASK = pl.col("task").fill_null(NO_TASK)
MODEL = pl.coalesce("model", "model_requested", pl.lit(NO_MODEL)).alias("model")
REFUSALS = ("refusal", "content_filter")


class FailedCalls(Analyzer):
    """Calls that failed and were billed all the same.

    ## What it finds
    Errors, refusals and filtered answers that carry a bill, by task, model and kind of failure, with the rate and its
    interval. A failure without usage costs nothing and is only counted: nobody should assume that an error is billed.
    Attempts that were sent again belong to `retry-waste`; answers cut short belong to `truncated-output`.
    ## Why it costs money
    The prompt is processed before the call fails: a filter stops the answer, a connection breaks in the middle of it.
    ## What to do
    Look at the largest kind of failure: shorten prompts that exceed a limit, screen inputs that a filter refuses, stop
    sending what always fails. Tasks in which refusals are expected are named in `allow`.
    ## Example
    ```console
    $ costaudit analyze --select failed-calls sample_logs/analyzers/failed-calls.jsonl
    …
           $1.23  moderate: 3 failed calls billed, $1.23
                  medium  failed-calls · F-996897 · $1.23 · confidence high · 3 requests
    …
    ```
    """

    name = "failed-calls"
    kind = Kind.WASTE
    order = 3
    reads = (
        *("request_id", "source_file", "source_line", "started_at", "ended_at", "run_id", "step", "attempt"),
        *("task", "instance_id", "tenant", "key_id", "model_requested", "model", "temperature", "status"),
        *("http_status", "error_type", "finish_reason", "request_sha", "schema_ok", "cost_usd"),
    )
    min_rate: float = option(0.01, "share", "Failures rarer than this are part of life.")
    allow: tuple[str, ...] = option((), "tasks", "Tasks in which refusals are expected, such as moderation.")

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        calls = requests_of(ledger, ("http_status", "status"))
        if calls["http_status"].null_count() == calls.height:
            need(calls, {"status": "no status field"})
        rows = requests_of(ledger, ("row",), self._refused() | failed())["row"]
        named = these(ledger, rows).with_columns(TASK, MODEL, cause=self._cause(), usd=COST)
        if not (named["usd"] > 0).any():
            return
        rates = _counted(ledger)
        groups = (
            named.group_by("task", "model", "cause")
            .agg(
                calls=pl.len().cast(pl.Int64),
                billed=(pl.col("usd") > 0).sum().cast(pl.Int64),
                rows=pl.col("row").filter(pl.col("usd") > 0),
                worst_day=pl.col("started_at").dt.date().mode().min(),
                first_request_id=pl.col("request_id").first(),
                source=SOURCE.first(),
            )
            .join(rates, on=["task", "model"])
            .filter((pl.col("billed") > 0) & (pl.col("calls") >= self.min_rate * pl.col("all_calls")))
            .sort("task", "model", "cause")
            .with_row_index("failure")
        )
        for (task,), found in groups.group_by("task", maintain_order=True):
            yield _claim(str(task), found)

    def _refused(self) -> pl.Expr:
        refused = pl.col("finish_reason").is_in(REFUSALS) & ~pl.col("task").fill_null(NO_TASK).is_in(self.allow)
        return refused.fill_null(value=False)

    def _cause(self) -> pl.Expr:
        """What failed: the finish reason of a refusal, the HTTP status, the class of the error."""
        status = pl.when(pl.col("http_status") >= 400).then(pl.format("HTTP {}", "http_status"))
        return (
            pl.when(self._refused()).then("finish_reason").otherwise(pl.coalesce(status, "error_type", pl.lit("error")))
        )


def _counted(ledger: Ledger) -> pl.DataFrame:
    """task, model, all_calls."""
    # Names of all calls at once would be most of the memory: one call of each group says them.
    group = (TASK.hash(0) ^ MODEL.hash(1)).alias("group")
    found = requests_of(ledger, ("row", group)).group_by("group").agg(pl.first("row"), pl.len().cast(pl.Int64))
    return ledger.told(found["row"], (TASK, MODEL)).with_columns(found["len"].alias("all_calls"))


def _largest(groups: pl.DataFrame) -> str:
    """`HTTP 500, 14 calls`: the cause of most failures of the task, whichever model they hit."""
    causes = groups.group_by("cause").agg(pl.col("calls").sum()).sort("calls", "cause", descending=[True, False])
    cause, calls = causes.row(0)
    return f"{cause}, {plural(calls, 'call')}"


def _claim(task: str, groups: pl.DataFrame) -> Claim:
    intervals = [wilson(n, of) for n, of in groups.select("calls", "all_calls").iter_rows()]
    evidence = groups.with_columns(
        rate=pl.col("calls") / pl.col("all_calls"),
        rate_low=pl.Series([i.low for i in intervals], dtype=pl.Float64),
        rate_high=pl.Series([i.high for i in intervals], dtype=pl.Float64),
    ).drop("rows", "all_calls", "task")
    billed, calls = int(groups["billed"].sum()), int(groups["calls"].sum())
    return Claim(
        subject={"task": task},
        title=f"{task}: {plural(billed, 'failed call')} billed, {{usd}}",
        remedy=f"look at the largest kind of failure ({_largest(groups)}); do not send what always fails",
        severity=Severity.MEDIUM,
        confidence=Confidence.HIGH,
        evidence=evidence,
        evidence_key="failure",
        patch=groups.select("failure", row="rows").explode("row").with_columns(exists=pl.lit(value=False)),
        because=(f"{plural(calls, 'call')} failed, {calls - billed:,} of them without a bill",),
    )
