"""model-prices: documented price changes to the second, batch rates, schedules and holidays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from _sources import Card, Item, Rates, Span, tidy, writes

TITLE = f"model-prices {version('model-prices')}"
PROVIDERS = {"xai": "x-ai", "alibaba": "dashscope", "amazon-bedrock": "bedrock"}  # its name -> ours
CLASSES = {"input": "input", "output": "output", "cache_read": "cache_read"}

_snapshot: dict[str, Any] = json.loads(
    files("model_prices").joinpath("snapshot.json").read_text("utf-8"), parse_float=Decimal, parse_int=Decimal
)


def names() -> list[str]:
    return [PROVIDERS.get(p, p) for p in _snapshot["prices"]]


def holidays() -> tuple[str, ...]:
    """Public holidays of the Chinese calendar that the schedules follow."""
    return tuple(_snapshot["schedules"]["holidays"]["cn"]["dates"])


def items(provider: str) -> Iterator[Item]:
    """The models of one provider (our name); a stretch without any price above 0 is a placeholder and left out."""
    for listed, models in _snapshot["prices"].items():
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
        spans.append(Span(since=(period["start"] or "").replace("T00:00:00Z", ""), card=card))
    if spans:
        spans[0].since = ""
    return spans


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
