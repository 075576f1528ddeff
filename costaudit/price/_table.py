"""The rate table of one pricing pass, and which of its lines each row uses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, time
from decimal import Decimal

import msgspec
import polars as pl

from costaudit.price.book import PriceBook
from costaudit.price.classes import rate_of
from costaudit.price.entry import Schedule
from costaudit.price.tariff import ALWAYS, Key, Rate, Tariff, Timeline, timeline
from costaudit.schema import UTC

NEVER = 2**62  # tokens; no prompt is longer
_LUT = 1_000_000  # combinations of key values for which a plain look-up table is used


class RateTable(msgspec.Struct, frozen=True):
    """Every tariff in use, one line a step: parallel lists.

    rates     class -> Rate, parents not yet applied
    first     line of a tariff's first step, by tariff
    """

    tariffs: tuple[Tariff, ...]
    rates: tuple[Mapping[str, Rate], ...]

    def unit_rates(self, name: str) -> list[Decimal | None]:
        """USD per single unit of a class on each line, a parent's where it has none; None: not known."""
        found = [rate_of(name, rates) for rates in self.rates]
        return [None if rate is None else rate.per_unit(name) for rate in found]

    def has(self, name: str) -> list[bool]:
        """Whether a line has a rate of its own for the class."""
        return [name in rates for rates in self.rates]

    def writes_live_30m(self) -> list[bool]:
        """Whether writes of no stated lifetime live 30 minutes (OpenAI) and not 5."""
        return ["cache_write_30m" in rates and "cache_write_5m" not in rates for rates in self.rates]


class Lines(msgspec.Struct, frozen=True):
    """The table, and for each row of the calls the line that prices it [UInt32]."""

    table: RateTable
    line: pl.Series

    def pick(self, values: Sequence[object], dtype: pl.DataType | type[pl.DataType]) -> pl.Series:
        """A value of each line, spread over the rows."""
        return self.spread(pl.Series(values, dtype=dtype, strict=False))

    def spread(self, column: pl.Series) -> pl.Series:
        """One value a line, spread over the rows."""
        return column.new_from_index(0, len(self.line)) if len(column) == 1 else column.gather(self.line)


def lines(calls: pl.DataFrame, prompt: pl.Series, book: PriceBook) -> Lines:
    """The line for each call: its kind, the price epoch of its day, the hours, the length of its prompt."""
    keys, kind = _kinds(calls)
    timelines = [timeline(book, key) for key in keys]
    moments = _moments(calls, book)
    turns = sorted({start for t in timelines for start in t.starts} - {ALWAYS})
    epochs = [ALWAYS, *turns]
    tariffs, first, base = _flat(timelines, epochs)
    steps = [step for tariff in tariffs for step in tariff.steps]
    table = RateTable(
        tuple(t for t in tariffs for _ in t.steps),
        tuple(rates for _, rates in steps),
    )
    if len(steps) <= 1:  # one price for everything, or no calls at all
        return Lines(table, pl.zeros(calls.height, pl.UInt32, eager=True))
    cell = kind * len(epochs)
    if turns:
        cell = cell + pl.Series(turns, dtype=UTC).search_sorted(moments, side="right").cast(pl.UInt32)
    line = pl.Series(base, dtype=pl.UInt32).gather(cell)
    line = _by_hours(line, tariffs, first, moments, book)
    return Lines(table, _by_length(line, tariffs, first, prompt))


def _flat(timelines: list[Timeline], epochs: list[datetime]) -> tuple[list[Tariff], list[int], list[int]]:
    """(tariffs, first line of each, line for kind × epoch), each tariff once."""
    tariffs: list[Tariff] = []
    first: list[int] = []
    known: dict[int, int] = {}
    height = 0

    def place(tariff: Tariff) -> int:
        nonlocal height
        if id(tariff) not in known:
            known[id(tariff)] = height
            tariffs.append(tariff)
            first.append(height)
            height += len(tariff.steps)
            if tariff.hours:
                place(tariff.hours[1])
        return known[id(tariff)]

    base = [place(t.at(epoch)) for t in timelines for epoch in epochs]
    return tariffs, first, base


