"""Prompts and answers that spans carry, in any convention, brought to one wire shape and fingerprinted.

Structured attributes (`gen_ai.input.messages`) and their JSON text, numbered attributes (`gen_ai.prompt.0.content`,
`llm.input_messages.0.message.content`), and events (`gen_ai.user.message`) say the same thing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from costaudit.ingest._decode import opened
from costaudit.ingest._files import UNREADABLE
from costaudit.ingest._messages import Block, decode, encoded
from costaudit.ingest._prompt import facts
from costaudit.ingest._talk import Conversations, Told
from costaudit.ingest._wire import chat, general, replies

MESSAGES = ("gen_ai.input.messages", "gen_ai.prompt", "ai.prompt.messages", "llm.prompts")
LISTS = frozenset(MESSAGES)
ANSWERS = ("gen_ai.output.messages", "gen_ai.completion", "gen_ai.output", "llm.completions")
SYSTEM = ("gen_ai.system_instructions", "gen_ai.request.instructions")
TOOLS = ("gen_ai.tool.definitions", "gen_ai.request.tools", "llm.request.functions", "ai.prompt.tools", "llm.tools")
NUMBERED_MESSAGES = ("gen_ai.prompt.", "llm.input_messages.", "llm.prompts.")
NUMBERED_ANSWERS = ("gen_ai.completion.", "llm.output_messages.", "llm.completions.")
NUMBERED_TOOLS = ("llm.request.functions.", "llm.tools.")
NUMBERED = (*NUMBERED_MESSAGES, *NUMBERED_ANSWERS, *NUMBERED_TOOLS)
TEXTS = (
    *MESSAGES,
    *ANSWERS,
    *SYSTEM,
    *TOOLS,
    *NUMBERED,
    "ai.response.text",
    "ai.response.toolCalls",
)
FINISH = (
    "gen_ai.response.finish_reasons",
    "gen_ai.response.finish_reason",
    "gen_ai.response.stop_reason",
    "llm.response.finish_reason",
    "llm.finish_reason",
    "ai.response.finishReason",
    "gen_ai.completion.0.finish_reason",
)
IDS = ("chatcmpl-", "resp_", "msg_", "gen-", "cmpl-")  # of responses; frameworks put ids of their own there
HEAD = b'"[{'  # of a list of messages as it stands
MOST = 2_000  # numbered messages of one span; a number beyond is not one


class Quoted(NamedTuple):
    """A text as it stands in its line, to be read where it is needed."""

    raw: msgspec.Raw


def unquoted(raw: msgspec.Raw) -> Any:
    """The value that JSON says; a byte that is no UTF-8 costs one character."""
    try:
        return _decode(raw)
    except UnicodeDecodeError:
        return _decode(bytes(raw).decode("utf-8", "replace"))


_decode = msgspec.json.Decoder().decode


class _Said(msgspec.Struct, frozen=True, gc=False):
    """Those names of a span's attributes that say something, in the order in which they are asked."""

    any: bool
    numbered: bool
    messages: tuple[str, ...]
    answers: tuple[str, ...]
    system: tuple[str, ...]
    tools: tuple[str, ...]
    finish: tuple[str, ...]


@lru_cache(maxsize=4_096)  # few sets of names are in use in a log
def _said(names: tuple[str, ...]) -> _Said:
    said = [name for name in names if name.startswith(TEXTS)]
    asked = (MESSAGES, ANSWERS, SYSTEM, TOOLS, FINISH)
    numbered = any(name.startswith(NUMBERED) for name in said)
    return _Said(bool(said), numbered, *(tuple([name for name in of if name in names]) for of in asked))


