"""What would have been: the changes a user asks about, and what a replay of the log says of each.

Changes are written as on the command line (`task=` may be left out before a colon):
    swap      `[task=NAME: ]MODEL -> MODEL`          e.g. `task=triage: gpt-5.4 -> gpt-5.4-mini`
    ceiling   `[task=NAME:]METRIC=LIMIT`             e.g. `task=research:steps=40`
    cache     `[task=NAME:]LIFETIME`                 e.g. `task=chat:5m`; `off`; `seen=1h`, `turns=5m`
    batch     `task=NAME`
    fix       a rule whose findings are acted on     e.g. `duplicate-requests`
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from enum import StrEnum

import msgspec
import polars as pl

from costaudit.audit import Coverage, Prices, Window
from costaudit.errors import UsageError

METRICS = ("steps", "usd", "input_tokens", "minutes")
MOST = 10**15  # of any of them: beyond it floating point no longer tells one from the next
LIVES = ("5m", "30m", "1h", "12h")
WRITES = ("all", "seen", "turns")  # everything; what was sent before; from the second turn


class Sort(StrEnum):
    """What kind of change; the value is the flag it is written after."""

    SWAP = "swap"
    CEILING = "ceiling"
    CACHE = "cache"
    BATCH = "batch"
    FIX = "fix"


class Change(msgspec.Struct, frozen=True):
    """One change, as asked for.

    task     None: every task
    source   swap: the model (as logged, asked for, or in the book); `*` for any
    target   swap: the model instead, `provider/model` where the name alone is not enough
    metric, limit   ceiling: of a run
    write, life     cache: what is written and for how long; "" writes nothing
    rule     fix
    """

    sort: Sort
    written: str
    task: str | None = None
    source: str = ""
    target: str = ""
    metric: str = ""
    limit: Decimal = Decimal(0)
    write: str = ""
    life: str = ""
    rule: str = ""


class Step(msgspec.Struct, frozen=True):
    """What one change did, after those before it.

    changed, removed   calls
    saved_usd          likely; negative: dearer. low, high: the ends of its interval [USD]
    added_usd          inside `saved_usd`: work that has to be done again [USD]
    notes              what was assumed, and what the change could not touch
    """

    change: Change
    changed: int
    removed: int
    saved_usd: Decimal
    low_usd: Decimal
    high_usd: Decimal
    added_usd: Decimal = Decimal(0)
    notes: tuple[str, ...] = ()


class Scenario(msgspec.Struct, frozen=True):
    """The log replayed with all changes.

    before_usd   as logged, priced again: equal to the spend of the audit to the last digit
    after_usd    likely; low_usd, high_usd: the ends [USD]
    by_task, by_model   name, before_usd, after_usd (null: no call has a price), calls_before, calls_after; rows add up
                 to both totals
    unseen       calls without a known price: on neither side
    """

    window: Window
    prices: Prices
    coverage: Coverage
    before_usd: Decimal
    after_usd: Decimal
    low_usd: Decimal
    high_usd: Decimal
    steps: tuple[Step, ...]
    by_task: pl.DataFrame
    by_model: pl.DataFrame
    unseen: int

    @property
    def saved_usd(self) -> Decimal:
        return self.before_usd - self.after_usd


_SWAP = re.compile(
    r"(?:(?:task=)?(?P<task>\S.*?)\s*:\s+|task=(?P<short>[^:]+):)?(?P<source>(?!task=)\S+)\s*(?:->|=>|→)\s*(?P<target>\S+)"
)
_TASK = re.compile(r"(?:task=)?(?P<task>.+):\s*(?P<rest>[^:]+)")


def swap(written: str) -> Change:
    """`[task=NAME: ]MODEL -> MODEL`; raises UsageError."""
    found = _SWAP.fullmatch(written.strip())
    if found is None:
        raise UsageError(
            f"not a swap of models: {written!r}", hint='e.g. --swap "task=triage: gpt-5.4 -> gpt-5.4-mini"'
        )
    task = found["task"] or found["short"]
    return Change(Sort.SWAP, written, task and task.strip(), source=found["source"], target=found["target"])


def ceiling(written: str) -> Change:
    """`[task=NAME:]METRIC=LIMIT`; raises UsageError."""
    task, rest = _split(written)
    metric, _, number = rest.partition("=")
    metric = metric.strip()
    try:
        limit = Decimal(number.strip().lstrip("$").replace("_", ""))
    except InvalidOperation:
        limit = Decimal(-1)
    least = 1 if metric == "steps" else 0  # the first call of a run is made before anything is known of it
    if metric not in METRICS or not limit.is_finite() or not least <= limit < MOST:
        raise UsageError(
            f"not a ceiling: {written!r}", hint=f"e.g. --ceiling task=research:steps=40; metrics: {', '.join(METRICS)}"
        )
    return Change(Sort.CEILING, written, task, metric=metric, limit=limit)


def cache(written: str) -> Change:
    """`[task=NAME:]LIFETIME`, `off`, or `WHAT=LIFETIME`; raises UsageError."""
    task, rest = _split(written)
    what, equals, life = rest.strip().partition("=")
    if not equals:
        what, life = "all", what
    if life == "off" and not equals:
        return Change(Sort.CACHE, written, task)
    if what not in WRITES or life not in LIVES:
        raise UsageError(
            f"not a cache policy: {written!r}",
            hint=f"a lifetime ({', '.join(LIVES)}) or off, what to write before it: {', '.join(WRITES)}; "
            "e.g. --cache task=chat:seen=5m. `--fix cache-miss` takes the cheapest policy",
        )
    return Change(Sort.CACHE, written, task, write=what, life=life)


def batch(written: str) -> Change:
    """`task=NAME`, or the name alone."""
    return Change(Sort.BATCH, written, written.strip().removeprefix("task=").strip() or None)


def fix(written: str) -> Change:
    """A rule of the ledger by its name."""
    return Change(Sort.FIX, written, rule=written.strip())


def _split(written: str) -> tuple[str | None, str]:
    found = _TASK.fullmatch(written.strip())
    return (found["task"].strip(), found["rest"]) if found else (None, written.strip())


def known_tasks(changes: Sequence[Change], tasks: Sequence[str]) -> None:
    """Raises UsageError for a task that the log does not have: a change of nothing must not look harmless."""
    from difflib import get_close_matches

    for change in changes:
        if change.task is not None and change.task not in tasks:
            near = get_close_matches(change.task, tasks, n=1)
            some = ", ".join(tasks[:8]) or "none is named"
            hint = f"did you mean {near[0]!r}?" if near else f"tasks: {some}"
            raise UsageError(f"--{change.sort} {change.written!r}: no task {change.task!r} in these logs", hint=hint)
