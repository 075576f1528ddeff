"""The answer of `check` for a pull request: the table first, causes folded, a mark by which a bot finds it."""

from __future__ import annotations

from collections.abc import Iterator

from costaudit.report import View, _bridge, _gate
from costaudit.report.markdown import folded, grid, text
from costaudit.verdict import Gate, TaskVerdict, Verdict

MARKER = "<!-- costaudit check -->"  # the first line, the same for ever
ROWS = 50  # tasks of the table; a comment on a code host holds 65,536 characters
CAUSES = 10  # failures explained


def render(gate: Gate, _view: View) -> str:
    """GitHub-flavoured Markdown; GitLab reads it as well."""
    parts = [MARKER, f"**{text(_gate.headline(gate))}**", *_tasks(gate), *_budgets(gate)]
    failed = [row for row in gate.rows if row.verdict is Verdict.FAIL]
    parts += [_cause(row) for row in failed[:CAUSES]]
    compared = "\n".join(f"- {label}: {text(said)}" for label, said in _gate.compared(gate))
    parts.append(folded("What was compared", compared))
    if commands := _gate.acceptances(gate):
        fenced = "\n".join(["````sh", *(command.replace("`", "'") for command in commands), "````"])
        parts.append(folded("To accept it on purpose", fenced))
    return "\n\n".join(part for part in parts if part) + "\n"


def _tasks(gate: Gate) -> Iterator[str]:
    if not gate.rows:
        return
    yield grid(_gate.HEADS, [[text(cell) for cell in _gate.cells(row)] for row in gate.rows[:ROWS]], left=2)
    if len(gate.rows) > ROWS:
        yield f"and {len(gate.rows) - ROWS:,} tasks more, none louder than these"
    remarks = [(row, _gate.remark(row, gate)) for row in gate.rows[:ROWS]]
    yield "\n".join(f"- {text(row.task)}: {text(said)}" for row, said in remarks if said)


def _budgets(gate: Gate) -> Iterator[str]:
    if not gate.budgets:
        return
    yield grid(_gate.BUDGET_HEADS, [[text(cell) for cell in _gate.budget_cells(row)] for row in gate.budgets], left=2)
    loud = [row for row in gate.budgets if row.verdict is not Verdict.PASS or row.accepted]
    yield "\n".join(f"- {text(row.name)}: {text(row.why)}" for row in loud)


def _cause(row: TaskVerdict) -> str:
    body = [text(_gate.prompt(row.prompt))]
    if row.bridge is not None and row.bridge.rows.height:
        bars = [[text(cell) for cell in cells] for cells in _bridge.cells(row.bridge)]
        body.append(grid(_bridge.HEADS, bars, left=3))
    said = "\n\n".join(part for part in body if part)
    return folded(f"Why a unit of {row.task} got dearer", said) if said else ""
