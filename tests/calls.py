"""Calls for tests of attribution: a conversation is written as `system|question|answer|question`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

import polars as pl
import xxhash

from costaudit import schema

START = datetime(2026, 10, 5, 9, 0, tzinfo=UTC)


def sha(*parts: object) -> int:
    return xxhash.xxh3_64_intdigest("\0".join(map(str, parts)).encode())


def chain(messages: str) -> list[int]:
    """Element k stands for the first k + 1 messages."""
    return list(accumulate((sha(message) for message in messages.split("|")), sha))


def call(messages: str | None = None, answer: str | None = None, minute: float = 0, **columns: Any) -> dict[str, Any]:
    """A request with these messages, answered so, sent at this minute of the log."""
    row: dict[str, Any] = {"started_at": START + timedelta(minutes=minute), "format": "chat", "source_file": "a.jsonl"}
    row |= {"model": "gpt-5.4", "key_id": "key-1", "status": "ok"}
    if messages is not None:
        row |= {"block_sha": chain(messages), "system_sha": sha(messages.split("|")[0])}
    if messages is not None and answer is not None:
        row["reply_sha"] = chain(f"{messages}|{answer}")[-1]
    return row | columns


def table(rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    """The request table of these calls; what they do not say is null, but each has an id and a line of its own."""
    numbered = ({"request_id": f"r{n}", "source_line": n} | row for n, row in enumerate(rows, start=1))
    return pl.DataFrame(list(numbered), schema=schema.REQUESTS)


def shuffled(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    return frame.sample(fraction=1, shuffle=True, seed=seed)


def asked(*tools: tuple[str, str, object]) -> list[dict[str, Any]]:
    """tool_calls of an answer from (id, name, arguments)."""
    return [{"id": sha(i), "name": name, "args_sha": sha(arguments)} for i, name, arguments in tools]


def gave(*results: tuple[str, object, bool | None]) -> list[dict[str, Any]]:
    """tool_results of a request from (id, result, error)."""
    return [{"id": sha(i), "sha": sha(result), "error": error} for i, result, error in results]


def letters(values: Iterable[str | None]) -> Iterator[str]:
    """Equal values as equal letters in order of appearance, null as a dot: `aab.` is a partition one can read."""
    seen: dict[str, str] = {}
    for value in values:
        yield "." if value is None else seen.setdefault(value, chr(ord("a") + len(seen)))
