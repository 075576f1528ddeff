"""How a value in a log becomes a cell: strict where a wrong reading would be a wrong bill."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import cache
from types import NoneType
from typing import Any

import msgspec
import polars as pl

from costaudit import schema
from costaudit.ingest._limits import MOST_TEXT, MOST_TOKENS
from costaudit.price.exact import amounts

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST, LATEST = datetime(2015, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
PLACES = Decimal("1e-18")  # of dollars
FROM, TO = EARLIEST.timestamp(), LATEST.timestamp() - 1


class Reader(msgspec.Struct, frozen=True):
    """One kind of value: its column type, and how one value is read (None: absent; ValueError: refused)."""

    dtype: pl.DataType | type[pl.DataType]
    one: Callable[[Any], Any]

    def column(self, values: Sequence[Any]) -> tuple[pl.Series, dict[int, str]]:
        """The values as a column, and the rows whose value was refused with the reason."""
        plain = _PLAIN.get(self.one)
        if plain is not None and (whole := plain(values)) is not None:
            return whole, {}
        bad: dict[int, str] = {}
        cells: list[Any] = []
        one = self.one
        for n, value in enumerate(values):
            if value is None:
                cells.append(None)
                continue
            try:
                cells.append(one(value))
            except (ValueError, OverflowError, TypeError) as problem:
                bad[n] = str(problem)
                cells.append(None)
        if isinstance(self.dtype, pl.Decimal):
            return amounts(cells, self.dtype), bad
        return pl.Series(cells, dtype=self.dtype, strict=False), bad


def shown(value: Any) -> str:
    """A refused value as an error may quote it: short, and never the text of a prompt."""
    if isinstance(value, str):
        return f"text of {len(value)} characters" if len(value) > 24 else repr(value)
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= 24 else text[:20] + "…"


def count(value: Any) -> int | None:
    """A whole number of tokens >= 0; also written as `"12"` or `12.0`."""
    if type(value) is int:
        if 0 <= value <= MOST_TOKENS:
            return value
    elif isinstance(value, float):
        if value.is_integer() and 0 <= value <= MOST_TOKENS:
            return int(value)
    elif isinstance(value, str):
        text = value.strip()
        if not text or text.lower() in {"null", "none", "nan"}:
            return None
        try:
            return count(float(text) if any(c in text for c in ".eE") else int(text))
        except ValueError:
            pass
    raise ValueError(f"not a token count ({shown(value)})")


def counted(value: Any) -> int:
    """The same, and 0 where none is said; what is said and is no count is refused, however empty it is."""
    return 0 if value is None else count(value) or 0


def text(value: Any) -> str | None:
    """A short text; numbers and booleans are written out, nothing else is text."""
    if isinstance(value, str):
        return value[:MOST_TEXT] or None
    if isinstance(value, (int, float)):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return None


def number(value: Any) -> float | None:
    """A finite number."""
    if isinstance(value, str):
        if not value.strip():
            return None
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)) or not _finite(value):
        raise ValueError(f"not a number ({shown(value)})")
    return float(value)


def _finite(value: float | Decimal) -> bool:
    """Whether a number is one that a float can hold."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def flag(value: Any) -> bool | None:
    """true/false, also as text or 0/1; anything else is absent, for a flag never changes a bill by itself."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, (str, int, float)):
        return None
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
        str(value).strip().lower()
    )


def usd(value: Any) -> Decimal | None:
    """Dollars as an exact decimal, 18 places."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    amount = _amount(value)
    if amount is None or not amount.is_finite() or abs(amount) > 10**12:
        raise ValueError(f"not an amount ({shown(value)})")
    return amount.quantize(PLACES)


def _amount(value: Any) -> Decimal | None:
    """A number, also as people write dollars; None for anything else."""
    if not isinstance(value, (str, int, float, Decimal)):
        return None
    try:
        return Decimal(repr(value) if type(value) is float else str(value).strip().removeprefix("$").replace(",", ""))
    except InvalidOperation:
        return None


