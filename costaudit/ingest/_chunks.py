"""Streamed Chat Completions: the chunks of a response put together again, in one object of the ordinary shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from costaudit.ingest._openai import joined

EVENT = "chat.completion.chunk"


def is_chunk(value: Any) -> bool:
    """Whether an object is a piece of a streamed answer; servers that leave out `object` still send deltas."""
    if not isinstance(value, Mapping):
        return False
    return value.get("object") == EVENT or deltas(value.get("choices"))


def deltas(choices: Any) -> bool:
    """Whether choices are pieces of an answer."""
    first = choices[0] if type(choices) is list and choices else None
    return type(first) is dict and type(first.get("delta")) is dict and "message" not in first


class _Choice(msgspec.Struct):
    content: list[str | None] = msgspec.field(default_factory=list)
    calls: dict[int, dict[str, Any]] = msgspec.field(default_factory=dict)
    finish: str | None = None
    annotations: list[Any] = msgspec.field(default_factory=list)


class Stream(msgspec.Struct):
    """One response while its chunks come in; `line` and `offset` are those of its first chunk."""

    line: int
    offset: int
    around: dict[str, Any]
    head: dict[str, Any]
    usage: Mapping[str, Any] | None = None
    choices: dict[int, _Choice] = msgspec.field(default_factory=dict)

    def add(self, chunk: Mapping[str, Any]) -> None:
        """Take in a chunk. Servers that repeat a running usage mean the last one; it is never a sum."""
        for key in ("model", "service_tier", "created", "provider", "error"):
            if chunk.get(key) is not None:
                self.head[key] = chunk[key]
        timing = chunk.get("x_groq")
        usage = chunk.get("usage") or (timing.get("usage") if isinstance(timing, Mapping) else None)
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, Mapping):
                self._choice(choice)
                usage = usage or choice.get("usage")  # Moonshot's way
        if isinstance(usage, Mapping) and usage:
            self.usage = usage

    def _choice(self, choice: Mapping[str, Any]) -> None:
        index = choice.get("index")
        mine = self.choices.setdefault(index if isinstance(index, int) else 0, _Choice())
        mine.finish = choice.get("finish_reason") or mine.finish
        delta = choice.get("delta")
        if not isinstance(delta, Mapping):
            return
        if isinstance(delta.get("content"), str):
            mine.content.append(delta["content"])
        notes = delta.get("annotations")
        mine.annotations += notes if isinstance(notes, list) else []
        calls = delta.get("tool_calls")
        for n, call in enumerate(calls if isinstance(calls, list) else ()):
            if isinstance(call, Mapping):
                _call(mine.calls, call, n)

    def response(self) -> dict[str, Any]:
        """The response as it would have come without streaming; without usage where the stream was broken off."""
        choices = [
            {
                "index": n,
                "finish_reason": choice.finish,
                "message": {
                    "role": "assistant",
                    "content": joined(choice.content),
                    "tool_calls": [{**call, "function": {**call["function"]}} for call in choice.calls.values()]
                    or None,
                    "annotations": choice.annotations or None,
                },
            }
            for n, choice in sorted(self.choices.items())
        ]
        return {**self.head, "object": "chat.completion", "stream": True, "usage": self.usage, "choices": choices}


def _call(calls: dict[int, dict[str, Any]], piece: Mapping[str, Any], n: int) -> None:
    """A tool call comes in pieces: id and name first, then its arguments, told apart by their index."""
    index = piece.get("index")
    call = calls.setdefault(
        index if isinstance(index, int) else n, {"id": None, "function": {"name": "", "arguments": ""}}
    )
    call["id"] = piece.get("id") or call["id"]
    function = piece.get("function")
    if isinstance(function, Mapping):
        call["function"]["name"] = function.get("name") or call["function"]["name"]
        if isinstance(function.get("arguments"), str):
            call["function"]["arguments"] += function["arguments"]
