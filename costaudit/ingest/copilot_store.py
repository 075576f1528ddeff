"""Databases of GitHub Copilot: the store of the CLI, and the traces of the VS Code extension."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from costaudit.ingest._counts import Names, spent, tokens
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, when
from costaudit.ingest._values import text

NAMES = Names(
    ("input_tokens",), ("output_tokens",), ("cache_read_tokens", "cached_tokens"), ("cache_write_tokens",),
    ("reasoning_tokens",), inside=True,
)  # fmt: skip


class CopilotStore(Format):
    """The store of GitHub Copilot CLI: one row a request.

    ## Where
    `~/.copilot/session-store.db`, table `assistant_usage_events`.
    ## What it knows
    Tokens of each request with cache and reasoning, model, session, who started it (the user or the agent).
    ## Traps
    Cached input stands inside the input, reasoning inside the output. The totals at the end of a session's events
    (`copilot-cli`) restate these rows, and count only where the store has none of the session.
    ## Limits
    Copilot bills premium requests, not tokens: costs at list price are what the same calls would have cost elsewhere.
    """

    name = "copilot-store"
    title = "GitHub Copilot CLI database"
    tables: ClassVar = {
        "assistant_usage_events": ("id", "session_id", "model", "input_tokens"),
        "sessions": ("id", "cwd"),
    }

    def recognises(self, record: Mapping[str, Any]) -> int:
        if {"session_id", "model", "input_tokens"} <= record.keys() and MARKS & record.keys():
            return 92
        return 60 if record.get("_table") == "sessions" and "cwd" in record else 0


MARKS = {"total_nano_aiu", "request_multiplier", "initiator"}


@CopilotStore.read_by
class _Reader(PlainReader):
    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self.folders: dict[str, str | None] = {}

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        own, session = text(value.get("id")), text(value.get("session_id"))
        if own is not None and session is None and "cwd" in value:
            self.folders[own] = text(value.get("cwd"))
            out.skipped["session"] += 1
            return
        if own is None or session is None:
            out.foreign.append(record)
            return
        usage = tokens(value, NAMES)
        if not spent(usage):
            out.skipped["request without tokens"] += 1
            return
        self.add(
            record,
            started_at=when(value.get("created_at")),
            run_id=session,
            task=text(value.get("initiator")) or "main loop",
            model=text(value.get("model")),
            _key=f"copilot-store {session} {own}",
            _trace=f"copilot-cli {session}",
            _span=own,
            _parent="session",
            **usage,
        )

    def end(self, out: Out) -> None:
        del out  # nothing is left over
        for row in self.rows:
            row["key_id"] = self.folders.get(row["run_id"])
