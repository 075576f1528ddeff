"""Rule dearer-sibling: the same weights, sold for less."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import polars as pl

from costaudit.analyze._analyzer import NO_TASK, Analyzer, Claim, need, option, requests_of, total_usd
from costaudit.analyze._places import places
from costaudit.analyze._swap import able, facts_of, swap
from costaudit.analyze._units import LISTED, Arm
from costaudit.finding import Confidence, Grade, Kind, Lever, Severity
from costaudit.price.book import PriceBook
from costaudit.price.engine import READS as PRICING
from costaudit.price.engine import price
from costaudit.price.entry import Facts, Model
from costaudit.price.ledger import Ledger
from costaudit.price.tariff import STANDARD

FAST = ("priority", "fast", "ultrafast")
UNASKED = sorted(STANDARD)  # what a request says that did not ask for a tier
GROUP = ["price_entry", "provider", "model", "service_tier", "task"]
MOVED = (
    *("service_tier_requested", "block_sha", "system_sha", "template_sha"),
    *("tools_declared", "tool_calls", "schema_ok", "cost_usd"),
    *PRICING,
)
FREE = (
    (pl.col("price_status") == "priced")
    & (pl.col("region").is_null() | (pl.col("region") == "global"))
    & (pl.col("service_tier").fill_null("") != "provisioned")
)
CASE = "case"
TOGETHER = 100_000  # calls from which a group is priced by itself: a pass over few calls costs as much as over many


class Offer(NamedTuple):
    """Another way to buy the same model: entry of the book, tier, and what differs."""

    arm: Arm | None
    facts: Facts
    tier: str | None
    differs: str


class _Group(NamedTuple):
    """Calls of one entry, tier and task, and the other ways to buy them."""

    calls: pl.DataFrame
    entry: str
    tier: str | None
    task: str | None
    offers: tuple[Offer, ...]


class DearerSibling(Analyzer):
    """Calls of a model that is sold cheaper elsewhere: same weights, other place, name or tier.

    ## What it finds
    Calls whose entry in the price book belongs to a group of identical weights with a cheaper member; calls served on a
    faster tier that the request did not ask for; and, for tasks you declare tolerant of latency, calls that a flex tier
    would serve. Other weights under a similar name are never proposed here: that is `overpowered-model`.
    ## Why it costs money
    Regional endpoints, gateways and default tiers add ten percent to six times the price, for the same answer.
    ## What to do
    Change endpoint, name or tier in the configuration. Check first that no rule of residency or contract forbids it:
    calls with a region, under a price of your own or on provisioned capacity are left alone.
    ## Example
    ```console
    $ costaudit analyze --select dearer-sibling sample_logs/analyzers/dearer-sibling.jsonl
    …
           $1.38  answer: openai:gpt-5 (priority): nobody asked for tier priority, tier standard would
                  do, $1.38 dearer
                  medium  dearer-sibling · F-2489fa · $1.38 · confidence high · PROVEN-PRICE ·
    …
    ```
    """

    name = "dearer-sibling"
    kind = Kind.WASTE
    order = 6
    levers = ("standard", "flex")
    reads = ("task", "price_status", "price_entry", *MOVED)

    latency_tolerant: tuple[str, ...] = option((), "tasks", "Tasks that may wait: a flex tier is offered for them.")
    providers: tuple[str, ...] = option((), "providers", "Where you may buy; empty: where this log already buys.")

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        calls = requests_of(ledger, ("provider", "price_entry"))
        need(calls, {"provider": "no provider is named", "price_entry": "no call has a price of the book"})
        entries = calls["price_entry"].drop_nulls().unique()
        del calls
        sold_at = self.providers or tuple(entries.str.split(":").list.first().unique().sort())
        siblings = _siblings(ledger.book, sold_at)
        movable = requests_of(ledger, ("row", *GROUP), FREE & self._could_move(entries, siblings, ledger.book))
        batch: list[_Group] = []
        groups = places(movable, GROUP)
        for nth, (entry, provider, model, tier, task) in enumerate(groups.select(GROUP).iter_rows()):
            if _contract(ledger.book, str(provider or ""), str(model or ""), entry):
                continue
            mine = ledger.at(movable["row"].gather(groups["at"][nth]), MOVED).with_columns(LISTED)
            offers = tuple(self._offers(mine, entry, tier, task, siblings, ledger.book))
            batch.append(_Group(mine, entry, tier, task, offers))
            if sum(group.calls.height for group in batch) >= TOGETHER:
                yield from _claims(batch, ledger.book)
                batch = []
        yield from _claims(batch, ledger.book)

    def _could_move(
        self, entries: pl.Series, siblings: Mapping[str, Sequence[tuple[Arm, Model]]], book: PriceBook
    ) -> pl.Expr:
        """Whether there is any other way to buy: most calls need no second look."""
        sold = [entry for entry in entries if len(siblings.get(facts_of(book, entry).same_as, ())) > 1]
        ways = [
            pl.col(name).is_in(list(values)).fill_null(value=False)
            for name, values in (("price_entry", sold), ("service_tier", FAST), ("task", self.latency_tolerant))
            if values
        ]
        return pl.any_horizontal(ways)

    def _offers(
        self,
        calls: pl.DataFrame,
        entry: str,
        tier: str | None,
        task: str | None,
        siblings: Mapping[str, Sequence[tuple[Arm, Model]]],
        book: PriceBook,
    ) -> Iterator[Offer]:
        own = facts_of(book, entry)
        for arm, model in siblings.get(own.same_as, ()):
            # A place without the tier would answer later, or not at all: that is another product.
            same_tier = tier is None or tier in STANDARD or tier in model.prices[-1].tiers
            if ":".join(arm) != entry and same_tier:
                place = "another name of the same model" if entry.startswith(f"{arm.provider}:") else "another provider"
                yield Offer(arm, model.facts, None, place)
        asked = calls["service_tier_requested"].str.to_lowercase().unique().to_list()
        if tier in FAST and all(a is None or a in UNASKED for a in asked):
            yield Offer(None, own, "standard", f"nobody asked for tier {tier}")
        if task in self.latency_tolerant and (tier or "standard") in {"standard", *FAST}:
            yield Offer(None, own, "flex", "the task may wait, as declared")


def _siblings(book: PriceBook, sold_at: Sequence[str]) -> dict[str, list[tuple[Arm, Model]]]:
    """Entries by the group of identical weights they belong to, at the providers one may buy from."""
    groups: dict[str, list[tuple[Arm, Model]]] = {}
    for provider in sorted({book.canonical(name) for name in sold_at}):
        file = book.provider(provider)
        for name, model in sorted(file.models.items()) if file else ():
            if model.facts.same_as:
                groups.setdefault(model.facts.same_as, []).append((Arm(provider, name), model))
    return groups


def _contract(book: PriceBook, provider: str, model: str, entry: str) -> bool:
    """Whether the user has a price of their own for these calls: list prices then say nothing."""
    where, _, name = entry.partition(":")
    return any(o.matches(provider, model) or o.matches(where, name) for o in book.overrides)


def _patch(calls: pl.DataFrame, offer: Offer) -> pl.DataFrame:
    if offer.arm is None:
        return calls.select("row", pl.lit(offer.tier).alias("service_tier"))
    fitting = calls.filter(able(offer.facts, known=False))
    return swap(fitting, offer.arm, offer.facts, 1.0, 1.0)  # the same weights count and answer alike


def _claims(groups: Sequence[_Group], book: PriceBook) -> Iterator[Claim]:
    """The cheapest offer for the calls of each group; nothing where none is cheaper."""
    asked = [(group, offer, _patch(group.calls, offer)) for group in groups for offer in group.offers]
    best: dict[int, tuple[Decimal, Offer, pl.DataFrame]] = {}
    for (group, offer, patch), saved in zip(asked, _saved(asked, book), strict=True):
        if saved > 0 and (id(group) not in best or saved > best[id(group)][0]):
            best[id(group)] = saved, offer, patch
    for group in groups:
        if id(group) in best:
            yield _claim(group, *best[id(group)])


def _saved(asked: Sequence[tuple[_Group, Offer, pl.DataFrame]], book: PriceBook) -> list[Decimal]:
    """What each patch saves [USD]; nothing where one of its calls would have no price."""
    parts = []
    for nth, (group, _, patch) in enumerate(asked):
        calls = group.calls.select("row", *PRICING, "cost_usd")
        touched = calls.join(patch.select("row"), on="row", how="semi", maintain_order="left")
        changed = touched.update(patch, on="row", how="left")
        parts.append(changed.with_columns(_nth=pl.lit(nth, pl.UInt32), _before=touched["cost_usd"]))
    if not parts:
        return []
    unpriced = pl.col("cost_usd").is_null() | (pl.col("price_status") != "priced").fill_null(value=False)
    sums = (
        price(pl.concat(parts), book)
        .group_by("_nth")
        .agg(saved=pl.when(~unpriced.any()).then(pl.col("_before").sum() - pl.col("cost_usd").sum()))
        .drop_nulls()
    )
    known = dict(sums.iter_rows())
    return [known.get(nth, Decimal(0)) for nth in range(len(asked))]


def _claim(group: _Group, saved: Decimal, offer: Offer, patch: pl.DataFrame) -> Claim:
    now, task = total_usd(group.calls), group.task or NO_TASK
    name = f"{task}: {group.entry}" + (f" ({group.tier})" if group.tier else "")
    target = ":".join(offer.arm) if offer.arm else f"tier {offer.tier}"
    title = f"{name} is the same as {target}" if offer.arm else f"{name}: {offer.differs}, {target} would do"
    cold = ("a cold cache at the new place is part of the price",) if offer.arm else ()
    return Claim(
        subject={"task": task, "from": group.entry, "tier": group.tier or "standard"},
        title=f"{title}, {{usd}} dearer",
        remedy=f"buy from {target}" if offer.arm else f"ask for {target} by name",
        lever=None if offer.arm else Lever("flex" if offer.tier == "flex" else "standard"),
        severity=Severity.MEDIUM if saved * 10 >= now else Severity.LOW,
        confidence=Confidence.HIGH,
        evidence=pl.DataFrame(
            {CASE: [name], "from": [group.entry], "to": [target], "differs": [offer.differs], "calls": [patch.height]}
        ),
        patch=patch.with_columns(pl.lit(name).alias(CASE)),
        evidence_key=CASE,
        grade=Grade.PROVEN_PRICE,
        because=(offer.differs, *cold),
        requests=patch.height,
    )
