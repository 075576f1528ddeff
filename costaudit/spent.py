"""Where the money went, and nothing else: totals and tables of one window."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import polars as pl

from costaudit.audit import Coverage, Prices, Window
from costaudit.finding import ZERO


class Table(msgspec.Struct, frozen=True):
    """One table; its rows add up to the total.

    by    groupings of `config.BY`, the outer one first
    rows  a column of text a grouping (and `provider` beside `model`; null where the log names none), requests,
          unknown [requests whose cost nobody knows], cost_usd [USD of the others; null where there are none],
          share [of the total, 0..1], *_tokens
    """

    by: tuple[str, ...]
    rows: pl.DataFrame


class Spent(msgspec.Struct, frozen=True):
    """What was spent in a window, and how far that can be believed.

    subscription_usd  list-price equivalent of calls under an allowance; not in the total
    stale   parts of a store whose sums could have answered, were they of these prices and of this program
    """

    window: Window
    prices: Prices
    coverage: Coverage
    total_usd: Decimal
    tables: tuple[Table, ...]
    subscription_usd: Decimal = ZERO
    paths: tuple[str, ...] = ()
    stale: int = 0
