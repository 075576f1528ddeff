"""litellm's cost map: breadth, current tiers, uplifts, fees, model facts; one undated price a model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import msgspec

from costaudit.price.sources import Card, Item, Rates, Span, usd, writes

PROVIDERS = {  # its name -> ours; others keep theirs with hyphens
    "text-completion-openai": "openai",
    "gemini": "google",
    "xai": "x-ai",
    "voyage": "voyageai",
    "bedrock_converse": "bedrock",
    "azure_text": "azure",
    "azure_ai": "azure",
    "cohere_chat": "cohere",
    "codestral": "mistral",
    "text-completion-codestral": "mistral",
    "fireworks_ai": "fireworks",
    "fireworks_ai-embedding-models": "fireworks",
    "together_ai": "together",
    "moonshot": "moonshotai",
    "text-completion-inception": "inception",
    "meta_llama": "meta",
}
PREFIXES = {"openai", "text-completion-openai", "gemini", "xai", "voyage", "bedrock", "azure", "azure_ai", "cohere"}
PREFIXES |= {"fireworks_ai", "together_ai", "moonshot", "vertex_ai", "codestral", "text-completion-codestral"}
PREFIXES |= {"meta_llama", "text-completion-inception"}
TIERS = ("batches", "flex", "priority", "ultrafast")
_KEY = re.compile(
    r"(?P<what>.+?)(?:_above_(?P<life>1hr|12hr))?(?:_above_(?P<k>\d+)k_tokens)?(?:_(?P<tier>batches|flex|priority|ultrafast))?$"
)
TOKENS = {
    "input_cost_per_token": "input",
    "cache_read_input_token_cost": "cache_read",
    "input_cost_per_token_cache_hit": "cache_read",
    "cache_creation_input_token_cost": "",  # by provider and lifetime
    "output_cost_per_token": "output",
    "output_cost_per_reasoning_token": "reasoning",
    "citation_cost_per_token": "citation",
    "input_cost_per_audio_token": "input_audio",
    "cache_read_input_audio_token_cost": "cache_read_audio",
    "output_cost_per_audio_token": "output_audio",
    "input_cost_per_image_token": "input_image",
    "cache_read_input_image_token_cost": "cache_read_image",
    "output_cost_per_image_token": "output_image",
    "input_cost_per_video_token": "input_video",
    "output_cost_per_video_token": "output_video",
}
OTHERS = {
    "input_cost_per_character": ("characters", 1_000_000),
    "ocr_cost_per_page": ("pages", 1_000),
    "annotation_cost_per_page": ("annotated_pages", 1_000),
    "output_cost_per_image": ("images", 1),
    "code_interpreter_cost_per_session": ("code_sessions", 1),
    "input_cost_per_text_message": ("text_messages", 1_000),
}
FACTS = {
    "max_input_tokens": "context",
    "max_output_tokens": "output",
    "supports_function_calling": "tools",
    "supports_vision": "vision",
    "supports_response_schema": "structured_output",
    "prompt_cache_min_tokens": "cache_minimum",
}


class Litellm(msgspec.Struct, frozen=True):
    """The cost map of the package that is installed, or one in a file."""

    title: str
    entries: dict[str, dict[str, Any]]

    @classmethod
    def read(cls, file: Path | None = None) -> Litellm:
        """Raises ImportError where the package is not installed, ValueError for a file that is no cost map.

        The package is not imported: its import takes seconds and asks the network.
        """
        title = file.name if file else ""
        if file is None:
            package = distribution("litellm")
            title = f"litellm {package.version}"
            file = Path(str(package.locate_file("litellm/model_prices_and_context_window_backup.json")))
        data = json.loads(file.read_text("utf-8"))
        if not isinstance(data, dict) or not all(isinstance(entry, dict) for entry in data.values()):
            raise ValueError("not a cost map of litellm: it must map model names to objects")
        found = {key: e for key, e in data.items() if key != "sample_spec" and e.get("litellm_provider")}
        return cls(title, found)

    def names(self) -> list[str]:
        return sorted({provider_of(entry) for entry in self.entries.values()})

    def items(self, provider: str) -> Iterator[Item]:
        """The models of one provider (our name) that have a price above 0: this package writes 0 for "not known"."""
        for key, entry in sorted(self.entries.items(), key=_fullest):
            if provider_of(entry) == provider:
                name = _name(key, entry)
                span = _span(provider, name, entry)
                if any(span.card.rates.values()) or any(any(s.values()) for s in span.sizes.values()):
                    yield Item(name, [span], facts=_facts(entry))


def provider_of(entry: dict[str, Any]) -> str:
    listed = str(entry["litellm_provider"])
    if listed.startswith("vertex_ai"):
        return "vertex"
    return PROVIDERS.get(listed, listed.replace("_", "-").replace(".", "-"))


def _fullest(pair: tuple[str, dict[str, Any]]) -> tuple[int, str]:
    """The entry that says most about prices first: one model often stands under several keys."""
    key, entry = pair
    return -sum("cost" in field or "multiplier" in field for field in entry), key


def _name(key: str, entry: dict[str, Any]) -> str:
    head, _, rest = key.partition("/")
    own = {str(entry["litellm_provider"]), str(entry["litellm_provider"]).replace("_", "-")} | PREFIXES
    name = rest if rest and head in own else key
    region, _, plan = name.partition("/")
    if "-commitment/" in plan:  # capacity: one second of one model unit, bought for months
        term, _, model = plan.partition("-commitment/")
        return f"provisioned:{model}/{region}/{term}"
    return name


def _span(provider: str, name: str, entry: dict[str, Any]) -> Span:
    write = writes(provider, name)
    cards: dict[str, Card] = {"": Card()}
    for key, value in entry.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            _token_rate(cards, write, key, value)
    for key, (kind, per) in OTHERS.items():
        if entry.get(key):
            cards[""].rates[kind] = usd(entry[key], per)
        if entry.get(f"{key}_batches"):
            cards.setdefault("batches", Card()).rates[kind] = usd(entry[f"{key}_batches"], per)
    _by_mode(cards[""], entry)
    _ladder(cards[""], entry, write)
    for card in cards.values():
        _drop_plain_reasoning(card)
    standard = cards.pop("")
    span = Span(card=standard, tiers={_tier(t): card for t, card in cards.items()}, uplift=_uplift(entry))
    _fast(span, entry)
    _searches(provider, span, entry)
    return span


def _token_rate(cards: dict[str, Card], write: str, key: str, value: float) -> None:
    """One `…_cost…[_above_12hr][_above_272k_tokens][_flex]` key as a rate of its tier and step."""
    found = _KEY.match(key)
    if found is None or found["what"] not in TOKENS:
        return
    name = TOKENS[found["what"]]
    if not name:
        if not value:
            return  # a write of no price is one nobody sells: it costs plain input
        name = {"1hr": "cache_write_1h", "12hr": "cache_write_12h"}.get(found["life"] or "", write)
    card = cards.setdefault(found["tier"] or "", Card())
    rates = card.over.setdefault(int(found["k"]) * 1_000, {}) if found["k"] else card.rates
    rates[name] = usd(value, 1_000_000)


def _by_mode(card: Card, entry: dict[str, Any]) -> None:
    """Prices whose meaning depends on what the model does."""
    mode = entry.get("mode")
    second = entry.get("input_cost_per_second") or entry.get("output_cost_per_second")
    if entry.get("cost_per_second") and mode in ("chat", "completion"):
        card.rates.clear()
        card.rates["provisioned_seconds"] = usd(entry["cost_per_second"], 1)
    elif mode == "video_generation" and (video := entry.get("output_cost_per_video_per_second") or second):
        card.rates["video_seconds"] = usd(video, 1)
    elif mode in ("audio_transcription", "audio_speech", "realtime") and second:
        card.rates["audio_seconds"] = usd(second, 3_600)
    if entry.get("input_cost_per_query"):
        card.rates["search_queries" if mode == "search" else "rerank_search"] = usd(
            entry["input_cost_per_query"], 1_000
        )


def _ladder(card: Card, entry: dict[str, Any], write: str) -> None:
    """Alibaba's price by length of prompt: each step up to and including its upper bound."""
    for nth, step in enumerate(entry.get("tiered_pricing") or ()):
        if "range" not in step:
            return
        rates = {TOKENS[key] or write: usd(value, 1_000_000) for key, value in step.items() if key in TOKENS}
        if nth == 0:
            card.rates.update(rates)
        else:
            card.over[int(step["range"][0])] = rates


