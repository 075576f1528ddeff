"""What Codex states about usage, and the requests behind it: differences of cumulative totals, without copies.

Sources of the rules: providers' samples, and the five published answers of fork and reset fixtures (see the tests).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import polars as pl

from costaudit import schema
from costaudit.ingest._files import Record
from costaudit.ingest._format import Out
from costaudit.ingest._values import count

REPLAY = timedelta(seconds=5)  # how long a copy of the parent may take to be written, where nothing better is known
MAIN = "main loop"
_KEYS = (
    ("input_tokens", "prompt_tokens", "input", "prompt", "inputTokens"),
    ("cached_input_tokens", "cache_read_input_tokens", "cached_tokens", "cachedInputTokens"),
    ("cache_write_input_tokens", "cache_creation_input_tokens", "cacheWriteInputTokens"),
    ("output_tokens", "completion_tokens", "output", "completion", "outputTokens"),
    ("reasoning_output_tokens", "reasoning_tokens", "reasoningOutputTokens"),
)
COLUMNS: dict[str, Any] = {
    name: schema.REQUESTS[name]
    for name in (
        "source_line", "source_offset", "request_id", "started_at", "run_id", "run_source", "parent_id", "task",
        "key_id", "provider", "model", "reasoning_effort", "input_tokens", "cache_read_tokens", "cache_write_tokens",
        "output_tokens", "reasoning_tokens", "extras", "tool_calls", "tool_results", "summed",
    )
} | dict.fromkeys(("_key", "_trace", "_span", "_parent"), pl.String())  # fmt: skip


class Counts(NamedTuple):
    """Tokens as Codex counts them: input with its cached parts inside, output with reasoning inside."""

    input: int
    read: int
    write: int
    output: int
    reasoning: int

    def since(self, before: Counts) -> Counts:
        return Counts(*(now - then for now, then in zip(self, before, strict=True)))

    def fell(self, before: Counts) -> bool:
        return any(now < then for now, then in zip(self, before, strict=True))


def counts(usage: Any) -> Counts | None:
    """A usage object of any version; None where there is none. Raises ValueError for a value that is no count."""
    if not isinstance(usage, Mapping) or not any(key in usage for key in (*_KEYS[0], *_KEYS[3])):
        return None
    picked = (next((usage[key] for key in keys if usage.get(key) is not None), 0) for keys in _KEYS)
    return Counts(*(count(value) or 0 for value in picked))


class Event(msgspec.Struct):
    """A statement of usage, with everything known where it stands."""

    record: Record
    at: datetime | None
    source: str  # `count`, `record` or `turn`
    total: Counts | None
    last: Counts | None
    response: str | None
    turn: str
    model: str | None
    effort: str | None
    cwd: str | None
    calls: list[dict[str, Any]] = msgspec.field(default_factory=list)
    results: list[dict[str, Any]] = msgspec.field(default_factory=list)
    searches: int = 0


class Thread(msgspec.Struct):
    """One session: who it is, what it copied, and its statements of usage in order."""

    id: str
    began: datetime | None = None
    parent: str | None = None
    task: str = MAIN
    cwd: str | None = None
    provider: str | None = None
    model: str | None = None
    effort: str | None = None
    turn: str = ""
    prompts: int = 0
    ancestors: set[str] = msgspec.field(default_factory=set)
    own_from: int | None = None  # number of events before the first turn of its own
    events: list[Event] = msgspec.field(default_factory=list)
    calls: list[dict[str, Any]] = msgspec.field(default_factory=list)
    results: list[dict[str, Any]] = msgspec.field(default_factory=list)
    searches: int = 0


def settle(thread: Thread, out: Out) -> None:
    """Write the requests of a thread: the best kind of statement it has, without what it copied or repeats."""
    best = next(
        (kind for kind in ("record", "count", "turn", "stream") if any(e.source == kind for e in thread.events)), ""
    )
    rows: list[dict[str, Any]] = []
    before: Counts | None = None
    epoch = 0
    for n, event in enumerate(thread.events):
        if event.source != best:
            out.skipped[f"{event.source} that restates others"] += 1
            continue
        copied = thread.parent is not None and _copied(thread, n, event)
        if event.total is None:
            spent = event.last
        elif before is None:
            spent = event.total
        elif event.total.fell(before):
            epoch += 1
            spent = event.last or event.total
        else:
            spent = event.total.since(before)
        repeated = event.total is not None and event.total == before
        before = event.total or before
        if copied:
            out.skipped["usage copied from the parent thread"] += 1
        elif spent is None or repeated or not (spent.input or spent.output):
            out.skipped["usage repeated" if repeated else "usage of nothing"] += 1
        else:
            rows.append(_request(thread, event, spent, epoch))
    out.rows(rows, COLUMNS)


def _copied(thread: Thread, n: int, event: Event) -> bool:
    """Whether a statement belongs to the parent: before the thread's own first turn, else within its first seconds."""
    if thread.own_from is not None:
        return n < thread.own_from
    return event.at is not None and thread.began is not None and event.at <= thread.began + REPLAY


def _request(thread: Thread, event: Event, spent: Counts, epoch: int) -> dict[str, Any]:
    total = event.total or spent
    values = " ".join(map(str, total))
    place = f"{epoch} {values}" if event.total else f"{event.turn} {values}"
    streamed = event.source == "stream"
    return {
        "source_line": event.record.line,
        "source_offset": event.record.offset,
        "request_id": event.response,
        "started_at": event.at or thread.began,
        "run_id": f"{thread.id}:{event.turn}",
        "run_source": "log",
        "parent_id": thread.parent,
        "task": thread.task,
        "key_id": event.cwd,
        "provider": thread.provider,
        "model": event.model,
        "reasoning_effort": event.effort,
        "input_tokens": spent.input,
        "cache_read_tokens": min(spent.read, spent.input),
        "cache_write_tokens": min(spent.write, spent.input - min(spent.read, spent.input)),
        "output_tokens": spent.output,
        "reasoning_tokens": spent.reasoning,
        "extras": [{"class": "web_search", "quantity": Decimal(event.searches)}] if event.searches else None,
        "tool_calls": event.calls or None,
        "tool_results": event.results or None,
        "summed": streamed or None,
        "_key": event.response or f"codex {thread.id} {place}",
        "_trace": f"codex {thread.id}",
        # A streamed turn stands above the requests of the rollout, if that is in the log too.
        "_span": "thread" if streamed else event.response or place,
        "_parent": None if streamed else "thread",
    }
