"""Chats of Codebuff."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from costaudit.ingest._counts import Names, spent, tokens
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, folder, part, when
from costaudit.ingest._values import text

BESIDE = Names(
    ("inputTokens", "input_tokens"), ("outputTokens", "output_tokens"),
    ("cacheReadInputTokens", "cache_read_input_tokens"),
    ("cacheCreationInputTokens", "cache_creation_input_tokens", "cacheCreationTokens", "cache_creation_tokens"),
)  # fmt: skip
INSIDE = Names(
    ("promptTokens", "prompt_tokens", "inputTokens", "input_tokens"),
    ("completionTokens", "completion_tokens", "outputTokens", "output_tokens"),
    ("cachedTokens", "cached_tokens"), inside=True,
)  # fmt: skip
FOLDER = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d.*)")  # a time without colons


class Codebuff(Format):
    """Chats of Codebuff (once Manicode).

    ## Where
    `~/.config/manicode/projects/<project>/chats/<time>/chat-messages.json`.
    ## What it knows
    Tokens of each answer with cache reads and writes, and the model where it is named. A run is a chat.
    ## Traps
    An answer can have its usage in up to three places, which restate each other: the first that has some counts. In
    Anthropic's names cached input stands beside the input, in OpenAI's inside it.
    ## Limits
    Codebuff bills credits: costs at list price are what the same calls would have cost elsewhere. An answer that says
    credits only is unmetered.
    """

    name = "codebuff"
    title = "Codebuff chats"

    def recognises(self, record: Mapping[str, Any]) -> int:
        metadata = part(record, "metadata")
        if record.get("variant") in ("ai", "agent", "user", "error"):
            return 80 if {"content", "timestamp", "credits", "blocks"} & set(record) else 0
        return 82 if "runState" in metadata or "codebuff" in metadata else 0


@Codebuff.read_by
class _Reader(PlainReader):
    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        folders = PurePath(file.shown).parts[:-1]
        self.chat = folder(file, "chat-messages.json")
        self.project = folders[-3] if len(folders) > 2 and folders[-2] == "chats" else None
        named = FOLDER.fullmatch(self.chat)
        self.began = when(f"{named[1]}T{named[2]}:{named[3]}:{named[4]}") if named else None

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        role = text(value.get("variant")) or text(value.get("role"))
        if role is None:
            out.foreign.append(record)
            return
        if role not in ("ai", "agent", "assistant"):
            out.skipped[f"{role} message"[:60]] += 1
            return
        metadata = part(value, "metadata")
        usage: dict[str, int] = {}
        model = text(metadata.get("model"))
        for said, named in _places(metadata):
            model = model or named
            if not spent(usage):
                usage = _usage(said)
        if not spent(usage) and not value.get("credits"):
            out.skipped["message without usage"] += 1
            return
        own = text(value.get("id")) or str(record.line)
        self.add(
            record,
            started_at=when(value.get("timestamp")) or when(metadata.get("timestamp")) or self.began,
            run_id=self.chat,
            task="main loop" if role != "agent" else text(value.get("agentName")) or "subagent",
            key_id=self.project,
            model=model,
            has_text=bool(value.get("content")),
            _key=f"codebuff {self.project} {self.chat} {own}",
            **(usage if spent(usage) else {}),
        )


def _places(metadata: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str | None]]:
    """Where the usage of an answer can stand, with the model named there, the nearest first."""
    yield part(metadata, "usage"), text(part(metadata, "usage").get("model"))
    mine = part(metadata, "codebuff")
    yield part(mine, "usage"), text(mine.get("model"))
    state = part(part(part(metadata, "runState"), "sessionState"), "mainAgentState")
    history = state.get("messageHistory")
    for entry in reversed(history) if isinstance(history, list) else ():
        if isinstance(entry, Mapping) and entry.get("role") == "assistant":
            options = part(entry, "providerOptions")
            mine = part(options, "codebuff")
            yield part(options, "usage") or part(mine, "usage"), text(mine.get("model"))


def _usage(said: Mapping[str, Any]) -> dict[str, int]:
    details = {**part(said, "promptTokensDetails"), **part(said, "prompt_tokens_details")}
    openai = bool(details) or {"promptTokens", "prompt_tokens"} & set(said)
    return tokens({**said, **details}, INSIDE if openai else BESIDE)
