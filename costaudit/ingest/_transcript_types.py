"""What rows of Claude Code's transcripts are decoded to; nothing heavy is imported for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any

import msgspec

from costaudit.ingest._limits import MOST_TEXT, MOST_TOKENS

Text = Annotated[str, msgspec.Meta(max_length=MOST_TEXT)] | None
Tokens = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)] | None
ZULU = len("2026-10-01T12:00:00.000Z")


class Lifetimes(msgspec.Struct, gc=False):
    ephemeral_5m_input_tokens: Tokens = None
    ephemeral_1h_input_tokens: Tokens = None


class Searches(msgspec.Struct, gc=False):
    web_search_requests: Tokens = None


class Usage(msgspec.Struct, gc=False):
    input_tokens: Tokens = None
    cache_read_input_tokens: Tokens = None
    cache_creation_input_tokens: Tokens = None
    cache_creation: Lifetimes | None = None
    output_tokens: Tokens = None
    output_tokens_details: Any = None
    server_tool_use: Searches | None = None
    iterations: Any = None
    service_tier: Text = None
    speed: Text = None
    inference_geo: Text = None


class Message(msgspec.Struct, gc=False):
    """`usage` as typed; where its shape is another, `odd` is what the row has in its place."""

    id: Text = None
    model: Text = None
    stop_reason: Text = None
    usage: Usage | None = None
    content: msgspec.Raw = msgspec.Raw()
    odd: Mapping[str, Any] | None = None


class Row(msgspec.Struct, gc=False):
    """One row; a text that is empty is as if it were absent."""

    type: Text = None
    subtype: Text = None
    uuid: Text = None
    parentUuid: Text = None
    sessionId: Text = None
    session_id: Text = None
    requestId: Text = None
    request_id: Text = None
    agentId: Text = None
    attributionAgent: Text = None
    agentType: Text = None
    parent_tool_use_id: Text = None
    isSidechain: bool | None = None
    isMeta: bool | None = None
    isCompactSummary: bool | None = None
    isApiErrorMessage: bool | None = None
    timestamp: Text = None
    cwd: Text = None
    effort: Text = None
    costUSD: Any = None
    retryAttempt: Any = None
    leafUuid: Any = None
    messageId: Any = None
    message: Message | None = None


class Bare(msgspec.Struct, gc=False):
    """A message of which the content is not wanted."""

    id: Text = None
    model: Text = None
    stop_reason: Text = None
    usage: Usage | None = None


def simple(usage: Usage) -> tuple[Any, ...] | None:
    """The counts of a response without lists of steps, fees or a split that does not add up: nearly all are."""
    if usage.iterations or usage.output_tokens_details is not None:
        return None
    if usage.server_tool_use is not None and usage.server_tool_use.web_search_requests:
        return None
    fresh, read, write = usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    short = long = None
    if (split := usage.cache_creation) is not None:
        short, long = split.ephemeral_5m_input_tokens, split.ephemeral_1h_input_tokens
        if (short is not None or long is not None) and (short or 0) + (long or 0) != write:
            return None
    prompt = None if fresh is None and read is None and write is None else (fresh or 0) + (read or 0) + (write or 0)
    return (prompt, read, write, short, long, usage.output_tokens, None, None, None)


def family(path: PurePath) -> tuple[str, str]:
    """Session and agent of a file `<session>/subagents/**/agent-<agent>.jsonl`; empty for any other file."""
    folders = path.parts[:-1]
    if "subagents" not in folders or not path.name.startswith("agent-"):
        return "", ""
    at = folders.index("subagents")
    return (folders[at - 1] if at else "", path.name.removeprefix("agent-").partition(".")[0])
