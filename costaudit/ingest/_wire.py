"""Messages by their JSON: the usual shapes are decoded by type, each message once; any other shape the general way."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, cast

import msgspec
from msgspec import UNSET

from costaudit.ingest._files import UNREADABLE
from costaudit.ingest._messages import (
    FRAME,
    OPENING,
    ROLES,
    Block,
    Call,
    answer_blocks,
    answered,
    answers,
    called,
    decode,
    encoded,
    message,
    said_sha,
    sha,
    weight,
)
from costaudit.ingest._recent import remembered
from costaudit.ingest._talk import Conversations, Told, told


class _Function(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    name: str | None = None
    arguments: str | None = None


class _Called(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    function: _Function
    id: str | None = None
    type: Any = None
    index: Any = None


class _Chat(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A message of Chat Completions; with any other key it is read the general way."""

    role: str
    content: str | None = None
    tool_calls: list[_Called] | None = None
    tool_call_id: str | None = None
    name: Any = None
    refusal: Any = None
    annotations: Any = None
    reasoning_content: Any = None


_decode_chat = msgspec.json.Decoder(_Chat).decode


def block(data: bytes) -> Block:
    """The message of a JSON; a bare string is one of the user."""
    return chat(data, lists=True) or general(data)


def chat(data: bytes, *, lists: bool) -> Block | None:
    """The message of Chat Completions that a JSON is; None for any other.

    lists   also for one whose text may be that of a list
    """
    try:
        said = _decode_chat(data)
    except UNREADABLE:
        return None
    if not said.role or (not lists and said.content is not None and said.content.startswith("[")):
        return None
    return _chat(said)


def general(data: bytes) -> Block:
    """The same for any shape."""
    value = decode(data)
    if isinstance(value, str):
        return message({"role": "user", "content": value})
    return message(value) if isinstance(value, dict) else Block("user", sha(data), len(data))


def _chat(said: _Chat) -> Block:
    """`message` of what was decoded by type."""
    role, text = ROLES.get(said.role, said.role), said.content
    calls: tuple[Call, ...] = ()
    parts: list[str] = []
    size = FRAME + weight(text)
    if said.tool_calls:
        calls = tuple([called(c.id, c.function.name, c.function.arguments) for c in said.tool_calls])
        parts = [c.name + str(c.args_sha) for c in calls]
        size += sum([c.size for c in calls])
    if role == "tool":
        result = answered(said.tool_call_id, text, None)
        return Block(role, said_sha(role, "", [*parts, str(result[1])]), size, calls, (result,))
    joined = text or ""
    opening = joined[:OPENING] if role in ("system", "user") else ""
    return Block(role, said_sha(role, joined, parts), size, calls, (), opening)


def replies(value: Any) -> list[Block]:
    """`answers` of what is decoded: the first of the usual choices by type."""
    first = value[0] if type(value) is list and value else None
    said = first.get("message") if type(first) is dict else None
    if type(said) is dict:
        with suppress(msgspec.ValidationError):
            typed = msgspec.convert(said, _Chat)
            if typed.role:
                reply = _chat(typed)
                with suppress(UnicodeEncodeError, OverflowError):  # half a character, a number of more than 64 bits
                    _CONVERSATIONS.expect(_encode(said), reply)
                return [reply]
    return answers(value)


_CONVERSATIONS = Conversations(block)
_encode = msgspec.json.Encoder().encode


def conversation(messages: bytes) -> Told | None:
    """The messages of a request; a bare string is one user message."""
    if messages.startswith(b'"'):
        return told([message({"role": "user", "content": decode(messages)})])
    return _CONVERSATIONS.of(messages)


@remembered(2 << 20)
def system_block(data: bytes) -> Block:
    return message({"role": "system", "content": decode(data)})


class _Said(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A content block of an answer as the Messages API writes it; with any other key it is read the general way."""

    type: str
    text: str | None = cast(Any, UNSET)
    thinking: Any = UNSET
    signature: Any = UNSET
    data: Any = UNSET
    citations: Any = UNSET
    id: Any = UNSET
    name: str | None = cast(Any, UNSET)
    input: Any = UNSET


_decode_said = msgspec.json.Decoder(_Said).decode
HIDDEN = ("thinking", "redacted_thinking")


def content_answer(blocks: Iterable[bytes]) -> list[Block]:
    """`answer_blocks` of content blocks that are given as JSON each."""
    raws = list(blocks)
    said = _usual_answer(raws)
    return answer_blocks(b"[" + b",".join(raws) + b"]") if said is None else [said]


def _usual_answer(raws: Iterable[bytes]) -> Block | None:
    """The answer by type; None where a block is not as the Messages API writes it."""
    texts: list[str] = []
    calls: list[Call] = []
    size = FRAME
    for raw in raws:
        try:
            said = _decode_said(raw)
        except UNREADABLE:
            return None
        kind, text = said.type, said.text
        if type(said.name) is str or said.input is not UNSET:
            if kind != "tool_use" or type(text) is str or type(said.input) is not dict:
                return None
            name = said.name or ""
            calls.append(called(said.id or None, name, said.input))
            size += len(name) + len(encoded(said.input))
        elif kind == "text" and type(text) is str:
            texts.append(text)
            size += weight(text)
        elif kind in HIDDEN and type(text) is not str:
            size += len(encoded(said))
        else:
            return None
    joined = "\n".join(texts)
    parts = [c.name + str(c.args_sha) for c in calls]
    return Block("assistant", said_sha("assistant", joined, parts), size, tuple(calls))
