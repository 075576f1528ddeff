"""Small priced logs for tests: a price book of a vendor that does not exist, and calls written as keywords."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from costaudit.compare.side import UNITS, Side
from costaudit.price.book import PriceBook
from costaudit.price.engine import price
from costaudit.price.mix import CLASS_ROWS, MODELS, TASKS, Mix
from costaudit.schema import CALLS, REQUESTS, conform

NAMES = "as_of: 2026-11-01\nproviders:\n  acme: []\n"
ACME = """
provider: acme
sources:
  page: {title: Acme price page, read_on: 2026-11-01}
models:
  large:
    prices:
    - {source: page, rates: {input: 10, cache_read: 1, cache_write_5m: 12.5, output: 40, web_search: 10}}
  small:
    prices:
    - {source: page, rates: {input: 1, cache_read: 0.1, cache_write_5m: 1.25, output: 4, web_search: 10}}
  falling:
    prices:
    - {source: page, rates: {input: 10, output: 40}}
    - {source: page, since: "2026-10-01", rates: {input: 5, output: 20}}
  newborn:
    prices:
    - {source: page, since: "2026-10-15", rates: {input: 2, output: 8}}
  gratis:
    prices:
    - {source: page, status: free}
"""
START = datetime(2026, 9, 1, tzinfo=UTC)


@cache
def book() -> PriceBook:
    folder = Path(tempfile.mkdtemp(prefix="book-"))
    (folder / "_names.yaml").write_text(NAMES)
    (folder / "acme.yaml").write_text(ACME)
    return PriceBook.load(folder, providers=["acme"], cache=None)


def call(**columns: Any) -> dict[str, Any]:
    """One call: a thousand tokens in, a hundred out, on the large model, unless said otherwise."""
    usual = {
        "provider": "acme",
        "model": "large",
        "task": "triage",
        "started_at": START,
        "input_tokens": 1_000,
        "output_tokens": 100,
        "status": "ok",
        "usage_source": "provider",
    }
    return usual | columns


def calls(rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Priced calls [schema.CALLS] in the order given."""
    frame = pl.DataFrame([dict(row) for row in rows], schema=REQUESTS)
    priced = price(frame, book()).with_row_index("row")
    known = pl.col("cost_usd").is_not_null()
    trusted = priced.with_columns(
        low_usd=pl.col("cost_usd").fill_null(0),
        high_usd="cost_usd",
        trust=pl.when(known).then(pl.lit("exact")).otherwise(pl.lit("unpriced")),
    )
    return conform(trusted, CALLS)


def later(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def side(costs: dict[str, list[float] | dict[str, float]], name: str = "side") -> Side:
    """A side with the unit costs given by task: a list of runs, or cases with their cost."""
    rows = [
        (task, case, 1, Decimal(repr(round(usd, 12))), min(round(usd * 1e6), 2**53))
        for task, units in costs.items()
        for case, usd in (units.items() if isinstance(units, dict) else ((None, u) for u in units))
    ]
    units = pl.DataFrame(rows, schema=UNITS, orient="row")
    spend = (
        units.group_by("task").agg(pl.col("usd").sum(), quantity=pl.col("tokens").sum().cast(pl.Float64)).sort("task")
    )
    classes = conform(spend.with_columns(pl.lit("m").alias("model"), pl.lit("input").alias("class")), CLASS_ROWS)
    return Side(name, units, Mix(TASKS.to_frame(), MODELS.to_frame(), classes))
