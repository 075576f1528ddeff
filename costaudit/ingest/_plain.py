"""A reader of records as plain dictionaries, for logs that are small and have state: sessions of coding agents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Any

from costaudit.ingest import _identity, _prompt
from costaudit.ingest._decode import unfolded
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Out, loaded
from costaudit.ingest._limits import TOO_DEEP
from costaudit.ingest._messages import encoded
from costaudit.ingest._prompt import facts
from costaudit.ingest._values import count, moment

MISPLACED = "a list or an object stands where a name or a number belongs"
COLUMNS: dict[str, Any] = {**_identity.ROWS, **_prompt.COLUMNS}


class PlainReader:
    """Reads one file in order. `take` says what becomes of a record; ValueError from it refuses the record.

    So does TypeError: somewhere a list or an object stands where only a name or a number was looked for.
    """

    def __init__(self, file: LogFile) -> None:
        self.file = file
        self.rows: list[dict[str, Any]] = []

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        """Add requests, count skipped records, or hand a foreign record on."""
        raise NotImplementedError

    def end(self, out: Out) -> None:
        """What can be said only when the whole file is known."""

    def feed(self, records: Sequence[Record], out: Out) -> None:
        for record, value in loaded(records, out):
            made = len(self.rows)
            try:
                self.take(value, record, out)
            except ValueError as problem:
                del self.rows[made:]  # a record is a reject or what it holds, never both
                out.refuse(record.line, problem)
            except (TypeError, RecursionError) as problem:
                del self.rows[made:]
                out.rejects.append((record.line, MISPLACED if isinstance(problem, TypeError) else TOO_DEEP))

    def close(self, out: Out) -> None:
        self.end(out)
        out.rows(self.rows, COLUMNS)

    def add(self, record: Record, **columns: Any) -> dict[str, Any]:
        """A request of a record."""
        row = {"source_line": record.line, "source_offset": record.offset, "run_source": "log"} | columns
        self.rows.append(row)
        return row


def folder(file: LogFile, *names: str) -> str:
    """The session a file belongs to where only its folder says so; a file that was renamed stands for itself."""
    path = PurePath(file.shown)
    return path.parent.name if path.name in names and path.parent.name else f"{path.parent.name}/{path.name}"


def soft(one: Any, value: Any) -> Any:
    """A value that does not change the bill; one that cannot be read is as if it were absent."""
    try:
        return None if value is None else one(value)
    except (ValueError, OverflowError, TypeError):
        return None


def when(value: Any) -> datetime | None:
    """A time, None where it cannot be read: the usage beside it is still right."""
    found: datetime | None = soft(moment, value)
    return found


def part(value: Any, name: str) -> Mapping[str, Any]:
    """An object inside an object; an empty one where there is none."""
    inner = value.get(name) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def written(value: Any) -> Mapping[str, Any]:
    """An object, also where it is written as JSON in a text; an empty one where there is none."""
    known = unfolded(value)
    return known if isinstance(known, Mapping) else {}


def objects(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list; none where there is no list."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def after(began: datetime | None, milliseconds: float | None) -> datetime | None:
    """When something ended that took so long; None where that is not known, or more than some days."""
    if began is None or not milliseconds or not 0 < milliseconds < 1e9:
        return None
    return began + timedelta(milliseconds=milliseconds)


def calls(made: Iterable[tuple[Any, Any, Any]]) -> list[dict[str, Any]] | None:
    """Tool calls from their ids, names and arguments."""
    blocks = [{"type": "tool_use", "id": i, "name": name, "input": given} for i, name, given in made]
    found = facts(None, None, None, None, (), encoded(blocks)) if blocks else {}
    known: list[dict[str, Any]] | None = found.get("tool_calls")
    return known


def results(given: Iterable[tuple[Any, Any, bool | None]]) -> list[dict[str, Any]] | None:
    """Tool results from the ids of their calls, their content and whether they failed."""
    blocks = [{"type": "tool_result", "tool_use_id": i, "content": c, "is_error": failed} for i, c, failed in given]
    message = encoded([{"role": "user", "content": blocks}])
    known: list[dict[str, Any]] | None = (
        facts(message, None, None, None, (), None).get("tool_results") if blocks else None
    )
    return known


def asked_of(blocks: Iterable[Mapping[str, Any]]) -> list[tuple[Any, Any, Any]]:
    """Ids, names and arguments of the tools that blocks in the form of the Messages API call."""
    return [(b.get("id"), b.get("name"), b.get("input")) for b in blocks if b.get("type") == "tool_use"]


def given_in(blocks: Iterable[Mapping[str, Any]]) -> list[tuple[Any, Any, bool | None]]:
    """The same of results: ids of their calls, content, whether they failed."""
    found = [b for b in blocks if b.get("type") == "tool_result"]
    fates = (b.get("is_error") for b in found)
    return [
        (b.get("tool_use_id"), b.get("content"), fate if isinstance(fate, bool) else None)
        for b, fate in zip(found, fates, strict=True)
    ]


def thoughtful(tokens: Any) -> dict[str, int]:
    """Inclusive counts of input, output, cached, thoughts, tool and total as Gemini's clients write them.

    The total decides: thoughts stand beside the output, and cached input inside the input, unless it says otherwise.
    """
    if not isinstance(tokens, Mapping):
        return {}
    said = {
        str(name): n for name, value in tokens.items() if (n := None if value is None else count(value)) is not None
    }
    given, out, cached, hidden, tool = (said.get(k, 0) for k in ("input", "output", "cached", "thoughts", "tool"))
    if not {"input", "output"} & set(said):
        return {}
    total = said.get("total")
    beside = (
        total is not None and cached and total in (given + cached + out + hidden, given + cached + out + hidden + tool)
    )
    inside = total is not None and hidden and total in (given + out, given + out + tool)
    if total is None or total != given + out + (0 if inside else hidden) + (cached if beside else 0):
        given += tool  # prompts of tools stand beside the input, unless the total leaves them out
    return {
        "input_tokens": given + (cached if beside else 0),
        "cache_read_tokens": cached if beside else min(cached, given),
        "output_tokens": out if inside else out + hidden,
        "reasoning_tokens": hidden,
    }
