"""One finding with the rows that add up to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import polars as pl

from costaudit.finding import Finding
from costaudit.report import View, _words
from costaudit.report import _money as money
from costaudit.report._layout import EMPTY, Column, Line, items, line, paint, paragraph, strong, table
from costaudit.report._text import clean, width
from costaudit.report.json import is_hash, sha, stake, total, value

ROWS = 30  # of evidence on a terminal


def terminal(finding: Finding, settings: Sequence[str], view: View, *, every: bool = False) -> str:
    """The claim, how sure it is, what to do, and its evidence, the worst rows first."""
    subject = [f"{name} {what}" for name, what in sorted(finding.subject.items())]
    amount, (spread, *sure) = _words.amount(finding), _words.sure(finding)
    only = money.usd(finding.alone_usd)
    alone = [f"{only} if this were the only fix"] if finding.alone_usd and only != amount else []
    said = [
        ("amount", [amount, *([spread] if spread != amount else []), *sure, *alone]),
        ("rule", [f"{finding.rule}, {_words.HEADINGS[finding.kind].lower()}, severity {finding.severity}"]),
        ("subject", subject),
        ("calls", [money.plural(finding.requests, "request")]),
        ("basis", list(finding.because)),
        ("do", finding.remedy.splitlines()),
        ("set", list(settings)),
    ]
    lines = [*paragraph(f"{finding.id}  {finding.title}", view.columns), EMPTY]
    lines[0] = strong("".join(span.text for span in lines[0]))
    for label, parts in said:
        if parts:
            lines += items(parts, view.columns, first=f"  {label:<8}  ", joint="; ")
    lines += [EMPTY, strong("Evidence"), *rows(finding.evidence, view.columns, None if every else ROWS, stake(finding))]
    for name, frame in sorted(finding.details.items()):
        lines += [EMPTY, strong(clean(name.replace("_", " ").capitalize())), *rows(frame, view.columns, ROWS, None)]
    return paint(lines, color=view.color)


def rows(frame: pl.DataFrame, columns: int, most: int | None, adds_up: str | None) -> list[Line]:
    """A table as it is; with the column that adds up, its sum below, the rows left out included."""
    shown = frame if most is None else frame.head(most)
    heads = [_column(name, kind) for name, kind in shown.schema.items()]
    cells = written(shown)
    lines = table(heads, cells, columns)
    if any(_width(spans) > columns for spans in lines):
        lines = _records(list(frame.columns), cells, columns)
    rest = frame.height - shown.height
    if rest:
        lines.append(line(f"  and {money.plural(rest, 'more row')}: --all shows them, --format csv writes them"))
    if adds_up is not None:
        summed = total(frame[adds_up])
        lines.append(line(f"  {adds_up} of {money.plural(frame.height, 'row')} adds up to {money.usd(summed)}"))
    return lines


def _width(spans: Line) -> int:
    return sum(width(span.text) for span in spans)


def _records(names: Sequence[str], cells: Sequence[Sequence[str]], columns: int) -> list[Line]:
    """Rows too wide for a table: each as `name value` after `name value`, what is absent left out."""
    lines: list[Line] = []
    for number, row in enumerate(cells, 1):
        said = [f"{name} {what}" for name, what in zip(names, row, strict=True) if what != money.NONE]
        lines += items(said, columns, first=f"  {number:>2}  ", joint=" · ")
    return lines


def _column(name: str, kind: Any) -> Column:
    # Texts share what numbers leave; an id or a file name still tells its ends at ten columns.
    return Column(name, right=kind.is_numeric(), flexible=not kind.is_numeric(), least=min(10, max(4, len(name))))


def written(frame: pl.DataFrame) -> list[list[str]]:
    """The cells of a table, row by row; a hash is no number, and reads as in the report for machines."""
    hashes = [is_hash(column) for column in frame]
    return [
        [sha(value) if hashed and value is not None else cell(value) for value, hashed in zip(row, hashes, strict=True)]
        for row in frame.iter_rows()
    ]


def cell(given: Any) -> str:
    """A value of any type on one line."""
    match given:
        case None:
            return money.NONE
        case Decimal():
            return money.usd(given)
        case bool():
            return "yes" if given else "no"
        case int():
            return money.count(given)
        case float():
            return f"{given:,.4g}"
        case list() | tuple() | pl.Series():
            return _listed(given)
        case _:
            return str(value(given))


def _listed(values: Iterable[Any]) -> str:
    return " ".join(cell(v) for v in values)
