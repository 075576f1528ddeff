"""Units of work: one run of one task (else one call), with its cost, its outcome and what was known before it began."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from costaudit.analyze._analyzer import ALONE, without
from costaudit.price.exact import NOTHING
from costaudit.price.ledger import Ledger
from costaudit.price.tariff import Key

NONE = "(none)"
NAME = pl.Categorical(pl.Categories("names", namespace="costaudit"))
"""Names of which there are few, as numbers: a quarter of the memory, and compared and sorted as the names they are."""
NAMED = ("task", "task_source", "tenant", "key_id", "started_at", "step", "template_sha", "request_sha")
READS = (
    *("run_id", "provider", "model", "status", "http_status", "schema_ok", "tool_error", "finish_reason", "cost_usd"),
    *("output_tokens", "reasoning_tokens", "success", "score", "block_sha", "tools_declared"),
    *(*NAMED, "instance_id", "input_tokens"),
)
FIRST_BLOCK = pl.col("block_sha").list.first().alias("first_block")
TOOLS = pl.col("tools_declared").list.len().alias("tools")
ASKS = pl.col("tool_calls").list.len().alias("asks")
LISTED = (FIRST_BLOCK, pl.col("block_sha").list.len().alias("blocks"), TOOLS, ASKS)
"""What is asked of the lists of a call; the lists themselves would be most of the memory."""
FRONT = pl.col("block_tokens").list.first().alias("front")
OPENED: tuple[str | pl.Expr, ...] = (
    *(pl.col(name).cast(NAME) for name in ("task", "tenant", "key_id")),
    *("started_at", "step", "template_sha", "request_sha"),
    pl.col("task_source").is_in(["family", "shape"]).alias("discovered"),
    pl.col("input_tokens").alias("opening_tokens"),
    pl.when(pl.col("instance_id").is_not_null()).then(pl.col("instance_id").hash()).alias("instance"),
    pl.col("started_at").dt.hour().alias("hour"),
    pl.col("block_sha").list.len().alias("history"),
    TOOLS,
    FIRST_BLOCK,
)
"""What is asked of the first call of a unit."""
COUNTS = ("input_tokens", "output_tokens", "reasoning", "opening_tokens", "step", "front")
BAD_FINISH = ("length", "refusal", "content_filter")


class Arm(NamedTuple):
    """A model as the log names it: who served it, and its name."""

    provider: str
    model: str


PROVIDER, MODEL = (pl.col(name).fill_null("") for name in ("provider", "model"))
UNIT = (
    pl.when(pl.col("run_id").is_null())
    .then(pl.col("row").hash(0))
    .otherwise(pl.col("task").hash(1) ^ pl.col("run_id").hash(2))
    .alias("key")
)
"""A number for the unit of work that a call belongs to: a run within a task, else the call itself."""
KIND = pl.reduce(lambda a, b: a ^ b, [pl.col(name).hash(nth) for nth, name in enumerate(Key._fields)]).alias("kind")
"""A number for what selects the price of a call."""
SPENT = ~(pl.col("rollup").fill_null(value=False) | pl.col("gateway_cache_hit").fill_null(value=False))
"""Whether a call can carry spend: no roll-up, no answer of a gateway's own cache."""


def spend_rows(calls: pl.DataFrame) -> pl.DataFrame:
    """The calls that can carry spend: no roll-ups, no answers of a gateway's own cache; in order of `row`."""
    paid = without(calls, ~SPENT)
    return paid if paid["row"].is_sorted() else paid.sort("row")


def with_unit(calls: pl.DataFrame) -> pl.DataFrame:
    """Add `unit`: the number of the unit of work a call belongs to, which is the `row` of its first call.

    A unit is a run within a task; a call without a run is a unit of its own.
    """
    if calls["run_id"].null_count() == calls.height:
        return calls.with_columns(unit="row")
    # Calls without a run are most of the units, and need no grouping.
    place = calls["run_id"].is_not_null().arg_true()
    run = calls.select("row", key=UNIT)[place]
    first = run.select(pl.col("row").min().over("key")).to_series()
    return calls.with_columns(unit=calls["row"].scatter(place, first))


