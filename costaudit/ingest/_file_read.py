"""What is asked of a file, and what it gave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from costaudit.ingest._files import Known, LogFile
from costaudit.ingest._stretch import Stretch

Asked = tuple[LogFile, Mapping[str, str]]  # a file, and what it calls the columns of `generic`


class FileRead(msgspec.Struct):
    """What one file gave, before duplicates are collapsed across files."""

    file: LogFile
    lines: int = 0
    blank: int = 0
    frames: list[Stretch] = msgspec.field(default_factory=list)  # columns of `ROWS`, those that they have
    nodes: list[Stretch] = msgspec.field(default_factory=list)  # spans that are no request (`_tree`)
    skipped: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)  # (format, type)
    rejects: list[tuple[int, str, str]] = msgspec.field(default_factory=list)  # (line, format, reason)
    problem: str = ""
    unread: bool = False  # the problem is that the system did not let it be read; it may the next time
    sample: bool = False  # it says that it does not hold all calls
    notes: list[str] = msgspec.field(default_factory=list)
    until: Known | None = None  # all of it was read line by line, and what is appended can be read alone
    beyond: bool = False  # it is what the file gave beyond `file.known`
    seam: Any = None  # what has to be known of a slice to put it beside the others, if anything (`Format.reader`)
