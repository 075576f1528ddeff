"""Fingerprints of prompts and answers: hashes and sizes, never text.

Chains of blocks: h_k = hash(h_{k-1}, role, content, tool calls).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any

import msgspec
import polars as pl

from costaudit import schema
from costaudit.ingest._columns import series
from costaudit.ingest._family import declared_tools, sentence_shas, template
from costaudit.ingest._messages import BYTES_PER_TOKEN, Block, answer_blocks, decode, encoded, link, sha
from costaudit.ingest._recent import remembered
from costaudit.ingest._talk import Told, told
from costaudit.ingest._tokens import PER_MESSAGE, estimate, spoken
from costaudit.ingest._wire import conversation, replies, system_block

FAMILY = ("system_sha", "template_sha", "line_sha")
NOTHING = (b"null", b"", b"[]", b"{}", b'""')
SHORT = 5  # bytes that what says something may have
MASKED = 2_000  # characters of a first message that name a family when there is no system prompt


class Prompt(msgspec.Struct, frozen=True):
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


FINGERPRINTS = frozenset(c.name for c in schema.REQUEST if c.group in ("fingerprints", "tools"))


def wanted(only: Collection[str] | None, *more: str) -> bool:
    """Whether what prompts and answers say is wanted, or one of `more`; `only`: the columns that are, None: all."""
    return only is None or not FINGERPRINTS.isdisjoint(only) or any(name in only for name in more)


Facts = list[dict[str, Any]]  # fingerprint columns by name, of each call


def columns(rows: Facts) -> dict[str, pl.Series]:
    """The fingerprint columns of calls."""
    return {name: series(name, [row.get(name) for row in rows], dtype) for name, dtype in COLUMNS.items()}


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
        self.saying = [*self.parts["messages"], *self.parts["answer"]]  # where there is text

    def _place(self, path: tuple[str, ...]) -> int:
        if path not in self.paths:
            self.paths.append(path)
        return self.paths.index(path)

    def facts(self, raws: Sequence[Sequence[Any]], height: int) -> Facts:
        """What each call says; nothing of it holds a line in memory."""
        silent = all(column.count(None) == height for column in raws)
        return [{"has_text": False}] * height if silent else self._rows(raws, height)

    def presence(self, raws: Sequence[Sequence[Any]], height: int) -> dict[str, pl.Series]:
        """The same where no fingerprint is wanted: only whether there was text."""
        known = [False] * height
        for n in self.saying:
            if raws[n].count(None) < height:
                known = [have or _says(cell) for have, cell in zip(known, raws[n], strict=True)]
        absent = {name: pl.Series([None] * height, dtype=dtype) for name, dtype in COLUMNS.items()}
        return absent | {"has_text": pl.Series(known, dtype=pl.Boolean)}

    def _rows(self, raws: Sequence[Sequence[Any]], height: int) -> Facts:
        """The fingerprint columns of each call, of which one at a time is copied out of its line."""
        given = [raws[n] for n in self.parts["parameters"] if raws[n].count(None) < height]
        parameters = [cells for column in given if any(cells := list(map(_bytes, column)))]
        return list(
            map(
                facts,
                *(self._first(part, raws, height, _bytes) for part in ("messages", "system", "tools", "output_schema")),
                ([cell for cell in row if cell] for row in zip(*parameters, strict=True))
                if parameters
                else repeat((), height),
                self._first("answer", raws, height, _replies),
            )
        )

    def _first(
        self, part: str, raws: Sequence[Sequence[Any]], height: int, read: Callable[[Any], Any]
    ) -> Iterable[Any]:
        """For each row, what is read at the first of the part's places that has something."""
        places = [raws[n] for n in self.parts[part] if raws[n].count(None) < height]
        if len(places) < 2:
            return map(read, places[0]) if places else repeat(None, height)
        rows = zip(*places, strict=True)
        return (next((found for cell in row if (found := read(cell)) is not None), None) for row in rows)

    def estimates(self, raws: Sequence[Any], model: str | None) -> tuple[int, int] | None:
        """Estimated input and output tokens of one call; None unless both its prompt and its answer are logged."""
        cells = [(cell,) for cell in raws]
        system, messages, tools, answer = (
            next(iter(self._first(part, cells, 1, _bytes))) for part in ("system", "messages", "tools", "answer")
        )
        if messages is None or answer is None:
            return None
        parts = [decode(part) for part in (system, messages, tools) if part]
        count = max((len(p) for p in parts if isinstance(p, list)), default=1)
        said = estimate(spoken(decode(answer)), model)
        return estimate(spoken(parts), model) + PER_MESSAGE * count, said


