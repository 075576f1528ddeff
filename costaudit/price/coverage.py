"""How much of a total can be believed: the header above it."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import polars as pl

from costaudit.audit import Coverage, Fates
from costaudit.price.exact import NOTHING, sum_usd
from costaudit.price.trust import doubts
from costaudit.price.trust import tokens as tokens_of

STATUSES = ("exact", "estimated", "unpriced", "unmetered", "free", "subscription")
COVERED = ("exact", "estimated", "free", "subscription")
FEW = 0.2  # of the calls; more that are estimated are explained
_UNPRICED = {"provider": pl.String, "model": pl.String, "requests": pl.Int64, "tokens": pl.Int64, "entry": pl.String}


def coverage(
    calls: pl.DataFrame,
    *,
    fates: Fates,
    sources: pl.DataFrame,
    sampled: bool = False,
    notes: tuple[str, ...] = (),
) -> Coverage:
    """The trust header of the audited calls.

    calls    trusted calls [with cost_usd, low_usd, high_usd, trust]
    fates    what became of every record; each reject widens the upper end by what a call can cost
    sources  path, format, requests, convention, proof
    sampled  the log holds a sample of the calls: there is no upper end
    """
    read = ("provider", "model", "input_tokens", "output_tokens", "cost_usd", "low_usd", "high_usd", "trust")
    counted = calls.select(read)
    if counted["trust"].null_count():  # else no copy of them
        counted = counted.filter(pl.col("trust").is_not_null())
    counted = counted.with_columns(tokens_of().alias("_tokens"))
    return header(
        counted.group_by("trust").agg(pl.len().alias("calls"), pl.col("_tokens").sum()),
        fates=fates,
        low_usd=sum_usd(counted["low_usd"]),
        high_usd=None if sampled else _high(counted, sum(fates.rejects.values())),
        unpriced=unpriced(counted),
        sources=sources,
        sampled=sampled,
        notes=(*notes, *_estimated(calls)),
    )


def _estimated(calls: pl.DataFrame) -> list[str]:
    """Why the estimated calls are no exact ones, the commonest reason first; where they are few, nothing."""
    found = (pl.col("trust") == "estimated").fill_null(value=False)
    given = [(why.fill_null(value=False) & found).sum().alias(name) for name, why in doubts().items()]
    # No filter: a copy of all columns of all calls would be most of the memory.
    numbers = calls.select(found.sum().alias("all"), *given).row(0, named=True)
    if numbers.pop("all") <= FEW * calls.height:
        return []
    said = [
        f"{why} ({number:,} {'call' if number == 1 else 'calls'})"
        for why, number in sorted(numbers.items(), key=lambda n: -n[1])
        if number
    ]
    return [f"estimated: {', '.join(said) or 'cache counts are missing that others of the log have'}"]


def header(by: pl.DataFrame, **said: Any) -> Coverage:
    """The trust header from calls and tokens by trust status; the rest of `Coverage` as it is given."""
    found = {status: (n, tokens) for status, n, tokens in by.iter_rows()}
    numbers = {status: found.get(status, (0, 0))[0] for status in STATUSES}
    tokens = {status: found.get(status, (0, 0))[1] for status in STATUSES}
    return Coverage(calls=numbers, tokens=tokens, share=min(_share(numbers), _share(tokens)), **said)


def unpriced(calls: pl.DataFrame) -> pl.DataFrame:
    """Models without a price: provider, model, requests, tokens, entry (YAML to paste); most tokens first."""
    return with_entries(
        calls.filter(pl.col("trust") == "unpriced")
        .group_by("provider", "model")
        .agg(pl.len().cast(pl.Int64).alias("requests"), tokens_of().sum().alias("tokens"))
    )


def with_entries(models: pl.DataFrame) -> pl.DataFrame:
    """Models without a price [provider, model, requests, tokens] in the order of the header, with an entry each."""
    order = ("tokens", "requests", "provider", "model")
    models = models.sort(order, descending=[True, True, False, False], nulls_last=True)
    entries = [_entry(*named) for named in models.select("provider", "model").iter_rows()]
    return models.with_columns(pl.Series("entry", entries, pl.String)).cast(_UNPRICED)  # type: ignore[arg-type]


def _entry(provider: str | None, model: str | None) -> str:
    """An override for one model, to be completed; the name is quoted, its glob characters are meant literally."""
    name = f"{provider or ''}/{model or ''}"
    literal = "".join(f"[{c}]" if c in "*?[" else c for c in name)
    name = json.dumps(literal, ensure_ascii=False)
    return f"- match: {name}\n  rates_per_mtok: {{input: , output: }}  # USD per million tokens\n"


def _share(by: dict[str, int]) -> float:
    everything = sum(by.values())
    return sum(by[status] for status in COVERED) / everything if everything else 1.0


def _high(calls: pl.DataFrame, rejects: int) -> Decimal | None:
    if calls["high_usd"].null_count():
        return None
    high = sum_usd(calls["high_usd"])
    if not rejects:
        return high
    if not calls.height:
        return None  # nothing was read, so nothing says what the rejected records cost
    return high + _lost(calls["cost_usd"].fill_null(NOTHING), rejects)


def _lost(costs: pl.Series, rejects: int) -> Decimal:
    """What so many rejected records can have cost, at most the dearest call each.

    The larger of as many mean calls with three standard errors, for losses at random, and as many of the dearest calls
    that were read, for losses that are none: shippers cut the longest lines.
    """
    spread = costs.cast(pl.Float64).std(ddof=0)
    error = 3 * spread * math.sqrt(rejects) if isinstance(spread, float) else 0.0
    total, whole = sum_usd(costs), divmod(rejects, costs.len())
    likely = total / costs.len() * rejects + Decimal(repr(error))
    worst = total * whole[0] + sum_usd(costs.top_k(whole[1]))
    dearest = costs.max()
    bounded = min(likely, rejects * dearest) if isinstance(dearest, Decimal) else likely
    return max(bounded, worst)
