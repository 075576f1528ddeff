"""Rows that are surely a transcript's, told by their keys alone: hundreds of files may begin with such rows.

What a row is takes asking every format about it. A row with no other keys than these leaves no doubt (a property test
compares the two), and what stands inside a transcript's row makes it no row of anything else (`Format.closed`).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

SCORE = 92  # what the format says of such a row (`claude_code`)
SNAPSHOT = b'{"type":"file-history-snapshot"'
Name = str | None
Flag = bool | None


class _Strict(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A part of a row of which every key is known."""


class Message(_Strict, gc=False):
    role: Literal["user", "assistant"]
    content: msgspec.Raw
    model: Name = None
    id: Name = None
    type: Literal["message"] | msgspec.UnsetType = msgspec.UNSET
    stop_reason: Name = None
    stop_sequence: Name = None
    stop_details: msgspec.Raw = msgspec.Raw()
    usage: msgspec.Raw = msgspec.Raw()
    container: msgspec.Raw = msgspec.Raw()
    context_management: msgspec.Raw = msgspec.Raw()


class Row(_Strict, gc=False):
    parentUuid: Name
    sessionId: str
    uuid: str
    type: Literal["user", "assistant", "progress", "system", "attachment"]
    message: Message | msgspec.UnsetType = msgspec.UNSET
    data: msgspec.Raw = msgspec.Raw()
    toolUseResult: msgspec.Raw = msgspec.Raw()
    thinkingMetadata: msgspec.Raw = msgspec.Raw()
    todos: msgspec.Raw = msgspec.Raw()
    imagePasteIds: msgspec.Raw = msgspec.Raw()
    toolUseID: Name = None
    parentToolUseID: Name = None
    sourceToolUseID: Name = None
    sourceToolAssistantUUID: Name = None
    isSidechain: Flag = None
    isMeta: Flag = None
    isCompactSummary: Flag = None
    isVisibleInTranscriptOnly: Flag = None
    isApiErrorMessage: Flag = None
    userType: Name = None
    cwd: Name = None
    version: Name = None
    gitBranch: Name = None
    slug: Name = None
    permissionMode: Name = None
    promptId: Name = None
    entrypoint: Name = None
    requestId: Name = None
    agentId: Name = None
    timestamp: Name = None


class _Backups(_Strict, gc=False):
    messageId: str
    timestamp: Name
    trackedFileBackups: dict[str, Any]


class Snapshot(_Strict, gc=False):
    """A row that no format reads, as stands at the beginning of many transcripts."""

    type: Literal["file-history-snapshot"]
    messageId: str
    snapshot: _Backups
    isSnapshotUpdate: Flag = None


_decode_row = msgspec.json.Decoder(Row).decode
_decode_snapshot = msgspec.json.Decoder(Snapshot).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def score(data: bytes) -> int | None:
    """What asking all formats would say of a line: `SCORE` for a transcript, 0 for none; None: they must be asked."""
    try:
        if not data.startswith(SNAPSHOT):
            _decode_row(data)
            return SCORE
        row = _decode_snapshot(data)
    except _UNREADABLE:
        return None
    texts = (row.messageId, row.snapshot.messageId, row.snapshot.timestamp or "")
    opens = any(text.lstrip().startswith(("{", "[")) for text in texts)  # a text that is JSON may hold anything
    return None if opens or row.snapshot.trackedFileBackups else 0
