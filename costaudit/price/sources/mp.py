"""model-prices: documented price changes to the second, batch rates, schedules and holidays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import msgspec

from costaudit.price.sources import Card, Item, Rates, Span, tidy, writes

PROVIDERS = {"xai": "x-ai", "alibaba": "dashscope", "amazon-bedrock": "bedrock"}  # its name -> ours
CLASSES = {"input": "input", "output": "output", "cache_read": "cache_read"}


class ModelPrices(msgspec.Struct, frozen=True):
    """The package that is installed."""

    title: str
    snapshot: dict[str, Any]

    @classmethod
    def read(cls) -> ModelPrices:
        text = files("model_prices").joinpath("snapshot.json").read_text("utf-8")
        return cls(f"model-prices {version('model-prices')}", json.loads(text, parse_float=Decimal, parse_int=Decimal))

    def names(self) -> list[str]:
        return [PROVIDERS.get(p, p) for p in self.snapshot["prices"]]

    def holidays(self) -> tuple[str, ...]:
        """Public holidays of the Chinese calendar that the schedules follow."""
        return tuple(self.snapshot["schedules"]["holidays"]["cn"]["dates"])

    def items(self, provider: str) -> Iterator[Item]:
        """The models of one provider (our name); a stretch without any price above 0 is a placeholder, left out."""
        for listed, models in self.snapshot["prices"].items():
            if PROVIDERS.get(listed, listed) == provider:
                for name, tiers in models.items():
                    spans = _spans(provider, name, tiers)
                    if spans:
                        yield Item(name, spans)


def _spans(provider: str, name: str, tiers: dict[str, Any]) -> list[Span]:
    spans: list[Span] = []
    for period in tiers.get("standard", ()):
        card = _card(provider, name, period["rates"])
        if card is None or (spans and spans[-1].card == card):
            continue
        if spans and not name.endswith("-latest") and _completes(card, spans[-1].card):
            spans[-1].card = card  # the list learnt of more classes; no price changed. Aliases may have moved
            continue
        spans.append(Span(since=(period["start"] or "").replace("T00:00:00Z", ""), card=card))
    if spans:
        spans[0].since = ""
    return spans


def _completes(newer: Card, older: Card) -> bool:
    """Whether a record only adds classes to the one before it: the first one was incomplete."""
    return newer.over == older.over and older.rates.items() < newer.rates.items()


def _card(provider: str, name: str, listed: dict[str, Any] | None) -> Card | None:
    if listed is None or not (listed["input"] or listed["output"]):
        return None
    rates = _rates(provider, name, listed, listed)
    over = {int(t["above"]): _rates(provider, name, t, listed) for t in listed.get("tiers", ())}
    return Card(rates, over)


def _rates(provider: str, name: str, listed: dict[str, Any], whole: dict[str, Any]) -> Rates:
    rates = {ours: tidy(listed[theirs]) for theirs, ours in CLASSES.items() if theirs in listed}
    if listed.get("cache_write"):
        write = writes(provider, name)
        rates[write] = tidy(listed["cache_write"])
        # One multiple serves both vendors: their long lifetime is 12 hours at OpenAI and 1 hour elsewhere.
        long = "cache_write_12h" if write == "cache_write_30m" else "cache_write_1h"
        if "cache_write_1h_multiple" in whole:
            rates[long] = tidy(listed["input"] * whole["cache_write_1h_multiple"])
    return rates
