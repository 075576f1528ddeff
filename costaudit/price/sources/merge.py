"""Three packages and the hand-kept facts -> one list of models for a provider, with what they disagree on."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from costaudit.price.classes import TOKENS
from costaudit.price.match import undated
from costaudit.price.sources import Card, Item, Rates, Reader, Span

SEARCHES = {"web_search", "file_search"}
GEOGRAPHIES = ("us.", "eu.", "apac.", "jp.", "au.", "ca.", "in.", "us-gov.")


class Dispute(msgspec.Struct, frozen=True):
    """One figure on which packages differ, today: who says what, and whose figure the book takes."""

    provider: str
    model: str
    what: str
    says: tuple[tuple[str, str], ...]
    taken: str


class Merged(msgspec.Struct):
    models: dict[str, Item] = msgspec.field(default_factory=dict)
    disputes: list[Dispute] = msgspec.field(default_factory=list)


def merge(provider: str, facts: dict[str, Any], readers: Mapping[str, Reader], today: str) -> Merged:
    """The models of one provider. `facts["order"]` says whose standard rates win; the others fill what is missing."""
    order = facts.get("order", ["gp", "ll", "mp"])
    listed = {key: _by_name(reader.items(provider)) for key, reader in readers.items()}
    merged = Merged()
    for name in _union(listed, order):
        versions = {key: items[name] for key in readers if name in (items := listed[key])}
        merged.models[name] = _one(provider, versions, order, merged.disputes, today)
    _leave_out(facts, merged.models)
    _geographies(provider, merged.models, listed)
    _moving(merged.models)
    _aliases(merged.models)
    _apply(facts, merged.models)
    for item in merged.models.values():
        if not item.name.endswith("-latest"):
            _derive_history(item)
        _derive_future(item)
    return Merged(_without_repeats(provider, merged.models), merged.disputes)


def _by_name(items: Iterator[Item]) -> dict[str, Item]:
    """Items by lower-case name with dots as hyphens; of two spellings the first listed stays, tiers are shared."""
    found: dict[str, Item] = {}
    for item in items:
        first = found.setdefault(fold(item.name), item)
        if first is not item and _agree(first, item):
            _share_tiers(first, item)
    return found


def fold(name: str) -> str:
    """The key of a name: lower case, dots as hyphens, without the `:0` that Bedrock's ids may end in."""
    return name.lower().replace(".", "-").replace("_", "-").removesuffix(":0")


def _union(listed: dict[str, dict[str, Item]], order: list[str]) -> list[str]:
    return sorted({name for key in order for name in listed[key]})


def _one(provider: str, versions: dict[str, Item], order: list[str], disputes: list[Dispute], today: str) -> Item:
    """One model: standard rates and history from the first package of the order, gaps filled from the others."""
    present = [key for key in order if key in versions]
    first = present[0]
    if first == "ll":  # of lists that say the same today, one that knows since when
        first = next((key for key in present[1:] if _agree(versions["ll"], versions[key])), first)
    item = copy.deepcopy(versions[first])
    for span in item.spans:
        span.source = first
    for key in present:
        if key != first:
            _fill(item, key, versions[key], today)
            item.aliases |= versions[key].aliases | {versions[key].name}
    item.facts = {k: v for key in reversed(present) for k, v in versions[key].facts.items()}
    says = {key: _at(versions[key], today) for key in present}
    for what in ("input", "cache_read", "output"):
        figures = {key: span.card.rates.get(what) for key, span in says.items()}
        stated = {key: rate for key, rate in figures.items() if rate is not None}
        if len(set(stated.values())) > 1:
            told = tuple((key, str(rate)) for key, rate in stated.items())
            disputes.append(Dispute(provider, item.name, what, told, first))
    return item


def _at(item: Item, day: str) -> Span:
    """The span in force on a day."""
    return [span for span in item.spans if span.since <= day or not span.since][-1]


