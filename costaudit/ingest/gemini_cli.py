"""Sessions of Gemini CLI."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, calls, objects, results, thoughtful, when
from costaudit.ingest._values import text

TALK = ("user", "info", "error", "warning")


class GeminiCli(Format):
    """Chat recordings of Gemini CLI: one document a session, or JSON lines since version 0.40.

    ## Where
    `~/.gemini/tmp/<project>/chats/session-*.json` and `.jsonl`; subagents in `chats/<parent session>/`.
    ## What it knows
    Tokens with cached input and thoughts, tools called and their results. A run is one prompt of the user.
    ## Traps
    A message is written again under its id when tools or tokens are added: the last one with tokens counts. A resumed
    session stands in both file forms. Thoughts stand beside the output, cached input inside the input, and files exist
    where it does not: the total decides. Messages the user went back behind were paid for and count.
    ## Limits
    Some calls are not recorded, so totals are a floor; the telemetry file of Gemini CLI knows them all.
    """

    name = "gemini-cli"
    title = "Gemini CLI sessions"

    def recognises(self, record: Mapping[str, Any]) -> int:
        kind = record.get("type")
        if kind == "gemini" and "id" in record:
            return 85
        if "projectHash" in record and "sessionId" in record:
            return 92
        messages = record.get("messages")
        if isinstance(messages, list) and ("sessionId" in record or "startTime" in record):
            return 92 if any(isinstance(m, Mapping) and m.get("type") == "gemini" for m in messages) else 0
        if "$rewindTo" in record or (isinstance(record.get("$set"), Mapping) and len(record) == 1):
            return 70
        plain = kind in TALK and "id" in record and "timestamp" in record and "content" in record
        return 30 if plain and "sessionId" not in record and "uuid" not in record else 0


@GeminiCli.read_by
class _Reader(PlainReader):
    """Reads one session; results of tools belong to the message after the one that called them."""

    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        path = PurePath(file.shown)
        self.session = path.name.partition(".")[0]
        self.folder = path.parent.name
        self.parent: str | None = None
        self.project: str | None = None
        self.model: str | None = None
        self.prompt: str | None = None
        self.last: tuple[str, list[dict[str, Any]] | None] = ("", None)  # a message and the results of its tools
        self.sent: dict[str, list[dict[str, Any]] | None] = {}  # message -> results it sends

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        if "sessionId" in value or isinstance(value.get("messages"), list):
            self._head(value)
        elif "$set" in value or "$rewindTo" in value:
            value = value["$set"] if isinstance(value.get("$set"), Mapping) else {}
        else:
            if "type" in value and "id" in value:
                self._message(value, record, out)
            else:
                out.foreign.append(record)
            return
        messages = value.get("messages")
        if not isinstance(messages, list):
            out.skipped["session" if "sessionId" in value else "update"] += 1
            return
        out.skipped["session"] += 1
        out.extra_lines += len(messages)
        for message in messages:
            if isinstance(message, Mapping):
                try:
                    self._message(message, record, out)
                except ValueError as problem:
                    out.refuse(record.line, problem)
            else:
                out.rejects.append((record.line, "not a message"))

    def _head(self, value: Mapping[str, Any]) -> None:
        self.session = text(value.get("sessionId")) or self.session
        self.project = text(value.get("projectHash")) or self.project
        self.model = text(value.get("model")) or self.model
        if value.get("kind") == "subagent":
            self.parent = self.folder

    def _message(self, message: Mapping[str, Any], record: Record, out: Out) -> None:
        kind, own = text(message.get("type")), text(message.get("id"))
        if kind != "gemini":
            if kind is None or own is None:
                out.skipped["other message"] += 1
                return
            if kind == "user":
                self.prompt = own
            out.skipped[kind[:60]] += 1
            return
        usage = thoughtful(message.get("tokens"))
        if own is not None and own != self.last[0]:
            self.sent.setdefault(own, self.last[1])
        tools = objects(message.get("toolCalls"))
        done = results(
            (t.get("id"), t["result"], t.get("status") == "error") for t in tools if t.get("result") is not None
        )
        self.last = (own or "", done)
        self.add(
            record,
            started_at=when(message.get("timestamp")),
            run_id=self.session if self.parent or not self.prompt else f"{self.session}:{self.prompt}",
            parent_id=self.parent,
            task="subagent" if self.parent else "main loop",
            key_id=self.project,
            provider="google",
            model=text(message.get("model")) or self.model,
            tool_calls=calls((t.get("id"), t.get("name"), t.get("args")) for t in tools),
            tool_results=self.sent.get(own or ""),
            has_text=bool(message.get("content")),
            _key=f"gemini-cli {self.session} {own}" if own else None,
            # The last copy counts, and of several the one that has tokens.
            _rank=len(self.rows) + (1 << 40 if usage else 0),
            **usage,
        )
