"""Wire logs of Kimi CLI and Kimi Code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, part, when
from costaudit.ingest._values import count, text

NAMES = {
    "fresh": ("inputOther", "input_other"),
    "read": ("inputCacheRead", "input_cache_read"),
    "write": ("inputCacheCreation", "input_cache_creation"),
    "output": ("output",),
}


class Kimi(Format):
    """Wire logs of Kimi CLI and Kimi Code.

    ## Where
    `~/.kimi/sessions/<project>/<session>/wire.jsonl`, subagents in `subagents/*/wire.jsonl`; Kimi Code in
    `~/.kimi-code/sessions/<project>/<session>/agents/<agent>/wire.jsonl`, or below `$KIMI_CODE_HOME`.
    ## What it knows
    Tokens of each request with cache reads and writes; Kimi Code also the model and the effort. A run is one prompt.
    ## Traps
    Cached input stands beside the input. The model of a usage row is an alias: that of the request before it answers.
    ## Limits
    Kimi CLI keeps the model in its settings, so its requests have none: name it in the settings of the audit.
    """

    name = "kimi"
    title = "Kimi CLI and Kimi Code sessions"

    def recognises(self, record: Mapping[str, Any]) -> int:
        kind = record.get("type")
        if kind == "usage.record" and "inputOther" in part(record, "usage"):
            return 95
        message = part(record, "message")
        if "timestamp" in record and isinstance(message.get("type"), str) and "payload" in message:
            return 95 if "token_usage" in part(message, "payload") else 60
        if kind == "metadata" and "protocol_version" in record:
            return 85
        wire = ("llm.request", "turn.prompt", "config.update", "context.", "tools.", "llm.")
        return 75 if isinstance(kind, str) and kind.startswith(wire) and "time" in record else 0


@Kimi.read_by
class _Reader(PlainReader):
    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        folders = PurePath(file.shown).parts[:-1]
        self.agent = folders[-1] if len(folders) > 1 and folders[-2] in ("agents", "subagents") else ""
        inside = folders[:-2] if self.agent else folders
        self.session = inside[-1] if inside else PurePath(file.shown).name
        self.model: str | None = None
        self.provider: str | None = None
        self.effort: str | None = None
        self.prompts = 0

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        message = part(value, "message")
        kind = text(value.get("type")) or text(message.get("type"))
        if kind is None:
            out.foreign.append(record)
            return
        if kind == "llm.request":
            self.model = text(value.get("model")) or self.model
            self.provider = text(value.get("provider")) or self.provider
            self.effort = text(value.get("thinkingEffort")) or self.effort
        elif kind in ("turn.prompt", "TurnBegin"):
            self.prompts += 1
        payload = part(message, "payload")
        usage = _usage(part(value, "usage")) if kind == "usage.record" else _usage(part(payload, "token_usage"))
        if not usage:
            out.skipped[kind[:60]] += 1
            return
        at = when(value.get("time", value.get("timestamp")))
        own = text(payload.get("message_id")) or f"{record.line} {at}"
        lane = f"{self.session}/{self.agent}" if self.agent not in ("", "main") else self.session
        self.add(
            record,
            started_at=at,
            run_id=f"{lane}:{self.prompts}" if lane == self.session else lane,
            parent_id=None if lane == self.session else self.session,
            task="main loop" if lane == self.session else "subagent",
            provider=self.provider,
            model=self.model or text(value.get("model")),
            reasoning_effort=self.effort,
            _key=f"kimi {lane} {own} {' '.join(map(str, usage.values()))}",
            **usage,
        )


def _usage(said: Mapping[str, Any]) -> dict[str, int]:
    """Inclusive counts: cache reads and writes stand beside the input."""
    known = {
        name: count(value) or 0
        for name, spellings in NAMES.items()
        if (value := next((said[s] for s in spellings if said.get(s) is not None), None)) is not None
    }
    if not {"fresh", "output"} & set(known):
        return {}
    return {
        "input_tokens": sum(known.get(name, 0) for name in ("fresh", "read", "write")),
        "cache_read_tokens": known.get("read", 0),
        "cache_write_tokens": known.get("write", 0),
        "output_tokens": known.get("output", 0),
    }
