"""Findings from one month to the next: new, still open, fixed; and what the fixed ones really saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal, localcontext

import polars as pl

from costaudit import stats
from costaudit.audit import Audit
from costaudit.compare.side import at_prices_of, last_day
from costaudit.finding import Finding, Kind
from costaudit.price.book import PriceBook
from costaudit.price.mix import EXACT, unit
from costaudit.stats import Interval
from costaudit.verdict import Followed, Standing

LEVEL = 0.95  # one-sided: the ends of a 90 % interval
LEAST = 5  # units a month; fewer say nothing about their mean
SCOPE = ("task", "tenant", "model")  # parts of a subject that calls can be looked up by
PLACES = Decimal(1).scaleb(-18)
ORDER = tuple(Standing)


def follow(now: Audit, then: Audit, calls: pl.DataFrame, before: pl.DataFrame, book: PriceBook) -> tuple[Followed, ...]:
    """Every finding of both months, matched by rule and subject; new ones first, the largest first.

    calls, before  priced calls of this month and of the one before
    """
    here = {f.id: f for f in now.findings}
    there = {f.id: f for f in then.findings}
    on = last_day(calls)
    followed = [
        *(_present(f, there.get(f.id), then) for f in here.values()),
        *(_absent(f, now, calls, before, book, on) for f in there.values() if f.id not in here),
    ]
    return tuple(sorted(followed, key=lambda f: (ORDER.index(f.standing), -(f.now_usd or f.before_usd or 0), f.id)))


def _present(finding: Finding, earlier: Finding | None, then: Audit) -> Followed:
    known = earlier is not None or finding.id in then.unshown
    was = None if earlier is None else earlier.amount_usd
    standing = Standing.OPEN if known else Standing.NEW
    return Followed(standing, finding.id, finding.rule, finding.kind, finding.title, was, finding.amount_usd)


def _absent(
    finding: Finding, now: Audit, calls: pl.DataFrame, before: pl.DataFrame, book: PriceBook, on: date | None
) -> Followed:
    """A finding that was there and is no more: why."""
    was = finding.amount_usd

    def followed(standing: Standing) -> Followed:
        return Followed(standing, finding.id, finding.rule, finding.kind, finding.title, was, None)

    if finding.id in now.unshown:
        return followed(Standing.SMALL)
    if finding.rule not in now.clean and any(n.rule == finding.rule for n in now.not_checked):
        return followed(Standing.UNSEEN)
    if finding.rule not in now.clean and not any(f.rule == finding.rule for f in now.findings):
        return followed(Standing.UNSEEN)  # the rule was not asked this month
    scope = _scope(finding.subject)
    sides = [_units(_within(side, scope), book, on) for side in (before, calls)]
    if scope and not sides[1]:
        return followed(Standing.GONE)
    if finding.kind is Kind.EXPOSURE or not all(sides):
        return followed(Standing.FIXED)
    volume = Decimal(len(sides[1])) / Decimal(len(sides[0]))
    promised = tuple(None if usd is None else _scaled(usd, volume) for usd in (was, finding.low_usd, finding.high_usd))
    return Followed(
        Standing.FIXED,
        finding.id,
        finding.rule,
        finding.kind,
        finding.title,
        was,
        None,
        (promised[0] or Decimal(0), promised[1] or Decimal(0), promised[2]),
        _measured(finding.id, *sides),
    )


def _scaled(usd: Decimal, volume: Decimal) -> Decimal:
    with localcontext(prec=EXACT):
        return (usd * volume).quantize(PLACES)


def _scope(subject: Mapping[str, str]) -> dict[str, str]:
    """The work a finding is about: its task and tenant; its model only where it names neither.

    A fix may be another model: the task that used it goes on.
    """
    scope = {key: subject[key] for key in SCOPE[:2] if key in subject}
    return scope or {key: subject[key] for key in SCOPE if key in subject}


def _within(calls: pl.DataFrame, scope: Mapping[str, str]) -> pl.DataFrame:
    counted = calls.filter(~pl.col("rollup").fill_null(value=False))
    for key, value in scope.items():
        counted = counted.filter(pl.col(key) == value)
    return counted


def _units(calls: pl.DataFrame, book: PriceBook, on: date | None) -> list[float]:
    """Cost of each unit of work at the prices of one day; units with an unknown part are left out."""
    if calls.is_empty():
        return []
    priced = at_prices_of(calls, book, on) if on else calls
    key = pl.coalesce(unit(), pl.format("\0\0{}", "row"))
    sums = priced.group_by(key.alias("unit")).agg(pl.col("cost_usd").sum(), unknown=pl.col("cost_usd").null_count())
    return sums.filter(pl.col("unknown") == 0)["cost_usd"].cast(pl.Float64).sort().to_list()


def _measured(seed: str, before: list[float], now: list[float]) -> Interval | None:
    """What the units of this month cost less than as many of the month before."""
    if min(len(before), len(now)) < LEAST or not sum(before) or not sum(now):
        return None
    if stats.wants_bootstrap(before, now):
        ratio = stats.bootstrap_ratio(before, now, stats.seed_of("month", seed), level=LEVEL)
    else:
        ratio = stats.mean_ratio(before, now).student(LEVEL)
    usd = sum(before) / len(before) * len(now)
    return Interval(*(usd * (1 - x) for x in (ratio.value, ratio.high, ratio.low)))


def counts(followed: tuple[Followed, ...]) -> Iterator[tuple[Standing, int]]:
    """How many there are of each standing, in its order."""
    for standing in Standing:
        number = sum(f.standing is standing for f in followed)
        if number:
            yield standing, number
