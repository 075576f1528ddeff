"""SARIF 2.1.0, for code scanning and every viewer that reads it: one result a finding, its rule beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from costaudit import __version__
from costaudit.audit import Audit
from costaudit.finding import Finding, Severity
from costaudit.report import View, _words
from costaudit.report import _money as money
from costaudit.report._place import NOWHERE, Place, message, place
from costaudit.report._text import clean
from costaudit.report.json import document

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVEL = {Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "note"}


def render(audit: Audit, _view: View) -> str:
    """A SARIF log of one run; what the run cannot vouch for, rules that could not look, are its notes."""
    found = [finding for _, findings, _ in _words.groups(audit) for finding in findings]
    notes = [f"not checked: {n.rule}: {n.why}" for n in sorted(audit.not_checked, key=lambda n: (n.rule, n.why))]
    held = [f"held back: {said}"] if (said := _words.left_out(audit)) else []
    return log([_result(finding) for finding in found], [*notes, *held])


def log(results: Sequence[Mapping[str, Any]], notes: Sequence[str]) -> str:
    """A SARIF log of one run with these results (of `result`); each rule named once."""
    rules = sorted({one["ruleId"] for one in results})
    driver = {
        "name": "costaudit",
        "version": __version__,
        "rules": [{"id": rule, "shortDescription": {"text": rule.replace("-", " ")}} for rule in rules],
    }
    said = [{"level": "note", "message": {"text": clean(note)}} for note in notes]
    run = {
        "tool": {"driver": driver},
        "results": [{**one, "ruleIndex": rules.index(one["ruleId"])} for one in results],
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": said}],
        "columnKind": "unicodeCodePoints",
    }
    return document({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def result(
    rule: str, fingerprint: str, level: str, text: str, at: Place | None, properties: Mapping[str, Any]
) -> dict[str, Any]:
    """One result; code scanning refuses a file in which one has no place."""
    at = at or NOWHERE
    where = {"artifactLocation": {"uri": _uri(at.path)}, "region": {"startLine": max(1, at.line)}}
    return {
        "ruleId": rule,
        "level": level,
        "message": {"text": clean(text)},
        "locations": [{"physicalLocation": where}],
        "partialFingerprints": {"costaudit/v1": fingerprint},
        "properties": dict(properties),
    }


def _result(finding: Finding) -> dict[str, Any]:
    properties = {
        "kind": finding.kind.value,
        "confidence": finding.confidence.value,
        "owned_usd": money.exact(finding.owned_usd),
        "stake_usd": money.exact(finding.stake_usd),
        "requests": finding.requests,
    }
    return result(finding.rule, finding.id, LEVEL[finding.severity], message(finding), place(finding), properties)


def _uri(path: str) -> str:
    """A relative reference; an absolute path keeps its root."""
    return quote(path.encode("utf-8", "surrogatepass"), safe="/.-_~")
