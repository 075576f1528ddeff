"""Rows that are surely a transcript's, told by their keys alone: hundreds of files may begin with such rows.

What a row is takes asking every format about it and everything inside it. A row with no other keys than these, and no
text that is JSON itself, leaves nothing to be found inside (a property test compares the two).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

SCORE = 92  # what the format says of such a row (`claude_code`)
Name = str | None
Flag = bool | None


class _Strict(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A part of a row of which every key is known."""


class Lifetimes(_Strict, gc=False):
    ephemeral_5m_input_tokens: int = 0
    ephemeral_1h_input_tokens: int = 0


class Searches(_Strict, gc=False):
    web_search_requests: int = 0
    web_fetch_requests: int = 0


class Usage(_Strict, gc=False):
    input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    output_tokens: int = 0
    cache_creation: Lifetimes | None = None
    server_tool_use: Searches | None = None
    service_tier: Name = None
    speed: Name = None
    inference_geo: Name = None


class Message(_Strict, gc=False):
    content: str | list[msgspec.Raw]
    role: Literal["user", "assistant"]
    model: Name = None
    id: Name = None
    type: Literal["message"] | msgspec.UnsetType = msgspec.UNSET
    stop_reason: Name = None
    stop_sequence: Name = None
    usage: Usage | msgspec.UnsetType = msgspec.UNSET


class Progress(_Strict, gc=False):
    type: str
    output: Name = None
    fullOutput: Name = None
    elapsedTimeSeconds: float | None = None
    totalLines: int | None = None


class Row(_Strict, gc=False):
    parentUuid: Name
    sessionId: str
    uuid: str
    type: Literal["user", "assistant", "progress"]
    message: Message | msgspec.UnsetType = msgspec.UNSET
    data: Progress | msgspec.UnsetType = msgspec.UNSET
    toolUseID: Name = None
    parentToolUseID: Name = None
    isSidechain: Flag = None
    isMeta: Flag = None
    userType: Name = None
    cwd: Name = None
    version: Name = None
    gitBranch: Name = None
    requestId: Name = None
    agentId: Name = None
    timestamp: Name = None


class _Snapshot(_Strict, gc=False):
    messageId: str
    timestamp: str
    trackedFileBackups: dict[str, Any]


class Snapshot(_Strict, gc=False):
    """A row that no format reads, as stands at the beginning of many transcripts."""

    type: Literal["file-history-snapshot"]
    messageId: str
    snapshot: _Snapshot
    isSnapshotUpdate: Flag = None


_decode_row = msgspec.json.Decoder(Row).decode
_decode_snapshot = msgspec.json.Decoder(Snapshot).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def score(data: bytes) -> int | None:
    """What asking all formats would say of a line: `SCORE` for a transcript, 0 for none; None: they must be asked."""
    if data.startswith(b'{"type":"file-history'):
        try:
            row = _decode_snapshot(data)
        except _UNREADABLE:
            return None
        return 0 if not row.snapshot.trackedFileBackups and not _opens(row) else None
    try:
        found = _decode_row(data)
    except _UNREADABLE:
        return None
    return None if _opens(found) else SCORE


def _opens(part: msgspec.Struct) -> bool:
    """Whether a text may be JSON, in which there may be anything."""
    for value in msgspec.structs.astuple(part):
        if isinstance(value, str):
            if value.lstrip().startswith(("{", "[")):
                return True
        elif isinstance(value, _Strict) and _opens(value):
            return True
    return False