def _by_hours(
    line: pl.Series, tariffs: list[Tariff], first: list[int], moments: pl.Series, book: PriceBook
) -> pl.Series:
    """The line after time of day, weekday and holidays."""
    at = {id(tariff): start for tariff, start in zip(tariffs, first, strict=True)}
    height = first[-1] + len(tariffs[-1].steps)
    alternatives: dict[tuple[str, str], list[int]] = {}
    for tariff, start in zip(tariffs, first, strict=True):
        if tariff.hours:
            schedule = (tariff.provider, tariff.hours[0])
            lines_ = alternatives.setdefault(schedule, list(range(height)))
            lines_[start] = at[id(tariff.hours[1])]
    for (provider, name), during in alternatives.items():
        file = book.provider(provider)
        assert file is not None  # a tariff with hours comes from a file
        active = pl.select(in_force(file.schedules[name], pl.lit(moments))).to_series()
        line = pl.select(
            pl.when(active).then(pl.Series(during, dtype=pl.UInt32).gather(line)).otherwise(line)
        ).to_series()
    return line


def _by_length(line: pl.Series, tariffs: list[Tariff], first: list[int], prompt: pl.Series) -> pl.Series:
    """The line after long-context steps: one further for each threshold the whole prompt is above."""
    most = max(len(t.steps) for t in tariffs) - 1
    height = first[-1] + len(tariffs[-1].steps)
    taken = pl.zeros(len(line), pl.UInt32, eager=True)
    for nth in range(1, most + 1):
        above = [NEVER] * height
        for tariff, start in zip(tariffs, first, strict=True):
            if nth < len(tariff.steps):
                above[start] = tariff.steps[nth][0]
        taken = taken + (prompt > pl.Series(above, dtype=pl.Int64).gather(line)).cast(pl.UInt32)
    return line + taken if most else line


def in_force(schedule: Schedule, moments: pl.Expr) -> pl.Expr:
    """Whether a schedule's hours hold at each moment [UTC]."""
    minute = moments.dt.hour().cast(pl.Int32) * 60 + moments.dt.minute().cast(pl.Int32)
    inside = pl.lit(value=False)
    for start, end in schedule.utc:
        low, high = _minutes(start), _minutes(end)
        after, before = minute >= low, minute < high
        inside = inside | ((after & before) if low < high else (after | before))
    day = moments.dt.offset_by(f"{schedule.offset_hours}h")
    return inside & day.dt.weekday().is_in(schedule.weekdays) & ~day.dt.date().is_in(schedule.holidays)


def _minutes(written: str) -> int:
    at = time.fromisoformat(written)
    return at.hour * 60 + at.minute


def _moments(calls: pl.DataFrame, book: PriceBook) -> pl.Series:
    """When each call was sent; the book's own date where the log does not say."""
    as_of = pl.lit(datetime.combine(book.as_of, time()), dtype=pl.Datetime("us")).dt.replace_time_zone("UTC")
    if "started_at" not in calls.columns:
        return pl.select(pl.repeat(as_of, calls.height)).to_series()
    return calls.select(pl.col("started_at").cast(UTC).fill_null(as_of)).to_series()


def _kinds(calls: pl.DataFrame) -> tuple[list[Key], pl.Series]:
    """The distinct keys, and which of them each row has [UInt32]."""
    columns = [c for c in Key._fields if c in calls.columns and calls[c].null_count() < calls.height]
    known = [calls[c].drop_nulls().unique().sort() for c in columns]
    words: list[list[str | None]] = [[None, *values.to_list()] for values in known]
    size = math.prod(len(some) for some in words)
    dtype = pl.UInt32 if size < 2**32 else pl.UInt64
    code = pl.zeros(calls.height, dtype, eager=True)
    for column, values in zip(columns, known, strict=True):
        codes = calls[column].cast(pl.Enum(values)).to_physical().cast(dtype) + 1
        code = code * (len(values) + 1) + (codes.fill_null(0) if codes.null_count() else codes)
    present = code.unique().sort()
    keys = [_decode(c, columns, words) for c in present]
    if size <= _LUT:
        table = [0] * size
        for nth, value in enumerate(present):
            table[value] = nth
        return keys, pl.Series(table, dtype=pl.UInt32).gather(code)
    return keys, present.search_sorted(code).cast(pl.UInt32)


def _decode(code: int, columns: list[str], words: list[list[str | None]]) -> Key:
    values: dict[str, str | None] = dict.fromkeys(Key._fields)
    for column, known in zip(reversed(columns), reversed(words), strict=True):
        code, nth = divmod(code, len(known))
        values[column] = known[nth]
    return Key(**values)
