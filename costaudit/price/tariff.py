"""What one kind of call costs over time: provider, model, tier, place -> dated rates with their steps.

Worked out once for each combination a log holds, in plain Python; `engine` applies it to the rows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from costaudit.price.book import PriceBook
from costaudit.price.classes import CLASSES, TOKENS
from costaudit.price.entry import Card, Model, Period, Provider, Rates
from costaudit.price.match import Match, match
from costaudit.price.overrides import Override

ONE = Decimal(1)
ALWAYS = datetime.min.replace(tzinfo=UTC)
STANDARD = frozenset({"", "standard", "default", "auto", "on_demand", "scale", "not_available"})
_SAME_TIER = {
    "fast": "priority"
}  # OpenAI sells one thing under both names; Anthropic's fast mode has a card of its own


class Key(NamedTuple):
    """What selects a price, as the request table writes it."""

    provider: str | None
    model: str | None
    service_tier: str | None = None
    region: str | None = None
    search_context_size: str | None = None


class Rate(msgspec.Struct, frozen=True):
    """A published rate [USD per `CLASSES[...].per` units] and the multiplier on it (uplift, negotiated)."""

    rate: Decimal
    multiplier: Decimal = ONE

    def per_unit(self, name: str) -> Decimal:
        return self.rate * self.multiplier / CLASSES[name].per


class Tariff(msgspec.Struct, frozen=True):
    """What holds between two price changes.

    status  priced, free, subscription or unpriced
    provider  the book's name of the price file; "" for none
    steps   (above, class -> Rate) in rising order; the first is (-1, ...)
    hours   a schedule of the provider, and the tariff in force during it
    least   class -> smallest quantity billed
    """

    status: str
    entry: str
    since: str
    source: str
    steps: tuple[tuple[int, Mapping[str, Rate]], ...]
    provider: str = ""
    hours: tuple[str, Tariff] | None = None
    least: Mapping[str, Decimal] | None = None
    notes: tuple[str, ...] = ()


class Timeline(msgspec.Struct, frozen=True):
    """Tariffs of one key in order of time; each holds from its start to the next one's."""

    starts: tuple[datetime, ...]
    tariffs: tuple[Tariff, ...]

    def at(self, moment: datetime) -> Tariff:
        return self.tariffs[bisect_right(self.starts, moment) - 1]


def timeline(book: PriceBook, key: Key) -> Timeline:
    """Everything the book and the user say about one kind of call; remembered by the book."""
    memo = ("timeline", key)
    if memo not in book.memo:
        book.memo[memo] = _timeline(book, key)
    found: Timeline = book.memo[memo]
    return found


def _timeline(book: PriceBook, key: Key) -> Timeline:
    provider = key.provider or ""
    asked = [o for o in book.overrides if o.matches(provider, key.model or "")]
    if not asked and key.model:
        found = match(book, key.provider, key.model, key.region)
        asked = [o for o in book.overrides if o.matches(found.provider, found.name)]
    turns = {ALWAYS} | {t for o in asked for t in (o.valid_from, o.valid_to) if t is not None}
    starts: list[datetime] = []
    tariffs: list[Tariff] = []
    ordered = sorted(turns)
    for start, end in zip(ordered, [*ordered[1:], None], strict=True):
        holding = [o for o in asked if o.holds(start)]
        for since, tariff in _between(book, key, holding, start, end):
            starts.append(since)
            tariffs.append(tariff)
    return Timeline(tuple(starts), tuple(tariffs))


def _between(
    book: PriceBook, key: Key, holding: list[Override], start: datetime, end: datetime | None
) -> list[tuple[datetime, Tariff]]:
    """The tariffs of a stretch of time in which the same overrides hold."""
    found, tier, free = _entry(book, key, holding)
    if found.model is None:
        return [(start, _overridden(_no_entry(found, free), holding))]
    file = book.provider(found.lister)
    assert file is not None  # a match with a model comes from a file
    turns = {start}
    for period in (*found.model.prices, *file.fees):
        turns |= {t for t in (period.start, period.end) if t is not None and start < t and (end is None or t < end)}
    tariffs = []
    for moment in sorted(turns):
        tariff = _tariff(file, found.model, found, key, tier, moment)
        if found.lister != found.provider and tariff.status == "priced":
            tariff = replace(tariff, status="subscription")
        tariffs.append((moment, _overridden(tariff, holding)))
    return tariffs


def _entry(book: PriceBook, key: Key, holding: list[Override]) -> tuple[Match, str, bool]:
    """The entry a key stands for under the overrides in force, its tier, and whether it is free by its name."""
    provider, model = key.provider, key.model or ""
    mapped: tuple[str, ...] = ()
    for override in holding:
        if override.base_model:
            base, _, rest = override.base_model.partition("/")
            named = book.canonical(base)
            provider = named if rest and book.provider(named) is not None else key.provider
            model = override.base_model
            mapped = (f"user mapping: {override.match} is {override.base_model}",)
    found = (
        match(book, provider, model, key.region) if model else Match(provider or "", "", steps=("no model in the log",))
    )
    found = replace(found, steps=(*mapped, *found.steps))
    return found, (found.tier or key.service_tier or "").lower(), found.free


