"""Rows of Claude Code's transcripts, decoded to what calls are made of; everything else is only checked to be JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from costaudit.ingest._decode import mended
from costaudit.ingest._files import UNREADABLE, Record
from costaudit.ingest._format import Out, loads
from costaudit.ingest._messages import decode as decoded
from costaudit.ingest._messages import encoded, plain, tool_id
from costaudit.ingest._results import escaped, escaped_sha, tells_failure
from costaudit.ingest._steps import Step, steps
from costaudit.ingest._transcript_sums import EARLY, HEAD
from costaudit.ingest._transcript_types import ZULU, Message, Row, simple
from costaudit.ingest._values import count, flag, moment, text


class Block(msgspec.Struct, gc=False):
    """A content block that may be a tool's result."""

    type: Any = None
    tool_use_id: Any = None
    is_error: Any = None
    content: msgspec.Raw = msgspec.Raw()


class Sent(Message, gc=False):
    """A message of the user of which the blocks are wanted: decoded in one go."""

    content: list[Block] = []  # type: ignore[assignment]


class SentRow(Row, gc=False):
    message: Sent | None = None


class Said(Message, gc=False):
    """An answer whose blocks are taken as they stand, in the same go."""

    content: list[msgspec.Raw] = []  # type: ignore[assignment]


class SaidRow(Row, gc=False):
    message: Said | None = None


