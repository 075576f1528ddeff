"""Where the money went, for people and machines: the trust header, and tables that add up to the total."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import polars as pl

from costaudit.errors import UsageError
from costaudit.price.cells import SPANS, TOKENS
from costaudit.report import View, _words
from costaudit.report import _money as money
from costaudit.report import csv as _csv
from costaudit.report import json as _json
from costaudit.report._layout import (
    EMPTY,
    Column,
    Line,
    Span,
    Style,
    bar,
    facts,
    following,
    paint,
    paragraph,
    shown_paths,
    table,
)
from costaudit.report._tables import named, resold
from costaudit.report.markdown import grid, text
from costaudit.spent import Spent, Table

SCHEMA = "costaudit.spend/1"
FIRST = {"terminal": 8, "markdown": 10}  # rows of a table that nobody asked for; the rest is one row
SPAN = 14  # rows of time of such a table: the last two weeks
BAR = 12  # columns
COUNTS = ("requests", "unknown", *TOKENS)


class Cut(NamedTuple):
    """Rows of a table to show, and the sum of the others; spans of time are cut at their beginning.

    rest  columns of numbers, as in the table, and `rows`; None where nothing is left out
    """

    rows: pl.DataFrame
    rest: Mapping[str, Any] | None
    before: bool

    @property
    def others(self) -> str:
        """What the row of those left out is called."""
        return f"{self.rest['rows'] if self.rest else 0:,} {'earlier' if self.before else 'more'}"


def cut(given: Table, most: int | None) -> Cut:
    """The first rows of a table, the last ones of spans of time; None: all. One row alone is never left out."""
    rows, before = given.rows, given.by[0] in SPANS
    if most is None or rows.height <= most + 1:
        return Cut(rows, None, before)
    kept, others = (rows.tail(most), rows.head(-most)) if before else (rows.head(most), rows.slice(most))
    known = others.filter(pl.col("cost_usd").is_not_null())
    sums = {name: others[name].sum() for name in COUNTS}
    cost = known["cost_usd"].sum() if known.height else None
    share = known["share"].sum() if known.height else None
    return Cut(kept, {"rows": others.height, **sums, "cost_usd": cost, "share": share}, before)


def _most(given: Table, view: View, top: int | None, usual: int) -> int | None:
    """How many rows of a table people see: as many as they ask for, all of a table they ask for, else a screen's."""
    return top or (None if view.by else SPAN if given.by[0] in SPANS else usual)


def terminal(spent: Spent, view: View, top: int | None = None) -> str:
    """The answer in one sentence, how far it can be believed, the tables."""
    lines: list[Line] = [(Span(row[0].text, Style.STRONG),) for row in paragraph(sentence(spent), view.columns)]
    lines += [EMPTY, *facts(_header(spent), view.columns)]
    for given in spent.tables:
        lines += [EMPTY, *_shown(given, cut(given, _most(given, view, top, FIRST["terminal"])), spent, view)]
    paths = shown_paths(spent.paths)
    commands = [
        (f"costaudit spend {paths} --by day,model -f csv", "the same for a spreadsheet"),
        (f"costaudit analyze {paths}", "what of it bought nothing, and what to change"),
    ]
    if spent.coverage.unpriced.height or spent.coverage.fates.rejects:
        commands.append((f"costaudit doctor {paths}", "what these logs lack, and how to log it"))
    return paint([*lines, EMPTY, *following(commands, view.columns)], color=view.color)


def sentence(spent: Spent) -> str:
    """`About $259 spent in 61 days on 5,480 requests.`"""
    requests = money.plural(spent.coverage.fates.requests, "request")
    if not spent.total_usd and not spent.coverage.enough:
        return f"{requests}{_words.duration(spent.window)}, and too few have a known price to say what was spent."
    said = f"{_words.qualifier(spent.coverage)}{money.headline(spent.total_usd)} spent"
    return f"{said[0].upper()}{said[1:]}{_words.duration(spent.window)} on {requests}."


def _header(spent: Spent) -> list[tuple[str, list[str], str]]:
    coverage = spent.coverage
    return [
        ("trust", _words.trusted(coverage), "; "),
        ("total", [_words.bounds(coverage, spent.total_usd)], ""),
        ("window", [_words.window(spent.window)], ""),
        ("prices", [_words.prices(spent.prices)], ""),
        ("read", _words.fates(coverage.fates), " "),
        ("rejected", _words.reasons(coverage.fates.rejects), ", "),
        ("no price", _words.unpriced(coverage), ", "),
        ("allowance", [_words.allowance(spent.subscription_usd)], ""),
        ("note", _words.notes(coverage), "; "),
    ]


