"""The answer of `check` for the machines of a pipeline: annotations, JUnit XML, SARIF, GitLab's code quality."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from costaudit.finding import finding_id
from costaudit.report import View
from costaudit.report import _money as money
from costaudit.report import github as commands
from costaudit.report import gitlab as code_quality
from costaudit.report import junit as tests
from costaudit.report import sarif as scanning
from costaudit.report._gate import change, headline, prompt, remark
from costaudit.verdict import BudgetVerdict, Gate, TaskVerdict, Verdict

ANNOTATION = {Verdict.FAIL: "error", Verdict.CANNOT_JUDGE: "warning", Verdict.CANNOT_TELL: "notice"}
RESULT = {Verdict.FAIL: "error", Verdict.CANNOT_JUDGE: "warning", Verdict.CANNOT_TELL: "note"}
SEVERITY = {Verdict.FAIL: "critical", Verdict.CANNOT_JUDGE: "minor", Verdict.CANNOT_TELL: "info"}


class Said(msgspec.Struct, frozen=True):
    """One verdict, of a task or of a budget, as every machine wants it.

    rule, id  of the finding that `analyze` makes of the same thing: one suppression answers both
    """

    rule: str
    id: str
    name: str
    verdict: Verdict
    words: str


def said(gate: Gate) -> Iterator[Said]:
    """Every verdict on a task, then every one on a budget, the loudest of each first."""
    for task in gate.rows:
        rule, subject = "cost-regression", {"task": task.task}
        yield Said(rule, finding_id(rule, subject), task.task, task.verdict, on_task(task, gate))
    for budget in gate.budgets:
        rule = "budget-overrun"
        yield Said(rule, finding_id(rule, budget.subject), budget.name, budget.verdict, on_budget(budget))


def on_task(row: TaskVerdict, gate: Gate) -> str:
    """Change, reason, and what differs first in the prompts."""
    parts = [change(row) if row.unit_usd[1] is not None else "", remark(row, gate) or row.why, prompt(row.prompt)]
    return "; ".join(part for part in parts if part)


def on_budget(row: BudgetVerdict) -> str:
    """What it is held against, and how far past it."""
    if not row.of:
        return row.why
    cost = f"{money.usd(row.worst_usd)} at most, of {money.usd(row.limit_usd)}"
    over = f"; {row.over:,} of {row.of:,} over, {money.usd(row.beyond_usd)} beyond" if row.over else ""
    return f"{cost}{over}; {row.why}"


def _loud(gate: Gate) -> list[Said]:
    return [one for one in said(gate) if one.verdict is not Verdict.PASS]


def github(gate: Gate, _view: View) -> str:
    """The verdict, then an annotation for each task or budget that does not pass; they have no place in a file."""
    first = commands.command(ANNOTATION.get(gate.verdict, "notice"), "costaudit check", headline(gate))
    rest = [commands.command(ANNOTATION[s.verdict], s.verdict, f"{s.name}: {s.words}") for s in _loud(gate)]
    return "".join([first, *rest])


def junit(gate: Gate, _view: View) -> str:
    """One suite, one case a verdict: FAIL is a failure, what could not be told or judged is skipped with its reason."""
    cases = []
    for one in said(gate):
        case = tests.Case(f"costaudit.{one.rule}", one.name, kind="regression")
        if one.verdict is Verdict.FAIL:
            case = replace(case, failure=f"{one.verdict}: {one.words}")
        elif one.verdict is not Verdict.PASS:
            case = replace(case, skipped=f"{one.verdict}: {one.words}")
        cases.append(case)
    return tests.suite("costaudit check", cases)


def sarif(gate: Gate, _view: View) -> str:
    """One result for each task or budget that does not pass."""
    results = [
        scanning.result(s.rule, s.id, RESULT[s.verdict], f"{s.name}: {s.words}", None, {"verdict": s.verdict.value})
        for s in _loud(gate)
    ]
    return scanning.log(results, [headline(gate), *gate.notes])


def gitlab(gate: Gate, _view: View) -> str:
    """One problem for each task or budget that does not pass."""
    return code_quality.written(
        code_quality.entry(s.rule, s.id, f"{s.verdict}: {s.name}: {s.words}", SEVERITY[s.verdict]) for s in _loud(gate)
    )