def _drop_plain_reasoning(card: Card) -> None:
    """Reasoning that costs what output costs is output."""
    if card.rates.get("reasoning") == card.rates.get("output"):
        card.rates.pop("reasoning", None)


def _tier(listed: str) -> str:
    return "batch" if listed == "batches" else listed


def _uplift(entry: dict[str, Any]) -> Rates:
    uplift = {
        region: usd(entry[f"regional_processing_uplift_multiplier_{region}"], 1)
        for region in ("eu", "us")
        if f"regional_processing_uplift_multiplier_{region}" in entry
    }
    if "regional_endpoint_uplift_multiplier" in entry:
        uplift = {"global": Decimal(1), "*": usd(entry["regional_endpoint_uplift_multiplier"], 1)}
    if "us" in (own := entry.get("provider_specific_entry") or {}):
        uplift["us"] = usd(own["us"], 1)
    return uplift


def _fast(span: Span, entry: dict[str, Any]) -> None:
    """Anthropic's fast mode: a multiple of every token class, cache classes included."""
    factor = (entry.get("provider_specific_entry") or {}).get("fast")
    if factor:
        tokens = {k: v for k, v in span.card.rates.items() if not k.endswith("search")}
        span.tiers["fast"] = Card({k: v * usd(factor, 1) for k, v in tokens.items()})


def _searches(provider: str, span: Span, entry: dict[str, Any]) -> None:
    """The fee for one search; at Perplexity for each request, but for deep research, which counts its searches."""
    by_size = entry.get("search_context_cost_per_query") or {}
    fees = {size.removeprefix("search_context_size_"): usd(fee, 1_000) for size, fee in by_size.items() if fee}
    name = "requests" if provider == "perplexity" and len(set(fees.values())) > 1 else "web_search"
    if len(set(fees.values())) == 1:
        span.card.rates[name] = next(iter(fees.values()))
    elif fees:
        span.sizes = {size: {name: fee} for size, fee in sorted(fees.items())}


def _facts(entry: dict[str, Any]) -> dict[str, object]:
    facts: dict[str, object] = {}
    for key, name in FACTS.items():
        value = entry.get(key)
        if isinstance(value, bool) or (isinstance(value, int) and value > 0):
            facts[name] = value
    return facts
