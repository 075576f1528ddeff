"""A Code Quality report for GitLab: shown in the merge request, compared with the target branch by fingerprint."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from costaudit.audit import Audit
from costaudit.finding import Severity
from costaudit.report import View, _words
from costaudit.report._place import NOWHERE, Place, message, place
from costaudit.report._text import clean, printable_json

LEVEL = {Severity.HIGH: "critical", Severity.MEDIUM: "major", Severity.LOW: "info"}


def render(audit: Audit, _view: View) -> str:
    """A JSON array, one object a finding."""
    found = [finding for _, findings, _ in _words.groups(audit) for finding in findings]
    return written(entry(f.rule, f.id, message(f), LEVEL[f.severity], place(f)) for f in found)


def entry(rule: str, fingerprint: str, text: str, severity: str, at: Place | None = None) -> dict[str, Any]:
    """One problem; GitLab leaves out what has no file."""
    at = at or NOWHERE
    return {
        "description": clean(text),
        "check_name": rule,
        "fingerprint": fingerprint,
        "severity": severity,
        "location": {"path": clean(at.path).removeprefix("./"), "lines": {"begin": max(1, at.line)}},
    }


def written(entries: Iterable[dict[str, Any]]) -> str:
    return printable_json(json.dumps(list(entries), ensure_ascii=False, indent=2)) + "\n"
