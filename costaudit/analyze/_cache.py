"""What prompt caching would have done on the user's own times: which prefixes were there, under which policy.

A block hash stands for everything up to its block, so equal hashes are equal prefixes. A prefix is in the cache if it
was written and every pause since was shorter than the lifetime: use renews it. It can be read once the answer to the
call that wrote it has begun: calls sent together race for the first write, and each of them pays it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import msgspec
import polars as pl
from msgspec.structs import replace

from costaudit.analyze._analyzer import without

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


class Policy(msgspec.Struct, frozen=True):
    """What to write, and for how long; the lifetime is empty where nothing is written or the provider chooses."""

    write: str
    life: str = ""

    @property
    def words(self) -> str:
        return f"{self.write} for {self.life}" if self.life else self.write


class Occurrences(msgspec.Struct, frozen=True, dict=True):
    """Every prefix of every call, each prefix in order of time; so that one after another is one in an array.

    rows      the calls that have prefixes, in order of `row`
    starts    place of each call's first prefix, where calls follow each other and each has its own from the shortest on
    cum       tokens up to the end of each prefix, in that order
    place     of each prefix, in order of prefix and time: where it stands in the order of calls
    of        of each prefix, in that order: the call that sends it, by its place in `rows`
    gap_us    since the prefix was last sent; not a number: never
    seen      whether it was sent before
    at_us     of the call: when it was sent
    wait_us   of the call: until its answer began; 0 where nothing says so
    later     of the call: whether it is a later turn
    """

    rows: pl.Series
    starts: Vector
    cum: Vector
    place: Vector
    of: Vector
    gap_us: Vector
    seen: Vector
    at_us: Vector
    wait_us: Vector
    later: Vector

    def sooner(self, factor: float) -> Occurrences:
        """The same prefixes sent so much sooner after one another; answers begin no sooner."""
        return replace(self, gap_us=self.gap_us / factor, at_us=self.at_us / factor)

    def begins(self, life_s: float) -> Vector:
        """Where the stretch without a pause longer than a lifetime began, for each prefix; in order of prefix."""
        import numpy as np

        at = np.arange(len(self.place), dtype=np.int32)
        return np.maximum.accumulate(np.where(self.gap_us <= life_s * 1e6, 0, at))

    @cached_property
    def last(self) -> Vector:
        """Tokens of each call's longest prefix."""
        import numpy as np

        return np.maximum.reduceat(self.cum, self.starts)

    @cached_property
    def ready_us(self) -> Vector:
        """When what a call writes can be read."""
        return self.at_us + self.wait_us

    @cached_property
    def telling(self) -> Telling:
        """The prefixes that can be the longest that a call reads, whatever is written and for however long.

        A conversation sends all its prefixes with every turn, and nearly always the longest of them tells. A prefix
        tells nothing beside the next longer one if both were last sent by the same call, the longer one not for the
        first time; if that call is a later turn, so that it writes under every policy what it has not written before;
        and if the answers to it and to all calls before it had begun. Where the shorter one is read, so is the longer.
        """
        import numpy as np

        before = np.full_like(self.of, -1)
        before[1:] = np.where(self.seen[1:], self.of[:-1], -1)
        sure = np.zeros_like(self.seen)
        sure[1:] = self.seen[1:] & self.seen[:-1]
        begun = np.where(self.later, np.maximum.accumulate(self.ready_us), np.inf)
        sure &= begun[before] <= self.at_us[self.of]
        # By call, each prefix with the call that last sent it and whether that is sure, in one number.
        marks = np.empty_like(self.place)
        marks[self.place] = before * 2 + sure
        kept = np.ones_like(self.seen)
        kept[:-1] = (marks[1:] != (marks[:-1] | 1)) | (self.cum[1:] < self.cum[:-1])
        kept[self.starts[1:] - 1] = True
        behind = np.cumsum(kept, dtype=np.int32)
        at = np.flatnonzero(kept[self.place])
        of = self.of[at]
        places = behind[self.place[at]] - 1
        return Telling(at, self.at_us[of], places, self.cum[kept], behind[self.starts] - kept[self.starts])

    @cached_property
    def _writers(self) -> dict[str, tuple[Vector, Vector]]:
        return {}

    def writers(self, write: str) -> tuple[Vector, Vector]:
        """Under a policy of writing: the next place from each on that writes the prefix, one that is not before it
        where there is none; and the longest prefix that each call may write [tokens]."""
        import numpy as np

        if write not in self._writers:
            self._writers.clear()  # one way of writing is asked about after the other
            at = np.arange(len(self.place), dtype=np.int32)
            if write == ALL:
                following, most = at, self.last
            elif write == SEEN:  # the first time it is only seen, the second time it is written
                following = at + ~self.seen
                most = self.telling.longest(self.seen[self.telling.at])
            else:
                following = _next(np.where(self.later[self.of], at, len(at) - 1))
                most = np.where(self.later, self.last, 0)
            self._writers[write] = following, most
        return self._writers[write]


