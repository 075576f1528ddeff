"""Sessions of Qwen Code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, calls, objects, part, results, thoughtful, when
from costaudit.ingest._values import text

NAMES = {
    "input": "promptTokenCount",
    "output": "candidatesTokenCount",
    "cached": "cachedContentTokenCount",
    "thoughts": "thoughtsTokenCount",
    "tool": "toolUsePromptTokenCount",
    "total": "totalTokenCount",
}


class Qwen(Format):
    """Session transcripts of Qwen Code.

    ## Where
    `~/.qwen/projects/<project>/chats/*.jsonl`, or below `$QWEN_DATA_DIR`.
    ## What it knows
    Tokens with cached input and thoughts, tools called and their results. A run is one prompt of the user.
    ## Traps
    Cached input stands inside the prompt. Telemetry rows state the same calls again and are left out. Ids repeat in
    resumed sessions, and branches the user went back behind were paid for and count.
    ## Limits
    The system prompt is not in the transcript, so prompts cannot be compared.
    """

    name = "qwen"
    title = "Qwen Code sessions"

    def recognises(self, record: Mapping[str, Any]) -> int:
        if not {"uuid", "sessionId", "type"} <= record.keys():
            return 0
        return 94 if "usageMetadata" in record or "systemPayload" in record or "parts" in part(record, "message") else 0


@Qwen.read_by
class _Reader(PlainReader):
    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self.prompt: dict[str, str] = {}  # session -> the user's last prompt
        self.results: list[tuple[Any, Any, bool | None]] = []

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        kind, own, session = (text(value.get(name)) for name in ("type", "uuid", "sessionId"))
        if kind is None or own is None or session is None:
            out.foreign.append(record)
            return
        parts = objects(part(value, "message").get("parts"))
        responses = [r for p in parts if (r := part(p, "functionResponse"))]
        if kind != "assistant":
            if responses:
                self.results += [(r.get("id"), r.get("response"), None) for r in responses]
            elif kind == "user":
                self.prompt[session] = own
            out.skipped[kind[:60]] += 1
            return
        said = part(value, "usageMetadata")
        usage = thoughtful({ours: said.get(theirs) for ours, theirs in NAMES.items()})
        asked = [c for p in parts if (c := part(p, "functionCall"))]
        sent, self.results = self.results, []
        self.add(
            record,
            started_at=when(value.get("timestamp")),
            run_id=f"{session}:{self.prompt[session]}" if session in self.prompt else session,
            task="main loop",
            key_id=text(value.get("cwd")),
            model=text(value.get("model")),
            tool_calls=calls((c.get("id"), c.get("name"), c.get("args")) for c in asked),
            tool_results=results(sent),
            has_text=bool(parts),
            _key=f"qwen {session} {own}",
            **usage,
        )
