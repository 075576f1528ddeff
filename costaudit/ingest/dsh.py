"""Sessions of DeepSeek Harness."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from costaudit.ingest._counts import CAMEL, tokens
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, calls, part, results, when
from costaudit.ingest._values import text

NAMES = CAMEL._replace(beside=True)
KINDS = ("assistant/", "turn/", "request/", "tool/", "permission/", "user/", "text-chunks")


class Dsh(Format):
    """Sessions of DeepSeek Harness.

    ## Where
    `~/.dsh/sessions/--<project>--/<session>/session.jsonl`, also compressed (`.zstd`).
    ## What it knows
    Tokens of each step with cache reads and writes and reasoning, model, tools called, their results and errors. A run
    is one turn.
    ## Traps
    Cached input stands beside the input, reasoning beside the output. A usage chunk and the message after it are the
    same call. A forked session begins with a copy of its parent's events, up to `seedLength`.
    ## Limits
    The prompt is not in the log as it was sent, so prompts cannot be compared.
    """

    name = "dsh"
    title = "DeepSeek Harness sessions"

    def recognises(self, record: Mapping[str, Any]) -> int:
        kind = record.get("type")
        if kind == "session":
            return 93 if "createdAt" in record and "id" in record else 0
        return 93 if isinstance(kind, str) and kind.startswith(KINDS) and "seq" in record and "data" in record else 0


@Dsh.read_by
class _Reader(PlainReader):
    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        path = PurePath(file.shown)
        self.session = path.parent.name or path.name
        self.parent: str | None = None
        self.cwd: str | None = None
        self.depth = 0
        self.seeded = 0
        self.provider: str | None = None
        self.model: str | None = None
        self.results: list[tuple[Any, Any, bool | None]] = []
        self.called: dict[tuple[str | None, str | None], list[tuple[Any, Any, Any]]] = {}
        self.steps: dict[tuple[str | None, str | None], dict[str, Any]] = {}

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        kind, data, seq = text(value.get("type")), part(value, "data"), value.get("seq")
        if kind is None:
            out.foreign.append(record)
            return
        if kind == "session":
            self._begin(value)
        elif isinstance(seq, int) and seq < self.seeded:
            kind = "copied from the parent session"
        elif kind == "request/context":
            self.model = text(data.get("model")) or self.model
            self.provider = text(data.get("provider")) or self.provider
        elif kind == "assistant/message" or part(data, "chunk").get("type") == "usage":
            if self._step(value, data, record):
                return
        elif kind == "tool/call":
            self.called.setdefault(_place(data), []).append(
                (data.get("callId"), data.get("name"), data.get("arguments"))
            )
        elif kind == "tool/result":
            given = data.get("meta") or data.get("message")
            self.results.append((data.get("callId"), given, bool(data.get("error"))))
        out.skipped[kind[:60]] += 1

    def _begin(self, value: Mapping[str, Any]) -> None:
        self.session = text(value.get("id")) or self.session
        self.parent = text(value.get("parentId")) or text(value.get("parentSessionId"))
        self.cwd = text(value.get("cwd"))
        self.depth = value["delegationDepth"] if isinstance(value.get("delegationDepth"), int) else 0
        self.seeded = value["seedLength"] if isinstance(value.get("seedLength"), int) else 0

    def _step(self, value: Mapping[str, Any], data: Mapping[str, Any], record: Record) -> bool:
        """One row a step, whether its usage came as a chunk, with the message, or both. Whether a row was made."""
        usage = tokens(part(data, "usage") or part(part(data, "chunk"), "usage"), NAMES)
        place, step = _place(data), data.get("step")
        known = self.steps.get(place)
        if known is not None or not usage:
            if known is not None:
                known.update(usage)
            return False
        source = part(part(data, "message"), "source")
        sent, self.results = self.results, []
        self.steps[place] = self.add(
            record,
            started_at=when(value.get("time")),
            run_id=f"{self.session}:{place[0]}",
            parent_id=self.parent,
            step=step if isinstance(step, int) and 0 < step < 1 << 31 else None,
            task="subagent" if self.depth else "main loop",
            key_id=self.cwd,
            provider=text(source.get("provider")) or self.provider,
            model=text(source.get("model")) or self.model,
            tool_results=results(sent),
            _key=f"dsh {self.session} {place[0]} {place[1]}",
            **usage,
        )
        return True

    def end(self, out: Out) -> None:
        del out  # nothing is left over
        for place, row in self.steps.items():
            row["tool_calls"] = calls(self.called.get(place, ()))


def _place(data: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Which step of which turn an event is of."""
    return text(data.get("turn")), text(data.get("step"))
