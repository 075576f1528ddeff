"""Session events of GitHub Copilot CLI."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, calls, objects, part, results, when
from costaudit.ingest._values import count, text

NAMES = {
    "input_tokens": "inputTokens",
    "cache_read_tokens": "cacheReadTokens",
    "cache_write_tokens": "cacheWriteTokens",
    "output_tokens": "outputTokens",
    "reasoning_tokens": "reasoningTokens",
}


class CopilotCli(Format):
    """Session events of GitHub Copilot CLI.

    ## Where
    `~/.copilot/session-state/<session>/events.jsonl` or `<session>.jsonl`, and `history-session-state/`.
    ## What it knows
    When a session ends: its tokens by model, with cache and reasoning, as one row a model. A session that never ended
    (a crash) has the output tokens of its answers only. Tools called and their results.
    ## Traps
    The totals at the end are running totals of a resumed session: the differences count. Cached input stands inside
    the input, reasoning inside the output; the answers restate what the totals say.
    ## Limits
    Copilot bills premium requests, not tokens: costs at list price are what the same calls would have cost elsewhere.
    Single requests have no input counts; the database `session-store.db` has them (`copilot-store`) and is counted
    instead of the totals of its sessions.
    """

    name = "copilot-cli"
    title = "GitHub Copilot CLI sessions"

    def recognises(self, record: Mapping[str, Any]) -> int:
        kind = record.get("type")
        if not isinstance(kind, str) or not isinstance(record.get("data"), Mapping) or "id" not in record:
            return 0
        if kind == "session.start":
            return 95 if "copilotVersion" in record["data"] else 70
        mine = ("session.", "assistant.", "user.", "tool.", "hook.", "system.", "subagent.")
        return 75 if kind.startswith(mine) and "parentId" in record else 0


@CopilotCli.read_by
class _Reader(PlainReader):
    """Reads one session; answers wait for the totals that restate them."""

    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        path = PurePath(file.shown)
        self.session = path.parent.name if path.name == "events.jsonl" else path.name.partition(".jsonl")[0]
        self.cwd: str | None = None
        self.model: str | None = None
        self.before: dict[str, dict[str, int]] = {}  # model -> its running totals
        self.epoch = 0
        self.answers: list[dict[str, Any]] = []
        self.results: list[tuple[Any, Any, bool | None]] = []

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        kind, data = text(value.get("type")), part(value, "data")
        if kind is None or "data" not in value:
            out.foreign.append(record)
            return
        if kind == "assistant.message":
            self._answer(value, data, record)
            return
        models = data.get("modelMetrics")
        if kind == "session.shutdown" and isinstance(models, Mapping):
            known = self._known(models)
            made = self._totals(value, known, record)
            for answer in self.answers if known else ():
                answer["rollup"] = True  # the totals hold them
            self.answers = [] if known else self.answers
            out.extra_lines += max(0, made - 1)
            if made:
                return
        elif kind == "session.start":
            self.session = text(data.get("sessionId")) or self.session
            self.cwd = text(part(data, "context").get("cwd")) or self.cwd
            self.model = text(data.get("selectedModel")) or self.model
        elif kind == "tool.execution_complete":
            failed = data.get("success")
            given = part(data, "result").get("content", data.get("result"))
            self.results.append((data.get("toolCallId"), given, None if not isinstance(failed, bool) else not failed))
        elif kind == "session.model_change":
            self.model = text(data.get("newModel")) or self.model
        out.skipped[kind[:60]] += 1

    def _answer(self, value: Mapping[str, Any], data: Mapping[str, Any], record: Record) -> None:
        said = data.get("outputTokens")
        asked = objects(data.get("toolRequests"))
        sent, self.results = self.results, []
        own = text(data.get("messageId")) or text(value.get("id"))
        row = self.add(
            record,
            started_at=when(value.get("timestamp")),
            run_id=self.session,
            task="main loop",
            key_id=self.cwd,
            model=text(data.get("model")) or self.model,
            output_tokens=None if said is None else count(said),
            tool_calls=calls((t.get("toolCallId"), t.get("name"), t.get("arguments")) for t in asked),
            tool_results=results(sent),
            has_text=bool(data.get("content")),
            _key=f"copilot-cli {self.session} {own}",
            **self._place(),
        )
        self.answers.append(row)

    def _place(self) -> dict[str, str]:
        """Above the single requests of the session, which the program's database has."""
        return {"_trace": f"copilot-cli {self.session}", "_span": "session"}

    @staticmethod
    def _known(models: Mapping[str, Any]) -> dict[str, dict[str, int]]:
        """The running totals of each model that has some."""
        now: dict[str, dict[str, int]] = {}
        for model, metrics in sorted(models.items()):
            usage = part(metrics, "usage")
            known = {ours: count(usage[theirs]) or 0 for ours, theirs in NAMES.items() if usage.get(theirs) is not None}
            if known:
                now[str(model)[:200]] = known
        return now

    def _totals(self, value: Mapping[str, Any], now: dict[str, dict[str, int]], record: Record) -> int:
        """What each model used since the totals before; a total that fell began again. The number of rows."""
        fell = any(
            n < self.before.get(model, {}).get(name, 0) for model, known in now.items() for name, n in known.items()
        )
        if fell:
            self.before, self.epoch = {}, self.epoch + 1
        made = 0
        for model, known in now.items():
            spent = {name: n - self.before.get(model, {}).get(name, 0) for name, n in known.items()}
            if any(spent.values()):
                made += 1
                self.add(
                    record,
                    started_at=when(value.get("timestamp")),
                    run_id=self.session,
                    task="main loop",
                    key_id=self.cwd,
                    model=model,
                    _key=f"copilot-cli {self.session} {self.epoch} {model} {' '.join(map(str, known.values()))}",
                    summed=True,
                    **self._place(),
                    **spent,
                )
        self.before |= now
        return made
