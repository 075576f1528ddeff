"""The answer of `check`, for a terminal, a pull request and a machine."""

from __future__ import annotations

import math
from typing import Any

from costaudit.report import View, _bridge, _words
from costaudit.report import _money as money
from costaudit.report._layout import EMPTY, Column, Line, Span, Style, paint, paragraph, strong, table
from costaudit.report._text import clean
from costaudit.report.json import document
from costaudit.report.markdown import grid, text
from costaudit.stats import Interval
from costaudit.verdict import Gate, SideLabel, TaskVerdict, Verdict

SCHEMA = "costaudit.check/1"
MARKER = "<!-- costaudit check -->"  # by which a bot finds its own comment again
HEADS = ("verdict", "task", "units", "before", "now", "change", "90 % interval", "tokens", "a month")

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
    for label, said in _compared(gate):
        lines += paragraph(said, columns, first=f"  {label:<9}  ")
    if gate.rows:
        lines += [EMPTY, *_table(gate, columns)]
    for row in gate.rows:
        if said := remark(row, gate):
            lines += paragraph(f"{clean(row.task)}: {said}", columns, first="  ", rest="    ")
    for row in gate.rows:
        if row.verdict is Verdict.FAIL:
            lines += [EMPTY, *_cause(row, columns)]
    return paint(lines, color=view.color)


def markdown(gate: Gate, _view: View) -> str:
    """A comment for a pull request: the table first, causes folded."""
    parts = [MARKER, f"**{text(headline(gate))}**"]
    if gate.rows:
        parts.append(grid(HEADS, [[text(cell) for cell in _cells(row)] for row in gate.rows], left=2))
    remarks = [f"- {text(row.task)}: {text(said)}" for row in gate.rows if (said := remark(row, gate))]
    parts.append("\n".join(remarks))
    for row in gate.rows:
        if row.verdict is Verdict.FAIL and row.bridge is not None:
            bars = [[text(cell) for cell in cells] for cells in _bridge.cells(row.bridge)]
            body = grid(_bridge.HEADS, bars, left=3)
            parts.append(folded(f"Why a unit of {text(row.task)} got dearer", f"{text(row.prompt)}\n\n{body}".strip()))
    compared = "\n".join(f"- {label}: {text(said)}" for label, said in _compared(gate))
    parts.append(folded("What was compared", compared))
    return "\n\n".join(part for part in parts if part) + "\n"


def machine(gate: Gate, _view: View) -> str:
    """Schema `costaudit.check/1`; dollars are decimal strings, absent is null."""
    return document(
        {
            "schema": SCHEMA,
            "verdict": gate.verdict.value,
            "exit_code": gate.exit_code,
            "limits": {"tolerance": gate.tolerance, "pass_margin": gate.pass_margin},
            "priced_on": gate.priced_on and gate.priced_on.isoformat(),
            "baseline": _side(gate.baseline),
            "candidate": _side(gate.candidate),
            "overall": _interval(gate.overall),
            "overall_tokens": _number(gate.overall_tokens),
            "tasks": [_row(row) for row in gate.rows],
            "notes": list(gate.notes),
        }
    )


def folded(title: str, body: str) -> str:
    return f"<details>\n<summary>{title}</summary>\n\n{body}\n\n</details>"


def headline(gate: Gate) -> str:
    """The verdict in one sentence."""
    by = {verdict: [row for row in gate.rows if row.verdict is verdict] for verdict in Verdict}
    tasks = money.plural(len(gate.rows), "task")
    if failed := by[Verdict.FAIL]:
        worst = failed[0]
        others = f" and {len(failed) - 1:,} more" if len(failed) > 1 else ""
        month = f", {_bridge.signed(worst.month_usd)} at last month's volume" if worst.month_usd else ""
        return f"FAIL: a unit of {worst.task}{others} got dearer: {change(worst)}{month} ({len(failed):,} of {tasks})."
    if gate.verdict is Verdict.CANNOT_JUDGE:
        judged = len(gate.rows) - len(by[Verdict.CANNOT_JUDGE])
        why = by[Verdict.CANNOT_JUDGE][0].why if by[Verdict.CANNOT_JUDGE] else "no task on either side"
        return f"CANNOT JUDGE {len(by[Verdict.CANNOT_JUDGE]):,} of {tasks}: {why}; {judged:,} compared, none failed."
    if unsure := by[Verdict.CANNOT_TELL]:
        return f"CANNOT TELL for {len(unsure):,} of {tasks}: no rise proved, and none excluded; the others pass."
    return f"PASS: no unit of work got dearer than allowed ({tasks})."


def remark(row: TaskVerdict, gate: Gate) -> str:
    """What a verdict has to add: why it is no pass, what would have been seen, what was not compared."""
    if gate.baseline is None:
        return ""
    said = [] if row.verdict is Verdict.PASS and not row.accepted else [row.why]
    if row.verdict is Verdict.CANNOT_TELL and row.detectable is not None:
        said.append(f"a rise of {_percent(row.detectable)} would have been seen")
        if row.needed is not None:
            limit = _percent(1 + gate.tolerance + gate.pass_margin)
            said.append(f"for {limit} it takes {money.count(row.needed)} {'pairs' if row.paired else 'units a side'}")
    if row.verdict is Verdict.CANNOT_TELL and row.advice:
        said.append(row.advice)
    if row.verdict is Verdict.FAIL and row.median_ratio is not None:
        said.append(f"median {_percent(row.median_ratio)}")
    if any(row.left_out):
        why = "without a price or on one side only" if row.paired else "without a price"
        said.append(f"left out {row.left_out[0]:,} units of the baseline, {row.left_out[1]:,} of the candidate: {why}")
    return "; ".join(said)