class _LooseMessage(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    stop_reason: Any = None
    usage: Any = None
    content: msgspec.Raw = msgspec.Raw()


class _Loose(msgspec.Struct, gc=False):
    """The same row with values of any type."""

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
    message: _LooseMessage | None = None


_decode_row = msgspec.json.Decoder(Row).decode
_decode_sent = msgspec.json.Decoder(SentRow).decode
_decode_said = msgspec.json.Decoder(SaidRow).decode
USER = b'"type":"user"'
PROMPT = 1 << 20  # bytes of a row from which it is not looked at as a prompt where a file could be cut
decode_blocks = msgspec.json.Decoder(list[Block]).decode
decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_loose = msgspec.json.Decoder(_Loose).decode
FLAGS = ("isSidechain", "isMeta", "isCompactSummary", "isApiErrorMessage")
ASIS = ("timestamp", "costUSD", "retryAttempt", "leafUuid", "messageId", "message")
TEXTS = tuple(f for f in Row.__struct_fields__ if f not in (*FLAGS, *ASIS))


def decode(data: Any, start: int, end: int, view: memoryview) -> Row:
    """The row in a part of a block; raises `UNREADABLE` where it is not of the usual types."""
    line = view[start:end]
    try:
        if data.find(USER, start, min(end, start + EARLY)) < 0:
            said = _decode_said(line)
            if said.message is None or said.type == "assistant":
                return said
        else:
            sent = _decode_sent(line)
            if sent.message is not None and sent.type == "user":
                for block in sent.message.content:
                    if block.type == "tool_result":
                        return sent
    except UNREADABLE:  # its content is a text, or it is something else
        pass
    return _decode_row(line)


def decode_plain(data: Any, start: int, end: int, view: memoryview) -> Row:
    """The same, with the content as it stands."""
    del data
    return _decode_row(view[start:end])


def row(record: Record, out: Out) -> Row | None:
    """A record as a row; odd shapes of rows that cost nothing are counted by type, others are rejects."""
    data = record.data if isinstance(record.data, bytes) else encoded(record.data)
    for mend in (bytes, mended):
        with suppress(*UNREADABLE):
            return _decode_row(mend(data))
        with suppress(*UNREADABLE):
            return _tidied(_decode_loose(mend(data)))
    value = loads(data, record.line, out)
    if value is None:
        return None
    if value.get("type") == "assistant" and "message" in value:
        out.rejects.append((record.line, "message is not an object"))
        return None
    kinds = {name: value.get(name) for name in ("type", "subtype", "uuid", "sessionId", "session_id", "leafUuid")}
    return _tidied(_Loose(**kinds))


def _tidied(loose: _Loose) -> Row:
    made = Row()
    for name in TEXTS:
        setattr(made, name, _mark(getattr(loose, name)))
    for name in FLAGS:
        setattr(made, name, flag(getattr(loose, name)))
    for name in ("costUSD", "retryAttempt", "leafUuid", "messageId"):
        setattr(made, name, getattr(loose, name))
    made.timestamp = loose.timestamp
    if loose.message is not None:
        message = loose.message
        usage = message.usage if isinstance(message.usage, Mapping) and message.usage else None
        made.message = Message(
            _mark(message.id), text(message.model), text(message.stop_reason), None, message.content, usage
        )
    return made


def _mark(value: Any) -> str | None:
    """A text; a value that is none is still a sign that the row has the key."""
    return "" if (known := text(value)) is None and value is not None else known


def when(value: Any) -> datetime | None:
    """The time of a row; an unreadable one is as if it were absent, for the usage is still right."""
    try:
        if type(value) is str and len(value) == ZULU and value[-1] == "Z" and "2015" <= value[:4] < "2100":
            return datetime.fromisoformat(value)
        return None if value is None else moment(value)
    except (ValueError, OverflowError, TypeError):
        return None


# --- usage and content ------------------------------------------------------------------------------------------------

_UNMETERED = Step("", None, None, None, None, None, None, None, None, (), assumed=False)


class Billed(NamedTuple):
    """One billed step of a response: `counts` are columns, from `input_tokens` to `convention`."""

    name: str
    model: str | None
    counts: tuple[Any, ...]


def billed(message: Message, model: str | None) -> list[Billed]:
    """What a row is billed for; raises ValueError for a value that is no token count."""
    usage = message.usage
    if usage is None:
        return [_billed(step) for step in (steps(message.odd, model) if message.odd else [_unmetered(model)])]
    cells = simple(usage)
    if cells is not None:
        return [Billed("", model, cells)]
    return [_billed(step) for step in steps(msgspec.to_builtins(usage), model)]


def _unmetered(model: str | None) -> Step:
    return _UNMETERED._replace(model=model)


def _billed(step: Step) -> Billed:
    fees = [tuple(fee.values()) for fee in step.extras] or None
    return Billed(step.name, step.model, (*step[2:9], fees, "assumed" if step.assumed else None))


def served(message: Message) -> tuple[str | None, str | None]:
    """In which tier and where a response was made."""
    usage = message.usage
    if usage is not None:
        return "fast" if usage.speed == "fast" else usage.service_tier or None, usage.inference_geo or None
    odd = message.odd or {}
    return "fast" if odd.get("speed") == "fast" else text(odd.get("service_tier")), text(odd.get("inference_geo"))


def content_blocks(content: msgspec.Raw | list[msgspec.Raw]) -> list[bytes]:
    """The content blocks of a message; a bare text is one."""
    if isinstance(content, list):
        return list(map(bytes, content))
    start = bytes(memoryview(content)[:1])
    if start == b"[":
        try:
            return [bytes(block) for block in decode_raws(content)]
        except UNREADABLE:
            return []
    return [b'{"type":"text","text":' + bytes(content) + b"}"] if start == b'"' else []


def results(content: msgspec.Raw | list[Block]) -> list[tuple[int | None, int, bool]]:
    """The results of tools in a user's row: id of the call, hash, whether the tool failed."""
    if isinstance(content, list):
        blocks = content
    elif bytes(memoryview(content)[:1]) == b"[":
        try:
            blocks = decode_blocks(content)
        except UNREADABLE:
            return []
    else:
        return []
    return [_result(block) for block in blocks if block.type == "tool_result"]


class _Kind(msgspec.Struct, gc=False):
    type: Any = None


_decode_kinds = msgspec.json.Decoder(list[_Kind]).decode


def answers(content: msgspec.Raw) -> bool:
    """Whether a user's row holds results of tools."""
    if bytes(memoryview(content)[:1]) != b"[":
        return False
    try:
        return any(block.type == "tool_result" for block in _decode_kinds(content))
    except UNREADABLE:
        return False


def _result(block: Block) -> tuple[int | None, int, bool]:
    data = memoryview(block.content)
    if bytes(data[:1]) == b'"':
        body: bytes | memoryview = data[1:-1]
        hashed = escaped_sha(body)
    else:
        body = escaped(plain(decoded(bytes(data)) if data else None))
        hashed = escaped_sha(body)
    failed = bool(block.is_error) if block.is_error is not None else tells_failure(bytes(body[:240]))
    return tool_id(block.tool_use_id), hashed, failed


def prompts(path: Path, size: int, most: int) -> list[int]:
    """Places about `most` bytes apart where a row begins that is surely a prompt of the user to the main loop.

    None in a file that holds side chains too: what they are does not end with a prompt.
    """
    found: list[int] = []
    with path.open("rb") as stream:
        at = most
        while at < size:
            stream.seek(at)
            _past(stream)
            while (start := stream.tell()) < min(at + most, size):
                line = stream.readline(PROMPT)
                head = HEAD.match(line, 0, EARLY)
                if head is not None and head["side"] == b"true":
                    return []
                if not line.endswith(b"\n"):
                    _past(stream)
                elif head is not None and head["kind"] == b"user" and not head["result"] and _asks(line):
                    found.append(start)
                    break
            at += most * max(1, (stream.tell() - at) // most)
    return found


def _past(stream: IO[bytes]) -> None:
    """To the next line; one that is longer than memory allows is never held."""
    while (part := stream.readline(PROMPT)) and not part.endswith(b"\n"):
        pass


def _asks(line: bytes) -> bool:
    try:
        found = _decode_row(line)
    except UNREADABLE:
        return False
    content = found.message.content if found.message is not None else msgspec.Raw()
    return not (found.isMeta or found.isCompactSummary or found.agentId or answers(content))


def unmarked(row: Row) -> bool:
    """Whether a row without an id of its own has no other sign of a transcript."""
    return all(m is None for m in (row.sessionId, row.session_id, row.leafUuid, row.messageId, row.agentId))


def attempt(retry: Any) -> int | None:
    """The first retry is the second attempt."""
    try:
        return (count(retry) or 0) + 1
    except ValueError:
        return None


_COMMAND = re.compile(rb"<command-name>(/?[\w:.-]{1,80})</command-name>")


def command(content: msgspec.Raw) -> str | None:
    """The slash command a prompt is, if it is one."""
    found = _COMMAND.search(memoryview(content)[:2_000])
    return "/" + found.group(1).decode("ascii", "replace").lstrip("/") if found else None
