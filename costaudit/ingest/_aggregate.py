"""Exports that sum many calls: no requests, so nothing of them is ever added to a log; `reconcile` reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import polars as pl

from costaudit.errors import LogError
from costaudit.ingest import _detect
from costaudit.ingest._decode import parsed
from costaudit.ingest._files import BLANK, LogFile, Record, records
from costaudit.ingest._format import FileReader, Format, Found, Out
from costaudit.ingest._values import moment, text
from costaudit.reconciliation import BUCKET

Bucket = dict[str, Any]  # columns of reconciliation.BUCKET
SKIPPED = "aggregate export"
NOTE = "sums of calls, which no log can be made of; `costaudit reconcile LOGS --against {}` compares them"


class AggregateFormat(Format):
    """A format whose records are sums over time: in a folder of logs each is skipped, with a word on what it is for."""

    def buckets(self, record: Mapping[str, Any]) -> Iterable[Bucket]:
        """The buckets of a record; ValueError where it holds something that is no amount, count or time."""
        raise NotImplementedError

    def reader(self, file: LogFile, found: Found) -> FileReader:
        del found  # exports are never wrapped
        return _Skips(file)


class _Skips:
    def __init__(self, file: LogFile) -> None:
        self.file = file

    def feed(self, items: Sequence[Record], out: Out) -> None:
        out.skipped[SKIPPED] += len(items)

    def close(self, out: Out) -> None:
        if out.skipped[SKIPPED]:
            out.notes.append(f"{self.file.shown}: {NOTE.format(self.file.shown)}")


def read(file: LogFile) -> tuple[pl.DataFrame, list[str]]:
    """The buckets of one export [reconciliation.BUCKET], and what could not be read of it, a sentence each.

    Raises LogError where nothing in the file is an export.
    """
    rows: list[Bucket] = []
    bad: list[str] = []
    seen = 0
    for batch in records(file):
        for item in batch:
            if not isinstance(item, Record):
                if item.reason != BLANK:
                    bad.append(f"line {item.line}: {item.reason}")
                continue
            value = parsed(item.data)
            if isinstance(value, str):
                bad.append(f"line {item.line}: {value}")
                continue
            guess = _detect.guess(value)
            if guess is None or not isinstance(guess[0].form, AggregateFormat):
                bad.append(f"line {item.line}: no known export")
                continue
            seen += 1
            try:
                place = f"{file.shown}:{item.line}"
                rows += [{"source": place} | bucket for bucket in guess[0].form.buckets(value)]
            except (ValueError, ArithmeticError, TypeError) as problem:
                bad.append(f"line {item.line}: {problem}")
    if not seen:
        known = ", ".join(form.name for form in _detect.formats() if issubclass(form, AggregateFormat))
        raise LogError(
            f"{file.shown}: no usage or cost export" + (f" ({bad[0]})" if bad else ""), hint=f"known exports: {known}"
        )
    return _deduplicated(pl.DataFrame(rows, schema=BUCKET, orient="row") if rows else BUCKET.to_frame()), bad


def _deduplicated(frame: pl.DataFrame) -> pl.DataFrame:
    """Overlapping exports repeat buckets: the last of equal time and dimensions holds."""
    key = ["start", "end", "provider", "model", "service_tier", "region", "long", "scope", "item", "kind"]
    classes = pl.col("extras").list.eval(pl.element().struct.field("class")).list.join("+")
    return (
        frame.with_columns(_classes=classes.fill_null(""))
        .unique([*key, "_classes"], keep="last", maintain_order=True)
        .drop("_classes")
    )


def number(value: Any) -> Decimal | None:
    """A quantity as exports write it: `59200.0`, `"1,204"`, `$0.50`; blank and null are absent."""
    if value is None or isinstance(value, bool):
        return None
    written = str(value).strip().lstrip("$").replace(",", "")
    if not written:
        return None
    try:
        found = Decimal(written)
    except InvalidOperation:
        raise ValueError(f"not a number: {written[:40]!r}") from None
    if not found.is_finite() or abs(found) >= Decimal(10) ** 15:
        raise ValueError(f"not an amount: {written[:40]!r}")
    return found


def tokens(value: Any) -> int:
    """A number of tokens or calls; absent is none."""
    found = number(value)
    if found is not None and (found < 0 or found != found.to_integral_value()):
        raise ValueError(f"not a count: {value!r}")
    return int(found or 0)


def when(value: Any) -> datetime | None:
    """A time; a date is its midnight in UTC."""
    return None if value in (None, "") else moment(value)


def extras(counted: Iterable[tuple[str, int | Decimal]]) -> list[dict[str, Any]] | None:
    """What is billed beside plain tokens, by class."""
    found = [{"class": name, "quantity": Decimal(quantity)} for name, quantity in counted if quantity]
    return found or None


def whole_day(start: datetime | None, end: datetime | None) -> tuple[datetime | None, datetime | None]:
    """A bucket whose end is not written ends a day after it starts."""
    return start, end if end is not None or start is None else start + timedelta(days=1)


def name(value: Any) -> str | None:
    found = text(value)
    return found or None


def pages(record: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Buckets and their results of a page `{data: [{..., results: [...]}]}`, of a bare bucket, or of a bare result."""
    data = record.get("data")
    for bucket in data if isinstance(data, list) else [record]:
        if not isinstance(bucket, Mapping):
            continue
        results = bucket.get("results", bucket.get("result"))
        for result in results if isinstance(results, list) else [bucket]:
            if isinstance(result, Mapping):
                yield bucket, result
