"""Messages in one canonical form, whatever their wire shape: who, hash, size, tool calls and results; never text.

Four shapes are known: Chat Completions, Responses items, Anthropic content blocks, Gemini parts. An answer and its echo
in the next request have the same hash, which is what runs are rebuilt from.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
import xxhash

from costaudit.ingest._files import UNREADABLE
from costaudit.ingest._results import escaped, escaped_sha, tells_failure

PAIR = struct.Struct("<QQ").pack
OPENING = 20_000  # characters of a message that can name its family
FRAME = 16  # bytes that stand for what a message adds around its text: about 4 tokens (`_tokens.PER_MESSAGE`)
SAID = ("text", "input", "args", "content", "response")  # where a part of a message keeps what it says
DECLARED = ("name", "description", "parameters", "input_schema", "parametersJsonSchema", "inputSchema")  # of a tool
NESTED = 5  # levels of a content that are opened: list, result, list, text; what is deeper weighs what it is sent as
BYTES_PER_TOKEN = 4  # only shares of a prompt are taken from sizes; `input_tokens` gives the scale
DEEP = b'"nested too deeply"'  # JSON, for it is read again
SENTENCES = 16  # of a system prompt that tell families with variable parts apart (METHODS 5.1, F3)


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
        data = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
        pieces += (len(data).to_bytes(8, "little"), data)
    return xxhash.xxh3_64_intdigest(b"".join(pieces))


def tool_id(identity: Any) -> int | None:
    """What a call and its result are joined by."""
    if type(identity) is not str:
        return sha("tool", identity) if identity else None
    data = identity.encode("utf-8", "surrogatepass")
    return xxhash.xxh3_64_intdigest(_TOOL + len(data).to_bytes(8, "little") + data) if data else None


_TOOL = len(b"tool").to_bytes(8, "little") + b"tool"  # as `sha` begins


def encoded(value: Any) -> bytes:
    """A value as JSON with sorted keys; values nested too deeply to be written are all alike."""
    try:
        return msgspec.json.encode(value, enc_hook=str, order="deterministic")
    except RecursionError:
        return DEEP


def link(chain: int, block: int) -> int:
    """The chain after one more block: h_k of METHODS 5.2."""
    return xxhash.xxh3_64_intdigest(PAIR(chain, block))


def decode(data: bytes) -> Any:
    for attempt in (data, data.decode("utf-8", "replace").encode()):
        try:
            return msgspec.json.decode(attempt)
        except UNREADABLE:
            continue
    return None


def blocks_of(data: bytes) -> list[Block]:
    """The messages of a request; a bare string is one user message."""
    if data.startswith(b'"'):
        return [_message({"role": "user", "content": decode(data)})]
    try:
        parts = msgspec.json.decode(data, type=list[msgspec.Raw])
    except UNREADABLE:
        return []
    return [_BLOCKS.of(part) for part in parts]


class Blocks:
    """Messages by the hash of their JSON: a conversation sends each of them again with every call."""

    def __init__(self, made: Callable[[bytes], Block], most: int = 16 << 20) -> None:
        """`made`: the message of a JSON; `most`: characters of text that are held before all are forgotten."""
        self.made, self.most = made, most
        self.known: dict[bytes, Block] = {}
        self.held = 0

    def all(self, data: bytes | str) -> list[Block] | None:
        """The messages of a JSON list; None if it is no list of objects."""
        try:
            parts = msgspec.json.decode(data, type=list[msgspec.Raw])
        except UNREADABLE:
            return None
        return [self.of(part) for part in parts]

    def of(self, raw: msgspec.Raw) -> Block:
        key = xxhash.xxh3_128_digest(raw)
        block = self.known.get(key)
        if block is None:
            block = self.made(bytes(raw))
            self.held += len(block.opening) + FRAME * 16
            if self.held > self.most:
                self.known, self.held = {}, 0
            self.known[key] = block
        return block


def _block(data: bytes) -> Block:
    value = decode(data)
    if isinstance(value, str):
        return _message({"role": "user", "content": value})
    return _message(value) if isinstance(value, dict) else Block("user", sha(data), len(data))


_BLOCKS = Blocks(_block)


@lru_cache(maxsize=2_000)
def system_block(data: bytes) -> Block:
    return _message({"role": "system", "content": decode(data)})


_ROLES = {"developer": "system", "model": "assistant", "ai": "assistant", "human": "user", "function": "tool"}


def _message(message: Mapping[str, Any]) -> Block:
    """Any wire shape of a message in canonical form."""
    kind = message.get("type")
    role = str(message.get("role") or "")
    if not role and kind in ("function_call", "custom_tool_call"):
        call = _call(message.get("call_id"), message.get("name"), message.get("arguments", message.get("input")))
        return Block("assistant", sha("call", call.name, call.args_sha), FRAME + call.size, calls=(call,))
    if not role and kind in ("function_call_output", "custom_tool_call_output"):
        result = _result(message.get("call_id"), message.get("output"), None)
        return Block("tool", sha("result", result[1]), FRAME + _weight(message.get("output")), results=(result,))
    role = _ROLES.get(role, role or ("assistant" if kind in ("reasoning", "message") else "user"))
    texts: list[str] = []
    calls: list[Call] = []
    results: list[tuple[int | None, int, bool]] = []
    others: list[int] = []
    content = message.get("content", message.get("parts"))
    if role == "tool" and not _holds_results(content):
        results.append(_result(message.get("tool_call_id"), content, message.get("is_error")))
    else:
        for part in content if isinstance(content, list) else [content]:
            _part(part, texts, calls, results, others)
    inside = len(calls)
    for raw in message.get("tool_calls") or ():
        if isinstance(raw, dict):
            function = raw.get("function")
            function = function if isinstance(function, dict) else raw
            calls.append(_call(raw.get("id"), function.get("name"), function.get("arguments", function.get("args"))))
    function = message.get("function_call")
    if isinstance(function, dict):
        calls.append(_call(None, function.get("name"), function.get("arguments")))
    joined = "\n".join(texts)
    parts = [c.name + str(c.args_sha) for c in calls] + [str(r[1]) for r in results] + [str(o) for o in others]
    return Block(
        role,
        sha(role, joined, *parts),
        FRAME + _weight(content) + sum(c.size for c in calls[inside:]),
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
            calls.append(_call(part.get("id"), part.get("name"), part.get("input")))
        elif kind == "tool_result":
            results.append(_result(part.get("tool_use_id"), part.get("content"), part.get("is_error")))
        elif isinstance(part.get("functionCall"), dict):
            call = part["functionCall"]
            calls.append(_call(call.get("id"), call.get("name"), call.get("args")))
        elif isinstance(part.get("functionResponse"), dict):
            response = part["functionResponse"]
            results.append(_result(response.get("id"), response.get("response"), None))
        elif isinstance(part.get("text"), str):
            if not part.get("thought"):
                texts.append(part["text"])
        else:
            others.append(sha(encoded(part)))


def _holds_results(content: Any) -> bool:
    """Whether a tool's message is a list of results with ids of their own, as OpenTelemetry writes it."""
    return isinstance(content, list) and any(isinstance(p, dict) and p.get("type") == "tool_result" for p in content)


