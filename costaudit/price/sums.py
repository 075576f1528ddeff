"""What many calls add up to, in a form that can be added up again: totals of a store need none of its rows.

One row a day, task, provider, model, trust status and size of cost. Sizes are logarithmic bins: a quantile read from
them is at most 12 % from the true one, and bins of any number of parts add up to the bins of the whole.
"""

from __future__ import annotations

import math
from decimal import Decimal
from functools import cache
from pathlib import Path

import polars as pl
import xxhash

from costaudit.price.book import PriceBook
from costaudit.price.cells import SUMMED, allowance, summed
from costaudit.price.engine import price
from costaudit.price.trust import Others, hinges, trust

ALONE = Others(named=False)
BINS = 20  # a factor of ten: neighbours differ by 12.2 %
KEYS = ("day", "task", "provider", "model")
SUMS = pl.Schema(
    {
        "day": pl.Date(),
        "task": pl.String(),
        "provider": pl.String(),
        "model": pl.String(),
        "trust": pl.String(),
        "hinges": pl.Int8(),
        "bin": pl.Int16(),
        "unpriced": pl.Int64(),
        "errors": pl.Int64(),
        **SUMMED,
    }
)


def sums(requests: pl.DataFrame, book: PriceBook, others: Others = ALONE) -> pl.DataFrame:
    """Requests [schema.REQUESTS] to sums [SUMS] by day (UTC), task as the log names it, provider, model, trust and bin.

    bin       floor(20 * log10(cost_usd)); null for calls that cost nothing or have no known price
    requests  calls without roll-ups; `unpriced` of them have no price and add nothing to cost_usd [USD, exact]
    hinges    what else than these rows could change trust, low_usd and high_usd (`trust.hinges`); 0: nothing
    """
    trusted = trust(price(requests, book), book, others)
    calls = trusted.with_columns(hinges(trusted)).filter(pl.col("trust").is_not_null())
    cost = pl.col("cost_usd")
    size = pl.when(cost > 0).then((cost.cast(pl.Float64).log10() * BINS).floor().cast(pl.Int16))
    return (
        calls.with_columns(allowance(calls, book), day=pl.col("started_at").dt.date(), bin=size)
        .group_by(*KEYS, "trust", "hinges", "bin")
        .agg(*summed(), unpriced=cost.null_count(), errors=(pl.col("status") == "error").sum())
        .select(list(SUMS))
        .cast(dict(SUMS))  # type: ignore[arg-type]
        .sort(*KEYS, "trust", "hinges", "bin", nulls_last=True)
    )


def added(parts: pl.DataFrame, *keys: str) -> pl.DataFrame:
    """Sums of many parts as one row a key: the amounts and counts of SUMS; the largest cost first, ties by key."""
    counts = [name for name in SUMS if name not in (*KEYS, "trust", "hinges", "bin")]
    return (
        parts.group_by(*keys)
        .agg(pl.sum(*counts))
        .sort("cost_usd", *keys, descending=[True, *([False] * len(keys))], nulls_last=True)
    )


def quantile(parts: pl.DataFrame, share: float) -> Decimal | None:
    """The cost of a call below which `share` of the calls that cost something lie, at most 12 % off [USD].

    Nearest rank, as the tables of reports have it; the answer is the geometric middle of its bin.
    """
    bins = parts.drop_nulls("bin").group_by("bin").agg(pl.sum("requests")).sort("bin")
    total = int(bins["requests"].sum())
    if not total:
        return None
    rank = max(1, math.ceil(share * total))
    number = bins.filter(pl.col("requests").cum_sum() >= rank)["bin"].item(0)
    return Decimal(10 ** ((number + 0.5) / BINS))


def stamp(book: PriceBook) -> str:
    """Changes when the same calls would add up to something else: other prices, or another program."""
    return f"{book.sha256[:16]}-{_code()}"


@cache
def _code() -> str:
    digest = xxhash.xxh3_64()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()
