"""A run as a profiler shows it: every call with its time, tokens and dollars, and where it stopped getting anywhere."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from costaudit.report import View, _words
from costaudit.report import _money as money
from costaudit.report._layout import EMPTY, Column, Line, Span, Style, bar, line, paint, paragraph, strong, table
from costaudit.report._text import clean
from costaudit.report.json import document, value
from costaudit.timeline import Timeline

SCHEMA = "costaudit.run/1"
ROWS = 40  # steps shown without --all: the first ones, those around the stop point, the last ones
BAR = 8  # columns of the context's bar


def terminal(run: Timeline, view: View, *, every: bool = False) -> str:
    """Who and how much, the verdict on the run, then its steps."""
    columns = view.columns
    lines: list[Line] = [strong(f"run {clean(run.run_id)}"), EMPTY]
    for label, said in facts(run):
        lines += paragraph(said, columns, first=f"  {label:<8}  ")
    lines += [EMPTY, *_table(run, columns, every=every)]
    return paint(lines, color=view.color)


def facts(run: Timeline) -> list[tuple[str, str]]:
    """The head of the page: label and sentence."""
    steps = run.steps
    first = steps["started_at"].min()
    spent = [money.usd(run.total_usd), money.plural(steps.height, "call")]
    if run.unseen:
        spent.append(f"{run.unseen:,} of them without a known price")
    said = [
        (
            "task",
            f"{run.task}; tenant {run.tenant}" + ("" if run.run_source == "log" else f"; the run is {_known(run)}"),
        )
    ]
    said.append(("spent", ", ".join(spent)))
    if isinstance(first, datetime):
        zone = _words.zone(run.window)
        took = clock(max(steps["after_s"].drop_nulls().to_list(), default=0.0))
        said.append(("time", f"{first.astimezone(zone):%Y-%m-%d %H:%M:%S} {run.window.tz}, {took} to the last call"))
    inputs = steps["input_tokens"].drop_nulls()
    if inputs.len() > 1 and run.tokens_per_step is not None:
        grown = (
            f"{money.tokens(inputs[0])} to {money.tokens(inputs[-1])} input tokens, {run.tokens_per_step:+,.0f} a step"
        )
        said.append(("context", grown))
    if run.stop_step is not None:
        said.append(
            (
                "stop",
                f"after step {run.stop_step} nothing new came: {money.usd(run.spent_after_usd)} was spent after it",
            )
        )
    if run.waste_usd:
        said.append(
            ("waste", f"{money.usd(run.waste_usd)} in {money.plural(int((steps['mark'] != '').sum()), 'marked call')}")
        )
    if run.advice:
        would = (
            f"; it would have ended this run after step {run.cut_step}"
            if run.cut_step is not None
            else "; it would not have cut this run"
        )
        said.append(("ceiling", run.advice + would))
    return said


def _known(run: Timeline) -> str:
    return {"chain": "rebuilt from its messages", "guessed": "guessed from time and user"}.get(
        run.run_source, run.run_source
    )


def shown(run: Timeline, *, every: bool) -> list[int | None]:
    """Indices of the steps to show; None stands for a stretch left out."""
    height = run.steps.height
    if every or height <= ROWS:
        return list(range(height))
    around = (run.stop_step or run.cut_step or height // 2) - 1
    wanted = {*range(12), *range(max(0, around - 4), min(height, around + 6)), *range(height - 8, height)}
    picked: list[int | None] = []
    for n in sorted(wanted):
        if picked and picked[-1] is not None and n != picked[-1] + 1:
            picked.append(None)
        picked.append(n)
    return picked


def _table(run: Timeline, columns: int, *, every: bool) -> list[Line]:
    rows = run.steps.to_dicts()
    most = max((r["input_tokens"] or 0 for r in rows), default=0) or 1
    several = run.steps["model"].n_unique() > 1
    heads = [
        Column("step"),
        Column("after", rank=3),
        Column("model", right=False, flexible=True, optional=not several, least=8, most=24),
        Column("input"),
        Column("context", right=False, rank=2),
        Column("cached", optional=True),
        Column("output"),
        Column("cost"),
        Column("so far", rank=1),
        Column("tool", right=False, flexible=True, optional=True, least=4, most=24),
        Column("", right=False, optional=True),
    ]
    picked = shown(run, every=every)
    cells = [["…"] + [""] * (len(heads) - 1) if n is None else step(rows[n], most, several=several) for n in picked]
    lines = table(heads, cells, columns)
    for at, n in enumerate(picked, len(lines) - len(picked)):
        if n is not None and (rows[n]["mark"] or rows[n]["note"]):
            lines[at] = tuple(Span(s.text, Style.BAD) for s in lines[at])
    if run.stop_step is not None:
        where = next((i for i, n in enumerate(picked) if n is not None and n >= run.stop_step), None)
        if where is not None:
            lines.insert(
                len(lines) - len(picked) + where, line(Span("  ── stop point: nothing new from here on", Style.WARN))
            )
    left = run.steps.height - sum(n is not None for n in picked)
    if left:
        lines.append(line(f"  {money.plural(left, 'step')} left out: --all shows them, --format json writes them"))
    return lines


def step(row: dict[str, Any], most: int, *, several: bool) -> list[str]:
    """The cells of a step; `most` input tokens fill the bar, `several` models are named."""
    read, given = row["cache_read_tokens"], row["input_tokens"]
    return [
        str(row["nth"]),
        clock(row["after_s"]),
        (row["model"] or money.NONE) if several else "",
        money.tokens(given),
        bar((given or 0) / most, BAR),
        money.percent(read / given) if read and given else money.NONE,
        money.tokens(row["output_tokens"]),
        money.usd(row["cost_usd"]),
        money.usd(row["running_usd"]),
        row["tool"] or money.NONE,
        row["mark"] or row["note"],
    ]


def clock(seconds: float | None) -> str:
    """`0:05`, `12:40`, `3:05:00`: minutes and seconds, hours where there are any."""
    if seconds is None:
        return money.NONE
    whole = round(abs(seconds))
    hours, rest = divmod(whole, 3600)
    sign = "-" if seconds < 0 else ""
    return f"{sign}{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{sign}{rest // 60}:{rest % 60:02}"


def json(run: Timeline) -> str:
    """Schema `costaudit.run/1`: every step, exact dollars."""
    steps = [
        {
            "step": row["nth"],
            "request_id": row["request_id"],
            "started_at": None if row["started_at"] is None else str(value(row["started_at"].astimezone(UTC))),
            "model": row["model"],
            "input_tokens": row["input_tokens"],
            "cache_read_tokens": row["cache_read_tokens"],
            "output_tokens": row["output_tokens"],
            "cost_usd": None if row["cost_usd"] is None else money.exact(row["cost_usd"]),
            "running_usd": money.exact(row["running_usd"]),
            "tool": row["tool"],
            "bought_nothing": row["mark"] or None,
            "ended": row["note"] or None,
            "source": row["source"],
        }
        for row in run.steps.iter_rows(named=True)
    ]
    return document(
        {
            "schema": SCHEMA,
            "run_id": run.run_id,
            "run_source": run.run_source,
            "task": run.task,
            "tenant": run.tenant,
            "total_usd": money.exact(run.total_usd),
            "calls_without_price": run.unseen,
            "waste_usd": money.exact(run.waste_usd),
            "stop_step": run.stop_step,
            "spent_after_stop_usd": money.exact(run.spent_after_usd),
            "ceiling": run.advice or None,
            "ceiling_cuts_after_step": run.cut_step,
            "tokens_per_step": run.tokens_per_step,
            "steps": steps,
        }
    )
