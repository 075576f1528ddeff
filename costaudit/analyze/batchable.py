"""Rule batchable: calls nobody waits for, sent at the price of calls somebody does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, timedelta, tzinfo
from typing import NamedTuple

import polars as pl

from costaudit.analyze._analyzer import (
    RUN,
    Analyzer,
    CannotCheck,
    Claim,
    need_single,
    option,
    single_calls,
    these,
    total_usd,
)
from costaudit.analyze._places import places
from costaudit.finding import Confidence, Grade, Kind, Lever, Severity
from costaudit.price.engine import READS as PRICING
from costaudit.price.engine import price
from costaudit.price.ledger import Ledger
from costaudit.price.tariff import STANDARD

CROWD = 20  # equal-template calls a minute above which nobody reads along
FAMILIES = 0.5  # templates a call up to which a template is a family
CROWDED = 0.5  # share of calls in such minutes
PAUSE = timedelta(minutes=10)  # silence that ends a burst
STARTS = 3  # bursts from which their starts have a pattern
UNIFORM = 5 / 60  # share of starts that fall into the first 5 minutes of an hour by chance
SCHEDULED = 5 * UNIFORM
ALONE = 0.95  # share of calls without another call in their run
HINT = re.compile(r"(^|[^a-z])(batch|nightly|backfill|offline|cron|bulk|async|scheduled|embed\w*)([^a-z]|$)")
SAMPLE = 200  # calls the batch price is looked up on
CASE = "case"
SEEN = (
    *("started_at", "template_sha", "cache_read_tokens"),
    (pl.col("provider").hash(0) ^ pl.col("model").hash(1) ^ pl.col("region").hash(2)).alias("kind"),
)


class Score(NamedTuple):
    """The signs that nobody waits for a task's calls; each counts one."""

    bursts: bool
    scheduled: bool
    alone: bool
    named: bool

    @property
    def total(self) -> int:
        return sum(self)


class Batchable(Analyzer):
    """Work that runs at the price of interactive calls though a batch would do.

    ## What it finds
    Tasks that come in steady bursts, start by the clock, are never followed up in the same run, or say so by their
    name: three of the four signs, or your word for it. Steps of an agent and streamed answers are never counted: they
    cannot be batched. The price is that of the book, class by class: discounts differ between vendors, and cached input
    often has none.
    ## Why it costs money
    Batch prices are usually half, for an answer within a day instead of seconds.
    ## What to do
    Send the task through the provider's batch interface; name it under `async_tasks` once you know that nobody waits.
    ## Example
    ```console
    $ costaudit analyze --select batchable sample_logs/analyzers/batchable.jsonl
    …
           $2.50  digest: 208 calls nobody seems to wait for, $2.50 less as a batch
                  low     batchable · F-f49292 · $2.50 · confidence low · EXPERIMENT · 208 requests
    …
    ```
    """

    name = "batchable"
    kind = Kind.DECIDE
    order = 9
    levers = ("batch",)
    reads = (
        *("run_id", "task", "tenant", "streamed", "template_sha", "score", "cost_usd", "price_status"),
        *PRICING,
    )

    min_score: int = option(3, "signs of 4", "Signs that nobody waits.")
    min_calls: int = option(200, "calls", "Calls of a task before it is looked at.")
    async_tasks: tuple[str, ...] = option((), "tasks", "Tasks nobody waits for, as you know.")
    latency_bound: tuple[str, ...] = option((), "tenants", "Tenants whose calls must not wait.")

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        need_single(ledger, {"started_at": "no call has a time", "task": "no task is known"})
        standard = pl.col("service_tier").is_null() | pl.col("service_tier").is_in(sorted(STANDARD))
        bound = pl.col("tenant").is_in(self.latency_bound).fill_null(value=False)
        kept = standard & ~pl.col("streamed").fill_null(value=False) & ~bound
        priced = (
            (pl.col("price_status") == "priced") & pl.col("task").is_not_null() & pl.col("started_at").is_not_null()
        )
        tasks = (
            single_calls(ledger, ("task", kept.alias("kept")), priced)
            .group_by("task")
            .agg(pl.len(), pl.sum("kept"))
            .filter(pl.col("len") >= self.min_calls)
        )
        wanted = pl.col("task").is_in(tasks.filter(pl.col("kept") >= self.min_calls)["task"].implode())
        paid = single_calls(ledger, ("row", "task"), priced & wanted)
        groups, rows = places(paid.select("task"), ["task"]), paid["row"]
        del paid
        offered = False
        for task, at in zip(groups["task"], groups["at"], strict=True):
            paid = ledger.told(rows.gather(at), ("row", "task", RUN, kept.alias("kept"), *SEEN))
            waiting = single(paid).filter("kept")
            if waiting.height < self.min_calls:
                continue
            if not _has_batch_price(waiting, ledger):
                continue
            offered = True
            declared = task in self.async_tasks
            found = score(waiting, declared=declared, zone=ledger.settings.zone)
            if declared or found.total >= self.min_score:
                yield _claim(task, waiting, found, declared=declared)
        if tasks.height and not offered:
            raise CannotCheck("no batch price for any task of enough single, unstreamed calls")


