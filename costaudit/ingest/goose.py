"""The session database of Goose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from costaudit.ingest._counts import Names, spent, tokens
from costaudit.ingest._decode import unfolded
from costaudit.ingest._files import Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, part, when
from costaudit.ingest._values import text

WHOLE = Names(("accumulated_input_tokens",), ("accumulated_output_tokens",))
LAST = Names(("input_tokens",), ("output_tokens",))


class Goose(Format):
    """The session database of Goose. A row is a whole session.

    ## Where
    `~/.local/share/goose/sessions/sessions.db` (older: `.../Block/goose/`), on a Mac below
    `~/Library/Application Support/goose`, or below `$GOOSE_PATH_ROOT/data`.
    ## What it knows
    Input and output tokens of each session, its model, provider and working directory.
    ## Traps
    `input_tokens` and `output_tokens` are those of the last request; the session's are `accumulated_*`.
    ## Limits
    No single requests, so loops and prompts cannot be judged. No cache counts: a session's cost is an upper bound.
    """

    name = "goose"
    title = "Goose session database"
    tables: ClassVar = {"sessions": ("id", "accumulated_total_tokens", "model_config_json")}

    def recognises(self, record: Mapping[str, Any]) -> int:
        if "id" not in record or not {"provider_name", "model_config_json"} & set(record):
            return 0
        return 90 if record.get("_table") == "sessions" or "accumulated_total_tokens" in record else 0


@Goose.read_by
class _Reader(PlainReader):
    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        own = text(value.get("id"))
        if own is None or not {"provider_name", "model_config_json"} & set(value):
            out.foreign.append(record)
            return
        usage = tokens(value, WHOLE) or tokens(value, LAST)
        if not spent(usage):
            out.skipped["session without tokens"] += 1
            return
        config = unfolded(value.get("model_config_json"))
        self.add(
            record,
            started_at=when(value.get("created_at")),
            ended_at=when(value.get("updated_at")),
            run_id=own,
            task="session",
            key_id=text(value.get("working_dir")),
            provider=text(value.get("provider_name")),
            model=text(part({"config": config}, "config").get("model_name")),
            summed=True,
            _key=f"goose {own}",
            _rank=usage["input_tokens"] + usage["output_tokens"],
            **usage,
        )