class Telling(msgspec.Struct, frozen=True):
    """Some of the prefixes of each call, at least one of each, in order of prefix.

    at      where it stands among all; at_us: when it was sent
    place   where it stands call by call
    cum     tokens up to its end, call by call; starts: place of each call's first
    """

    at: Vector
    at_us: Vector
    place: Vector
    cum: Vector
    starts: Vector

    def longest(self, marked: Vector) -> Vector:
        """The longest prefix of each call that is marked [tokens]; 0 where none is."""
        import numpy as np

        of_calls = np.empty_like(marked)
        of_calls[self.place] = marked
        return np.maximum.reduceat(np.where(of_calls, self.cum, 0), self.starts)


def _next(places: Vector) -> Vector:
    import numpy as np

    return np.minimum.accumulate(places[::-1])[::-1].astype(np.int32)


def occurrences(calls: pl.DataFrame) -> Occurrences:
    """The prefixes of calls [row, scope, started_at, ended_at, ttft_s, block_sha, block_tokens, unstable, template_sha,
    run_id].

    Prefixes of unstable calls stand for what would be equal with the changing part moved to the end: the template, and
    the earlier turns of the run.
    """
    import numpy as np

    known = without(
        calls,
        ~(
            pl.col("started_at").is_not_null()
            & (pl.col("block_sha").list.len() > 0)
            & (pl.col("block_sha").list.len() == pl.col("block_tokens").list.len())
        ).fill_null(value=False),
    )
    known = known if known["row"].is_sorted() else known.sort("row")
    sizes = known["block_sha"].list.len().to_numpy().astype(np.int64)
    ends = np.cumsum(sizes)
    starts = ends - sizes
    call = np.repeat(np.arange(known.height, dtype=np.int32), sizes)
    cum = np.cumsum(known["block_tokens"].explode(keep_nulls=False).fill_null(0).to_numpy())
    if len(cum):
        cum -= np.repeat(np.concatenate([[0], cum[ends[:-1] - 1]]), sizes)
        if cum.max() < 2**31:  # half the memory, and half the time to move it about
            cum = cum.astype(np.int32)
    keys = _keys(known, call, starts)
    known, calls = known.drop("block_sha", "block_tokens"), known.clear()  # the lists are most of what is held
    place, new = _in_order(keys)
    del keys
    first = np.bincount(call[place[np.flatnonzero(new)]], minlength=known.height)
    del call
    starts, cum, place, new = _longest(starts, cum, place, new)
    of = np.repeat(np.arange(known.height, dtype=np.int32), np.diff(np.append(starts, len(cum))))[place]
    at = known["started_at"].dt.epoch("us").cast(pl.Float64).to_numpy()
    gap = np.full(len(place), np.nan)
    sent = at[of]
    gap[1:] = np.where(new[1:], np.nan, sent[1:] - sent[:-1])
    del sent
    lasted = (pl.col("ended_at") - pl.col("started_at")).dt.total_microseconds() / 1e6
    begun = pl.coalesce("ttft_s", lasted.clip(0, FIRST_TOKEN), pl.lit(0.0))
    wait = np.rint(known.select(begun).to_series().to_numpy() * 1e6)
    return Occurrences(known["row"], starts, cum, place, of, gap, ~new, at, wait, sizes - first >= TURN)


def _in_order(keys: Vector) -> tuple[Vector, Vector]:
    """Where the prefixes stand by what they are and in which scope, each in order of time; and where another begins."""
    import numpy as np

    # One sort of plain numbers, the leading bits of a key before its place, takes a fifth of the time of a stable one.
    bits = np.uint64(max(len(keys), 1).bit_length())
    places = (np.uint64(1) << bits) - np.uint64(1)
    packed = (keys & ~places) | np.arange(len(keys), dtype=np.uint64)
    packed.sort()
    order = (packed & places).astype(np.int32)
    ordered = keys[order]
    new = np.ones(len(keys), dtype=bool)
    new[1:] = ordered[1:] != ordered[:-1]
    lead = packed & ~places
    if (mixed := new[1:] & (lead[1:] == lead[:-1])).any():  # keys that differ in their last bits alone
        unclear = np.flatnonzero(np.isin(lead, lead[1:][mixed]))
        some = order[unclear]
        order[unclear] = some[np.lexsort((some, keys[some]))]
        ordered = keys[order]
        new[1:] = ordered[1:] != ordered[:-1]
    return order, new


def _longest(starts: Vector, cum: Vector, place: Vector, new: Vector) -> tuple[Vector, Vector, Vector, Vector]:
    """The same without prefixes that are sent with one longer prefix and never without it: whatever a cache does with
    the shorter, it does with the longer. Turns come in several blocks, and most prompts differ from some block on.
    """
    import numpy as np

    group = np.cumsum(new, dtype=np.int32) - 1
    begins = np.flatnonzero(new)
    sizes = np.diff(np.append(begins, len(new)))
    of_calls = np.empty_like(group)
    of_calls[place] = group
    longer = np.full_like(group, -1)
    longer[:-1] = of_calls[1:]
    longer[starts[1:] - 1] = -1
    longer = longer[place]
    with_it = longer[begins]
    same = (with_it >= 0) & (sizes[with_it] == sizes)
    same[group[np.flatnonzero(~new[1:] & (longer[1:] != longer[:-1])) + 1]] = False
    kept = np.flatnonzero(~same[group])
    place = place[kept]
    left = np.zeros(len(group), dtype=bool)
    left[place] = True
    behind = np.cumsum(left, dtype=np.int32)
    return behind[starts] - left[starts], cum[np.flatnonzero(left)], behind[place] - 1, new[kept]