def prompt_facts(attributes: Mapping[str, Any], events: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """The fingerprint columns of a call and why its answer ended; columns of what is not logged are absent."""
    said = _said(tuple(attributes))
    if not events and not said.any:
        reason = _finish(attributes, None, said.finish)  # most instrumentations keep no text unless told to
        return {"has_text": False} if reason is None else {"has_text": False, "finish_reason": reason}
    numbered = attributes if said.numbered else {}
    told = _told_as_json(attributes, said.messages)
    messages = (
        None
        if told
        else _first(attributes, said.messages) or _numbered(numbered, NUMBERED_MESSAGES) or _told(events, answers=False)
    )
    reply = _reply(attributes, said.answers)
    said_back = None if reply else _said_back(attributes, events, said.answers, numbered)
    system = _first(attributes, said.system)
    tools = _first(attributes, said.tools) or _numbered(numbered, NUMBERED_TOOLS)
    answer = _answer(said_back)
    found = facts(
        told or _encode([_message(m) for m in messages] if isinstance(messages, list) else messages),
        _encode(_content(system)),
        _encode([_tool(t) for t in tools] if isinstance(tools, list) else None),
        None,
        (),
        reply or (None if answer is None else replies(answer)),
    )
    found["finish_reason"] = _finish(attributes, said_back, said.finish)
    return {name: value for name, value in found.items() if value is not None}


def has_text(attributes: Mapping[str, Any], events: Sequence[tuple[str, Mapping[str, Any]]]) -> bool:
    """What `prompt_facts` says of the column, mostly without a look into the texts."""
    for name in MESSAGES:
        if (value := attributes.get(name)) is not None:
            if type(value) is Quoted and memoryview(value.raw)[: len(HEAD)].tobytes() == HEAD:
                return True
            if type(value) is str and value.startswith("[{"):
                return True
            break
    return bool(prompt_facts(attributes, events)["has_text"])


def _told_as_json(attributes: Mapping[str, Any], names: Sequence[str]) -> Told | None:
    """The messages of a call that an attribute holds as the JSON of a list, each looked at once a process."""
    for name in names:
        if (value := attributes.get(name)) is None:
            continue
        if type(value) is Quoted:
            return _told_in_quotes(value)
        if isinstance(value, str) and value:
            text = value.lstrip()
            told = _CONVERSATIONS.of(text.encode("utf-8", "replace")) if text[:1] == "[" else None
            return told if told is not None and told.blocks else None
        if isinstance(value, (list, Mapping)) and value:
            return None
    return None


def _reply(attributes: Mapping[str, Any], names: Sequence[str]) -> list[Block] | None:
    """The answer that an attribute holds as the JSON of one message of Chat Completions, without a reason to end."""
    text = next((value for name in names if (value := attributes.get(name)) is not None), None)
    if type(text) is not str or not text.startswith("[{"):
        return None
    data = text[1:-1].encode("utf-8", "surrogatepass")
    known = chat(data, lists=False) if text[-1] == "]" else None  # which `_message` leaves as it is
    if known is None:
        return None
    _CONVERSATIONS.expect(data, known)
    return [known]


def _said_back(
    attributes: Mapping[str, Any],
    events: Sequence[tuple[str, Mapping[str, Any]]],
    names: Sequence[str],
    numbered: Mapping[str, Any],
) -> Any:
    """What was answered, wherever the writer keeps it; nothing (None, or empty) where it is not logged."""
    found = _first(attributes, names) or _numbered(numbered, NUMBERED_ANSWERS) or _told(events, answers=True)
    if not found and isinstance(text := attributes.get("ai.response.text"), str):
        found = [{"role": "assistant", "content": text}]
    if not found and isinstance(written := attributes.get("ai.response.toolCalls"), str):
        calls = opened(written)
        found = [{"role": "assistant", "parts": calls}] if isinstance(calls, list) else None
    return found


def _told_in_quotes(value: Quoted) -> Told | None:
    try:
        told = _CONVERSATIONS.quoted(bytes(value.raw))
    except UNREADABLE:  # a byte that is no UTF-8
        told = _CONVERSATIONS.of(unquoted(value.raw).encode("utf-8", "replace"))
    return told if told is not None and told.blocks else None


def _value(attributes: Mapping[str, Any], name: str) -> Any:
    value = attributes.get(name)
    return unquoted(value.raw) if type(value) is Quoted else value


def _block(data: bytes) -> Block:
    known = chat(data, lists=False)  # which `_message` leaves as it is
    return known or general(encoded(_message(decode(data))))


_CONVERSATIONS = Conversations(_block)


def _first(attributes: Mapping[str, Any], names: Sequence[str]) -> Any:
    for name in names:
        if (value := _value(attributes, name)) is None:
            continue
        if isinstance(value, str) and value:
            known = opened(value)
            return value if known is None else known
        if isinstance(value, (list, Mapping)) and value:
            return [opened(v) or v if isinstance(v, str) else v for v in value] if isinstance(value, list) else value
    return None


def _numbered(attributes: Mapping[str, Any], prefixes: tuple[str, ...]) -> list[Any] | None:
    """A list given as one attribute a leaf: `prefix.0.role`, `prefix.0.tool_calls.1.name`."""
    tree: dict[str, Any] = {}
    for name, value in attributes.items():
        if name.startswith(prefixes):
            prefix = next(p for p in prefixes if name.startswith(p))
            _plant(tree, name[len(prefix) :].split("."), value)
    listed = _listed(tree) if tree else None
    return listed if isinstance(listed, list) else None


def _plant(tree: dict[str, Any], path: list[str], value: Any) -> None:
    for key in path[:-1]:
        below = tree.setdefault(key, {})
        if not isinstance(below, dict):
            return
        tree = below
    tree[path[-1]] = value


def _listed(tree: Any) -> Any:
    """A tree of dictionaries with those turned into lists whose keys are all numbers."""
    if not isinstance(tree, dict):
        return tree
    if tree and all(key.isdigit() and len(key) < 6 and int(key) < MOST for key in tree):
        return [_listed(tree[key]) for key in sorted(tree, key=int)]
    return {key: _listed(value) for key, value in tree.items()}


def _told(events: Sequence[tuple[str, Mapping[str, Any]]], *, answers: bool) -> list[Any] | None:
    """Messages that older instrumentations write as events, one each."""
    found: list[Any] = []
    for name, attributes in events:
        role = {"gen_ai.choice": "assistant", "gen_ai.assistant.message": "assistant"}.get(name) or (
            name.split(".")[1] if name.startswith("gen_ai.") and name.endswith(".message") else ""
        )
        if not role or (name == "gen_ai.choice") != answers:
            continue
        body = attributes.get("message", attributes.get("gen_ai.event.content", attributes))
        body = opened(body) if isinstance(body, str) else body
        body = body.get("message", body) if isinstance(body, dict) else None
        if isinstance(body, dict):
            found.append({"role": role, **{str(k).removeprefix("gen_ai."): v for k, v in body.items()}})
    return found or None


def _message(message: Any) -> Any:
    """A message as the Chat Completions and Messages APIs write it."""
    if not isinstance(message, dict):
        return message
    inner = message.get("message")
    message = inner if isinstance(inner, dict) else message
    made: dict[str, Any] = {"role": str(message.get("role") or "user")}
    content = message.get("parts", message.get("content", message.get("contents")))
    made["content"] = _content(_unwrapped(content) if isinstance(content, str) and content[:1] == "[" else content)
    calls = message.get("tool_calls")
    calls = opened(calls) if isinstance(calls, str) else calls
    if isinstance(calls, list):
        made["tool_calls"] = [c.get("tool_call", c) for c in calls if isinstance(c, dict)]
    if message.get("tool_call_id", message.get("id")) is not None:
        made["tool_call_id"] = message.get("tool_call_id", message.get("id"))
    return made


def _content(content: Any) -> Any:
    if isinstance(content, list):
        return [_part(part) for part in content]
    return content


def _part(part: Any) -> Any:
    """A part of a message: the conventions say `content` and `arguments` where the APIs say `text` and `input`."""
    if not isinstance(part, dict):
        return part
    inner = part.get("message_content")
    part = inner if isinstance(inner, dict) else part
    kind = part.get("type")
    if kind in ("tool_call", "tool-call") or (kind is None and ("tool.name" in part or "toolName" in part)):
        name = part.get("name", part.get("toolName", part.get("tool.name")))
        arguments = next((part[key] for key in ("arguments", "args", "input", "tool.args") if key in part), None)
        identity = part.get("id", part.get("toolCallId"))
        return {
            "type": "tool_use",
            "id": identity,
            "name": name,
            "input": _unwrapped(arguments),
        }
    if kind in ("tool_call_response", "tool-result"):
        result = next((part[key] for key in ("response", "result", "output") if key in part), None)
        return {"type": "tool_result", "tool_use_id": part.get("id", part.get("toolCallId")), "content": result}
    if kind == "text" and "text" not in part:
        return {"type": "text", "text": part.get("content")}
    return part


def _unwrapped(value: Any) -> Any:
    """What a text holds as JSON, else the text itself."""
    known = opened(value) if isinstance(value, str) else None
    return value if known is None else known


def _answer(answers: Any) -> Any:
    """The parts of the answer: of several choices the first is what goes on."""
    if not isinstance(answers, list):
        return answers
    if not answers:
        return None
    first = answers[0]
    if isinstance(first, dict) and not {"role", "message", "parts", "content", "tool_calls"} & set(first):
        return [_part(part) for part in answers]
    return [{"message": _message(first)}]


def _tool(tool: Any) -> Any:
    """A tool's definition, out of whatever wraps it."""
    if isinstance(tool, str):
        return opened(tool)
    if isinstance(tool, dict) and isinstance(tool.get("tool"), dict):
        tool = tool["tool"]
    if isinstance(tool, dict) and isinstance(tool.get("json_schema"), str):
        return opened(tool["json_schema"])
    return tool


def _finish(attributes: Mapping[str, Any], answers: Any, names: Sequence[str]) -> str | None:
    for name in names:
        if (value := attributes.get(name)) is None:
            continue
        known = _unwrapped(value)
        known = known[0] if isinstance(known, list) and known else known
        if isinstance(known, str) and known:
            return known[:200]
    if isinstance(answers, list) and answers and isinstance(answers[0], dict):
        said = answers[0].get("finish_reason")
        return said[:200] if isinstance(said, str) else None
    return None


def answered(attributes: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Id of the response and why it ended, out of the whole response that OpenInference keeps as text."""
    value = attributes.get("output.value")
    value = opened(value) if isinstance(value, str) else value
    if not isinstance(value, dict):
        return None, None
    identity, choices = value.get("id"), value.get("choices")
    known = identity[:200] if isinstance(identity, str) and identity.startswith(IDS) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    reason = first.get("finish_reason") if isinstance(first, dict) else value.get("stop_reason")
    return known, reason[:200] if isinstance(reason, str) else None


def _encode(value: Any) -> bytes | None:
    return None if value is None else encoded(value)
