"""Messages in one canonical form, whatever their wire shape: who, hash, size, tool calls and results; never text.

Four shapes are known: Chat Completions, Responses items, Anthropic content blocks, Gemini parts. An answer and its echo
in the next request have the same hash, which is what runs are rebuilt from.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from xxhash import xxh3_64_intdigest as digest

from costaudit.ingest._files import UNREADABLE
from costaudit.ingest._results import escaped, escaped_sha, tells_failure

LENGTH = struct.Struct("<Q").pack
PAIR = struct.Struct("<QQ").pack
OPENING = 20_000  # characters of a message that can name its family
FRAME = 16  # bytes that stand for what a message adds around its text: about 4 tokens (`_tokens.PER_MESSAGE`)
SAID = ("text", "input", "args", "content", "response")  # where a part of a message keeps what it says
NESTED = 5  # levels of a content that are opened: list, result, list, text; what is deeper weighs what it is sent as
BYTES_PER_TOKEN = 4  # only shares of a prompt are taken from sizes; `input_tokens` gives the scale
REMEMBERED = 2_000  # characters of a call that is worth remembering
DEEP = b'"nested too deeply"'  # JSON, for it is read again


class Call(msgspec.Struct, frozen=True, gc=False):
    """A tool call of an answer."""

    id: int | None
    name: str
    args_sha: int
    size: int = 0  # bytes of name and arguments


class Block(msgspec.Struct, gc=False):
    """One message in canonical form: who, hash, size, and what it says about tools."""

    role: str
    sha: int
    size: int
    calls: tuple[Call, ...] = ()
    results: tuple[tuple[int | None, int, bool], ...] = ()
    opening: str = ""  # what a system or user message begins with, for the prompt family


def sha(*parts: bytes | str | int | None) -> int:
    """xxh3 of the parts, each with its length, so that no two lists of parts collide by joining."""
    pieces: list[bytes] = []
    for part in parts:
        data = part if type(part) is bytes else str(part).encode("utf-8", "surrogatepass")
        pieces += (LENGTH(len(data)), data)
    return digest(b"".join(pieces))


def said_sha(role: str, text: str, parts: Sequence[str] = ()) -> int:
    """`sha` of a role, what it says, and more."""
    begun = _ROLE.get(role)
    if begun is None or len(parts) > 1:
        return sha(role, text, *parts)
    data = text.encode("utf-8", "surrogatepass")
    begun += LENGTH(len(data)) + data
    if parts:
        data = parts[0].encode("utf-8", "surrogatepass")
        begun += LENGTH(len(data)) + data
    return digest(begun)


_ROLE = {role: LENGTH(len(role)) + role.encode() for role in ("system", "user", "assistant", "tool")}


def tool_id(identity: Any) -> int | None:
    """What a call and its result are joined by."""
    if type(identity) is not str:
        return sha("tool", identity) if identity else None
    data = identity.encode("utf-8", "surrogatepass")
    return digest(_TOOL + LENGTH(len(data)) + data) if data else None


_TOOL = LENGTH(len(b"tool")) + b"tool"  # as `sha` begins


def encoded(value: Any) -> bytes:
    """A value as JSON with sorted keys; values nested too deeply to be written are all alike."""
    try:
        return msgspec.json.encode(value, enc_hook=str, order="deterministic")
    except RecursionError:
        return DEEP


def link(chain: int, block: int) -> int:
    """The chain after one more block: h_k of `_prompt`."""
    return digest(PAIR(chain, block))


def decode(data: bytes) -> Any:
    """A JSON value; a byte that is no UTF-8 costs one character, and what is no JSON is None."""
    try:
        return msgspec.json.decode(data)
    except UNREADABLE:
        try:
            return msgspec.json.decode(data.decode("utf-8", "replace"))
        except UNREADABLE:
            return None


ROLES = {"developer": "system", "model": "assistant", "ai": "assistant", "human": "user", "function": "tool"}


def message(said: Mapping[str, Any]) -> Block:
    """Any wire shape of a message in canonical form."""
    kind = said.get("type")
    role = str(said.get("role") or "")
    if not role and kind in ("function_call", "custom_tool_call"):
        call = called(said.get("call_id"), said.get("name"), said.get("arguments", said.get("input")))
        return Block("assistant", sha("call", call.name, call.args_sha), FRAME + call.size, calls=(call,))
    if not role and kind in ("function_call_output", "custom_tool_call_output"):
        result = answered(said.get("call_id"), said.get("output"), None)
        return Block("tool", sha("result", result[1]), FRAME + weight(said.get("output")), results=(result,))
    role = ROLES.get(role, role or ("assistant" if kind in ("reasoning", "message") else "user"))
    texts: list[str] = []
    calls: list[Call] = []
    results: list[tuple[int | None, int, bool]] = []
    others: list[int] = []
    content = said.get("content", said.get("parts"))
    if role == "tool" and not _holds_results(content):
        results.append(answered(said.get("tool_call_id"), content, said.get("is_error")))
    else:
        for part in content if isinstance(content, list) else [content]:
            _part(part, texts, calls, results, others)
    inside = len(calls)
    made = said.get("tool_calls")
    for raw in made if isinstance(made, list) else ():
        if isinstance(raw, dict):
            function = raw.get("function")
            function = function if isinstance(function, dict) else raw
            calls.append(called(raw.get("id"), function.get("name"), function.get("arguments", function.get("args"))))
    function = said.get("function_call")
    if isinstance(function, dict):
        calls.append(called(None, function.get("name"), function.get("arguments")))
    joined = "\n".join(texts)
    parts = [c.name + str(c.args_sha) for c in calls] + [str(r[1]) for r in results] + [str(o) for o in others]
    return Block(
        role,
        said_sha(role, joined, parts),
        FRAME + weight(content) + sum(c.size for c in calls[inside:]),
        tuple(calls),
        tuple(results),
        joined[:OPENING] if role in ("system", "user") else "",
    )


def _part(
    part: Any,
    texts: list[str],
    calls: list[Call],
    results: list[tuple[int | None, int, bool]],
    others: list[int],
) -> None:
    """One part of a content list; hidden reasoning is left out, for it is not echoed."""
    if isinstance(part, str):
        texts.append(part)
    elif isinstance(part, dict):
        kind = part.get("type")
        if kind in ("thinking", "redacted_thinking", "reasoning"):
            return
        if kind in ("tool_use", "server_tool_use"):
            calls.append(called(part.get("id"), part.get("name"), part.get("input")))
        elif kind == "tool_result":
            results.append(answered(part.get("tool_use_id"), part.get("content"), part.get("is_error")))
        elif isinstance(part.get("functionCall"), dict):
            call = part["functionCall"]
            calls.append(called(call.get("id"), call.get("name"), call.get("args")))
        elif isinstance(part.get("functionResponse"), dict):
            response = part["functionResponse"]
            results.append(answered(response.get("id"), response.get("response"), None))
        elif isinstance(part.get("text"), str):
            if not part.get("thought"):
                texts.append(part["text"])
        else:
            others.append(sha(encoded(part)))


def _holds_results(content: Any) -> bool:
    """Whether a tool's message is a list of results with ids of their own, as OpenTelemetry writes it."""
    return isinstance(content, list) and any(isinstance(p, dict) and p.get("type") == "tool_result" for p in content)


