"""The calls of each task on each model, gathered where a rule asks for them, with the columns it takes to price them on
another model.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import polars as pl

from costaudit.analyze._analyzer import single_calls
from costaudit.analyze._candidates import SHAPE, entries, simple
from costaudit.analyze._places import places
from costaudit.analyze._swap import shared_requests
from costaudit.analyze._units import LISTED, Arm
from costaudit.price.engine import READS as PRICING
from costaudit.price.ledger import Ledger

KEPT: tuple[str | pl.Expr, ...] = (
    *("row", "task", "tenant", "provider", "model", "cost_usd", "price_status", "price_entry"),
    *("input_tokens", "output_tokens", "reasoning_tokens"),
    *LISTED,
)
SWAPPED = tuple(
    name
    for name in dict.fromkeys((*PRICING, "max_tokens", "schema_ok", "system_sha", "template_sha"))
    if name not in [column for column in KEPT if isinstance(column, str)]
)


class Work:
    """The calls that a ledger's rules judge, by task and model."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self._calls = ledger, single_calls(ledger, KEPT)

    @cached_property
    def groups(self) -> pl.DataFrame:
        """task, provider (empty: unknown), model; at: where their calls stand; paid: how many of them have a price, and
        their spend [USD]."""
        priced = pl.col("price_status") == "priced"
        by = ("task", pl.col("provider").fill_null(""), "model")
        found = places(self._calls, by, paid=priced.sum(), spend=pl.col("cost_usd").filter(priced).sum())
        return found.drop_nulls(["task", "model"])

    @cached_property
    def _at(self) -> dict[tuple[str, Arm], pl.Series]:
        keys = self.groups.select("task", "provider", "model").iter_rows()
        return {(task, Arm(*arm)): self.groups["at"][nth] for nth, (task, *arm) in enumerate(keys)}

    @cached_property
    def used(self) -> dict[Arm, str]:
        """The models of the log and the entries of the book that price them."""
        return entries(self._calls)

    @cached_property
    def shared(self) -> pl.DataFrame:
        """Requests that several models answered, as `shared_requests` gives them."""
        return shared_requests(single_calls(self.ledger, ("request_sha", "provider", "model", "input_tokens")))

    def of(self, task: str, arm: Arm, columns: Sequence[str], tenant: str | None = None) -> pl.DataFrame:
        """The calls of a task on a model, in order of `row`: what is kept of them, and some columns more."""
        at = self._at.get((task, arm))
        mine = self._calls.clear() if at is None else self._calls[at]
        if tenant is not None:
            mine = mine.filter(pl.col("tenant") == tenant)
        return mine.hstack(self.ledger.at(mine["row"], columns).drop("row"))

    def simple(self, task: str, arm: Arm) -> bool:
        """Whether the calls of a task on a model look like classification (`_candidates.simple`)."""
        mine = self._calls.select("row", "input_tokens", "output_tokens", "reasoning_tokens", "tools")
        mine = mine[self._at[task, arm]]
        return simple(mine.hstack(self.ledger.at(mine["row"], SHAPE).drop("row")))

    def entry(self, task: str, arm: Arm, tenant: str | None) -> str | None:
        """The entry of the book that prices the calls of a task on a model, or of a tenant's."""
        at = self._at.get((task, arm))
        if at is None:
            return None
        mine = self._calls.select("tenant", "price_entry")[at]
        entry = (mine if tenant is None else mine.filter(pl.col("tenant") == tenant))["price_entry"].drop_nulls()
        return str(entry[0]) if entry.len() else None
