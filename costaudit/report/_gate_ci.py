"""The answer of `check` for the machines of a pipeline: GitHub annotations and JUnit XML."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

from costaudit.report import View
from costaudit.report._gate import change, headline, remark
from costaudit.report._text import clean
from costaudit.verdict import Gate, TaskVerdict, Verdict

LEVEL = {Verdict.FAIL: "error", Verdict.CANNOT_JUDGE: "warning", Verdict.CANNOT_TELL: "notice"}


def github(gate: Gate, _view: View) -> str:
    """The verdict, then an annotation for each task that does not pass; tasks have no place in a file."""
    lines = [f"::{LEVEL.get(gate.verdict, 'notice')} title=costaudit check::{_escaped(headline(gate))}"]
    for row in gate.rows:
        if row.verdict is not Verdict.PASS:
            said = _escaped(f"{row.task}: {sentence(row, gate)}")
            lines.append(f"::{LEVEL[row.verdict]} title={row.verdict}::{said}")
    return "\n".join(lines) + "\n"


def junit(gate: Gate, _view: View) -> str:
    """One suite, one case a task: FAIL is a failure, what could not be told or judged is skipped with its reason."""
    cases = "".join(_case(row, gate) for row in gate.rows)
    failed = sum(row.verdict is Verdict.FAIL for row in gate.rows)
    skipped = sum(row.verdict in (Verdict.CANNOT_TELL, Verdict.CANNOT_JUDGE) for row in gate.rows)
    counts = f'tests="{len(gate.rows)}" failures="{failed}" skipped="{skipped}" errors="0"'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuite name="costaudit check" {counts}>\n{cases}</testsuite>\n'


def sentence(row: TaskVerdict, gate: Gate) -> str:
    """Change, reason, and what differs first in the prompts."""
    parts = [change(row) if row.unit_usd[1] is not None else "", remark(row, gate) or row.why, row.prompt]
    return "; ".join(part for part in parts if part)


def _case(row: TaskVerdict, gate: Gate) -> str:
    message = f"message={_quoted(sentence(row, gate))}"
    inner = {
        Verdict.FAIL: f'<failure type="regression" {message}/>',
        Verdict.PASS: "",
    }.get(row.verdict, f"<skipped {message}/>")
    return f'  <testcase classname="costaudit.check" name={_quoted(row.task)}>{inner}</testcase>\n'


def _escaped(text: str) -> str:
    return clean(text).replace("%", "%25")


def _quoted(text: str) -> str:
    return quoteattr(clean(text))
