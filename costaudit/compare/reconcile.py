"""Logs against a provider's own figures: the gap by time, model and cause.

Buckets of a usage export are priced by our own book, class by class, so that a gap in tokens becomes one in dollars.
From what the logs cost to what the export costs leads a chain of questions, each on top of the one before, so that the
causes add up exactly: were there more calls; were they larger; was their input cached otherwise; were they served at
another tier; what was used beside tokens; and, where a bill is given too, is it a steady part of the list price.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Any

import msgspec
import polars as pl

from costaudit import schema
from costaudit.compare._sides import ALL, Side, Usage, entry_of, export_sides, log_sides
from costaudit.finding import ZERO
from costaudit.price.book import PriceBook
from costaudit.price.classes import INPUT_SIDE, TOKENS
from costaudit.reconciliation import Cause
from costaudit.schema import USD

DUST = Decimal("1e-12")  # USD; quotients are cut here, sums stay exact
PRECISION = 60
STEADY = 0.01  # of the ratio of bill to list price, for a discount
CELLS_FOR_DISCOUNT = 3
FEES = ("search", "session", "code", "file", "storage", "image", "tool", "fetch")


class Cell(msgspec.Struct, frozen=True):
    """One stretch of time and model, both sides, and the causes of the difference; they add up to it."""

    start: datetime | None
    end: datetime | None
    model: str
    logs_usd: Decimal
    export_usd: Decimal
    logs_calls: int
    export_calls: int
    causes: Mapping[Cause, Decimal]


class Compared(msgspec.Struct):
    """All cells, and what stands on neither side."""

    cells: list[Cell]
    outside: int
    unpriced_buckets: int
    notes: list[str]

    def frame(self) -> pl.DataFrame:
        """The cells as `Reconciliation.cells`, in order of time and model."""
        columns: dict[str, Any] = {
            "start": schema.UTC,
            "end": schema.UTC,
            "model": pl.String,
            "logs_usd": USD,
            "export_usd": USD,
            "logs_calls": pl.Int64,
            "export_calls": pl.Int64,
        } | {cause.value: USD for cause in Cause}
        rows = [
            (
                c.start,
                c.end,
                c.model,
                c.logs_usd,
                c.export_usd,
                c.logs_calls,
                c.export_calls,
                *(c.causes.get(k, ZERO) for k in Cause),
            )
            for c in self.cells
        ]
        return pl.DataFrame(rows, schema=columns, orient="row").sort("start", "model", nulls_last=True)


def compare(calls: pl.DataFrame, buckets: pl.DataFrame, book: PriceBook) -> Compared:
    """Priced calls [schema.CALLS] against the buckets of exports [reconciliation.BUCKET].

    Only time and providers that an export covers are compared; calls outside are counted.
    """
    with localcontext(prec=PRECISION):
        return _compare(calls, buckets, book)


def _compare(calls: pl.DataFrame, buckets: pl.DataFrame, book: PriceBook) -> Compared:
    done = Compared([], 0, 0, [])
    billed = calls.filter((pl.col("price_status") == "priced") & pl.col("cost_usd").is_not_null())
    billed = billed.with_columns(seller=_seller(billed))
    named = buckets.with_columns(provider=pl.col("provider").map_elements(book.canonical, return_dtype=pl.String))
    for provider in named["provider"].unique().sort(nulls_last=True):
        theirs = named.filter(pl.col("provider").eq_missing(pl.lit(provider, pl.String)))
        mine = billed if provider is None else billed.filter(pl.col("seller") == provider)
        usage, cost = theirs.filter(pl.col("kind") != "cost"), theirs.filter(pl.col("kind") == "cost")
        counted: list[Cell] = []
        if usage.height:
            placed, outside = _placed(mine, usage)
            counted = list(_by_usage(placed, usage, book, done))
            done.cells += counted
            done.outside += outside
        if cost.height:
            covered = _covered(cost, usage)
            done.cells += _bills(cost.filter(covered), counted, book)
            alone = cost.filter(~covered)
            if alone.height:
                placed, outside = _placed(mine, alone)
                done.cells += _by_cost(placed, alone, book)
                done.outside += 0 if usage.height else outside
    sold = named["provider"].drop_nulls().unique()
    if named["provider"].null_count() == 0:
        done.outside += billed.filter(~pl.col("seller").is_in(sold.implode())).height
    return done


def _seller(calls: pl.DataFrame) -> pl.Series:
    """Who sold each call: the price entry's provider."""
    entries = calls["price_entry"].str.split(":").list.first()
    return entries.fill_null("")


