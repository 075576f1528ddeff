"""The answer of `check` as a page: verdicts first, the cause of each failure as a waterfall."""

from __future__ import annotations

from costaudit.report import View, _bridge, _gate, _svg
from costaudit.report._chart_waterfall import bridge
from costaudit.report._html import Drawn, document, facts, grid, remarks, section, text
from costaudit.verdict import Gate, TaskVerdict, Verdict

CAUSES = 10  # failures explained
_LOOKS = {Verdict.FAIL: "fail", Verdict.PASS: "pass", Verdict.CANNOT_TELL: "unsure", Verdict.CANNOT_JUDGE: "unsure"}


def render(gate: Gate, _view: View) -> str:
    """A whole HTML document."""
    failed = [row for row in gate.rows if row.verdict is Verdict.FAIL]
    commands = "\n".join(map(text, _gate.acceptances(gate)))
    parts = [
        _svg.patterns(),
        section("tasks", "Cost of a unit of work", _tasks(gate)),
        section("budgets", "Budgets", _budgets(gate)),
        *(_cause(number, row) for number, row in enumerate(failed[:CAUSES], 1)),
        section("accept", "To accept it on purpose", [f"<pre>{commands}</pre>" if commands else ""]),
    ]
    return document(_gate.headline(gate), parts, lead=[facts(_gate.compared(gate))])


def _tasks(gate: Gate) -> list[str]:
    if not gate.rows:
        return []
    cells = [_marked(row.verdict, _gate.cells(row)) for row in gate.rows]
    said = [f"{row.task}: {words}" for row in gate.rows if (words := _gate.remark(row, gate))]
    left = [head in ("verdict", "task") for head in _gate.HEADS]
    return [grid("Cost of a unit of work, by task", _gate.HEADS, cells, left), remarks(said)]


def _budgets(gate: Gate) -> list[str]:
    if not gate.budgets:
        return []
    cells = [_marked(row.verdict, _gate.budget_cells(row)) for row in gate.budgets]
    said = [f"{row.name}: {row.why}" for row in gate.budgets if row.verdict is not Verdict.PASS or row.accepted]
    left = [head in ("verdict", "budget", "dearest") for head in _gate.BUDGET_HEADS]
    return [grid("Budgets", _gate.BUDGET_HEADS, cells, left), remarks(said)]


def _marked(verdict: Verdict, cells: list[str]) -> list[str]:
    return [Drawn(f'<b class="{_LOOKS[verdict]}">{text(cells[0])}</b>'), *cells[1:]]


def _cause(number: int, row: TaskVerdict) -> str:
    title = f"Why a unit of {row.task} got dearer"
    drawn = []
    if row.bridge is not None and row.bridge.rows.height:
        drawn = [
            bridge("Cost of a unit", row.bridge, ("baseline", "candidate")),
            grid("Every bar", _bridge.HEADS, _bridge.cells(row.bridge), [True, True, True, False]),
        ]
    words = _gate.prompt(row.prompt)
    return section(f"cause-{number}", title, [remarks([words]) if words else "", *drawn])