def _keys(calls: pl.DataFrame, call: Vector, starts: Vector) -> Vector:
    """What each prefix is and in which scope [UInt64].

    call     that sends it
    starts   place of each call's first prefix
    """
    import numpy as np

    sha = calls["block_sha"].explode(keep_nulls=False).alias("sha")
    if calls["unstable"].any():
        depth = np.arange(len(call)) - starts[call]
        sha = _stable(calls, call, depth, sha)
    # One key of 64 bits sorts many times faster than two; within a scope it is as unique as the hash.
    scope = calls.select(pl.col("scope").hash() * _MIX_A).to_series().to_numpy()[call]
    return (sha.to_numpy() + scope) * np.uint64(_MIX_B)


def _stable(calls: pl.DataFrame, call: Vector, depth: Vector, sha: pl.Series) -> pl.Series:
    """The hashes as logged; of unstable calls, what stands for them."""
    own = calls.select(
        "unstable",
        template=pl.col("template_sha").fill_null(0),
        run=pl.when(pl.col("run_id").is_null()).then(~pl.col("row").cast(pl.UInt64)).otherwise(pl.col("run_id").hash()),
    )[pl.Series(call)].with_columns(sha=sha, depth=pl.Series(depth).cast(pl.UInt64))
    turn = (pl.col("run") + 1) * _MIX_A + pl.col("depth") * _MIX_B
    stable = pl.col("template") ^ pl.when(pl.col("depth") == 0).then(0).otherwise(turn)
    return own.select(pl.when("unstable").then(stable).otherwise("sha")).to_series()


def simulate(found: Occurrences, policy: Policy, life_s: float) -> pl.DataFrame:
    """What each call would have read from the cache and written to it: row, read, write [tokens]."""
    if not len(found.starts):
        return pl.DataFrame(schema={"row": pl.UInt32, "read": pl.Int64, "write": pl.Int64})
    read, write = played(found, policy, found.begins(life_s))
    return pl.DataFrame({"row": found.rows, "read": read, "write": write})


def played(found: Occurrences, policy: Policy, begins: Vector) -> tuple[Vector, Vector]:
    """The tokens that each call would have read and written.

    begins   `Occurrences.begins` of the policy's lifetime
    """
    import numpy as np

    own = found.telling
    read = own.longest(_hits(found, policy, begins)[0]).astype(np.int64)
    return read, np.maximum(found.writers(policy.write)[1] - read, 0)


def written_by(found: Occurrences, policy: Policy, begins: Vector) -> Vector:
    """The call that wrote what each call reads, by its place in `rows`; -1: it reads nothing."""
    import numpy as np

    own = found.telling
    hit, first = _hits(found, policy, begins)
    writer = np.empty_like(first)
    writer[own.place] = np.where(hit, found.of[np.minimum(first, len(begins) - 1)], -1)
    last = np.maximum.reduceat(np.where(writer >= 0, np.arange(len(writer)), -1), own.starts)
    return np.where(last >= 0, writer[last], -1)


def _hits(found: Occurrences, policy: Policy, begins: Vector) -> tuple[Vector, Vector]:
    """Of each telling prefix, whether it is read from the cache, and the place of the first that wrote it."""
    import numpy as np

    own = found.telling
    # The first of the stretch that writes: what it wrote can be read by those after it, once its answer has begun.
    first = found.writers(policy.write)[0][begins[own.at]]
    return (first < own.at) & (own.at_us >= found.ready_us[found.of[np.minimum(first, len(begins) - 1)]]), first


def bounded(simulated: pl.DataFrame, calls: pl.DataFrame) -> pl.DataFrame:
    """What is simulated for some of the calls [row, input_tokens, minimum], for all of them and within their bounds."""
    all_of_them = calls.select("row", "input_tokens", "minimum").join(
        simulated, on="row", how="left", maintain_order="left"
    )
    return within(all_of_them.with_columns(pl.col("read", "write").fill_null(0)))


def within(calls: pl.DataFrame) -> pl.DataFrame:
    """Reads and writes within what a call sent, and from the provider's shortest prefix up: row, read, write.

    calls  row, input_tokens, minimum, read, write
    """
    end = pl.min_horizontal(pl.col("read") + pl.col("write"), "input_tokens")
    read = pl.min_horizontal("read", "input_tokens")
    return (
        calls.with_columns(read=pl.when(read >= pl.col("minimum")).then(read).otherwise(0), end=end)
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