def weight(content: Any, depth: int = 0) -> int:
    """Bytes of what a content says, without the wire shape around it: a message weighs the same in every format."""
    if content is None:
        return 0
    if isinstance(content, str):
        return len(content) if content.isascii() else len(content.encode("utf-8", "replace"))
    if depth < NESTED and isinstance(content, list):
        return sum(weight(part, depth + 1) for part in content)
    if depth < NESTED and isinstance(content, dict):
        inner = content.get("functionCall", content.get("functionResponse"))
        part = inner if isinstance(inner, dict) else content
        said = next((part[key] for key in SAID if part.get(key) is not None), part)
        named = len(str(part.get("name") or ""))
        if isinstance(said, (str, list)):
            return named + weight(said, depth + 1)
        return named + len(encoded(said))
    return len(encoded(content))


def called(identity: Any, name: Any, arguments: Any) -> Call:
    """A tool call."""
    texts = type(arguments) is type(identity) is type(name) is str
    small = texts and len(arguments) + len(identity) + len(name) < REMEMBERED
    return (_called_once if small else _called)(identity, name, arguments)


def _called(identity: Any, name: Any, arguments: Any) -> Call:
    data = _canonical_args(arguments)
    known = str(name or "")[:200]
    return Call(tool_id(identity), known, digest(LENGTH(len(data)) + data), len(known) + len(data))  # `sha` of them


_called_once = lru_cache(maxsize=4_096)(_called)  # a call stands in an answer, and in the requests after it


def args_sha(arguments: Any) -> int:
    """Hash of tool arguments as canonical JSON: keys sorted, text trimmed, numbers normalised."""
    return sha(_canonical_args(arguments))


def _canonical_args(arguments: Any) -> bytes:
    if isinstance(arguments, str):
        opened = decode(arguments.encode("utf-8", "replace"))
        arguments = arguments if opened is None else opened
    try:
        return encoded(_canonical(arguments))
    except RecursionError:
        return DEEP


def _canonical(value: Any) -> Any:
    if type(value) is dict:  # as most are, of texts
        return {
            key if type(key) is str else str(key): inner.strip() if type(inner) is str else _canonical(inner)
            for key, inner in value.items()
        }
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_canonical(v) for v in value]
    if isinstance(value, dict):
        return {str(k): _canonical(v) for k, v in value.items()}
    return value


def answered(identity: Any, content: Any, error: Any) -> tuple[int | None, int, bool]:
    """A tool's result: what joins it to its call, its hash, and whether it failed."""
    body = escaped(plain(content))
    failed = bool(error) if error is not None else tells_failure(body)
    return tool_id(identity), escaped_sha(body), failed


def plain(content: Any) -> str:
    """What a tool answered, as text."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(p, dict) and isinstance(p.get("text"), str) for p in content):
        return "\n".join(p["text"] for p in content)
    return encoded(content).decode()


def answer_blocks(data: bytes) -> list[Block]:
    """The answer as the messages it will be echoed as: choices, content blocks, output items or candidates."""
    return answers(decode(data))


def answers(value: Any) -> list[Block]:
    """The same of an answer that is decoded."""
    if isinstance(value, str):
        return [message({"role": "assistant", "content": value})]
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        return []
    items = [v for v in value if isinstance(v, dict)]
    if any("message" in v or "delta" in v for v in items):  # choices: one is what goes on
        messages = [v.get("message") or v.get("delta") for v in items[:1]]
        return [message({"role": "assistant"} | dict(m)) for m in messages if isinstance(m, dict)]
    if any(isinstance(v.get("content"), dict) for v in items):  # candidates
        contents = [v["content"] for v in items[:1] if isinstance(v.get("content"), dict)]
        return [message({"role": "model"} | dict(c)) for c in contents]
    if any(
        v.get("type") in ("message", "function_call", "custom_tool_call", "reasoning") or "call_id" in v for v in items
    ):
        return [message(v) for v in items if v.get("type") != "reasoning"]
    return [message({"role": "assistant", "content": items})]  # content blocks
