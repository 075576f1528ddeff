"""One side of a comparison: unit costs per task, their mix, and the shape of the prompts; no content, no rows of calls.

A unit is a case (`instance_id`): its repeats (runs) are averaged, because they vary together; calls of a case without
runs are one run. Calls without a case are units by run, and calls without a run by themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import polars as pl

from costaudit.audit import Window
from costaudit.price.book import PriceBook
from costaudit.price.engine import price
from costaudit.price.mix import NO_TASK, Mix, mix, unit, units
from costaudit.schema import USD

BLOCKS = 8  # messages at the beginning of a prompt that are compared: what calls of a task share is at the front
COMMON = 0.5  # share of a task's units that must begin alike for the beginning to be the task's
OVERRIDES = "(overrides)"
DAYS_OF_MONTH = Decimal("30.4375")  # 365.25/12

UNITS = pl.Schema({"task": pl.String(), "case": pl.String(), "runs": pl.Int64(), "usd": USD, "tokens": pl.Int64()})


class Block(msgspec.Struct, frozen=True):
    """The commonest message at one place of a task's prompts: hash of the chain up to it, share of units, tokens."""

    sha: int
    share: float
    tokens: int


class Opening(msgspec.Struct, frozen=True):
    """How the prompts of a task begin: the declared tools, and the messages most units share.

    tokens  input of the first call of a unit, median; None: not known
    """

    tools: int | None = None
    blocks: tuple[Block, ...] = ()
    tokens: int | None = None


class Side(msgspec.Struct, frozen=True):
    """What the gate knows of one side.

    units      task, case (hash of the instance id; null: not a named case), runs, usd (of all its runs; null: something
               in it has no price) [USD], tokens (of all its runs)
    openings   task -> how its prompts begin
    priced_on  the day whose prices are paid; None: no call had a time
    coverage   share of calls and tokens that can be priced, the worse of the two
    rates      price entry -> fingerprint of all its rates on that day; of the user's own prices under OVERRIDES
    sampled    task -> highest temperature asked for, where it is above 0
    guessed    calls whose task is only their shape
    """

    name: str
    units: pl.DataFrame
    mix: Mix
    openings: Mapping[str, Opening] = msgspec.field(default_factory=dict)
    window: Window = msgspec.field(default_factory=Window)
    calls: int = 0
    coverage: float = 1.0
    priced_on: date | None = None
    rates: Mapping[str, str] = msgspec.field(default_factory=dict)
    sampled: Mapping[str, float] = msgspec.field(default_factory=dict)
    guessed: int = 0


def measure(
    calls: pl.DataFrame,
    book: PriceBook,
    *,
    name: str,
    window: Window,
    coverage: float,
    on: date | None = None,
) -> Side:
    """One side from priced calls [schema.CALLS].

    on   the day whose prices are paid; None: the day of the last call
    """
    counted = calls.filter(~pl.col("rollup").fill_null(value=False)).with_columns(pl.col("task").fill_null(NO_TASK))
    on = on or last_day(counted)
    priced = at_prices_of(counted, book, on) if on else counted
    return Side(
        name=name,
        units=_units(priced),
        mix=mix(priced, book),
        openings=_openings(priced),
        window=window,
        calls=counted.height,
        coverage=coverage,
        priced_on=on,
        rates=_fingerprints(priced, book, on) if on else {},
        sampled=dict(
            counted.group_by("task").agg(pl.col("temperature").max()).filter(pl.col("temperature") > 0).iter_rows()
        ),
        guessed=int((counted["task_source"] == "shape").sum()),
    )


def last_day(calls: pl.DataFrame) -> date | None:
    """The UTC day of the last call."""
    last = calls["started_at"].max()
    return last.astimezone(UTC).date() if isinstance(last, datetime) else None


def at_prices_of(calls: pl.DataFrame, book: PriceBook, on: date) -> pl.DataFrame:
    """The calls priced as if sent on that day, each at its own hour.

    A model that has no price on that day (not yet sold, or no longer) keeps the price of its own.
    """
    midnight = pl.lit(datetime(on.year, on.month, on.day, tzinfo=UTC), pl.Datetime("us", "UTC"))
    hour = pl.col("started_at") - pl.col("started_at").dt.truncate("1d")
    moved = calls.with_columns(started_at=(midnight + hour).fill_null(midnight)).with_columns(
        ended_at=pl.col("started_at") + (calls["ended_at"] - calls["started_at"])
    )
    again = price(moved, book)
    known = again["cost_usd"].is_not_null()
    changed = ("started_at", "ended_at", "cost_usd", "price_status", "price_entry")
    return calls.with_columns(again[name].zip_with(known, calls[name]) for name in changed)


def _fingerprints(calls: pl.DataFrame, book: PriceBook, on: date) -> dict[str, str]:
    """What each price entry in use costs on a day, as a hash: equal hashes price alike."""
    found = {}
    for entry in calls["price_entry"].drop_nulls().unique().sort().to_list():
        provider, _, name = entry.partition(":")
        model = book.find(provider, name)
        in_force = [p for p in model.prices if p.start is None or p.start.date() <= on] if model else []
        if in_force:
            rates = msgspec.structs.replace(in_force[-1], source="", since="", until="")
            found[entry] = hashlib.sha256(msgspec.json.encode(rates)).hexdigest()[:16]
    if book.overrides:
        found[OVERRIDES] = hashlib.sha256(msgspec.json.encode(book.overrides)).hexdigest()[:16]
    return found


