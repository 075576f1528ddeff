"""The nouns of the price book, as one provider's YAML file writes them.

Rates are decimal strings in US dollars per unit of their class (`classes.CLASSES`): tokens per million, searches and
pages per thousand, audio seconds per hour. A file is appended to: a new rate is a new period, the past keeps its price.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from itertools import pairwise
from typing import Literal

import msgspec

from costaudit.price.classes import CLASSES

MAX_RATE = Decimal(10) ** 9  # USD per unit; keeps tokens × rate inside Decimal(38, 18)
MAX_PLACES = 18  # decimals of a rate per single unit

Rates = dict[str, Decimal]
Status = Literal["priced", "free", "subscription"]


def check_rates(rates: Rates) -> None:
    """Raise ValueError for a class nobody knows or a rate that is no amount."""
    for name, rate in rates.items():
        _check_rate(name, rate)


@cache  # a book repeats its rates: a few hundred stand for thousands
def _check_rate(name: str, rate: Decimal) -> None:
    if name not in CLASSES:
        raise ValueError(f"unknown usage class {name!r}")
    if not rate.is_finite() or not 0 <= rate < MAX_RATE:
        raise ValueError(f"{name}: not a price: {rate}")
    per_unit = (rate / CLASSES[name].per).normalize().as_tuple().exponent
    if CLASSES[name].unit != "s" and isinstance(per_unit, int) and -per_unit > MAX_PLACES:
        raise ValueError(f"{name}: {rate} needs more than {MAX_PLACES} decimals per unit")


def instant(written: str) -> datetime:
    """`2026-07-30` (midnight UTC) or `2026-08-16T16:00:00Z` as a moment in UTC; ValueError otherwise."""
    if len(written) == len("2026-07-30"):
        return datetime.combine(date.fromisoformat(written), time(), UTC)
    moment = datetime.fromisoformat(written)
    if moment.tzinfo is None:
        raise ValueError(f"{written!r} has no offset from UTC")
    return moment.astimezone(UTC)


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rates of a whole request whose prompt has more than `above` tokens; classes left out keep the lower step's."""

    above: int
    rates: Rates

    def __post_init__(self) -> None:
        if self.above < 0:
            raise ValueError(f"a step cannot start above {self.above} tokens")
        check_rates(self.rates)


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rates of one tier, or of the hours of a schedule; a class left out keeps the standard rate and steps.

    source   where the card was read, when not where its period was
    """

    rates: Rates
    over: tuple[Step, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        check_rates(self.rates)
        check_steps(self.over)


def check_steps(over: tuple[Step, ...]) -> None:
    starts = [step.above for step in over]
    if starts != sorted(set(starts)):
        raise ValueError("steps must be in rising order of `above`")


class Period(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model costs from `since` until the next period (or `until`).

    source   key of the file's `sources`: where the figures were read, and when
    tiers    batch, flex, priority, fast, ultrafast: their own cards
    hours    schedule of the file -> card in force during it
    sizes    Perplexity's search context size -> fees that depend on it
    uplift   region -> multiplier on all token classes; `*` for any region not named
    least    class -> smallest quantity billed for a request
    filled   source -> classes of `rates` that were read there and not at `source`
    """

    source: str
    rates: Rates = {}
    since: str = ""
    until: str = ""
    over: tuple[Step, ...] = ()
    tiers: dict[str, Card] = {}
    hours: dict[str, Card] = {}
    sizes: dict[str, Rates] = {}
    uplift: dict[str, Decimal] = {}
    least: dict[str, Decimal] = {}
    filled: dict[str, tuple[str, ...]] = {}
    status: Status = "priced"

    def __post_init__(self) -> None:
        check_rates(self.rates)
        check_steps(self.over)
        for rates in self.sizes.values():
            check_rates(rates)
        for place, factor in self.uplift.items():
            if not factor.is_finite() or not 0 < factor < 100:
                raise ValueError(f"uplift of {place!r} is no multiplier: {factor}")
        if len(self.hours) > 1:
            raise ValueError("a period follows one schedule at most")
        for name in self.least:
            if name not in CLASSES:
                raise ValueError(f"unknown usage class {name!r}")
        if self.since and self.until and instant(self.since) >= instant(self.until):
            raise ValueError(f"the period from {self.since} ends before it starts")

    @property
    def start(self) -> datetime | None:
        return instant(self.since) if self.since else None

    @property
    def end(self) -> datetime | None:
        return instant(self.until) if self.until else None


class Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is known about a model besides its price; None: not known.

    context, output   largest prompt and answer [tokens]
    cache_minimum     shortest prompt a cache keeps [tokens]
    cache_lifetimes   lifetimes that can be asked for, the default first: 5m, 30m, 1h, 12h
    same_as           group of entries with identical weights, sold by different providers
    """

    context: int | None = None
    output: int | None = None
    tools: bool | None = None
    vision: bool | None = None
    structured_output: bool | None = None
    cache_minimum: int | None = None
    cache_lifetimes: tuple[str, ...] = ()
    same_as: str = ""


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model of one provider: other documented names, facts, and dated prices in order of time."""

    prices: tuple[Period, ...]
    aliases: tuple[str, ...] = ()
    facts: Facts = Facts()

    def __post_init__(self) -> None:
        if not self.prices:
            raise ValueError("no prices")
        starts = [p.start for p in self.prices]
        for before, after in pairwise(starts):
            if after is None or (before is not None and after <= before):
                raise ValueError("periods must be in order of `since`")


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where figures were read, and on which day."""

    title: str
    read_on: date
    url: str = ""


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hours of the day, in UTC, in which other rates hold.

    utc       [from, to) as HH:MM; an interval may pass midnight
    weekdays  days it holds on, 1 Monday .. 7 Sunday, by the calendar of `offset_hours` from UTC
    holidays  days of that calendar on which it does not hold
    """

    utc: tuple[tuple[str, str], ...]
    weekdays: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
    offset_hours: int = 0
    holidays: tuple[date, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        for start, end in self.utc:
            time.fromisoformat(start), time.fromisoformat(end)
        if not self.weekdays or not set(self.weekdays) <= set(range(1, 8)):
            raise ValueError(f"weekdays are 1 to 7, not {self.weekdays}")
        if not -12 <= self.offset_hours <= 14:
            raise ValueError(f"no calendar is {self.offset_hours} hours from UTC")


class Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One price file.

    fees      dated fees that hold for every model of the provider without one of its own
    list_of   for a subscription: the provider whose list prices its calls are compared with
    """

    provider: str
    sources: dict[str, Source] = {}
    models: dict[str, Model] = {}
    currency: Literal["USD"] = "USD"
    schedules: dict[str, Schedule] = {}
    fees: tuple[Period, ...] = ()
    list_of: str = ""