def units(
    ledger: Ledger,
    where: pl.Expr = ALONE,
    *,
    rows: pl.Series | None = None,
    provider: pl.Expr = PROVIDER,
    model: pl.Expr = MODEL,
    fronts: bool = False,
) -> pl.DataFrame:
    """One row a unit whose task is known, in order of its first call.

    in    READS of the ledger; where: which calls; rows: these calls instead, in order, of known tasks; provider, model:
          who answered a call; fronts: whether to say how many tokens the first blocks have, where the models'
          tokenizers may differ
    out   unit; task, discovered (whether its prompts alone say which task it is), tenant, key_id, started_at;
          provider, model (null: several models answered);
          calls, cost_usd [USD; null: part of it is not priced], input_tokens, output_tokens, reasoning;
          case (what pairs units: the declared case, else the hash of the opening request);
          success, score, well_formed: outcome;
          outages: provider/model that failed in it by a limit or an outage;
          opening_tokens, history [messages], tools, step, hour, template_sha, first_block and its tokens
          (`front`): known before the model answered.
          Names are of type NAME; counts take no more room than they need, so widen them before adding to them
    """
    answered = pl.col("status").fill_null("ok") == "ok"
    limited = ((pl.col("http_status") == 429) | (pl.col("http_status") >= 500)).fill_null(value=False)
    malformed = ~pl.col("schema_ok") | pl.col("tool_error") | pl.col("finish_reason").is_in(BAD_FINISH)
    # Everything a group needs is a number before the grouping: names stay behind until they are few.
    made = (
        *("row", "cost_usd", "input_tokens", "output_tokens", "reasoning_tokens", "success", "score"),
        UNIT,
        pl.col("run_id").is_null().alias("single"),
        pl.when(answered).then(provider.hash(0) ^ model.hash(1)).alias("arm"),
        (~answered & limited).alias("outage"),
        malformed.alias("malformed"),
        pl.any_horizontal(pl.col("schema_ok", "tool_error", "finish_reason").is_not_null()).alias("seen"),
    )
    if rows is None:
        calls = ledger.each(made, where & SPENT & pl.col("task").is_not_null())
    else:
        calls = ledger.told(rows.filter(ledger.told(rows, [SPENT]).to_series()), made)
    names = (provider.cast(NAME).alias("provider"), model.cast(NAME).alias("model"))
    arms = calls.select("arm", "row").drop_nulls("arm").group_by("arm").agg(pl.first("row"))
    failed = calls.select("key", "row", "outage").filter("outage").drop("outage")
    sums = _summed(calls)
    del calls
    out = ledger.told(failed["row"], names).select(failed["key"], outages=pl.format("{}/{}", "provider", "model"))
    opening = ledger.told(sums["row"], (*OPENED, FRONT if fronts else pl.lit(None, pl.Int64).alias("front")))
    arm = sums.select(pl.when(pl.col("arm") == pl.col("last_arm")).then("arm"))
    by_arm = ledger.told(arms["row"], names).with_columns(arms["arm"])
    return _narrow(
        sums.rename({"row": "unit"})
        .hstack(opening)
        .with_columns(
            # Of the units themselves a join would copy every column.
            *arm.join(by_arm, on="arm", how="left", maintain_order="left").drop("arm").get_columns(),
            _outages(sums, out),
            cost_usd=pl.when(pl.col("unknown") == 0).then("cost_usd"),
            case=pl.coalesce("instance", "request_sha"),
            well_formed=pl.when("seen").then(~pl.col("malformed")),
        )
        .drop("key", "arm", "last_arm", "unknown", "instance", "request_sha", "malformed", "seen")
    )


def _outages(units: pl.DataFrame, out: pl.DataFrame) -> pl.Series:
    """What failed in each unit [key], by the failed calls [key, outages]: a list, empty of most."""
    of_unit = out.group_by("key").agg(pl.col("outages").unique().sort())
    found = units.select("key").join(of_unit, on="key", how="left", maintain_order="left")
    return found.select(pl.col("outages").fill_null(pl.lit([], pl.List(pl.String)))).to_series()


def _narrow(units: pl.DataFrame) -> pl.DataFrame:
    """The same with counts as numbers of 32 bits where they fit; there may be very many units."""
    most = units.select(pl.col(COUNTS).abs().max()).row(0, named=True)
    return units.cast({name: pl.Int32 for name, size in most.items() if size is None or size < 2**31})


def _summed(calls: pl.DataFrame) -> pl.DataFrame:
    """The calls by their unit, in order of its first call."""
    parts = [
        calls.filter(~pl.col("single"))
        .group_by("key")
        .agg(
            pl.min("arm"),
            pl.first("row"),
            pl.max("arm").alias("last_arm"),
            pl.len().alias("calls"),
            pl.sum("cost_usd"),
            pl.col("cost_usd").null_count().alias("unknown"),
            pl.sum("input_tokens", "output_tokens"),
            pl.sum("reasoning_tokens").alias("reasoning"),
            pl.col("success", "score").last(ignore_nulls=True),
            pl.any("malformed", "seen"),
        )
    ]
    alone = calls if calls["single"].all() else calls.filter("single")
    if alone.height:
        # Calls without a run are most of the units, and need no grouping.
        one = alone.select(
            *("key", "arm", "row"),
            pl.col("arm").alias("last_arm"),
            pl.lit(1, pl.get_index_type()).alias("calls"),
            pl.col("cost_usd").fill_null(NOTHING),
            pl.col("cost_usd").is_null().cast(pl.get_index_type()).alias("unknown"),
            pl.col("input_tokens", "output_tokens").fill_null(0),
            pl.col("reasoning_tokens").fill_null(0).alias("reasoning"),
            *("success", "score"),
            pl.col("malformed", "seen").fill_null(value=False),
        )
        if alone is calls and one["row"].is_sorted():
            return one
        parts.append(one)
    return pl.concat(parts).sort("row")
