"""Calls that prices treat alike, summed before they are priced: a sum of tokens costs the sum of what its calls cost.

Within one kind of call (provider, model, tier, region, search size), one price epoch and one length of prompt a cost is
linear in the classes of tokens, and exact: nothing is rounded by the call. Calls of which that is not true, or whose
trust takes looking at each (`plain`), are left to `engine.price`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import polars as pl

from costaudit.price._usage import COUNTS, LIFETIMES
from costaudit.price.book import PriceBook
from costaudit.price.cells import TOKENS
from costaudit.price.classes import rate_of
from costaudit.price.engine import LENGTH
from costaudit.price.engine import READS as PRICING
from costaudit.price.tariff import ALWAYS, Key, Tariff, timeline
from costaudit.price.trust import READS as TRUSTED
from costaudit.price.trust import bare, reads_unsaid, tokens
from costaudit.schema import REQUESTS

CLASSES_OF_TEXT = ("input", "cache_read", *(f"cache_write_{life}" for life in LIFETIMES), "output", "reasoning")
BY_CALL = ("requests", "machine_seconds")  # classes that a call uses by being made
FILES = ("format", "source_file")
READ = tuple(dict.fromkeys(n for n in (*PRICING, *TRUSTED, *TOKENS, "cost_logged_usd", "started_at") if n in REQUESTS))
"""The columns of requests that say what calls cost, and how far that can be believed."""
_SUMMED = tuple(dict.fromkeys((*TOKENS, *COUNTS)))


def condensed(
    calls: pl.LazyFrame,
    plain: pl.Expr,
    kinds: pl.DataFrame,
    book: PriceBook,
    by: Sequence[pl.Expr],
    end: datetime | None,
    absent: Collection[str] = (),
    full: Collection[str] = (),
) -> pl.LazyFrame:
    """Plain calls as few that stand for many, which `price` and `trust` read like any others.

    by      what is told apart, beside what prices tell apart
    end     time of the last call; later prices are not asked for
    absent  columns in which no call has a value; full: in which every call has one
    out     the names of `by`, Key, what trust reads, tokens summed; _calls: how many; _prompt: a length of prompt that
            is priced like each of theirs
    """
    tariffs = [(start, t) for key in _keys(kinds) for start, t in _tariffs(book, key)]
    turns = sorted({start for start, _ in tariffs if start != ALWAYS and (end is None or start <= end)})
    steps = sorted({above for _, tariff in tariffs for above, _ in tariff.steps if above > 0})
    uses = _uses([tariff for _, tariff in tariffs])
    prompt = _count("input_tokens")
    quiet = reads_unsaid() & ~_nothing()
    names = [expr.meta.output_name() for expr in by]
    own: dict[str, pl.Expr] = {name: pl.col(name) for name in Key._fields if name not in absent}
    own["_nothing"] = _nothing()
    if turns:
        own["_epoch"] = pl.sum_horizontal((pl.col("started_at") >= turn).fill_null(value=False) for turn in turns)
    if steps:
        own["_length"] = pl.sum_horizontal(prompt > step for step in steps)
    if uses:
        own["_uses"] = pl.sum_horizontal(use.cast(pl.Int64) * 2**nth for nth, use in enumerate(uses))
    if "cache_read_tokens" not in full:
        own["_quiet"] = quiet
        own |= {name: pl.when(quiet).then(name) for name in FILES}
    apart = [expr.alias(name) for name, expr in own.items() if name not in names]
    summed = (
        calls.filter(plain)
        .group_by(*by, *apart)
        .agg(
            _calls=pl.len().cast(pl.Int64),
            _prompt=prompt.max(),
            started_at=pl.col("started_at").min(),
            **{name: pl.col(name).sum() for name in _SUMMED},
        )
    )
    said = {*names, *own, *_SUMMED, "started_at", "gateway_cache_hit", "usage_source"}
    missing = (pl.lit(None, REQUESTS[name]).alias(name) for name in READ if name not in said)
    silent = {"cache_read_tokens": pl.when(~pl.col("_quiet")).then("cache_read_tokens")} if "_quiet" in own else {}
    order = dict.fromkeys((*names, *READ, "_calls", LENGTH))
    return summed.with_columns(
        *missing, gateway_cache_hit="_nothing", usage_source=pl.lit("provider"), **silent
    ).select(*order)


def plain(kinds: pl.DataFrame, book: PriceBook) -> pl.Expr:
    """Whether a call is one of many: its counts are the provider's, and what it cost is linear in them."""
    read, write = _count("cache_read_tokens"), _count("cache_write_tokens")
    lives = [pl.col(f"cache_write_{life}_tokens") for life in LIFETIMES]
    stated = _sum([life.fill_null(0) for life in lives])
    counted = (
        pl.col("input_tokens").is_not_null()
        & pl.col("output_tokens").is_not_null()
        & pl.all_horizontal(pl.col(name).fill_null(0) >= 0 for name in _SUMMED)
        & (tokens() > 0)
        & (_count("input_tokens") >= read + write)
        & (write >= stated)
        & ((write == 0) | pl.any_horizontal(life.is_not_null() for life in lives))
        & (_count("output_tokens") >= _count("reasoning_tokens"))
        & ~(reads_unsaid() & (write > 0))
        & ~pl.col("usage_source").is_in(["tokenizer", "gateway"]).fill_null(value=False)
        & ~pl.col("convention").is_in(["undecided", "assumed"]).fill_null(value=False)
        & ~bare()
    )
    alike = [key for key in _keys(kinds) if any(_by_call(tariff) for _, tariff in _tariffs(book, key))]
    special = [pl.col("provider").eq_missing(p) & pl.col("model").eq_missing(m) for p, m in {k[:2] for k in alike}]
    usual = ~(
        pl.col("rollup").fill_null(value=False)
        | pl.col("summed").fill_null(value=False)
        | (pl.col("extras").list.len().fill_null(0) > 0)
    )
    linear = counted & ~pl.any_horizontal(special) if special else counted
    return (usual & (_nothing() | linear)).fill_null(value=False)


