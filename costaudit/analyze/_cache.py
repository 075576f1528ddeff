"""What prompt caching would have done on the user's own times: which prefixes were there, under which policy
(METHODS 8.5).

A block hash stands for everything up to its block, so equal hashes are equal prefixes. A prefix is in the cache if it
was written and every pause since was shorter than the lifetime: use renews it. It can be read once the answer to the
call that wrote it has begun: calls sent together race for the first write, and each of them pays it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

Vector = Any  # a one-dimensional array of numpy, which is imported where it is used

LIVES: dict[str, int] = {"5m": 300, "30m": 1_800, "1h": 3_600, "12h": 43_200}  # s
WRITES = {life: f"cache_write_{life}_tokens" for life in LIVES}
MINIMUM = 1_024  # tokens; the shortest prefix most providers cache, where the book does not say
FIRST_TOKEN = 5.0  # s; an answer has begun by then, where the log does not say when
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


@dataclass(frozen=True, slots=True)
class Occurrences:
    """Every prefix of every call, the calls in order of `row`, each with its prefixes from the shortest on.

    rows    the calls that have prefixes
    starts  place of each call's first prefix
    cum     tokens up to the end of each prefix
    gap_s   since the prefix was last sent; not a number: never
    at_s    when it was sent, from the first call on
    wait_s  until the answer to its call began; 0 where nothing says so
    nth     times it was sent before
    later   of the call: whether it is a later turn
    sorted  places in order of prefix and time
    """

    rows: pl.Series
    starts: Vector
    cum: Vector
    gap_s: Vector
    at_s: Vector
    wait_s: Vector
    nth: Vector
    later: Vector
    sorted: Vector


def occurrences(calls: pl.DataFrame) -> Occurrences:
    """The prefixes of calls [row, scope, started_at, ended_at, ttft_s, block_sha, block_tokens, unstable, template_sha,
    run_id].

    Prefixes of unstable calls stand for what would be equal with the changing part moved to the end: the template, and
    the earlier turns of the run.
    """
    import numpy as np

    known = calls.filter(
        pl.col("started_at").is_not_null()
        & (pl.col("block_sha").list.len() > 0)
        & (pl.col("block_sha").list.len() == pl.col("block_tokens").list.len())
    ).sort("row")
    sizes = known["block_sha"].list.len().to_numpy().astype(np.int64)
    ends = np.cumsum(sizes)
    starts = ends - sizes
    call = np.repeat(np.arange(known.height, dtype=np.uint32), sizes)
    cum = np.cumsum(known["block_tokens"].explode(keep_nulls=False).fill_null(0).to_numpy())
    if len(cum):
        cum = cum - np.repeat(np.concatenate([[0], cum[ends[:-1] - 1]]), sizes)
    listed = _in_order(known, call, np.arange(len(call)) - starts[call])
    place, key = (listed[name].to_numpy() for name in ("place", "key"))
    new = np.ones(len(key), dtype=bool)
    new[1:] = key[1:] != key[:-1]
    sent = known["started_at"].dt.epoch("us").to_numpy()
    at = sent[call[place]]
    gap = np.full(len(key), np.nan)
    gap[1:] = np.where(new[1:], np.nan, (at[1:] - at[:-1]) / 1e6)
    nth = np.arange(len(key)) - np.maximum.accumulate(np.where(new, np.arange(len(key)), 0))
    gap_s, times = np.empty_like(gap), np.empty_like(nth)
    gap_s[place], times[place] = gap, nth
    before = np.add.reduceat(times > 0, starts, dtype=np.int64) if len(starts) else starts
    lasted = (pl.col("ended_at") - pl.col("started_at")).dt.total_microseconds() / 1e6
    begun = pl.coalesce("ttft_s", lasted.clip(0, FIRST_TOKEN), pl.lit(0.0))
    wait = known.select(begun).to_series().to_numpy()
    at_s = (sent - sent.min()) / 1e6 if len(sent) else sent.astype(np.float64)
    return Occurrences(known["row"], starts, cum, gap_s, at_s[call], wait[call], times, before >= TURN, place)


def _in_order(calls: pl.DataFrame, call: Vector, depth: Vector) -> pl.DataFrame:
    """place, key: the prefixes by what they are and in which scope, each in order of time.

    call, depth   of each prefix: the call that sends it, and its place there
    """
    sha = calls["block_sha"].explode(keep_nulls=False).alias("sha")
    scope = calls["scope"].cast(pl.Categorical).to_physical().cast(pl.UInt64)
    listed = pl.DataFrame({"sha": sha, "scope": scope.gather(pl.Series(call))})
    if calls["unstable"].any():
        listed = listed.with_columns(sha=_stable(calls, call, depth, sha))
    # One key of 64 bits sorts many times faster than two; within a scope it is as unique as the hash.
    return (
        listed.select(key=(pl.col("sha") + pl.col("scope") * _MIX_A) * _MIX_B)
        .with_row_index("place")
        .sort("key", maintain_order=True)
    )


def _stable(calls: pl.DataFrame, call: Vector, depth: Vector, sha: pl.Series) -> pl.Series:
    """The hashes as logged; of unstable calls, what stands for them."""
    own = calls.select(
        "unstable",
        template=pl.col("template_sha").fill_null(0),
        run=pl.coalesce(
            pl.col("run_id").cast(pl.Categorical).to_physical().cast(pl.UInt64), ~pl.col("row").cast(pl.UInt64)
        ),
    )[pl.Series(call)].with_columns(sha=sha, depth=pl.Series(depth).cast(pl.UInt64))
    turn = (pl.col("run") + 1) * _MIX_A + pl.col("depth") * _MIX_B
    stable = pl.col("template") ^ pl.when(pl.col("depth") == 0).then(0).otherwise(turn)
    return own.select(pl.when("unstable").then(stable).otherwise("sha")).to_series()


def simulate(found: Occurrences, policy: Policy, life_s: float) -> pl.DataFrame:
    """What each call would have read from the cache and written to it: row, read, write [tokens]."""
    import numpy as np

    if not len(found.starts):
        return pl.DataFrame(schema={"row": pl.UInt32, "read": pl.Int64, "write": pl.Int64})
    hit, written = _states(found, policy, found.gap_s <= life_s)
    read = np.maximum.reduceat(np.where(hit, found.cum, 0), found.starts)
    end = np.maximum.reduceat(np.where(hit | written, found.cum, 0), found.starts)
    return pl.DataFrame({"row": found.rows, "read": read, "write": end - read})


def _states(found: Occurrences, policy: Policy, in_time: Vector) -> tuple[Vector, Vector]:
    """Whether a prefix is in the cache when it is sent, and whether it is written then."""
    import numpy as np

    if policy.write == ALL:
        wanted = np.ones_like(in_time)
    elif policy.write == SEEN:
        wanted = found.nth >= 1  # the first time it is only seen, the second time it is written
    else:
        wanted = np.repeat(found.later, np.diff(np.append(found.starts, len(in_time))))
    place = np.arange(len(in_time))
    begins = np.maximum.accumulate(np.where(in_time[found.sorted], 0, place))  # of the stretch without too long a pause
    nearest = np.where(wanted[found.sorted], place, len(place) - 1)
    writer = np.minimum.accumulate(nearest[::-1])[::-1][begins]  # the first of the stretch that writes, or none before
    ready = (found.at_s + found.wait_s)[found.sorted][writer]
    hit = np.empty_like(in_time)
    hit[found.sorted] = (writer < place) & (found.at_s[found.sorted] >= ready)
    return hit, ~hit & wanted


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
