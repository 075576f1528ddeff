"""Rule retry-waste: billed attempts whose answer nobody used."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from costaudit.analyze._analyzer import (
    COST,
    NO_TASK,
    RUN,
    SOURCE,
    Analyzer,
    CannotCheck,
    Claim,
    any_of,
    need_single,
    option,
    single_calls,
    these,
)
from costaudit.analyze._places import repeated
from costaudit.analyze._resends import FAILURE, REFUSED, RETRY_WINDOW_S, TIMEOUT, Timing, attempts, failed, refused
from costaudit.finding import ZERO, Confidence, Kind, Lever, Severity
from costaudit.price.ledger import Ledger
from costaudit.words import plural

STORM_SHARE = 0.1  # of the calls in STORM_SPAN that were sent again
STORM_SPAN = "5m"

REMEDY = {
    FAILURE: "retry with growing pauses and a limit, and only what the provider did not already answer",
    TIMEOUT: "wait longer than the answer takes, or stream; never send again while the first call still runs",
    REFUSED: "ask for structured output the provider enforces; repair an answer before asking again",
}
HAPPENED = {FAILURE: "after a failure", TIMEOUT: "while the first was running", REFUSED: "after a refused answer"}


class RetryWaste(Analyzer):
    """Calls sent again, where the first attempt was billed too.

    ## What it finds
    Attempts whose answer was not used because the same call was sent again: after a failure upstream, because the
    client did not wait for an answer that came, or because a parser refused the answer. These are three problems and
    are shown as three. Only billed attempts cost; errors without usage are counted at nothing.
    ## Why it costs money
    Each attempt sends the whole prompt, and providers bill what they processed, whether the client was still there.
    ## What to do
    Longer timeouts than the slowest good answer, growing pauses, a limit on attempts, and structured output enforced by
    the provider.
    ## Example
    ```console
    $ costaudit analyze --select retry-waste sample_logs/analyzers/retry-waste.jsonl
    …
           $1.23  triage: 3 calls sent again after a failure, $1.23
                  medium  retry-waste · F-95102e · $1.23 · confidence medium · 3 requests
    …
    ```
    """

    name = "retry-waste"
    kind = Kind.WASTE
    order = 2
    levers = ("retries", "output-format")
    reads = (
        *("request_id", "source_file", "source_line", "started_at", "ended_at", "run_id", "step", "attempt"),
        *("task", "instance_id", "tenant", "key_id", "model", "temperature", "status", "http_status"),
        *("finish_reason", "request_sha", "schema_ok", "cost_usd", "reasoning_effort"),
    )
    retry_window: float = option(RETRY_WINDOW_S, "s", "Longest pause between a call and its retry.")
    storm: int = option(3, "attempts", "More attempts than this at one call are a storm.")

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        if not any(any_of(ledger, [pl.col(name).is_not_null() for name in ("request_sha", "attempt")])):
            raise CannotCheck("no request fingerprints and no attempt numbers")
        need_single(ledger, {"started_at": "no call has a time"})
        if not any_of(ledger, [pl.col("http_status").is_not_null()])[0]:
            need_single(ledger, {"status": "no status field"})
        # The answer to a repeated question is a copy and gone by now; an attempt before it is a retry all the same.
        logged = ledger.as_logged()
        tried = attempts(these(logged, _candidates(logged)), Timing.of(ledger))
        # The last attempt was not sent again; what came before it, an answer that was late too, says why it was made.
        tried = tried.with_columns(why=pl.coalesce("why", pl.col("why").drop_nulls().last().over("chain")))
        wasted = tried.filter(~pl.col("used"))
        wasted = wasted.filter(ledger.place(wasted["row"]).is_not_null())
        if wasted.is_empty():
            return
        told = these(ledger, wasted["row"]).select("task", "started_at", "request_id", SOURCE, usd=COST)
        wasted = (
            wasted.hstack(told)
            .with_columns(task=pl.col("task").fill_null(NO_TASK), storm=self._storm(tried, logged))
            .sort("task", "why", "row")
        )
        for (task, why), found in wasted.group_by("task", "why", maintain_order=True):
            if found["usd"].sum() > ZERO:
                yield self._claim(str(task), str(why), found)

    def _storm(self, tried: pl.DataFrame, ledger: Ledger) -> pl.Expr:
        """Whether a call was tried too often, or was sent again in minutes in which many calls were."""
        again = tried.filter(pl.col("nth") > 1)["row"]
        minutes = pl.col("started_at").dt.truncate(STORM_SPAN)
        busy = (
            single_calls(ledger, ("row", minutes.alias("span")))
            .drop_nulls("span")
            .with_columns(again=pl.col("row").is_in(again.implode()))
            .group_by("span")
            .agg(share=pl.col("again").mean(), again=pl.col("again").sum())
            .filter((pl.col("share") > STORM_SHARE) & (pl.col("again") > self.storm))
        )
        long = tried.filter(pl.col("nth") > self.storm)["chain"].unique()
        return pl.col("chain").is_in(long.implode()) | minutes.is_in(busy["span"].implode()).fill_null(value=False)

    def _claim(self, task: str, why: str, found: pl.DataFrame) -> Claim:
        billed = found.filter(pl.col("usd") > ZERO)
        because = [
            f"{plural(billed.height, 'billed attempt')} whose answer was not used; "
            f"{found.height - billed.height:,} unbilled"
        ]
        if storms := int(billed["storm"].sum()):
            because.append(
                f"{storms:,} of them in storms: more than {self.storm} attempts, or a tenth of all calls in 5 minutes"
            )
        numbered = bool(billed["numbered"].all())
        if not numbered:
            because.append("attempts are told by equal requests, not by numbers in the log")
        return Claim(
            subject={"task": task, "cause": why},
            title=f"{task}: {plural(billed.height, 'call')} sent again {HAPPENED[why]}, {{usd}}",
            remedy=REMEDY[why],
            lever=Lever("output-format" if why == REFUSED else "retries"),
            severity=Severity.HIGH if storms else Severity.MEDIUM,
            confidence=Confidence.HIGH if numbered else Confidence.MEDIUM,
            evidence=billed.select("row", "request_id", "source", attempt="nth", first_row="chain", storm="storm"),
            patch=billed.select("row", exists=pl.lit(value=False)),
            because=tuple(because),
        )


def _candidates(ledger: Ledger) -> pl.Series:
    """The rows of calls that may be attempts: sent more than once, numbered, or in a run in which a parser refused."""
    refusal = (refused() & ~failed()).alias("refused")
    calls = single_calls(ledger, ("row", "request_sha", pl.col("attempt").is_not_null(), refusal))
    twice = repeated(calls["request_sha"].drop_nulls(), 2)
    wanted = pl.col("request_sha").is_in(twice.implode()) | pl.col("attempt")
    if calls["refused"].any():
        calls = calls.with_columns(single_calls(ledger, (RUN,)))
        runs = calls.filter("refused")["run"].drop_nulls().unique()
        wanted |= pl.col("run").is_in(runs.implode()).fill_null(value=False)
    return calls.filter(wanted)["row"]
