"""Sessions of the Cline CLI."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import polars as pl

from costaudit.ingest._counts import CAMEL, spent, tokens
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, asked_of, calls, given_in, objects, part, results, soft, when
from costaudit.ingest._tree import NODES
from costaudit.ingest._values import text, usd


class ClineCli(Format):
    """Sessions of the Cline CLI.

    ## Where
    `~/.cline/data/sessions/<session>/<session>.messages.json` and `<session>.json` beside it, or below
    `$CLINE_DATA_DIR`.
    ## What it knows
    Tokens of each answer with cache reads and writes, model, cost, tools called and their results. A run is a session.
    ## Traps
    Cached input stands beside the input. The totals in `<session>.json` restate the answers, and `aggregateUsage`
    holds subagents too, which have sessions of their own: only `usage` counts, where no answer has counts.
    ## Limits
    The system prompt is not in the messages, so prompts cannot be compared.
    """

    name = "cline-cli"
    title = "Cline CLI sessions"

    def recognises(self, record: Mapping[str, Any]) -> int:
        if "session_id" in record and ("messages_path" in record or "aggregateUsage" in part(record, "metadata")):
            return 90
        messages = record.get("messages")
        if not isinstance(messages, list) or "model" in record:
            return 0
        return 88 if any("modelInfo" in m or "metrics" in m for m in messages[:50] if isinstance(m, Mapping)) else 0


@ClineCli.read_by
class _Reader(PlainReader):
    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self.session = re.sub(r"(\.messages)?\.jsonl?$", "", PurePath(file.shown).name)

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        messages = value.get("messages")
        if isinstance(messages, list):
            self._messages([m for m in messages if isinstance(m, Mapping)], record, out)
        elif "session_id" in value:
            self._session(value, record, out)
        else:
            out.foreign.append(record)

    def _session(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        """The totals of a session, above its answers, and what they do not say themselves."""
        own = self.session = text(value.get("session_id")) or self.session
        place = {"_trace": f"cline-cli {own}", "_span": "session"}
        about = {"key_id": text(value.get("workspace_root")) or text(value.get("cwd"))}
        said = part(part(value, "metadata"), "usage")
        usage = tokens(said, CAMEL)
        if not spent(usage):
            known = {"model": text(value.get("model")), "provider": text(value.get("provider"))}
            out.nodes.append(pl.DataFrame([place | about | known], schema=NODES))
            out.skipped["session"] += 1
            return
        self.add(
            record,
            started_at=when(value.get("started_at")),
            ended_at=when(value.get("ended_at")),
            run_id=own,
            task="session",
            provider=text(value.get("provider")),
            model=text(value.get("model")),
            cost_logged_usd=soft(usd, said.get("totalCost")),
            summed=True,
            _key=f"cline-cli {own}",
            **about,
            **place,
            **usage,
        )

    def _messages(self, messages: list[Mapping[str, Any]], record: Record, out: Out) -> None:
        made = 0
        sent: list[tuple[Any, Any, bool | None]] = []
        for n, message in enumerate(messages):
            content = message.get("content")
            blocks = objects(content)
            sent += given_in(blocks)
            if message.get("role") != "assistant":
                continue
            made += 1
            said, info = part(message, "metrics"), part(message, "modelInfo")
            usage = tokens(said, CAMEL)
            own = text(message.get("id")) or str(n)
            self.add(
                record,
                started_at=when(message.get("ts")),
                run_id=self.session,
                task="main loop",
                provider=text(info.get("provider")),
                model=text(info.get("id")),
                cost_logged_usd=soft(usd, said.get("cost")),
                tool_calls=calls(asked_of(blocks)),
                tool_results=results(sent),
                has_text=bool(content),
                _key=f"cline-cli {self.session} {own}",
                _trace=f"cline-cli {self.session}",
                _span=own,
                _parent="session",
                **(usage if spent(usage) else {}),
            )
            sent = []
        out.several(made, none="session without answers")
