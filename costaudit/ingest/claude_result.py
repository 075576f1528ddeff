"""Result objects of Claude Code's headless mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl

from costaudit import schema
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out, loaded
from costaudit.ingest._steps import steps
from costaudit.ingest._values import counted, flag, moment, text, usd

Counts = dict[str, int]


class ClaudeResult(Format):
    """The `result` objects that `claude -p --output-format json` and `stream-json` print.

    ## Where
    Standard output of Claude Code in scripts and CI, one object a call; the last line of a streamed session.
    ## What it knows
    Tokens and cost of a whole session, by model where `modelUsage` is there, searches, and whether it failed.
    ## Traps
    A result restates its session: it counts only where the transcript of the same session is not in the log.
    Newer versions print running totals of a resumed session: of results that never fall the last one counts.
    ## Limits
    No single requests, so loops and prompts cannot be judged. A result has no time; keep the transcripts.
    """

    name = "claude-result"
    title = "Claude Code headless results"

    def recognises(self, record: Mapping[str, Any]) -> int:
        if record.get("type") != "result" or "session_id" not in record:
            return 0
        return 95 if "total_cost_usd" in record or "modelUsage" in record or "usage" in record else 0


COLUMNS: dict[str, Any] = {
    name: schema.REQUESTS[name]
    for name in (
        "source_line", "source_offset", "started_at", "run_id", "run_source", "model", "status", "summed",
        "input_tokens",
        "cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens",
        "extras", "cost_logged_usd",
    )
} | dict.fromkeys(("_key", "_trace", "_span"), pl.String())  # fmt: skip


@ClaudeResult.read_by
class _Reader:
    """Reads results in order: one that falls below the one before, of the same session and model, is a new total."""

    def __init__(self, file: LogFile) -> None:
        self.file = file
        self.before: dict[tuple[str, str | None], Counts] = {}
        self.epoch: dict[tuple[str, str | None], int] = {}

    def feed(self, records: Sequence[Record], out: Out) -> None:
        rows: list[dict[str, Any]] = []
        for record, value in loaded(records, out):
            if value.get("type") != "result" or text(value.get("session_id")) is None:
                out.foreign.append(record)
            else:
                try:
                    made = self._rows(value, record)
                except (ValueError, TypeError) as problem:
                    out.refuse(record.line, problem)
                    continue
                out.extra_lines += len(made) - 1
                rows += made
        out.rows(rows, COLUMNS)

    def close(self, out: Out) -> None:
        """Nothing is held back between records."""

    def _rows(self, value: Mapping[str, Any], record: Record) -> list[dict[str, Any]]:
        session = text(value.get("session_id")) or ""
        base = {
            "source_line": record.line,
            "source_offset": record.offset,
            "started_at": _time(value.get("timestamp")),
            "run_id": session,
            "run_source": "log",
            "summed": True,
            "status": "error" if flag(value.get("is_error")) is True else None,
            "_trace": f"claude-code {session}",
            "_span": "session",
        }
        parts = _by_model(value.get("modelUsage")) or _whole(value)
        for part in parts:
            place = (session, part.get("model"))
            tokens = {name: n for name, n in part.items() if name.endswith("_tokens") and n is not None}
            if any(tokens.get(name, 0) < n for name, n in self.before.get(place, {}).items()):
                self.epoch[place] = self.epoch.get(place, 0) + 1
            self.before[place] = tokens
            part["_key"] = f"claude-result {session} {part.get('model')} {self.epoch.get(place, 0)}"
        return [base | part for part in parts]


def _by_model(models: Any) -> list[dict[str, Any]]:
    """The totals of each model; input is uncached here as everywhere in Anthropic's usage."""
    if not isinstance(models, Mapping):
        return []
    found: list[dict[str, Any]] = []
    for model, used in sorted(models.items()):
        if not isinstance(used, Mapping):
            raise TypeError("modelUsage is no table of models")
        fresh, read, write = (
            counted(used.get(name)) for name in ("inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")
        )
        searches = counted(used.get("webSearchRequests"))
        found.append(
            {
                "model": text(model),
                "input_tokens": fresh + read + write,
                "cache_read_tokens": read,
                "cache_write_tokens": write,
                "output_tokens": counted(used.get("outputTokens")),
                "extras": [{"class": "web_search", "quantity": Decimal(searches)}] if searches else None,
                "cost_logged_usd": usd(used.get("costUSD")),
            }
        )
    return found


def _whole(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The session as one row, where the result does not tell models apart."""
    usage = value.get("usage")
    cost = usd(value.get("total_cost_usd"))
    if not isinstance(usage, Mapping) or not usage:
        return [{"model": None, "cost_logged_usd": cost}]
    names = [name for name in COLUMNS if name.endswith("_tokens")]
    made = [{name: getattr(step, name) for name in names} | {"model": step.model} for step in steps(usage, None)]
    return [{**part, "cost_logged_usd": None if n else cost} for n, part in enumerate(made)]


def _time(value: Any) -> datetime | None:
    try:
        return moment(value)
    except (ValueError, OverflowError, TypeError):
        return None
