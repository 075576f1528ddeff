"""Exchange rates as a file: for each currency, what one US dollar was worth from which day on."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from costaudit.config._node import parse
from costaudit.config._read import mapping, names, unknown
from costaudit.config._read import usd as amount
from costaudit.errors import ConfigError


class Rate(NamedTuple):
    """Units of a currency for one US dollar, from a day on."""

    code: str
    rate: Decimal
    on: date


def rate(file: Path, code: str, at: date) -> Rate:
    """The rate of a currency in force on a day; raises ConfigError where the file has none.

    file   YAML: `EUR: {2026-10-01: 0.921, 2026-11-01: 0.918}`, units for one US dollar
    """
    node = parse(file)
    tables = {} if node is None else mapping(node)
    if code not in tables:
        raise unknown("currency", code, sorted(tables), str(file))
    dated = {_day(written, file): value for written, value in names(amount)(tables[code]).items()}
    past = [on for on in dated if on <= at]
    if not past:
        first = min(dated, default=None)
        raise ConfigError(f"{file}: no rate of {code} on or before {at}", hint=f"the first is of {first}")
    found = dated[max(past)]
    if found <= 0:
        raise ConfigError(f"{file}: a rate of {code} must be above 0, not {found}")
    return Rate(code, found, max(past))


def _day(written: str, file: Path) -> date:
    try:
        return date.fromisoformat(written)
    except ValueError:
        raise ConfigError(f"{file}: not a date: {written!r}", hint="e.g. 2026-10-01: 0.921") from None
