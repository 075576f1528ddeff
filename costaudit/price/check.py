"""What can be wrong with a price book that can be read: gaps, overlaps, staleness, figures that look mistyped."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import pairwise

import msgspec

from costaudit.price.book import PriceBook
from costaudit.price.entry import Model, Period, Provider
from costaudit.price.match import ambiguous

STALE = 45  # days; vendors announce a change of price about monthly
JUMP = Decimal(5)  # times dearer or cheaper from one period to the next; the largest announced change is a fifth
DEAREST = Decimal(1_000)  # USD per million tokens; the dearest listed output is 600


class Problem(msgspec.Struct, frozen=True):
    """One thing to look at. An `error` makes prices wrong, a `warning` may be right."""

    kind: str
    where: str
    what: str


def check(book: PriceBook, today: date) -> list[Problem]:
    """Every problem of the book, errors first, in order of provider and model."""
    found = [problem for provider in book.all() for problem in _provider(provider, today)]
    return sorted(found, key=lambda p: (p.kind, p.where, p.what))


def _provider(provider: Provider, today: date) -> Iterator[Problem]:
    newest = max((source.read_on for source in provider.sources.values()), default=None)
    if newest is not None and (today - newest).days > STALE:
        yield Problem("warning", provider.provider, f"prices were read {(today - newest).days} days ago, on {newest}")
    for spelling, names in ambiguous(provider).items():
        yield Problem("warning", provider.provider, f"{spelling!r} stands for {', '.join(names)}: it is not resolved")
    for name, model in provider.models.items():
        where = f"{provider.provider}:{name}"
        for kind, what in (*_periods(model), *_figures(model)):
            yield Problem(kind, where, what)


def _periods(model: Model) -> Iterator[tuple[str, str]]:
    for earlier, later in pairwise(model.prices):
        end, start = earlier.end, later.start
        if end is None or start is None:
            continue
        if end > start:
            yield "error", f"periods overlap: one ends {earlier.until}, the next starts {later.since}"
        if end < start:
            yield "warning", f"no price from {earlier.until} until {later.since}"
    for earlier, later in pairwise(model.prices):
        for name in earlier.rates.keys() & later.rates.keys():
            before, after = earlier.rates[name], later.rates[name]
            if before and after and not 1 / JUMP <= after / before <= JUMP:
                yield "warning", f"{name} jumps from {before:f} to {after:f} on {later.since}"


def _figures(model: Model) -> Iterator[tuple[str, str]]:
    for period in model.prices:
        since = f" (since {period.since})" if period.since else ""
        if period.status == "priced" and not any(_all_rates(period)):
            yield "error", f"a priced period has no price above 0{since}"
        rates = period.rates
        if "input" in rates and rates.get("cache_read", Decimal(0)) > rates["input"]:
            yield "warning", f"a cached token costs more than a fresh one{since}"
        if any(rates.get(name, Decimal(0)) > DEAREST for name in ("input", "output")):
            yield "warning", f"over ${DEAREST:,} per million tokens{since}"


def _all_rates(period: Period) -> Iterator[Decimal]:
    yield from period.rates.values()
    yield from (rate for fees in period.sizes.values() for rate in fees.values())
