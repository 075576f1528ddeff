"""What the book asks for cached tokens, where each kind of call is served."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import polars as pl

from costaudit.analyze._cache import LIVES, MINIMUM, WRITES
from costaudit.price.book import PriceBook
from costaudit.price.engine import price

PROBE = 1_000  # tokens; under every long-context step, so that a rate can be read off a price


class Rates(msgspec.Struct, frozen=True):
    """Price of a cached token in fresh ones: of a read, and of a write by lifetime, where it costs more."""

    read: float
    writes: dict[str, float] = msgspec.field(default_factory=dict)
    minimum: int = MINIMUM


def rates_by(calls: pl.DataFrame, book: PriceBook) -> dict[int, Rates | None]:
    """What the book asks for cached tokens, by `cached_as`, read off the price of probes; None where a read is not
    cheaper. One pass prices the probes of all kinds of calls.

    calls   cached_as, price_entry and what pricing reads; one of a kind will do
    """
    samples = calls.unique("cached_as", keep="first", maintain_order=True)
    none = dict.fromkeys(
        ("cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", *WRITES.values()), 0
    )
    probes = [
        {},
        {"cache_read_tokens": PROBE},
        *({"cache_write_tokens": PROBE, name: PROBE} for name in WRITES.values()),
    ]
    asked = pl.concat(
        [
            samples.with_columns(
                **{name: pl.lit(value, pl.Int64) for name, value in (none | {"input_tokens": PROBE} | probe).items()},
                extras=pl.lit(None, samples.schema["extras"]),
            )
            for probe in probes
        ]
    )
    costs = [None if usd is None else float(usd) for usd in price(asked, book)["cost_usd"]]
    kinds = samples.select("cached_as", "price_entry").rows()
    return {key: _rates(costs[nth :: len(kinds)], entry or "", book) for nth, (key, entry) in enumerate(kinds)}


def _rates(costs: Sequence[float | None], entry: str, book: PriceBook) -> Rates | None:
    """The rates behind the costs of the probes of one entry."""
    fresh, read, *written = costs
    if not fresh or read is None or read >= fresh:
        return None
    model = book.find(*entry.split(":", 1)) if ":" in entry else None
    sold = model.facts.cache_lifetimes if model else ()
    writes = {
        life: usd / fresh
        for life, usd in zip(LIVES, written, strict=True)
        if usd is not None and usd > fresh and (not sold or life in sold)
    }
    # A lifetime without a rate of its own falls back to the shorter one's: it is not sold.
    own = {
        life: w for nth, (life, w) in enumerate(writes.items()) if life in sold or w not in list(writes.values())[:nth]
    }
    minimum = model.facts.cache_minimum if model and model.facts.cache_minimum else MINIMUM
    return Rates(read / fresh, own, minimum)
