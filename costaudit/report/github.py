"""Annotations for a GitHub workflow: one command a finding; the log of the job shows them, and the pull request.

For the job summary, write the Markdown report: `--format markdown -o "$GITHUB_STEP_SUMMARY"`.
"""

from __future__ import annotations

from costaudit.audit import Audit
from costaudit.finding import Finding, Severity
from costaudit.report import View, _words
from costaudit.report._place import message, place
from costaudit.report._text import clean

LEVEL = {Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "notice"}


def render(audit: Audit, _view: View) -> str:
    """The verdict as a notice, then a line for each finding, the dearest of each kind first."""
    verdict = f"::notice title=costaudit::{_data(_words.verdict(audit))}\n"
    return verdict + "".join(_command(f) for _, found, _ in _words.groups(audit) for f in found)


def _command(finding: Finding) -> str:
    at = place(finding)
    where = f",file={_property(at.path)},line={at.line}" if at else ""
    return f"::{LEVEL[finding.severity]} title={_property(finding.rule)}{where}::{_data(message(finding))}\n"


def _data(text: str) -> str:
    return clean(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
