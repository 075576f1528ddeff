"""Ledgers made by hand: a book of round prices, and calls of which only what matters is said."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from costaudit import schema
from costaudit.analyze import Analysis, analyze
from costaudit.config import Settings
from costaudit.price.book import PriceBook
from costaudit.price.engine import price
from costaudit.price.ledger import Ledger
from costaudit.price.trust import trust

START = datetime(2026, 10, 5, 9, tzinfo=UTC)

NAMES = "as_of: 2026-11-01\nproviders:\n  acme: []\n"
PRICES = """
provider: acme
sources:
  page: {title: prices of the tests, read_on: 2026-11-01}
models:
  big:
    facts: {cache_minimum: 1000, cache_lifetimes: [5m, 1h]}
    prices:
    - source: page
      rates: {input: 10, cache_read: 1, cache_write_5m: 12.5, cache_write_1h: 20, output: 50}
      tiers: {batch: {rates: {input: 5, cache_read: 0.5, output: 25}}}
  auto:
    prices:
    - source: page
      rates: {input: 10, cache_read: 1, output: 50}
  small:
    prices:
    - source: page
      rates: {input: 1, cache_read: 0.1, output: 5}
  gift:
    prices:
    - source: page
      status: free
"""


@cache
def book(times: int = 1) -> PriceBook:
    """One provider, `acme`; `big` costs 10 USD a million tokens in and 50 out, `small` a tenth of that.

    times   how much dearer everything is
    """
    prices = re.sub(r"(put|read|write_..): ([0-9.]+)", lambda rate: f"{rate[1]}: {Decimal(rate[2]) * times}", PRICES)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "_names.yaml").write_text(NAMES)
        Path(folder, "acme.yaml").write_text(prices)
        return PriceBook.load(Path(folder), providers=["acme"], cache=None)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def calls(rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Priced calls [schema.CALLS]; unless said: acme's `big`, one call a minute, 1,000 tokens in, 100 out."""
    given = [
        {
            "request_id": f"r{nth}",
            "source_file": "log.jsonl",
            "source_line": nth + 1,
            "started_at": at(60 * nth),
            "provider": "acme",
            "model": "big",
            "input_tokens": 1_000,
            "output_tokens": 100,
            "usage_source": "provider",
            "status": "ok",
        }
        | row
        for nth, row in enumerate(rows)
    ]
    frame = pl.DataFrame(given, schema={**schema.REQUESTS}, strict=True)
    return priced(frame)


def priced(requests: pl.DataFrame, times: int = 1) -> pl.DataFrame:
    """Requests as they reach the analyzers: in order of time, numbered, priced, with their trust."""
    ordered = schema.conform(requests).sort("started_at", "source_line", nulls_last=True)
    numbered = ordered.with_columns(row=pl.int_range(pl.len(), dtype=pl.UInt32))
    return schema.conform(trust(price(numbered, book(times)), book(times)), schema.CALLS)


def ledger(rows: Iterable[Mapping[str, Any]] | pl.DataFrame) -> Ledger:
    return Ledger.of(rows if isinstance(rows, pl.DataFrame) else calls(rows), book())


def ask(rule: str, rows: Iterable[Mapping[str, Any]] | pl.DataFrame, **options: Any) -> Analysis:
    """What one rule alone says, without a floor."""
    return analyze(ledger(rows), Settings(select=(rule,), floor_usd=Decimal(0), floor_share=0.0, rules={rule: options}))
