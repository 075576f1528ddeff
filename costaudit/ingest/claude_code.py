"""Session transcripts of Claude Code, and its subagents."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

import msgspec
import polars as pl

from costaudit import schema
from costaudit.ingest._blocks import BRACE, Lines
from costaudit.ingest._columns import columns
from costaudit.ingest._decode import parsed
from costaudit.ingest._files import UNREADABLE, LogFile, Record, beside
from costaudit.ingest._format import FileReader, Format, Found, Out
from costaudit.ingest._identity import USAGE
from costaudit.ingest._messages import BYTES_PER_TOKEN, encoded, sha
from costaudit.ingest._transcript_rows import Message, Row, billed, content_blocks, decode, results, row, when
from costaudit.ingest._values import count, text, usd
from costaudit.ingest._wire import content_answer


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


COLUMNS: dict[str, Any] = {
    name: schema.REQUESTS[name]
    for name in (
        "source_line", "source_offset", "request_id", "started_at", "run_id", "run_source", "parent_id", "task",
        "key_id", "reasoning_effort", "status", "finish_reason", "service_tier", "region", "cost_logged_usd",
    )
} | {"_rank": pl.Int64(), "_rows": pl.Int64(), "_trace": pl.String(), "_parent": pl.String()} | {
    name: schema.REQUESTS[name]
    for name in (
        "model", "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens",
        "cache_write_1h_tokens", "output_tokens", "reasoning_tokens", "extras", "convention",
    )
} | {"_key": pl.String(), "_also": pl.String(), "_span": pl.String()} | {
    name: schema.REQUESTS[name]
    for name in ("has_text", "output_sha", "reply_tokens", "tool_calls", "tool_results", "attempt")
}  # fmt: skip
"""What a row knows, its counts, its identity, and what the whole response knows: the tuples of `_Reader`."""

MANY = 10_000  # rows that are worth columns of their own
MAIN = "main loop"
UNKNOWN = (None,) * 6  # what only a whole response knows, for a step of it


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
        self.results: list[tuple[int | None, int, bool]] = []  # of tools, not yet sent
        self.sent: tuple[Any, Any] = (None, None)  # what the request of the response being written is known by
        self.key = ""  # the response being written, its rows and content blocks so far
        self.rows: list[tuple[bool, tuple[Any, ...]]] = []  # whether the response itself, and its own columns
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
        self.ready: list[tuple[Any, ...]] = []

    def scan(self, block: Lines, out: Out) -> Iterator[tuple[int, int, bytes]]:
        """Every line is decoded where it stands: what its parts cost is what checking that it is JSON costs."""
        data, at, number = block.data, block.start, block.line - 1
        offset = block.offset - at
        with memoryview(data) as view:
            while at < block.end:
                end = data.find(b"\n", at, block.end)
                end = block.end if end < 0 else end
                start, at, number = at, end + 1, number + 1
                if data[start] != BRACE:
                    yield number, offset + start, bytes(data[start:end])
                    continue
                try:
                    row = decode(data, start, end, view)
                except UNREADABLE:
                    self.feed([Record(number, offset + start, bytes(data[start:end]).strip())], out)
                    continue
                if not self._take(row, number, offset + start, out):
                    out.foreign.append(Record(number, offset + start, bytes(data[start:end]).strip()))
                del row  # it holds the block
        block.lines = number - block.line + 1
        if len(self.ready) >= MANY:
            self._flush(out)

    def feed(self, records: Sequence[Record], out: Out) -> None:
        for record in records:
            known = row(record, out)
            if known is not None and not self._take(known, record.line, record.offset, out):
                out.foreign.append(record)

    def close(self, out: Out) -> None:
        for lane in self.lanes.values():
            self._finish(lane)
        out.tuples(COLUMNS, self.ready)
        self.ready = []

    def _flush(self, out: Out) -> None:
        """Rows of a long session into columns, which take a tenth of the memory."""
        out.frames.append(columns(self.ready, COLUMNS))
        self.ready = []

    def _take(self, row: Row, number: int, offset: int, out: Out) -> bool:
        """Whether the row is one of a transcript."""
        kind = row.type
        if kind == "assistant" and row.message is not None and row.uuid is not None:
            self._assistant(row, row.message, number, offset, out)
            return True
        if not kind and row.agentType is not None:
            out.skipped["agent description"] += 1
            return True
        marks = (row.uuid, row.sessionId, row.session_id, row.leafUuid, row.messageId, row.agentId)
        total = kind == "result" and row.agentId is None
        if not kind or total or all(mark is None for mark in marks):
            return False
        if kind == "assistant" and row.message is not None:
            self._assistant(row, row.message, number, offset, out)
            return True
        if kind == "user" and row.message is not None:
            self._user(row, row.message)
        elif kind == "system" and row.subtype == "api_error":
            self._lane(row)[0].attempt = _attempt(row.retryAttempt)
        subtype = row.subtype if kind == "system" else None
        out.skipped[f"{kind}/{subtype}"[:60] if subtype else kind[:60]] += 1
        return True

    # --- conversations ------------------------------------------------------------------------------------------------

    def _place(self, row: Row) -> _Place:
        session = self.owner or row.sessionId or row.session_id or ""
        side = row.isSidechain is True
        agent = self.agent or row.agentId or row.parent_tool_use_id or ""
        if side and not agent and row.uuid:
            agent = self.side.get(row.parentUuid or "") or row.uuid
            self.side[row.uuid] = agent
        return _Place(session, agent, row.attributionAgent or self.kind, side)

    def _lane(self, row: Row) -> tuple[_Lane, _Place]:
        place = self._place(row)
        lane = self.lanes.get(place.agent)
        if lane is None:
            lane = self.lanes[place.agent] = _Lane("subagent" if place.agent else MAIN)
        if place.agent and place.kind:
            lane.task = place.kind
        return lane, place

    def _user(self, row: Row, message: Message) -> None:
        lane, _ = self._lane(row)
        lane.since = when(row.timestamp) or lane.since
        found = results(message.content)
        if found:
            lane.results += found
        elif row.isMeta is not True and row.isCompactSummary is not True:
            lane.prompt = row.uuid or ""
            if lane is self.lanes.get(""):
                lane.task = _command(message.content) or MAIN
            elif lane.task == "subagent":
                lane.task = self.spawned.get(sha(bytes(message.content)), lane.task)

    def _assistant(self, row: Row, message: Message, number: int, offset: int, out: Out) -> None:
        counted = message.usage is not None or message.odd is not None
        model = message.model or None
        if model == "<synthetic>" or (row.isApiErrorMessage is True and not counted):
            out.skipped["answer to an API error"] += 1
            return
        if not counted and model is None and message.id is None:
            out.skipped["assistant without usage"] += 1
            return
        try:
            parts, tier, region = billed(message, model)
            cost = None if row.costUSD is None else usd(row.costUSD)
        except (ValueError, TypeError) as problem:
            out.rejects.append((number, f"usage: {problem}"))
            return
        lane, place = self._lane(row)
        response, request = message.id or None, row.requestId or row.request_id
        key = response or row.uuid or f"{self.path}:{number}"
        key = f"{key}|{request}" if response and request else key
        if key != lane.key:
            self._finish(lane)
            lane.key = key
            lane.sent = (lane.results or None, lane.attempt)
            lane.results, lane.attempt = [], None
        lane.since = when(row.timestamp) or lane.since
        self._blocks(message.content, lane)
        base = (
            number, offset, response, lane.since, _run(place, lane), "log", place.session or None, lane.task,
            row.cwd or None, row.effort or None, "error" if row.isApiErrorMessage is True else None,
            message.stop_reason or None, tier, region, cost,
            (0 if place.side else 2) + (len(parts) > 1), 1,
            f"claude-code {place.session}" if place.session else None, "session",
        )  # fmt: skip
        for part in parts:
            name = part.name
            step = f"{key}#{name}" if name else key
            also = f"{response}#{name}" if name else response
            fees = [tuple(fee.values()) for fee in part.extras] or None
            assumed = "assumed" if part.assumed else None
            lane.rows.append((not name, (*base, *part[1:9], fees, assumed, step, also, step)))
        out.extra_lines += len(parts) - 1

    def _blocks(self, content: msgspec.Raw, lane: _Lane) -> None:
        """The content blocks of a row; which kind of subagent was given which prompt is remembered."""
        for block in content_blocks(content):
            lane.blocks[block] = None
            if b'"subagent_type"' in block:
                value = parsed(block)
                given = value.get("input") if isinstance(value, dict) else None
                if isinstance(given, Mapping) and isinstance(given.get("subagent_type"), str):
                    self.spawned[sha(encoded(given.get("prompt")))] = given["subagent_type"][:200]

    def _finish(self, lane: _Lane) -> None:
        """The rows of a response whose content is complete: all of them know its tools."""
        if not lane.rows:
            return
        replies = content_answer(lane.blocks)
        calls = [(call.id, call.name, call.args_sha) for reply in replies for call in reply.calls] or None
        spoken = sum(reply.size for reply in replies) // BYTES_PER_TOKEN if replies else None
        known = (True, replies[-1].sha if replies else None, spoken, calls, *lane.sent)
        own = [row for whole, row in lane.rows if whole]
        self.ready.append((_merged(own) if len(own) > 1 else own[0]) + known)
        self.ready += [row + UNKNOWN for whole, row in lane.rows if not whole]
        lane.rows, lane.blocks = [], {}


AT = {name: n for n, name in enumerate(COLUMNS)}
_BEST = [AT[name] for name in ("_rank", "output_tokens", "input_tokens")]
_FILLED = [
    n for name, n in AT.items() if name not in (*USAGE, "source_line", "source_offset", "_rows") and n < AT["has_text"]
]


def _merged(rows: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The rows of one response as `_identity.collapse` merges copies: the largest whole, its gaps filled."""
    known = [row for row in rows if row[AT["started_at"]] is not None]
    known.sort(key=lambda row: row[AT["started_at"]])
    timed = [*known, *(row for row in rows if row[AT["started_at"]] is None)]
    ranked = sorted(timed, key=lambda row: [-1 if row[n] is None else row[n] for n in _BEST], reverse=True)
    made = list(ranked[0])
    for n in _FILLED:
        if made[n] is None:
            made[n] = next((row[n] for row in ranked if row[n] is not None), None)
    made[AT["started_at"]] = timed[0][AT["started_at"]]
    made[AT["_rows"]] = len(rows)
    return tuple(made)


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


def _attempt(retry: Any) -> int | None:
    """The first retry is the second attempt."""
    try:
        return (count(retry) or 0) + 1
    except ValueError:
        return None


_COMMAND = re.compile(rb"<command-name>(/?[\w:.-]{1,80})</command-name>")


def _command(content: msgspec.Raw) -> str | None:
    """The slash command a prompt is, if it is one."""
    found = _COMMAND.search(memoryview(content)[:2_000])
    return "/" + found.group(1).decode("ascii", "replace").lstrip("/") if found else None
