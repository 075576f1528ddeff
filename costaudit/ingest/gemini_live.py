"""Messages of Gemini's Live API, as programs log what the socket sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from costaudit import schema
from costaudit.ingest._decode import inside
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Found, Out, TableFormat, around, count, custom, loaded, text
from costaudit.ingest._gemini import camel, modality_parts
from costaudit.ingest._openai import placed
from costaudit.ingest._plain import part
from costaudit.ingest._table import TableReader

SAID = (
    "serverContent", "server_content", "toolCall", "tool_call", "toolCallCancellation", "tool_call_cancellation",
    "goAway", "go_away", "sessionResumptionUpdate", "session_resumption_update",
)  # fmt: skip
BEGAN = ("setup", "setupComplete", "setup_complete")
NAMED = r"([^/]+)$"  # models/gemini-live-2.5-flash, projects/P/locations/L/publishers/google/models/gemini-live-…
PLACE = r"/locations/([^/]+)/"


class GeminiLive(TableFormat):
    """Server messages of the Live API with `usageMetadata`, bare or inside any log record.

    Read are messages in camelCase (the socket) and snake_case (SDK dumps).

    - A message with counts is one turn; it bills all of the conversation before it again. Messages without counts are
      pieces of a turn and are counted as skipped.
    - `promptTokenCount` includes cached content; results of tools are input beside it; thoughts are output beside
      `responseTokenCount`. Audio, video and text have prices of their own.
    - A message names no model: that of the `setup` before it is taken, else a `model` in the record around.
    - Messages have neither id nor time: without a record around them that has both (`request_id`, `timestamp`), copies
      of a turn cannot be told from repeated turns.

    Logged better: all messages of a session in one file, `setup` first, in order, each with its time.
    """

    name = "gemini-live"
    title = "Gemini Live API messages"
    wrappable = True
    fields = {
        "request_id": around(text("request_id", "message_id")),
        "model": (text("model", "_session"), around(text("model"))),
        "run_id": text("_run"),
        "cache_read_tokens": count("usageMetadata.cachedContentTokenCount"),
        "reasoning_tokens": count("usageMetadata.thoughtsTokenCount"),
        "provider": around(text("provider")),
        "_prompt": count("usageMetadata.promptTokenCount"),
        "_tools": count("usageMetadata.toolUsePromptTokenCount"),
        "_said": count("usageMetadata.responseTokenCount", "usageMetadata.candidatesTokenCount"),
        "extras": custom(modality_parts, schema.EXTRAS, "usageMetadata"),
        "_traffic": text("usageMetadata.trafficType"),
    }

    def recognises(self, record: Mapping[str, Any]) -> int:
        if "candidates" in record:
            return 0
        usage = record.get("usageMetadata", record.get("usage_metadata"))
        if isinstance(usage, Mapping):
            if any(name in record for name in SAID):
                return 85
            return 82 if "responseTokenCount" in usage or "response_token_count" in usage else 0
        if any(isinstance(record.get(name), Mapping) for name in SAID):
            return 85
        return 60 if any(isinstance(record.get(name), Mapping) for name in BEGAN) and len(record) == 1 else 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        asked = pl.col("model")
        place = asked.str.extract(PLACE)
        cloud = place.is_not_null() | pl.col("_traffic").is_not_null()
        return picked.with_columns(
            model=pl.coalesce(asked.str.extract(NAMED), asked),
            input_tokens=pl.when(pl.col("_prompt").is_not_null()).then(pl.sum_horizontal("_prompt", "_tools")),
            output_tokens=pl.when(pl.any_horizontal(pl.col("_said", "reasoning_tokens").is_not_null()))
            .then(pl.sum_horizontal("_said", "reasoning_tokens"))
            .when(pl.col("_prompt").is_not_null())
            .then(0),
            region=pl.coalesce("region", place),
            provider=pl.coalesce(
                pl.col("provider").str.to_lowercase(),
                pl.when(cloud.fill_null(value=False)).then(pl.lit("vertex")).otherwise(pl.lit("google")),
            ),
        ).drop("_prompt", "_tools", "_said", "_traffic")


@GeminiLive.read_by
class LiveReader(TableReader):
    """Gives each turn the model and the name of its session."""

    def __init__(self, form: TableFormat, file: LogFile, found: Found) -> None:
        super().__init__(form, file, found)
        self.model: Any = None
        self.session: Any = None

    def feed(self, records: Sequence[Record], out: Out) -> None:
        made: list[Record] = []
        for record, value in loaded(records, out):
            said = inside(value, self.found.self)
            if not isinstance(said, Mapping) or not self.form.recognises(said):
                made.append(record._replace(data=value))
                continue
            message = camel(said)
            self._begin(message)
            if isinstance(message.get("usageMetadata"), Mapping):
                told = {**message, "_session": self.model, "_run": self.session}
                made.append(record._replace(data=placed(value, self.found.self, told)))
            else:
                out.skipped["message without counts"] += 1
        super().feed(made, out)

    def _begin(self, message: Mapping[str, Any]) -> None:
        setup, done = part(message, "setup"), part(message, "setupComplete")
        if setup or "setupComplete" in message:
            self.model = setup.get("model") or self.model
            self.session = done.get("sessionId") or (None if setup else self.session)
