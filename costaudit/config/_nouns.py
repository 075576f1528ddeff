"""The nouns of the settings: what one entry of a section says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec


class Located(msgspec.Struct, frozen=True):
    """An entry that another stage parses: plain values, fractions as exact Decimals, and where it stands."""

    data: Mapping[str, Any]
    file: str
    line: int

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"


class Columns(msgspec.Struct, frozen=True):
    """How a log names things: request column -> name in the files that match the glob."""

    names: Mapping[str, str]
    files: str = "*"
    where: str = ""


class Budget(msgspec.Struct, frozen=True):
    """A limit on spend [USD] per month, week, day, run or call, for the calls in `scope`; empty: all."""

    usd: Decimal
    per: str = "month"
    scope: Mapping[str, str] = msgspec.field(default_factory=dict)
    where: str = ""


class Suppression(msgspec.Struct, frozen=True):
    """A finding that somebody accepts, until a date and up to an amount a month [USD]; None: any amount."""

    rule: str
    subject: Mapping[str, str]
    owner: str
    reason: str
    until: date
    max_usd: Decimal | None = None
    where: str = ""


class Gate(msgspec.Struct, frozen=True):
    """Limits of `check`.

    tolerance    growth of unit cost that is allowed, as a share
    pass_margin  how far above the tolerance the interval may still reach for a PASS, as a share
    min_units    units on each side below which nothing is said
    inconclusive what a task that cannot be told means: pass or fail
    report_only  no verdict fails a build; the exit code still says where nothing could be judged
    floor_usd    monthly effect below which a task does not fail [USD]; None: the floor of findings
    """

    tolerance: float = 0.05
    pass_margin: float = 0.10
    min_units: int = 5
    inconclusive: str = "pass"
    require_baseline: bool = False
    report_only: bool = False
    floor_usd: Decimal | None = None


class Forecast(msgspec.Struct, frozen=True):
    """The plan for scale: growth factors, weeks ahead, width of the interval, what grows."""

    growth: tuple[float, ...] = (2.0, 10.0)
    horizon_weeks: int = 4
    interval: float = 0.8
    growth_by: str = "traffic"
