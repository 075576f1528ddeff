"""What somebody accepted on purpose: until a day, and up to an amount."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from costaudit.config import Suppression


class Accepted(msgspec.Struct, frozen=True):
    """A suppression that speaks of a failure; `reopened`: why it no longer holds, "" where it does."""

    by: Suppression
    reopened: str = ""

    @property
    def holds(self) -> bool:
        return not self.reopened

    def said(self, why: str) -> str:
        """The reason of a verdict with what was accepted."""
        if self.reopened:
            return f"{why}; {self.reopened}"
        return f"{why}, accepted until {self.by.until} by {self.by.owner}: {self.by.reason}"


class Acceptance(msgspec.Struct, frozen=True):
    """The suppressions of one rule, at the end of a window."""

    rule: str
    suppressions: Sequence[Suppression]
    end: datetime | None

    def of(self, subject: Mapping[str, str], usd: Decimal | None) -> Accepted | None:
        """The suppression that speaks of exactly this subject, one that holds before one that does not.

        usd  what the failure amounts to, in the unit of the cap; None: not known, and then a cap cannot be kept
        """
        found = [self._held(s, usd) for s in self.suppressions if s.rule == self.rule and s.subject == subject]
        return min(found, key=lambda accepted: not accepted.holds, default=None)

    def _held(self, accepted: Suppression, usd: Decimal | None) -> Accepted:
        # Without times nobody can say whether the day has passed.
        if self.end is None:
            return Accepted(accepted, f"it was accepted until {accepted.until}, and the log has no times")
        if (self.end - timedelta(microseconds=1)).date() > accepted.until:  # the day given is the last one
            return Accepted(accepted, f"it was accepted until {accepted.until}")
        if accepted.max_usd is not None and (usd is None or usd > accepted.max_usd):
            amount = "" if usd is not None else ", and last month's volume is not known (--month LOGS)"
            return Accepted(accepted, f"it was accepted up to ${accepted.max_usd:f} a month{amount}")
        return Accepted(accepted)
