"""Spend over time, stacked: a column a span of time, a part of it a task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal, localcontext

import polars as pl

from costaudit.finding import ZERO
from costaudit.price.mix import EXACT
from costaudit.report import _money as money
from costaudit.report import _svg as svg
from costaudit.report._text import fit

LEFT, TOP, HIGH = 70, 8, 190
BELOW = 26
WIDEST = 48  # user units of a column
LEAST = 0.05  # user units; less cannot be seen
COLUMNS = 100  # more days become weeks, more weeks months
SHOWN = 5  # tasks with a part of their own; all others are one
REST = "all other tasks"

Stack = dict[str, dict[str, Decimal]]


def spend(by_day: pl.DataFrame, parts: pl.DataFrame) -> str:
    """The chart with its key and its figures; nothing for less than two days, or no dollars.

    by_day  day, cost_usd: the whole of each day
    parts   day, task, cost_usd: some tasks of it, see `audit.Spend.by_day_task`
    """
    dated = by_day.filter(pl.col("day").str.contains(r"^\d{4}-\d\d-\d\d$")).sort("day")
    if dated.height < 2:
        return ""
    spans, unit = _spans(dated["day"].to_list())
    whole = _summed(spans, dated.select("day", pl.lit("").alias("task"), "cost_usd"))[""]
    named = _summed(spans, parts)
    order = sorted(named, key=lambda task: (-sum(named[task].values(), ZERO), task))[:SHOWN]
    shown = {task: named[task] for task in order}
    with localcontext(prec=EXACT):
        rest = {span: usd - sum((own.get(span, ZERO) for own in shown.values()), ZERO) for span, usd in whole.items()}
    names = list(dict.fromkeys(spans.values()))
    most = max((float(usd) for usd in whole.values()), default=0.0)
    if most <= 0:
        return ""
    series = [(task, f"fill-{n}", shown[task]) for n, task in enumerate(order, 1)]
    if any(rest.values()):
        series.append((REST, f"fill-{svg.SERIES}", rest))
    title = f"Spend by {unit}, by task" if shown else f"Spend by {unit}"
    dearest = max(whole, key=lambda span: (whole[span], span))
    said = (
        f"{len(names)} columns, {names[0]} to {names[-1]}; the dearest is {dearest} with {money.usd(whole[dearest])}."
    )
    drawing = svg.chart(title, said, TOP + HIGH + BELOW, _drawn(names, series, most))
    entries = [(fill, f"{fit(task, 40)}: {money.usd(sum(own.values(), ZERO))}") for task, fill, own in series]
    heads = [unit, "spend", *(task for task, _, _ in series)]
    rows = [[name, money.usd(whole.get(name, ZERO)), *(_cell(own.get(name)) for _, _, own in series)] for name in names]
    return svg.figure(title, drawing, svg.key(entries), svg.numbers(title, heads, rows))


def _cell(usd: Decimal | None) -> str:
    return money.usd(usd) if usd else money.NONE


def _spans(days: Sequence[str]) -> tuple[dict[str, str], str]:
    """day -> the span it is drawn in, every day between the first and the last; and what a span is."""
    first, last = date.fromisoformat(days[0]), date.fromisoformat(days[-1])
    every = [date.fromordinal(n) for n in range(first.toordinal(), last.toordinal() + 1)]
    if len(every) <= COLUMNS:
        return {d.isoformat(): d.isoformat() for d in every}, "day"
    if len(every) <= 7 * COLUMNS:
        return {d.isoformat(): f"{d:%G-W%V}" for d in every}, "week"
    return {d.isoformat(): d.isoformat()[:7] for d in every}, "month"


def _summed(spans: Mapping[str, str], frame: pl.DataFrame) -> Stack:
    """task -> span -> dollars."""
    sums: Stack = defaultdict(lambda: defaultdict(lambda: ZERO))
    with localcontext(prec=EXACT):
        for day, task, usd in frame.select("day", "task", "cost_usd").iter_rows():
            if day in spans and usd is not None:
                sums[task][spans[day]] += usd
    return {task: dict(own) for task, own in sums.items()} or {"": {}}


def _drawn(names: Sequence[str], series: Sequence[tuple[str, str, Mapping[str, Decimal]]], most: float) -> list[str]:
    scale = svg.Scale(0, most, TOP + HIGH, TOP)
    step = (svg.WIDTH - LEFT) / len(names)
    wide = min(max(step - 1, 0.5), WIDEST)
    drawn = svg.rows_axis(scale, LEFT)
    for number, name in enumerate(names):
        height = 0.0
        for task, fill, own in series:
            usd = own.get(name, ZERO)
            if usd <= 0:
                continue
            foot, height = scale.at(height), height + float(usd)
            tip = f"{name} {fit(task, 40)}: {money.usd(usd)}"
            top = scale.at(height)
            if foot - top < LEAST:
                continue
            drawn.append(svg.rect(LEFT + (number + 0.5) * step - wide / 2, top, wide, foot - top, fill=fill, tip=tip))
    drawn.append(svg.line(LEFT, scale.at(0), svg.WIDTH, scale.at(0), "ink"))
    drawn += svg.names_axis(names, LEFT, step, TOP + HIGH + 17)
    return drawn
