"""Transcripts of Cursor's agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, asked_of, calls, folder, part, results
from costaudit.ingest._values import text


class CursorAgent(Format):
    """Transcripts of Cursor's agent. They have no counts.

    ## Where
    `~/.cursor/projects/<project>/agent-transcripts/<session>.jsonl`.
    ## What it knows
    The answers, the tools called and their results. A run is a session.
    ## Traps
    An answer is a call that was paid for, of unknown size: it is listed as unmetered.
    ## Limits
    No tokens, no model, no time. Usage is in the exports of the dashboard (`cursor`) and of the Admin API
    (`cursor-events`), which know no sessions.
    """

    name = "cursor-agent"
    title = "Cursor agent transcripts"

    def recognises(self, record: Mapping[str, Any]) -> int:
        message = part(record, "message")
        if record.get("role") not in ("user", "assistant") or not isinstance(message.get("content"), list):
            return 0
        if "usage" in record or "usage" in message:
            return 0  # these have no counts
        # Versions add keys; a row that has more of them may be another program's, if one knows it better.
        return 25 if record.keys() - {"role", "message", "timestamp_ms"} else 60


@CursorAgent.read_by
class _Reader(PlainReader):
    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self.session = folder(file)
        self.prompts = 0
        self.results: list[tuple[Any, Any, bool | None]] = []

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        role, content = text(value.get("role")), part(value, "message").get("content")
        if role is None or not isinstance(content, list):
            out.foreign.append(record)
            return
        blocks = [b for b in content if isinstance(b, Mapping)]
        given = [b for b in blocks if b.get("type") == "tool_result"]
        self.results += [(b.get("tool_use_id"), b.get("content"), None) for b in given]
        if role != "assistant":
            self.prompts += not given
            out.skipped[f"{role} message"[:60]] += 1
            return
        sent, self.results = self.results, []
        self.add(
            record,
            run_id=f"{self.session}:{self.prompts}",
            task="main loop",
            tool_calls=calls(asked_of(blocks)),
            tool_results=results(sent),
            has_text=bool(blocks),
            _key=f"cursor-agent {self.session} {record.line}",
        )
