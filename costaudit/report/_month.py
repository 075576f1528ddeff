"""The monthly review, for a terminal, a page and a machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext
from typing import Any

from costaudit.errors import UsageError
from costaudit.finding import ZERO
from costaudit.price.mix import EXACT
from costaudit.report import View, _bridge, _month_sections, _reconcile, _words
from costaudit.report import _money as money
from costaudit.report._layout import EMPTY, Column, Line, Span, Style, paint, paragraph, strong, table
from costaudit.report._spark import spark
from costaudit.report.csv import written
from costaudit.report.json import document, report, rows
from costaudit.report.markdown import folded, grid, text
from costaudit.verdict import Month

SCHEMA = "costaudit.month/1"
MARKER = "<!-- costaudit month -->"  # by which a bot finds its own comment again
ROOMY = 100  # columns from which a table shows the units of both months
WEEKS, FEWER_WEEKS = 12, 8  # of a trend
ROWS = 10  # of a table; the rest is one row, so that it still adds up
NAMES = {"task": "task", "model": "model", "tenant": "tenant"}
UNIT = {"task": "runs", "model": "requests", "tenant": "runs"}
EACH = {"task": "run", "model": "request", "tenant": "run"}


Draw = Callable[[Sequence[float | None]], str]
Section = tuple[str, list[Column], list[list[str]], list[str]]


def terminal(month: Month, view: View) -> str:
    """Sentence, trust, bridge, tables, what happened to the findings, budgets, prices, forecast."""
    columns = view.columns
    lines: list[Line] = [(Span(line[0].text, Style.STRONG),) for line in paragraph(headline(month), columns)]
    lines.append(EMPTY)
    for label, said in trust(month):
        lines += paragraph(said, columns, first=f"  {label:<9}  ")
    if month.bridge is not None:
        lines += [EMPTY, strong(f"Why it changed from {month.before_label}"), *_bridge.lines(month.bridge, columns)]
        if month.bridge.rows.height:
            lines += [EMPTY, strong("What moved most"), *_bridge.drill_lines(month.bridge, columns)]
    for by in asked(month, view):
        lines += [EMPTY, *_table(month, by, view)]
    for title, named, body, remarks in _month_sections.sections(month):
        lines += [EMPTY, strong(title)]
        if body:
            lines += table(named, body, columns)
        lines += [line for words in remarks for line in paragraph(words, columns, first="  ", rest="    ")]
    return paint(lines, color=view.color)


def markdown(month: Month, view: View) -> str:
    """A page for a review: sentence, bridge and tables; details folded."""
    parts = [MARKER, f"**{text(headline(month))}**"]
    parts.append("\n".join(f"- {label}: {text(said)}" for label, said in trust(month)))
    if month.bridge is not None:
        parts += [
            f"## Why it changed from {month.before_label}",
            grid(_bridge.HEADS, _escaped(_bridge.cells(month.bridge)), left=3),
        ]
        moved = grid(_bridge.DRILL_HEADS, _escaped(_bridge.drill(month.bridge)), left=3)
        parts.append(folded("What moved most", moved))
    for by in asked(month, view):
        named = [column.head for column in heads(month, by, view)]
        parts += [f"## By {by}", grid(named, _escaped(cells(month, by, view)))]
    for title, columns, body, remarks in _month_sections.sections(month):
        parts.append(f"## {text(title)}")
        if body:
            left = max(1, sum(not column.right for column in columns))
            parts.append(grid([column.head for column in columns], _escaped(body), left=left))
        if remarks:
            parts.append("\n".join(f"- {text(said)}" for said in remarks))
    return "\n\n".join(part for part in parts if part) + "\n"


def csv(month: Month, view: View) -> str:
    """One table: by task, or as --by says."""
    if len(view.by) > 1:
        raise UsageError("a CSV file holds one table", hint=f"ask for one: --by {view.by[0]}")
    by = view.by[0] if view.by else "task"
    if by not in month.tables:
        raise UsageError(f"the month has no table by {by}", hint=f"tables: {', '.join(month.tables)}")
    return written(month.tables[by].drop("trend", strict=False))


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
            "drill": None if month.drill is None else rows(month.drill),
            "price_events": _month_sections.price_rows(month),
            "regressions": [
                {
                    "since": r.since and r.since.isoformat(),
                    "title": r.title,
                    "usd": money.exact(r.usd),
                    "finding": r.finding,
                }
                for r in month.regressions
            ],
            "followed": _month_sections.followed_rows(month),
            "budgets": None if month.budgets is None else rows(month.budgets),
            "coming": _month_sections.coming_row(month),
            "bill": None if month.bill is None else _reconcile.machine(month.bill),
            "notes": list(month.notes),
            "audit": report(month.audit),
        }
    )


def html(month: Month, view: View) -> str:
    """A page for a browser or a printer."""
    from costaudit.report import _month_html

    return _month_html.render(month, view)


RENDERERS: dict[str, Callable[[Month, View], str]] = {
    "terminal": terminal,
    "json": machine,
    "markdown": markdown,
    "csv": csv,
    "html": html,
}


def headline(month: Month) -> str:
    """Total, change, and growth apart from efficiency."""
    total = month.audit.spend.total_usd
    spent = f"{month.label}: {_words.qualifier(month.audit.coverage)}{money.usd(total)} spent"
    change = month.change_usd
    if change is None or month.before_usd is None or month.bridge is None:
        return f"{spent}; no logs of {month.before_label} to compare with."
    share = money.of(change, month.before_usd)
    percent = "" if share is None else f" ({money.rise(share)})"
    causes = f": {_bridge.sentence(month.bridge)}" if change else ""
    return f"{spent}, {_bridge.change(month.bridge)}{percent} on {month.before_label}{causes}."


def trust(month: Month) -> list[tuple[str, str]]:
    coverage = month.audit.coverage
    then = "" if month.before_share is None else f"{money.percent(month.before_share)} of it priced"
    amount = "no logs" if month.before_usd is None else money.usd(month.before_usd)
    said = [
        ("trust", "; ".join(_words.trusted(coverage))),
        ("total", _words.bounds(month.audit.coverage, month.audit.spend.total_usd)),
        ("window", _words.window(month.audit.window)),
        ("before", "; ".join(part for part in (_words.window(month.before_window), amount, then) if part)),
        ("prices", _words.prices(month.audit.prices)),
        *(("note", note) for note in (*month.notes, *_words.noted(coverage))),
    ]
    return [(label, words) for label, words in said if words]


def asked(month: Month, view: View) -> list[str]:
    """The tables asked for; else all that tell more than one thing apart."""
    asked = [by for by in view.by if by in month.tables]
    return asked or [by for by, frame in month.tables.items() if by != "tenant" or frame.height > 1]


def heads(month: Month, by: str, view: View) -> list[Column]:
    """The heads of a table; a narrow terminal has no room for the units of the month before."""
    name, unit, each = Column(NAMES[by], right=False, flexible=True), UNIT[by], money.per(EACH[by])
    trend = Column("trend", right=False, optional=True, rank=3)
    if month.bridge is None:
        return [name, *map(Column, ("spend", unit, each)), trend]
    ahead = [name, *map(Column, ("spend", "before", "change"))]
    units = [Column(unit), Column("before")] if view.columns >= ROOMY else [Column(unit)]
    return [*ahead, *units, Column(each, rank=1), Column("before", rank=2), trend]


def _table(month: Month, by: str, view: View) -> list[Line]:
    return table(heads(month, by, view), cells(month, by, view), view.columns)


def cells(month: Month, by: str, view: View, draw: Draw | None = None) -> list[list[str]]:
    """The rows of a table, the dearest first, all others in one; `draw` makes the trend, else it is characters."""
    draw = draw or (lambda trend: spark(trend, plain=view.ascii))
    found = list(month.tables[by].iter_rows(named=True))
    most = len(found) if by in view.by or len(found) <= ROWS + 1 else ROWS
    shown = [_row(row, row[by], month, view, draw) for row in found[:most]]
    if rest := found[most:]:
        with localcontext(prec=EXACT):
            sums = {
                name: sum((row[name] or ZERO for row in rest), ZERO)
                for name in ("cost_usd", "before_usd", "change_usd")
            }
        units = {name: sum(row[name] for row in rest) for name in ("units", "units_before")}
        empty = {"unit_usd": None, "unit_before_usd": None}
        trends = [row["trend"] for row in rest if row.get("trend")]
        trend = [sum(week) for week in zip(*trends, strict=True)] if trends else []
        shown.append(_row(sums | units | empty | {"trend": trend}, f"{len(rest):,} more", month, view, draw))
    return shown


def _row(row: dict[str, Any], name: str, month: Month, view: View, draw: Draw) -> list[str]:
    now = [name, _spend(row["cost_usd"])]
    units = [money.count(row["units"])]
    weeks = WEEKS if view.columns >= ROOMY else FEWER_WEEKS
    fits = view.columns >= ROOMY or "model" not in row  # names of models are long
    trend = draw((row.get("trend") or [])[-weeks:]) if fits else ""
    if month.bridge is None:
        return [*now, *units, money.usd(row["unit_usd"]), trend]
    if view.columns >= ROOMY:
        units.append(money.count(row["units_before"]))
    return [
        *now,
        _spend(row["before_usd"]),
        money.NONE if row["change_usd"] is None else _bridge.signed(row["change_usd"]),
        *units,
        money.usd(row["unit_usd"]),
        money.usd(row["unit_before_usd"]),
        trend,
    ]


def _spend(amount: Decimal | None) -> str:
    return "no price" if amount is None else money.usd(amount)


def _escaped(cells: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[text(cell) for cell in row] for row in cells]


def _exact(amount: Decimal | None) -> str | None:
    return None if amount is None else money.exact(amount)
