"""Tasks that the log does not name: prompt families, and shapes where there are no prompts.

A discovered name never holds a word of a prompt: tool names and hash digits only, as in `book+search-3fa2`,
`family-91c0`, `shape-gpt-4o-2k`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import polars as pl

from costaudit.attribute._families import families
from costaudit.attribute._order import spread

DISCOVERED = ("family", "mixed", "shape")  # words of task_source for names that nobody gave
OTHER = "other"

SPREAD = 100  # calls from which a distribution can be called bimodal (step 6)
BIMODAL = 5 / 9  # Sarle's coefficient of a uniform distribution (step 6)
SHOWN_TOOLS = 2  # tool names in the name of a family
SHOWN, SHOWN_MODEL = 24, 64  # characters of a tool's and of a model's name

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


def name_tasks(requests: pl.DataFrame, order: pl.Series) -> pl.DataFrame:
    """The columns task and task_source, aligned with the rows of `requests`.

    A task of the log is kept (`field`). The others get the name of their prompt family (`family`, or `mixed` where
    its calls do not look like one thing) or, without a usable prompt, of their shape (`shape`). Rows that restate
    others stay as they are.
    """
    told = pl.when(pl.col("task").is_not_null()).then(pl.coalesce("task_source", pl.lit("field")))
    calls = _unnamed(requests, order)
    if calls.is_empty():
        return requests.select("task", task_source=told)
    grouped = families(calls)
    rest = calls.join(grouped, on="row", how="anti")
    found = pl.concat([_named_families(calls, grouped), _shapes(rest)])
    named = spread(found, requests.height)
    return requests.select("task", task_source=told).select(
        pl.coalesce("task", named["found"]).alias("task"),
        pl.coalesce("task_source", named["found_by"]).alias("task_source"),
    )


def _unnamed(requests: pl.DataFrame, order: pl.Series) -> pl.DataFrame:
    nameless = pl.col("task").is_null() & ~pl.col("rollup").fill_null(value=False)
    return (
        requests.lazy()
        .with_row_index("row")
        .with_columns(order)
        .filter(nameless)
        .select(
            *("row", "order"),
            pl.coalesce("template_sha", "system_sha").alias("print"),
            pl.col("line_sha").alias("lines"),
            pl.col("tools_declared").list.eval(pl.element().struct.field("name")).alias("tools"),
            pl.coalesce("model", "model_requested", pl.lit("unknown")).alias("model"),
            *("run_id", "tools_sha", "input_tokens", "output_tokens", "score"),
        )
        .collect()
    )


# --- families -----------------------------------------------------------------------------------------------------


def _named_families(calls: pl.DataFrame, grouped: pl.DataFrame) -> pl.DataFrame:
    """row, found, found_by of the calls in a family; those in none that is large enough are `other`."""
    members = calls.join(grouped, on="row")
    kinds = (
        members.drop_nulls("family")
        .group_by("family")
        .agg(pl.col("tools").get(pl.col("order").arg_min()), mixed=_is_mixed())
        .sort("family")
    )
    named = kinds.select(
        "family",
        found=_family_names(kinds["family"].to_list(), kinds["tools"].to_list()),
        found_by=pl.when("mixed").then(pl.lit("mixed")).otherwise(pl.lit("family")),
    )
    return (
        members.select("row", "family")
        .join(named, on="family", how="left")
        .select("row", pl.col("found").fill_null(OTHER), pl.col("found_by").fill_null("mixed"))
    )


def _is_mixed() -> pl.Expr:
    """Whether a family holds more than one thing: several tool sets, or two humps in length or score (step 6)."""
    # Sorted, so that sums of floats come out the same for any order of rows.
    length = pl.col("output_tokens").filter(pl.col("output_tokens") > 0).sort().log()
    score = pl.col("score").drop_nulls().sort()
    # A mark of right or wrong has two humps by nature.
    graded = score.n_unique() > 2
    return (pl.col("tools_sha").n_unique() > 1) | _is_bimodal(length) | (graded & _is_bimodal(score))


def _is_bimodal(values: pl.Expr) -> pl.Expr:
    """Sarle's coefficient (skew² + 1) / kurtosis above that of a uniform distribution; false for a constant."""
    sarle = (values.skew() ** 2 + 1) / values.kurtosis(fisher=False)
    return (values.len() >= SPREAD) & (sarle.fill_nan(0) > BIMODAL).fill_null(value=False)


def _family_names(shas: Sequence[int], tools: Sequence[Sequence[str] | None]) -> pl.Series:
    """`tool+tool-3fa2`: 4 hex digits of the hash, more only where two families would have the same name."""
    full = [f"{_words(names or ())}-{sha:016x}" for sha, names in zip(shas, tools, strict=True)]
    cuts = [[name[: len(name) - hidden] for name in full] for hidden in (12, 8, 0)]
    times = [Counter(cut) for cut in cuts]
    unique = [
        next(name for name, count in zip(names, times, strict=True) if count[name] == 1)
        for names in zip(*cuts, strict=True)
    ]
    return pl.Series(unique, dtype=pl.String)


def _words(tools: Sequence[str | None]) -> str:
    clean = sorted({_UNSAFE.sub("_", name)[:SHOWN] for name in tools if name})
    if not clean:
        return "family"
    rest = len(clean) - SHOWN_TOOLS
    return "+".join(clean[:SHOWN_TOOLS]) + (f"+{rest}" if rest > 0 else "")


# --- shapes -------------------------------------------------------------------------------------------------------


def _shapes(calls: pl.DataFrame) -> pl.DataFrame:
    """row, found, found_by: groups of model, tools and size of the input by powers of two (the last step of 5.1).

    The calls of a run have the shape of its first one: a conversation grows, and stays the same task.
    """
    shape = ["model", "tools_sha", "bucket"]
    # The half keeps exact powers of two from falling below themselves.
    bucket = (pl.col("input_tokens").clip(1) + 0.5).log(2).floor().cast(pl.Int64)
    own = calls.select("row", "order", "run_id", "model", "tools_sha", bucket=bucket).sort("order")
    of_run = pl.col(shape).first().over("run_id")
    sized = own.with_columns(pl.when(pl.col("run_id").is_null()).then(pl.col(shape)).otherwise(of_run))
    kinds = sized.select(shape).unique()
    names = pl.Series("found", [_shape_name(*kind) for kind in kinds.iter_rows()], dtype=pl.String)
    return sized.join(kinds.with_columns(names), on=shape, how="left", nulls_equal=True).select(
        "row", "found", found_by=pl.lit("shape")
    )


def _shape_name(model: str, tools: int | None, bucket: int | None) -> str:
    size = "any" if bucket is None else f"{2**bucket // 1024}k" if bucket >= 10 else str(2**bucket)
    digits = "" if tools is None else f"-{tools >> 48:04x}"
    return f"shape-{_UNSAFE.sub('_', model)[:SHOWN_MODEL]}-{size}{digits}"