def single(calls: pl.DataFrame) -> pl.DataFrame:
    """Calls without another call in their run: the steps of an agent wait for each other."""
    return calls.filter(pl.col("run").is_null() | pl.col("run").is_unique())


def score(calls: pl.DataFrame, *, declared: bool, zone: tzinfo = UTC) -> Score:
    """The signs of one task's calls [row, started_at, template_sha, run, task].

    zone   of the clock they may start by: in some zones the hour is full at half past UTC
    """
    ordered = calls.sort("started_at", "row")
    minute = pl.col("started_at").dt.truncate("1m")
    # Without instructions of its own every question is its own template: then the task is the family.
    family = ["template_sha"] if ordered["template_sha"].n_unique() <= FAMILIES * ordered.height else []
    crowds = ordered.select((pl.len().over(minute, *family) > CROWD).mean()).item()
    gap = pl.col("started_at") - pl.col("started_at").shift(1)
    opening = ordered.filter(gap.is_null() | (gap > PAUSE))["started_at"]
    starts = opening.dt.convert_time_zone(str(zone)).dt.minute()
    on_the_hour = int((starts < 5).sum()) / max(starts.len(), 1)
    runs = ordered["run"].drop_nulls()
    lonely = runs.is_empty() or runs.n_unique() >= ALONE * runs.len()
    task = str(ordered["task"][0]).lower()
    return Score(
        bursts=crowds >= CROWDED,
        scheduled=starts.len() >= STARTS and on_the_hour > SCHEDULED,
        alone=lonely and not runs.is_empty(),
        named=declared or HINT.search(task) is not None,
    )


def _has_batch_price(calls: pl.DataFrame, ledger: Ledger) -> bool:
    """Whether a batch of some of these calls costs less; every model the task uses is looked at."""
    sample = these(ledger, calls.unique("kind", keep="first", maintain_order=True).head(SAMPLE)["row"])
    batched = price(sample.with_columns(service_tier=pl.lit("batch")), ledger.book)
    return total_usd(batched.filter(pl.col("price_status") == "priced")) < total_usd(sample)


def _claim(task: str, calls: pl.DataFrame, found: Score, *, declared: bool) -> Claim:
    batch = calls.select("row", service_tier=pl.lit("batch")).with_columns(pl.lit(task).alias(CASE))
    # A batch runs when it likes: in the worst case every cached prefix has expired by then.
    zero = pl.lit(0, pl.Int64)
    cold = batch.with_columns(cache_read_tokens=zero)
    signs = ", ".join(
        words
        for seen, words in zip(
            found, ("steady bursts", "starts by the clock", "no follow-up", "its name or your word"), strict=True
        )
        if seen
    )
    evidence = pl.DataFrame({CASE: [task], "score": [found.total], "calls": [calls.height]}).with_columns(
        **{name: pl.lit(value) for name, value in found._asdict().items()}
    )
    cached = bool((calls["cache_read_tokens"] > 0).any())
    return Claim(
        subject={"task": task},
        title=f"{task}: {calls.height:,} calls nobody seems to wait for, {{usd}} less as a batch",
        remedy=f"send {task} through the provider's batch interface (answers within a day)",
        lever=Lever("batch"),
        severity=Severity.MEDIUM if declared else Severity.LOW,
        confidence=Confidence.MEDIUM if declared else Confidence.LOW,
        evidence=evidence,
        patch=batch,
        low=cold if cached else None,
        evidence_key=CASE,
        grade=Grade.PROVEN_PRICE if declared else Grade.EXPERIMENT,
        because=("you declared that nobody waits" if declared else f"signs only: {signs}",)
        + (("the low end loses every cache hit",) if cached else ()),
        requests=calls.height,
    )
