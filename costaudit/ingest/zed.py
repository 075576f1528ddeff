"""The thread database of Zed's agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from costaudit.ingest._counts import SNAKE, spent, tokens
from costaudit.ingest._decode import unfolded
from costaudit.ingest._files import Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, part, when
from costaudit.ingest._values import text

REST = "rest of the thread"


class Zed(Format):
    """The thread database of Zed's agent.

    ## Where
    `~/.local/share/zed/threads/threads.db`, on a Mac `~/Library/Application Support/Zed/threads/threads.db`.
    ## What it knows
    Tokens of the requests of each thread with cache reads and writes, its model, and when it was last changed.
    ## Traps
    Cached input stands beside the input. The list of requests has one for each message of the user and misses those
    in between; the thread's own total says how much is missing, and the rest is one row more.
    ## Limits
    Requests have no time of their own: they carry the thread's. Threads are compressed (zstd) and opened here.
    """

    name = "zed"
    title = "Zed thread database"
    tables: ClassVar = {"threads": ("id", "data_type", "data")}

    def recognises(self, record: Mapping[str, Any]) -> int:
        if {"id", "data_type", "data"} <= record.keys():
            return 92
        return 90 if "request_token_usage" in record and "messages" in record else 0


@Zed.read_by
class _Reader(PlainReader):
    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        data = value.get("data", value)
        thread = unfolded(data)
        if not isinstance(thread, Mapping):
            if {"id", "data_type"} <= set(value):
                out.rejects.append((record.line, "thread that cannot be opened"))
            else:
                out.foreign.append(record)
            return
        listed = {
            str(message): usage
            for message, said in part(thread, "request_token_usage").items()
            if isinstance(said, Mapping) and spent(usage := tokens(said, SNAKE))
        }
        whole = tokens(part(thread, "cumulative_token_usage"), SNAKE)
        rest = {name: max(0, n - sum(u[name] for u in listed.values())) for name, n in whole.items()}
        if spent(rest):
            listed[REST] = rest
        own = text(value.get("id")) or text(thread.get("id")) or f"{self.file.shown} {record.line}"
        model = part(thread, "model")
        for message, usage in listed.items():
            self.add(
                record,
                started_at=when(value.get("updated_at")) or when(thread.get("updated_at")),
                run_id=own,
                parent_id=text(value.get("parent_id")),
                task="main loop" if value.get("parent_id") is None else "subagent",
                provider=text(model.get("provider")),
                model=text(model.get("model")),
                summed=message == REST or None,
                has_text=True,
                _key=f"zed {own} {message}",
                _rank=usage["input_tokens"] + usage["output_tokens"],
                **usage,
            )
        out.several(len(listed), none="thread without tokens")
