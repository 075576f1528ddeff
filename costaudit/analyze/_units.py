"""Units of work: one run of one task (else one call), with its cost, its outcome and what was known before it began."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from costaudit.analyze._analyzer import without

NONE = "(none)"
OPENING = (
    *("task", "task_source", "tenant", "key_id", "started_at", "request_id", "step", "template_sha", "request_sha"),
    *("instance_id", "blocks", "tools", "input_tokens", "first_block", "front"),
)
READS = (
    *("row", "rollup", "gateway_cache_hit", "run_id", "provider", "model", "status", "http_status", "schema_ok"),
    *("tool_error", "finish_reason", "cost_usd", "output_tokens", "reasoning_tokens", "success", "score"),
    *(name for name in OPENING if name not in ("blocks", "tools", "first_block", "front")),
)
LISTED = (
    pl.col("block_sha").list.first().alias("first_block"),
    pl.col("block_sha").list.len().alias("blocks"),
    pl.col("tools_declared").list.len().alias("tools"),
    pl.col("tool_calls").list.len().alias("asks"),
)
"""What is asked of the lists of a call; the lists themselves would be most of the memory."""
FRONT = pl.col("block_tokens").list.first().alias("front")
BAD_FINISH = ("length", "refusal", "content_filter")


class Arm(NamedTuple):
    """A model as the log names it: who served it, and its name."""

    provider: str
    model: str


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
    first = pl.when(pl.col("run_id").is_null()).then("row").otherwise(pl.col("row").min().over("task", "run_id"))
    return calls.with_columns(unit=first)


def units(calls: pl.DataFrame) -> pl.DataFrame:
    """One row a unit whose task is known, in order of its first call.

    in    READS, LISTED, and FRONT where the models' tokenizers may differ
    out   unit; task, task_source, tenant, key_id, started_at;
          provider, model (null: several models answered);
          calls, cost_usd [USD; null: part of it is not priced], input_tokens, output_tokens, reasoning;
          case (what pairs units: the declared case, else the hash of the opening request), request_id of the opening;
          success, score, well_formed: outcome;
          outages: provider/model that failed in it by a limit or an outage;
          opening_tokens, history [messages], tools, step, hour, template_sha, first_block and its tokens
          (`front`): known before the model answered
    """
    known = without(spend_rows(calls), pl.col("task").is_null())
    if "front" not in known.columns:
        known = known.with_columns(front=pl.lit(None, pl.Int64))
    answered = pl.col("status").fill_null("ok") == "ok"
    outage = ~answered & ((pl.col("http_status") == 429) | (pl.col("http_status") >= 500)).fill_null(value=False)
    malformed = ~pl.col("schema_ok") | pl.col("tool_error") | pl.col("finish_reason").is_in(BAD_FINISH)
    named = known.select(pl.col("provider", "model").fill_null(""))
    arms = named.unique().sort("provider", "model").with_row_index("arm")
    arm = named.join(arms, on=["provider", "model"], how="left", maintain_order="left")["arm"]
    # Everything a group needs is a column before the grouping: expressions inside it run once a unit, not once in all.
    rows = with_unit(known.select("row", "task", "run_id")).select(
        "unit",
        opens=pl.col("unit") == pl.col("row"),
        arm=pl.when(known.select(answered).to_series()).then(arm),
    )
    said = known.select(
        *("cost_usd", "input_tokens", "output_tokens", "reasoning_tokens", "success", "score"),
        outage=pl.when(outage).then(
            pl.format("{}/{}", pl.col("provider").fill_null(""), pl.col("model").fill_null(""))
        ),
        malformed=malformed,
        seen=pl.any_horizontal(pl.col("schema_ok", "tool_error", "finish_reason").is_not_null()),
    )
    rows = rows.hstack(said)
    failed = rows.select("unit", "outage").drop_nulls().group_by("unit").agg(outages=pl.col("outage").unique().sort())
    sums = rows.group_by("unit", maintain_order=True).agg(
        pl.min("arm"),
        pl.max("arm").alias("last_arm"),
        pl.len().alias("calls"),
        pl.sum("cost_usd"),
        pl.col("cost_usd").null_count().alias("unknown"),
        pl.sum("input_tokens", "output_tokens"),
        pl.sum("reasoning_tokens").alias("reasoning"),
        pl.col("success", "score").last(ignore_nulls=True),
        pl.any("malformed", "seen"),
    )
    opening = (
        known.select(OPENING)
        .filter(rows["opens"])
        .select(
            pl.exclude("instance_id", "blocks", "tools", "input_tokens"),
            opening_tokens="input_tokens",
            instance=pl.when(pl.col("instance_id").is_not_null()).then(pl.col("instance_id").hash()),
            history=pl.col("blocks").cast(pl.Int64),
            tools=pl.col("tools").cast(pl.Int64),
            hour=pl.col("started_at").dt.hour().cast(pl.Int64),
        )
    )
    grouped = sums.hstack(opening)
    none = pl.lit([], pl.List(pl.String))
    return (
        grouped.with_columns(
            arm=pl.when(pl.col("arm") == pl.col("last_arm")).then("arm"),
            cost_usd=pl.when(pl.col("unknown") == 0).then("cost_usd"),
            case=pl.coalesce("instance", "request_sha"),
            well_formed=pl.when("seen").then(~pl.col("malformed")),
        )
        .join(arms, on="arm", how="left", maintain_order="left")
        .join(failed, on="unit", how="left", maintain_order="left")
        .with_columns(pl.col("outages").fill_null(none))
        .drop("arm", "last_arm", "unknown", "instance", "request_sha", "malformed", "seen")
    )
