"""The usage database of ZCode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from costaudit.ingest._cells import status
from costaudit.ingest._counts import SNAKE, spent, tokens
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, soft, when
from costaudit.ingest._values import count, text

# z.ai counts as OpenAI does: cached input inside the input. Rows that prove otherwise are read by their own counts.
NAMES = SNAKE._replace(inside=True, beside=True)


class Zcode(Format):
    """The usage database of ZCode.

    ## Where
    `~/.zcode/cli/db/db.sqlite`, table `model_usage`.
    ## What it knows
    Each request: tokens with cache reads and writes and reasoning, model, turn and session, when it began and ended.
    ## Traps
    The columns are named as Anthropic's, but cached input stands inside the input; reasoning stands beside the
    output. A row whose cached input is more than its input is read the other way.
    ## Limits
    A plan is paid by the month: costs at list price are what the same calls would have cost elsewhere.
    """

    name = "zcode"
    title = "ZCode usage database"
    tables: ClassVar = {"model_usage": ("id", "session_id", "model_id", "input_tokens"), "session": ("id", "directory")}

    def recognises(self, record: Mapping[str, Any]) -> int:
        if {"id", "session_id", "model_id", "input_tokens"} <= record.keys():
            return 90
        return 66 if record.get("_table") == "session" and "directory" in record and "project_id" not in record else 0


@Zcode.read_by
class _Reader(PlainReader):
    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self.directory: dict[str, str | None] = {}

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        own, session = text(value.get("id")), text(value.get("session_id"))
        if own is not None and "directory" in value:
            self.directory[own] = text(value.get("directory"))
            out.skipped["session"] += 1
            return
        if own is None or session is None or "model_id" not in value:
            out.foreign.append(record)
            return
        cached = sum(soft(count, value.get(name)) or 0 for name in (SNAKE.read[0], SNAKE.write[0]))
        apart = cached > (soft(count, value.get("input_tokens")) or 0)
        usage = tokens(value, NAMES._replace(inside=not apart))
        if not spent(usage):
            out.skipped["request without tokens"] += 1
            return
        turn = text(value.get("turn_id"))
        self.add(
            record,
            started_at=when(value.get("started_at")),
            ended_at=when(value.get("completed_at")),
            run_id=f"{session}:{turn}" if turn else session,
            parent_id=session,
            task="main loop",
            provider=text(value.get("provider_id")),
            model=text(value.get("model_id")),
            status=status(value.get("status")),
            _key=f"zcode {own}",
            **usage,
        )

    def end(self, out: Out) -> None:
        del out  # nothing is left over
        for row in self.rows:
            row["key_id"] = self.directory.get(row["parent_id"])
