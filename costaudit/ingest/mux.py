"""Chats of Mux."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from costaudit.ingest._counts import Names, tokens
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, calls, folder, part, when
from costaudit.ingest._values import text

NAMES = Names(
    ("inputTokens",), ("outputTokens",), ("cachedInputTokens",), ("cacheCreationInputTokens",), ("reasoningTokens",),
    inside=True,
)  # fmt: skip


class Mux(Format):
    """Chats of Mux.

    ## Where
    `~/.mux/sessions/<workspace>/chat.jsonl`, subagents in `subagent-transcripts/<task>/chat.jsonl`, or below
    `$MUX_ROOT`.
    ## What it knows
    Tokens of each answer with cache reads and writes and reasoning, model, how long it took, tools called. A run is
    one prompt of the user.
    ## Traps
    Cached input, read and written, stands inside the input, reasoning inside the output. Cache writes are in the
    metadata of the provider, and only Anthropic's has them.
    ## Limits
    The system prompt is not in the chat, so prompts cannot be compared.
    """

    name = "mux"
    title = "Mux chats"

    def recognises(self, record: Mapping[str, Any]) -> int:
        if "role" not in record or not isinstance(record.get("parts"), list):
            return 0
        metadata = part(record, "metadata")
        return 90 if "historySequence" in metadata or "inputTokens" in part(metadata, "usage") else 0


@Mux.read_by
class _Reader(PlainReader):
    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        folders = PurePath(file.shown).parts[:-1]
        self.session = folder(file, "chat.jsonl")
        self.parent = folders[-3] if len(folders) > 2 and folders[-2] == "subagent-transcripts" else None
        self.prompt: str | None = None

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        role, own, metadata = text(value.get("role")), text(value.get("id")), part(value, "metadata")
        if role is None or not isinstance(value.get("parts"), list):
            out.foreign.append(record)
            return
        if role != "assistant":
            self.prompt = own if role == "user" else self.prompt
            out.skipped[f"{role} message"[:60]] += 1
            return
        written = part(part(metadata, "providerMetadata"), "anthropic").get("cacheCreationInputTokens")
        usage = tokens({"cacheCreationInputTokens": written, **part(metadata, "usage")}, NAMES)
        asked = [p for p in value["parts"] if isinstance(p, Mapping) and p.get("type") == "dynamic-tool"]
        provider, _, model = (text(metadata.get("model")) or "").rpartition(":")
        self.add(
            record,
            started_at=when(metadata.get("timestamp")) or when(value.get("createdAt")),
            run_id=f"{self.session}:{self.prompt}" if self.prompt else self.session,
            parent_id=self.parent,
            task="subagent" if self.parent else "main loop",
            provider=provider or None,
            model=model or None,
            finish_reason=text(metadata.get("finishReason")),
            status="cancelled" if metadata.get("partial") is True else None,
            tool_calls=calls((p.get("toolCallId"), p.get("toolName"), p.get("input")) for p in asked),
            has_text=bool(value["parts"]),
            _key=f"mux {self.session} {own or record.line}",
            **usage,
        )
