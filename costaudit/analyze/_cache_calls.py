"""The calls that a cache could serve: where they share one, and which policy would have done what for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from costaudit.analyze import _cache
from costaudit.analyze._analyzer import NO_MODEL, NO_TASK
from costaudit.analyze._cache import LIVES, WRITES, Policy, Vector
from costaudit.analyze._places import places
from costaudit.price.ledger import Ledger

CHANGES = 0.5  # share of calls of one template with a first block of their own, from which the prefix is unstable
STEADY = 1.2  # largest over smallest of the changing blocks, ends aside
LEAST = 5  # calls of a template; fewer cannot show a habit
TOGETHER = 1_000_000  # prefixes that are looked at in one go; caches that share nothing can be played one by one
KIND = ("provider", "price_entry", "service_tier", "region")
LISTS = ("block_sha", "block_tokens")
SENT = (*LISTS, "ended_at", "ttft_s", "run_id")

PRICED = (pl.col("price_status") == "priced") & (pl.col("input_tokens") > 0)
BLOCKS = pl.col("block_sha").list.len().fill_null(0).alias("blocks")
FIRST = (
    pl.col("block_sha").list.first().alias("first"),
    pl.col("block_tokens").list.first().alias("front"),
)
_TENANT = pl.coalesce("key_id", "tenant", pl.lit(""))
# Numbers stand for names: a few names, so two never get one number.
SHARING: tuple[pl.Expr, ...] = (
    pl.col("task").fill_null(NO_TASK),
    pl.col("model").fill_null(NO_MODEL),
    pl.reduce(lambda a, b: a ^ b, [pl.col(name).hash(nth) for nth, name in enumerate(KIND)]).alias("cached_as"),
    (pl.col("model").hash(0) ^ _TENANT.hash(1) ^ pl.col("region").hash(2)).alias("scope"),
    *(pl.col(name).fill_null(0) for name in ("cache_read_tokens", "cache_write_tokens", *WRITES.values())),
)


def named(calls: pl.DataFrame) -> pl.DataFrame:
    """The priced calls with task and model named, what caches of their kind cost (`cached_as`) and who shares one
    (`scope`), as numbers, and whether their prefix is unstable."""
    priced = calls.filter(PRICED).with_columns(*SHARING, *FIRST).sort("row")
    return priced.with_columns(unstable=unstable(priced))


def unstable(calls: pl.DataFrame) -> pl.Series:
    """Whether a call's first block changes from call to call among those of its template, and is all that changes.

    calls   task, model, template_sha, system_sha, and FIRST
    """
    nothing = pl.repeat(value=False, n=calls.height, eager=True)
    instructed = pl.all_horizontal(pl.col("template_sha", "system_sha", "first").is_not_null())
    marked = calls.select(
        "first",
        "front",
        family=pl.col("task").hash(0) ^ pl.col("model").hash(1) ^ pl.col("template_sha").hash(2),
        known=pl.col("template_sha").is_not_null(),
        instructed=instructed,
    )
    if not marked["instructed"].any():
        return nothing
    sizes = marked.filter("known").group_by("family").agg(n=pl.len(), kinds=pl.col("first").n_unique())
    changing = sizes.filter((pl.col("kinds") > CHANGES * pl.col("n")) & (pl.col("n") >= LEAST))
    if changing.is_empty():
        return nothing
    # A clock or an id leaves the size as it is; a document in quotes, masked as well, is no stable prefix.
    front = pl.col("front")
    steady = (
        marked.filter(pl.col("known") & pl.col("family").is_in(changing["family"].implode()))
        .group_by("family")
        .agg(steady=front.quantile(0.95) <= STEADY * front.quantile(0.05))
        .filter("steady")
    )
    return marked.select(pl.col("instructed") & pl.col("family").is_in(steady["family"].implode())).to_series()


def replayed(calls: pl.DataFrame, ledger: Ledger, policies: Sequence[Policy]) -> dict[Policy, pl.DataFrame]:
    """What each call would have read and written under each policy: row, read, write [tokens], in order of the calls.

    calls   of one model, in order of `row`: row, scope, started_at, template_sha, unstable, input_tokens, minimum,
            and `blocks`, how many prefixes each has
    """
    import numpy as np

    done = {policy: (np.zeros(calls.height, np.int64), np.zeros(calls.height, np.int64)) for policy in policies}
    rows = calls["row"].to_numpy()
    for part in _apart(calls):
        some = calls.select("row", "scope", "started_at", "template_sha", "unstable")[part]
        found = _cache.occurrences(some.hstack(ledger.at(some["row"], SENT).drop("row")))
        if not len(found.starts):
            continue
        at = np.searchsorted(rows, found.rows.to_numpy())
        begins: dict[str, Vector] = {}
        for policy, (read, write) in done.items():
            if policy.life not in begins:
                begins[policy.life] = found.begins(LIVES[policy.life or "5m"])
            read[at], write[at] = _cache.played(found, policy, begins[policy.life])
    return {
        policy: _cache.within(
            calls.select("row", "input_tokens", "minimum", read=pl.Series(read), write=pl.Series(write))
        )
        for policy, (read, write) in done.items()
    }


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
