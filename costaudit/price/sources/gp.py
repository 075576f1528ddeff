"""genai-prices: curated standard rates with dated history, tiers, modalities and documented names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from costaudit.price.sources import Card, Item, Rates, Span, tidy, writes

PROVIDERS = {"aws": "bedrock"}  # its name -> ours, where they differ
CLASSES = {
    "input_mtok": "input",
    "cache_read_mtok": "cache_read",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
    "output_citation_mtok": "citation",
    "input_audio_mtok": "input_audio",
    "cache_audio_read_mtok": "cache_read_audio",
    "output_audio_mtok": "output_audio",
    "input_image_mtok": "input_image",
    "cache_image_read_mtok": "cache_read_image",
    "output_image_mtok": "output_image",
    "input_video_mtok": "input_video",
    "output_video_mtok": "output_video",
    "web_searches_kcount": "web_search",
    "storage_searches_kcount": "file_search",
    "audio_hours": "audio_seconds",
    "input_audio_hours": "audio_seconds",
    "input_document_kpages": "pages",
    "input_annotated_document_kpages": "annotated_pages",
    "input_mchars": "characters",
    "requests_kcount": "requests",
    "input_text_messages_kcount": "text_messages",
}
FOREVER = date(2100, 1, 1)


class GenaiPrices(msgspec.Struct, frozen=True):
    """The package that is installed, or the data file it publishes, read by the package."""

    title: str
    providers: list[Any]
    types: Any

    @classmethod
    def read(cls, file: Path | None = None) -> GenaiPrices:
        """Raises ImportError where the package is not installed, ValueError for a file it does not understand."""
        types = import_module("genai_prices.types")
        title = f"genai-prices {version('genai-prices')}"
        if file is None:
            return cls(title, import_module("genai_prices.data").providers, types)
        listed = json.loads(file.read_text("utf-8"), parse_float=Decimal)
        return cls(f"{title}, {file.name}", types._providers_from_raw(listed), types)

    def items(self, provider: str) -> Iterator[Item]:
        """The models of one provider (our name). Google's list covers Vertex too, with Claude on it."""
        home = "google" if provider == "vertex" else provider
        for listed in self.providers:
            if PROVIDERS.get(listed.id, listed.id) == home:
                for model in listed.models:
                    if provider == "google" and model.id.startswith("claude"):
                        continue
                    yield from self._named(provider, model)

    def names(self) -> list[str]:
        return [PROVIDERS.get(p.id, p.id) for p in self.providers]

    def _named(self, provider: str, model: Any) -> Iterator[Item]:
        facts = {"context": model.context_window} if model.context_window else {}
        aliases = set(self._spelled(model.match)) - {model.id}
        if provider != "bedrock":
            yield Item(model.id, self._spans(provider, model), aliases, facts)
            return
        # `regional.X` is how genai-prices writes the price inside one geography: that of the bare id X.
        name = model.id.removeprefix("regional.")
        yield Item(name, self._spans(provider, model), set(), facts)

    def _spelled(self, match: Any) -> Iterator[str]:
        """Names the package documents as whole names; parts of names (`contains`) are none."""
        if isinstance(match, self.types.ClauseEquals):
            yield match.equals
        if isinstance(match, self.types.ClauseStartsWith):
            yield match.starts_with.rstrip("-@")
        if isinstance(match, self.types.ClauseOr):
            for clause in match.or_:
                yield from self._spelled(clause)

    def _spans(self, provider: str, model: Any) -> list[Span]:
        if isinstance(model.prices, self.types.ModelPrice):
            listed: list[tuple[str, Any]] = [("", model.prices)]
        else:
            # Hours of the day stand among the dated prices; the hand-kept facts say them in full instead.
            listed = [
                (str(c.constraint.start_date) if c.constraint else "", c.prices)
                for c in model.prices
                if not isinstance(c.constraint, self.types.TimeOfDateConstraint)
            ]
            listed.sort(key=lambda pair: pair[0])
        ends = [date.fromisoformat(since) for since, _ in listed[1:]] + [FOREVER]
        return [
            Span(
                since=since,
                card=self._card(provider, model.id, price),
                tiers=self._tiers(provider, model, end - timedelta(days=1)),
                status="free" if self._free(price) else "priced",
            )
            for (since, price), end in zip(listed, ends, strict=True)
        ]

    def _free(self, price: Any) -> bool:
        """A model listed without any price above 0 is free: the package lists `:free` variants so."""
        return not any(self._base(value) for value in price.__dict__.values() if value is not None)

    def _tiers(self, provider: str, model: Any, on: date) -> dict[str, Card]:
        """The variants in force on a day; the first that names a class decides it, as in the package."""
        tiers: dict[str, Card] = {}
        noon = datetime(on.year, on.month, on.day, 12, tzinfo=UTC)
        for variant in model.price_variants or ():
            tier = variant.when.get("processing") or variant.when.get("service_tier") or variant.when.get("speed")
            if tier in (None, "default") or len(variant.when) > 1:
                continue
            if variant.constraint is not None and not variant.constraint.active(noon):
                continue
            card = self._card(provider, model.id, variant.prices)
            known = tiers.setdefault(tier, Card())
            for name in card.rates:
                if name not in known.rates:
                    known.rates[name] = card.rates[name]
                    for above, rates in card.over.items():
                        if name in rates:
                            known.over.setdefault(above, {})[name] = rates[name]
        if tiers.get("fast") == tiers.get("priority"):
            tiers.pop("fast", None)
        return {tier: card for tier, card in tiers.items() if card.rates}

    def _card(self, provider: str, model: str, price: Any) -> Card:
        rates: Rates = {}
        over: dict[int, Rates] = {}
        for key, value in price.__dict__.items():
            if value is None:
                continue
            name = writes(provider, model) if key == "cache_write_mtok" else CLASSES[key]
            rates[name] = self._base(value)
            if isinstance(value, self.types.TieredPrices):
                for tier in value.tiers:
                    over.setdefault(tier.start, {})[name] = tidy(Decimal(tier.price))
        return Card(rates, over)

    def _base(self, value: Any) -> Decimal:
        return tidy(Decimal(value.base if isinstance(value, self.types.TieredPrices) else value))
