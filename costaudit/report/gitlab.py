"""A Code Quality report for GitLab: shown in the merge request, compared with the target branch by fingerprint."""

from __future__ import annotations

import json

from costaudit.audit import Audit
from costaudit.finding import Severity
from costaudit.report import View, _words
from costaudit.report._place import Place, message, place
from costaudit.report._text import clean, printable_json

LEVEL = {Severity.HIGH: "critical", Severity.MEDIUM: "major", Severity.LOW: "info"}
NOWHERE = Place(
    "costaudit.yaml", 1
)  # GitLab drops entries without a file; settings are where such a finding is answered


def render(audit: Audit, _view: View) -> str:
    """A JSON array, one object a finding."""
    entries = []
    for _, found, _ in _words.groups(audit):
        for finding in found:
            at = place(finding) or NOWHERE
            entries.append(
                {
                    "description": message(finding),
                    "check_name": finding.rule,
                    "fingerprint": finding.id,
                    "severity": LEVEL[finding.severity],
                    "location": {"path": clean(at.path).removeprefix("./"), "lines": {"begin": at.line}},
                }
            )
    return printable_json(json.dumps(entries, ensure_ascii=False, indent=2)) + "\n"