def moment(value: Any) -> datetime | None:
    """A time in UTC: RFC 3339, or a Unix time in s, ms, us or ns told apart by size. Without a zone: UTC."""
    if isinstance(value, str):
        value = value.strip()
        if not value:
            return None
        if value.lstrip("-").replace(".", "", 1).isdigit():
            return moment(float(value) if "." in value else int(value))
        try:
            when = datetime.fromisoformat(value.removesuffix(" UTC"))
        except ValueError:
            raise ValueError(f"not a time ({shown(value)})") from None
        when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    elif isinstance(value, datetime):
        when = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and _finite(value):
        if not 0 <= value < 1e19:
            raise ValueError(f"not a time of this century ({shown(value)})")
        scale = 1_000_000 if value < 1e11 else 1_000 if value < 1e14 else 1 if value < 1e17 else None
        micros = round(value * scale) if scale else int(value) // 1_000
        when = EPOCH + timedelta(microseconds=micros)
    elif isinstance(value, list) and len(value) == 2:  # [seconds, nanoseconds] of OpenTelemetry's JavaScript exporters
        return moment(int(value[0]) * 1_000_000_000 + int(value[1]))
    else:
        raise ValueError(f"not a time ({shown(value)})")
    if not EARLIEST <= when < LATEST:
        raise ValueError(f"not a time of this century ({shown(value)})")
    return when


@cache
def lenient(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The reader with None where it would refuse a value."""

    def one(value: Any) -> Any:
        try:
            return read(value)
        except (ValueError, OverflowError, TypeError):
            return None

    return one


def _texts(values: Sequence[Any]) -> pl.Series | None:
    """A column of nothing but texts; None if some value needs a look of its own."""
    if not set(map(type, values)) <= {str, NoneType}:
        return None
    if max(map(len, filter(None, values)), default=0) > MOST_TEXT:
        return None
    return pl.Series([value or None for value in values] if "" in values else values, dtype=pl.String)


def _counts(values: Sequence[Any]) -> pl.Series | None:
    """The same of nothing but whole numbers."""
    if not set(map(type, values)) <= {int, NoneType}:
        return None
    known = [value for value in values if value is not None]
    if known and not 0 <= min(known) <= max(known) <= MOST_TOKENS:
        return None
    return pl.Series(values, dtype=pl.Int64)


def _numbers(values: Sequence[Any]) -> pl.Series | None:
    """The same of nothing but numbers."""
    if not set(map(type, values)) <= {int, float, NoneType}:
        return None
    try:
        cells = [None if value is None else float(value) for value in values]
    except OverflowError:
        return None
    if not all(math.isfinite(cell) for cell in cells if cell is not None):
        return None
    return pl.Series(cells, dtype=pl.Float64)


def _flags(values: Sequence[Any]) -> pl.Series | None:
    """The same of nothing but true and false."""
    return pl.Series(values, dtype=pl.Boolean) if set(map(type, values)) <= {bool, NoneType} else None


def _moments(values: Sequence[Any]) -> pl.Series | None:
    """The same of nothing but Unix seconds, or times that name UTC and begin with their date."""
    known = [value for value in values if value is not None]
    kinds = set(map(type, known))
    if kinds and kinds <= {int, float}:
        if not all(FROM <= value < TO for value in known):  # NaN is not either
            return None
        micros = [None if value is None else round(value * 1_000_000) for value in values]
        return pl.Series(micros, dtype=pl.Int64).cast(schema.UTC)
    if kinds != {str} or not all(value[4:5] == "-" for value in known):
        return None
    try:
        times = list(map(datetime.fromisoformat, known))
    except ValueError:
        return None
    if not all(time.tzinfo is UTC for time in times) or not EARLIEST <= min(times) <= max(times) < LATEST:
        return None
    rest = iter(times)
    return pl.Series([None if value is None else next(rest) for value in values], dtype=schema.UTC)


_PLAIN: dict[Callable[[Any], Any], Callable[[Sequence[Any]], pl.Series | None]] = {
    text: _texts, count: _counts, lenient(count): _counts, number: _numbers, lenient(number): _numbers, flag: _flags,
    moment: _moments, lenient(moment): _moments,
}  # fmt: skip
COUNT = Reader(pl.Int64(), count)
TEXT = Reader(pl.String(), text)
NUMBER = Reader(pl.Float64(), number)
FLAG = Reader(pl.Boolean(), flag)
USD = Reader(schema.USD, usd)
MOMENT = Reader(schema.UTC, moment)
