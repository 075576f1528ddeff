"""One line a finding, for a glance and for grep: severity, rule, claim."""

from __future__ import annotations

from costaudit.audit import Audit
from costaudit.report import View, _words
from costaudit.report._layout import Span, Style, line, paint
from costaudit.report._text import clean

STYLES = {"high": Style.BAD, "medium": Style.WARN, "low": Style.PLAIN}


def render(audit: Audit, view: View) -> str:
    """The findings in the order of the report, whole titles; nothing at all where there is none."""
    audit = _words.localised(audit)
    return paint(
        (
            line(Span(f"{f.severity:<6}", STYLES[f.severity]), f"  {f.rule}  {clean(f.title)}")
            for _, found, _ in _words.groups(audit)
            for f in found
        ),
        color=view.color,
    )
