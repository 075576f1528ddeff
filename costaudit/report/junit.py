"""JUnit XML: a finding is a failed test case, a clean rule a passed one, a rule that could not look a skipped one."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import quoteattr

import msgspec

from costaudit.audit import Audit
from costaudit.finding import Kind
from costaudit.report import View, _words
from costaudit.report._place import message
from costaudit.report._text import clean


def render(audit: Audit, _view: View) -> str:
    """One suite; a finding that claims nothing and stakes nothing is no failure."""
    found = [f for _, findings, _ in _words.groups(audit) for f in findings]
    failed = [f for f in found if f.amount_usd or f.kind not in (Kind.WASTE, Kind.DECIDE)]
    passed = sorted({*audit.clean, *(f.rule for f in found)} - {f.rule for f in failed})
    skipped = sorted((item.rule, item.why) for item in audit.not_checked)
    cases = [Case(f.rule, f"{f.rule} {f.id}", failure=message(f), kind=f.severity) for f in failed]
    cases += [Case(rule, rule) for rule in passed]
    cases += [Case(rule, f"{rule}: {why}", skipped=why) for rule, why in skipped]
    held = [one for one in _words.silenced(audit) if one.finding]
    cases += [Case(one.by.rule, f"{one.by.rule} {one.finding}", skipped=_words.standing(one)) for one in held]
    return suite("costaudit", cases)


class Case(msgspec.Struct, frozen=True):
    """One test case: passed, or failed with a message of a kind, or skipped for a reason."""

    group: str
    name: str
    failure: str | None = None
    kind: str = ""
    skipped: str | None = None

    def __str__(self) -> str:
        inner = ""
        if self.failure is not None:
            inner = f"<failure type={_quoted(self.kind)} message={_quoted(self.failure)}/>"
        elif self.skipped is not None:
            inner = f"<skipped message={_quoted(self.skipped)}/>"
        return f"  <testcase classname={_quoted(self.group)} name={_quoted(self.name)}>{inner}</testcase>\n"


def suite(name: str, cases: Sequence[Case]) -> str:
    """A file of one suite, with its counts."""
    failed, skipped = (
        sum(part is not None for part in parts) for parts in ([c.failure for c in cases], [c.skipped for c in cases])
    )
    counts = f'tests="{len(cases)}" failures="{failed}" skipped="{skipped}" errors="0"'
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return f"{head}<testsuite name={_quoted(name)} {counts}>\n{''.join(map(str, cases))}</testsuite>\n"


def _quoted(text: str) -> str:
    return quoteattr(clean(text))
