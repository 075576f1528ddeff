"""What each tenant pays: a CSV file of the user's with the columns `tenant`, `usd` and, if it varies, `month`."""

from __future__ import annotations

import csv
from decimal import Decimal, InvalidOperation
from pathlib import Path

from costaudit.errors import ConfigError

AMOUNTS = ("usd", "revenue_usd", "usd_per_month")
LARGEST = Decimal(10) ** 12  # USD a month; anything above is a slip of the keyboard
HINT = "columns: tenant, usd (a month), and optionally month (2026-10)"

Revenue = dict[tuple[str, str | None], Decimal]
"""USD a month by tenant and month; month None: every month not named."""


def revenue(path: Path) -> Revenue:
    """Read the file; ConfigError with file and line for anything that is no amount."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}", hint=HINT) from error
    reader = csv.DictReader(text.splitlines())
    names = [name.strip().lower() for name in reader.fieldnames or ()]
    amount = next((name for name in AMOUNTS if name in names), None)
    if "tenant" not in names or amount is None:
        raise ConfigError(f"{path}: no revenue file", hint=HINT)
    found: Revenue = {}
    for row in reader:
        where = f"{path}:{reader.line_num}"
        values = {
            str(key).strip().lower(): (value or "").strip() for key, value in row.items() if isinstance(value, str)
        }
        key = values.get("tenant", ""), _month(values.get("month", ""), where)
        if not key[0]:
            raise ConfigError(f"{where}: no tenant", hint=HINT)
        if key in found:
            raise ConfigError(f"{where}: {key[0]!r} is there twice", hint=HINT)
        found[key] = _usd(values.get(amount, ""), where)
    return found


def paid(book: Revenue, tenant: str, month: str) -> Decimal | None:
    """What a tenant pays for a month (`2026-10`); None where the file does not say."""
    return book.get((tenant, month), book.get((tenant, None)))


def _month(text: str, where: str) -> str | None:
    if not text:
        return None
    year, _, month = text.partition("-")
    if len(year) == 4 and year.isdecimal() and len(month) == 2 and month.isdecimal() and 1 <= int(month) <= 12:
        return text
    raise ConfigError(f"{where}: {text!r} is no month", hint=HINT)


def _usd(text: str, where: str) -> Decimal:
    try:
        value = Decimal(text.replace("$", "").replace("_", ""))
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or not 0 <= value <= LARGEST:
        raise ConfigError(f"{where}: {text!r} is no amount in USD", hint=HINT)
    return value
