"""Rule dearer-sibling: the same weights, sold for less."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import polars as pl

from costaudit.analyze._analyzer import NO_TASK, Analyzer, Claim, need, option, requests_of, total_usd
from costaudit.analyze._swap import able, facts_of, swap
from costaudit.analyze._units import Arm
from costaudit.finding import Confidence, Grade, Kind, Severity
from costaudit.price.book import PriceBook
from costaudit.price.engine import READS as PRICING
from costaudit.price.engine import price
from costaudit.price.entry import Facts, Model
from costaudit.price.ledger import Ledger
from costaudit.price.tariff import STANDARD

FAST = ("priority", "fast", "ultrafast")
UNASKED = sorted(STANDARD)  # what a request says that did not ask for a tier
GROUP = ["price_entry", "provider", "model", "service_tier", "task"]
CASE = "case"


class Offer(NamedTuple):
    """Another way to buy the same model: entry of the book, tier, and what differs."""

    arm: Arm | None
    facts: Facts
    tier: str | None
    differs: str


@dataclass(frozen=True)
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
    reads = (
        *("task", "service_tier_requested", "request_sha", "block_sha", "system_sha", "template_sha"),
        *("tools_declared", "tool_calls", "schema_ok", "cost_usd", "price_status", "price_entry"),
        *PRICING,
    )

    latency_tolerant: tuple[str, ...] = option((), "tasks", "Tasks that may wait: a flex tier is offered for them.")
    providers: tuple[str, ...] = option((), "providers", "Where you may buy; empty: where this log already buys.")

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        calls = requests_of(ledger)
        need(calls, {"provider": "no provider is named", "price_entry": "no call has a price of the book"})
        free_to_move = (
            (pl.col("price_status") == "priced")
            & (pl.col("region").is_null() | (pl.col("region") == "global"))
            & (pl.col("service_tier").fill_null("") != "provisioned")
        )
        movable = calls.filter(free_to_move)
        sold_at = self.providers or tuple(calls["price_entry"].drop_nulls().str.split(":").list.first().unique().sort())
        siblings = _siblings(ledger.book, sold_at)
        for entry, provider, model, tier, task in movable.select(GROUP).unique().sort(GROUP).iter_rows():
            if not self._could_move(entry, tier, task, siblings, ledger.book):
                continue
            if _contract(ledger.book, str(provider or ""), str(model or ""), entry):
                continue
            same = zip(GROUP, (entry, provider, model, tier, task), strict=True)
            mine = movable.filter(
                pl.all_horizontal([pl.col(name).eq_missing(pl.lit(v, pl.String)) for name, v in same])
            )
            claim = self._claim(mine, entry, tier, task, siblings, ledger.book)
            if claim is not None:
                yield claim

    def _could_move(
        self,
        entry: str,
        tier: str | None,
        task: str | None,
        siblings: Mapping[str, Sequence[tuple[Arm, Model]]],
        book: PriceBook,
    ) -> bool:
        """Whether there is any other way to buy: most groups of calls need no second look."""
        return len(siblings.get(facts_of(book, entry).same_as, ())) > 1 or tier in FAST or task in self.latency_tolerant

    def _claim(
        self,
        calls: pl.DataFrame,
        entry: str,
        tier: str | None,
        task: str | None,
        siblings: Mapping[str, Sequence[tuple[Arm, Model]]],
        book: PriceBook,
    ) -> Claim | None:
        """The cheapest offer for calls of one entry, tier and task; None where nothing is cheaper."""
        now, best = total_usd(calls), None
        for offer in self._offers(calls, entry, tier, task, siblings, book):
            patch = _patch(calls, offer)
            saved = _saved(calls, patch, book)
            if saved > 0 and (best is None or saved > best[0]):
                best = saved, offer, patch
        if best is None:
            return None
        saved, offer, patch = best
        name = f"{task or NO_TASK}: {entry}" + (f" ({tier})" if tier else "")
        target = ":".join(offer.arm) if offer.arm else f"tier {offer.tier}"
        title = f"{name} is the same as {target}" if offer.arm else f"{name}: {offer.differs}, {target} would do"
        cold = ("a cold cache at the new place is part of the price",) if offer.arm else ()
        return Claim(
            subject={"task": task or NO_TASK, "from": entry, "tier": tier or "standard"},
            title=f"{title}, {{usd}} dearer",
            remedy=f"buy from {target}" if offer.arm else f"ask for {target} by name",
            severity=Severity.MEDIUM if saved * 10 >= now else Severity.LOW,
            confidence=Confidence.HIGH,
            evidence=pl.DataFrame(
                {CASE: [name], "from": [entry], "to": [target], "differs": [offer.differs], "calls": [patch.height]}
            ),
            patch=patch.with_columns(pl.lit(name).alias(CASE)),
            evidence_key=CASE,
            grade=Grade.PROVEN_PRICE,
            because=(offer.differs, *cold),
            requests=patch.height,
        )

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


def _saved(calls: pl.DataFrame, patch: pl.DataFrame, book: PriceBook) -> Decimal:
    """What a patch saves [USD]; nothing where one of the calls would have no price."""
    touched = calls.join(patch.select("row"), on="row", how="semi", maintain_order="left")
    after = price(touched.update(patch, on="row", how="left"), book)
    if after["cost_usd"].null_count() or (after["price_status"] != "priced").any():
        return Decimal(0)
    return total_usd(touched) - total_usd(after)
