"""Calls that prices treat alike, summed before they are priced: a sum of tokens costs the sum of what its calls cost.

Within one kind of call (provider, model, tier, region, search size), one price epoch and one length of prompt a cost is
linear in the classes of tokens, and exact: nothing is rounded by the call. Calls of which that is not true, or whose
trust takes looking at each (`plain`), are left to `engine.price`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from costaudit.price._facts import Facts
from costaudit.price._usage import COUNTS, LIFETIMES
from costaudit.price.book import PriceBook
from costaudit.price.cells import TOKENS
from costaudit.price.classes import rate_of
from costaudit.price.engine import LENGTH
from costaudit.price.engine import READS as PRICING
from costaudit.price.tariff import ALWAYS, Key, Tariff, timeline
from costaudit.price.trust import BESIDE, CACHED_FROM, bare, reads_unsaid, tokens
from costaudit.price.trust import READS as TRUSTED
from costaudit.schema import REQUESTS

CLASSES_OF_TEXT = ("input", "cache_read", *(f"cache_write_{life}" for life in LIFETIMES), "output", "reasoning")
BY_CALL = ("requests", "machine_seconds")  # classes that a call uses by being made
FILES = ("format", "source_file")
READ = tuple(dict.fromkeys(n for n in (*PRICING, *TRUSTED, *TOKENS, "cost_logged_usd", "started_at") if n in REQUESTS))
"""The columns of requests that say what calls cost, and how far that can be believed."""
_SUMMED = tuple(dict.fromkeys((*TOKENS, *COUNTS)))
_SORTS = ("input", "cache_read", "cache_write", "output", "reasoning")
DOUBTFUL = {"usage_source": ("tokenizer", "gateway"), "convention": ("undecided", "assumed")}
NOTHING_KNOWN = Facts()


def condensed(
    calls: pl.LazyFrame,
    alike: pl.Expr | None,
    kinds: pl.DataFrame,
    book: PriceBook,
    by: Sequence[pl.Expr],
    first: datetime | None,
    end: datetime | None,
    facts: Facts = NOTHING_KNOWN,
) -> pl.LazyFrame:
    """Plain calls as few that stand for many, which `price` and `trust` read like any others.

    alike  `plain`
    by     what is told apart, beside what prices tell apart
    first, end  times of the first and the last call; other prices are not asked for
    out    the names of `by`, Key, what trust reads, tokens summed; _calls: how many; _prompt: a length of prompt that
           is priced like each of theirs
    """
    tariffs = [(start, t) for key in _keys(kinds) for start, t in _tariffs(book, key)]
    turns = _turns(tariffs, first, end) if "started_at" not in facts.absent else []
    short, long = facts.bounds("input_tokens")
    steps = sorted({above for _, tariff in tariffs for above, _ in tariff.steps if max(short, 1) <= above < long})
    uses = _uses([tariff for _, tariff in tariffs], facts)
    prompt = facts.count("input_tokens")
    nothing = _nothing(facts)
    names = [expr.meta.output_name() for expr in by]
    own: dict[str, pl.Expr] = {}
    told: dict[str, pl.Expr] = {}
    for name in Key._fields:
        if (one := facts.one(name)) is not None:
            told[name] = pl.lit(one, pl.String)
        elif name not in facts.absent:
            own[name] = pl.col(name)
    if nothing is not None:
        own["_nothing"] = nothing
    if turns:
        own["_epoch"] = pl.sum_horizontal((pl.col("started_at") >= turn).fill_null(value=False) for turn in turns)
    if steps:
        own["_length"] = pl.sum_horizontal(prompt > step for step in steps)
    if uses:
        own["_uses"] = pl.sum_horizontal(use.cast(pl.Int64) * 2**nth for nth, use in enumerate(uses))
    if _may_hide_reads(facts):
        own["_quiet"] = reads_unsaid() if nothing is None else reads_unsaid() & ~nothing
        own |= {name: pl.when(own["_quiet"]).then(name) for name in FILES}
        if "cache_write_tokens" not in {*facts.absent, *facts.full}:  # who counts what is written has something to read
            own["_writes"] = own["_quiet"] & pl.col("cache_write_tokens").is_not_null()
    if not (own or by):
        own["provider"] = pl.col("provider")
    apart = [expr.alias(name) for name, expr in own.items() if name not in names]
    sums = {name: pl.col(name).sum() for name in _SUMMED if name not in facts.absent}
    if turns or first is None:
        sums["started_at"] = pl.col("started_at").min()
    else:
        told["started_at"] = pl.lit(first, REQUESTS["started_at"])
    summed = (
        (calls if alike is None else calls.filter(alike))
        .group_by(*by, *apart)
        .agg(_calls=pl.len().cast(pl.Int64), _prompt=prompt.max(), **sums)
    )
    told |= {name: pl.lit(0, pl.Int64) for name in _SUMMED if name in facts.absent}
    if "_quiet" in own:
        said = ~pl.col("_quiet")
        told["cache_read_tokens"] = pl.when(said).then(told.get("cache_read_tokens", "cache_read_tokens"))
        if "cache_write_tokens" not in facts.full:
            said = said | pl.col("_writes") if "_writes" in own else said
            told["cache_write_tokens"] = pl.when(said).then(told.get("cache_write_tokens", "cache_write_tokens"))
    told |= {"gateway_cache_hit": pl.lit(value=False) if nothing is None else pl.col("_nothing")}
    told |= {"usage_source": pl.lit("provider")}
    there = {*names, *own, *_SUMMED, *told, "started_at"}
    missing = (pl.lit(None, REQUESTS[name]).alias(name) for name in READ if name not in there)
    order = dict.fromkeys((*names, *READ, "_calls", LENGTH))
    return summed.with_columns(*missing, **{n: e for n, e in told.items() if n not in {*names, *own}}).select(*order)


def plain(kinds: pl.DataFrame, book: PriceBook, facts: Facts = NOTHING_KNOWN) -> pl.Expr | None:
    """Whether a call is one of many: its counts are the provider's, its cost is linear in them. None: all are."""
    usual = [~pl.col(name).fill_null(value=False) for name in ("rollup", "summed") if name not in facts.absent]
    if "extras" not in facts.absent:
        usual.append(pl.col("extras").list.len().fill_null(0) == 0)
    special = {k[:2] for k in _keys(kinds) if any(_by_call(tariff) for _, tariff in _tariffs(book, k))}
    linear = _counted(facts)
    linear += [~(pl.col("provider").eq_missing(p) & pl.col("model").eq_missing(m)) for p, m in sorted(special, key=str)]
    if linear:
        nothing = _nothing(facts)
        usual.append(pl.all_horizontal(linear) if nothing is None else nothing | pl.all_horizontal(linear))
    return pl.all_horizontal(usual).fill_null(value=False) if usual else None


