"""Threads of Amp."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from costaudit.ingest._counts import Names, spent, tokens
from costaudit.ingest._files import Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, asked_of, calls, objects, part, when
from costaudit.ingest._values import text

NAMES = Names(("inputTokens", "input"), ("outputTokens", "output"), ("cacheReadInputTokens",),
              ("cacheCreationInputTokens",))  # fmt: skip


class Amp(Format):
    """Threads of Amp, one document a thread, of both versions.

    ## Where
    `~/.local/share/amp/threads/T-<id>.json`, or below `$AMP_DATA_DIR`.
    ## What it knows
    Tokens of each request with cache reads and writes, model, tools called. A run is a thread.
    ## Traps
    Cached input stands beside the input. Older threads have a ledger of usage, which restates the messages: where
    there is one it counts alone, and takes the cache counts from the message it led to.
    ## Limits
    Amp bills credits: costs at list price are what the same calls would have cost elsewhere.
    """

    name = "amp"
    title = "Amp threads"

    def recognises(self, record: Mapping[str, Any]) -> int:
        ledger = isinstance(part(record, "usageLedger").get("events"), list)
        thread = str(record.get("id")).startswith("T-") and isinstance(record.get("messages"), list)
        return 94 if ledger or thread else 0


@Amp.read_by
class _Reader(PlainReader):
    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        thread = text(value.get("id"))
        if thread is None:
            out.foreign.append(record)
            return
        messages = objects(value.get("messages"))
        events = objects(part(value, "usageLedger").get("events"))
        created = when(value.get("created"))
        made = 0
        if events:
            by_id: dict[str | None, Mapping[str, Any]] = {text(m.get("messageId")): m for m in messages}
            for n, event in enumerate(events, 1):
                message = by_id.get(text(event.get("toMessageId")), {})
                said = {**part(message, "usage"), **part(event, "tokens")}
                own = text(event.get("id")) or f"event {n}"
                made += self._row(record, thread, own, said, event, message, created, out)
        else:
            for n, message in enumerate(messages, 1):
                usage = part(message, "usage")
                own = text(message.get("messageId")) or text(message.get("id")) or f"message {n}"
                if message.get("role") == "assistant" and usage:
                    made += self._row(record, thread, own, usage, usage, message, created, out)
        out.several(made, none="thread without usage")

    def _row(
        self,
        record: Record,
        thread: str,
        own: str,
        said: Mapping[str, Any],
        about: Mapping[str, Any],
        message: Mapping[str, Any],
        created: Any,
        out: Out,
    ) -> int:
        """One row, or one reject, of one request; 0 where nothing was spent."""
        try:
            usage = tokens(said, NAMES)
        except ValueError as problem:
            out.refuse(record.line, problem)
            return 1
        if not spent(usage):
            return 0
        self.add(
            record,
            started_at=when(about.get("timestamp")) or created,
            run_id=thread,
            task=text(about.get("operationType")) or "main loop",
            model=text(about.get("model")),
            finish_reason=text(part(message, "state").get("stopReason")),
            tool_calls=calls(asked_of(objects(message.get("content")))),
            has_text=bool(message.get("content")),
            _key=f"amp {thread} {own}",
            **usage,
        )
        return 1