def _placed(calls: pl.DataFrame, buckets: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """The calls inside the buckets' time with the `start` of their bucket, and how many are outside."""
    spans = buckets.select("start", "end").unique().drop_nulls("start").sort("start")
    if spans.is_empty():  # a bill without dates speaks of the whole log
        return calls.with_columns(start=pl.lit(None, schema.UTC)), 0
    timed = calls.drop_nulls("started_at").sort("started_at")
    placed = timed.join_asof(spans, left_on="started_at", right_on="start", strategy="backward")
    inside = placed.filter(pl.col("start").is_not_null() & (pl.col("started_at") < pl.col("end")))
    return inside, calls.height - inside.height


def _by_usage(calls: pl.DataFrame, usage: pl.DataFrame, book: PriceBook, done: Compared) -> Iterator[Cell]:
    """Cells of a usage export: every bucket and model that either side has."""
    ends = dict(usage.select("start", "end").iter_rows())
    theirs, unknown = export_sides(usage, book)
    if unknown:
        done.unpriced_buckets += len(unknown)
        named = ", ".join(sorted(set(unknown))[:5])
        done.notes.append(
            f"{len(unknown):,} buckets cannot be priced ({named}): group the export by model, tier and batch, "
            "or add a price"
        )
    whole = any(model == ALL for _, model in theirs)
    mine = log_sides(calls, book, whole=whole)
    for start, model in sorted({*theirs, *mine}, key=lambda key: (str(key[0]), key[1])):
        left, right = mine.get((start, model), Side()), theirs.get((start, model), Side())
        causes = _causes(left, right)
        yield Cell(start, ends.get(start), model, left.usd, right.usd, left.calls, right.calls, causes)


def _causes(logs: Side, export: Side) -> dict[Cause, Decimal]:
    """The way from what the logs cost to what the export costs, question after question."""
    if not logs.tiers and not logs.calls:
        return {Cause.MISSING: export.usd} if export.usd else {}
    if not export.tiers and not export.calls:
        return {Cause.EXTRA: -logs.usd} if logs.usd else {}
    left, right = logs.classes(), export.classes()
    fees = [sum((usd for name, (_, usd) in side.items() if name not in TOKENS), ZERO) for side in (left, right)]
    steps = [value.quantize(DUST) for value in _chain(logs, export, left, right)]
    start, moved, sized, cached, end = steps
    found = {
        (Cause.MISSING if moved >= start else Cause.EXTRA): moved - start,
        Cause.TOKENS: sized - moved,
        Cause.CACHE: cached - sized,
        (Cause.REST if set(logs.tiers) == set(export.tiers) else Cause.TIER): end - cached,
        Cause.TOOLS: fees[1] - fees[0],
    }
    # What quotients were cut by goes to the largest cause: the causes add up to the last digit.
    rest = export.usd - logs.usd - sum(found.values(), ZERO)
    largest = max(found, key=lambda cause: abs(found[cause]))
    found[largest] += rest
    return {cause: usd for cause, usd in found.items() if usd}


def _chain(logs: Side, export: Side, left: Usage, right: Usage) -> tuple[Decimal, Decimal, Decimal, Decimal, Decimal]:
    """Token dollars: as logged; with the export's calls; sizes; cache; and at its own tiers."""
    (in_l, out_l), (in_r, out_r) = (_directions(side) for side in (left, right))
    start, end = in_l[1] + out_l[1], in_r[1] + out_r[1]
    tokens_l, tokens_r = in_l[0] + out_l[0], in_r[0] + out_r[0]
    if logs.calls and export.calls:
        more = Decimal(export.calls) / logs.calls
    else:
        more = tokens_r / tokens_l if tokens_l else Decimal(1)
    if not tokens_l or not tokens_r:
        return start, start * more if tokens_r else ZERO, end, end, end
    sized = sum((b[0] * (a[1] / a[0]) if a[0] else b[1] for a, b in ((in_l, in_r), (out_l, out_r))), ZERO)
    cached = sum(
        (
            q * (left[n][1] / left[n][0]) if n in left and left[n][0] else usd
            for n, (q, usd) in right.items()
            if n in TOKENS
        ),
        ZERO,
    )
    return start, start * more, sized, cached, end


def _directions(usage: Usage) -> tuple[tuple[Decimal, Decimal], tuple[Decimal, Decimal]]:
    """Tokens and dollars of all input, and of all output."""
    parts: list[tuple[Decimal, Decimal]] = []
    for inside in (True, False):
        some = [pair for name, pair in usage.items() if name in TOKENS and (name in INPUT_SIDE) is inside]
        parts.append((sum((q for q, _ in some), ZERO), sum((usd for _, usd in some), ZERO)))
    return parts[0], parts[1]


def _covered(cost: pl.DataFrame, usage: pl.DataFrame) -> pl.Series:
    """Which lines of a bill fall into time that a usage export covers too."""
    spans = list(usage.select("start", "end").unique().iter_rows())
    return pl.Series(
        [
            any(s is not None and start is not None and start < e and s < end for s, e in spans)
            for start, end in cost.select("start", "end").iter_rows()
        ],
        dtype=pl.Boolean,
    )


def _bills(cost: pl.DataFrame, counted: Sequence[Cell], book: PriceBook) -> list[Cell]:
    """What a bill adds to the usage of the same time: the difference from the list price of that usage."""
    if cost.is_empty():
        return []
    billed = _billed(cost, book)
    models = {model for _, _, model in billed}
    found: list[tuple[Any, Any, str, Decimal, Decimal]] = []
    for (start, end, model), usd in billed.items():
        inside = [c for c in counted if c.start is not None and start <= c.start < end]
        if model != ALL:
            mine = [c for c in inside if c.model == model]
        else:
            mine = [c for c in inside if c.model not in models or c.model == ALL]
        found.append((start, end, model, usd, sum((c.export_usd for c in mine), ZERO)))
    steady = _discounts([(model, listed, usd) for _, _, model, usd, listed in found])
    spans = [(start, end) for start, end, _ in billed if start is not None and end is not None]
    # Inside the time of a bill, usage that no line of it covers was billed nothing there: some bills shift by a day.
    free = [
        Cell(c.start, c.end, c.model, ZERO, -c.export_usd, 0, 0, {Cause.REST: -c.export_usd})
        for c in counted
        if c.start is not None
        and c.export_usd
        and spans
        and min(spans)[0] <= c.start < max(end for _, end in spans)
        and not any(start <= c.start < end for start, end in spans)
    ]
    return free + [
        Cell(start, end, model, ZERO, usd - listed, 0, 0, {_why(steady, model, listed): usd - listed})
        for start, end, model, usd, listed in found
        if usd != listed
    ]


def _why(steady: set[str], model: str, listed: Decimal) -> Cause:
    return Cause.DISCOUNT if model in steady else Cause.REST if listed else Cause.TOOLS


def _billed(cost: pl.DataFrame, book: PriceBook) -> dict[tuple[Any, Any, str], Decimal]:
    sums: dict[tuple[Any, Any, str], Decimal] = defaultdict(lambda: ZERO)
    for row in cost.drop_nulls("usd").iter_rows(named=True):
        sums[row["start"], row["end"], entry_of(book, row["provider"], row["model"], row["region"])] += row["usd"]
    return sums


def _by_cost(calls: pl.DataFrame, cost: pl.DataFrame, book: PriceBook) -> list[Cell]:
    """Cells of a bill alone: fees apart, a steady ratio to the list price is a discount, the rest cannot be told."""
    ends = dict(cost.select("start", "end").iter_rows())
    tokens: dict[tuple[Any, str], Decimal] = defaultdict(lambda: ZERO)
    fees: dict[tuple[Any, str], Decimal] = defaultdict(lambda: ZERO)
    for row in cost.drop_nulls("usd").iter_rows(named=True):
        key = (row["start"], entry_of(book, row["provider"], row["model"], row["region"]))
        (fees if _is_fee(row["item"]) else tokens)[key] += row["usd"]
    named = any(model != ALL for _, model in tokens)
    mine = log_sides(calls, book, whole=not named)
    seen = sorted({*tokens, *fees, *mine}, key=lambda key: (str(key[0]), key[1]))
    split = {key: _split(mine.get(key, Side())) for key in seen}
    steady = _discounts([(key[1], split[key][0], tokens.get(key, ZERO)) for key in seen])
    cells = []
    for key in seen:
        (listed, used), side = split[key], mine.get(key, Side())
        bill_tokens, bill_fees = tokens.get(key, ZERO), fees.get(key, ZERO)
        if not side.calls:
            causes = {Cause.MISSING: bill_tokens, Cause.TOOLS: bill_fees}
        elif key not in tokens and key not in fees:
            causes = {Cause.EXTRA: -side.usd}
        else:
            causes = {
                Cause.TOOLS: bill_fees - used,
                (Cause.DISCOUNT if key[1] in steady else Cause.REST): bill_tokens - listed,
            }
        some = {cause: usd for cause, usd in causes.items() if usd}
        cells.append(Cell(key[0], ends.get(key[0]), key[1], side.usd, bill_tokens + bill_fees, side.calls, 0, some))
    return cells


def _split(side: Side) -> tuple[Decimal, Decimal]:
    """Dollars of tokens, and of everything else."""
    usage = side.classes()
    tokens = sum((usd for name, (_, usd) in usage.items() if name in TOKENS), ZERO)
    return tokens, side.usd - tokens


def _is_fee(item: str | None) -> bool:
    words = (item or "").lower()
    return "token" not in words and any(word in words for word in FEES)


def _discounts(pairs: Iterable[tuple[str, Decimal, Decimal]]) -> set[str]:
    """Models whose bill is the same part of the list price wherever there is one, and not all of it."""
    ratios: dict[str, list[float]] = defaultdict(list)
    for model, listed, usd in pairs:
        if listed > 0 and usd > 0:
            ratios[model].append(float(usd / listed))
    steady = set()
    for model, found in ratios.items():
        middle = sorted(found)[len(found) // 2]
        if (
            len(found) >= CELLS_FOR_DISCOUNT
            and abs(middle - 1) > STEADY
            and all(abs(r / middle - 1) <= STEADY for r in found)
        ):
            steady.add(model)
    return steady
