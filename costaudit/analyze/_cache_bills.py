"""What calls that share a task and a price bought of a cache, and what each policy would have bought."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import polars as pl

from costaudit.analyze import _cache
from costaudit.analyze._cache import LIVES, WRITES, Policy
from costaudit.analyze._cache_calls import Replay
from costaudit.analyze._cache_rates import Rates
from costaudit.price.ledger import Ledger

UNSTABLE, NEVER, WRONG, UNREAD = "unstable prefix", "never cached", "wrong lifetime", "written, never read"
SUMMED = ("input_tokens", "cache_read_tokens", "cache_write_tokens", *WRITES.values())
UNREAD_SHARE = 0.01  # reads per write under which a cache is not read


class Bill(msgspec.Struct, frozen=True):
    """Input of a group in fresh tokens' worth: under a policy, with what it reads and writes [tokens]."""

    policy: Policy
    worth: float
    read: int = 0
    write: int = 0


class Bought(msgspec.Struct, frozen=True):
    """The input of calls that share a task and a price: what was bought, and what each policy would have bought.

    sums    tokens by column of SUMMED; actual: what they were billed, in fresh tokens' worth
    """

    sums: dict[str, int]
    actual: float
    bills: list[Bill]
    best: Bill
    rate: Rates
    unstable: bool


def bought(
    calls: pl.DataFrame,
    known: dict[int, Rates],
    done: Replay,
    at: pl.Series,
    policies: Sequence[Policy],
    ledger: Ledger,
) -> Bought:
    rate, sums = known[calls["cached_as"][0]], sums_of(calls["row"], ledger)
    bills = bills_of(sums, rate, {policy: done.sums(policy, at) for policy in policies})
    best = min(bills, key=lambda bill: bill.worth)
    return Bought(sums, actual_of(sums, rate), bills, best, rate, calls["unstable"][0])


def sums_of(rows: pl.Series, ledger: Ledger) -> dict[str, int]:
    """Tokens of some calls, by column of SUMMED."""
    sums = ledger.told(rows, [pl.col(name).fill_null(0) for name in SUMMED]).sum().row(0)
    return dict(zip(SUMMED, sums, strict=True))


def policies_of(rates: Sequence[Rates]) -> list[Policy]:
    """What can be bought: every policy for the lifetimes sold, and what automatic caches do at no price."""
    lives = sorted({life for rate in rates for life in rate.writes}, key=lambda life: LIVES[life])
    automatic = [Policy(_cache.ALL)] if any(not rate.writes for rate in rates) else []
    return [*_cache.choices(lives), *automatic]


def bills_of(sums: dict[str, int], rate: Rates, played: dict[Policy, tuple[int, int]]) -> list[Bill]:
    """The input bill of a group under each policy, the most cautious policy first."""
    total = sums["input_tokens"]
    bills = [Bill(Policy(_cache.NOTHING), float(total))]
    for policy, (read, write) in played.items():
        if bool(policy.life) == bool(rate.writes) and (not policy.life or policy.life in rate.writes):
            premium = rate.writes.get(policy.life, 1.0)
            bills.append(Bill(policy, total - (1 - rate.read) * read + (premium - 1) * write, read, write))
    return bills


def actual_of(sums: dict[str, int], rate: Rates) -> float:
    """The input bill as logged, in fresh tokens' worth; writes of no known lifetime cost the shortest one's."""
    shortest = next(iter(rate.writes.values()), 1.0)
    told = sum(sums[name] for name in WRITES.values())
    premium = sum((rate.writes.get(life, shortest) - 1) * sums[name] for life, name in WRITES.items())
    premium += (shortest - 1) * max(0, sums["cache_write_tokens"] - told)
    return sums["input_tokens"] - (1 - rate.read) * sums["cache_read_tokens"] + premium


def cause_of(bought: Bought) -> str:
    sums, best = bought.sums, bought.best
    read, write = sums["cache_read_tokens"], sums["cache_write_tokens"]
    if bought.unstable:
        return UNSTABLE
    if write and read < UNREAD_SHARE * write and best.policy.write == _cache.NOTHING:
        return UNREAD
    if not write:
        return NEVER
    told = {life: sums[name] for life, name in WRITES.items()}
    lived = max(told, key=lambda life: told[life]) if any(told.values()) else next(iter(bought.rate.writes), "")
    return WRONG if best.policy.life and best.policy.life != lived else UNREAD if read < write else NEVER
