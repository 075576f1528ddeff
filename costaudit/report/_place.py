"""Where a finding is shown in formats that want a file and a line: the worst row of its evidence."""

from __future__ import annotations

from typing import NamedTuple

from costaudit.finding import Finding
from costaudit.report import _words
from costaudit.report._text import clean


class Place(NamedTuple):
    path: str
    line: int


# Code hosts drop, or refuse, what has no file; the settings are where such a finding is answered.
NOWHERE = Place("costaudit.yaml", 1)


def place(finding: Finding) -> Place | None:
    """File and line of the worst row that has them; None for findings about totals."""
    if "source" not in finding.evidence.columns:
        return None
    for source in finding.evidence["source"]:
        path, colon, line = str(source).rpartition(":")
        if colon and path and line.isascii() and line.isdigit():
            return Place(path, int(line))
    return None


def message(finding: Finding) -> str:
    """The claim, how sure it is and what to do, in one line."""
    first = finding.remedy.partition("\n")[0]
    return clean(f"{finding.title} ({finding.id}; {', '.join(_words.sure(finding))}). {first}")
