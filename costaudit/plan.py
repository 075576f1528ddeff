"""The plan for scale as data: the noun between the ledger and what `forecast` prints."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import NamedTuple

import msgspec
import polars as pl

from costaudit.audit import Coverage, Prices, Window
from costaudit.stats import Interval, Outlook

DRIVERS: dict[str, str] = {
    "requests": "more of the same requests",
    "runaways": "runs that repeat themselves",
    "fees": "searches, pages, other fees",
    "elasticity": "dearer or cheaper with scale",
    "caching": "prefixes sent again sooner",
    "context": "prompts that go on growing",
    "tiers": "longer than a price step",
}
"""Every driver of growth, in the order in which they are shown."""


class Driver(NamedTuple):
    """One cause of the growth of a month's spend, and its range [USD a month]."""

    name: str
    usd: Decimal
    low_usd: Decimal
    high_usd: Decimal


class Growth(msgspec.Struct, frozen=True):
    """A month's spend at `factor` times the traffic, or the tenants.

    drivers      add up to then_usd - now_usd
    tenants      tenant, now_usd, then_usd, driver names [USD a month]; rows add up to both totals
    over_step    share of the requests beyond a long-context step, now and then; None: no model in use has one
    low_usd, high_usd  80 % interval of then_usd
    """

    factor: float
    now_usd: Decimal
    then_usd: Decimal
    low_usd: Decimal
    high_usd: Decimal
    drivers: tuple[Driver, ...]
    tenants: pl.DataFrame
    over_step: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()


class Step(NamedTuple):
    """A change on the way under the target: the finding that proposes it, and what it saves after those before it."""

    finding: str
    rule: str
    risk: str
    subject: str
    title: str
    remedy: str
    saves_usd: Decimal


class Way(msgspec.Struct, frozen=True):
    """The least risky changes that bring a month's projected spend under a target, priced by replaying the log.

    tried   sets that were priced; reached: whether after_usd is at most the target
    """

    target_usd: Decimal
    factor: float
    before_usd: Decimal
    after_usd: Decimal
    steps: tuple[Step, ...]
    tried: int

    @property
    def reached(self) -> bool:
        return self.after_usd <= self.target_usd


class Week(NamedTuple):
    """Spend of some days to come: likely, with its interval, and the last week again [USD]."""

    start: date
    end: date
    usd: Interval
    naive_usd: float


class Plan(msgspec.Struct, frozen=True):
    """The answer of `forecast`.

    base         the days whose use is scaled; `days` of them, scaled to a month of 30.4 days
    history      spend by day: day, usd
    ahead        the weeks to come, then all of them together
    tenants      tenant, now_usd [a month], share, trend (of weekly spend, a week; null: under four weeks), next_usd,
                 low_usd, high_usd (of the weeks ahead): the largest tenants
    limits       limit, what, allowed, peak, low, high, breaks_at, breaks_low, breaks_high, weekday, hour; the first to
                 break first; None: no limits file
    """

    window: Window
    base: Window
    days: int
    prices: Prices
    coverage: Coverage
    by: str
    outlook: Outlook
    history: pl.DataFrame
    ahead: tuple[Week, ...]
    growth: tuple[Growth, ...]
    tenants: pl.DataFrame
    limits: pl.DataFrame | None
    way: Way | None
    notes: tuple[str, ...] = ()
