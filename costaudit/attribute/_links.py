"""Which call continues which: the links from which runs are rebuilt (METHODS 5.2, steps 1-3).

Every function takes `calls`, ordered and numbered from 0 in the column `call`, and gives for each call the number of
the earlier call that it continues, or null.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

LIFE = timedelta(hours=24)  # longest pause between two calls of one run (METHODS 5.2, step 2)
PAUSE = timedelta(minutes=10)  # longest pause before a retry, and the longest that a guess bridges (step 4)
SHARED = 2  # messages that must agree: a system prompt alone is shared by strangers (step 2)
TAIL = 8  # messages; a call adds an answer and a few results, so its predecessor ends near its own end
BATCH = 4_000_000  # links looked up at a time, about 100 MB
FAITHFUL = 0.5  # share of answers found again from which a missing one speaks against a link
ODD = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: spreads the numbers of scopes over 64 bits


def parents(calls: pl.DataFrame) -> pl.Series:
    """By messages; else by tool-call ids; else as a retry of a failed call.

    in   call, scope, format, source_file, started_at, ended_at, status, block_sha, reply_sha, called, sent
    out  parent [call], always smaller than the call itself: the links form a forest
    """
    ways = (_by_messages(calls), _by_tool_id(calls), _by_retry(calls))
    return pl.select(pl.coalesce(*ways).alias("parent")).to_series()


def _by_messages(calls: pl.DataFrame) -> pl.Series:
    """The latest earlier call whose messages, and answer where stored, begin this call's: longest match."""
    found = _matches(calls)
    stored = calls["reply_sha"].is_not_null().gather(found["parent"])
    # Only the messages agree, though the parent's answer is stored: the answer was another.
    doubted = stored & found["messages_only"]
    found = found.with_columns(doubted.alias("doubted"), calls["format"].gather(found["call"]).alias("format"))
    # A format whose next call repeats answers otherwise (trimmed, rewritten) cannot raise that doubt.
    echoes = found.group_by("call", "format").agg(pl.col("doubted").any(), echoed=~pl.col("messages_only").all())
    faithful = echoes.group_by("format").agg(
        faithful=pl.col("echoed").sum() >= FAITHFUL * (pl.col("echoed") | pl.col("doubted")).sum()
    )
    return _of_calls(
        calls,
        found.join(faithful, on="format", how="left", nulls_equal=True)
        .filter(~(pl.col("doubted") & pl.col("faithful")))
        .sort("call", "length", "messages_only")
        .unique("call", keep="last", maintain_order=True),
    )


def _matches(calls: pl.DataFrame) -> pl.DataFrame:
    """call, parent, length, messages_only: per call the longest match of each kind.

    length         messages that agree
    messages_only  they are all that the parent sent; else they end with its answer
    """
    ends = pl.concat(
        [
            calls.select("call", key=_key(pl.col("block_sha").list.last()), messages_only=pl.lit(value=True)),
            calls.select("call", key=_key(pl.col("reply_sha")), messages_only=pl.lit(value=False)),
        ]
    ).drop_nulls("key")
    chain = calls.select("call", "scope", "block_sha", total=pl.col("block_sha").list.len()).filter(
        pl.col("total") >= SHARED
    )
    rest = pl.max_horizontal(pl.col("total").cast(pl.Int64) - TAIL, 0)
    near = _longest(chain.with_columns(pl.col("block_sha").list.tail(TAIL), skipped=rest), ends)
    far = chain.filter(pl.col("total") > TAIL).join(near, on="call", how="anti")
    longest = [near, _longest(far.with_columns(pl.col("block_sha").list.head(rest), skipped=0), ends)]
    found = (
        pl.concat(longest)
        .sort("call")
        .join_asof(
            ends.rename({"call": "parent"}).sort("parent"),
            left_on="call",
            right_on="parent",
            by=["key", "messages_only"],
            allow_exact_matches=False,
            check_sortedness=False,  # sorted in the two lines above; polars cannot verify it within groups
        )
        .drop_nulls("parent")
    )
    return found.drop("key").filter(_near(calls, found, LIFE))


