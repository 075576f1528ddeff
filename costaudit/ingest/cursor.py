"""Usage exports of Cursor's dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from costaudit.ingest._cursor_names import served
from costaudit.ingest._format import Field, TableFormat, custom, moment, text, usd
from costaudit.ingest._values import count

WITH, WITHOUT = "Input (w/ Cache Write)", "Input (w/o Cache Write)"


def _tokens(value: Any) -> int | None:
    """A count as the export writes it: with thousands separators, or not at all."""
    return count(value.replace(",", "") if isinstance(value, str) else value)


def _named(what: str) -> Field:
    """What the name of a row's model says."""
    return custom(lambda name: getattr(served(name), what) if isinstance(name, str) else None, pl.String(), "Model")


class Cursor(TableFormat):
    """The usage table that Cursor's dashboard exports as CSV.

    ## Where
    Dashboard, *Usage*, *Export CSV*. The application itself keeps no token counts on disk.
    ## What it knows
    Tokens of each request with cache reads and writes, the model, and what Cursor charged. Names of models say how hard
    and how fast too (`claude-4.6-opus-high-thinking`, `gpt-5.4-high-fast`): they are taken apart.
    ## Traps
    The two input columns overlap in some exports and not in others: the total decides. A cost of `Included` is a
    subscription, not a price; what errored or was aborted is not charged. Columns come and go between versions and are
    found by name.
    ## Limits
    No prompts, runs or tasks. Rows with a date and no time cannot be told from copies: do not give two exports of one
    day.
    """

    name = "cursor"
    title = "Cursor usage exports"
    context = False
    fields = {
        "started_at": moment("Date"),
        "model": _named("model"),
        "model_requested": text("Model"),
        "provider": _named("provider"),
        "reasoning_effort": _named("effort"),
        "service_tier": _named("tier"),
        "user": text("User", "User Email"),
        "parent_id": text("Cloud Agent ID"),
        "cost_logged_usd": usd("Cost"),
        "cache_read_tokens": custom(_tokens, pl.Int64(), "Cache Read"),
        "output_tokens": custom(_tokens, pl.Int64(), "Output Tokens"),
        "_with": custom(_tokens, pl.Int64(), WITH),
        "_without": custom(_tokens, pl.Int64(), WITHOUT),
        "_total": custom(_tokens, pl.Int64(), "Total Tokens"),
        "_date": text("Date"),
        "_kind": text("Kind"),
    }

    def recognises(self, record: Mapping[str, Any]) -> int:
        return 95 if "Date" in record and "Model" in record and (WITH in record or WITHOUT in record) else 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        inner, outer = pl.col("_without").fill_null(0), pl.col("_with").fill_null(0)
        read, output = pl.col("cache_read_tokens").fill_null(0), pl.col("output_tokens").fill_null(0)
        apart = pl.col("_total") == inner + outer + read + output
        within = pl.col("_total") == outer + read + output
        known = pl.any_horizontal(pl.col("_with", "_without", "cache_read_tokens").is_not_null())
        timed = pl.col("_date").str.contains(r"\d\d:\d\d")
        values = pl.concat_str(
            "_date", "model_requested", "user", "_with", "_without", "_total", separator=" ", ignore_nulls=True
        )
        kind = pl.col("_kind").str.to_lowercase()
        return picked.with_columns(
            status=pl.when(kind.str.starts_with("errored"))
            .then(pl.lit("error"))
            .when(kind.str.starts_with("aborted"))
            .then(pl.lit("cancelled")),
            input_tokens=pl.when(~known)
            .then(None)
            .when(apart)
            .then(inner + outer + read)
            .otherwise(pl.max_horizontal(inner, outer) + read),
            cache_write_tokens=pl.when(apart).then(outer).otherwise((outer - inner).clip(0)),
            convention=pl.when(apart | within | (outer == 0)).then(None).otherwise(pl.lit("assumed")),
            # An export has no ids; a moment, a user, a model and all counts together are one request.
            _key=pl.when(timed).then(pl.lit("cursor ") + values),
        ).drop("_with", "_without", "_total", "_date", "_kind")
