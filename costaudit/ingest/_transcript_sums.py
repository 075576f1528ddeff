"""Transcripts read for what their calls cost, and for nothing else: the rows that nearly all are, one after the other.

No row needs another here, but that rows which say the same of one response are made one where they follow each other,
so that there is less to put into columns: copies are merged by their key later on. A row of any other kind or shape is
left to the reader of whole transcripts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from costaudit.ingest._blocks import BRACE, Lines
from costaudit.ingest._files import UNREADABLE, LogFile
from costaudit.ingest._streams import STDIN
from costaudit.ingest._transcript_types import ZULU, Bare, Text, simple

TOLD = {"output_sha", "reply_tokens", "tool_calls", "tool_results"}  # what answers say, call and send
RUNS = {"run_id", "task", "attempt"}  # what rows decide that bill nothing
LONG = 1_000  # bytes of a row from which looking at its beginning first is worth it
CLOSING = ord("}")
BILLING = {"assistant", "system", "result"}  # rows that are calls, or say something of the next one
UNREAD = ", by its head"  # what is counted of rows of which a reading of sums sees nothing but the beginning
_TEXT = rb'"[^"\\\x00-\x1f]*"'
_PAIR = _TEXT + rb":(?:" + _TEXT + rb"|null|true|false),"
HEAD = re.compile(
    rb'\{"parentUuid":(?:null|'
    + _TEXT
    + rb')(?P<same>,"isSidechain":(?P<side>true|false),(?:'
    + _PAIR
    + rb')*?"sessionId":"[^"\\\x00-\x1f]+",'
    rb"(?:" + _PAIR + rb')*?"type":")(?P<kind>[a-z-]+)",'
    rb'(?:"message":\{"role":"user","content":\[\{(?:"tool_use_id":' + _TEXT + rb',)?(?P<result>"type":"tool_result"))?'
)
"""The beginning of a row as Claude Code writes it: what all rows of a file have in common, its type, and whether it is
the result of a tool, which begins no run."""
EARLY = 700  # bytes of a row in which all of that stands
_after = re.compile(rb'\{"parentUuid":"[0-9a-f-]{36}"').match  # the beginning of every row but the first
BEGINS = len('{"parentUuid":""') + 36
LONGEST_KIND = 40  # characters


Cells = tuple[Any, ...]


def sums_alone(file: LogFile) -> bool:
    """Whether nothing but sums is wanted of a file that can be read a second time."""
    return file.only is not None and file.path != STDIN and file.only.isdisjoint(TOLD | RUNS)


class Odd(NamedTuple):
    """A line that is left to the reader of whole transcripts."""

    line: int
    offset: int
    data: bytes


class Seen(NamedTuple):
    """What was seen of a transcript or of a slice of it."""

    rows: list[Cells]
    skipped: dict[str, int]
    left: Sequence[Odd]
    lines: int
    until: int | None  # the byte behind its last line, if that is complete


class _Row(msgspec.Struct, gc=False):
    type: Text = None
    uuid: Text = None
    sessionId: Text = None
    session_id: Text = None
    requestId: Text = None
    request_id: Text = None
    isSidechain: bool | None = None
    isApiErrorMessage: bool | None = None
    timestamp: Text = None
    cwd: Text = None
    effort: Text = None
    costUSD: Any = None
    message: Bare | None = None


_decode = msgspec.json.Decoder(_Row).decode
EPOCH, MICROSECOND = datetime.fromtimestamp(0, UTC), timedelta(microseconds=1)
NAMES = (
    "source_line", "source_offset", "started_at", "_rank", "_rows", "_own_at", "finish_reason", "input_tokens",
    "cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens",
    "model", "request_id", "parent_id", "key_id", "reasoning_effort", "status", "service_tier", "region", "_key",
)  # fmt: skip
"""What a response knows; times in microseconds."""


class Sums:
    """The responses of one transcript; `owner` is the session that a subagent's file is part of."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.ready: list[Cells] = []
        self.by_head: Counter[bytes] = Counter()  # rows of which the beginning was read, by type
        self.skipped: Counter[str] = Counter()
        self.same = b""  # what all rows so far have in common between their parent and their type
        self.said: Cells = ()  # of the response that is being read
        self.rows = 0  # of it; none: there is no such response
        self.size: Cells = ()  # of the largest
        self.best: Cells = ()  # the largest, and why it ended
        self.first: Any = None  # time of its first row
        self.ended: tuple[Cells, Cells] | None = None  # size of the largest row that says why it ended, and that row

    def scan(self, block: Lines) -> list[Odd]:
        """Read a block; what is left are the lines that have to be read otherwise."""
        data, at, stop, number = block.data, block.start, block.end, block.line - 1
        offset, find, by_head = block.offset - block.start, data.find, self.by_head
        after, same, width = _after, self.same, len(self.same)
        odd: list[Odd] = []
        with memoryview(data) as view:
            while at < stop:
                end = find(b"\n", at, stop)
                end = stop if end < 0 else end
                start, at, number = at, end + 1, number + 1
                if data[start] != BRACE:
                    odd.append(Odd(number, offset + start, bytes(data[start:end])))
                    continue
                if end - start > LONG and data[end - 1] == CLOSING:
                    at_kind = start + BEGINS + width
                    kind = b""
                    if width and data[start + BEGINS : at_kind] == same and after(data, start) is not None:
                        kind = bytes(data[at_kind : max(at_kind, find(b'"', at_kind, at_kind + LONGEST_KIND))])
                    if kind in by_head:
                        by_head[kind] += 1
                        continue
                    if kind != b"assistant" and (head := HEAD.match(data, start, min(end, start + EARLY))) is not None:
                        same, width = head["same"], len(head["same"])
                        if head["kind"].decode() not in BILLING:
                            by_head[head["kind"]] += 1
                            continue
                try:
                    row = _decode(view[start:end])
                except UNREADABLE:
                    row = _UNKNOWN
                if not self._take(row, number, offset + start):
                    odd.append(Odd(number, offset + start, bytes(data[start:end])))
        self.same = same
        block.lines = number - block.line + 1
        return odd

    def _take(self, row: _Row, number: int, offset: int) -> bool:
        """Whether the row was read."""
        kind, message, stamp = row.type, row.message, row.timestamp
        if kind != "assistant":
            if not kind or kind in BILLING or row.uuid is None:
                return False
            self.skipped[kind[:60]] += 1
            return True
        if message is None or message.usage is None or not message.id or not row.uuid or row.costUSD is not None:
            return False
        usage, model = message.usage, message.model
        counts = simple(usage)
        if counts is None or model == "<synthetic>" or stamp is None or len(stamp) != ZULU or not _this(stamp):
            return False
        try:
            at = datetime.fromisoformat(stamp)
        except ValueError:
            return False
        said = (
            message.id, row.requestId, row.request_id, model, row.sessionId, row.session_id, row.cwd, row.effort,
            row.isApiErrorMessage, usage.speed, usage.service_tier, usage.inference_geo,
        )  # fmt: skip
        rank, output, given, reason = (
            0 if row.isSidechain is True else 2,
            counts[5],
            counts[0],
            message.stop_reason or None,
        )
        size = (rank, -1 if output is None else output, -1 if given is None else given)
        if said != self.said or not self.rows:
            self.finish()
            self.said, self.first, self.size, self.rows = said, at, size, 1
            self.best = (number, offset, at, rank, counts, reason)
            self.ended = (size, self.best) if reason else None
            return True
        self.rows += 1
        if size > self.size or (size == self.size and at < self.best[2]):
            self.size, self.best = size, (number, offset, at, rank, counts, reason)
        if reason:
            before = self.ended
            if before is None or size > before[0] or (size == before[0] and at < before[1][2]):
                self.ended = (size, (number, offset, at, rank, counts, reason))
        if at < self.first:
            self.first = at
        return True

    def finish(self) -> None:
        """The rows of a response that say the same of it are complete; why it ended may stand in a smaller one."""
        if not self.rows:
            return
        if self.ended is not None and self.best[5] is None:
            self.rows -= 1
            self._keep(self.ended[1], self.ended[1][2], 1)
        self._keep(self.best, self.first, self.rows)
        self.rows = 0

    def _keep(self, row: Cells, since: datetime, rows: int) -> None:
        response, one, other, model, session, alike, cwd, effort, failed, speed, tier, region = self.said
        number, offset, at, rank, counts, reason = row
        first = (since - EPOCH) // MICROSECOND
        request = one or other
        key = f"{response}|{request}" if request else response
        self.ready.append(
            (
                number, offset, first, rank, rows, first if at is since else (at - EPOCH) // MICROSECOND, reason,
                *counts[:6], model or None, response, self.owner or session or alike or None, cwd or None,
                effort or None, "error" if failed is True else None, "fast" if speed == "fast" else tier or None,
                region or None, key,
            )
        )  # fmt: skip

    def seen(self, left: Sequence[Odd] = (), lines: int = 0, until: int | None = None) -> Seen:
        """All of it, when it is read."""
        self.finish()
        skipped = self.skipped + Counter({f"{kind.decode()[:60]}{UNREAD}": n for kind, n in self.by_head.items()})
        return Seen(self.ready, dict(skipped), left, lines, until)


def _this(stamp: str) -> bool:
    """Whether a time is of this century, in UTC."""
    return stamp[-1] == "Z" and "2015" <= stamp[:4] < "2100"


_UNKNOWN = _Row()
