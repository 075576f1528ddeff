"""What each side of a reconciliation counted, by bucket of time and model, at our prices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import polars as pl

from costaudit import schema
from costaudit.finding import ZERO
from costaudit.price.book import PriceBook
from costaudit.price.classes import CLASSES, INPUT_SIDE, TOKENS
from costaudit.price.engine import bill, bill_by
from costaudit.price.match import match

PROBE = 1_000  # tokens; under every long-context step
LONG = 1_000_000  # tokens; above every step
ALL = "(all models)"

Usage = dict[str, tuple[Decimal, Decimal]]  # class -> quantity, USD


class Side(msgspec.Struct):
    """What one side counted in a cell: calls, and by tier what was used and what it costs."""

    calls: int = 0
    tiers: dict[str, Usage] = msgspec.field(default_factory=lambda: defaultdict(dict))

    def add(self, tier: str, name: str, quantity: Decimal, usd: Decimal) -> None:
        had = self.tiers[tier].get(name, (ZERO, ZERO))
        self.tiers[tier][name] = (had[0] + quantity, had[1] + usd)

    def classes(self) -> Usage:
        """Over all tiers."""
        summed: Usage = {}
        for usage in self.tiers.values():
            for name, (quantity, usd) in usage.items():
                had = summed.get(name, (ZERO, ZERO))
                summed[name] = (had[0] + quantity, had[1] + usd)
        return summed

    @property
    def usd(self) -> Decimal:
        return sum((usd for _, usd in self.classes().values()), ZERO)


def entry_of(book: PriceBook, provider: str | None, model: str | None, region: str | None) -> str:
    """The name under which both sides of a model meet: the book's entry, else the name as written."""
    if not model:
        return ALL
    found = match(book, provider, model, region)
    return found.entry if found.model is not None else f"{provider or ''}:{model}".lower()


def log_sides(calls: pl.DataFrame, book: PriceBook, *, whole: bool) -> dict[tuple[Any, str], Side]:
    """What the logs hold by bucket and entry, at what the calls cost."""
    sides: dict[tuple[Any, str], Side] = defaultdict(Side)
    if calls.is_empty():
        return sides
    entry = pl.lit(ALL) if whole else pl.col("price_entry")
    keys = calls.select("start", model=entry, tier=pl.col("service_tier").fill_null("").replace("standard", ""))
    for start, model, n in keys.group_by("start", "model").len().iter_rows():
        sides[start, model].calls += n
    for start, model, tier, name, quantity, usd in bill_by(
        calls.drop("start", "end", "seller", strict=False), book, keys
    ).iter_rows():
        name = "output" if name == "reasoning" and usd is not None else name
        sides[start, model].add(tier, name, quantity or ZERO, usd or ZERO)
    return sides


def export_sides(usage: pl.DataFrame, book: PriceBook) -> tuple[dict[tuple[Any, str], Side], list[str]]:
    """What the export holds by bucket and entry, at our prices for calls of ordinary size; and for each bucket that
    cannot be priced the name of its model."""
    rows = usage.with_row_index("nth").to_dicts()
    quantities = bill(_requests(rows), book)
    rates = _rates(rows, quantities, book)
    sides: dict[tuple[Any, str], Side] = defaultdict(Side)
    parts: dict[int, list[tuple[str, Decimal, Decimal | None]]] = defaultdict(list)
    for nth, name, quantity in quantities.select("row", "class", "quantity").iter_rows():
        if quantity and name not in ("requests", "machine_seconds"):
            parts[nth].append((name, quantity, rates.get((nth, name))))
    unknown: list[str] = []
    for row in rows:
        mine = parts[row["nth"]]
        if any(rate is None for _, _, rate in mine) or (not row["model"] and any(n in TOKENS for n, _, _ in mine)):
            unknown.append(str(row["model"] or "a bucket without a model"))
            continue
        key = (row["start"], entry_of(book, row["provider"], row["model"], row["region"]) if row["model"] else ALL)
        side = sides[key]
        side.calls += row["calls"] or 0
        for name, quantity, rate in mine:
            assert rate is not None  # sorted out above
            name = "output" if name == "reasoning" else name
            side.add(row["service_tier"] or "", name, quantity, quantity * rate)
    return sides, unknown


def _requests(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Buckets as rows of the request table."""
    columns = ("provider", "model", "service_tier", "region", "extras", "input_tokens", "cache_read_tokens")
    more = ("cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens")
    made = [{"started_at": row["start"]} | {name: row[name] for name in (*columns, *more)} for row in rows]
    return pl.DataFrame(made, schema=schema.REQUESTS, orient="row")


def _rates(rows: Sequence[Mapping[str, Any]], used: pl.DataFrame, book: PriceBook) -> dict[tuple[int, str], Decimal]:
    """USD of one unit of each class a bucket uses: read off a call of ordinary size, or a long one where it says so."""
    classes: dict[int, list[str]] = defaultdict(list)
    for nth, name in used.select("row", "class").iter_rows():
        classes[nth].append(name)
    small = [_small(row, classes[row["nth"]]) for row in rows]
    found: dict[tuple[int, str], Decimal] = {}
    for nth, name, quantity, usd in bill(_requests(small), book).select("row", "class", "quantity", "usd").iter_rows():
        if quantity and usd is not None:
            found[nth, name] = usd / quantity
    return found


def _small(row: Mapping[str, Any], classes: Iterable[str]) -> dict[str, Any]:
    """The same kinds of usage in one call of ordinary size."""
    texts = {
        "cache_read": "cache_read_tokens",
        "cache_write_5m": "cache_write_5m_tokens",
        "cache_write_1h": "cache_write_1h_tokens",
    }
    small = dict(row) | dict.fromkeys((*texts.values(), "cache_write_tokens", "input_tokens", "output_tokens"), 0)
    beside: list[dict[str, Any]] = []
    for name in classes:
        if name not in CLASSES or name in ("requests", "machine_seconds"):
            continue
        kind = CLASSES[name]
        if name in texts:
            small[texts[name]] = PROBE
        elif name not in ("input", "output", "reasoning") and not name.startswith("cache_write"):
            beside.append({"class": name, "quantity": Decimal(PROBE if name in TOKENS else 1)})
        if kind.within:
            small[kind.within] += PROBE if kind.within != texts.get(name) else 0
        if name in INPUT_SIDE and kind.within != "input_tokens":
            small["input_tokens"] += PROBE
    if row["long"]:
        small["input_tokens"] += LONG
    return small | {"extras": beside or None}
