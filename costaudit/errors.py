"""What can stop an audit. Anything less is counted and reported, never raised.

CostAuditError            exit 3: cannot judge
├── UsageError            exit 2: a wrong flag or argument, a place that cannot be written
├── ConfigError           exit 2: costaudit.yaml, a mapping, limits or revenue file
├── PriceError            exit 2: a price file or a price override
└── LogError              exit 3: no readable record where logs were expected
    └── UnreadError       the system did not let a file or a folder be read
"""

from __future__ import annotations

AT_LEAST = "totals are at least this"  # how a note ends that says why a log does not hold all calls
UNREAD = f"it could not be read, so {AT_LEAST}"


class CostAuditError(Exception):
    """An audit cannot go on, and the user can do something about it.

    `what` says what is wrong and where; `hint` says what to do next.
    """

    exit_code = 3

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


class UsageError(CostAuditError):
    """A command was called in a way that has no meaning."""

    exit_code = 2


class ConfigError(CostAuditError):
    """A settings file says something the program does not understand."""

    exit_code = 2


class PriceError(CostAuditError):
    """A price file or a price override is wrong; the message names file and entry."""

    exit_code = 2


class LogError(CostAuditError):
    """Nothing in the given paths can be read as a log."""

    exit_code = 3


class UnreadError(LogError):
    """The system did not let a file or a folder be read: what is in there is in no total."""
