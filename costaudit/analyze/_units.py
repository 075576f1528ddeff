"""Units of work: one run of one task (else one call), with its cost, its outcome and what was known before it began."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

NONE = "(none)"
BAD_FINISH = ("length", "refusal", "content_filter")


class Arm(NamedTuple):
    """A model as the log names it: who served it, and its name."""

    provider: str
    model: str


def spend_rows(calls: pl.DataFrame) -> pl.DataFrame:
    """The calls that can carry spend: no roll-ups, no answers of a gateway's own cache; in order of `row`."""
    unpaid = pl.col("rollup").fill_null(value=False) | pl.col("gateway_cache_hit").fill_null(value=False)
    return calls.filter(~unpaid).sort("row")


def with_unit(calls: pl.DataFrame) -> pl.DataFrame:
    """Add `unit`: the number of the unit of work a call belongs to, which is the `row` of its first call.

    A unit is a run within a task; a call without a run is a unit of its own.
    """
    first = pl.when(pl.col("run_id").is_null()).then("row").otherwise(pl.col("row").min().over("task", "run_id"))
    return calls.with_columns(unit=first)


def units(calls: pl.DataFrame) -> pl.DataFrame:
    """One row a unit whose task is known, in order of its first call.

    in    schema.CALLS
    out   unit; task, task_source, tenant, key_id, started_at;
          provider, model (null: several models answered);
          calls, cost_usd [USD; null: part of it is not priced], input_tokens, output_tokens, reasoning;
          case (what pairs units: the declared case, else the hash of the opening request), request_id of the opening;
          success, score, well_formed: outcome;
          outages: provider/model that failed in it by a limit or an outage;
          opening_tokens, history [messages], tools, step, hour, template_sha: known before the model answered
    """
    rows = with_unit(spend_rows(calls).filter(pl.col("task").is_not_null()))
    answered = pl.col("status").fill_null("ok") == "ok"
    outage = ~answered & ((pl.col("http_status") == 429) | (pl.col("http_status") >= 500)).fill_null(value=False)
    arm = pl.struct(pl.col("provider").fill_null(""), pl.col("model").fill_null(""))
    one = arm.filter(answered).n_unique() == 1
    malformed = ~pl.col("schema_ok") | pl.col("tool_error") | pl.col("finish_reason").is_in(BAD_FINISH)
    case = pl.when(pl.col("instance_id").is_not_null()).then(pl.col("instance_id").hash())
    return (
        rows.group_by("unit", maintain_order=True)
        .agg(
            pl.first("task", "task_source", "tenant", "key_id", "started_at", "request_id", "step", "template_sha"),
            pl.when(one).then(pl.col("provider").fill_null("").filter(answered).first()).alias("provider"),
            pl.when(one).then(pl.col("model").fill_null("").filter(answered).first()).alias("model"),
            pl.len().alias("calls"),
            pl.when(pl.col("cost_usd").null_count() == 0).then(pl.sum("cost_usd")).alias("cost_usd"),
            pl.sum("input_tokens", "output_tokens"),
            pl.sum("reasoning_tokens").alias("reasoning"),
            pl.coalesce(case.first(), pl.first("request_sha")).alias("case"),
            pl.col("success").drop_nulls().last(),
            pl.col("score").drop_nulls().last(),
            malformed.any().not_().alias("well_formed"),
            pl.any_horizontal(pl.col("schema_ok", "tool_error", "finish_reason").is_not_null()).any().alias("seen"),
            pl.format("{}/{}", pl.col("provider").fill_null(""), pl.col("model").fill_null(""))
            .filter(outage)
            .unique()
            .sort()
            .alias("outages"),
            pl.first("input_tokens").alias("opening_tokens"),
            pl.first("block_sha").list.len().cast(pl.Int64).alias("history"),
            pl.first("tools_declared").list.len().cast(pl.Int64).alias("tools"),
            pl.first("started_at").dt.hour().cast(pl.Int64).alias("hour"),
        )
        .with_columns(well_formed=pl.when("seen").then("well_formed"))
        .drop("seen")
    )