def _agree(one: Item, other: Item) -> bool:
    a, b = one.spans[-1].card, other.spans[-1].card
    shared = a.rates.keys() & b.rates.keys()
    return bool(shared) and all(a.rates[k] == b.rates[k] for k in shared) and _steps(a) == _steps(b)


def _steps(card: Card) -> dict[int, tuple[Decimal | None, Decimal | None]]:
    return {above: (rates.get("input"), rates.get("output")) for above, rates in card.over.items()}


def _fill(item: Item, key: str, other: Item, today: str) -> None:
    """What today's span of another package adds: classes and tiers the item lacks, uplifts, sizes; no changed rate.

    A package that knows no dates speaks of today. Its figures reach into a span only if its input rate is that span's.
    """
    theirs = _at(other, today)
    for span in item.spans:
        other_price = _differ(theirs.card.rates, span.card.rates)
        if other_price and item.name.endswith("-latest"):
            continue  # the alias stood for another model then
        added = [n for n in theirs.card.rates if n not in span.card.rates and _fits(n, span, fee_only=other_price)]
        for name in added:
            span.card.rates[name] = theirs.card.rates[name]
        if added:
            span.filled.setdefault(key, []).extend(added)
        if other_price:
            continue
        for above, rates in theirs.card.over.items():
            if above in span.card.over:
                missing = {n: r for n, r in rates.items() if n in added}
                span.card.over[above].update(missing)
        for tier, card in theirs.tiers.items():
            _fill_tier(span, tier, card, key)
        span.uplift = span.uplift or dict(theirs.uplift)
        span.sizes = span.sizes or copy.deepcopy(theirs.sizes)


def _differ(one: Rates, other: Rates) -> bool:
    """Whether two lists of rates are of different prices: by the input rate, or by anything where there is none."""
    shared = one.keys() & other.keys()
    return any(one[name] != other[name] for name in ({"input"} if "input" in shared else shared))


def _fits(name: str, span: Span, *, fee_only: bool) -> bool:
    """A fee for searches holds at any token price; anything else only beside the price it was listed with."""
    return span.status != "free" and not (fee_only and name not in SEARCHES)


def _fill_tier(span: Span, tier: str, card: Card, key: str) -> None:
    if tier == "fast" and "priority" in span.tiers:
        return  # OpenAI's fast is its priority under a newer name
    own = span.tiers.get(tier)
    if own is None:
        span.tiers[tier] = copy.deepcopy(card)
        span.tiers[tier].source = key
        return
    stepped = {name for rates in own.over.values() for name in rates}
    for name, rate in card.rates.items():
        if own.rates.setdefault(name, rate) == rate and name not in stepped:
            for above, rates in card.over.items():
                if name in rates:
                    own.over.setdefault(above, {})[name] = rates[name]


def _geographies(provider: str, models: dict[str, Item], listed: dict[str, dict[str, Item]]) -> None:
    """Bedrock: the bare id costs what the geographic profile costs, where a cheaper global profile exists.

    litellm lists bare ids at the global rate; profiles at the bare rate take over the history of the bare id.
    """
    if provider != "bedrock":
        return
    for name, item in list(models.items()):
        world, home = models.get(f"global-{name}"), models.get(f"us-{name}")
        if world and home and name not in listed["gp"] and item.spans[-1].card == world.spans[-1].card:
            models[name] = Item(item.name, copy.deepcopy(home.spans), item.aliases, item.facts)
    for name, item in models.items():
        for geography in GEOGRAPHIES:
            bare = models.get(name.removeprefix(fold(geography)))
            if name.startswith(fold(geography)) and bare and _agree(item, bare):
                _share_tiers(item, bare)
                if name not in listed["gp"]:
                    item.spans = copy.deepcopy(bare.spans)


