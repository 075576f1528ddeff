"""The answer of `check` for a terminal, and the sentences every format of it shares."""

from __future__ import annotations

import math
import shlex

from costaudit.report import View, _bridge, _words
from costaudit.report import _money as money
from costaudit.report._layout import EMPTY, Column, Line, Span, Style, paint, paragraph, strong, table, typed
from costaudit.report._text import clean, fit
from costaudit.stats import Interval
from costaudit.verdict import BudgetVerdict, Gate, PromptChange, SideLabel, TaskVerdict, Verdict

HEADS = ("verdict", "task", "units", "before", "now", "change", "90 % interval", "tokens", "a month")
BUDGET_HEADS = ("verdict", "budget", "limit", "dearest", "cost", "over", "beyond")
DEAREST = 18  # columns for the name of a run or a period
ACCEPTANCES = 3  # commands shown; the rest are like them

_STYLE = {
    Verdict.FAIL: Style.BAD,
    Verdict.PASS: Style.GOOD,
    Verdict.CANNOT_TELL: Style.WARN,
    Verdict.CANNOT_JUDGE: Style.WARN,
}


def terminal(gate: Gate, view: View) -> str:
    """Verdict, what was compared, one row a task, then the cause of each failure."""
    columns = view.columns
    first, *rest = paragraph(headline(gate), columns)
    lines: list[Line] = [(Span(first[0].text, _STYLE[gate.verdict]),), *rest, EMPTY]
    for label, said in compared(gate):
        lines += paragraph(said, columns, first=f"  {label:<9}  ")
    if gate.rows:
        lines += [EMPTY, *_table(gate, columns)]
    for row in gate.rows:
        if said := remark(row, gate):
            lines += paragraph(f"{clean(row.task)}: {said}", columns, first="  ", rest="    ")
    if gate.budgets:
        lines += [EMPTY, *_budgets(gate, columns)]
    for row in gate.rows:
        if row.verdict is Verdict.FAIL:
            lines += [EMPTY, *_cause(row, columns)]
    if commands := acceptances(gate):
        lines += [EMPTY, strong("To accept it on purpose"), *(row for one in commands for row in typed(one, columns))]
    return paint(lines, color=view.color)


def headline(gate: Gate) -> str:
    """The verdict in one sentence, or two: units of work, then budgets."""
    over = [row for row in gate.budgets if row.verdict is Verdict.FAIL]
    tasks = _on_tasks(gate)
    if not over:
        return tasks
    said = f"{len(over):,} of {money.plural(len(gate.budgets), 'budget')} exceeded: {over[0].name}, {_beyond(over[0])}."
    return f"{tasks} {said[0].upper()}{said[1:]}" if tasks.startswith("FAIL") else f"FAIL: {said} {tasks}"


def _on_tasks(gate: Gate) -> str:
    by = {verdict: [row for row in gate.rows if row.verdict is verdict] for verdict in Verdict}
    tasks = money.plural(len(gate.rows), "task")
    if failed := by[Verdict.FAIL]:
        worst = failed[0]
        others = f" and {len(failed) - 1:,} more" if len(failed) > 1 else ""
        month = f", {_bridge.signed(worst.month_usd)} at last month's volume" if worst.month_usd else ""
        return f"FAIL: a unit of {worst.task}{others} got dearer: {change(worst)}{month} ({len(failed):,} of {tasks})."
    if unjudged := by[Verdict.CANNOT_JUDGE]:
        judged = len(gate.rows) - len(unjudged)
        return f"CANNOT JUDGE {len(unjudged):,} of {tasks}: {unjudged[0].why}; {judged:,} compared, none failed."
    if not gate.rows:
        return "CANNOT JUDGE: no task on either side."
    if unsure := by[Verdict.CANNOT_TELL]:
        return f"CANNOT TELL for {len(unsure):,} of {tasks}: no rise proved, and none excluded; the others pass."
    return f"PASS: no unit of work got dearer than allowed ({tasks})."


def _beyond(row: BudgetVerdict) -> str:
    return f"{money.usd(row.beyond_usd)} beyond it"


