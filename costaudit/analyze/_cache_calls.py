"""The calls that a cache could serve: where they share one, and which policy would have done what for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import polars as pl

from costaudit.analyze import _cache
from costaudit.analyze._analyzer import NO_MODEL, NO_TASK
from costaudit.analyze._beside import beside
from costaudit.analyze._cache import LIVES, WRITES, Policy, Vector
from costaudit.analyze._places import places
from costaudit.price.ledger import Ledger

CHANGES = 0.5  # share of calls of one template with a first block of their own, from which the prefix is unstable
STEADY = 1.2  # largest over smallest of the changing blocks, ends aside
LEAST = 5  # calls of a template; fewer cannot show a habit
TOGETHER = 500_000  # prefixes that are looked at in one go; caches that share nothing can be played one by one
KIND = ("provider", "price_entry", "service_tier", "region")
LISTS = ("block_sha", "block_tokens")
SENT = (*LISTS, "started_at", "ended_at", "ttft_s", "run_id", "template_sha")

PRICED = (pl.col("price_status") == "priced") & (pl.col("input_tokens") > 0)
BLOCKS = pl.col("block_sha").list.len().fill_null(0).alias("blocks")
FIRST = (
    pl.col("block_sha").list.first().alias("first"),
    pl.col("block_tokens").list.first().alias("front"),
)
_TENANT = pl.coalesce("key_id", "tenant", pl.lit(""))
TASK = pl.col("task").fill_null(NO_TASK)
MODEL = pl.col("model").fill_null(NO_MODEL)
# Numbers stand for names: a few names, so two never get one number.
CACHED_AS = pl.reduce(lambda a, b: a ^ b, [pl.col(name).hash(nth) for nth, name in enumerate(KIND)]).alias("cached_as")
SCOPE = (pl.col("model").hash(0) ^ _TENANT.hash(1) ^ pl.col("region").hash(2)).alias("scope")
COUNTED = tuple(pl.col(name).fill_null(0) for name in ("cache_read_tokens", "cache_write_tokens", *WRITES.values()))
FAMILY = (TASK.hash(0) ^ MODEL.hash(1) ^ pl.col("template_sha").hash(2)).alias("family")
KNOWN = pl.col("template_sha").is_not_null()
INSTRUCTED = KNOWN & pl.col("system_sha").is_not_null() & pl.col("block_sha").list.first().is_not_null()


def named(calls: pl.DataFrame) -> pl.DataFrame:
    """The priced calls with task and model named, what caches of their kind cost (`cached_as`) and who shares one
    (`scope`), as numbers, and whether their prefix is unstable."""
    priced = calls.filter(PRICED).with_columns(TASK, MODEL, CACHED_AS, SCOPE, *COUNTED, *FIRST).sort("row")
    mark = unstable(lambda made, where: priced.filter(where).select(made))
    return priced.with_columns(unstable=mark)


def unstable(say: Callable[[Sequence[pl.Expr], pl.Expr], pl.DataFrame]) -> pl.Expr:
    """Whether an instructed call's first block changes from call to call among those of its template, and is all that
    changes.

    say   what expressions say of the calls for which something holds
    """
    nothing = pl.lit(value=False)
    first, front = FIRST
    # Numbers of all calls at once would be most of the memory: no more than two are held.
    if not say([INSTRUCTED.alias("instructed")], KNOWN)["instructed"].any():
        return nothing
    fronts = say([FAMILY, first], KNOWN)
    sizes = fronts.group_by("family").agg(n=pl.len(), known=pl.col("first").count())
    # No more kinds than are known, and one for all that are not: most families need not be counted.
    many = sizes.filter((pl.col("known") + 1 > CHANGES * pl.col("n")) & (pl.col("n") >= LEAST))
    fronts = fronts.filter(pl.col("family").is_in(many["family"].implode()))
    kinds = fronts.group_by("family").agg(n=pl.len(), kinds=pl.col("first").n_unique())
    changing = kinds.filter(pl.col("kinds") > CHANGES * pl.col("n"))
    if changing.is_empty():
        return nothing
    # A clock or an id leaves the size as it is; a document in quotes, masked as well, is no stable prefix.
    size = pl.col("front")
    steady = (
        say([FAMILY, front], KNOWN & FAMILY.is_in(changing["family"].implode()))
        .group_by("family")
        .agg(steady=size.quantile(0.95) <= STEADY * size.quantile(0.05))
        .filter("steady")
    )
    return INSTRUCTED & FAMILY.is_in(steady["family"].implode())


class Replay:
    """What calls of one model would have read from a cache and written to it, under several policies.

    calls   in order of `row`: row, scope, unstable, input_tokens, minimum, `blocks`, how many prefixes each has, and
            `group`, a number from 0 on
    for_    by policy: the group of the first call of another group that reads what a call writes; -1: none does
    """

    def __init__(self, calls: pl.DataFrame, ledger: Ledger, policies: Sequence[Policy]) -> None:
        import numpy as np

        # Half the memory where the figures allow it; there is one of each for every call and policy.
        kind = np.int32 if (calls["input_tokens"] < 2**31).all() else np.int64
        self._rows, self._group = calls["row"], calls["group"].to_numpy()
        self.read, self.write = ({p: np.zeros(calls.height, kind) for p in policies} for _ in range(2))
        groups = np.min_scalar_type(-1 - int(calls["group"].max() or 0))  # type: ignore[arg-type]
        self.for_ = {p: np.full(calls.height, -1, groups) for p in policies}
        blocks = calls["blocks"]
        parts = beside(
            lambda part: self._play(calls[part], ledger), _apart(calls), lambda part: int(blocks.gather(part).sum())
        )
        for _ in parts:
            pass  # each part fills places of its own

    def _play(self, calls: pl.DataFrame, ledger: Ledger) -> None:
        """Calls that share no cache with any others."""
        import numpy as np

        marks = calls["scope", "unstable"].get_columns()
        found = _cache.occurrences(ledger.at(calls["row"], SENT).with_columns(marks))
        if not len(found.starts):
            return
        own = calls[np.searchsorted(calls["row"].to_numpy(), found.rows.to_numpy())]
        at = np.searchsorted(self._rows.to_numpy(), found.rows.to_numpy())
        group = own["group"].to_numpy()
        several = (group != group[0]).any()
        begins: dict[str, Vector] = {}
        for policy, all_read in self.read.items():
            if policy.life not in begins:
                begins[policy.life] = found.begins(LIVES[policy.life or "5m"])
            read, write = _cache.played(found, policy, begins[policy.life])
            bounded = _cache.within(own.with_columns(read=pl.Series(read), write=pl.Series(write)))
            all_read[at], self.write[policy][at] = bounded["read"].to_numpy(), bounded["write"].to_numpy()
            if several:
                writer = _cache.written_by(found, policy, begins[policy.life])
                readers = np.flatnonzero((writer >= 0) & (bounded["read"].to_numpy() > 0) & (group[writer] != group))[
                    ::-1
                ]
                self.for_[policy][at[writer[readers]]] = group[readers]  # of several the first, which comes last here

    def others(self, policy: Policy, group: int, besides: Vector) -> pl.Series:
        """The calls, by place, that write what a group is the first to read, and are of none of some groups."""
        import numpy as np

        places = np.flatnonzero(self.for_[policy] == group)
        return pl.Series(places[~np.isin(self._group[places], besides)], dtype=pl.UInt32)

    def sums(self, policy: Policy, at: pl.Series) -> tuple[int, int]:
        """The tokens that some of the calls, by place, would have read and written."""
        read, write = (side[policy][at.to_numpy()].sum(dtype="int64") for side in (self.read, self.write))
        return int(read), int(write)

    def of(self, policy: Policy, at: pl.Series) -> pl.DataFrame:
        """What each of some calls would have read and written: row, read, write [tokens]."""
        read, write = (pl.Series(side[policy][at.to_numpy()], dtype=pl.Int64) for side in (self.read, self.write))
        return pl.DataFrame({"row": self._rows.gather(at), "read": read, "write": write})


def _apart(calls: pl.DataFrame) -> Iterator[pl.Series]:
    """The places of calls that may share a cache, as many as have `TOGETHER` prefixes or one cache more."""
    scopes = places(calls, ["scope"], blocks=pl.sum("blocks"))
    batch: list[pl.Series] = []
    size = 0
    for nth, blocks in enumerate(scopes["blocks"]):
        batch.append(scopes["at"][nth])
        size += blocks
        if size >= TOGETHER:
            yield pl.concat(batch).sort()
            batch, size = [], 0
    if batch:
        yield pl.concat(batch).sort()
