"""The conversations of a transcript, and the rows of one response made one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl

from costaudit import schema

MAIN, SUBAGENT = "main loop", "subagent"
Cells = tuple[Any, ...]

COLUMNS: dict[str, Any] = {
    **{name: schema.REQUESTS[name] for name in ("source_line", "source_offset")},
    "_rows": pl.Int64(),
    "started_at": schema.REQUESTS["started_at"],
    "_rank": pl.Int64(),
    **{
        name: schema.REQUESTS[name]
        for name in (
            "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
            "output_tokens", "reasoning_tokens", "extras", "convention", "finish_reason", "model", "request_id",
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
"""What a row knows: its place, counts, names; then what the whole response knows. The tuples of the reader."""

AT = {name: n for n, name in enumerate(COLUMNS)}
ROWS, STARTED, RANK, INPUT, OUTPUT = (
    AT[name] for name in ("_rows", "started_at", "_rank", "input_tokens", "output_tokens")
)
REASON, NAMES, WHOLE = AT["finish_reason"], AT["model"], AT["has_text"]
UNKNOWN = (None,) * (len(COLUMNS) - WHOLE)  # what only a whole response knows, for a step of it
_FILLED = (RANK, REASON, *range(NAMES, WHOLE))


class Lane:
    """One conversation of a file: the main loop or one subagent."""

    __slots__ = (
        "agent", "attempt", "blocks", "key", "prompt", "results", "rows", "run", "sent", "session", "since", "steps",
        "task", "trace",
    )  # fmt: skip

    def __init__(self, agent: str) -> None:
        self.agent = agent
        self.task = SUBAGENT if agent else MAIN
        self.prompt = ""  # uuid of the user's last prompt
        self.session: str | None = None  # of the last response, and what follows from it
        self.run: str | None = None
        self.trace: str | None = None
        self.since: datetime | None = None  # time of the last row that had one
        self.attempt: int | None = None  # of the next response, after reported API errors
        self.results: list[tuple[int | None, int, bool]] = []  # of tools, not yet sent
        self.sent: tuple[Any, Any] = (None, None)  # attempt and results of the response being written
        self.key = ""  # what it is known by
        self.rows: list[Cells] = []  # its rows so far
        self.steps: list[Cells] = []  # those of its steps that are billed by themselves
        self.blocks: dict[bytes, None] = {}  # its content

    def asked(self, prompt: str) -> None:
        """A prompt of the user begins a run."""
        self.prompt, self.session = prompt, None

    def in_session(self, session: str) -> None:
        """The session that the next row is of; a resumed one copies rows of another."""
        if session == self.session:
            return
        self.session = session
        self.trace = f"claude-code {session}" if session else None
        if self.agent:
            self.run = f"{session}/{self.agent}"
        else:
            self.run = f"{session}:{self.prompt}" if self.prompt else session or None


def merged(rows: Sequence[Cells]) -> Cells:
    """The rows of one response as `_identity.collapse` merges copies: the largest whole, its gaps filled."""
    best = rows[0]
    if len(rows) == 1:
        return best
    names, first = best[NAMES:], best[STARTED]
    for row in rows[1:]:
        if row[NAMES:] != names or row[STARTED] is None or first is None:
            return _filled(rows)
        first = min(first, row[STARTED])
        if _size(row) > _size(best) or (row[STARTED] < best[STARTED] and _size(row) == _size(best)):
            best = row
    if best[REASON] is None and any(row[REASON] is not None for row in rows):
        return _filled(rows)
    return (*best[:ROWS], len(rows), first, *best[RANK:])


def _size(row: Cells) -> tuple[int, int, int]:
    """By which the largest of several rows is found."""
    given, output = row[INPUT], row[OUTPUT]
    return row[RANK], -1 if output is None else output, -1 if given is None else given


def _filled(rows: Sequence[Cells]) -> Cells:
    known = [row for row in rows if row[STARTED] is not None]
    known.sort(key=lambda row: row[STARTED])
    timed = [*known, *(row for row in rows if row[STARTED] is None)]
    ranked = sorted(timed, key=_size, reverse=True)
    made = list(ranked[0])
    for n in _FILLED:
        if made[n] is None:
            made[n] = next((row[n] for row in ranked if row[n] is not None), None)
    made[STARTED] = timed[0][STARTED]
    made[ROWS] = len(rows)
    return tuple(made)
