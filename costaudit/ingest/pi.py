"""Sessions of pi, OMP and OpenClaw."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, calls, objects, part, results, soft, when
from costaudit.ingest._values import count, text, usd


class Pi(Format):
    """Session transcripts of pi, OMP and OpenClaw, which share one format.

    ## Where
    `~/.pi/agent/sessions/`, `~/.omp/agent/sessions/`; OpenClaw below `~/.openclaw/agents/` (older: `~/.clawdbot`,
    `~/.moltbot`). Files that were reset or deleted (`.jsonl.reset.*`, `.jsonl.deleted.*`) were paid for all the same.
    ## What it knows
    Tokens with cache reads and writes, logged cost, tools called and their results. A run is one prompt of the user.
    ## Traps
    Cached input stands beside the input. Copies of a session hold the same responses.
    ## Limits
    The system prompt is not in the transcript, so prompts cannot be compared.
    """

    name = "pi"
    title = "pi and OpenClaw sessions"

    def recognises(self, record: Mapping[str, Any]) -> int:
        kind = record.get("type")
        if kind == "session":
            return 85 if "id" in record and "version" in record and "cwd" in record else 0
        message = part(record, "message")
        if kind == "message" and "cacheRead" in part(message, "usage"):
            return 95
        if kind == "message" and "id" in record and "parentId" in record:
            # Factory's droid writes rows like these without usage.
            return 60 if "role" in message and ("timestamp" in message or message.get("role") == "toolResult") else 0
        return 70 if kind in ("model_change", "thinking_level_change") and "parentId" in record else 0


@Pi.read_by
class _Reader(PlainReader):
    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self.session = PurePath(file.shown).name.partition(".jsonl")[0]
        self.cwd: str | None = None
        self.prompt: str | None = None
        self.model: str | None = None
        self.provider: str | None = None
        self.results: list[tuple[Any, Any, bool | None]] = []

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        kind = text(value.get("type"))
        if kind is None:
            out.foreign.append(record)
            return
        message = part(value, "message")
        role = message.get("role")
        if kind == "session":
            self.session = text(value.get("id")) or self.session
            self.cwd = text(value.get("cwd")) or self.cwd
        if kind == "message" and role == "assistant":
            self._answer(value, message, record)
            return
        if kind == "model_change" or value.get("customType") == "model-snapshot":
            # OpenClaw states the model where it changes, and not on every answer.
            now = part(value, "data") or value
            self.model = text(now.get("modelId")) or self.model
            self.provider = text(now.get("provider")) or self.provider
        elif role == "user":
            self.prompt = text(value.get("id"))
        elif role == "toolResult":
            error = message.get("isError")
            failed = error if isinstance(error, bool) else None
            self.results.append((message.get("toolCallId"), message.get("content"), failed))
        out.skipped[f"{kind}: {role}"[:60] if isinstance(role, str) else kind[:60]] += 1

    def _answer(self, value: Mapping[str, Any], message: Mapping[str, Any], record: Record) -> None:
        usage = _usage(part(message, "usage"))
        content = message.get("content")
        blocks = objects(content)
        asked = [b for b in blocks if b.get("type") in ("toolCall", "tool_use")]
        response = text(message.get("responseId"))
        identity = response or text(message.get("timestamp")) or text(value.get("id"))
        sent, self.results = self.results, []
        at = when(message.get("timestamp")) or when(value.get("timestamp"))
        self.add(
            record,
            request_id=response,
            started_at=at,
            run_id=f"{self.session}:{self.prompt}" if self.prompt else self.session,
            task="main loop",
            key_id=self.cwd,
            provider=text(message.get("provider")) or self.provider,
            model=text(message.get("model")) or self.model,
            finish_reason=text(message.get("stopReason")),
            cost_logged_usd=soft(usd, part(part(message, "usage"), "cost").get("total")),
            tool_calls=calls((b.get("id"), b.get("name"), b.get("arguments", b.get("input"))) for b in asked),
            tool_results=results(sent),
            has_text=bool(blocks),
            # A compatible server may give every response of a session the same id, and ids of rows are short.
            _key=f"pi {identity} {at or self.session}",
            **usage,
        )


def _usage(said: Mapping[str, Any]) -> dict[str, int]:
    """Inclusive counts: cache reads and writes stand beside the input."""
    known = {
        name: n for name in ("input", "output", "cacheRead", "cacheWrite") if (n := _count(said.get(name))) is not None
    }
    if not {"input", "output"} & set(known):
        return {}
    read, write = known.get("cacheRead", 0), known.get("cacheWrite", 0)
    return {
        "input_tokens": known.get("input", 0) + read + write,
        "cache_read_tokens": read,
        "cache_write_tokens": write,
        "output_tokens": known.get("output", 0),
    }


def _count(value: Any) -> int | None:
    return None if value is None else count(value)
