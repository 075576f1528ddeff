"""What an analyzer is: its page, its options, one look at the ledger."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar

import polars as pl

from costaudit.finding import Confidence, Grade, Kind, Severity
from costaudit.price.ledger import Ledger


def option(default: Any, unit: str, meaning: str) -> Any:
    """A threshold of a rule, settable as `rules: {<rule>: {<option>: value}}` in costaudit.yaml."""
    factory = dict if isinstance(default, dict) else list if isinstance(default, list) else None
    metadata = {"unit": unit, "meaning": meaning}
    if factory is not None:
        copied = default
        return field(default_factory=lambda: factory(copied), metadata=metadata)
    return field(default=default, metadata=metadata)


class CannotCheck(Exception):
    """Raised by `look` when the log lacks what the rule needs: the rule ends as "not checked: why"."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a rule says before the ledger has decided which dollars it owns.

    title     a template; `{usd}` becomes the owned dollars (or the stake) when the finding is made
    patch     [row, exists, any of model, provider, service_tier, *_tokens]: what the calls would have been; null keeps
              the logged value. None for excess and exposure.
    low, high the same for the ends of the interval; None: the interval is the point
    evidence  one row a thing found. A ledger rule's evidence carries `row` (call) so that the owned dollars can be
              filled into `waste_usd`, or already carries a key column named in `evidence_key` that `patch` has too.
    stake_usd dollars of an excess or exposure finding; its interval in stake_low, stake_high
    """

    subject: Mapping[str, str]
    title: str
    remedy: str
    severity: Severity
    confidence: Confidence
    evidence: pl.DataFrame
    patch: pl.DataFrame | None = None
    low: pl.DataFrame | None = None
    high: pl.DataFrame | None = None
    evidence_key: str = "row"
    grade: Grade | None = None
    because: tuple[str, ...] = ()
    stake_usd: Decimal = Decimal(0)
    stake_low: Decimal | None = None
    stake_high: Decimal | None = None
    requests: int = 0
    details: Mapping[str, pl.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True)
class Analyzer:
    """A rule. The docstring of a subclass is its page: `costaudit explain <name>`.

    name   kebab-case; names the problem; the module is the same in snake_case
    kind   which of the four kinds of dollars it speaks of
    order  place in the waste ledger (METHODS 6); None outside it
    """

    name: ClassVar[str]
    kind: ClassVar[Kind]
    order: ClassVar[int | None] = None
    aliases: ClassVar[tuple[str, ...]] = ()

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        """The claims this rule makes about the calls that still exist; raises CannotCheck where it cannot look."""
        raise NotImplementedError

    @classmethod
    def options(cls) -> tuple[dataclasses.Field[Any], ...]:
        return dataclasses.fields(cls)


Need = Callable[[pl.DataFrame], str | None]


def need(calls: pl.DataFrame, columns: Mapping[str, str]) -> None:
    """Raise CannotCheck unless each column has at least one value; the mapping gives the words for each."""
    for column, words in columns.items():
        if column not in calls.columns or calls[column].null_count() == calls.height:
            raise CannotCheck(words)
