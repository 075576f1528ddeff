"""How amounts, tokens, counts and shares are written. An amount is rounded here, once, half to even.

Amounts are US dollars everywhere; a report for people may show them in another currency, at one rate that it prints.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import date, datetime, tzinfo
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import NamedTuple

from costaudit.words import NONE as NONE
from costaudit.words import percent as percent
from costaudit.words import plural as plural
from costaudit.words import rise as rise

LEAST = Decimal("0.000001")  # USD; the price of one token of the cheapest models is a hundredth of it
MOST = Decimal(10) ** 12  # USD; beyond it only the magnitude is readable


SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹", "KRW": "₩", "BRL": "R$", "CNY": "CN¥"}
_DOLLARS = re.compile(r"\$(\d[\d,]*(?:\.\d+)?)")


class Currency(NamedTuple):
    """A currency that amounts are shown in: units for one US dollar, and the day of that rate."""

    code: str
    rate: Decimal
    on: date

    @property
    def words(self) -> str:
        return f"shown in {self.code} at {self.rate:f} for 1 USD, rate of {self.on}"


_SHOWN: ContextVar[Currency | None] = ContextVar("currency", default=None)


@contextlib.contextmanager
def shown_in(currency: Currency | None) -> Iterator[None]:
    """Amounts written inside are in this currency; None: US dollars."""
    token = _SHOWN.set(currency)
    try:
        yield
    finally:
        _SHOWN.reset(token)


def currency() -> Currency | None:
    """What amounts are shown in just now, if not US dollars."""
    return _SHOWN.get()


def converted(amount: Decimal) -> Decimal:
    """US dollars in the currency shown."""
    shown = _SHOWN.get()
    if shown is None:
        return amount
    with localcontext(prec=60):
        return amount * shown.rate


def sign() -> str:
    """What stands before an amount: `$`, `€`, or a code and a blank."""
    shown = _SHOWN.get()
    return "$" if shown is None else SIGNS.get(shown.code, f"{shown.code} ")


def per(unit: str) -> str:
    """The head of a column of amounts each: `$/run`, `€/run`, `CHF/run`."""
    return f"{sign().strip()}/{unit}"


def prose(text: str) -> str:
    """A sentence with its dollars in the currency shown, from the digits it gives."""
    if _SHOWN.get() is None:
        return text
    return _DOLLARS.sub(lambda found: usd(Decimal(found[1].replace(",", ""))), text)


def usd(amount: Decimal | None) -> str:
    """Dollars with cents from $1 up, with two significant digits below: `$4,812.50`, `$0.29`, `$0.0042`, `$0.00`.

    Only nothing at all is `$0.00`. An amount under a millionth of a dollar is `<$0.000001`.
    """
    if amount is None:
        return NONE
    amount = converted(amount)
    before, size = ("-" if amount < 0 else ""), abs(amount)
    if 0 < size < LEAST:
        return f"{before}<{sign()}{LEAST:f}"
    if size >= MOST:
        return f"{before}{sign()}{size:.2e}"
    decimals = 2 if size == 0 else max(2, 1 - size.adjusted())
    return f"{before}{sign()}{_rounded(size, decimals):,f}"


def headline(amount: Decimal) -> str:
    """Dollars for a sentence: whole ones from $100 up."""
    shown = converted(amount)
    if not 100 <= abs(shown) < MOST:
        return usd(amount)
    return f"{'-' if shown < 0 else ''}{sign()}{_rounded(abs(shown), 0):,f}"


def fixed(amount: Decimal, places: int) -> str:
    """An amount with a given number of decimals, for columns that add up as they are read."""
    shown = converted(amount)
    with localcontext(prec=60):
        return f"{'-' if shown < 0 else ''}{sign()}{abs(shown):,.{places}f}"


def interval(low: Decimal, high: Decimal | None) -> str:
    """`$580.00 to $640.00`; one amount where both ends are written alike; no upper bound is said."""
    if high is None:
        return f"{usd(low)} or more, no upper bound"
    return usd(low) if usd(low) == usd(high) else f"{usd(low)} to {usd(high)}"


def exact(amount: Decimal) -> str:
    """The amount to its last digit, for machines: no exponent, no trailing zeros, no negative zero."""
    text = f"{amount:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def count(number: int | None) -> str:
    """`12,010`."""
    return NONE if number is None else f"{number:,}"


def tokens(number: int | None) -> str:
    """Token counts at reading precision: `950`, `12,345`, `1.23M`, `45.6B`."""
    if number is None:
        return NONE
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6)):
        if number >= size * 0.9995:
            return f"{number / size:.3g}{unit}" if number < 999.5 * size else f"{number // size:,}{unit}"
    return count(number)


def of(part: Decimal, whole: Decimal) -> float | None:
    """The share of a whole, or None where there is no whole to share."""
    return float(part / whole) if whole > 0 else None


def moment(when: datetime, zone: tzinfo) -> str:
    """A time in the report's zone, to the minute; a midnight is a date."""
    local = when.astimezone(zone)
    return f"{local:%Y-%m-%d}" if (local.hour, local.minute, local.second) == (0, 0, 0) else f"{local:%Y-%m-%d %H:%M}"


def _rounded(size: Decimal, decimals: int) -> Decimal:
    with localcontext() as context:
        context.prec = 60  # Decimal(38, 18) sums keep all their digits
        return size.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_EVEN)
