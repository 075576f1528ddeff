"""Rollouts of Codex CLI and the event stream of `codex exec --json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import PurePath
from typing import Any

import msgspec

from costaudit.ingest._decode import mended
from costaudit.ingest._files import UNREADABLE, LogFile, Record
from costaudit.ingest._format import Format, Out, loads
from costaudit.ingest._limits import TOO_DEEP
from costaudit.ingest._messages import encoded
from costaudit.ingest._prompt import FINGERPRINTS, facts
from costaudit.ingest._rollout import MAIN, Event, Thread, counts, settle
from costaudit.ingest._values import moment, text

ROWS = ("session_meta", "turn_context", "event_msg", "response_item", "compacted", "token_usage_record", "world_state")
STREAM = ("thread.", "turn.", "item.")  # beginnings of the types of `codex exec --json`
SERVED = "thread/tokenUsage/updated"  # notification of the app server, which IDEs and scripts may log


class Codex(Format):
    """Rollouts of Codex CLI, desktop and IDE extensions, `codex exec --json` and the app server's messages.

    ## Where
    `~/.codex/sessions/YYYY/MM/DD/rollout-<time>-<id>.jsonl` and `~/.codex/archived_sessions/`, or below `$CODEX_HOME`.
    A session that stands in both places is read once.
    ## What it knows
    Tokens with cached and written input, reasoning, effort, tools called and their results. A run is one turn of the
    user (`<thread>:<turn>`); a subagent's thread has its parent's as parent. The working directory is the project.
    ## Traps
    `token_count` events carry cumulative totals and are repeated when nothing was spent: a request is a difference.
    Counters start again after a reset. A forked or spawned thread begins with a copy of its parent's events, with
    rewritten times, which must not be paid twice. Cached and written input is inside `input_tokens`, reasoning inside
    `output_tokens`. `turn.completed` of the stream and `thread/tokenUsage/updated` of the app server restate the
    rollout of the same thread and count only where that is not there.
    ## Limits
    The fast tier is not in the log. `codex exec --json` names no model and counts whole turns. An event can hide
    several requests; their sum is right, their number is not.
    """

    name = "codex"
    title = "Codex CLI rollouts"

    def recognises(self, record: Mapping[str, Any]) -> int:
        kind, payload = record.get("type"), record.get("payload")
        if record.get("method") == SERVED:
            return 90 if isinstance(record.get("params"), Mapping) else 0
        if not isinstance(kind, str):
            return 0
        if isinstance(payload, Mapping):
            return 92 if kind in ROWS else 0
        if kind == "thread.started":
            return 90 if "thread_id" in record else 0
        if kind == "turn.completed":
            return 85 if isinstance(record.get("usage"), Mapping) else 0
        return 60 if kind in ("turn.started", "turn.failed") or (kind.startswith("item.") and "item" in record) else 0


class _Row(msgspec.Struct, gc=False):
    timestamp: Any = None
    type: Any = None
    payload: msgspec.Raw = msgspec.Raw()
    thread_id: Any = None
    usage: Any = None
    method: Any = None
    params: Any = None


class _Payload(msgspec.Struct, gc=False):
    type: Any = None
    id: Any = None
    session_id: Any = None
    forked_from_id: Any = None
    timestamp: Any = None
    source: Any = None
    cwd: Any = None
    model_provider: Any = None
    model: Any = None
    effort: Any = None
    turn_id: Any = None
    started_at: Any = None
    info: Any = None
    usage: Any = None
    response_id: Any = None
    thread_id: Any = None


_decode = msgspec.json.Decoder(_Row).decode
_decode_payload = msgspec.json.Decoder(_Payload).decode


@Codex.read_by
class _Reader:
    """Reads one rollout; what a copied beginning is can only be said when all of it is known."""

    def __init__(self, file: LogFile) -> None:
        self.thread = Thread(PurePath(file.shown).name.partition(".jsonl")[0])
        self.named = False
        self.told = file.only is None or not FINGERPRINTS.isdisjoint(file.only)  # what answers call and send is wanted

    def feed(self, records: Sequence[Record], out: Out) -> None:
        for record in records:
            row = _row(record, out)
            if row is None:
                continue
            kind = text(row.type) or ""
            if kind.startswith(STREAM):
                self._streamed(kind, row, record, out)
            elif isinstance(row.params, Mapping):
                self._served(text(row.method) or "", row.params, row, record, out)
            elif bytes(row.payload)[:1] == b"{":
                self._logged(kind, row, record, out)
            else:
                out.foreign.append(record)

    def close(self, out: Out) -> None:
        settle(self.thread, out)

    # --- rollouts -----------------------------------------------------------------------------------------------------

    def _logged(self, kind: str, row: _Row, record: Record, out: Out) -> None:
        try:
            payload = _payload(bytes(row.payload))
        except UNREADABLE as problem:
            deep = isinstance(problem, RecursionError)
            out.rejects.append((record.line, TOO_DEEP if deep else f"not JSON ({problem})"))
            return
        inner = text(payload.type)
        thread = self.thread
        if kind == "session_meta":
            self._meta(payload, row, out)
        elif kind == "turn_context":
            thread.model = text(payload.model) or thread.model
            thread.effort = text(payload.effort) or thread.effort
            thread.cwd = text(payload.cwd) or thread.cwd
            thread.turn = text(payload.turn_id) or thread.turn
        elif inner == "token_count" or kind == "token_usage_record" or (inner == "turn.completed" and payload.usage):
            self._usage(kind, inner, payload, row, record, out)
            return
        elif inner == "task_started":
            thread.turn = text(payload.turn_id) or thread.turn
            began = _time(payload.started_at)
            # A copied row keeps the moment its turn began, in whole seconds; its own timestamp is that of the copy.
            if thread.own_from is None and began and thread.began and began >= thread.began.replace(microsecond=0):
                thread.own_from = len(thread.events)
        elif inner == "user_message":
            thread.prompts += 1
        elif kind == "response_item":
            self._item(inner or "", bytes(row.payload))
        out.skipped[f"{kind}/{inner}"[:60] if inner else kind[:60]] += 1

    def _meta(self, payload: _Payload, row: _Row, out: Out) -> None:
        """The first one names this thread; those of its ancestors are copied; any other begins a new session."""
        own = text(payload.id) or text(payload.session_id) or self.thread.id
        parent, task = _origin(payload)
        if self.named and own != self.thread.id and own not in self.thread.ancestors:
            self.named = False
        if not self.named:
            settle(self.thread, out)
            self.thread = Thread(own, _time(payload.timestamp) or _time(row.timestamp), parent, task)
            self.thread.cwd, self.thread.provider = text(payload.cwd), text(payload.model_provider)
            self.thread.model = text(payload.model)
            self.named = True
        if parent:
            self.thread.ancestors.add(parent)

    def _item(self, kind: str, payload: bytes) -> None:
        if kind == "web_search_call":
            self.thread.searches += 1
        elif not self.told:
            return
        elif kind in ("function_call", "custom_tool_call", "local_shell_call"):
            self.thread.calls += facts(None, None, None, None, (), b"[" + payload + b"]").get("tool_calls") or []
        elif kind in ("function_call_output", "custom_tool_call_output"):
            found = facts(b"[" + payload + b"]", None, None, None, (), None)
            self.thread.results += found.get("tool_results") or []

    def _usage(self, kind: str, inner: str | None, payload: _Payload, row: _Row, record: Record, out: Out) -> None:
        info = payload.info if isinstance(payload.info, Mapping) else {}
        try:
            if inner == "token_count":
                source, total = "count", counts(info.get("total_token_usage"))
                last = counts(info.get("last_token_usage")) or (None if total else counts(info))
            else:
                source = "record" if kind == "token_usage_record" else "turn"
                total, last = None, counts(payload.usage)
        except ValueError as problem:
            out.refuse(record.line, problem)
            return
        if total is None and last is None:
            out.skipped[f"{inner or kind} without usage"] += 1
            return
        thread = self.thread
        thread.turn = text(payload.turn_id) or thread.turn
        model = thread.model or text(payload.model) or text(info.get("model"))
        event = Event(
            record, _time(row.timestamp), source, total, last, text(payload.response_id),
            thread.turn or str(thread.prompts), model, thread.effort, thread.cwd,
        )  # fmt: skip
        shown_again = total is not None and bool(thread.events) and thread.events[-1].total == total
        if not shown_again:
            self._tools(event)
        thread.events.append(event)

    def _tools(self, event: Event) -> None:
        """A call whose result is already here was made by the answer before; the results are sent by this request."""
        thread = self.thread
        answered = {result["id"] for result in thread.results}
        before = thread.events[-1].calls if thread.events else []
        for call in thread.calls:
            (before if call["id"] in answered else event.calls).append(call)
        event.results, event.searches = thread.results, thread.searches
        thread.calls, thread.results, thread.searches = [], [], 0

    # --- codex exec ---------------------------------------------------------------------------------------------------

    def _streamed(self, kind: str, row: _Row, record: Record, out: Out) -> None:
        if kind == "thread.started" and text(row.thread_id):
            settle(self.thread, out)
            self.thread = Thread(text(row.thread_id) or "")
        if kind != "turn.completed":
            out.skipped[kind[:60]] += 1
            return
        try:
            last = counts(row.usage)
        except ValueError as problem:
            out.refuse(record.line, problem)
            return
        self.thread.prompts += 1
        event = Event(
            record, _time(row.timestamp), "stream", None, last, None, str(self.thread.prompts), None, None, None
        )
        self.thread.events.append(event)

    def _served(self, method: str, params: Mapping[str, Any], row: _Row, record: Record, out: Out) -> None:
        """A notification of the app server: running totals of a thread, or anything else it tells."""
        if method != SERVED:
            out.skipped[method[:60]] += 1
            return
        thread, said = text(params.get("threadId")), params.get("tokenUsage")
        if thread and thread != self.thread.id:
            settle(self.thread, out)
            self.thread = Thread(thread)
        usage = said if isinstance(said, Mapping) else {}
        try:
            total, last = counts(usage.get("total")), counts(usage.get("last"))
        except ValueError as problem:
            out.refuse(record.line, problem)
            return
        turn = text(params.get("turnId")) or ""
        at = _time(row.timestamp)
        self.thread.events.append(Event(record, at, "stream", total, last, None, turn, None, None, None))


def _row(record: Record, out: Out) -> _Row | None:
    data = record.data if isinstance(record.data, bytes) else encoded(record.data)
    try:
        return _decode(data)
    except UNREADABLE:
        value = loads(data, record.line, out)
    if value is None:
        return None
    payload = msgspec.Raw(encoded(value.get("payload")))
    rest = (value.get(name) for name in ("thread_id", "usage", "method", "params"))
    return _Row(value.get("timestamp"), value.get("type"), payload, *rest)


def _payload(data: bytes) -> _Payload:
    """The payload of a row; a byte that is no UTF-8 costs one character, a number beyond all numbers is the largest."""
    try:
        return _decode_payload(data)
    except (UnicodeDecodeError, msgspec.DecodeError):
        return _decode_payload(mended(data))


def _time(value: Any) -> datetime | None:
    """The time of a row; an unreadable one is as if it were absent, for the usage is still right."""
    try:
        return moment(value)
    except (ValueError, OverflowError, TypeError):
        return None


def _origin(payload: _Payload) -> tuple[str | None, str]:
    """The thread this one was forked from or spawned by, and what it is for."""
    source = payload.source if isinstance(payload.source, Mapping) else {}
    spawned = source.get("subagent")
    if isinstance(spawned, str):
        return text(payload.forked_from_id), spawned[:200]
    how = spawned.get("thread_spawn") if isinstance(spawned, Mapping) else None
    if isinstance(how, Mapping):
        return text(payload.forked_from_id) or text(how.get("parent_thread_id")), text(
            how.get("agent_role")
        ) or "subagent"
    return text(payload.forked_from_id), MAIN if spawned is None else "subagent"
