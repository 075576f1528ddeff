"""Sessions of Grok Build."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from costaudit.ingest._counts import CAMEL, tokens
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, calls, folder, objects, part, results, when
from costaudit.ingest._tree import NODES
from costaudit.ingest._values import text

NAMES = CAMEL._replace(inside=True)


class Grok(Format):
    """Sessions of Grok Build: its stream of updates, its conversation, and the summary beside them.

    ## Where
    `~/.grok/sessions/<project>/<session>/updates.jsonl`, `chat_history.jsonl`, `summary.json` and `signals.json`.
    ## What it knows
    Tokens of each turn with cache reads and writes and reasoning, model, effort, tools called and their results. A run
    is a session.
    ## Traps
    Cached input stands inside the input, reasoning inside the output. The answers of `chat_history.jsonl` have no
    counts: where the turn they belong to has been counted they restate it.
    ## Limits
    A turn can be several requests. Sessions of versions that wrote no `turn_completed` have no counts at all: their
    answers are listed as unmetered.
    """

    name = "grok"
    title = "Grok Build sessions"

    def recognises(self, record: Mapping[str, Any]) -> int:
        if str(record.get("method")).endswith("session/update"):
            return 90 if "sessionUpdate" in _update(record) else 0
        kind = record.get("type")
        if kind == "assistant" and "model_id" in record and "message" not in record:
            return 88
        if kind == "backend_tool_call" or (kind == "user" and {"prompt_index", "synthetic_reason"} & set(record)):
            return 70
        if "current_model_id" in record and "info" in record:
            return 85
        return 85 if "contextTokensUsed" in record and "turnCount" in record else 0


def _update(record: Mapping[str, Any]) -> Mapping[str, Any]:
    return part(part(record, "params"), "update")


@Grok.read_by
class _Reader(PlainReader):
    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self.session = folder(file, "updates.jsonl", "chat_history.jsonl", "summary.json", "signals.json")
        self.turns = 0
        self.prompt = 0
        self.called: list[tuple[Any, Any, Any]] = []
        self.results: list[tuple[Any, Any, bool | None]] = []

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        update = _update(value)
        kind = text(update.get("sessionUpdate")) or text(value.get("type"))
        if "current_model_id" in value or "contextTokensUsed" in value:
            self._about(value, out)
        elif kind is None:
            out.foreign.append(record)
            return
        elif kind == "turn_completed":
            if self._turn(value, update, record):
                return
        elif kind == "assistant" and not update:
            self._answer(value, record)
            return
        elif kind == "tool_call":
            self.called.append((update.get("toolCallId"), update.get("title"), update.get("rawInput")))
        elif kind == "tool_call_update" and update.get("status") in ("completed", "failed"):
            failed = update.get("status") == "failed"
            self.results.append((update.get("toolCallId"), update.get("rawOutput"), failed))
        elif kind == "tool_result":
            self.results.append((value.get("tool_call_id"), value.get("content"), None))
        elif kind == "user" and isinstance(value.get("prompt_index"), int):
            self.prompt = value["prompt_index"]
        out.skipped[(kind or "session")[:60]] += 1

    def _about(self, value: Mapping[str, Any], out: Out) -> None:
        """What the session's other files say about all of its turns."""
        about = {
            "_trace": f"grok {self.session}",
            "_span": "session",
            "model": text(value.get("current_model_id")) or text(value.get("primaryModelId")),
            "key_id": text(part(value, "info").get("cwd")),
        }
        out.nodes.append(pl.DataFrame([about], schema=NODES))

    def _turn(self, value: Mapping[str, Any], update: Mapping[str, Any], record: Record) -> bool:
        said = part(update, "usage")
        usage = tokens(said, NAMES)
        nth, self.turns = self.turns, self.turns + 1
        if not usage:
            return False
        made, self.called = self.called, []
        sent, self.results = self.results, []
        self.add(
            record,
            started_at=when(value.get("timestamp")),
            run_id=self.session,
            task="main loop",
            model=text(update.get("modelId")) or text(said.get("model")),
            tool_calls=calls(made),
            tool_results=results(sent),
            summed=True,
            _key=f"grok {self.session} {nth} {text(value.get('timestamp'))} {' '.join(map(str, usage.values()))}",
            _trace=f"grok {self.session}",
            _span=f"turn {nth}",
            _parent="session",
            **usage,
        )
        return True

    def _answer(self, value: Mapping[str, Any], record: Record) -> None:
        asked = objects(value.get("tool_calls"))
        sent, self.results = self.results, []
        self.add(
            record,
            run_id=self.session,
            task="main loop",
            model=text(value.get("model_id")),
            reasoning_effort=text(value.get("reasoning_effort")),
            tool_calls=calls((t.get("id"), t.get("name"), t.get("arguments")) for t in asked),
            tool_results=results(sent),
            has_text=bool(value.get("content")),
            _key=f"grok {self.session} answer {record.line}",
            _trace=f"grok {self.session}",
            _span=f"answer {record.line}",
            _parent=f"turn {self.prompt}",
        )