def prompt(found: PromptChange | None) -> str:
    """Where the prompts begin to differ, in words; nothing where nothing is known to."""
    if found is None:
        return ""
    tokens = found.behind_tokens
    behind = "" if tokens is None else f"; {money.count(tokens)} tokens of the prompt stand behind"
    if not found.position:
        return f"the declared tools differ, before the first message{behind}"
    if found.only_one:
        return f"the first {money.plural(found.position - 1, 'message')} that both sides share are the same"
    grown = f"{money.count(found.before_tokens)} to {money.count(found.after_tokens)} tokens"
    where = f", in {money.percent(found.share)} of the units" if found.share is not None else ""
    tools = "; the declared tools differ too" if found.tools else ""
    return f"message {found.position} is the first that differs: {grown}{where}{behind}{tools}"


def acceptances(gate: Gate) -> list[str]:
    """The commands that accept what failed; none for a name that no shell should be handed."""
    subjects = [("cost-regression", {"task": row.task}) for row in gate.rows if row.verdict is Verdict.FAIL]
    subjects += [("budget-overrun", dict(row.subject)) for row in gate.budgets if row.verdict is Verdict.FAIL]
    commands = []
    for rule, subject in subjects[:ACCEPTANCES]:
        flags = " ".join(f"--subject {shlex.quote(f'{key}={value}')}" for key, value in subject.items())
        if clean(flags) == flags:
            commands.append(f"costaudit suppress {rule} {flags} --until DATE --reason WHY")
    return commands


def remark(row: TaskVerdict, gate: Gate) -> str:
    """What a verdict has to add: why it is no pass, what would have been seen, what was not compared."""
    if gate.baseline is None:
        return ""
    said = [] if row.verdict is Verdict.PASS and not row.accepted else [row.why]
    if row.verdict is Verdict.CANNOT_TELL and row.detectable is not None:
        said.append(f"a rise of {percent(row.detectable)} would have been seen")
        if row.needed is not None:
            limit = percent(1 + gate.tolerance + gate.pass_margin)
            said.append(f"for {limit} it takes {money.count(row.needed)} {'pairs' if row.paired else 'units a side'}")
    if row.verdict is Verdict.CANNOT_TELL and row.advice:
        said.append(row.advice)
    if row.verdict is Verdict.FAIL and row.median_ratio is not None:
        said.append(f"median {percent(row.median_ratio)}")
    if any(row.left_out):
        why = "without a price or on one side only" if row.paired else "without a price"
        said.append(f"left out {row.left_out[0]:,} units of the baseline, {row.left_out[1]:,} of the candidate: {why}")
    return "; ".join(said)


def compared(gate: Gate) -> list[tuple[str, str]]:
    allowed = (
        f"{percent(1 + gate.tolerance)} a unit allowed, a pass under {percent(1 + gate.tolerance + gate.pass_margin)}"
    )
    said = [
        ("baseline", _label(gate.baseline)),
        ("candidate", _label(gate.candidate)),
        ("prices", f"of {gate.priced_on} on both sides" if gate.priced_on else ""),
        ("limits", f"{allowed}; a verdict rests on a 90 % interval of the ratio of mean costs"),
        ("a month", f"the volume of {gate.month}, scaled to 30.4 days" if gate.month else ""),
        ("overall", _overall(gate)),
        *(("note", note) for note in gate.notes),
    ]
    return [(label, words) for label, words in said if words]


def _overall(gate: Gate) -> str:
    if gate.overall is None:
        return ""
    tokens = f"; tokens {percent(gate.overall_tokens)}" if gate.overall_tokens is not None else ""
    return f"{percent(gate.overall.value)} ({_range(gate.overall)}) at the baseline's mix of tasks{tokens}"


def _label(side: SideLabel | None) -> str:
    if side is None:
        return "none"
    window = f"; {_words.window(side.window)}" if side.window.start else ""
    priced = f"{money.percent(side.coverage)} of it priced"
    return f"{side.name}{window}; {money.plural(side.calls, 'call')}, {priced}"


