"""A run as a page: its context and dollars drawn, then its steps."""

from __future__ import annotations

from typing import Any

from costaudit.report import _chart_run, _timeline, _words
from costaudit.report import _money as money
from costaudit.report._html import Drawn, document, facts, grid, section, text
from costaudit.report._svg import part, patterns
from costaudit.timeline import Timeline

HEADS = ("step", "after", "model", "input", "", "cached", "output", "cost", "so far", "tool", "bought nothing")
WORDS = ("model", "tool", "bought nothing")
MODEL, CONTEXT = HEADS.index("model"), HEADS.index("")
STEPS = 500  # of the table without --all: more make a page slow to print


def html(run: Timeline, *, every: bool = False) -> str:
    """A whole HTML document; a long run shows its first and last steps and those around its stop point."""
    whole = every or run.steps.height <= STEPS
    picked = _timeline.shown(run, every=whole)
    rows = run.steps.to_dicts()
    most = max((row["input_tokens"] or 0 for row in rows), default=0) or 1
    models = sorted({row["model"] or money.NONE for row in rows})
    heads = [head for head in HEADS if head != "model" or len(models) > 1]
    cells = [_cells(None if n is None else rows[n], most, several=len(models) > 1) for n in picked]
    bad = [n is not None and bool(rows[n]["mark"] or rows[n]["note"]) for n in picked]
    left = run.steps.height - sum(n is not None for n in picked)
    more = Drawn(f'<p class="soft">{money.plural(left, "step")} left out: --all shows them</p>') if left else ""
    caption = f"Calls of the run, {models[0]}" if len(models) == 1 else "Calls of the run"
    return document(
        f"run {run.run_id}",
        [
            patterns(),
            section("timeline", "Timeline", [_chart_run.timeline(run)]),
            section("steps", "Steps", [grid(caption, heads, cells, [head in WORDS for head in heads], bad=bad), more]),
        ],
        lead=[facts(_timeline.facts(run)), _window(run)],
    )


def _cells(row: dict[str, Any] | None, most: int, *, several: bool) -> list[str]:
    """None stands for a stretch left out."""
    if row is None:
        made = ["…"] + [""] * (len(HEADS) - 1)
    else:
        made = _timeline.step(row, most, several=several)
        made[CONTEXT] = part((row["input_tokens"] or 0) / most)
    return [cell for n, cell in enumerate(made) if several or n != MODEL]


def _window(run: Timeline) -> str:
    said = _words.window(run.window)
    return f'<p class="soft">{text(f"window of the audit: {said}")}</p>' if said else ""
