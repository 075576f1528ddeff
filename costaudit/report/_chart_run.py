"""A run as a picture: the context of every step, and below it the dollars so far."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from costaudit.report import _money as money
from costaudit.report import _svg as svg
from costaudit.timeline import Timeline

LEFT, FLAGS, HIGH, BETWEEN = 70, 34, 130, 30
GAPS = 4  # user units; narrower columns touch
COLUMNS = 300  # more steps share a column
READ, FRESH, NOTHING = "fill-3", "fill-1", "fill-2"


class _Column(NamedTuple):
    """Steps drawn as one: the last step, the largest context and what of it was cached, dollars so far, any marked."""

    nth: int
    given: int
    cached: int
    running: Decimal
    marked: bool


def timeline(run: Timeline) -> str:
    """The chart; nothing for a run of one call, or without any count of tokens."""
    rows = run.steps.to_dicts()
    most = max((row["input_tokens"] or 0 for row in rows), default=0)
    if len(rows) < 2 or not most:
        return ""
    each = -(-len(rows) // COLUMNS)
    columns = [_column(rows[n : n + each]) for n in range(0, len(rows), each)]
    title = "Context and spend, step by step"
    ends = [f"{len(rows):,} steps, {money.tokens(most)} input tokens at most, {money.usd(run.total_usd)}"]
    ends += [said for _, said in _flags(run)]
    drawn = [*_context(columns, most), *_dollars(columns, run), *_marks(run, len(rows))]
    entries = [(FRESH, "input paid in full or written"), (READ, "read from the cache"), (NOTHING, "bought nothing")]
    present = (
        {FRESH for c in columns if not c.marked}
        | {READ for c in columns if c.cached and not c.marked}
        | {NOTHING for c in columns if c.marked}
    )
    return svg.figure(
        title,
        svg.chart(title, f"{'; '.join(ends)}.", FLAGS + 2 * HIGH + BETWEEN + 26, drawn),
        svg.key([entry for entry in entries if entry[0] in present]),
    )


def _column(rows: list[dict[str, Any]]) -> _Column:
    largest = max(rows, key=lambda row: row["input_tokens"] or 0)
    return _Column(
        rows[-1]["nth"],
        largest["input_tokens"] or 0,
        min(largest["cache_read_tokens"] or 0, largest["input_tokens"] or 0),
        rows[-1]["running_usd"],
        any(row["mark"] for row in rows),
    )


def _context(columns: list[_Column], most: int) -> Iterator[str]:
    scale = svg.Scale(0, most, FLAGS + HIGH, FLAGS)
    marks = [(float(tick), money.tokens(int(tick))) for tick in svg.ticks(0, most, 3)]
    yield from svg.rows_axis(scale, LEFT, marks)
    wide = (svg.WIDTH - LEFT) / len(columns)
    for number, one in enumerate(columns):
        x, thick = LEFT + number * wide, wide - 1 if wide > GAPS else wide
        tip = f"step {one.nth}: {money.tokens(one.given)} input tokens, {money.tokens(one.cached)} of them cached"
        top, middle, foot = map(scale.at, (one.given, 0 if one.marked else one.cached, 0))
        yield svg.rect(x, top, thick, middle - top, fill=NOTHING if one.marked else FRESH, tip=tip)
        if middle < foot:
            yield svg.rect(x, middle, thick, foot - middle, fill=READ, tip=tip)
    yield svg.line(LEFT, scale.at(0), svg.WIDTH, scale.at(0), "ink")
    yield svg.words(LEFT, FLAGS - 22, "input tokens", "ink")


def _dollars(columns: list[_Column], run: Timeline) -> Iterator[str]:
    top = FLAGS + HIGH + BETWEEN
    whole = float(columns[-1].running) or 1.0
    scale = svg.Scale(0, whole, top + HIGH, top)
    wide = (svg.WIDTH - LEFT) / len(columns)
    yield from svg.rows_axis(scale, LEFT)
    path = f"M{LEFT},{scale.at(0):.1f}"
    for number, one in enumerate(columns):
        path += f"V{scale.at(float(one.running)):.1f}H{LEFT + (number + 1) * wide:.1f}"
    yield f'<path class="run" d="{path}"/>'
    yield svg.line(LEFT, scale.at(0), svg.WIDTH, scale.at(0), "ink")
    yield svg.words(LEFT, top - 8, f"spent so far, {money.usd(run.total_usd)} at the end", "ink")
    yield from svg.names_axis([str(one.nth) for one in columns], LEFT, wide, top + HIGH + 17)


def _flags(run: Timeline) -> list[tuple[int, str]]:
    """Steps after which a line is drawn, and what it says; in the order of the steps."""
    said = []
    if run.stop_step is not None:
        said.append((run.stop_step, f"stop point, step {run.stop_step}: {money.usd(run.spent_after_usd)} after it"))
    if run.cut_step is not None:
        said.append((run.cut_step, f"the ceiling cuts here, step {run.cut_step}"))
    return sorted(said)


def _marks(run: Timeline, steps: int) -> Iterator[str]:
    """Each line has its words on a height of its own, on the side where they fit."""
    for level, (step, said) in enumerate(_flags(run)):
        x = LEFT + (svg.WIDTH - LEFT) * step / steps
        y = 12 + 14 * level
        yield svg.line(x, y + 3, x, FLAGS + 2 * HIGH + BETWEEN, "ink dash" if level else "ink")
        left = x + len(said) * svg.LETTER > svg.WIDTH
        yield svg.words(x - 4 if left else x + 4, y + 4, said, "ink end" if left else "ink")
