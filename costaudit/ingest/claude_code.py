"""Session transcripts of Claude Code, and its subagents."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

import msgspec
import polars as pl

from costaudit import schema
from costaudit.ingest._decode import parsed
from costaudit.ingest._files import UNREADABLE, LogFile, Record, beside
from costaudit.ingest._format import FileReader, Format, Found, Out, loads
from costaudit.ingest._messages import encoded, sha
from costaudit.ingest._prompt import facts
from costaudit.ingest._steps import Step, steps
from costaudit.ingest._values import count, flag, moment, text, usd


class ClaudeCode(Format):
    """Session transcripts of Claude Code, as it writes them on disk or streams them (`--output-format stream-json`).

    ## Where
    `~/.claude/projects/<project>/<session>.jsonl`, subagents in `<session>/subagents/**/agent-<id>.jsonl`; the same
    below `$CLAUDE_CONFIG_DIR` and `~/.config/claude`. Copies of these folders read the same.
    ## What it knows
    Tokens with both cache lifetimes, web searches, fast mode, tools called and their results. A run is one prompt of
    the user with everything the main loop did for it (`<session>:<prompt>`), or one subagent (`<session>/<agent>`);
    the session is its parent. The task is the slash command, the kind of subagent, or `main loop`; the working
    directory is the project that was billed.
    ## Traps
    One response is written as several rows that repeat its usage while the output count grows: the row with most
    output counts, whole. Resumed and forked sessions copy rows into other files. Side questions replay messages of
    the main chain under another request id. Compaction and advisor steps are billed and stand in
    `usage.iterations` only. Cached input stands beside `input_tokens`. Answers to API errors (`<synthetic>`) cost
    nothing.
    ## Limits
    Helper calls (titles, hooks) may be missing, so totals are a floor. System prompt and tools are not in the
    transcript, so prompts cannot be compared. Transcripts are deleted after 30 days by default: keep a store.
    """

    name = "claude-code"
    title = "Claude Code transcripts"

    def recognises(self, record: Mapping[str, Any]) -> int:
        kind = record.get("type")
        if not isinstance(kind, str):
            return 70 if "agentType" in record and "spawnDepth" in record else 0
        if kind in ("started", "result") and "agentId" in record and "key" in record:
            return 70
        session = "sessionId" in record or "session_id" in record
        message = record.get("message")
        alike = (
            "usageMetadata" in record
            or "systemPayload" in record
            or (isinstance(message, Mapping) and "parts" in message)
        )
        if alike or not session:  # Qwen Code writes rows like these around Gemini's messages
            return 40 if kind == "summary" and "leafUuid" in record else 0
        if "uuid" in record and ("parentUuid" in record or "isSidechain" in record or "parent_tool_use_id" in record):
            return 92
        return 60 if kind in ("user", "assistant", "system", "summary") and "uuid" in record else 0

    def reader(self, file: LogFile, found: Found) -> FileReader:
        del found  # transcripts are never wrapped
        return _Reader(file)


class _Message(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    stop_reason: Any = None
    usage: Any = None
    content: msgspec.Raw = msgspec.Raw()


class _Row(msgspec.Struct, gc=False):
    type: Any = None
    subtype: Any = None
    uuid: Any = None
    parentUuid: Any = None
    sessionId: Any = None
    session_id: Any = None
    requestId: Any = None
    request_id: Any = None
    agentId: Any = None
    attributionAgent: Any = None
    agentType: Any = None
    parent_tool_use_id: Any = None
    isSidechain: Any = None
    isMeta: Any = None
    isCompactSummary: Any = None
    isApiErrorMessage: Any = None
    timestamp: Any = None
    cwd: Any = None
    effort: Any = None
    costUSD: Any = None
    retryAttempt: Any = None
    leafUuid: Any = None
    messageId: Any = None
    key: Any = None
    message: _Message | None = None


_decode = msgspec.json.Decoder(_Row).decode
_decode_blocks = msgspec.json.Decoder(list[msgspec.Raw]).decode

COLUMNS: dict[str, Any] = {
    name: schema.REQUESTS[name]
    for name in (
        "source_line", "source_offset", "request_id", "started_at", "run_id", "run_source", "parent_id", "task",
        "key_id", "attempt", "model", "service_tier", "region", "reasoning_effort", "status", "finish_reason",
        "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
        "output_tokens", "reasoning_tokens", "extras", "convention", "cost_logged_usd", "has_text", "output_sha",
        "reply_tokens", "tool_calls", "tool_results",
    )
} | {"_key": pl.String(), "_also": pl.String(), "_rank": pl.Int64(), "_trace": pl.String(), "_span": pl.String(),
     "_parent": pl.String()}  # fmt: skip
MAIN = "main loop"
_PART = Step._fields[1:-2]  # model and counts: columns of the same name


class _Place(NamedTuple):
    """Where a row of a conversation stands: session, subagent, its kind, whether beside the main chain."""

    session: str
    agent: str
    kind: str
    side: bool


class _Lane:
    """One conversation of a file: the main loop or one subagent."""

    __slots__ = ("attempt", "blocks", "key", "prompt", "results", "rows", "sent", "since", "task")

    def __init__(self, task: str) -> None:
        self.task = task
        self.prompt = ""  # uuid of the user's last prompt
        self.since: Any = None  # time of the last row that had one
        self.attempt: int | None = None  # of the next response, after reported API errors
        self.results: list[dict[str, Any]] = []  # of tools, not yet sent
        self.sent: dict[str, Any] = {}  # what the request of the response being written is known by
        self.key = ""  # the response being written, its rows and content blocks so far
        self.rows: list[dict[str, Any]] = []
        self.blocks: dict[bytes, None] = {}


class _Reader:
    """Reads one transcript in order; the rows of a response wait until the next one begins."""

    def __init__(self, file: LogFile) -> None:
        self.path = PurePath(file.shown)
        self.owner, self.agent = _family(self.path)
        self.kind = _agent_type(file) if self.agent else ""
        self.lanes: dict[str, _Lane] = {}
        self.side: dict[str, str] = {}  # uuid of a side-chain row -> lane, where no agent id is written
        self.spawned: dict[int, str] = {}  # hash of the prompt given to a subagent -> its kind
        self.ready: list[dict[str, Any]] = []

    def feed(self, records: Sequence[Record], out: Out) -> None:
        for record in records:
            row = _row(record, out)
            if row is not None:
                self._take(row, record, out)
        if len(self.ready) >= 2_000:
            self._flush(out)

    def close(self, out: Out) -> None:
        for lane in self.lanes.values():
            self._finish(lane)
        self._flush(out)

    def _flush(self, out: Out) -> None:
        out.rows(self.ready, COLUMNS)
        self.ready = []

    def _take(self, row: _Row, record: Record, out: Out) -> None:
        kind = text(row.type)
        if kind is None and row.agentType is not None:
            out.skipped["agent description"] += 1
            return
        marks = (row.uuid, row.sessionId, row.session_id, row.leafUuid, row.messageId, row.agentId)
        total = kind == "result" and row.agentId is None
        if kind is None or total or all(mark is None for mark in marks):
            out.foreign.append(record)
            return
        if kind == "assistant" and row.message is not None:
            self._assistant(row, row.message, record, out)
            return
        if kind == "user" and row.message is not None:
            self._user(row, row.message)
        elif kind == "system" and row.subtype == "api_error":
            self._lane(row)[0].attempt = _attempt(row.retryAttempt)
        subtype = text(row.subtype) if kind == "system" else None
        out.skipped[f"{kind}/{subtype}"[:60] if subtype else kind[:60]] += 1

    # --- conversations ------------------------------------------------------------------------------------------------

    def _place(self, row: _Row) -> _Place:
        session = self.owner or text(row.sessionId) or text(row.session_id) or ""
        side = flag(row.isSidechain) is True
        agent = self.agent or text(row.agentId) or text(row.parent_tool_use_id) or ""
        uuid, parent = text(row.uuid), text(row.parentUuid)
        if side and not agent and uuid:
            agent = self.side.get(parent or "") or uuid
            self.side[uuid] = agent
        return _Place(session, agent, text(row.attributionAgent) or self.kind, side)

    def _lane(self, row: _Row) -> tuple[_Lane, _Place]:
        place = self._place(row)
        lane = self.lanes.get(place.agent)
        if lane is None:
            lane = self.lanes[place.agent] = _Lane("subagent" if place.agent else MAIN)
        if place.agent and place.kind:
            lane.task = place.kind
        return lane, place

    def _user(self, row: _Row, message: _Message) -> None:
        lane, _ = self._lane(row)
        content = bytes(message.content)
        lane.since = _time(row.timestamp) or lane.since
        if b'"tool_result"' in content:
            found = facts(b'[{"role":"user","content":' + content + b"}]", None, None, None, (), None)
            lane.results += found.get("tool_results") or []
        elif flag(row.isMeta) is not True and flag(row.isCompactSummary) is not True:
            lane.prompt = text(row.uuid) or ""
            if lane is self.lanes.get(""):
                lane.task = _command(content) or MAIN
            elif lane.task == "subagent":
                lane.task = self.spawned.get(sha(content), lane.task)

    def _assistant(self, row: _Row, message: _Message, record: Record, out: Out) -> None:
        usage = message.usage if isinstance(message.usage, Mapping) and message.usage else None
        model = text(message.model)
        if model == "<synthetic>" or (flag(row.isApiErrorMessage) is True and usage is None):
            out.skipped["answer to an API error"] += 1
            return
        if usage is None and model is None and message.id is None:
            out.skipped["assistant without usage"] += 1
            return
        try:
            parts = steps(usage, model) if usage else [_UNMETERED._replace(model=model)]
            cost = usd(row.costUSD)
        except (ValueError, TypeError) as problem:
            out.rejects.append((record.line, f"usage: {problem}"))
            return
        lane, place = self._lane(row)
        response, request = text(message.id), text(row.requestId) or text(row.request_id)
        key = response or text(row.uuid) or f"{self.path}:{record.line}"
        key = f"{key}|{request}" if response and request else key
        if key != lane.key:
            self._finish(lane)
            lane.key = key
            lane.sent = {"tool_results": lane.results or None, "attempt": lane.attempt}
            lane.results, lane.attempt = [], None
        lane.since = _time(row.timestamp) or lane.since
        lane.blocks |= dict.fromkeys(_blocks(message.content))
        self._note_spawns(message.content)
        base = {
            "source_line": record.line,
            "source_offset": record.offset,
            "request_id": response,
            "started_at": lane.since,
            "run_id": _run(place, lane),
            "run_source": "log",
            "parent_id": place.session or None,
            "task": lane.task,
            "key_id": text(row.cwd),
            "reasoning_effort": text(row.effort),
            "status": "error" if flag(row.isApiErrorMessage) is True else None,
            "finish_reason": text(message.stop_reason),
            "service_tier": _tier(usage),
            "region": text(usage.get("inference_geo")) if usage else None,
            "cost_logged_usd": cost,
            "_rank": (0 if place.side else 2) + (len(parts) > 1),
            "_trace": f"claude-code {place.session}" if place.session else None,
            "_parent": "session",
        }
        for part in parts:
            made = base | dict(zip(_PART, part[1:-2], strict=True))
            made["_step"] = part.name
            made["_key"] = f"{key}#{part.name}" if part.name else key
            made["_also"] = f"{response}#{part.name}" if part.name else response
            made["_span"] = made["_key"]
            made["extras"] = list(part.extras) or None
            made["convention"] = "assumed" if part.assumed else None
            lane.rows.append(made)
        out.extra_lines += len(parts) - 1

    def _note_spawns(self, content: msgspec.Raw) -> None:
        """Remember which kind of subagent was given which prompt."""
        if b'"subagent_type"' not in bytes(content):
            return
        for block in _blocks(content):
            value = parsed(block)
            given = value.get("input") if isinstance(value, dict) else None
            if isinstance(given, Mapping) and isinstance(given.get("subagent_type"), str):
                self.spawned[sha(encoded(given.get("prompt")))] = given["subagent_type"][:200]

    def _finish(self, lane: _Lane) -> None:
        """The rows of a response whose content is complete: all of them know its tools."""
        if not lane.rows:
            return
        found = facts(None, None, None, None, (), b"[" + b",".join(lane.blocks) + b"]")
        known = {name: found.get(name) for name in ("has_text", "output_sha", "reply_tokens", "tool_calls")}
        for row in lane.rows:
            self.ready.append(row if row["_step"] else row | known | lane.sent)
        lane.rows, lane.blocks = [], {}


_UNMETERED = Step("", None, None, None, None, None, None, None, None, (), assumed=False)


def _row(record: Record, out: Out) -> _Row | None:
    """A record as a row; odd shapes of rows that cost nothing are counted by type, others are rejects."""
    data = record.data if isinstance(record.data, bytes) else encoded(record.data)
    try:
        return _decode(data)
    except UNREADABLE:
        value = loads(data, record.line, out)
    if value is None:
        return None
    if value.get("type") == "assistant" and "message" in value:
        out.rejects.append((record.line, "message is not an object"))
        return None
    kinds = {name: value.get(name) for name in ("type", "subtype", "uuid", "sessionId", "session_id", "leafUuid")}
    return _Row(**kinds)


def _family(path: PurePath) -> tuple[str, str]:
    """Session and agent of a file `<session>/subagents/**/agent-<agent>.jsonl`; empty for any other file."""
    folders = path.parts[:-1]
    if "subagents" not in folders or not path.name.startswith("agent-"):
        return "", ""
    at = folders.index("subagents")
    return (folders[at - 1] if at else "", path.name.removeprefix("agent-").partition(".")[0])


def _agent_type(file: LogFile) -> str:
    """The kind of subagent, as the description beside its transcript says."""
    try:
        with beside(file.path).open("rb") as stream:
            value = msgspec.json.decode(stream.read(1 << 16))
    except (OSError, *UNREADABLE):
        return ""
    return (text(value.get("agentType")) or "") if isinstance(value, Mapping) else ""


def _run(place: _Place, lane: _Lane) -> str | None:
    if place.agent:
        return f"{place.session}/{place.agent}"
    return f"{place.session}:{lane.prompt}" if lane.prompt else place.session or None


def _time(value: Any) -> Any:
    """The time of a row; an unreadable one is as if it were absent, for the usage is still right."""
    try:
        return moment(value)
    except (ValueError, OverflowError, TypeError):
        return None


def _attempt(retry: Any) -> int | None:
    """The first retry is the second attempt."""
    try:
        return (count(retry) or 0) + 1
    except ValueError:
        return None


def _tier(usage: Mapping[str, Any] | None) -> str | None:
    if not usage:
        return None
    return "fast" if usage.get("speed") == "fast" else text(usage.get("service_tier"))


def _blocks(content: msgspec.Raw) -> list[bytes]:
    """The content blocks of a message; a bare text is one."""
    data = bytes(content)
    if data.startswith(b"["):
        try:
            return [bytes(block) for block in _decode_blocks(data)]
        except UNREADABLE:
            return []
    return [b'{"type":"text","text":' + data + b"}"] if data.startswith(b'"') else []


_COMMAND = re.compile(rb"<command-name>(/?[\w:.-]{1,80})</command-name>")


def _command(content: bytes) -> str | None:
    """The slash command a prompt is, if it is one."""
    found = _COMMAND.search(content[:2_000])
    return "/" + found.group(1).decode("ascii", "replace").lstrip("/") if found else None
