"""JUnit XML: a finding is a failed test case, a clean rule a passed one, a rule that could not look a skipped one."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

from costaudit.audit import Audit
from costaudit.finding import Finding, Kind
from costaudit.report import View, _words
from costaudit.report._place import message
from costaudit.report._text import clean


def render(audit: Audit, _view: View) -> str:
    """One suite; a finding that claims nothing and stakes nothing is no failure."""
    found = [f for _, findings, _ in _words.groups(audit) for f in findings]
    failed = [f for f in found if f.amount_usd or f.kind not in (Kind.WASTE, Kind.DECIDE)]
    passed = sorted({*audit.clean, *(f.rule for f in found)} - {f.rule for f in failed})
    skipped = sorted((item.rule, item.why) for item in audit.not_checked)
    cases = [_failure(f) for f in failed]
    cases += [_case(rule, rule) for rule in passed]
    cases += [_case(rule, f"{rule}: {why}", f"<skipped message={_quoted(why)}/>") for rule, why in skipped]
    counts = f'tests="{len(cases)}" failures="{len(failed)}" skipped="{len(skipped)}" errors="0"'
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuite name="costaudit" {counts}>\n{"".join(cases)}</testsuite>\n'
    )


def _failure(finding: Finding) -> str:
    name = f"{finding.rule} {finding.id}"
    inner = f"<failure type={_quoted(finding.severity)} message={_quoted(message(finding))}/>"
    return _case(finding.rule, name, inner)


def _case(rule: str, name: str, inner: str = "") -> str:
    return f"  <testcase classname={_quoted(rule)} name={_quoted(name)}>{inner}</testcase>\n"


def _quoted(text: str) -> str:
    return quoteattr(clean(text))
