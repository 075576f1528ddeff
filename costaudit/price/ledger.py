"""The ledger: priced calls of the audited window, and how to ask what they would have cost."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import polars as pl

from costaudit.config import Settings
from costaudit.price.book import PriceBook
from costaudit.price.engine import price


@dataclass(frozen=True, slots=True)
class Ledger:
    """Priced calls [schema.CALLS], one row a call, in order of `row`.

    calls     calls that still exist in the state the ledger describes, at their counterfactual cost
    original  the calls as logged (state 0 of METHODS 6)
    book      prices, to ask "what if"
    baseline  calls of the window before, where the report compares; None otherwise
    settings  what the user decided: time zone, budgets, revenue, forecast
    """

    calls: pl.DataFrame
    original: pl.DataFrame
    book: PriceBook
    baseline: pl.DataFrame | None = None
    settings: Settings = field(default_factory=Settings)

    @classmethod
    def of(
        cls,
        calls: pl.DataFrame,
        book: PriceBook,
        baseline: pl.DataFrame | None = None,
        settings: Settings | None = None,
    ) -> Ledger:
        return cls(calls, calls, book, baseline, settings or Settings())

    def patched(self, patch: pl.DataFrame) -> Ledger:
        """The ledger after a patch [row, exists?, changed columns]: removed calls are gone, changed ones priced again.

        Only touched calls are priced. Null in a patch column keeps the call's own value; calls the ledger no longer
        holds are left alone.
        """
        if patch.is_empty():
            return self
        exists = pl.col("exists").fill_null(value=True) if "exists" in patch.columns else pl.lit(value=True)
        removed = patch.filter(~exists).select("row")
        changed = patch.filter(exists).drop("exists", strict=False)
        calls = self.calls.join(removed, on="row", how="anti", maintain_order="left")
        if changed.width > 1 and changed.height:
            touched = calls.join(changed.select("row"), on="row", how="semi", maintain_order="left")
            again = price(touched.update(changed, on="row", how="left"), self.book).select(calls.columns)
            untouched = calls.join(changed.select("row"), on="row", how="anti")
            calls = pl.concat([untouched, again]).sort("row")
        return replace(self, calls=calls)
