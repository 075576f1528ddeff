"""The ledger: priced calls of the audited window, and how to ask what they would have cost."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import polars as pl

from costaudit.config import Settings
from costaudit.price.book import PriceBook
from costaudit.price.engine import price

_PRICE = ("cost_usd", "price_status", "price_entry")


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
        changed = self.changed(patch)
        return self.replaced(patch.filter(~_exists(patch))["row"], changed)

    def changed(self, patch: pl.DataFrame) -> pl.DataFrame:
        """The calls that a patch changes and does not remove, as they would have been: row, the patch's columns, and
        what `price` says."""
        kept = patch.filter(_exists(patch)).drop("exists", strict=False)
        priced = [
            name for name, dtype in self.calls.schema.items() if name == "extras" or not isinstance(dtype, pl.List)
        ]
        touched = self.calls.select(priced).join(kept.select("row"), on="row", how="semi", maintain_order="left")
        names = ["row", *(name for name in kept.columns if name != "row")]
        if kept.width > 1 and touched.height:
            touched = price(touched.update(kept, on="row", how="left"), self.book)
        return touched.select(*names, *(name for name in _PRICE if name not in names))

    def replaced(self, removed: pl.Series, changed: pl.DataFrame) -> Ledger:
        """The ledger without some calls, and with others as `changed` says; columns it lacks stay as they are."""
        calls = self.calls
        if removed.len():
            calls = calls.filter(~pl.col("row").is_in(removed.implode()))
        if changed.height:
            place = changed.with_columns(_changed=pl.lit(value=True))
            beside = calls.select("row").join(place, on="row", how="left", maintain_order="left")
            now = beside["_changed"].fill_null(value=False)
            news = [beside[name].zip_with(now, calls[name]) for name in changed.columns if name != "row"]
            calls = calls.with_columns(new.alias(name) for new, name in zip(news, changed.columns[1:], strict=True))
        return replace(self, calls=calls)


def _exists(patch: pl.DataFrame) -> pl.Expr:
    return pl.col("exists").fill_null(value=True) if "exists" in patch.columns else pl.lit(value=True)
