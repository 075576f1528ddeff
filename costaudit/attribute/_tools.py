"""What the tools that a call asked for were given and gave back.

An answer asks for tools, the next request of the run brings their results; the two meet by the id of the tool call.
Loops and polling are told apart by the result, so the result belongs on the row of the call that asked.
"""

from __future__ import annotations

import polars as pl
import xxhash

COLUMNS = ("tool_name", "tool_args_sha", "tool_result_sha", "tool_error")

# Odd 64-bit constants of the finaliser of MurmurHash3 (public domain): multiplication by them loses nothing.
MIX_A = 0xFF51AFD7ED558CCD
MIX_B = 0xC4CEB9FE1A85EC53


def tool_columns(requests: pl.DataFrame, order: pl.Series) -> pl.DataFrame:
    """The tool columns, aligned with the rows of `requests`; what the format has set stays.

    Several tools in one answer: names sorted and joined with `+`; hashes combined so that the order of the tools
    does not matter and arguments stay bound to their tool. A result is known only when all of them are.
    """
    asked = _asked(requests, order)
    if asked.is_empty():
        return requests.select(COLUMNS)
    answered = _answered(asked, _sent(requests, order))
    return (
        requests.select(COLUMNS)
        .with_row_index("row")
        .join(_by_row(answered), on="row", how="left", maintain_order="left", suffix="_found")
        .select(pl.coalesce(name, f"{name}_found").alias(name) for name in COLUMNS)
    )


def _asked(requests: pl.DataFrame, order: pl.Series) -> pl.DataFrame:
    """One row a tool call: row, order, run, id, name, args_sha, several [in one answer]."""
    return (
        _of_run(requests, order)
        .with_columns(requests["tool_calls"], several=requests["tool_calls"].list.len() > 1)
        .explode("tool_calls", empty_as_null=False, keep_nulls=False)
        .unnest("tool_calls")
    )


def _sent(requests: pl.DataFrame, order: pl.Series) -> pl.DataFrame:
    """One row a tool result: order, run, id, sha, error."""
    return (
        _of_run(requests, order)
        .drop("row")
        .with_columns(requests["tool_results"])
        .explode("tool_results", empty_as_null=False, keep_nulls=False)
        .unnest("tool_results")
        .drop_nulls("id")
    )


def _of_run(requests: pl.DataFrame, order: pl.Series) -> pl.DataFrame:
    # Ids such as `call_1` are unique within a conversation only; without a run the file stands for it.
    return requests.select(
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"),
        order,
        run=pl.coalesce(pl.lit("run\n") + pl.col("run_id"), pl.lit("file\n") + pl.col("source_file")),
    )


def _answered(asked: pl.DataFrame, sent: pl.DataFrame) -> pl.DataFrame:
    """The tool calls with the result that the next request with their id brings: sha and error, or null."""
    return asked.sort("order").join_asof(
        sent.sort("order"),
        on="order",
        by=["run", "id"],
        strategy="forward",
        allow_exact_matches=False,
        check_sortedness=False,  # sorted in the two lines above; polars cannot verify it within groups
    )


def _by_row(answered: pl.DataFrame) -> pl.DataFrame:
    """row and the tool columns, one row an answer."""
    alone = answered.filter(~pl.col("several")).select(
        "row", tool_name="name", tool_args_sha="args_sha", tool_result_sha="sha", tool_error="error"
    )
    return pl.concat([alone, _combined(answered.filter("several")).select(alone.columns)])


def _combined(answered: pl.DataFrame) -> pl.DataFrame:
    """The same for answers with several tools."""
    names = answered["name"].unique().sort()
    hashes = pl.DataFrame(
        {"name": names, "name_sha": [xxhash.xxh3_64_intdigest((name or "").encode()) for name in names]},
        schema={"name": pl.String, "name_sha": pl.UInt64},
    )
    call = (pl.col("args_sha").fill_null(0) * MIX_A) ^ pl.col("name_sha")
    result = ((pl.col("sha") * MIX_A) ^ pl.col("call")) * MIX_B
    error = pl.col("error")
    return (
        answered.join(hashes, on="name", how="left", nulls_equal=True)
        .with_columns(call=call)
        .group_by("row")
        .agg(
            tool_name=pl.col("name").sort().str.join("+"),
            tool_args_sha=(pl.col("call") * MIX_B).sum(),
            tool_result_sha=pl.when(pl.col("sha").is_not_null().all()).then(result.sum()),
            # One error is an error; no error is known only when all results are.
            tool_error=pl.when(error.any() | error.is_not_null().all()).then(error.any()),
        )
    )
