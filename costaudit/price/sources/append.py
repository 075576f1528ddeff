"""Adding to a price file: what it says stays, what is new comes after it.

An entry that was published is never changed, because an audit must price the same log alike for ever. New classes and
tiers may be added to a period, a changed rate becomes a new period from the day it was read.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Set

from costaudit.price.entry import Card as ListedCard
from costaudit.price.entry import Model, Period
from costaudit.price.sources import Card, Item, Rates, Span


def item_of(name: str, model: Model) -> Item:
    """An entry of the book in the form of the price lists."""
    facts = {
        k: v
        for k, v in ((f, getattr(model.facts, f)) for f in model.facts.__struct_fields__)
        if v not in (None, "", ())
    }
    facts.pop("same_as", None)
    known = {k: list(v) if isinstance(v, tuple) else v for k, v in facts.items()}
    return Item(name, [_span(period) for period in model.prices], set(model.aliases), known)


def _span(period: Period) -> Span:
    return Span(
        since=period.since,
        until=period.until,
        card=_card(period),
        tiers={name: _card(card) for name, card in period.tiers.items()},
        hours={name: _card(card) for name, card in period.hours.items()},
        sizes=dict(period.sizes),
        uplift=dict(period.uplift),
        least=dict(period.least),
        filled={source: list(names) for source, names in period.filled.items()},
        status=period.status,
        source=period.source,
    )


def _card(listed: Period | ListedCard) -> Card:
    source = listed.source if isinstance(listed, ListedCard) else ""
    return Card(dict(listed.rates), {step.above: dict(step.rates) for step in listed.over}, source)


def append(known: Item, fresh: Item, today: str) -> tuple[Item, list[str]]:
    """The known entry with what the fresh one adds, and sentences about the changes.

    A rate that differs today without a date of its own is a new period since today. A rate that differs in the past
    is told and left as it is.
    """
    item = copy.deepcopy(known)
    item.aliases |= fresh.aliases
    item.facts = {**fresh.facts, **item.facts}
    told: list[str] = []
    by_start = {span.since: span for span in item.spans}
    newest = item.spans[-1].since
    for span in fresh.spans:
        if span.since > newest:
            item.spans.append(copy.deepcopy(span))
            told.append(f"{item.name}: new period since {span.since}")
        elif span.since in by_start:
            told += [f"{item.name}: {what}" for what in _add(by_start[span.since], span)]
    current, theirs = _on(item, today), _on(fresh, today)
    if (changed := _changes(current.card.rates, theirs.card.rates)) and theirs.since <= current.since:
        told += [f"{item.name}: {what} since {today}" for what in changed]
        _insert(item, copy.deepcopy(theirs), today)
    return item, told


def _on(item: Item, day: str) -> Span:
    return [span for span in item.spans if span.since <= day or not span.since][-1]


def _insert(item: Item, span: Span, today: str) -> None:
    span.since = today
    item.spans = sorted([s for s in item.spans if s.since != today] + [span], key=lambda s: s.since)


def _add(known: Span, fresh: Span) -> list[str]:
    """Classes, tiers, uplifts that the period did not have; what it has stays."""
    told = []
    sized = {name for fees in known.sizes.values() for name in fees}
    if added := _missing(known.card, fresh.card, sized):
        known.filled.setdefault(fresh.source, []).extend(added)
        told.append(f"added {', '.join(added)}")
    for tier, card in fresh.tiers.items():
        if tier not in known.tiers:
            known.tiers[tier] = copy.deepcopy(card)
            told.append(f"added the {tier} tier")
        else:
            _missing(known.tiers[tier], card, sized)
    for name in ("hours", "sizes", "uplift", "least"):
        if not getattr(known, name) and getattr(fresh, name):
            setattr(known, name, copy.deepcopy(getattr(fresh, name)))
            told.append(f"added {name}")
    return told


def _missing(known: Card, fresh: Card, elsewhere: Set[str]) -> list[str]:
    added = [name for name in fresh.rates if name not in known.rates and name not in elsewhere]
    for name in added:
        known.rates[name] = fresh.rates[name]
        for above, rates in fresh.over.items():
            if name in rates and above in known.over:
                known.over[above][name] = rates[name]
    return added


def _changes(known: Rates, fresh: Rates) -> list[str]:
    shared = [name for name in known if name in fresh and known[name] != fresh[name]]
    return [f"{name} {known[name]:f} -> {fresh[name]:f}" for name in shared]


def renamed(item: Item, keys: Mapping[str, str]) -> None:
    """Name the sources of an item anew: a list read on another day is another source."""
    for span in item.spans:
        span.source = keys.get(span.source, span.source)
        span.filled = {keys.get(key, key): names for key, names in span.filled.items()}
        for card in (*span.tiers.values(), *span.hours.values()):
            card.source = keys.get(card.source, card.source)