def _no_entry(found: Match, free: bool) -> Tariff:
    status = "free" if free else "unpriced"
    return Tariff(status, found.entry if free else "", "", "", ((-1, {}),), notes=found.steps)


def _period(periods: tuple[Period, ...], moment: datetime) -> Period | None:
    """The period in force; the first one reaches back to the launch of the model when it has no start."""
    for period in reversed(periods):
        if period.start is None or period.start <= moment:
            return period if period.end is None or moment < period.end else None
    return None


def _tariff(file: Provider, entry: Model, found: Match, key: Key, tier: str, moment: datetime) -> Tariff:
    period = _period(entry.prices, moment)
    if period is None:
        notes = (*found.steps, "no price in force on that day")
        return Tariff("unpriced", found.entry, "", "", ((-1, {}),), notes=notes)
    fees = _period(file.fees, moment)
    sized = period.sizes.get(key.search_context_size or "low") or {}
    extra = {**(fees.rates if fees else {}), **period.rates, **sized}
    factor, place = _uplift(period, found.region or key.region)
    notes = found.steps + ((f"×{factor} for {place}",) if factor != ONE else ())
    card, told = _card(period, tier)
    status: str = period.status
    if tier == "provisioned" and status == "priced":
        status = "subscription"
        told = ("provisioned capacity is paid by time, not by the token",)
    source = file.sources[period.source]
    made = Tariff(
        status,
        found.entry,
        period.since,
        f"{source.title}, read {source.read_on}",
        _steps(period, card, extra, factor),
        provider=file.provider,
        least=period.least,
        notes=notes + told,
    )
    for schedule, hourly in period.hours.items():
        during = replace(made, steps=_steps(period, hourly, extra, factor), notes=(*made.notes, f"hours: {schedule}"))
        return replace(made, hours=(schedule, during))
    return made


def _uplift(period: Period, region: str | None) -> tuple[Decimal, str]:
    place = (region or "").lower()
    if not place:
        return ONE, ""
    return period.uplift.get(place, period.uplift.get("*", ONE)), place


def _card(period: Period, tier: str) -> tuple[Card | None, tuple[str, ...]]:
    """The card of a tier; None, with a note, where the vendor lists none: then the standard rates hold."""
    if tier in STANDARD:
        return None, ()
    for name in (tier, _SAME_TIER.get(tier, tier)):
        if name in period.tiers:
            return period.tiers[name], (f"{tier} tier",)
    return None, (f"no {tier} rates are listed: standard rates",)


def _steps(
    period: Period, card: Card | None, extra: Rates, factor: Decimal
) -> tuple[tuple[int, Mapping[str, Rate]], ...]:
    """Rates for every length of prompt: what the card says of a class and a length holds, else the standard rate."""
    starts = sorted({-1, *(s.above for s in period.over), *(s.above for s in (card.over if card else ()))})
    made = []
    for above in starts:
        rates = dict(extra)
        for step in period.over:
            if step.above <= above:
                rates.update(step.rates)
        if card:
            rates.update(card.rates)
            for step in card.over:
                if step.above <= above:
                    rates.update(step.rates)
        made.append((above, {n: Rate(r, factor if n in TOKENS else ONE) for n, r in rates.items()}))
    return tuple(made)


def _overridden(tariff: Tariff, holding: list[Override]) -> Tariff:
    """The tariff after the user's own prices; where two overrides speak of the same thing the later one wins."""
    rates: dict[str, Decimal] = {}
    factor = None
    for override in holding:
        rates.update(override.rates)
        if override.usd_per_hour is not None:
            rates.update(dict.fromkeys(TOKENS, Decimal(0)), machine_seconds=override.usd_per_hour)
        factor = override.token_multiplier if override.token_multiplier is not None else factor
    if not rates and factor is None:
        return tariff
    steps = tuple((above, _renegotiated(listed, rates, factor)) for above, listed in tariff.steps)
    hours = (tariff.hours[0], _overridden(tariff.hours[1], holding)) if tariff.hours else None
    told = "; ".join(f"{o.match} ({o.where})" if o.where else o.match for o in holding)
    known = "priced" if rates else tariff.status
    entry = tariff.entry or f"override:{holding[-1].match}"
    notes = (*tariff.notes, f"user price: {told}")
    return replace(tariff, status=known, entry=entry, steps=steps, hours=hours, notes=notes)


def _renegotiated(
    listed: Mapping[str, Rate], rates: Mapping[str, Decimal], factor: Decimal | None
) -> Mapping[str, Rate]:
    """Classes the user names are theirs, uplift included; the multiplier holds for all token classes."""
    merged = {**listed, **{name: Rate(rate) for name, rate in rates.items()}}
    if factor is None:
        return merged
    return {n: replace(r, multiplier=r.multiplier * factor) if n in TOKENS else r for n, r in merged.items()}
