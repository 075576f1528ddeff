"""A provider's models as the YAML a reviewer reads: one line a card, stable order, decimal strings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from costaudit.price.classes import CLASSES
from costaudit.price.sources import Card, Item, Rates, Span

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
_RANK = {name: nth for nth, name in enumerate(CLASSES)}


class Header(msgspec.Struct, frozen=True):
    """What a file says above its models.

    sources    key -> (title, day it was read, address or "")
    schedules  name -> its settings as they are written
    fees       dated fees of every model, as they are written
    """

    provider: str
    sources: dict[str, tuple[str, str, str]]
    list_of: str = ""
    schedules: Mapping[str, Mapping[str, Any]] = msgspec.field(default_factory=dict)
    fees: Sequence[Mapping[str, Any]] = ()


def provider_yaml(header: Header, models: Mapping[str, Item], groups: Mapping[str, str]) -> str:
    """The whole file of one provider; only sources that a figure refers to are named."""
    lines = [f"provider: {header.provider}", "currency: USD"]
    if header.list_of:
        lines.append(f"list_of: {header.list_of}")
    used = _used(models) | {str(fee["source"]) for fee in header.fees}
    sources = []
    for key, (title, day, address) in header.sources.items():
        if key in used:
            url = f", url: {quoted(address)}" if address else ""
            sources.append(f"  {key}: {{title: {quoted(title)}, read_on: {day}{url}}}")
    lines += ["sources:", *sources] if sources else []
    lines += _schedules(header)
    lines += _fees(header)
    lines += ["models:"] if models else []
    for key in sorted(models, key=lambda k: (models[k].name.lower(), models[k].name)):
        lines += _model(models[key], groups.get(key, ""))
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _used(models: Mapping[str, Item]) -> set[str]:
    spans = [span for item in models.values() for span in item.spans]
    cards = {card.source for span in spans for card in span.tiers.values()}
    return {span.source for span in spans} | cards | {key for span in spans for key in span.filled}


def _schedules(header: Header) -> list[str]:
    lines = ["schedules:"] if header.schedules else []
    for name, schedule in header.schedules.items():
        lines += [f"  {name}:", *(f"    {key}: {_flow(value)}" for key, value in schedule.items())]
    return lines


def _flow(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(v) for v in value) + "]"
    return quoted(str(value)) if ":" in str(value) or " " in str(value) else str(value)


def _fees(header: Header) -> list[str]:
    lines = ["fees:"] if header.fees else []
    for fee in header.fees:
        since = f"since: {fee['since']}, " if "since" in fee else ""
        rates = ", ".join(f"{k}: {v}" for k, v in fee["rates"].items())
        lines.append(f"- {{{since}source: {fee['source']}, rates: {{{rates}}}}}")
    return lines


def _model(item: Item, group: str) -> list[str]:
    lines = [f"  {quoted(item.name)}:"]
    if item.aliases:
        lines.append(f"    aliases: [{', '.join(quoted(a) for a in sorted(item.aliases))}]")
    known = dict(item.facts)
    if group:
        known["same_as"] = quoted(group)
    if known:
        told = ", ".join(f"{k}: {_flow(v) if isinstance(v, list) else _word(v)}" for k, v in sorted(known.items()))
        lines.append(f"    facts: {{{told}}}")
    lines.append("    prices:")
    for span in item.spans:
        lines += _span(span)
    return lines


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _span(span: Span) -> list[str]:
    body = [f"since: {_date(span.since)}"] if span.since else []
    if span.until:
        body.append(f"until: {_date(span.until)}")
    body.append(f"source: {span.source}")
    if span.status != "priced":
        body.append(f"status: {span.status}")
    if span.filled:
        told = ", ".join(f"{key}: [{', '.join(_ordered(names))}]" for key, names in sorted(span.filled.items()))
        body.append(f"filled: {{{told}}}")
    if span.card.rates:
        body.append(f"rates: {_rates(span.card.rates)}")
    body += _over(span.card, "over: ")
    body += _cards("tiers", span.tiers)
    body += _cards("hours", span.hours)
    if span.sizes:
        told = ", ".join(f"{size}: {_rates(fees)}" for size, fees in span.sizes.items())
        body.append(f"sizes: {{{told}}}")
    if span.uplift:
        told = ", ".join(f"{quoted(k)}: {v:f}" for k, v in sorted(span.uplift.items()))
        body.append(f"uplift: {{{told}}}")
    if span.least:
        body.append(f"least: {_rates(span.least)}")
    return [f"    {'- ' if nth == 0 else '  '}{line}" for nth, line in enumerate(body)]


def _cards(key: str, cards: dict[str, Card]) -> list[str]:
    if not cards:
        return []
    lines = [f"{key}:"]
    for name, card in sorted(cards.items()):
        over = "".join(_over(card, ", over: "))
        source = f"source: {card.source}, " if card.source else ""
        lines.append(f"  {name}: {{{source}rates: {_rates(card.rates)}{over}}}")
    return lines


def _over(card: Card, prefix: str) -> list[str]:
    steps = [f"{{above: {above}, rates: {_rates(rates)}}}" for above, rates in sorted(card.over.items()) if rates]
    return [f"{prefix}[{', '.join(steps)}]"] if steps else []


def _rates(rates: Rates) -> str:
    return "{" + ", ".join(f"{name}: {rates[name]:f}" for name in _ordered(rates)) + "}"


def _ordered(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: _RANK[name])


def _date(since: str) -> str:
    return quoted(since) if "T" in since else since
