"""What the tools that a call asked for were given and gave back.

An answer asks for tools, the next request of the run brings their results; the two meet by the id of the tool call.
Loops and polling are told apart by the result, so the result belongs on the row of the call that asked.
"""

from __future__ import annotations

import polars as pl
import xxhash

from costaudit.attribute._order import spread

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
    found = spread(_by_row(answered), requests.height)
    return requests.select(pl.coalesce(name, found[name]).alias(name) for name in COLUMNS)


def _asked(requests: pl.DataFrame, order: pl.Series) -> pl.DataFrame:
    """One row a tool call: row, order, key, name, args_sha, several [in one answer]."""
    return _exploded(requests, order, "tool_calls", several=pl.col("tool_calls").list.len() > 1)


def _sent(requests: pl.DataFrame, order: pl.Series) -> pl.DataFrame:
    """One row a tool result: order, key, sha, error."""
    return _exploded(requests, order, "tool_results").drop("row").drop_nulls("key")


def _exploded(requests: pl.DataFrame, order: pl.Series, lists: str, **more: pl.Expr) -> pl.DataFrame:
    """One row an element of the lists, with the row of its call, the call's place in the order, and a key: its id
    within its run, as a hash."""
    # Ids such as `call_1` are unique within a conversation only; without a run the file stands for it.
    run, file = pl.col("run_id").hash(seed=0), pl.col("source_file").hash(seed=1)
    return (
        requests.select("run_id", "source_file", lists, order)
        .with_row_index("row")
        .filter(pl.col(lists).list.len() > 0)
        .select("row", "order", lists, run=pl.when(pl.col("run_id").is_null()).then(file).otherwise(run), **more)
        .explode(lists, empty_as_null=False, keep_nulls=False)
        .unnest(lists)
        .with_columns(key=(pl.col("run") * MIX_A) ^ pl.col("id"))
        .drop("run", "id")
    )


def _answered(asked: pl.DataFrame, sent: pl.DataFrame) -> pl.DataFrame:
    """The tool calls with the result that the next request with their id brings: sha and error, or null."""
    found = asked.join(sent, on="key", how="left")
    if found.height == asked.height:  # no id came twice
        after = pl.col("order_right") > pl.col("order")
        return found.with_columns(pl.when(after).then(name).alias(name) for name in ("sha", "error"))
    brought = sent.group_by("key").agg(pl.len().alias("times"), pl.col("order", "sha", "error").first())
    later = (pl.col("order_right") > pl.col("order")) & (pl.col("times") == 1)
    found = asked.join(brought, on="key", how="left")
    often = found.filter(pl.col("times") > 1).select(asked.columns)
    answered = found.with_columns(pl.when(later).then(name).alias(name) for name in ("sha", "error"))
    if often.is_empty():
        return answered
    again = often.sort("order").join_asof(
        sent.join(brought.filter(pl.col("times") > 1), on="key", how="semi").sort("order"),
        on="order",
        by="key",
        strategy="forward",
        allow_exact_matches=False,
        check_sortedness=False,  # sorted in the lines above; polars cannot verify it within groups
    )
    single = answered.filter((pl.col("times") == 1).fill_null(value=True))
    return pl.concat([single.select(again.columns), again])


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
