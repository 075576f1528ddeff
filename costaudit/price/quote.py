"""One call as a person or a test writes it -> its price with all the arithmetic.

The words are those of a price page: disjoint usage classes, service tier, batch, residency. They become one row of the
request table and go through the same engine as a log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import polars as pl
from msgspec.structs import replace

from costaudit import schema
from costaudit.price._table import in_force as hours_hold
from costaudit.price._usage import totals
from costaudit.price.book import PriceBook
from costaudit.price.classes import CLASSES, INPUT_SIDE, TEXT
from costaudit.price.engine import bill, price
from costaudit.price.overrides import Override
from costaudit.price.tariff import Key, Tariff, timeline

INFORMATION = frozenset({"reasoning_of_output"})  # counts inside another class: never priced again
NOTHING = "nothing billed"
TIERS = {"processing": ("batch",), "speed": ("fast",)}
REGIONS = ("data_residency", "inference_geo", "endpoint_location", "region", "zone")


class Question(msgspec.Struct, frozen=True):
    """A call to be priced.

    at      when it was sent; None: the book's own date
    context service_tier (that served it), processing, speed, data_residency, inference_geo, endpoint_location,
            region, zone, search_context_size; others are information
    usage   class -> quantity, disjoint
    counted the same as a log counts: inclusive token columns, other keys classes of `extras`; instead of `usage`
    """

    provider: str
    model: str
    at: datetime | None = None
    context: Mapping[str, str] | None = None
    usage: Mapping[str, Decimal] | None = None
    counted: Mapping[str, int] | None = None
    override: Override | None = None


class Answer(msgspec.Struct, frozen=True):
    """What it costs.

    usd     None where no price is known
    parts   class -> USD, adding up to `usd`
    lines   the arithmetic: class, quantity, rate, unit, multiplier, usd
    steps   how the entry was found and which rates were taken
    """

    status: str
    usd: Decimal | None
    parts: Mapping[str, Decimal]
    entry: str
    steps: tuple[str, ...]
    lines: pl.DataFrame
    list_usd: Decimal | None = None


def quote(questions: Sequence[Question], book: PriceBook) -> list[Answer]:
    """The answers, in the order of the questions; those under the book's own overrides are priced in one pass."""
    plain = [n for n, q in enumerate(questions) if q.override is None]
    answers = dict(zip(plain, _answers([questions[n] for n in plain], book), strict=True))
    for n, question in enumerate(questions):
        if question.override is not None:
            own = replace(book, overrides=(*book.overrides, question.override), memo={})
            answers[n] = _answers([question], own)[0]
    return [answers[n] for n in range(len(questions))]


def explained(calls: pl.DataFrame, book: PriceBook) -> list[Answer]:
    """The same for rows of the request table, one answer a row."""
    priced, parts = price(calls, book), bill(calls, book)
    by_call = {key[0]: part for key, part in parts.partition_by("row", as_dict=True).items()}
    shown = priced.select("cost_usd", "price_status").iter_rows()
    keys = calls.select(*Key._fields, "started_at").iter_rows()
    prompts = totals(calls).prompt
    return [
        _answer(_told(in_force(Key(*key), at, book), prompt), usd, status, by_call.get(nth, parts.clear()))
        for nth, ((usd, status), (*key, at), prompt) in enumerate(zip(shown, keys, prompts, strict=True))
    ]


def _told(tariff: Tariff, prompt: int) -> Tariff:
    """The tariff with a note of the long-context step that a prompt is above."""
    above = max(start for start, _ in tariff.steps if start < prompt or start < 0)
    if above < 0:
        return tariff
    note = f"a prompt of {prompt:,} tokens is above {above:,}: the whole request at that step's rates"
    return replace(tariff, notes=(*tariff.notes, note))


def _answers(questions: Sequence[Question], book: PriceBook) -> list[Answer]:
    if not questions:
        return []
    return explained(pl.DataFrame([row(q) for q in questions], schema=schema.REQUESTS), book)


def _answer(tariff: Tariff, usd: Decimal | None, status: str | None, lines: pl.DataFrame) -> Answer:
    billed = status == "priced"
    parts = dict(zip(lines["class"], lines["usd"], strict=True)) if billed else {}
    listed = sum(lines["usd"], Decimal(0)) if status == "subscription" and not lines["usd"].null_count() else None
    source = (f"rates: {tariff.source}" + (f", in force since {tariff.since}" if tariff.since else ""),)
    steps = tariff.notes + (source if tariff.source else ())
    shown = lines if billed or listed is not None else lines.clear()
    return Answer(status or NOTHING, usd, parts, tariff.entry, steps, shown, listed)


def in_force(key: Key, at: datetime | None, book: PriceBook) -> Tariff:
    """The tariff a call falls under at its time, hours of the day included."""
    moment = at or datetime.combine(book.as_of, datetime.min.time(), UTC)
    tariff = timeline(book, key).at(moment)
    if tariff.hours is None:
        return tariff
    file = book.provider(tariff.provider)
    assert file is not None  # a tariff with hours comes from a file
    inside = pl.select(hours_hold(file.schedules[tariff.hours[0]], pl.lit(moment, schema.UTC))).item()
    return tariff.hours[1] if inside else tariff


def row(question: Question) -> dict[str, Any]:
    """The question as a row of the request table: disjoint classes become inclusive totals."""
    context = question.context or {}
    tokens, extras = _stated(question.usage or {}) if question.counted is None else _counted(question.counted)
    # A stated usage is complete: nothing is implied by the call having been made.
    extras.setdefault("requests", Decimal(0))
    return {
        "provider": question.provider,
        "model": question.model,
        "started_at": question.at,
        "service_tier": tier(context),
        "region": next((context[k] for k in REGIONS if context.get(k)), None),
        "search_context_size": context.get("search_context_size"),
        **tokens,
        "extras": [{"class": name, "quantity": quantity} for name, quantity in extras.items()],
    }


def tier(context: Mapping[str, str]) -> str | None:
    """The tier that served the call: a batch is a batch whatever tier was named, fast mode is a tier."""
    for key, words in TIERS.items():
        if context.get(key) in words:
            return context[key]
    return context.get("service_tier")


def _stated(usage: Mapping[str, Decimal]) -> tuple[dict[str, int], dict[str, Decimal]]:
    """Disjoint classes as inclusive columns and extras."""
    used = {name: quantity for name, quantity in usage.items() if name not in INFORMATION and quantity}
    columns = dict.fromkeys(("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens"), 0)
    for name, quantity in used.items():
        within = CLASSES[name].within if name in CLASSES else ""
        if within:
            columns[within] += int(quantity)
        if name in INPUT_SIDE and within != "input_tokens":
            columns["input_tokens"] += int(quantity)
        if name.startswith("cache_write_") or name == "reasoning":
            columns[f"{name}_tokens"] = int(quantity)
    return columns, {name: quantity for name, quantity in used.items() if name not in TEXT}


def _counted(counted: Mapping[str, int]) -> tuple[dict[str, int], dict[str, Decimal]]:
    columns = {name: count for name, count in counted.items() if name in schema.REQUESTS}
    return columns, {name: Decimal(count) for name, count in counted.items() if name not in schema.REQUESTS}
