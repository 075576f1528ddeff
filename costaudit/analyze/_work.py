"""The calls of each task on each model, gathered where a rule asks for them, with the columns it takes to price them on
another model.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import polars as pl

from costaudit.analyze._analyzer import single_calls
from costaudit.analyze._cache import WRITES
from costaudit.analyze._candidates import SHAPE, brief, entries, simple
from costaudit.analyze._places import places, repeated
from costaudit.analyze._swap import shared_requests
from costaudit.analyze._units import ASKS, FIRST_BLOCK, LISTED, PROVIDER, TOOLS, Arm
from costaudit.price.engine import READS as PRICING
from costaudit.price.ledger import Ledger

ASKED: tuple[str | pl.Expr, ...] = (
    *("row", "tenant", "input_tokens", "output_tokens", "reasoning_tokens", "max_tokens", "schema_ok", "extras"),
    *(TOOLS, ASKS),
)
"""What says whether another model can take a call."""
SWAPPED: tuple[str | pl.Expr, ...] = (
    *("row", "provider", "system_sha", "template_sha", FIRST_BLOCK, "output_tokens", "reasoning_tokens"),
    *("input_tokens", "cache_read_tokens", "cache_write_tokens", *WRITES.values()),
)
"""What says how another model would count it."""
MOVED: tuple[str | pl.Expr, ...] = (
    *dict.fromkeys(
        (
            *("row", "cost_usd", "price_status", "price_entry", *PRICING),
            *("max_tokens", "schema_ok", "system_sha", "template_sha"),
        )
    ),
    *LISTED,
)
"""What it takes to price it on another model."""
SIZES = ("input_tokens", "output_tokens", "reasoning_tokens")


class Work:
    """The calls that a ledger's rules judge, by task and model: where they stand is kept, what they say is gathered."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    @cached_property
    def every(self) -> pl.DataFrame:
        """task, provider (empty: unknown), model, where they are known; at: where their calls stand among all single
        calls; paid: how many of them have a price, and their spend [USD]; cost: the spend of all of them."""
        names = (pl.col("task"), pl.col("provider").fill_null(""), pl.col("model"))
        group = pl.reduce(lambda a, b: a ^ b, [name.hash(nth) for nth, name in enumerate(names)]).alias("group")
        priced = (pl.col("price_status") == "priced").fill_null(value=False).alias("priced")
        # Names of all calls at once would be most of the memory: one call of each group says them.
        calls = single_calls(self.ledger, ("row", group, "cost_usd", priced))
        self._rows = calls["row"]
        usd = pl.col("cost_usd")
        sums = {"paid": pl.sum("priced"), "spend": usd.filter(pl.col("priced")).sum(), "cost": usd.sum()}
        found = places(calls, ["group"], first=pl.first("row"), **sums)
        named = self.ledger.told(found["first"], names)
        return found.drop("group", "first").hstack(named).sort("task", "provider", "model")

    @cached_property
    def groups(self) -> pl.DataFrame:
        """The same where task and model are known."""
        return self.every.drop_nulls(["task", "model"])

    def rows(self, at: pl.Series) -> pl.Series:
        """The `row` of calls by their place among all single calls."""
        return self._rows.gather(at)

    @cached_property
    def _at(self) -> dict[tuple[str, Arm], pl.Series]:
        keys = self.groups.select("task", "provider", "model").iter_rows()
        return {(task, Arm(*arm)): self.groups["at"][nth] for nth, (task, *arm) in enumerate(keys)}

    @cached_property
    def used(self) -> dict[Arm, str]:
        """The models of the log and the entries of the book that price them."""
        arm = (PROVIDER.hash(0) ^ pl.col("model").hash(1)).alias("arm")
        calls = single_calls(self.ledger, ("row", arm), pl.col("price_status") == "priced")
        first = calls.group_by("arm").agg(pl.first("row"))["row"]
        return entries(self.ledger.told(first, ("provider", "model", "price_status", "price_entry")))

    @cached_property
    def shared(self) -> pl.DataFrame:
        """Requests that several models answered, as `shared_requests` gives them."""
        sent = single_calls(
            self.ledger, ("row", "request_sha"), pl.col("request_sha").is_not_null() & (pl.col("input_tokens") > 0)
        )
        again = repeated(sent["request_sha"], 2)
        rows = sent.filter(pl.col("request_sha").is_in(again.implode()))["row"]
        return shared_requests(self.ledger.told(rows, ("request_sha", "provider", "model", "input_tokens")))

    def _of(self, task: str, arm: Arm, made: Sequence[str | pl.Expr], tenant: str | None = None) -> pl.DataFrame:
        at = self._at.get((task, arm))
        rows = self._rows.clear() if at is None else self.rows(at)
        if tenant is not None:
            mine = self.ledger.told(rows, [(pl.col("tenant") == tenant).fill_null(value=False)])
            rows = rows.filter(mine.to_series())
        return self.ledger.told(rows, made)

    def of(self, task: str, arm: Arm, tenant: str | None = None) -> pl.DataFrame:
        """The calls of a task on a model, in order of `row`, with what another model would have to be able to do."""
        return self._of(task, arm, ASKED, tenant)

    def swapped(self, rows: pl.Series) -> pl.DataFrame:
        """Some of the calls with what it takes to count them as another model would."""
        return self.ledger.told(rows, SWAPPED)

    def sample(self, rows: pl.Series, size: int) -> tuple[pl.DataFrame, int]:
        """Every n-th of some calls, about so many, with what it takes to price them on another model; and n."""
        step = max(1, rows.len() // size)
        return self.ledger.told(rows.gather_every(step), MOVED), step

    def simple(self, task: str, arm: Arm) -> bool:
        """Whether the calls of a task on a model look like classification (`_candidates.simple`)."""
        return brief(self._of(task, arm, SIZES)) and simple(self._of(task, arm, [*SIZES, *SHAPE, TOOLS]))

    def entry(self, task: str, arm: Arm, tenant: str | None) -> str | None:
        """The entry of the book that prices the calls of a task on a model, or of a tenant's."""
        entry = self._of(task, arm, ["price_entry"], tenant)["price_entry"].drop_nulls()
        return str(entry[0]) if entry.len() else None