def _counted(facts: Facts) -> list[pl.Expr]:
    """What must hold for counts to be the provider's and whole, as far as the facts do not say that it does."""
    put, read, write, out, thought = (facts.count(f"{name}_tokens") for name in _SORTS)
    lives = [f"cache_write_{life}_tokens" for life in LIFETIMES]
    (least_in, _), (_, most_read), (least_write, most_write), (least_out, _), (_, most_thought) = (
        facts.bounds(f"{name}_tokens") for name in _SORTS
    )
    found = [pl.col(name).is_not_null() for name in ("input_tokens", "output_tokens") if name not in facts.full]
    found += [facts.count(name) >= 0 for name in _SUMMED if facts.least(name) < 0]
    if least_in + least_out <= 0:
        found.append(tokens() > 0)
    if least_in < most_read + most_write:
        found.append(put >= read + write)
    if least_write < sum(facts.most(name) for name in lives):
        found.append(write >= _sum([facts.count(name) for name in lives if name not in facts.absent]))
    if most_write > 0 and not any(name in facts.full for name in lives):
        stated = [pl.col(name).is_not_null() for name in lives if name not in facts.absent]
        found.append(pl.any_horizontal(write == 0, *stated))
    if least_out < most_thought:
        found.append(out >= thought)
    if most_write > 0 and _may_hide_reads(facts):
        found.append(~(reads_unsaid() & (write > 0)))
    for name, texts in DOUBTFUL.items():
        if facts.holds(name, *texts):
            found.append(~pl.col(name).is_in(texts).fill_null(value=False))
    if not {"cache_read_tokens", "cache_write_tokens"} & set(facts.full) and facts.holds("format", *BESIDE):
        found.append(~bare())
    return found


def _turns(tariffs: Sequence[tuple[datetime, Tariff]], first: datetime | None, end: datetime | None) -> list[datetime]:
    """When prices change between the first and the last call."""
    return sorted(
        {
            start
            for start, _ in tariffs
            if start != ALWAYS and (end is None or start <= end) and (first is None or start > first)
        }
    )


def _uses(tariffs: Sequence[Tariff], facts: Facts) -> list[pl.Expr]:
    """Whether a call uses each of the classes that some tariff has no rate for: one alone leaves it without a price."""
    lacking = {
        name
        for tariff in tariffs
        if tariff.status == "priced"
        for _, rates in tariff.steps
        for name in CLASSES_OF_TEXT
        if rate_of(name, rates) is None
    }
    read, write, out = (facts.count(f"{name}_tokens") for name in ("cache_read", "cache_write", "output"))
    lives = [facts.count(f"cache_write_{life}_tokens") for life in LIFETIMES]
    bits = {
        "input": [facts.count("input_tokens") > read + write],
        "cache_read": [read > 0],
        **{f"cache_write_{life}": [write > _sum(lives), *(n > 0 for n in lives)] for life in LIFETIMES},
        "output": [out > 0, out > facts.count("reasoning_tokens")],
        "reasoning": [facts.count("reasoning_tokens") > 0],
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


def _nothing(facts: Facts) -> pl.Expr | None:
    """Whether nothing was billed, whatever the prices: a gateway's own cache, an error without usage; None: never."""
    found = []
    if "gateway_cache_hit" not in facts.absent:
        found.append(pl.col("gateway_cache_hit").fill_null(value=False))
    if facts.holds("status", "error") and facts.least("input_tokens") <= 0 and facts.least("output_tokens") <= 0:
        used = (facts.count("input_tokens") > 0) | (facts.count("output_tokens") > 0)
        found.append((pl.col("status") == "error").fill_null(value=False) & ~used)
    return pl.any_horizontal(found) if found else None


def _may_hide_reads(facts: Facts) -> bool:
    """Whether some call can be one of which nobody says what it read from a cache (`reads_unsaid`)."""
    return "cache_read_tokens" not in facts.full and facts.most("input_tokens") >= CACHED_FROM


def _sum(parts: Sequence[pl.Expr]) -> pl.Expr:
    return pl.sum_horizontal(parts) if parts else pl.lit(0, pl.Int64)
