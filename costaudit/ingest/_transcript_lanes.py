"""The conversations of a transcript, and the rows of one response made one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import polars as pl

from costaudit import schema
from costaudit.ingest._transcript_sums import NAMES

MAIN, SUBAGENT = "main loop", "subagent"
Cells = tuple[Any, ...]

COLUMNS: dict[str, Any] = {
    **{name: schema.REQUESTS[name] for name in ("source_line", "source_offset", "started_at")},
    "_rank": pl.Int64(),
    "_rows": pl.Int64(),
    "_own_at": schema.UTC,
    **{
        name: schema.REQUESTS[name]
        for name in (
            "finish_reason", "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens",
            "cache_write_1h_tokens", "output_tokens", "reasoning_tokens", "extras", "convention", "model", "request_id",
            "run_id", "run_source", "parent_id", "task", "key_id", "reasoning_effort", "status", "service_tier",
            "region", "cost_logged_usd",
        )
    },
    **dict.fromkeys(("_trace", "_parent", "_key", "_also", "_span"), pl.String()),
    **{
        name: schema.REQUESTS[name]
        for name in ("has_text", "attempt", "output_sha", "reply_tokens", "tool_calls", "tool_results")
    },
}  # fmt: skip
"""What a row knows: its place, why it ended, its counts and its names; then what the whole response knows."""

PLACE = 6  # columns before `finish_reason`
INPUT, OUTPUT = 0, 5  # among the counts
UNKNOWN = (None,) * 6  # what only a whole response knows, for a step of it


SUMMED = {name: schema.REQUESTS.get(name, COLUMNS.get(name)) for name in NAMES} | {
    "started_at": pl.Int64(),
    "_own_at": pl.Int64(),
}


class Line(msgspec.Struct, gc=False):
    """A row of a response, or a step of it that is billed by itself."""

    number: int
    offset: int
    at: datetime | None
    rank: int
    reason: str | None
    counts: Cells  # from `input_tokens` to `convention`
    names: Cells  # from `model` to `_span`

    def cells(self, first: datetime | None, rows: int = 1) -> Cells:
        """As columns, for so many rows of which the first has this time."""
        own = None if self.at is first else self.at
        return (self.number, self.offset, first, self.rank, rows, own, self.reason, *self.counts, *self.names)

    @property
    def size(self) -> tuple[int, int, int]:
        """By which the largest of several copies is found."""
        given, output = self.counts[INPUT], self.counts[OUTPUT]
        return self.rank, -1 if output is None else output, -1 if given is None else given


class Lane:
    """One conversation of a file: the main loop or one subagent."""

    __slots__ = (
        "agent", "attempt", "blocks", "key", "names", "prompt", "results", "rows", "said", "sent", "since", "steps",
        "task",
    )  # fmt: skip

    def __init__(self, agent: str) -> None:
        self.agent = agent
        self.task = SUBAGENT if agent else MAIN
        self.prompt = ""  # uuid of the user's last prompt
        self.since: datetime | None = None  # time of the last row that had one
        self.attempt: int | None = None  # of the next response, after reported API errors
        self.results: list[tuple[int | None, int, bool]] = []  # of tools, not yet sent
        self.sent: tuple[Any, Any] = (None, None)  # attempt and results of the response being written
        self.key = ""  # what it is known by
        self.said: Cells = ()  # what its last row says of it, and what follows from that
        self.names: Cells = ()
        self.rows: list[Line] = []  # its rows so far
        self.steps: list[Line] = []  # those of its steps that are billed by themselves
        self.blocks: dict[bytes, None] = {}  # its content

    def asked(self, prompt: str) -> None:
        """A prompt of the user begins a run."""
        self.prompt, self.said = prompt, ()

    def run(self, session: str) -> str | None:
        if self.agent:
            return f"{session}/{self.agent}"
        return f"{session}:{self.prompt}" if self.prompt else session or None


def merged(rows: Sequence[Line]) -> list[Cells]:
    """The rows of one response without those of which all that they know is known by a larger one, the largest first.

    Which of several values fills a gap is then decided once, over all copies of the response (`_identity.collapse`),
    and so it is the same wherever a file is cut.
    """
    best = rows[0]
    if len(rows) == 1:
        return [best.cells(best.at)]
    names, first = best.names, best.at
    for row in rows[1:]:
        if row.at is None or first is None or (row.names is not names and row.names != names):
            return _several(rows)
        size, largest = row.size, best.size
        if size > largest or (size == largest and row.at < best.at):  # type: ignore[operator]  # both have a time
            best = row
        first = min(first, row.at)
    if best.reason is None and any(row.reason is not None for row in rows):
        return _several(rows)
    return [best.cells(first, len(rows))]


def _several(rows: Sequence[Line]) -> list[Cells]:
    timed = sorted((row for row in rows if row.at is not None), key=lambda row: row.at)  # type: ignore[arg-type,return-value]
    timed += [row for row in rows if row.at is None]
    best, *rest = sorted(timed, key=lambda row: row.size, reverse=True)
    apart: list[Line] = []
    for row in rest:
        if not any(_knows(larger, row) for larger in (best, *apart)):
            apart.append(row)
    return [best.cells(timed[0].at, len(rows) - len(apart)), *(row.cells(row.at) for row in apart)]


def _knows(larger: Line, row: Line) -> bool:
    """Whether a row knows, in its own words, whatever another one knows."""
    told = zip((larger.reason, *larger.names), (row.reason, *row.names), strict=True)
    return all(known is not None or said is None for known, said in told)


def placed(frame: pl.DataFrame) -> pl.DataFrame:
    """The columns of `Sums` with what follows from them: where calls stand in their session, and what they are."""
    session = {"_trace": pl.lit("claude-code ") + pl.col("parent_id")} if "parent_id" in frame.columns else {}
    return frame.with_columns(
        pl.col("started_at", "_own_at").cast(schema.UTC),
        **session,
        _parent=pl.lit("session"),
        _span="_key",
        _also="request_id",
        run_source=pl.lit("log"),
        has_text=pl.lit(value=True),
    )
