"""Which call continues which: the links from which runs are rebuilt.

Every function takes `calls`, ordered and numbered from 0 in the column `call`, and gives for each call the number of
the earlier call that it continues, or null.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import polars as pl

LIFE = timedelta(hours=24)  # longest pause between two calls of one run
PAUSE = timedelta(minutes=10)  # longest pause before a retry, and the longest that a guess bridges (step 4)
SHARED = 2  # messages that must agree: a system prompt alone is shared by strangers (step 2)
TAIL = 8  # messages; a call adds an answer and a few results, so its predecessor ends near its own end
BATCH = 4_000_000  # links looked up at a time, about 100 MB
ANSWER, UNANSWERED, DOUBTED = 0, 1, 2
"""Where a call ends, surest first: after its answer; after its messages, where no answer is stored; after its messages
though an answer is stored, so that a continuation without that answer may belong to another call."""

FAITHFUL = 0.5  # share of answers found again from which a missing one speaks against a link
ODD = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: spreads the numbers of scopes over 64 bits


def parents(calls: pl.DataFrame) -> pl.Series:
    """As the call says itself; else by its messages; else by tool-call ids; else as a retry of a failed call.

    in   call, scope, format, request_id, parent_id, source_file, started_at, status, block_sha, reply_sha,
         called, sent [ids of tool calls in the answer, of tool results in the request]
    out  parent [call], always smaller than the call itself: the links form a forest
    """
    ways = {_by_parent_id: "parent_id", _by_messages: "block_sha", _by_tool_id: "sent", _by_retry: "block_sha"}
    told = [way(calls) for way, rests_on in ways.items() if calls[rests_on].null_count() < calls.height]
    if not told:
        return pl.repeat(None, calls.height, dtype=calls["call"].dtype, eager=True).alias("parent")
    return pl.select(pl.coalesce(*told).alias("parent")).to_series()


def _by_parent_id(calls: pl.DataFrame) -> pl.Series:
    """The response that the request names as the one it continues: only the new messages are sent then."""
    naming = calls.select("call", "parent_id").drop_nulls("parent_id")
    named = calls.select("request_id", parent="call").join(
        naming, left_on="request_id", right_on="parent_id", how="semi"
    )
    named = named.filter(pl.col("request_id").is_unique())
    found = naming.join(named, left_on="parent_id", right_on="request_id")
    return _of_calls(calls, found.filter(pl.col("parent") < pl.col("call")))


def _by_messages(calls: pl.DataFrame) -> pl.Series:
    """The latest earlier call whose messages, and answer where stored, begin this call's: longest match."""
    found = _matches(calls)
    found = found.with_columns(calls["format"].gather(found["call"]).alias("format"))
    # A format whose next call repeats answers otherwise (trimmed, rewritten) cannot raise a doubt.
    faithful = (
        found.filter(pl.col("kind") != UNANSWERED)
        .group_by("format")
        .agg(faithful=(pl.col("kind") == ANSWER).sum() >= FAITHFUL * pl.col("call").n_unique())
    )
    return _of_calls(
        calls,
        found.join(faithful, on="format", how="left", nulls_equal=True)
        .filter((pl.col("kind") != DOUBTED) | ~pl.col("faithful"))
        .sort("call", "length", "kind", descending=[False, True, False])
        .unique("call", keep="first", maintain_order=True),
    )


def _matches(calls: pl.DataFrame) -> pl.DataFrame:
    """call, parent, kind, length [messages that agree]: per call the longest sure match and the longest doubted one."""
    ends = _ends(calls)
    keys = ends.group_by("key", "kind").agg(first=pl.col("call").min(), many=pl.len() > 1)
    chain = calls.select("call", "scope", "block_sha", total=pl.col("block_sha").list.len().cast(pl.Int64))
    unsure = chain.filter(pl.col("total") >= SHARED)
    found = []
    for back in range(1, TAIL + 1):
        unsure = unsure.filter(pl.col("total") - back + 1 >= SHARED)
        links = unsure.select(
            *("call", "total"),
            key=_key(pl.col("block_sha").list.get(-back)),
            length=pl.col("total") - back + 1,
        )
        found.append(_hits(links, keys))
        if links.is_empty():
            break
        unsure = unsure.join(found[-1].filter(pl.col("kind") != DOUBTED), on="call", how="anti")
    unsure = unsure.filter(pl.col("total") > TAIL)
    found += [_hits(links, keys) for links in _heads(unsure)]
    longest = (
        pl.concat(found)
        .sort("call", "length", "kind", descending=[False, True, False])
        .unique(["call", pl.col("kind") == DOUBTED], keep="first", maintain_order=True)
    )
    matches = _latest(longest, ends)
    return matches.filter(_near(calls, matches, LIFE))


def _ends(calls: pl.DataFrame) -> pl.DataFrame:
    """call, key, kind: the hash at which a continuation of the call has to begin."""
    messages = _key(pl.col("block_sha").list.last())
    kind = pl.when(pl.col("reply_sha").is_null()).then(pl.lit(UNANSWERED)).otherwise(pl.lit(DOUBTED))
    return pl.concat(
        [
            calls.select("call", key=_key(pl.col("reply_sha")), kind=pl.lit(ANSWER)),
            calls.select("call", key=messages, kind=kind),
        ]
    ).drop_nulls("key")


def _heads(chain: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """call, total, key, length of all that stands before the tail, in batches of bounded size."""
    batches = chain.with_columns(batch=pl.col("total").cum_sum() // BATCH)
    for batch in batches.partition_by("batch", maintain_order=True):
        head = batch.with_columns(pl.col("block_sha").list.head(pl.col("total") - TAIL))
        links = head.with_columns(length=pl.int_ranges(1, pl.col("total") - TAIL + 1))
        links = links.explode("block_sha", "length", empty_as_null=False).filter(pl.col("length") >= SHARED)
        yield links.select("call", "total", key=_key(pl.col("block_sha")), length=pl.col("length"))


def _hits(links: pl.DataFrame, keys: pl.DataFrame) -> pl.DataFrame:
    """call, key, kind, length, first, many: the links at which an earlier call ends."""
    return (
        links.join(keys, on="key")
        .filter(pl.col("first") < pl.col("call"))
        # A request that sends no more than an earlier one repeats it; it does not continue it.
        .filter((pl.col("kind") == ANSWER) | (pl.col("length") < pl.col("total")))
        .drop("total")
    )


def _latest(hits: pl.DataFrame, ends: pl.DataFrame) -> pl.DataFrame:
    """call, parent, kind, length: of the calls that end at each hit the last one before it."""
    single = hits.filter(~pl.col("many")).select("call", "kind", "length", parent="first")
    several = hits.filter("many").sort("call")
    before = several.join_asof(
        ends.join(several, on=["key", "kind"], how="semi").rename({"call": "parent"}).sort("parent"),
        left_on="call",
        right_on="parent",
        by=["key", "kind"],
        allow_exact_matches=False,
        check_sortedness=False,  # sorted in the lines above; polars cannot verify it within groups
    )
    return pl.concat([single, before.select(single.columns)])


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
