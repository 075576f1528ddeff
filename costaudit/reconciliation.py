"""Logs against what the provider says: the buckets of an export, and the gap with its causes."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec
import polars as pl

from costaudit.audit import Coverage, Prices, Window
from costaudit.schema import EXTRAS, USD, UTC

_COLUMNS: dict[str, Any] = {
    "start": UTC,  # half-open; null: the export does not say
    "end": UTC,
    "provider": pl.String,
    "model": pl.String,
    "service_tier": pl.String,
    "region": pl.String,
    "long": pl.Boolean,  # prompts above the provider's long-context step
    "scope": pl.String,  # project, workspace or key, where the export is divided by it
    "calls": pl.Int64,
    "input_tokens": pl.Int64,  # inclusive, as in the request table
    "cache_read_tokens": pl.Int64,
    "cache_write_tokens": pl.Int64,
    "cache_write_5m_tokens": pl.Int64,
    "cache_write_1h_tokens": pl.Int64,
    "output_tokens": pl.Int64,
    "extras": EXTRAS,
    "usd": USD,  # what was billed; null in an export of usage
    "item": pl.String,  # the line of the bill
    "kind": pl.String,  # `usage`, `cost`, or `both`
    "source": pl.String,
}
BUCKET = pl.Schema(_COLUMNS)
"""One row a bucket of an export: what a provider counted, or billed, over a stretch of time."""


class Cause(StrEnum):
    """Why a bill and the logs differ; the value is the word a report says."""

    MISSING = "missing logs"  # the provider counted calls that the logs do not have
    EXTRA = "not in the export"  # the logs have calls that the provider's export does not have
    TOKENS = "token counts"  # as many calls, other sizes
    CACHE = "cache"  # as much input, otherwise cached
    TIER = "tier and batch"  # the same tokens, served at another tier
    TOOLS = "tools and fees"  # searches, sessions and whatever is billed beside tokens
    DISCOUNT = "discount"  # the bill is a steady part of the list price
    REST = "unexplained"


class Reconciliation(msgspec.Struct, frozen=True):
    """Logs against an export over the time both cover.

    logs_usd, export_usd   by our prices; and as billed, or by our prices where the export bills nothing
    billed     whether the export states dollars
    cells      start, end, model, logs_usd, export_usd, logs_calls, export_calls, and a column of dollars for each
               cause; the causes of a row add up to export_usd - logs_usd
    outside    calls of the logs outside the time of the export, or of providers it does not speak of
    unpriced   calls and buckets without a known price: on neither side
    """

    window: Window
    prices: Prices
    coverage: Coverage
    exports: tuple[str, ...]
    billed: bool
    logs_usd: Decimal
    export_usd: Decimal
    cells: pl.DataFrame
    outside: int
    unpriced_calls: int
    unpriced_buckets: int
    notes: tuple[str, ...] = ()

    @property
    def gap_usd(self) -> Decimal:
        """What the export has and the logs do not; negative: the logs have more."""
        return self.export_usd - self.logs_usd

    @property
    def gap(self) -> float | None:
        """The gap as a share of the export."""
        return float(self.gap_usd / self.export_usd) if self.export_usd else None

    def by(self, *names: str) -> pl.DataFrame:
        """The cells summed by some of their columns, the largest gap first."""
        sums = ["logs_usd", "export_usd", "logs_calls", "export_calls", *(c.value for c in Cause)]
        table = self.cells.group_by(*names, maintain_order=True).agg(pl.col(sums).sum())
        return table.sort(
            (pl.col("export_usd") - pl.col("logs_usd")).abs(), *names, descending=[True, *(False for _ in names)]
        )

    @property
    def causes(self) -> list[tuple[Cause, Decimal]]:
        """Dollars of each cause that has any, in the order in which causes are told apart; they add up to the gap."""
        sums = [(cause, self.cells[cause.value].sum()) for cause in Cause]
        return [(cause, usd) for cause, usd in sums if isinstance(usd, Decimal) and usd]