def _compared(gate: Gate) -> list[tuple[str, str]]:
    allowed = (
        f"{_percent(1 + gate.tolerance)} a unit allowed, a pass under {_percent(1 + gate.tolerance + gate.pass_margin)}"
    )
    said = [
        ("baseline", _label(gate.baseline)),
        ("candidate", _label(gate.candidate)),
        ("prices", f"of {gate.priced_on} on both sides" if gate.priced_on else ""),
        ("limits", f"{allowed}; a verdict rests on a 90 % interval of the ratio of mean costs"),
        ("overall", _overall(gate)),
        *(("note", note) for note in gate.notes),
    ]
    return [(label, words) for label, words in said if words]


def _overall(gate: Gate) -> str:
    if gate.overall is None:
        return ""
    tokens = f"; tokens {_percent(gate.overall_tokens)}" if gate.overall_tokens is not None else ""
    return f"{_percent(gate.overall.value)} ({_range(gate.overall)}) at the baseline's mix of tasks{tokens}"


def _label(side: SideLabel | None) -> str:
    if side is None:
        return "none"
    window = f"; {_words.window(side.window)}" if side.window.start else ""
    priced = f"{money.share(side.coverage)} of it priced"
    return f"{side.name}{window}; {money.plural(side.calls, 'call')}, {priced}"


def _table(gate: Gate, columns: int) -> list[Line]:
    heads = [
        Column(HEADS[0], right=False),
        Column(HEADS[1], right=False, flexible=True, least=6),
        Column(HEADS[2]),
        Column(HEADS[3], optional=True),
        Column(HEADS[4], optional=True),
        Column(HEADS[5], optional=True),
        Column(HEADS[6], optional=True),
        *((Column(HEADS[7], optional=True), Column(HEADS[8], optional=True)) if columns >= 100 else ()),
    ]
    lines = table(heads, [_cells(row)[: len(heads)] for row in gate.rows], columns)
    return [lines[0], *(_coloured(line, row) for line, row in zip(lines[1:], gate.rows, strict=True))]


def _coloured(line: Line, row: TaskVerdict) -> Line:
    """The verdict's word in its colour; spans are a gap, the first cell, and so on."""
    return (line[0], Span(line[1].text, _STYLE[row.verdict]), *line[2:])


def _cells(row: TaskVerdict) -> list[str]:
    base, head = row.units
    units = f"{head:,} pairs" if row.paired else f"{base:,} / {head:,}"
    return [
        row.verdict.value,
        row.task,
        units,
        money.usd(row.unit_usd[0]),
        money.usd(row.unit_usd[1]),
        _percent(row.ratio.value) if row.ratio else money.NONE,
        _range(row.ratio) if row.ratio else money.NONE,
        money.NONE if row.token_ratio is None else _percent(row.token_ratio),
        money.NONE if row.month_usd is None else _bridge.signed(row.month_usd),
    ]


def _cause(row: TaskVerdict, columns: int) -> list[Line]:
    lines = [strong(clean(f"Why a unit of {row.task} got dearer"))]
    if row.prompt:
        lines += paragraph(row.prompt, columns, first="  ")
    if row.bridge is not None and row.bridge.rows.height:
        lines += _bridge.lines(row.bridge, columns)
    return lines


def change(row: TaskVerdict) -> str:
    """`+23 % (+12 % to +35 %)`; the two costs of a unit where there is no ratio."""
    if row.ratio is None:
        return f"from {money.usd(row.unit_usd[0])} to {money.usd(row.unit_usd[1])}"
    return f"{_percent(row.ratio.value)} ({_range(row.ratio)})"


def _percent(ratio: float) -> str:
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
    return f"{_percent(interval.low)} to {_percent(interval.high)}"


def _interval(interval: Interval | None) -> dict[str, float | None] | None:
    if interval is None:
        return None
    return {"ratio": _number(interval.value), "low": _number(interval.low), "high": _number(interval.high)}


def _number(value: float | None) -> float | None:
    """Eight digits: more of a statistic would differ between mathematical libraries; null where there is no bound."""
    return None if value is None or math.isinf(value) else float(f"{value:.8g}")


def _side(side: SideLabel | None) -> dict[str, Any] | None:
    if side is None:
        return None
    start, end = side.window.start, side.window.end
    return {
        "name": side.name,
        "from": start and start.isoformat(),
        "to": end and end.isoformat(),
        "tz": side.window.tz,
        "calls": side.calls,
        "coverage": side.coverage,
    }


def _row(row: TaskVerdict) -> dict[str, Any]:
    return {
        "task": row.task,
        "verdict": row.verdict.value,
        "why": row.why,
        "accepted": row.accepted,
        "paired": row.paired,
        "base_units": row.units[0],
        "head_units": row.units[1],
        "base_left_out": row.left_out[0],
        "head_left_out": row.left_out[1],
        "base_usd": None if row.unit_usd[0] is None else money.exact(row.unit_usd[0]),
        "head_usd": None if row.unit_usd[1] is None else money.exact(row.unit_usd[1]),
        "cost": _interval(row.ratio),
        "median_ratio": _number(row.median_ratio),
        "token_ratio": _number(row.token_ratio),
        "p_adjusted": _number(row.p),
        "detectable": _number(row.detectable),
        "needed": row.needed,
        "month_units": _number(row.month_units),
        "month_usd": None if row.month_usd is None else money.exact(row.month_usd),
        "prompt": row.prompt or None,
        "advice": row.advice or None,
        "bridge": _bridge.machine(row.bridge),
    }
