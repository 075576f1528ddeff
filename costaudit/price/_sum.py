"""Adding dollars up."""

from __future__ import annotations

from decimal import Decimal

import polars as pl


def usd(amounts: pl.Series) -> Decimal:
    """The exact sum of a decimal column; unknown amounts are left out, an empty column adds up to 0."""
    total = amounts.sum()
    return total if isinstance(total, Decimal) else Decimal(0)
