"""Annotations for a GitHub workflow: one command a finding; the log of the job shows them, and the pull request.

Inside a job the command line adds the Markdown report to the job's summary.
"""

from __future__ import annotations

from costaudit.audit import Audit
from costaudit.finding import Severity
from costaudit.report import View, _words
from costaudit.report._place import Place, message, place
from costaudit.report._text import clean

LEVEL = {Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "notice"}


def render(audit: Audit, _view: View) -> str:
    """The verdict as a notice, then a line for each finding, the dearest of each kind first."""
    lines = [command("notice", "costaudit", _words.verdict(audit))]
    lines += [
        command(LEVEL[f.severity], f.rule, message(f), place(f)) for _, found, _ in _words.groups(audit) for f in found
    ]
    if held := _words.left_out(audit):
        lines.append(command("notice", "held back", held))
    return "".join(lines)


def command(level: str, title: str, text: str, at: Place | None = None) -> str:
    """One workflow command; nothing in a name or a path can end it, or begin another."""
    where = f",file={_property(at.path)},line={at.line}" if at else ""
    return f"::{level} title={_property(title)}{where}::{_data(text)}\n"


def _data(text: str) -> str:
    # `clean` has made line ends visible characters: what is left to escape is the escape itself.
    return clean(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
