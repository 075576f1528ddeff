"""Findings that somebody accepts on purpose: until a day, and up to an amount a month; then they are open again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal

import polars as pl

from costaudit.audit import Accepted, Standing
from costaudit.config import Suppression
from costaudit.finding import Finding

DAYS_OF_A_MONTH = Decimal("30.4375")  # 365.25 / 12; a suppression's cap is an amount a month


def standings(
    findings: Sequence[Finding], suppressions: Iterable[Suppression], calls: pl.DataFrame
) -> tuple[Accepted, ...]:
    """What has become of each suppression; a finding hidden by one is not said to be open again by another."""
    latest, months = last_day(calls), months_of(calls)
    said: list[Accepted] = []
    for by in suppressions:
        mine = [f for f in findings if covers(by, f)]
        said += [Accepted(by, _standing(by, f, latest, months), f.id, f.title, f.amount_usd) for f in mine]
        said += [] if mine else [Accepted(by, Standing.IDLE)]
    hidden = {one.finding for one in said if one.standing is Standing.HOLDS}
    return tuple(one for one in said if one.standing in (Standing.HOLDS, Standing.IDLE) or one.finding not in hidden)


def covers(by: Suppression, finding: Finding) -> bool:
    """Whether a suppression speaks of a finding: its rule, and everything its subject names."""
    return by.rule == finding.rule and all(finding.subject.get(key) == value for key, value in by.subject.items())


def last_day(calls: pl.DataFrame) -> date:
    """The UTC day of the last call; the first of days where no call has a time."""
    latest = calls["started_at"].max()
    return latest.date() if isinstance(latest, datetime) else date.min


def months_of(calls: pl.DataFrame) -> Decimal:
    """Months that the calls span, at least one."""
    span = calls.select((pl.col("started_at").max() - pl.col("started_at").min()).dt.total_days()).item()
    return max(Decimal(1), Decimal(int(span or 0)) / DAYS_OF_A_MONTH)


def _standing(by: Suppression, finding: Finding, latest: date, months: Decimal) -> Standing:
    if latest > by.until:
        return Standing.EXPIRED
    past = by.max_usd is not None and finding.amount_usd > by.max_usd * months
    return Standing.PAST_CAP if past else Standing.HOLDS
