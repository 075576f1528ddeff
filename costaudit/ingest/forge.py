"""The conversation database of Forge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from costaudit.ingest._counts import Names, spent, tokens
from costaudit.ingest._decode import unfolded
from costaudit.ingest._files import Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, calls, objects, part, when
from costaudit.ingest._values import text

NAMES = Names(("prompt_tokens",), ("completion_tokens",), ("cached_tokens",), inside=True)


class Forge(Format):
    """The conversation database of Forge.

    ## Where
    `~/.forge/.forge.db`, table `conversations`.
    ## What it knows
    Tokens of each answer with cached input, model, tools called. A run is one prompt of the user.
    ## Traps
    Cached input stands inside the prompt. Counts are objects (`{"actual": 12}`), or estimates, which are not read.
    ## Limits
    Answers have no time of their own: they carry the conversation's.
    """

    name = "forge"
    title = "Forge conversation database"
    tables: ClassVar = {"conversations": ("conversation_id", "context")}

    def recognises(self, record: Mapping[str, Any]) -> int:
        return 92 if "conversation_id" in record and ("context" in record or "workspace_id" in record) else 0


@Forge.read_by
class _Reader(PlainReader):
    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        own = text(value.get("conversation_id"))
        if own is None:
            out.foreign.append(record)
            return
        context = unfolded(value.get("context"))
        messages = context.get("messages") if isinstance(context, Mapping) else None
        made = prompts = 0
        for n, entry in enumerate(messages if isinstance(messages, list) else ()):
            said = part(part(entry, "message"), "text")
            role = str(said.get("role")).lower()
            prompts += role == "user"
            try:
                usage = tokens({name: _actual(count) for name, count in part(entry, "usage").items()}, NAMES)
            except ValueError as problem:
                out.refuse(record.line, problem)
                made += 1
                continue
            if role != "assistant" or not spent(usage):
                continue
            made += 1
            asked = objects(said.get("tool_calls"))
            self.add(
                record,
                started_at=when(value.get("updated_at")) or when(value.get("created_at")),
                run_id=f"{own}:{prompts}",
                task="main loop",
                key_id=text(value.get("workspace_id")),
                model=text(said.get("model")),
                tool_calls=calls((t.get("call_id"), t.get("name"), t.get("arguments")) for t in asked),
                has_text=True,
                _key=f"forge {own} {n}",
                _rank=len(messages or ()),
                **usage,
            )
        out.several(made, none="conversation without usage")


def _actual(value: Any) -> Any:
    return value.get("actual") if isinstance(value, Mapping) else value
