"""Public price lists in one form: what other packages know about prices.

Read when the book is built (`pricing/build.py`) and by `costaudit prices import`, never to price a log. A list is read
from the package a user has installed or from its data file; none is imported before it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Protocol

import msgspec

Rates = dict[str, Decimal]
FINEST = Decimal("1e-12")  # USD per unit of a class


class Card(msgspec.Struct):
    """Rates of one tier [USD per unit of their class], with its long-context steps: above (tokens) -> rates."""

    rates: Rates = msgspec.field(default_factory=dict)
    over: dict[int, Rates] = msgspec.field(default_factory=dict)
    source: str = ""


class Span(msgspec.Struct):
    """What a model costs from `since` (UTC; "" since launch) until the next span, or `until`."""

    since: str = ""
    until: str = ""
    card: Card = msgspec.field(default_factory=Card)
    tiers: dict[str, Card] = msgspec.field(default_factory=dict)
    hours: dict[str, Card] = msgspec.field(default_factory=dict)
    sizes: dict[str, Rates] = msgspec.field(default_factory=dict)
    uplift: Rates = msgspec.field(default_factory=dict)
    least: Rates = msgspec.field(default_factory=dict)
    filled: dict[str, list[str]] = msgspec.field(default_factory=dict)
    status: str = "priced"
    source: str = ""


class Item(msgspec.Struct):
    """One model of one provider as one package lists it."""

    name: str
    spans: list[Span]
    aliases: set[str] = msgspec.field(default_factory=set)
    facts: dict[str, object] = msgspec.field(default_factory=dict)


def usd(per_token: float | Decimal, per: int) -> Decimal:
    """A package's price per single unit as a price per `per` units, freed of binary noise (12 significant digits)."""
    exact = per_token if isinstance(per_token, Decimal) else Decimal(f"{per_token:.12g}")
    return tidy(exact * per)


def tidy(rate: Decimal) -> Decimal:
    """At most 12 decimals: a few router prices are cut-off repeating decimals."""
    return rate.quantize(FINEST).normalize()


def writes(provider: str, model: str) -> str:
    """The class a plain "cache write" is: OpenAI's live 30 minutes, everybody else's 5."""
    return "cache_write_30m" if provider == "openai" or "gpt-" in model else "cache_write_5m"


class Reader(Protocol):
    """One price list."""

    @property
    def title(self) -> str: ...
    def names(self) -> list[str]: ...
    def items(self, provider: str) -> Iterator[Item]: ...
