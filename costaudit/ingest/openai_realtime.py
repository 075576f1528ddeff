"""Events of OpenAI's Realtime API, as programs log what the socket sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from costaudit.ingest._decode import inside
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Found, Out, TableFormat, around, count, loaded, text, whole
from costaudit.ingest._openai import EU_US, HOST, extras, provider, put
from costaudit.ingest._table import TableReader

DONE = ("completed", "incomplete", "failed", "cancelled")


class OpenAIRealtime(TableFormat):
    """Responses of the Realtime API: `response.done` events, bare or inside any log record.

    - Audio and text have prices of their own, cached or not; all are parts of `input_tokens` and `output_tokens`.
    - A response does not name its model: that of the last `session.created` or `session.updated` before it is taken,
      else a `model` in the record around. Without either, calls are unpriced.
    - `response.created` embeds the same response without counts: both are one call.
    - Events have no time; the record around them must have one. Transcription of what the user says is billed apart
      and stands in no response: its events are read by `openai-transcriptions`.

    Logged better: all events of a session in one file, in order, each with its time.
    """

    name = "openai-realtime"
    title = "OpenAI Realtime API events"
    wrappable = True
    fields = {
        "request_id": text("id"),
        "run_id": text("conversation_id"),
        "model": (text("model", "_session"), around(text("model"))),
        "max_tokens": whole("max_output_tokens"),
        "input_tokens": count("usage.input_tokens"),
        "cache_read_tokens": count("usage.input_token_details.cached_tokens"),
        "output_tokens": count("usage.output_tokens"),
        "error_type": text("status_details.error.code", "status_details.error.type"),
        "provider": around(text("provider")),
        "extras": extras("usage", "usage"),
        "_host": HOST,
        "_state": text("status"),
    }

    def recognises(self, record: Mapping[str, Any]) -> int:
        return 85 if record.get("object") == "realtime.response" else 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        state = pl.col("_state")
        return picked.with_columns(
            provider=provider("_host", pl.col("provider").str.to_lowercase(), pl.lit("openai")),
            region=pl.coalesce("region", pl.col("_host").str.extract(EU_US)),
            status=pl.when(state.is_in(["failed", "cancelled"])).then(state.replace({"failed": "error"})),
            _rank=pl.col("input_tokens").is_not_null() * 2 + state.is_in(DONE).fill_null(value=False).cast(pl.Int64),
        ).drop("_host", "_state")


@OpenAIRealtime.read_by
class RealtimeReader(TableReader):
    """Gives each response the model of its session."""

    def __init__(self, form: TableFormat, file: LogFile, found: Found) -> None:
        super().__init__(form, file, found)
        self.model: Any = None

    def feed(self, records: Sequence[Record], out: Out) -> None:
        super().feed([record._replace(data=self._with_model(value)) for record, value in loaded(records, out)], out)

    def _with_model(self, value: dict[str, Any]) -> dict[str, Any]:
        session = inside(value, (*self.found.self[:-1], "session"))
        if isinstance(session, Mapping):
            self.model = session.get("model") or self.model
        said = inside(value, self.found.self)
        return put(value, self.found.self, {**said, "_session": self.model}) if isinstance(said, Mapping) else value