def month_units(calls: pl.DataFrame, days: float) -> dict[str, float]:
    """Runs of each task in a month, from the calls of `days` days; see `price.mix.unit`."""
    counted = calls.filter(~pl.col("rollup").fill_null(value=False))
    by_task = counted.group_by(pl.col("task").fill_null(NO_TASK)).agg(runs=units())
    return {task: count * float(DAYS_OF_MONTH) / days for task, count in by_task.sort("task").iter_rows()}


def case_key(instance: str) -> str:
    """A case by a hash: instance ids are the user's words and do not travel in a baseline."""
    return hashlib.sha256(instance.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _units(calls: pl.DataFrame) -> pl.DataFrame:
    run = pl.coalesce(unit(), pl.format("\0\0{}", "row"))
    runs = calls.group_by("task", case="instance_id", run=run).agg(
        usd=pl.when(pl.col("cost_usd").is_null().any()).then(None).otherwise(pl.col("cost_usd").sum()),
        tokens=_capped(pl.col("input_tokens").fill_null(0) + pl.col("output_tokens").fill_null(0)),
    )
    named, nameless = runs.filter(pl.col("case").is_not_null()), runs.filter(pl.col("case").is_null())
    cases = named.group_by("task", "case").agg(
        runs=pl.len().cast(pl.Int64),
        usd=pl.when(pl.col("usd").is_null().any()).then(None).otherwise(pl.col("usd").sum()),
        tokens=_capped(pl.col("tokens")),
    )
    keys = {case: case_key(case) for case in cases["case"].unique().to_list()}
    hashed = cases.with_columns(pl.col("case").replace_strict(keys, return_dtype=pl.String)) if keys else cases
    units = pl.concat(
        [hashed.select(*UNITS), nameless.with_columns(runs=pl.lit(1, pl.Int64)).select(*UNITS)], how="vertical_relaxed"
    )
    return units.cast(UNITS).sort("task", "case", "usd", "tokens", "runs", nulls_last=True)


def _capped(tokens: pl.Expr) -> pl.Expr:
    """The sum, at most what a double counts exactly: absurd counts of a broken log must not wrap around."""
    return tokens.cast(pl.Int128).sum().clip(0, 2**53).cast(pl.Int64)


def _openings(calls: pl.DataFrame) -> dict[str, Opening]:
    """How the first call of each unit begins, for the tasks whose logs carry prompt hashes."""
    hashes = ("block_sha", "block_tokens", "tools_sha")
    if calls["block_sha"].null_count() == calls["tools_sha"].null_count() == calls.height:
        return {}
    run = pl.coalesce(unit(), pl.format("\0\0{}", "row")).alias("run")
    first = (
        calls.select("started_at", "row", "task", "instance_id", "input_tokens", run, *hashes)
        .sort("started_at", "row")
        .group_by("task", "instance_id", "run", maintain_order=True)
        .agg(pl.col("input_tokens", *hashes).first())
    )
    sizes = dict(first.group_by("task").agg(pl.col("input_tokens").median().round().cast(pl.Int64)).iter_rows())
    places = [_place(first, k) for k in range(BLOCKS)]
    tools = dict(_commonest(first.select("task", sha="tools_sha", tokens=pl.lit(0))).select("task", "sha").iter_rows())
    tasks = sorted(set(tools) | {task for place in places for task in place})
    return {
        task: Opening(tools.get(task), tuple(place[task] for place in places if task in place), sizes[task])
        for task in tasks
    }


def _place(first: pl.DataFrame, k: int) -> dict[str, Block]:
    """The commonest chain at message `k` of each task, where most units share it."""
    at = first.select(
        "task",
        sha=pl.col("block_sha").list.get(k, null_on_oob=True),
        tokens=pl.col("block_tokens").list.get(k, null_on_oob=True),
    )
    common = _commonest(at).filter(pl.col("share") >= COMMON)
    return {task: Block(sha, share, tokens) for task, sha, share, tokens in common.iter_rows()}


def _commonest(at: pl.DataFrame) -> pl.DataFrame:
    """task, sha, share of the task's units that have it, median tokens; ties go to the smaller hash."""
    sizes = at.group_by("task").agg(size=pl.len())
    return (
        at.filter(pl.col("sha").is_not_null())
        .group_by("task", "sha")
        .agg(count=pl.len(), tokens=pl.col("tokens").fill_null(0).median().round().cast(pl.Int64))
        .sort("task", "count", "sha", descending=[False, True, False])
        .unique("task", keep="first", maintain_order=True)
        .join(sizes, on="task", how="left", maintain_order="left")
        .select("task", "sha", (pl.col("count") / pl.col("size")).alias("share"), "tokens")
    )