def _shown(given: Table, part: Cut, spent: Spent, view: View) -> list[Line]:
    bars = not view.plain and view.columns >= 90
    roomy = view.columns >= 68 + 12 * len(given.by)
    shares = spent.coverage.enough
    last = len(given.by) - 1
    columns = [
        *(Column(one, right=False, flexible=one not in SPANS) for one in given.by),
        Column("spend"),
        *((Column("share", optional=True, rank=4),) if shares else ()),
        *((Column("", right=False, style=Style.FAINT, rank=5),) if bars else ()),
        Column("requests", rank=1),
        Column("input", rank=2),
        *((Column("cached", optional=True, rank=6),) if roomy else ()),
        Column("output", rank=3),
        *((Column("thinking", optional=True, rank=7),) if roomy else ()),
    ]
    dearest = max((usd for usd in part.rows["cost_usd"] if usd is not None), default=Decimal(0))
    cells = []
    rows = _rows(given, part)
    for (names, row), amount in zip(rows, _amounts(rows), strict=True):
        drawn = money.of(row["cost_usd"] or Decimal(0), dearest) if names[last] else None
        cells.append(
            [
                *names,
                amount,
                *((money.percent(row["share"]),) if shares else ()),
                *((bar(min(1.0, drawn or 0), BAR),) if bars else ()),
                money.count(row["requests"]),
                money.tokens(row["input_tokens"]),
                *((money.percent(_cached(row)),) if roomy else ()),
                money.tokens(row["output_tokens"]),
                *((money.tokens(row["reasoning_tokens"] or None),) if roomy else ()),
            ]
        )
    return table(columns, cells, view.columns)


def _rows(given: Table, part: Cut) -> Sequence[tuple[list[str], Mapping[str, Any]]]:
    """The names of each row, and its numbers; the row of all others stands where they would."""
    twice = "model" in given.by and "provider" not in given.by and resold(given.rows)
    shown = [([named(row, one, twice=twice) for one in given.by], row) for row in part.rows.iter_rows(named=True)]
    if part.rest is None:
        return shown
    rest: tuple[list[str], Mapping[str, Any]] = ([part.others, *[""] * (len(given.by) - 1)], part.rest)
    return [rest, *shown] if part.before else [*shown, rest]


def _amounts(rows: Sequence[tuple[Sequence[str], Mapping[str, Any]]]) -> list[str]:
    """The dollars of a column, their points one under the other."""
    found = [spend(row) for _, row in rows]
    more = any(amount.endswith("+") for amount in found)
    return [amount if amount.endswith("+") or not more else f"{amount} " for amount in found]


def spend(row: Mapping[str, Any]) -> str:
    """Dollars of a row; said to be more where some of its calls have no price, and unknown where none has one."""
    if row["cost_usd"] is None:
        return "no price"
    return f"{money.usd(row['cost_usd'])}{'+' if row['unknown'] else ''}"


def _cached(row: Mapping[str, Any]) -> float | None:
    return (row["cache_read_tokens"] / row["input_tokens"] if row["input_tokens"] else None) or None


def json(spent: Spent, _view: View, top: int | None = None) -> str:
    """One JSON document of `costaudit.spend/1`."""
    tables = [(given, cut(given, top)) for given in spent.tables]
    return _json.document(
        {
            "schema": SCHEMA,
            "window": _json.span(spent.window),
            "prices": _json.prices(spent.prices),
            "coverage": _json.coverage(spent.coverage),
            "total_usd": money.exact(spent.total_usd),
            "subscription_usd": money.exact(spent.subscription_usd),
            "tables": [
                {"by": list(given.by), "rows": _json.rows(part.rows), "rest": _json.value(part.rest)}
                for given, part in tables
            ],
        }
    )


def csv(spent: Spent, _view: View, top: int | None = None) -> str:
    """The one table asked for, exact; what --top leaves out is one row."""
    if len(spent.tables) > 1:
        raise UsageError("a CSV file holds one table", hint="one table by both is --by day,model")
    (given,) = spent.tables
    part = cut(given, top)
    if part.rest is None:
        return _csv.written(part.rows)
    name = given.by[0]
    others = {name: f"({part.others})", **part.rest}
    rest = pl.DataFrame([{name: others.get(name) for name in part.rows.columns}], schema=part.rows.schema)
    return _csv.written(pl.concat([rest, part.rows] if part.before else [part.rows, rest]))


def markdown(spent: Spent, view: View, top: int | None = None) -> str:
    """GitHub-flavoured Markdown."""
    header = [f"- {label}: {text(joint.join(parts))}" for label, parts, joint in _header(spent) if any(parts)]
    found = [f"**{text(sentence(spent))}**", "\n".join(header)]
    for given in spent.tables:
        part = cut(given, _most(given, view, top, FIRST["markdown"]))
        cells = [_told(names, row, shares=spent.coverage.enough) for names, row in _rows(given, part)]
        heads = [*given.by, "spend", "share", "requests", "input", "output"]
        found.append(grid(heads, cells, left=len(given.by)))
    return "\n\n".join(found) + "\n"


def _told(names: Sequence[str], row: Mapping[str, Any], *, shares: bool) -> list[str]:
    counts = [money.tokens(row[name]) for name in ("input_tokens", "output_tokens")]
    part = money.percent(row["share"] if shares else None)
    return [*map(text, names), spend(row), part, money.count(row["requests"]), *counts]


RENDERERS: Mapping[str, Callable[[Spent, View, int | None], str]] = {
    "terminal": terminal,
    "json": json,
    "csv": csv,
    "markdown": markdown,
}