def _share_tiers(one: Item, other: Item) -> None:
    """Two names of one price: a tier that is listed for either holds for both."""
    mine, theirs = one.spans[-1], other.spans[-1]
    for source, target in ((mine, theirs), (theirs, mine)):
        for tier, card in source.tiers.items():
            if tier not in target.tiers:
                target.tiers[tier] = copy.deepcopy(card)
                target.tiers[tier].source = card.source or source.source
            else:
                _fill_tier(target, tier, card, source.source)


def _leave_out(facts: dict[str, Any], models: dict[str, Item]) -> None:
    """Models whose only figure is plainly mistyped: better unpriced than wrong."""
    for name in facts.get("leave_out", ()):
        models.pop(fold(name), None)


def _moving(models: dict[str, Item]) -> None:
    """A moving alias with a history of its own goes on as the model it stands for now, announced changes included."""
    for item in models.values():
        for alias in item.aliases:
            moved = models.get(fold(alias))
            if moved is None or moved is item or len(moved.spans) < 2:
                continue
            since = moved.spans[-1].since
            now = [span for span in item.spans if span.since <= since][-1:]
            if now and now[0].card.rates.get("input") == moved.spans[-1].card.rates.get("input"):
                current = copy.deepcopy(now[0])
                current.since = since
                later = [copy.deepcopy(span) for span in item.spans if span.since > since]
                moved.spans = [*moved.spans[:-1], current, *later]


def _aliases(models: dict[str, Item]) -> None:
    """Documented names that are no entry of their own, each for one model only."""
    owners: dict[str, set[str]] = {}
    for name, item in models.items():
        for alias in item.aliases:
            owners.setdefault(fold(alias), set()).add(name)
    for item in models.values():
        item.aliases = {
            a
            for a in item.aliases
            if fold(a) not in models and len(owners[fold(a)]) == 1 and fold(a) != fold(item.name)
        }


def _apply(facts: dict[str, Any], models: dict[str, Item]) -> None:
    """The hand-kept facts, rule by rule, on every model whose name matches."""
    for rule in facts.get("rules", ()):
        pattern = re.compile(rule["models"])
        for item in models.values():
            if pattern.fullmatch(item.name):
                for span in item.spans:
                    if str(rule.get("since", "")) <= span.since < str(rule.get("until", "9999")):
                        _apply_rule(rule, span)
                item.facts.update(rule.get("facts", {}))


def _apply_rule(rule: dict[str, Any], span: Span) -> None:
    if "unless" in rule and rule["unless"] in span.card.rates:
        return
    rates = {k: Decimal(str(v)) for k, v in rule.get("rates", {}).items()}
    added = {k: v for k, v in rates.items() if k not in span.card.rates or rule.get("force")}
    span.card.rates.update(added)
    if added:
        span.filled.setdefault("facts", []).extend(added)
    for name in rule.get("drop", ()):
        span.card.rates.pop(name, None)
    if "sizes" in rule:
        span.sizes = {z: {k: Decimal(v) for k, v in fees.items()} for z, fees in rule["sizes"].items()}
    for name, value in rule.get("uplift", {}).items():
        span.uplift.setdefault(name, Decimal(str(value)))
    span.least.update({k: Decimal(str(v)) for k, v in rule.get("least", {}).items()})
    for tier, factor in rule.get("tiers", {}).items():
        _scaled_tier(span, tier, {k: Decimal(str(v)) for k, v in factor.items()}, forced="force" in rule)
    for name, how in rule.get("multiples", {}).items():
        _multiple(span, name, how)
    if rule.get("at_least"):
        _shift(span)


def _scaled_tier(span: Span, tier: str, factor: Rates, *, forced: bool) -> None:
    """A tier as multiples of the standard rates: `*` for every token class, or by class.

    Listed figures stay unless `forced`.
    """
    own = span.tiers.setdefault(tier, Card(source="facts"))
    for rates, target in (
        (span.card.rates, own.rates),
        *((r, own.over.setdefault(a, {})) for a, r in span.card.over.items()),
    ):
        for name, rate in rates.items():
            times = factor.get(name, factor.get("*")) if name in TOKENS else factor.get(name)
            if times is not None and (forced or name not in target):
                target[name] = (rate * times).normalize()
    if not own.rates:
        del span.tiers[tier]


