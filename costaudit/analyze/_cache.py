"""What prompt caching would have done on the user's own times: which prefixes were there, under which policy
(METHODS 8.5).

A block hash stands for everything up to its block, so equal hashes are equal prefixes. A prefix is in the cache if it
was written and every pause since was shorter than the lifetime: use renews it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

LIVES: dict[str, int] = {"5m": 300, "30m": 1_800, "1h": 3_600, "12h": 43_200}  # s
WRITES = {life: f"cache_write_{life}_tokens" for life in LIVES}
MINIMUM = 1_024  # tokens; the shortest prefix most providers cache, where the book does not say
TURN = 2  # blocks seen before that make a request a later turn: more than a shared system prompt

NOTHING, SEEN, TURNS, ALL = (
    "cache nothing",
    "write what was sent before",
    "write from the second turn",
    "write everything",
)
POLICIES = (SEEN, TURNS, ALL)  # beside writing nothing; in order of caution

# Odd 64-bit constants (the finaliser of MurmurHash3, public domain): multiplying by them loses nothing.
_MIX_A, _MIX_B = 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53


@dataclass(frozen=True, slots=True)
class Policy:
    """What to write, and for how long; the lifetime is empty where nothing is written or the provider chooses."""

    write: str
    life: str = ""

    @property
    def words(self) -> str:
        return f"{self.write} for {self.life}" if self.life else self.write


def occurrences(calls: pl.DataFrame) -> pl.DataFrame:
    """Every prefix of every call, in order of prefix and time: row, cum [tokens up to its end], gap_s since it was last
    sent (null: never), nth [times sent before], later_turn [of the call].

    calls   row, scope, started_at, block_sha, block_tokens, unstable, template_sha, run_id
    Prefixes of unstable calls stand for what would be equal with the changing part moved to the end: the template, and
    the earlier turns of the run.
    """
    known = (
        calls.filter((pl.col("block_sha").list.len() > 0) & pl.col("started_at").is_not_null())
        .filter(pl.col("block_sha").list.len() == pl.col("block_tokens").list.len())
        .select(
            "row",
            "unstable",
            scope=pl.col("scope").cast(pl.Categorical).to_physical(),
            at=pl.col("started_at").dt.epoch("us"),
            run=pl.coalesce(
                pl.col("run_id").cast(pl.Categorical).to_physical().cast(pl.UInt64), ~pl.col("row").cast(pl.UInt64)
            ),
            template=pl.col("template_sha").fill_null(0),
            sha="block_sha",
            cum=pl.col("block_tokens").list.eval(pl.element().fill_null(0).cum_sum()),
            depth=pl.int_ranges(0, pl.col("block_sha").list.len(), dtype=pl.UInt64),
        )
    )
    first = pl.col("depth") == 0
    stable = pl.col("template") ^ pl.when(first).then(0).otherwise(
        (pl.col("run") + 1) * _MIX_A + pl.col("depth") * _MIX_B
    )
    new = (pl.col("sha") != pl.col("sha").shift()) | (pl.col("scope") != pl.col("scope").shift())
    place = pl.int_range(pl.len(), dtype=pl.Int64)
    listed = (
        known.explode("sha", "cum", "depth")
        .with_columns(sha=pl.when("unstable").then(stable).otherwise("sha"))
        .select("row", "scope", "at", "sha", "cum")
        .sort("scope", "sha", "row")
        .with_columns(new=new.fill_null(value=True))
        .with_columns(
            nth=place - pl.when("new").then(place).forward_fill(),
            gap_s=pl.when(~pl.col("new")).then(pl.col("at").diff() / 1e6),
        )
    )
    turns = listed.filter(pl.col("nth") > 0).group_by("row").len().filter(pl.col("len") >= TURN)["row"]
    return listed.select("row", "cum", "gap_s", "nth", later_turn=pl.col("row").is_in(turns.implode()))


def simulate(found: pl.DataFrame, policy: Policy, life_s: float) -> pl.DataFrame:
    """What each call would have read from the cache and written to it: row, read, write [tokens]; calls that do neither
    are left out.

    found  as `occurrences` gives it
    """
    hit, written = _states(policy)
    return (
        found.with_columns(in_time=(pl.col("gap_s") <= life_s).fill_null(value=False))
        .with_columns(hit=hit)
        .with_columns(written=written)
        .filter(pl.col("hit") | pl.col("written"))
        .group_by("row")
        .agg(
            read=pl.when("hit").then("cum").otherwise(0).max(),
            end=pl.col("cum").max(),
        )
        .select("row", "read", write=pl.col("end") - pl.col("read"))
    )


def _states(policy: Policy) -> tuple[pl.Expr, pl.Expr]:
    """Whether a prefix is in the cache when it is sent, and whether it is written then."""
    if policy.write == ALL:
        return pl.col("in_time"), ~pl.col("hit")
    if policy.write == SEEN:
        # The first time it is only seen, the second time it is written.
        return pl.col("in_time") & (pl.col("nth") >= 2), ~pl.col("hit") & (pl.col("nth") >= 1)
    # In the cache from the first later turn on, as long as no pause is too long.
    count = pl.col("later_turn").cast(pl.Int64).cum_sum()
    before = count - pl.col("later_turn").cast(pl.Int64)
    at_start = pl.when(~pl.col("in_time")).then(before).forward_fill()
    return pl.col("in_time") & (before > at_start), ~pl.col("hit") & pl.col("later_turn")


def bounded(simulated: pl.DataFrame, calls: pl.DataFrame) -> pl.DataFrame:
    """The simulated reads and writes within what a call sent, and from the provider's shortest prefix up.

    calls  row, input_tokens, minimum
    """
    end = pl.min_horizontal(pl.col("read") + pl.col("write"), "input_tokens")
    read = pl.min_horizontal("read", "input_tokens")
    return (
        calls.select("row", "input_tokens", "minimum")
        .join(simulated, on="row", how="left", maintain_order="left")
        .with_columns(pl.col("read", "write").fill_null(0))
        .with_columns(read=pl.when(read >= pl.col("minimum")).then(read).otherwise(0), end=end)
        .with_columns(
            write=pl.when(pl.col("end") >= pl.col("minimum")).then(pl.col("end") - pl.col("read")).otherwise(0)
        )
        .select("row", "read", "write")
    )


def choices(lives: Sequence[str]) -> Iterator[Policy]:
    """Every policy for the lifetimes a provider sells, the most cautious first."""
    for write in POLICIES:
        for life in lives:
            yield Policy(write, life)
