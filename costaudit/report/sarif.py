"""SARIF 2.1.0, for code scanning and every viewer that reads it: one result a finding, its rule beside it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from costaudit import __version__
from costaudit.audit import Audit
from costaudit.finding import Finding, Severity
from costaudit.report import View, _words
from costaudit.report import _money as money
from costaudit.report._place import message, place
from costaudit.report.json import document

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVEL = {Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "note"}


def render(audit: Audit, _view: View) -> str:
    """A SARIF log of one run."""
    found = [finding for _, findings, _ in _words.groups(audit) for finding in findings]
    rules = sorted({finding.rule for finding in found})
    driver = {
        "name": "costaudit",
        "version": __version__,
        "rules": [{"id": rule, "shortDescription": {"text": rule.replace("-", " ")}} for rule in rules],
    }
    run = {
        "tool": {"driver": driver},
        "results": [_result(finding, rules.index(finding.rule)) for finding in found],
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": _notes(audit)}],
        "columnKind": "unicodeCodePoints",
    }
    return document({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def _result(finding: Finding, rule: int) -> dict[str, Any]:
    at = place(finding)
    region = {"startLine": max(1, at.line)} if at else {}
    location = {"physicalLocation": {"artifactLocation": {"uri": _uri(at.path)}, "region": region}} if at else None
    return {
        "ruleId": finding.rule,
        "ruleIndex": rule,
        "level": LEVEL[finding.severity],
        "message": {"text": message(finding)},
        "locations": [location] if location else [],
        "partialFingerprints": {"costaudit/v1": finding.id},
        "properties": {
            "kind": finding.kind.value,
            "confidence": finding.confidence.value,
            "owned_usd": money.exact(finding.owned_usd),
            "stake_usd": money.exact(finding.stake_usd),
            "requests": finding.requests,
        },
    }


def _uri(path: str) -> str:
    """A relative reference; an absolute path keeps its root."""
    return quote(path.encode("utf-8", "surrogatepass"), safe="/.-_~")


def _notes(audit: Audit) -> list[dict[str, Any]]:
    """What the run cannot vouch for: rules that could not look."""
    return [
        {"level": "note", "message": {"text": f"not checked: {item.rule}: {item.why}"}}
        for item in sorted(audit.not_checked, key=lambda n: (n.rule, n.why))
    ]
