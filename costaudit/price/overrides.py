"""What the user says about prices: negotiated rates, discounts, deployments by any name, machines of their own."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

import msgspec

from costaudit.config import suggest
from costaudit.errors import PriceError
from costaudit.price.classes import CLASSES
from costaudit.price.entry import check_rates

_KEYS = (
    "match",
    "token_multiplier",
    "rates_per_mtok",
    "rates",
    "base_model",
    "usd_per_hour",
    "valid_from",
    "valid_to",
    "note",
)


class Located(Protocol):
    """A mapping and where it stands (`costaudit.config.Located`)."""

    @property
    def data(self) -> Mapping[str, Any]: ...
    @property
    def where(self) -> str: ...


class Override(msgspec.Struct, frozen=True):
    """A user's price for the calls it matches, in force from `valid_from` until `valid_to`.

    match             glob over `provider/model` as the log writes them, case-insensitive
    token_multiplier  on all token classes; never on fees
    rates             class -> USD per the unit of the class; replaces only the classes it names
    base_model        entry to price as, `provider/model` or a model of the same provider
    usd_per_hour      a machine of one's own: calls cost their duration, tokens nothing
    where             file:line, for messages
    """

    match: str
    token_multiplier: Decimal | None = None
    rates: Mapping[str, Decimal] = msgspec.field(default_factory=dict)
    base_model: str = ""
    usd_per_hour: Decimal | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    where: str = ""

    def matches(self, provider: str, model: str) -> bool:
        return fnmatch.fnmatchcase(f"{provider}/{model}".lower(), self.match.lower())

    def holds(self, moment: datetime) -> bool:
        return (self.valid_from is None or self.valid_from <= moment) and (
            self.valid_to is None or moment < self.valid_to
        )


def parse_overrides(entries: Iterable[Located]) -> tuple[Override, ...]:
    """The overrides of a settings file, in its order; PriceError names file, line and key of what is wrong."""
    return tuple(parse_override(entry.data, entry.where) for entry in entries)


def parse_override(data: Mapping[str, Any], where: str) -> Override:
    """One override from plain values (numbers as int, Decimal or decimal string)."""
    for key in data:
        if key not in _KEYS:
            raise PriceError(f"{where}: unknown key {key!r} in a price", hint=suggest(str(key), _KEYS))
    match = data.get("match")
    if not isinstance(match, str) or "/" not in match:
        raise PriceError(
            f"{where}: a price needs `match: provider/model` (globs allowed), not {match!r}",
            hint="e.g. match: openai/gpt-5*, or match: '*/my-deployment'",
        )
    override = Override(
        match=match,
        token_multiplier=_amount(data, "token_multiplier", where),
        rates=_rates(data, where),
        base_model=_text(data, "base_model", where),
        usd_per_hour=_amount(data, "usd_per_hour", where),
        valid_from=_moment(data, "valid_from", where),
        valid_to=_moment(data, "valid_to", where),
        where=where,
    )
    if override.valid_from and override.valid_to and override.valid_from >= override.valid_to:
        raise PriceError(f"{where}: valid_to is not after valid_from")
    if not (override.rates or override.base_model) and override.token_multiplier is override.usd_per_hour is None:
        raise PriceError(
            f"{where}: the price of {match} says nothing",
            hint="give rates_per_mtok, rates, token_multiplier, base_model or usd_per_hour",
        )
    return override


def _rates(data: Mapping[str, Any], where: str) -> dict[str, Decimal]:
    """`rates_per_mtok` (token classes) and `rates` (any class, in its own unit) together."""
    rates: dict[str, Decimal] = {}
    for key in ("rates_per_mtok", "rates"):
        given = data.get(key, {})
        if not isinstance(given, Mapping):
            raise PriceError(f"{where}: {key} must be a mapping from class to price, not {given!r}")
        for name, value in given.items():
            if name not in CLASSES or (key == "rates_per_mtok" and CLASSES[name].unit != "tokens"):
                known = [c.name for c in CLASSES.values() if key == "rates" or c.unit == "tokens"]
                raise PriceError(f"{where}: {key}: unknown usage class {name!r}", hint=suggest(str(name), known))
            rates[name] = _decimal(value, f"{where}: {key}.{name}")
    try:
        check_rates(rates)
    except ValueError as error:
        raise PriceError(f"{where}: {error}") from error
    return rates


def _amount(data: Mapping[str, Any], key: str, where: str) -> Decimal | None:
    return _decimal(data[key], f"{where}: {key}") if key in data else None


def _decimal(value: Any, where: str) -> Decimal:
    if value is None:
        raise PriceError(
            f"{where} has no number yet",
            hint="fill in what the provider's price page says, tokens in USD per million (0 where it is free)",
        )
    try:
        number = Decimal(str(value).replace("_", "")) if not isinstance(value, bool) else Decimal("nan")
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite() or not 0 <= number < 10**9:
        raise PriceError(f"{where} must be a number from 0, not {value!r}")
    return number


def _text(data: Mapping[str, Any], key: str, where: str) -> str:
    value = data.get(key, "")
    if not isinstance(value, str):
        raise PriceError(f"{where}: {key} must be text, not {value!r}")
    return value


def _moment(data: Mapping[str, Any], key: str, where: str) -> datetime | None:
    """A date (midnight UTC) or a time with its offset; YAML may have read either already."""
    value = data.get(key)
    if value is None:
        return None
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value) if len(value) > 10 else date.fromisoformat(value)
        if isinstance(value, datetime):
            return value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)
        if isinstance(value, date):
            return datetime.combine(value, time(), UTC)
    except ValueError as error:
        raise PriceError(f"{where}: {key}: {error}") from error
    raise PriceError(f"{where}: {key} must be a date, e.g. 2026-10-31, not {value!r}")