def _weight(content: Any, depth: int = 0) -> int:
    """Bytes of what a content says, without the wire shape around it: a message weighs the same in every format."""
    if content is None:
        return 0
    if isinstance(content, str):
        return len(content.encode("utf-8", "replace"))
    if depth < NESTED and isinstance(content, list):
        return sum(_weight(part, depth + 1) for part in content)
    if depth < NESTED and isinstance(content, dict):
        inner = content.get("functionCall", content.get("functionResponse"))
        part = inner if isinstance(inner, dict) else content
        said = next((part[key] for key in SAID if part.get(key) is not None), part)
        named = len(str(part.get("name") or ""))
        if isinstance(said, (str, list)):
            return named + _weight(said, depth + 1)
        return named + len(encoded(said))
    return len(encoded(content))


def _call(identity: Any, name: Any, arguments: Any) -> Call:
    data = _canonical_args(arguments)
    called = str(name or "")[:200]
    return Call(tool_id(identity), called, sha(data), len(called) + len(data))


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
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_canonical(v) for v in value]
    if isinstance(value, dict):
        return {str(k): _canonical(v) for k, v in value.items()}
    return value


def _result(identity: Any, content: Any, error: Any) -> tuple[int | None, int, bool]:
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


_VARIABLE = re.compile(
    r"""\b[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}\b | \S+@\S+\.\S+ | https?://\S+ | "[^"\n]{0,200}" | '[^'\n]{0,200}'
      | \b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b | \b(mon|tues|wednes|thurs|fri|satur|sun)day\b
      | \b(january|february|march|april|may|june|july|august|september|october|november|december)\b | \d+([.,:/-]\d+)*
    """,
    re.VERBOSE,
)