def _says(raw: Any) -> bool:
    """Whether `_bytes` gives something."""
    if type(raw) is msgspec.Raw:
        view = memoryview(raw)
        return len(view) >= SHORT or view.tobytes() not in NOTHING
    return raw is not None and (type(raw) not in (str, list, dict) or len(raw) > 0)


def short(raw: Any) -> Any:
    """A value that says as much to `_says`, and holds no line in memory."""
    if type(raw) is not msgspec.Raw:
        return raw
    return raw.copy() if len(memoryview(raw)) < SHORT else _SAID


_SAID = msgspec.Raw(b'"said"')


def _bytes(raw: Any) -> bytes | None:
    """A value as JSON; None where it says nothing."""
    if raw is None:
        return None
    data = bytes(raw) if type(raw) is msgspec.Raw else encoded(raw)
    return None if len(data) < SHORT and data in NOTHING else data


def _replies(raw: Any) -> bytes | list[Block] | None:
    """An answer's messages, else its JSON."""
    if type(raw) is not list or not raw:
        return _bytes(raw)
    try:
        return replies(raw)
    except RecursionError:
        return _bytes(raw)


def facts(
    messages: bytes | Told | None,
    system: bytes | None,
    tools: bytes | None,
    output_schema: bytes | None,
    parameters: Sequence[bytes],
    answer: bytes | Sequence[Block] | None,
) -> dict[str, Any]:
    """The fingerprint columns of one request; a part that cannot be read is as if it were absent."""
    found: dict[str, Any] = {"has_text": messages is not None or answer is not None}
    declared = declared_tools(tools) if tools else None
    if declared is not None:
        found["tools_declared"] = declared[0]
        found["tools_sha"] = declared[1]
    said = conversation(messages) if isinstance(messages, bytes) else messages
    if system is not None:
        said = told([system_block(system), *(said.blocks if said is not None else ())])
    if said is not None and said.blocks:
        chained = _chain(said, tools, output_schema, parameters, found.get("tools_sha"))
        # Instructions without the messages after them name the family of a call, but not the call.
        found |= chained if messages is not None else {k: v for k, v in chained.items() if k in FAMILY}
    replies = answer_blocks(answer) if isinstance(answer, bytes) else answer or ()
    if replies:
        reply = replies[-1]
        found["output_sha"] = reply.sha
        found["reply_tokens"] = sum(b.size for b in replies) // BYTES_PER_TOKEN
        calls = [c for b in replies for c in b.calls]
        if calls:
            found["tool_calls"] = [{"id": c.id, "name": c.name, "args_sha": c.args_sha} for c in calls]
        if "block_sha" in found:
            head = found["block_sha"][-1]
            for block in replies:  # as the next request will echo them
                head = link(head, block.sha)
            found["reply_sha"] = head
    return found


def _chain(
    said: Told, tools: bytes | None, output_schema: bytes | None, parameters: Sequence[bytes], tools_sha: int | None
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "block_sha": said.chain,
        "_block_bytes": said.sizes,
        "request_sha": sha(said.chain[-1], tools, output_schema, *parameters),
    }
    results = _new_results(said.blocks)
    if results:
        found["tool_results"] = [{"id": i, "sha": s, "error": e} for i, s, e in results]
    if said.prompts:
        openings, shas = tuple([b.opening for b in said.prompts]), tuple([b.sha for b in said.prompts])
        found["system_sha"], found["line_sha"], family = _instructed(openings, shas, tools_sha, output_schema)
    else:
        family = template((said.blocks[0].opening,), MASKED, tools_sha, output_schema)
    if family is not None:
        found["template_sha"] = family
    return found


@remembered(2 << 20)
def _instructed(
    openings: tuple[str, ...], shas: tuple[int, ...], tools_sha: int | None, output_schema: bytes | None
) -> tuple[int, list[int], int | None]:
    """Hashes of the instructions, of the sentences of the first, and of their family."""
    return sha(*shas), sentence_shas(openings[0]), template(openings, None, tools_sha, output_schema)


def _new_results(blocks: Sequence[Block]) -> list[tuple[int | None, int, bool]]:
    """The results of tools since the last answer."""
    found: list[tuple[int | None, int, bool]] = []
    for block in reversed(blocks):
        if block.role == "assistant":
            break
        found[:0] = block.results
    return found