def _multiple(span: Span, name: str, how: dict[str, Any]) -> None:
    """A class as a multiple of another one, wherever a tier or step lists the other and `where` but not the class."""
    factor = Decimal(str(how["factor"]))
    for card in (span.card, *span.tiers.values()):
        for rates in (card.rates, *card.over.values()):
            if how["of"] in rates and how.get("where", how["of"]) in rates and name not in rates:
                rates[name] = (rates[how["of"]] * factor).normalize()


def _shift(span: Span) -> None:
    """Steps that start at their threshold: above one token less."""
    for card in (span.card, *span.tiers.values()):
        card.over = {(above - 1 if above % 1_000 == 0 else above): rates for above, rates in card.over.items()}


def _derive_history(item: Item) -> None:
    """Tiers of older spans, which no package lists: the same share of the standard rate as in the next span.

    A batch was half price before anybody wrote its rate down (`dimensions`: batch "whatever the date").
    """
    for older, newer in reversed(list(zip(item.spans, item.spans[1:], strict=False))):
        for tier, card in newer.tiers.items():
            if tier in older.tiers or older.status == "free":
                continue
            derived = _proportional(older.card, newer.card, card)
            if derived.rates:
                older.tiers[tier] = derived
        if not older.uplift:
            older.uplift = dict(newer.uplift)
        if not older.hours and not newer.hours:
            older.least = older.least or dict(newer.least)


def _derive_future(item: Item) -> None:
    """Announced periods keep the tiers of the period before, as the same share of the standard rate."""
    for older, newer in zip(item.spans, item.spans[1:], strict=False):
        for tier, card in older.tiers.items():
            if tier not in newer.tiers and newer.status != "free":
                derived = _proportional(newer.card, older.card, card)
                if derived.rates:
                    newer.tiers[tier] = derived
        newer.uplift = newer.uplift or dict(older.uplift)


def _proportional(old: Card, new: Card, tier: Card) -> Card:
    card = Card(source="derived")
    for name, rate in tier.rates.items():
        if name in old.rates and new.rates.get(name):
            card.rates[name] = _exact(old.rates[name] * rate / new.rates[name])
            for above, rates in old.over.items():
                if name in rates:
                    card.over.setdefault(above, {})[name] = _exact(rates[name] * rate / new.rates[name])
    return card


def _exact(rate: Decimal) -> Decimal:
    """Eight decimals per million tokens: finer than any published rate."""
    return rate.quantize(Decimal("0.00000001")).normalize()


def _without_repeats(provider: str, models: dict[str, Item]) -> dict[str, Item]:
    """Dated names that cost what their undated name costs are found by stripping the date; they need no entry.

    A dated history of its own is kept only from genai-prices: commit dates of model-prices are no price changes.
    """
    kept: dict[str, Item] = {}
    for name, item in models.items():
        base = next((fold(f) for f, _ in undated(item.name.lower(), provider) if fold(f) in models), None)
        own = provider == "bedrock" or item.name.startswith("ft:")
        if base is None or own or not _same_price(item, models[base]):
            kept[name] = item
        else:
            _share_tiers(item, models[base])
    return kept


def _same_price(item: Item, base: Item) -> bool:
    mine, theirs = item.spans[-1].card, base.spans[-1].card
    if not mine.rates.keys() <= theirs.rates.keys() or not {"input", "output"} & mine.rates.keys():
        return False
    if item.spans[0].source == "gp" and len(item.spans) != len(base.spans):
        return False
    return all(theirs.rates[name] == rate for name, rate in mine.rates.items())