@lru_cache(maxsize=2_000)  # a task sends the same system prompt with every call
def masked(prompt: str) -> str:
    """Lower case, with everything that varies within a family replaced by a mark (METHODS 5.1, F2)."""
    return " ".join(_VARIABLE.sub("#", prompt.lower()).split())


@lru_cache(maxsize=2_000)
def declared_tools(data: bytes) -> tuple[tuple[dict[str, Any], ...], int] | None:
    """The declared tools with hash and size, and the hash of their sorted names."""
    value = decode(data)
    if not isinstance(value, list):
        return None
    tools: list[dict[str, Any]] = []
    for tool in value:
        if not isinstance(tool, dict):
            continue
        inner = tool.get("function")
        several = tool.get("functionDeclarations", tool.get("function_declarations"))
        for one in several if isinstance(several, list) else [inner if isinstance(inner, dict) else tool]:
            if not isinstance(one, dict):
                continue
            raw = encoded(one)
            name = str(one.get("name") or tool.get("type") or "")[:200]
            said = sum(len(encoded(one[key])) for key in DECLARED if key in one)
            tools.append({"name": name, "sha": sha(raw), "tokens": max(1, (said or len(raw)) // BYTES_PER_TOKEN)})
    return tuple(tools), sha(*sorted(t["name"] for t in tools))


def answer_blocks(data: bytes) -> list[Block]:
    """The answer as the messages it will be echoed as: choices, content blocks, output items or candidates."""
    value = decode(data)
    if isinstance(value, str):
        return [_message({"role": "assistant", "content": value})]
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        return []
    items = [v for v in value if isinstance(v, dict)]
    if any("message" in v or "delta" in v for v in items):  # choices: one is what goes on
        messages = [v.get("message") or v.get("delta") for v in items[:1]]
        return [_message({"role": "assistant"} | dict(m)) for m in messages if isinstance(m, dict)]
    if any(isinstance(v.get("content"), dict) for v in items):  # candidates
        contents = [v["content"] for v in items[:1] if isinstance(v.get("content"), dict)]
        return [_message({"role": "model"} | dict(c)) for c in contents]
    if any(
        v.get("type") in ("message", "function_call", "custom_tool_call", "reasoning") or "call_id" in v for v in items
    ):
        return [_message(v) for v in items if v.get("type") != "reasoning"]
    return [_message({"role": "assistant", "content": items})]  # content blocks


class _Said(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A content block of an answer as the Messages API writes it; with any other key it is read the general way."""

    type: str
    text: str | None = None
    thinking: Any = None
    signature: Any = None
    data: Any = None
    citations: Any = None
    id: Any = None
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw()


_decode_said = msgspec.json.Decoder(_Said).decode
HIDDEN = ("thinking", "redacted_thinking")


def content_answer(blocks: Iterable[bytes]) -> list[Block]:
    """`answer_blocks` of content blocks that are given as JSON each."""
    raws = list(blocks)
    texts: list[str] = []
    calls: list[Call] = []
    size = FRAME
    for raw in raws:
        try:
            said = _decode_said(raw)
        except UNREADABLE:
            return answer_blocks(b"[" + b",".join(raws) + b"]")
        bare = said.name is None and not memoryview(said.input)
        if said.type == "text" and said.text is not None and bare:
            texts.append(said.text)
            size += len(said.text.encode())
        elif said.type == "tool_use" and said.text is None and bytes(memoryview(said.input)[:1]) == b"{":
            given = decode(bytes(said.input))
            call = _call(said.id, said.name, given)
            calls.append(call)
            size += len(said.name or "") + len(encoded(given))
        elif said.type in HIDDEN and said.text is None and bare:
            size += len(encoded(decode(raw)))
        else:
            return answer_blocks(b"[" + b",".join(raws) + b"]")
    joined = "\n".join(texts)
    return [
        Block("assistant", sha("assistant", joined, *(c.name + str(c.args_sha) for c in calls)), size, tuple(calls))
    ]


@lru_cache(maxsize=2_000)
def sentence_shas(prompt: str) -> tuple[int, ...]:
    """Hashes of the first masked lines and sentences of a system prompt, in order."""
    parts = (masked(part) for part in re.split(r"\n+|(?<=[.!?])\s+", prompt))
    return tuple(sha(part) for part in list(filter(None, parts))[:SENTENCES])
