"""Transcripts of Antigravity."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from costaudit.ingest._counts import Names, tokens
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, calls, folder, objects, results, when
from costaudit.ingest._values import text

NAMES = Names(
    ("inputTokens",), ("responseOutputTokens", "outputTokens"), ("cacheReadTokens",), (), ("thinkingOutputTokens",),
    inside=True, beside=True,
)  # fmt: skip
CHOSEN = re.compile(r"Model Selection` from .{0,100}? to (.{1,100}?)(?: \((Low|Medium|High|Thinking)\))?\.?(?:\n|$)")
TOOLS = frozenset({"LIST_DIRECTORY", "VIEW_FILE", "RUN_COMMAND", "CODE_ACTION", "SEARCH_WEB", "GREP_SEARCH", "GENERIC"})


class Antigravity(Format):
    """Transcripts of Antigravity and its CLI.

    ## Where
    `~/.gemini/antigravity-cli/brain/<session>/.system_generated/logs/transcript.jsonl`, and usage records fetched from
    its local service.
    ## What it knows
    Which model was chosen, the answers, tools called and their results; usage records also have tokens.
    ## Traps
    The transcript has no counts, and counting its characters is no substitute: the prompt is not in it. Its answers
    are unmetered. In usage records thinking stands beside the output.
    ## Limits
    The counts Antigravity keeps are in binary messages of its own (`conversations/*.db`), which are not read.
    """

    name = "antigravity"
    title = "Antigravity transcripts"

    def recognises(self, record: Mapping[str, Any]) -> int:
        if {"inputTokens", "responseOutputTokens"} <= record.keys() or "thinkingOutputTokens" in record:
            return 88
        return 88 if {"step_index", "source", "type", "status"} <= record.keys() else 0


@Antigravity.read_by
class _Reader(PlainReader):
    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        parts = PurePath(file.shown).parts
        self.session = parts[parts.index("brain") + 1] if "brain" in parts[:-2] else folder(file)
        self.model: str | None = None
        self.effort: str | None = None
        self.prompts = 0
        self.open: list[Any] = []  # tools that were called and have no result yet
        self.results: list[tuple[Any, Any, bool | None]] = []

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        kind, content = text(value.get("type")), value.get("content")
        usage = tokens(value, NAMES)
        if usage:
            self._metered(value, record, usage)
            return
        if kind is None:
            out.foreign.append(record)
            return
        if kind == "PLANNER_RESPONSE":
            self._answer(value, record)
            return
        if kind == "USER_INPUT":
            self.prompts += 1
            chosen = CHOSEN.search(content[:20_000]) if isinstance(content, str) else None
            if chosen:
                self.model = chosen[1].strip().lower().replace(" ", "-")
                self.effort = chosen[2].lower() if chosen[2] else None
        elif kind in TOOLS:
            self.results.append((self.open.pop(0) if self.open else None, content, value.get("status") == "ERROR"))
        out.skipped[kind[:60]] += 1

    def _answer(self, value: Mapping[str, Any], record: Record) -> None:
        asked = objects(value.get("tool_calls"))
        made = [(f"{record.line} {n}", t.get("name"), t.get("args")) for n, t in enumerate(asked)]
        self.open += [own for own, _, _ in made]
        sent, self.results = self.results, []
        index = text(value.get("step_index"))
        self.add(
            record,
            started_at=when(value.get("created_at")),
            run_id=f"{self.session}:{self.prompts}",
            task="main loop",
            model=self.model,
            reasoning_effort=self.effort,
            status="error" if value.get("status") == "ERROR" else None,
            tool_calls=calls(made),
            tool_results=results(sent),
            has_text=True,
            _key=f"antigravity {self.session} {index} {text(value.get('created_at'))}",
        )

    def _metered(self, value: Mapping[str, Any], record: Record, usage: dict[str, int]) -> None:
        session = text(value.get("sessionId")) or text(value.get("cascadeId")) or self.session
        own = text(value.get("responseId")) or text(value.get("id"))
        at = next((t for name in ("timestamp", "createdAt", "created_at") if (t := when(value.get(name)))), None)
        self.add(
            record,
            request_id=own,
            started_at=at,
            run_id=session,
            task="main loop",
            model=text(value.get("model")),
            _key=f"antigravity {session} {own or at or record.line} {' '.join(map(str, usage.values()))}",
            **usage,
        )
