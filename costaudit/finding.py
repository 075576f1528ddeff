"""A finding: a claim about money, with the rows that add up to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Literal, NamedTuple

import msgspec
import polars as pl


class Kind(StrEnum):
    """The four kinds of dollars; they are never added to each other."""

    WASTE = "waste"  # avoidable with no quality risk; in the ledger
    DECIDE = "decide"  # a saving that needs a decision; in the ledger, after all waste
    EXCESS = "excess"  # dearer than an earlier period; not in the ledger
    EXPOSURE = "exposure"  # may be spent, or cannot be seen; not in the ledger


class Severity(StrEnum):
    """How loudly a finding speaks; `rank` orders it."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    @property
    def rank(self) -> int:
        return ("low", "medium", "high").index(self.value)


class Confidence(StrEnum):
    """high: exact arithmetic on exact rows; medium: rests on a named assumption; low: shape only."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Grade(StrEnum):
    """What the evidence of a model comparison can carry."""

    PROVEN = "PROVEN"
    PROVEN_PRICE = "PROVEN-PRICE"
    SUPPORTED = "SUPPORTED"
    EXPERIMENT = "EXPERIMENT"
    NO_EVIDENCE = "NO EVIDENCE"


LeverName = Literal[
    "batch",  # answers within a day, through the batch interface
    "budget",  # of a tenant or a task
    "cache",  # write what stays the same; value: how long an entry lives
    "effort",  # of reasoning; value: the level
    "flex",  # the tier that waits
    "history",  # old parts of a long conversation left out
    "input-limit",  # of a run; value: tokens
    "model",  # value: its name
    "no-cache",  # write nothing
    "output-format",  # a schema that the provider enforces
    "output-limit",  # of an answer; value: tokens
    "retries",  # how often, and after how long, a client sends again
    "reuse",  # of answers to equal requests
    "run-limit",  # of a run, in calls and in dollars
    "spend-limit",  # of a run; value: dollars
    "standard",  # the tier at list price
    "step-limit",  # of a run; value: calls
    "usage",  # counts with every answer
]


class Lever(NamedTuple):
    """What a remedy sets, by one name for all providers and frameworks; what each calls it, the report knows.

    value  what it is set to where the remedy says so, else empty
    """

    name: LeverName
    value: str = ""


ZERO = Decimal(0)


def finding_id(rule: str, subject: Mapping[str, str]) -> str:
    """The id of what a rule says about a subject, whoever says it."""
    text = json.dumps([rule, sorted(subject.items())], ensure_ascii=False)
    return "F-" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]


class Finding(msgspec.Struct, frozen=True):
    """One claim of one rule about one subject.

    subject    what stays the same from one audit to the next, e.g. {"task": "triage"}
    owned_usd  ledger dollars only this finding claims [USD]; 0 for excess and exposure
    alone_usd  what this fix would save if it were the only one [USD]
    low_usd, high_usd  interval of `owned_usd`, or of the amount at stake for excess and exposure [USD]
    stake_usd  excess or exposure [USD]; 0 for waste and decide; never added to anything
    evidence   rows that add up to `owned_usd` in the column `waste_usd` (or to `stake_usd` in a column the rule names);
               the worst first; has `source` (file:line) where a row is a call
    because    why it could be wrong, n, assumption: one sentence each
    lever      what the remedy sets; None where it is mended in the application's own code, or is to be decided
    """

    rule: str
    kind: Kind
    severity: Severity
    confidence: Confidence
    title: str
    subject: Mapping[str, str]
    remedy: str
    evidence: pl.DataFrame
    owned_usd: Decimal = ZERO
    alone_usd: Decimal = ZERO
    low_usd: Decimal = ZERO
    high_usd: Decimal | None = ZERO
    stake_usd: Decimal = ZERO
    requests: int = 0
    grade: Grade | None = None
    because: tuple[str, ...] = ()
    details: Mapping[str, pl.DataFrame] = msgspec.field(default_factory=dict)
    lever: Lever | None = None

    @property
    def id(self) -> str:
        """Stable from one audit to the next: rule and subject, never dollars or rows."""
        return finding_id(self.rule, self.subject)

    @property
    def amount_usd(self) -> Decimal:
        """The dollars the title speaks of."""
        return self.owned_usd if self.kind in (Kind.WASTE, Kind.DECIDE) else self.stake_usd

    @property
    def order(self) -> tuple[Decimal, str, str]:
        """Money first, then rule, then subject: a total order."""
        return (-self.amount_usd, self.rule, json.dumps(sorted(self.subject.items())))


class NotChecked(msgspec.Struct, frozen=True):
    """A rule that could not look, and why."""

    rule: str
    why: str
