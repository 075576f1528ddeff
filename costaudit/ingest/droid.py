"""Sessions of Factory's Droid."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from costaudit.ingest._counts import CAMEL, spent, tokens
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, asked_of, calls, given_in, objects, part, results, when
from costaudit.ingest._values import text

NAMES = CAMEL._replace(beside=True)
STREAM = ("system", "message", "tool_call", "tool_result", "completion")


class Droid(Format):
    """Sessions of Factory's Droid. Counts are those of whole sessions.

    ## Where
    `~/.factory/sessions/<project>/<session>.settings.json` and `<session>.jsonl`; `droid exec -o stream-json`.
    ## What it knows
    Tokens of each session with cache reads and writes and thinking; from the transcript the answers, the tools called
    and their results.
    ## Traps
    Cached input stands beside the input, thinking beside the output. A model of one's own is written
    `custom:Name [provider]`. The answers of the transcript restate the session; without the settings they are
    unmetered. Of several copies of the settings the one with most tokens counts.
    ## Limits
    No counts of single requests, so growing prompts cannot be judged.
    """

    name = "droid"
    title = "Factory Droid sessions"

    def recognises(self, record: Mapping[str, Any]) -> int:
        if "inputTokens" in part(record, "tokenUsage") and {"providerLock", "model", "interactionMode"} & set(record):
            return 90
        kind = record.get("type")
        if kind == "session_start":
            return 92 if "id" in record and ("sessionTitle" in record or "owner" in record) else 0
        if kind in STREAM and "session_id" in record and "id" in record:
            return 72 if {"model", "role", "toolCallId", "finalText"} & set(record) else 0
        # Rows of a transcript look like pi's, but say no role `toolResult` and carry no usage.
        return 58 if kind == "message" and "parentId" in record and "role" in part(record, "message") else 0


@Droid.read_by
class _Reader(PlainReader):
    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self.session = re.sub(r"(\.settings)?\.jsonl?(\..*)?$", "", PurePath(file.shown).name)
        self.cwd: str | None = None
        self.model: str | None = None
        self.called: list[tuple[Any, Any, Any]] = []
        self.results: list[tuple[Any, Any, bool | None]] = []

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        kind = text(value.get("type"))
        if kind in (None, "completion") and self._settings(value, record):
            return
        if kind is None:
            out.foreign.append(record)
            return
        self.session = text(value.get("session_id")) or self.session
        if kind in ("session_start", "system"):
            self.session = (text(value.get("id")) if kind == "session_start" else None) or self.session
            self.cwd = text(value.get("cwd")) or self.cwd
            self.model = text(value.get("model")) or self.model
        elif kind == "tool_call":
            self.called.append((value.get("toolCallId"), value.get("toolName"), value.get("parameters")))
        elif kind == "tool_result":
            self.results.append((value.get("toolCallId"), value.get("value"), None))
        elif kind == "message" and self._message(value, record):
            return
        out.skipped[kind[:60]] += 1

    def _settings(self, value: Mapping[str, Any], record: Record) -> bool:
        """The session's totals, from its settings or the end of its stream."""
        usage = tokens(part(value, "tokenUsage") or part(value, "usage"), NAMES)
        if not spent(usage):
            return False
        said = text(value.get("model")) or self.model or ""
        named = re.fullmatch(r"custom:(.*?)(?:\s*\[(.*)\])?(?:-\d+)?", said)
        locked = value.get("providerLockTimestamp", value.get("timestamp"))
        session = text(value.get("session_id")) or self.session
        self.add(
            record,
            started_at=when(locked),
            run_id=session,
            task="session",
            key_id=self.cwd,
            provider=text(value.get("providerLock")) or (named[2] if named else None),
            model=(named[1] if named else said) or None,
            summed=True,
            _key=f"droid {session}",
            _rank=usage["input_tokens"] + usage["output_tokens"],
            _trace=f"droid {session}",
            _span="session",
            **usage,
        )
        return True

    def _message(self, value: Mapping[str, Any], record: Record) -> bool:
        message = part(value, "message") or value
        content = message.get("content")
        blocks = objects(content)
        self.results += given_in(blocks)
        if message.get("role") != "assistant":
            return False
        made, self.called = [*asked_of(blocks), *self.called], []
        sent, self.results = self.results, []
        own = text(value.get("id"))
        self.add(
            record,
            started_at=when(value.get("timestamp")),
            run_id=self.session,
            task="main loop",
            key_id=self.cwd,
            model=text(message.get("model")) or self.model,
            tool_calls=calls(made),
            tool_results=results(sent),
            has_text=True,
            _key=f"droid {self.session} {own}",
            _trace=f"droid {self.session}",
            _span=f"answer {own}",
            _parent="session",
        )
        return True
