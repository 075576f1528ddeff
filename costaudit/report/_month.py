"""The monthly review, for a terminal, a page and a machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext
from typing import Any

import polars as pl

from costaudit.finding import ZERO, Finding
from costaudit.price.mix import EXACT
from costaudit.report import View, _bridge, _words
from costaudit.report import _money as money
from costaudit.report._layout import EMPTY, Column, Line, Span, Style, paint, paragraph, strong, table
from costaudit.report.json import document, report, rows
from costaudit.report.markdown import folded, grid, text
from costaudit.verdict import Month

SCHEMA = "costaudit.month/1"
MARKER = "<!-- costaudit month -->"  # by which a bot finds its own comment again
ROWS = 10  # of a table; the rest is one row, so that it still adds up
FINDINGS = 8
EVENTS = 12
NAMES = {"task": "task", "model": "model", "tenant": "tenant"}
UNIT = {"task": "runs", "model": "requests", "tenant": "runs"}
EACH = {"task": "$/run", "model": "$/request", "tenant": "$/run"}


def terminal(month: Month, view: View) -> str:
    """Sentence, trust, bridge, tables, price events, findings."""
    columns = view.columns
    lines: list[Line] = [(Span(line[0].text, Style.STRONG),) for line in paragraph(headline(month), columns)]
    lines.append(EMPTY)
    for label, said in _trust(month):
        lines += paragraph(said, columns, first=f"  {label:<9}  ")
    if month.bridge is not None:
        lines += [EMPTY, strong(f"Why it changed from {month.before_label}"), *_bridge.lines(month.bridge, columns)]
        if month.bridge.rows.height:
            lines += [EMPTY, strong("What moved most"), *_bridge.drill_lines(month.bridge, columns)]
    for by in _asked(month, view):
        lines += [EMPTY, *_table(month, by, view)]
    if events := _events(month):
        lines += [EMPTY, strong("Prices")]
        lines += [line for said in events for line in paragraph(said, columns, first="  ")]
    if found := _findings(month):
        lines += [EMPTY, strong("To fix, largest first")]
        room = max(len(money.usd(f.amount_usd)) for f in found)
        for finding in found:
            first = f"  {money.usd(finding.amount_usd):>{room}}  "
            lines += paragraph(f"{finding.title} ({finding.kind}: {finding.rule}, {finding.id})", columns, first=first)
    return paint(lines, color=view.color)


def markdown(month: Month, view: View) -> str:
    """A page for a review: sentence, bridge and tables; details folded."""
    parts = [MARKER, f"**{text(headline(month))}**"]
    parts.append("\n".join(f"- {label}: {text(said)}" for label, said in _trust(month)))
    if month.bridge is not None:
        parts += [
            f"## Why it changed from {month.before_label}",
            grid(_bridge.HEADS, _escaped(_bridge.cells(month.bridge)), left=3),
        ]
        moved = grid(_bridge.DRILL_HEADS, _escaped(_bridge.drill(month.bridge)), left=3)
        parts.append(folded("What moved most", moved))
    for by in _asked(month, view):
        heads = _heads(month, by)
        parts += [f"## By {by}", grid(heads, _escaped(_cells(month, by, view)))]
    if events := _events(month):
        parts += ["## Prices", "\n".join(f"- {text(said)}" for said in events)]
    if found := _findings(month):
        body = [[f.title, f.kind.value, f.rule, money.usd(f.amount_usd)] for f in found]
        parts += ["## To fix, largest first", grid(["finding", "kind", "rule", "amount"], _escaped(body), left=3)]
    return "\n\n".join(part for part in parts if part) + "\n"


def machine(month: Month, _view: View) -> str:
    """Schema `costaudit.month/1`; `audit` is the report of the month as `analyze --format json` gives it."""
    before = month.before_window
    return document(
        {
            "schema": SCHEMA,
            "month": month.label,
            "compared": {
                "month": month.before_label,
                "from": before.start and before.start.isoformat(),
                "to": before.end and before.end.isoformat(),
                "tz": before.tz,
                "total_usd": _exact(month.before_usd),
                "coverage": month.before_share,
            },
            "total_usd": money.exact(month.audit.spend.total_usd),
            "change_usd": _exact(month.change_usd),
            "bridge": _bridge.machine(month.bridge),
            **{f"by_{by}": rows(frame) for by, frame in month.tables.items()},
            "price_events": rows(month.price_events),
            "notes": list(month.notes),
            "audit": report(month.audit),
        }
    )


RENDERERS: dict[str, Callable[[Month, View], str]] = {"terminal": terminal, "json": machine, "markdown": markdown}


def headline(month: Month) -> str:
    """Total, change, and growth apart from efficiency."""
    total = month.audit.spend.total_usd
    spent = f"{month.label}: {_words.qualifier(month.audit.coverage)}{money.usd(total)} spent"
    change = month.change_usd
    if change is None or month.before_usd is None or month.bridge is None:
        return f"{spent}; no logs of {month.before_label} to compare with."
    share = money.of(change, month.before_usd)
    percent = "" if share is None else f" ({share:+.0%})".replace("%", " %")
    causes = f": {_bridge.sentence(month.bridge)}" if change else ""
    return f"{spent}, {_bridge.change(month.bridge)}{percent} on {month.before_label}{causes}."


def _trust(month: Month) -> list[tuple[str, str]]:
    coverage = month.audit.coverage
    then = "" if month.before_share is None else f"{money.share(month.before_share)} of it priced"
    amount = "no logs" if month.before_usd is None else money.usd(month.before_usd)
    said = [
        ("trust", "; ".join(_words.trusted(coverage))),
        ("total", _words.bounds(month.audit)),
        ("window", _words.window(month.audit.window)),
        ("before", "; ".join(part for part in (_words.window(month.before_window), amount, then) if part)),
        ("prices", _words.prices(month.audit)),
        *(("note", note) for note in (*month.notes, *coverage.notes)),
    ]
    return [(label, words) for label, words in said if words]


def _asked(month: Month, view: View) -> list[str]:
    """The tables asked for; else all that tell more than one thing apart."""
    asked = [by for by in view.by if by in month.tables]
    return asked or [by for by, frame in month.tables.items() if by != "tenant" or frame.height > 1]


def _heads(month: Month, by: str) -> list[str]:
    if month.bridge is None:
        return [NAMES[by], "spend", UNIT[by], EACH[by]]
    return [NAMES[by], "spend", "before", "change", UNIT[by], "before", EACH[by], "before"]


def _table(month: Month, by: str, view: View) -> list[Line]:
    heads = _heads(month, by)
    columns = [Column(heads[0], right=False, flexible=True), *(Column(head) for head in heads[1:])]
    return table(columns, _cells(month, by, view), view.columns)


def _cells(month: Month, by: str, view: View) -> list[list[str]]:
    found = list(month.tables[by].iter_rows(named=True))
    most = len(found) if by in view.by or len(found) <= ROWS + 1 else ROWS
    cells = [_row(row, row[by], month) for row in found[:most]]
    if rest := found[most:]:
        with localcontext(prec=EXACT):
            sums = {
                name: sum((row[name] or ZERO for row in rest), ZERO)
                for name in ("cost_usd", "before_usd", "change_usd")
            }
        units = {name: sum(row[name] for row in rest) for name in ("units", "units_before")}
        empty = {"unit_usd": None, "unit_before_usd": None}
        cells.append(_row(sums | units | empty, f"{len(rest):,} more", month))
    return cells


def _row(row: dict[str, Any], name: str, month: Month) -> list[str]:
    now = [name, _spend(row["cost_usd"])]
    units = [money.count(row["units"])]
    if month.bridge is None:
        return [*now, *units, money.usd(row["unit_usd"])]
    return [
        *now,
        _spend(row["before_usd"]),
        money.NONE if row["change_usd"] is None else _bridge.signed(row["change_usd"]),
        *units,
        money.count(row["units_before"]),
        money.usd(row["unit_usd"]),
        money.usd(row["unit_before_usd"]),
    ]


def _spend(amount: Decimal | None) -> str:
    return "no price" if amount is None else money.usd(amount)


def _events(month: Month) -> list[str]:
    """One sentence a model and day."""
    days = month.price_events.group_by("on", "model", "announced", maintain_order=True).agg(
        pl.struct("class", "before_usd", "after_usd")
    )
    said = []
    for on, model, announced, changes in days.head(EVENTS).iter_rows():
        rates = ", ".join(f"{c['class']} {_rate(c['before_usd'])} to {_rate(c['after_usd'])}" for c in changes)
        said.append(f"{on} {model}{' (announced)' if announced else ''}: {rates}")
    if days.height > EVENTS:
        said.append(f"{days.height - EVENTS:,} more price changes")
    return said


def _rate(rate: Decimal | None) -> str:
    return "none" if rate is None else f"${money.exact(rate)}"


def _findings(month: Month) -> Sequence[Finding]:
    """The findings worth most, of whatever kind; their titles say what the dollars are."""
    return sorted(month.audit.findings, key=lambda f: f.order)[:FINDINGS]


def _escaped(cells: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[text(cell) for cell in row] for row in cells]


def _exact(amount: Decimal | None) -> str | None:
    return None if amount is None else money.exact(amount)