def _table(gate: Gate, columns: int) -> list[Line]:
    heads = [
        Column(HEADS[0], right=False),
        Column(HEADS[1], right=False, flexible=True, least=6),
        Column(HEADS[2]),
        Column(HEADS[3], optional=True, rank=3),
        Column(HEADS[4], optional=True, rank=2),
        Column(HEADS[5], optional=True),
        Column(HEADS[6], optional=True),
        *((Column(HEADS[7], optional=True), Column(HEADS[8], optional=True)) if columns >= 100 else ()),
    ]
    lines = table(heads, [cells(row)[: len(heads)] for row in gate.rows], columns)
    return [lines[0], *(_coloured(line, row.verdict) for line, row in zip(lines[1:], gate.rows, strict=True))]


def _coloured(line: Line, verdict: Verdict) -> Line:
    """The verdict's word in its colour; spans are a gap, the first cell, and so on."""
    return (line[0], Span(line[1].text, _STYLE[verdict]), *line[2:])


def _budgets(gate: Gate, columns: int) -> list[Line]:
    heads = [
        Column(BUDGET_HEADS[0], right=False),
        Column(BUDGET_HEADS[1], right=False, flexible=True),
        Column(BUDGET_HEADS[2]),
        Column(BUDGET_HEADS[3], right=False, rank=1),
        *(Column(head, rank=rank) for head, rank in zip(BUDGET_HEADS[4:], (2, 3, 0), strict=True)),
    ]
    cells = [budget_cells(row) for row in gate.budgets]
    short = [[*row[:3], fit(clean(row[3]), DEAREST), *row[4:]] for row in cells]
    rows = table(heads, short, columns)
    lines = [rows[0], *(_coloured(line, row.verdict) for line, row in zip(rows[1:], gate.budgets, strict=True))]
    for row in gate.budgets:
        if row.verdict is not Verdict.PASS or row.accepted:
            lines += paragraph(f"{clean(row.name)}: {row.why}", columns, first="  ", rest="    ")
    return lines


def budget_cells(row: BudgetVerdict) -> list[str]:
    return [
        row.verdict.value,
        row.name,
        money.usd(row.limit_usd),
        row.worst or money.NONE,
        money.usd(row.worst_usd),
        f"{row.over:,} of {row.of:,}",
        money.usd(row.beyond_usd) if row.over else money.NONE,
    ]


def cells(row: TaskVerdict) -> list[str]:
    base, head = row.units
    units = f"{head:,} pairs" if row.paired else f"{base:,} / {head:,}"
    return [
        row.verdict.value,
        row.task,
        units,
        money.usd(row.unit_usd[0]),
        money.usd(row.unit_usd[1]),
        percent(row.ratio.value) if row.ratio else money.NONE,
        _range(row.ratio) if row.ratio else money.NONE,
        money.NONE if row.token_ratio is None else percent(row.token_ratio),
        money.NONE if row.month_usd is None else _bridge.signed(row.month_usd),
    ]


def _cause(row: TaskVerdict, columns: int) -> list[Line]:
    lines = [strong(clean(f"Why a unit of {row.task} got dearer"))]
    if said := prompt(row.prompt):
        lines += paragraph(said, columns, first="  ")
    if row.bridge is not None and row.bridge.rows.height:
        lines += _bridge.lines(row.bridge, columns)
    return lines


def change(row: TaskVerdict) -> str:
    """`+23 % (+12 % to +35 %)`; the two costs of a unit where there is no ratio."""
    if row.ratio is None:
        return f"from {money.usd(row.unit_usd[0])} to {money.usd(row.unit_usd[1])}"
    return f"{percent(row.ratio.value)} ({_range(row.ratio)})"


def percent(ratio: float) -> str:
    """A ratio as a change: `+23 %`, `-4.1 %`; past tenfold as a factor."""
    if math.isinf(ratio):
        return "without bound"
    if ratio >= 10:
        return f"×{ratio:.3g}"
    change = 100 * (ratio - 1)
    digits = 0 if abs(change) >= 9.95 else 1
    shown = f"{change:+.{digits}f}"
    return f"{'0' if float(shown) == 0 else shown.removesuffix('.0')} %"


def _range(interval: Interval) -> str:
    return f"{percent(interval.low)} to {percent(interval.high)}"
