"""What a finding rests on beside its rows, as pictures: ceilings tried, cache policies, tenants."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import polars as pl

from costaudit.finding import ZERO, Finding
from costaudit.report import _money as money
from costaudit.report import _svg as svg
from costaudit.report._html import Drawn, grid

LEFT, TOP, HIGH = 70, 8, 130
TENANTS = 10
WIDEST = 48  # user units of a column
UNITS = {"steps": "steps", "cost_usd": "dollars", "input_tokens": "input tokens", "seconds": "seconds"}
CHOSEN, OTHER = "fill-2", "fill-1"


def details(finding: Finding) -> list[str]:
    """The charts of a finding that has the figures for one."""
    found = finding.details
    parts = []
    if "frontier" in found and "limit" in found:
        parts.append(frontier(found["frontier"], found["limit"].row(0, named=True)))
    if "policies" in found:
        parts.append(policies(found["policies"]))
    if "tenants" in found and {"tenant", "spend_usd", "calls"} <= set(found["tenants"].columns):
        parts.append(tenants(found["tenants"]))
    return [part for part in parts if part]


def frontier(table: pl.DataFrame, limit: Mapping[str, object]) -> str:
    """What each ceiling would have saved, what it cuts by mistake taken off; the one advised stands out."""
    rows = table.filter(pl.col("metric") == limit["metric"]).sort("limit").to_dicts()
    nets = [float(row["net_usd"]) for row in rows]
    if len(rows) < 2 or max(map(abs, nets)) <= 0:
        return ""
    unit = UNITS.get(str(limit["metric"]), str(limit["metric"]))
    title = f"Ceilings tried, in {unit} a run: what each saves, less what good runs cost again"
    scale = svg.Scale(min(0.0, *nets), max(0.0, *nets), TOP + HIGH, TOP)
    step = (svg.WIDTH - LEFT) / len(rows)
    wide = max(1.0, min(step - 4, WIDEST))
    drawn = svg.rows_axis(scale, LEFT)
    for number, (row, net) in enumerate(zip(rows, nets, strict=True)):
        said = f"{_limit(row)} {unit}: {_usd(net)}; cuts {row['reference_cut']} of {row['n']} good runs"
        fill = CHOSEN if row["limit"] == limit["limit"] else OTHER
        top, foot = scale.at(max(net, 0)), scale.at(min(net, 0))
        drawn.append(
            svg.rect(LEFT + (number + 0.5) * step - wide / 2, top, wide, max(foot - top, 1), fill=fill, tip=said)
        )
    drawn.append(svg.line(LEFT, scale.at(0), svg.WIDTH, scale.at(0), "ink"))
    drawn += svg.names_axis([_limit(row) for row in rows], LEFT, step, TOP + HIGH + 17)
    heads = [f"ceiling, {unit}", "runs cut", "good runs cut", "saved", "done again", "net"]
    cells = [
        [
            _limit(row),
            money.count(row["runs_cut"]),
            f"{row['reference_cut']:,} of {row['n']:,}",
            money.usd(Decimal(row["saved_usd"])),
            money.usd(Decimal(row["redo_usd"])),
            _usd(net),
        ]
        for row, net in zip(rows, nets, strict=True)
    ]
    chosen = next((cell for cell, row in zip(cells, rows, strict=True) if row["limit"] == limit["limit"]), None)
    said = f"{len(rows)} ceilings." + (f" Advised: {chosen[0]} {unit}, {chosen[-1]}." if chosen else "")
    entries = [(CHOSEN, f"the one advised: {chosen[0]} {unit}")] if chosen else []
    drawing = svg.chart(title, said, TOP + HIGH + 26, drawn)
    return svg.figure(title, drawing, svg.key([*entries, (OTHER, "others")]), svg.numbers(title, heads, cells))


def _limit(row: Mapping[str, Any]) -> str:
    """A run is cut after a whole step."""
    limit = math.floor(row["limit"]) if row["metric"] == "steps" else row["limit"]
    return f"{limit:,.4g}"


def policies(table: pl.DataFrame) -> str:
    """The bill for input under each policy of the cache, against no cache at all; of the prefix that costs most."""
    own = table.filter(pl.col("prefix") == 0)
    most = max(own["relative"].to_list(), default=0.0)
    if own.height < 2 or most <= 0:
        return ""
    cells = [
        [
            row["policy"],
            money.percent(row["relative"]),
            money.tokens(row["read_tokens"]),
            money.tokens(row["written_tokens"]),
            svg.part(row["relative"] / most),
        ]
        for row in own.iter_rows(named=True)
    ]
    heads = ["policy of the cache", "input bill", "read", "written", ""]
    return grid("Cache policies, replayed: the input bill against no cache", heads, cells, [True, *[False] * 4])


def tenants(table: pl.DataFrame) -> str:
    """Who spends, with their share; the rows add up."""
    rows = table.select("tenant", "calls", "spend_usd").sort("spend_usd", "tenant", descending=[True, False]).rows()
    whole = sum((usd for _, _, usd in rows), ZERO)
    if len(rows) < 2 or whole <= 0:
        return ""
    most = TENANTS if len(rows) > TENANTS + 1 else len(rows)
    shown = rows[:most]
    if rest := rows[most:]:
        shown.append((f"{len(rest):,} more", sum(calls for _, calls, _ in rest), sum((usd for *_, usd in rest), ZERO)))
    cells = [_tenant(name, calls, usd, whole) for name, calls, usd in shown]
    return grid("Tenants", ["tenant", "spend", "share", "requests", ""], cells, [True, *[False] * 4])


def _tenant(name: str, calls: int, usd: Decimal, whole: Decimal) -> list[str | Drawn]:
    share = money.of(usd, whole)
    return [name, money.usd(usd), money.percent(share), money.count(calls), svg.part(share)]


def _usd(amount: float) -> str:
    return money.usd(Decimal(repr(round(amount, 9))))
