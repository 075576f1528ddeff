"""Everything a report can say, as data: the noun between analysis and rendering."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

import msgspec
import polars as pl

from costaudit.config import Suppression
from costaudit.finding import ZERO, Finding, Kind, NotChecked
from costaudit.schema import USD

UNDATED = "without a time, in no window and left out"  # what a note says of calls that no window can hold


class Window(msgspec.Struct, frozen=True):
    """The half-open window [start, end) an audit looks at; both ends in UTC, shown in `tz`."""

    start: datetime | None = None
    end: datetime | None = None
    tz: str = "UTC"


class Fates(msgspec.Struct, frozen=True):
    """What became of every record read: the numbers add up to `lines`.

    skipped  rows that are no request by design (user turns, snapshots), by type
    rejects  records that should have been readable and were not, by reason
    outside  requests outside the window asked for
    """

    lines: int = 0
    requests: int = 0
    duplicates: int = 0
    rollups: int = 0
    blank: int = 0
    outside: int = 0
    skipped: Mapping[str, int] = msgspec.field(default_factory=dict)
    rejects: Mapping[str, int] = msgspec.field(default_factory=dict)
    duplicates_by_reason: Mapping[str, int] = msgspec.field(default_factory=dict)

    @property
    def balanced(self) -> bool:
        fates = self.requests + self.duplicates + self.rollups + self.blank + self.outside
        return self.lines == fates + sum(self.skipped.values()) + sum(self.rejects.values())


class Coverage(msgspec.Struct, frozen=True):
    """How much of the total can be believed.

    calls, tokens  by trust status: exact, estimated, unpriced, unmetered, free, subscription
    share          the worse of calls and tokens that can be priced, 0..1
    floor          the share asked for; under it every total is a lower bound
    low_usd, high_usd  the truth lies between; high None: no upper bound
    unpriced       model, provider, requests, tokens, entry (YAML to paste)
    sources        path, format, requests, convention, proof
    unread         of each file or folder that is in no figure because it could not be read: why
    """

    fates: Fates
    calls: Mapping[str, int]
    tokens: Mapping[str, int]
    share: float
    low_usd: Decimal
    high_usd: Decimal | None
    unpriced: pl.DataFrame
    sources: pl.DataFrame
    sampled: bool = False
    notes: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    floor: float = 0.8

    @property
    def enough(self) -> bool:
        return self.share >= self.floor


class Spend(msgspec.Struct, frozen=True):
    """Where the money went; every table adds up to `total_usd`.

    by_task    task, requests, runs, cost_usd, share, usd_per_request, p95_usd
    by_model   model, provider, requests, cost_usd, *_tokens
    by_tenant  tenant, requests, runs, cost_usd, share
    by_day     day, requests, cost_usd
    logged     cost the log itself states against ours: requests, agree, logged_usd, computed_usd by model; may be empty
    asked      tables by other groupings, on request: their name, then the columns of `by_task`
    by_day_task  day, task, cost_usd of the dearest tasks only: it does not add up to the total; may be empty
    """

    total_usd: Decimal
    by_task: pl.DataFrame
    by_model: pl.DataFrame
    by_tenant: pl.DataFrame
    by_day: pl.DataFrame
    logged: pl.DataFrame
    subscription_usd: Decimal = ZERO  # list-price equivalent of calls under an allowance; not in the total
    asked: Mapping[str, pl.DataFrame] = msgspec.field(default_factory=dict)
    by_day_task: pl.DataFrame = msgspec.field(
        default_factory=lambda: pl.DataFrame(schema={"day": pl.String, "task": pl.String, "cost_usd": USD})
    )

    def by(self, grouping: str) -> pl.DataFrame:
        """The table of a grouping; KeyError for one that was not asked for."""
        usual = {"task": self.by_task, "model": self.by_model, "tenant": self.by_tenant, "day": self.by_day}
        return usual[grouping] if grouping in usual else self.asked[grouping]


class Prices(msgspec.Struct, frozen=True):
    """Which prices were used: newest date read, fingerprint of the book, days since that date at the window's end."""

    as_of: date
    book_sha256: str
    stale_days: int = 0
    overrides: int = 0


class Standing(StrEnum):
    """What has become of a suppression at the window's end."""

    HOLDS = "holds"
    EXPIRED = "expired"
    PAST_CAP = "past its cap"
    IDLE = "nothing to accept"


class Accepted(msgspec.Struct, frozen=True):
    """A suppression of the settings, and the finding it speaks of; none where it is idle.

    usd  what the finding is worth [USD]
    """

    by: Suppression
    standing: Standing
    finding: str = ""
    title: str = ""
    usd: Decimal = ZERO


class Audit(msgspec.Struct, frozen=True):
    """One analyzed window: what every renderer receives.

    unshown    ids of the findings below the floor or accepted
    range_usd  ledger dollars of a kind when every finding is at its low, and at its high end
    accepted   suppressions, those that hold and hide a finding and those that no longer do
    """

    window: Window
    prices: Prices
    coverage: Coverage
    spend: Spend
    findings: tuple[Finding, ...]
    clean: tuple[str, ...]
    not_checked: tuple[NotChecked, ...]
    below_floor: int = 0
    suppressed: int = 0
    unshown: frozenset[str] = frozenset()
    accepted: tuple[Accepted, ...] = ()
    paths: tuple[str, ...] = ()
    range_usd: Mapping[Kind, tuple[Decimal, Decimal]] = msgspec.field(default_factory=dict)

    @property
    def reopened(self) -> tuple[Accepted, ...]:
        """Findings that were accepted once: the day has passed, or they grew past the cap."""
        return tuple(a for a in self.accepted if a.standing in (Standing.EXPIRED, Standing.PAST_CAP))

    def owned(self, kind: Kind) -> Decimal:
        """Ledger dollars of one kind: waste, or decide."""
        return sum((f.owned_usd for f in self.findings if f.kind is kind), ZERO)
