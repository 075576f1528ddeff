"""The monthly review as a page: the bridge as a waterfall, tables with trends, what is coming with its interval."""

from __future__ import annotations

import re

from costaudit.report import View, _bridge, _month, _month_sections, _svg
from costaudit.report import _money as money
from costaudit.report._chart_ahead import Ahead, columns
from costaudit.report._chart_waterfall import bridge as waterfall
from costaudit.report._html import cards, document, facts, folded, grid, remarks, section
from costaudit.report._layout import Column
from costaudit.stats.forecast import RATE
from costaudit.verdict import Month

COMING = "What is coming"


def render(month: Month, view: View) -> str:
    """A whole HTML document."""
    wide = View(width=120, by=view.by)
    parts = [_svg.patterns(), _why(month), *(_table(month, by, wide) for by in _month.asked(month, wide))]
    for title, heads, cells, said in _month_sections.sections(month):
        drawn = _coming(month) if title == COMING else ""
        parts.append(section(_anchor(title), title, [drawn, _grid(title, heads, cells), remarks(said)]))
    return document(_month.headline(month), parts, lead=[_cards(month), facts(_month.trust(month))])


def _cards(month: Month) -> str:
    said = [(month.label, money.headline(month.audit.spend.total_usd))]
    if month.before_usd is not None:
        said.append((month.before_label, money.headline(month.before_usd)))
    if month.bridge is not None:
        printed = _bridge.Printed.of(month.bridge)
        said += [(group, printed.effect(*sums)) for group, sums in printed.groups().items()]
    return cards(said)


def _why(month: Month) -> str:
    bridge = month.bridge
    if bridge is None:
        return ""
    title = f"From {month.before_label} to {month.label}"
    moved = grid("What moved most", _bridge.DRILL_HEADS, _bridge.drill(bridge), [True, True, True, False])
    return section(
        "why",
        f"Why it changed from {month.before_label}",
        [
            waterfall(title, bridge, (month.before_label, month.label)),
            grid("Every bar", _bridge.HEADS, _bridge.cells(bridge), [True, True, True, False]),
            remarks(_bridge.unpriced(bridge)),
            folded("What moved most", moved) if bridge.rows.height else "",
        ],
    )


def _table(month: Month, by: str, view: View) -> str:
    cells = _month.cells(month, by, view, _svg.spark)
    return section(f"by-{by}", f"By {by}", [_grid(f"Spend by {by}", _month.heads(month, by, view), cells)])


def _grid(caption: str, heads: list[Column], cells: list[list[str]]) -> str:
    if not cells:
        return ""
    left = [not head.right for head in heads]
    return grid(caption, [head.head for head in heads], cells, left)


def _coming(month: Month) -> str:
    found = month.coming
    if found is None or (found.end is None and found.following is None):
        return ""
    known = [] if month.before_usd is None else [(month.before_label, month.before_usd)]
    spent = month.audit.spend.total_usd
    known.append((month.label if found.end is None else f"{month.label} so far", spent))
    ahead = [] if found.end is None else [Ahead(f"{month.label} in all", found.end)]
    if found.following is not None:
        ahead.append(Ahead(found.following_label, found.following))
    kind = "at the run-rate" if found.outlook.kind == RATE else "as the trend goes on"
    return columns(f"Spend of a month, {kind}", known, ahead, found.outlook.level)


def _anchor(title: str) -> str:
    """`Findings: 2 new` is `findings`: titles are our own words."""
    return re.sub(r"[^a-z]+", "-", title.partition(":")[0].lower()).strip("-")
