"""Exact amounts into polars, by way of text, and their sums.

Polars takes a `Decimal` through numpy: its import is a tenth of a small audit, and starts threads, after which workers
cannot be forked. Text needs neither and is as exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import polars as pl

from costaudit.schema import USD

NOTHING = pl.lit(0).cast(USD)


def sum_usd(amounts: pl.Series) -> Decimal:
    """The exact sum of a decimal column; unknown amounts are left out, an empty column adds up to 0."""
    found = amounts.sum()
    return found if isinstance(found, Decimal) else Decimal(0)


def amount(value: Decimal, dtype: pl.DataType | None = None) -> pl.Expr:
    """A constant, with as many decimals as it is written with or as the type has."""
    places = max(0, -int(value.as_tuple().exponent))
    return pl.lit(format(value, "f")).cast(dtype or pl.Decimal(38, places))


def amounts(values: Iterable[Decimal | None], dtype: pl.DataType = USD, name: str = "") -> pl.Series:
    """A column; null where there is no value, or none that the type can hold."""
    written = [None if value is None else format(value, "f") for value in values]
    return pl.Series(name, written, dtype=pl.String).cast(dtype, strict=False)
