"""The answer of `simulate`, for a terminal, a document and a machine."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import polars as pl

from costaudit.finding import ZERO
from costaudit.report import View, _words
from costaudit.report import _money as money
from costaudit.report._layout import EMPTY, Column, Line, paint, paragraph, strong, table
from costaudit.report.json import document, span
from costaudit.report.markdown import grid, text
from costaudit.scenario import Scenario, Step

SCHEMA = "costaudit.simulation/1"
ROWS = 12  # names of a table; the rest in one line
HEADS = ("change", "calls", "saves", "least", "most")


def terminal(said: Scenario, view: View) -> str:
    """One sentence, what each change did, what is assumed, and where the money would have gone."""
    columns = view.columns
    first, *rest = paragraph(headline(said), columns)
    lines: list[Line] = [strong("".join(span.text for span in first)), *rest, EMPTY]
    for label, words in _facts(said):
        lines += paragraph(words, columns, first=f"  {label:<9}  ")
    if said.steps:
        heads = [Column(HEADS[0], right=False, flexible=True, least=16, most=60), *map(Column, HEADS[1:])]
        lines += [EMPTY, strong("What each change does, after those above it")]
        lines += table(heads, [_cells(step) for step in said.steps], columns)
        for step in said.steps:
            if step.notes:
                said_of = f"{words_of(step)}: {'; '.join(step.notes)}"
                lines += paragraph(said_of, columns, first="  ", rest="    ")
        for title, frame in (("task", said.by_task), ("model", said.by_model)):
            lines += [EMPTY, *_table(title, frame, columns)]
    return paint(lines, color=view.color)


def markdown(said: Scenario, _view: View) -> str:
    """The same as a document."""
    parts = [f"**{text(headline(said))}**", "\n".join(f"- {label}: {text(words)}" for label, words in _facts(said))]
    if said.steps:
        parts.append(grid(HEADS, [[text(cell) for cell in _cells(step)] for step in said.steps], left=1))
        parts.append("\n".join(f"- {text(words_of(s))}: {text('; '.join(s.notes))}" for s in said.steps if s.notes))
        for title, frame in (("task", said.by_task), ("model", said.by_model)):
            heads, rows = _moved(title, frame)
            parts.append(grid(heads, [[text(cell) for cell in row] for row in rows], left=1))
    return "\n\n".join(part for part in parts if part) + "\n"


def json(said: Scenario, _view: View) -> str:
    """Schema `costaudit.simulation/1`: dollars are decimal strings to the last digit."""
    return document(
        {
            "schema": SCHEMA,
            "window": span(said.window),
            "prices": {"as_of": said.prices.as_of.isoformat(), "book_sha256": said.prices.book_sha256},
            "before_usd": money.exact(said.before_usd),
            "after_usd": money.exact(said.after_usd),
            "after_low_usd": money.exact(said.low_usd),
            "after_high_usd": money.exact(said.high_usd),
            "saved_usd": money.exact(said.saved_usd),
            "calls_without_price": said.unseen,
            "steps": [_step(step) for step in said.steps],
            "by_task": _rows("task", said.by_task),
            "by_model": _rows("model", said.by_model),
        }
    )


def headline(said: Scenario) -> str:
    """`$258.76 as it was, $203.10 with 2 changes: $55.66 less (22 %), $51.00 to $58.20.`"""
    if not said.steps:
        return f"{money.usd(said.before_usd)} as it was; without a change, pricing every call again gives the same."
    saved = said.saved_usd
    word = "less" if saved >= 0 else "more"
    share = money.percent(money.of(abs(saved), said.before_usd))
    least, most = said.before_usd - said.high_usd, said.before_usd - said.low_usd
    tail = ""
    if least < 0 < most:
        tail = f", between {money.usd(-least)} more and {money.usd(most)} less"
    elif money.usd(least) != money.usd(most):
        tail = f", {money.interval(*sorted((abs(least), abs(most))))}"
    return (
        f"{money.headline(said.before_usd)} as it was, {money.headline(said.after_usd)} with "
        f"{money.plural(len(said.steps), 'change')}: {money.usd(abs(saved))} {word} ({share}){tail}."
    )


def words_of(step: Step) -> str:
    """The change as it would be typed."""
    return f"{step.change.sort} {step.change.written}"


def _facts(said: Scenario) -> list[tuple[str, str]]:
    facts = [
        ("window", _words.window(said.window)),
        ("prices", _words.book(said.prices)),
    ]
    if said.unseen:
        facts.append(("no price", f"{money.plural(said.unseen, 'call')} without a known price, on neither side"))
    return facts


def _cells(step: Step) -> list[str]:
    calls = [money.plural(step.changed, "changed", "changed")] if step.changed else []
    calls += [money.plural(step.removed, "removed", "removed")] if step.removed else []
    ends = [money.usd(step.low_usd), money.usd(step.high_usd)]
    return [words_of(step), ", ".join(calls) or "none", money.usd(step.saved_usd), *ends]


def _table(title: str, frame: pl.DataFrame, columns: int) -> list[Line]:
    heads, rows = _moved(title, frame)
    first = Column(heads[0], right=False, flexible=True, most=40)
    return table([first, *map(Column, heads[1:])], rows, columns)


def _moved(title: str, frame: pl.DataFrame) -> tuple[Sequence[str], list[list[str]]]:
    """A table of names, the largest change first; the rows left out add up in the last one."""
    heads = (title, "before", "after", "change", "calls", "after")
    shown, rest = frame.head(ROWS), frame.slice(ROWS)
    rows = [_row(*row) for row in shown.iter_rows()]
    if rest.height:
        money_of, count_of = ([rest[name].sum() for name in names] for names in (rest.columns[1:3], rest.columns[3:]))
        sums: list[Any] = [*money_of, *count_of]
        rows.append(_row(f"{rest.height} more", *sums))
    return heads, rows


def _row(name: str, before: Decimal | None, after: Decimal | None, calls_before: int, calls_after: int) -> list[str]:
    change = (after or ZERO) - (before or ZERO)
    sign = "+" if change > 0 else ""
    calls = [money.count(calls_before), money.count(calls_after)]
    dollars = ["no price" if amount is None else money.usd(amount) for amount in (before, after)]
    return [name, *dollars, f"{sign}{money.usd(change)}" if change else money.NONE, *calls]


def _step(step: Step) -> dict[str, Any]:
    return {
        "change": str(step.change.sort),
        "written": step.change.written,
        "calls_changed": step.changed,
        "calls_removed": step.removed,
        "saved_usd": money.exact(step.saved_usd),
        "low_usd": money.exact(step.low_usd),
        "high_usd": money.exact(step.high_usd),
        "done_again_usd": money.exact(step.added_usd),
        "notes": list(step.notes),
    }


def _rows(title: str, frame: pl.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            title: row["name"],
            "before_usd": None if row["before_usd"] is None else money.exact(row["before_usd"]),
            "after_usd": None if row["after_usd"] is None else money.exact(row["after_usd"]),
            "calls_before": row["calls_before"],
            "calls_after": row["calls_after"],
        }
        for row in frame.iter_rows(named=True)
    ]
