"""Session files of Mistral Vibe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from costaudit.ingest._counts import Names, spent, tokens
from costaudit.ingest._files import Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, part, soft, when
from costaudit.ingest._values import text, usd

NAMES = Names(("session_prompt_tokens",), ("session_completion_tokens",), ("session_cached_tokens",), inside=True)


class MistralVibe(Format):
    """Session files of Mistral Vibe. A file is a whole session.

    ## Where
    `~/.vibe/logs/session/<session>/meta.json`, subagents in `agents/*/meta.json`, or below `$VIBE_HOME`.
    ## What it knows
    Input and output tokens of each session, the model chosen, and its cost as Vibe reckons it.
    ## Traps
    The counts grow while a session goes on: of two copies the larger one counts.
    ## Limits
    No single requests, so loops and prompts cannot be judged. No cache counts: a session's cost is an upper bound.
    """

    name = "mistral-vibe"
    title = "Mistral Vibe sessions"

    def recognises(self, record: Mapping[str, Any]) -> int:
        return 93 if "session_id" in record and "session_prompt_tokens" in part(record, "stats") else 0


@MistralVibe.read_by
class _Reader(PlainReader):
    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        own, stats = text(value.get("session_id")), part(value, "stats")
        if own is None or not stats:
            out.foreign.append(record)
            return
        usage = tokens(stats, NAMES)
        if not spent(usage):
            out.skipped["session without tokens"] += 1
            return
        folders = PurePath(self.file.shown).parts[:-1]
        inside = len(folders) > 2 and folders[-2] == "agents"
        self.add(
            record,
            started_at=when(value.get("start_time")),
            ended_at=when(value.get("end_time")),
            run_id=own,
            parent_id=folders[-3] if inside else None,
            task="subagent" if inside else "session",
            user=text(value.get("username")),
            key_id=text(part(value, "environment").get("working_directory")),
            provider="mistral",
            model=text(part(value, "config").get("active_model")),
            cost_logged_usd=soft(usd, stats.get("session_cost")),
            summed=True,
            _key=f"mistral-vibe {own}",
            _rank=usage["input_tokens"] + usage["output_tokens"],
            **usage,
        )
