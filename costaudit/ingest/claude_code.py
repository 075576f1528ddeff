"""Session transcripts of Claude Code, and its subagents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import PurePath
from typing import Any

import msgspec

from costaudit.ingest._blocks import BRACE, Lines
from costaudit.ingest._columns import columns
from costaudit.ingest._decode import parsed
from costaudit.ingest._files import UNREADABLE, LogFile, Record, beside
from costaudit.ingest._format import Again, Format, Out, Seam
from costaudit.ingest._messages import BYTES_PER_TOKEN, encoded, sha
from costaudit.ingest._streams import STDIN
from costaudit.ingest._transcript_lanes import (
    COLUMNS,
    MAIN,
    SUBAGENT,
    SUMMED,
    UNKNOWN,
    Cells,
    Lane,
    Line,
    merged,
    placed,
)
from costaudit.ingest._transcript_rows import (
    Billed,
    answers,
    attempt,
    billed,
    command,
    content_blocks,
    decode,
    decode_plain,
    prompts,
    results,
    row,
    served,
    unmarked,
    when,
)
from costaudit.ingest._transcript_sums import (
    BILLING,
    CLOSING,
    EARLY,
    HEAD,
    LONG,
    RUNS,
    TOLD,
    UNREAD,
    Odd,
    Seen,
    Sums,
    sums_alone,
)
from costaudit.ingest._transcript_types import Message, Row, family, simple
from costaudit.ingest._values import text, usd
from costaudit.ingest._wire import content_answer

MANY = 10_000  # rows that are worth columns of their own


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
    closed = True  # a tool may have printed the log of another program

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


@ClaudeCode.read_by
class _Reader:
    """Reads one transcript in order; the rows of a response wait until the next one begins."""

    def __init__(self, file: LogFile) -> None:
        self.path, self.file = PurePath(file.shown), file.path
        self.owner, self.agent = family(self.path)
        self.kind = _agent_type(file) if self.agent else ""
        self.told = file.only is None or not TOLD.isdisjoint(file.only)  # what answers say, call and send is wanted
        self.runs = self.told or not RUNS.isdisjoint(file.only or ())
        self.decode = decode if self.told else decode_plain
        self.heads = not self.told and file.path != STDIN  # standard input cannot be read again
        self.sums = Sums(self.owner) if sums_alone(file) else None
        self.passed = file.known is not None  # whether a row was counted by its head, or left to another reader
        self.lanes: dict[str, Lane] = {}
        self.side: dict[str, str] = {}  # uuid of a side-chain row -> lane, where no agent id is written
        self.spawned: dict[int, str] = {}  # hash of the prompt given to a subagent -> its kind
        self.ready: list[Cells] = []
        self.starts: bool | None = None  # whether a prompt came before the first response
        self.first = ""  # what that is known by
        self.numbered = False  # whether one is known by its line alone

    def alone(self, records: Sequence[Record]) -> bool:
        """Whether no line needs another: copies of a response are found in whatever slice of the file they stand."""
        del records
        return self.sums is not None

    def cuts(self, size: int, most: int) -> list[int]:
        """Where a prompt of the user begins: what the main loop does from there on needs nothing from before."""
        return [] if self.agent else prompts(self.file, size, most)

    def seam(self) -> Seam:
        """Whether the slice that was read can stand beside others: that of a main loop, with nothing left open."""
        lane = self.lanes.get("")
        waits = self.agent or self.side or self.numbered or self.lanes.keys() - {""}
        clean = not waits and (lane is None or (lane.attempt is None and not lane.results))
        return Seam(self.starts is not False, self.first, lane.key if lane else "", clean)

    def scan(self, block: Lines, out: Out) -> Iterator[tuple[int, int, bytes]]:
        """Every line is decoded where it stands: what its parts cost is what checking that it is JSON costs."""
        if self.sums is not None:
            yield from self._summed(self.sums, block, out)
            return
        data, at, stop, number = block.data, block.start, block.end, block.line - 1
        offset = block.offset - at
        find, take, decoded = data.find, self._take, self.decode
        shortest = LONG if self.heads else stop
        with memoryview(data) as view:
            while at < stop:
                end = find(b"\n", at, stop)
                end = stop if end < 0 else end
                start, at, number = at, end + 1, number + 1
                if data[start] != BRACE:
                    yield number, offset + start, bytes(data[start:end])
                    continue
                if end - start > shortest and self._by_head(data, start, end, out):
                    continue
                try:
                    row = decoded(data, start, end, view)
                except UNREADABLE:
                    self.feed([Record(number, offset + start, bytes(data[start:end]).strip())], out)
                    continue
                if not take(row, number, offset + start, out):
                    out.foreign.append(Record(number, offset + start, bytes(data[start:end]).strip()))
                del row  # it holds the block
        block.lines = number - block.line + 1
        if len(self.ready) >= MANY:
            self._flush(out)

    def _summed(self, sums: Sums, block: Lines, out: Out) -> Iterator[tuple[int, int, bytes]]:
        yield from self._left(sums.scan(block), out)
        if len(sums.ready) >= MANY:
            out.frames.append(placed(columns(sums.ready, SUMMED)))
            sums.ready = []

    def resume(self, seen: Seen, out: Out) -> Iterator[tuple[int, int, bytes]]:
        """Take what was seen elsewhere, and read what was left there, as `scan` does."""
        out.tuples(SUMMED, seen.rows, placed)
        out.skipped.update(seen.skipped)
        yield from self._left(seen.left, out)

    def _left(self, left: Sequence[Odd], out: Out) -> Iterator[tuple[int, int, bytes]]:
        self.passed = True
        for number, offset, line in left:
            if line[:1] == b"{":
                self.feed([Record(number, offset, line.strip())], out)
            else:
                yield number, offset, line

    def _by_head(self, data: Any, start: int, end: int, out: Out) -> bool:
        """Count a long row by what its beginning says, if that says that it bills nothing and its end is there."""
        head = HEAD.match(data, start, min(end, start + EARLY))
        if head is None or data[end - 1] != CLOSING or self.agent or head["side"] != b"false":
            return False
        kind = head["kind"].decode()
        if kind in BILLING or (kind == "user" and not head["result"]):
            return False
        out.skipped[f"{kind[:60]}{UNREAD}"] += 1
        self.passed = True
        return True

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
        if self.sums is not None:
            seen = self.sums.seen()
            out.tuples(SUMMED, seen.rows, placed)
            out.skipped.update(seen.skipped)

    def _flush(self, out: Out) -> None:
        """Rows of a long session into columns, which take a tenth of the memory."""
        out.frames.append(columns(self.ready, COLUMNS))
        self.ready = []

    def _take(self, row: Row, number: int, offset: int, out: Out) -> bool:
        """Whether the row is one of a transcript."""
        kind, message = row.type, row.message
        if not kind:
            if row.agentType is not None:
                out.skipped["agent description"] += 1
            return row.agentType is not None
        if (row.uuid is None and unmarked(row)) or (kind == "result" and row.agentId is None):
            return False
        if message is not None and kind == "assistant":
            self._assistant(row, message, number, offset, out)
            return True
        if message is not None and kind == "user":
            self._user(row, message)
        elif kind == "system":
            if row.subtype == "api_error":
                self._lane(row).attempt = attempt(row.retryAttempt)
            kind = f"system/{row.subtype}" if row.subtype else kind
        out.skipped[kind[:60]] += 1
        return True

    # --- conversations ------------------------------------------------------------------------------------------------

    def _lane(self, row: Row) -> Lane:
        """The conversation of a row: the main loop, or the subagent that it names."""
        agent = self.agent or row.agentId or row.parent_tool_use_id or ""
        if not agent and row.isSidechain is True and row.uuid:
            agent = self.side.get(row.parentUuid or "") or row.uuid
            self.side[row.uuid] = agent
        lane = self.lanes.get(agent)
        if lane is None:
            lane = self.lanes[agent] = Lane(agent)
        if agent:
            lane.task = row.attributionAgent or self.kind or lane.task
        return lane

    def _user(self, row: Row, message: Message) -> None:
        lane = self._lane(row)
        lane.since = when(row.timestamp) or lane.since
        if not self.runs:
            return
        if self.told and (found := results(message.content)):
            lane.results += found
        elif answers(message.content):  # of which no result can be read, or is wanted
            pass
        elif row.isMeta is not True and row.isCompactSummary is not True:
            lane.asked(row.uuid or "")
            if lane is self.lanes.get(""):
                self.starts = self.starts is not False
                lane.task = command(message.content) or MAIN
            elif lane.task == SUBAGENT:
                lane.task = self.spawned.get(sha(bytes(message.content)), lane.task)

    def _assistant(self, row: Row, message: Message, number: int, offset: int, out: Out) -> None:
        usage, model = message.usage, message.model or None
        counted = usage is not None or message.odd is not None
        if model == "<synthetic>" or (not counted and row.isApiErrorMessage is True):
            out.skipped["answer to an API error"] += 1
            return
        if not counted and model is None and message.id is None:
            out.skipped["assistant without usage"] += 1
            return
        counts, cost = simple(usage) if usage is not None else None, None
        steps: list[Billed] = []
        if counts is None or row.costUSD is not None:
            try:
                (_, model, counts), *steps = billed(message, model)
                cost = None if row.costUSD is None else usd(row.costUSD)
            except (ValueError, TypeError) as problem:
                out.refuse(number, problem)
                return
        lane = self._lane(row)
        said = (
            message.id, row.requestId, row.request_id, model, row.sessionId, row.session_id, lane.task, row.cwd,
            row.effort, row.isApiErrorMessage, *served(message), cost, message.id or row.uuid or number,
        )  # fmt: skip
        if said != lane.said:
            self._names(said, row, lane, number)
        at = when(row.timestamp)
        if at is None:
            at = self._before(lane)
        lane.since = at
        if self.runs:
            self._blocks(message.content, lane)
        rank = 0 if row.isSidechain is True else 2
        reason = message.stop_reason or None
        if not steps:
            lane.rows.append(Line(number, offset, at, rank, reason, counts, lane.names))
            return
        lane.rows.append(Line(number, offset, at, rank + 1, reason, counts, lane.names))
        for step in steps:
            *names, key, also, _ = lane.names
            own = (step.model, *names[1:], f"{key}#{step.name}", f"{also}#{step.name}", f"{key}#{step.name}")
            lane.steps.append(Line(number, offset, at, rank + 1, reason, step.counts, own))
        out.extra_lines += len(steps)

    def _before(self, lane: Lane) -> datetime | None:
        """The time of the row before; where that was not looked into, the file has to be read as a whole."""
        if self.passed:
            raise Again
        return lane.since

    def _names(self, said: Cells, row: Row, lane: Lane, number: int) -> None:
        """What the row says of its response; another response begins where it is known by another key."""
        response, model, task = said[0] or None, said[3], said[6]
        request = row.requestId or row.request_id
        key = response or row.uuid or f"{self.path}:{number}"
        key = f"{key}|{request}" if response and request else key
        if key != lane.key:
            self.first = self.first or key
            self.starts = self.starts is True
            self.numbered |= response is None and not row.uuid
            self._finish(lane)
            lane.key = key
            lane.sent = (lane.attempt, lane.results or None)
            lane.results, lane.attempt = [], None
        session = self.owner or row.sessionId or row.session_id or ""
        lane.said = said
        lane.names = (
            model, response, lane.run(session), "log", session or None, task, row.cwd or None, row.effort or None,
            "error" if row.isApiErrorMessage is True else None, *said[-4:-1],
            f"claude-code {session}" if session else None, "session", key, response, key,
        )  # fmt: skip

    def _blocks(self, content: msgspec.Raw, lane: Lane) -> None:
        """The content blocks of a row; which kind of subagent was given which prompt is remembered."""
        if not self.told and b'"subagent_type"' not in bytes(content):
            return
        for block in content_blocks(content):
            lane.blocks[block] = None
            if b'"subagent_type"' in block:
                value = parsed(block)
                given = value.get("input") if isinstance(value, dict) else None
                if isinstance(given, Mapping) and isinstance(given.get("subagent_type"), str):
                    self.spawned[sha(encoded(given.get("prompt")))] = given["subagent_type"][:200]

    def _finish(self, lane: Lane) -> None:
        """The rows of a response whose content is complete: all of them know its tools."""
        if not lane.rows:
            return
        attempt, results = lane.sent
        if self.told:
            replies = content_answer(lane.blocks)
            calls = [(call.id, call.name, call.args_sha) for reply in replies for call in reply.calls] or None
            spoken = sum(reply.size for reply in replies) // BYTES_PER_TOKEN if replies else None
            known = (True, attempt, replies[-1].sha if replies else None, spoken, calls, results)
        else:
            known = (True, attempt, None, None, None, None)
        largest, *others = merged(lane.rows)
        self.ready.append(largest + known)
        self.ready += [row + UNKNOWN for row in (*others, *(step.cells(step.at) for step in lane.steps))]
        lane.rows, lane.steps, lane.blocks = [], [], {}


def _agent_type(file: LogFile) -> str:
    """The kind of subagent, as the description beside its transcript says."""
    try:
        with beside(file.path).open("rb") as stream:
            value = msgspec.json.decode(stream.read(1 << 16))
    except (OSError, *UNREADABLE):
        return ""
    return (text(value.get("agentType")) or "") if isinstance(value, Mapping) else ""
