"""Streamed answers of the Messages API: the events of a message put together again, in one ordinary message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from costaudit.ingest._decode import opened

START, DELTA, STOP = "message_start", "message_delta", "message_stop"
BLOCKS = ("content_block_start", "content_block_delta", "content_block_stop")
EVENTS = (START, DELTA, STOP, *BLOCKS)


class Message(msgspec.Struct):
    """A message while its events come in; `line` and `offset` are those of its start."""

    line: int
    offset: int
    around: Mapping[str, Any]
    head: Mapping[str, Any]
    usage: dict[str, Any] = msgspec.field(default_factory=dict)
    blocks: dict[int, dict[str, Any]] = msgspec.field(default_factory=dict)
    last: dict[str, Any] = msgspec.field(default_factory=dict)

    def add(self, event: Mapping[str, Any]) -> None:
        """Take in an event. Counts of `message_delta` are cumulative: they replace those of the start, never add.

        Gateways that repeat all names fill those they do not know with 0, which takes back nothing.
        """
        kind = event.get("type")
        if kind == DELTA:
            self._counts(event.get("usage"))
            delta = event.get("delta")
            self.last |= {k: v for k, v in delta.items() if v is not None} if isinstance(delta, Mapping) else {}
        elif kind in BLOCKS:
            self._block(event)

    def _counts(self, usage: Any) -> None:
        if isinstance(usage, Mapping):
            known = self._known()
            self.usage |= {k: v for k, v in usage.items() if v or (v is not None and not known.get(k))}

    def _known(self) -> dict[str, Any]:
        start = self.head.get("usage")
        return {**(start if isinstance(start, Mapping) else {}), **self.usage}

    def _block(self, event: Mapping[str, Any]) -> None:
        index = event.get("index")
        block = self.blocks.setdefault(index if isinstance(index, int) else -1, {"text": "", "json": ""})
        if isinstance(event.get("content_block"), Mapping):
            block["start"] = event["content_block"]
        delta = event.get("delta")
        if isinstance(delta, Mapping):
            block["text"] += delta["text"] if isinstance(delta.get("text"), str) else ""
            block["json"] += delta["partial_json"] if isinstance(delta.get("partial_json"), str) else ""

    def message(self) -> dict[str, Any]:
        """The message as it would have come without streaming."""
        content = [_content(block) for _, block in sorted(self.blocks.items())]
        return {**self.head, **self.last, "stream": True, "usage": self._known(), "content": content}


def _content(block: Mapping[str, Any]) -> dict[str, Any]:
    start = dict(block.get("start") or {"type": "text"})
    if start.get("type") == "text":
        begun = start.get("text")
        start["text"] = (begun if isinstance(begun, str) else "") + block["text"]
    elif block["json"]:
        start["input"] = opened(block["json"]) or block["json"]
    return start