def _uses(tariffs: Sequence[Tariff]) -> list[pl.Expr]:
    """Whether a call uses each of the classes that some tariff has no rate for: one alone leaves it without a price."""
    lacking = {
        name
        for tariff in tariffs
        if tariff.status == "priced"
        for _, rates in tariff.steps
        for name in CLASSES_OF_TEXT
        if rate_of(name, rates) is None
    }
    read, write, out = (_count(f"{name}_tokens") for name in ("cache_read", "cache_write", "output"))
    lives = [_count(f"cache_write_{life}_tokens") for life in LIFETIMES]
    bits = {
        "input": [_count("input_tokens") > read + write],
        "cache_read": [read > 0],
        **{f"cache_write_{life}": [write > _sum(lives), *(n > 0 for n in lives)] for life in LIFETIMES},
        "output": [out > 0, out > _count("reasoning_tokens")],
        "reasoning": [_count("reasoning_tokens") > 0],
    }
    return [use for name in CLASSES_OF_TEXT if name in lacking for use in bits[name]]


def _keys(kinds: pl.DataFrame) -> list[Key]:
    return [Key(**row) for row in kinds.select(Key._fields).iter_rows(named=True)]


def _tariffs(book: PriceBook, key: Key) -> list[tuple[datetime, Tariff]]:
    found = timeline(book, key)
    return list(zip(found.starts, found.tariffs, strict=True))


def _by_call(tariff: Tariff) -> bool:
    """Whether the price takes looking at the call: hours of the day, or a fee for its being made."""
    return tariff.hours is not None or any(name in rates for _, rates in tariff.steps for name in BY_CALL)


def _nothing() -> pl.Expr:
    """Whether nothing was billed, whatever the prices: a gateway's own cache, an error without usage."""
    failed = (pl.col("status") == "error").fill_null(value=False)
    used = (_count("input_tokens") > 0) | (_count("output_tokens") > 0)
    return pl.col("gateway_cache_hit").fill_null(value=False) | (failed & ~used)


def _count(name: str) -> pl.Expr:
    return pl.col(name).fill_null(0)


def _sum(parts: Sequence[pl.Expr]) -> pl.Expr:
    return pl.sum_horizontal(parts) if parts else pl.lit(0, pl.Int64)