def _longest(chain: pl.DataFrame, ends: pl.DataFrame) -> pl.DataFrame:
    """call, key, length, messages_only: where in each chain, as far to the right as can be, an earlier call ends.

    in  call, scope, total, block_sha [part of the chain], skipped [messages before that part]
    """
    first = ends.group_by("key", "messages_only").agg(first=pl.col("call").min())
    found = [first.select("key", "messages_only", call="first", length=pl.lit(0, pl.Int64)).clear()]
    batches = chain.with_columns(batch=pl.col("block_sha").list.len().cum_sum() // BATCH)
    for batch in batches.partition_by("batch", maintain_order=True):
        links = batch.with_columns(at=pl.int_ranges(pl.col("block_sha").list.len())).explode(
            "block_sha", "at", empty_as_null=False
        )
        found.append(
            links.select(
                "call",
                "total",
                key=_key(pl.col("block_sha")),
                length=(pl.col("at") + pl.col("skipped") + 1).cast(pl.Int64),
            )
            .filter(pl.col("length") >= SHARED)
            .join(first, on="key")
            .filter(pl.col("first") < pl.col("call"))
            # A request that sends no more than an earlier one repeats it; it does not continue it.
            .filter(~pl.col("messages_only") | (pl.col("length") < pl.col("total")))
            .sort("call", "length")
            .unique(["call", "messages_only"], keep="last", maintain_order=True)
            .select("key", "messages_only", "call", "length")
        )
    return pl.concat(found)


def _by_tool_id(calls: pl.DataFrame) -> pl.Series:
    """The call whose answer asked for the tool results sent here, where that id was given out once only.

    Holds where the messages do not: trimmed or compacted histories, spans without messages.
    """
    asked = calls.select("scope", "called", parent="call").explode("called", empty_as_null=False).drop_nulls("called")
    asked = asked.filter(pl.struct("scope", "called").is_unique())
    sent = calls.select("call", "scope", "sent").explode("sent", empty_as_null=False).drop_nulls("sent")
    found = (
        sent.join(asked, left_on=["scope", "sent"], right_on=["scope", "called"])
        .filter(pl.col("parent") < pl.col("call"))
        .select("call", "parent")
    )
    found = found.filter(_near(calls, found, LIFE)).sort("call", "parent")
    return _of_calls(calls, found.unique("call", keep="last", maintain_order=True))


def _by_retry(calls: pl.DataFrame) -> pl.Series:
    """The failed call that sent the same messages shortly before."""
    same = calls.select("call", key=_key(pl.col("block_sha").list.last()))
    failed = calls["status"].is_in(["error", "cancelled"]).fill_null(value=False) & calls["reply_sha"].is_null()
    found = (
        same.drop_nulls("key")
        .join_asof(
            same.filter(failed).drop_nulls("key").rename({"call": "parent"}),
            left_on="call",
            right_on="parent",
            by="key",
            allow_exact_matches=False,
            check_sortedness=False,  # numbered in order
        )
        .drop_nulls("parent")
    )
    return _of_calls(calls, found.filter(_near(calls, found, PAUSE)))


def _key(sha: pl.Expr) -> pl.Expr:
    """A hash bound to the scope of its call: equal messages under two keys are no link."""
    return sha ^ (pl.col("scope") * pl.lit(ODD, pl.UInt64))


def _near(calls: pl.DataFrame, links: pl.DataFrame, limit: timedelta) -> pl.Series:
    """Whether call and parent are not too far apart; without times: whether they stand in one file."""
    started, file = calls["started_at"], calls["source_file"]
    gap = started.gather(links["call"]) - started.gather(links["parent"])
    together = file.gather(links["call"]).eq_missing(file.gather(links["parent"]))
    return pl.select(pl.coalesce(gap <= limit, together)).to_series()


def _of_calls(calls: pl.DataFrame, links: pl.DataFrame) -> pl.Series:
    return calls.select("call").join(links.select("call", "parent"), on="call", how="left", maintain_order="left")[
        "parent"
    ]
