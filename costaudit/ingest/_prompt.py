"""Fingerprints of prompts and answers: hashes and sizes, never text.

Source of the method: METHODS 5.1 (families) and 5.2 (chains): h_k = hash(h_{k-1}, role, content, tool calls).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import polars as pl
from xxhash import xxh3_64_intdigest as digest

from costaudit import schema
from costaudit.ingest._columns import series
from costaudit.ingest._messages import (
    BYTES_PER_TOKEN,
    PAIR,
    Block,
    answer_blocks,
    blocks_of,
    declared_tools,
    decode,
    encoded,
    link,
    masked,
    sentence_shas,
    sha,
    system_block,
)
from costaudit.ingest._tokens import PER_MESSAGE, estimate, spoken

FAMILY = ("system_sha", "template_sha", "line_sha")
MASKED = 2_000  # characters of a first message that name a family when there is no system prompt (METHODS 5.1, F4)


@dataclass(frozen=True, slots=True)
class Prompt:
    """Where a format keeps the parts of a prompt: `scope:path` strings, the first that has a value wins."""

    messages: tuple[str, ...] = ()
    system: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    output_schema: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    answer: tuple[str, ...] = ()


COLUMNS: dict[str, Any] = {
    name: schema.REQUESTS[name]
    for name in (
        "request_sha", "block_sha", "system_sha", "template_sha", "tools_sha", "output_sha", "reply_sha",
        "reply_tokens", "tools_declared", "tool_calls", "tool_results", "has_text",
    )
} | {"_block_bytes": pl.List(pl.Int64)}  # fmt: skip


class PromptReader:
    """Computes the fingerprint columns of a batch from the raw JSON of the prompt's parts."""

    def __init__(self, prompt: Prompt, scopes: Mapping[str, tuple[str, ...] | None]) -> None:
        self.paths: list[tuple[str, ...]] = []
        self.parts: dict[str, list[int]] = {}
        for part in ("messages", "system", "tools", "output_schema", "parameters", "answer"):
            places = []
            for place in getattr(prompt, part):
                scope, _, path = place.partition(":")
                base = scopes[scope]
                if base is not None:
                    places.append(self._place((*base, *path.split("."))))
            self.parts[part] = places

    def _place(self, path: tuple[str, ...]) -> int:
        if path not in self.paths:
            self.paths.append(path)
        return self.paths.index(path)

    def columns(self, raws: Sequence[Sequence[Any]], height: int) -> dict[str, pl.Series]:
        silent = all(column.count(None) == height for column in raws)
        rows = [{"has_text": False}] * height if silent else [self._row([c[n] for c in raws]) for n in range(height)]
        return {name: series(name, [row.get(name) for row in rows], dtype) for name, dtype in COLUMNS.items()}

    def _row(self, raws: Sequence[Any]) -> dict[str, Any]:
        messages, system, tools, output_schema, answer = (
            self._first(part, raws) for part in ("messages", "system", "tools", "output_schema", "answer")
        )
        return facts(messages, system, tools, output_schema, self._all("parameters", raws), answer)

    def _all(self, part: str, raws: Sequence[Any]) -> list[bytes]:
        return [data for n in self.parts[part] if (data := _bytes(raws[n])) is not None]

    def _first(self, part: str, raws: Sequence[Any]) -> bytes | None:
        for n in self.parts[part]:
            data = _bytes(raws[n])
            if data is not None:
                return data
        return None

    def estimates(self, raws: Sequence[Any], model: str | None) -> tuple[int, int] | None:
        """Estimated input and output tokens of one call; None unless both its prompt and its answer are logged."""
        messages, answer = self._first("messages", raws), self._first("answer", raws)
        if messages is None or answer is None:
            return None
        parts = [decode(part) for name in ("system", "messages", "tools") if (part := self._first(name, raws))]
        count = max((len(p) for p in parts if isinstance(p, list)), default=1)
        said = estimate(spoken(decode(answer)), model)
        return estimate(spoken(parts), model) + PER_MESSAGE * count, said


def _bytes(raw: Any) -> bytes | None:
    if raw is None:
        return None
    data = bytes(raw) if isinstance(raw, msgspec.Raw) else encoded(raw)
    return None if data in (b"null", b"", b"[]", b"{}", b'""') else data


def facts(
    messages: bytes | Sequence[Block] | None,
    system: bytes | None,
    tools: bytes | None,
    output_schema: bytes | None,
    parameters: Sequence[bytes],
    answer: bytes | None,
) -> dict[str, Any]:
    """The fingerprint columns of one request; a part that cannot be read is as if it were absent."""
    found: dict[str, Any] = {"has_text": messages is not None or answer is not None}
    declared = declared_tools(tools) if tools else None
    if declared is not None:
        found["tools_declared"] = list(declared[0])
        found["tools_sha"] = declared[1]
    blocks = list(messages or ()) if not isinstance(messages, bytes) else blocks_of(messages) if messages else []
    if system is not None:
        blocks = [system_block(system), *blocks]
    if blocks:
        chained = _chain(blocks, tools, output_schema, parameters, found.get("tools_sha"))
        # Instructions without the messages after them name the family of a call, but not the call.
        found |= chained if messages is not None else {k: v for k, v in chained.items() if k in FAMILY}
    replies = answer_blocks(answer) if answer else []
    if replies:
        reply = replies[-1]
        found["output_sha"] = reply.sha
        found["reply_tokens"] = sum(b.size for b in replies) // BYTES_PER_TOKEN
        calls = [c for b in replies for c in b.calls]
        if calls:
            found["tool_calls"] = [{"id": c.id, "name": c.name, "args_sha": c.args_sha} for c in calls]
        if blocks and messages is not None:
            head = found["block_sha"][-1]
            for block in replies:  # as the next request will echo them
                head = link(head, block.sha)
            found["reply_sha"] = head
    return found


def _chain(
    blocks: Sequence[Block],
    tools: bytes | None,
    output_schema: bytes | None,
    parameters: Sequence[bytes],
    tools_sha: int | None,
) -> dict[str, Any]:
    chain: list[int] = []
    head = 0
    for block in blocks:
        head = digest(PAIR(head, block.sha))  # `link`, without the call: most blocks are known already
        chain.append(head)
    last_answer = max((n for n, b in enumerate(blocks) if b.role == "assistant"), default=-1)
    results = [r for b in blocks[last_answer + 1 :] for r in b.results]
    found: dict[str, Any] = {
        "block_sha": chain,
        "_block_bytes": [b.size for b in blocks],
        "request_sha": sha(head, tools, output_schema, *parameters),
    }
    if results:
        found["tool_results"] = [{"id": i, "sha": s, "error": e} for i, s, e in results]
    prompts = [b for b in blocks if b.role == "system"]
    family = [masked(b.opening) for b in prompts] or [masked(b.opening)[:MASKED] for b in blocks[:1]]
    if prompts:
        found["system_sha"] = sha(*[b.sha for b in prompts])
        found["line_sha"] = list(sentence_shas(prompts[0].opening))
    if any(family):
        found["template_sha"] = sha(*family, tools_sha, output_schema)
    return found
