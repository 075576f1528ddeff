"""The transcription endpoints of OpenAI and of servers that speak their dialect."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import polars as pl

from costaudit import schema
from costaudit.ingest._format import TableFormat, around, count, custom, request, text
from costaudit.ingest._openai import EU_US, HOST, extras, provider, together

KINDS = ("tokens", "duration")
DONE = ("transcript.text.done", "conversation.item.input_audio_transcription.completed")
LONGEST = 10_000_000  # s; four months


def _seconds(value: Any) -> list[dict[str, Any]] | None:
    """Seconds of sound. Raises ValueError for a value that is no duration."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("not a duration")
    if not 0 <= value <= LONGEST:
        raise ValueError("not a duration")
    return [{"class": "audio_seconds", "quantity": Decimal(repr(value)).quantize(Decimal("1e-9"))}] if value else None


class OpenAITranscriptions(TableFormat):
    """Answers of the transcription and translation endpoints, bare or in a log record, and the Realtime API's events.

    - Newer models count tokens (`usage.type` is `tokens`): sound and text have prices of their own. Whisper is billed
      by the length of what it heard: `usage.seconds`, or `duration` of the verbose form.
    - Answers of the plain form without `usage` say nothing of their length and are not known for calls.
    - The answer names neither model, id nor time: they must stand in the request or in the record around it.
    """

    name = "openai-transcriptions"
    title = "OpenAI transcriptions and compatible servers"
    wrappable = True
    fields = {
        "request_id": (
            around(text("request_id", "x_request_id", "response_id")), text("event_id", "x_groq.id", "request_id"),
        ),
        "model": (text("model"), request(text("model")), around(text("model", "request.model", "request.body.model"))),
        "model_requested": (request(text("model")), around(text("request.model"))),
        "input_tokens": count("usage.input_tokens"),
        "output_tokens": count("usage.output_tokens"),
        "provider": around(text("provider")),
        "_sound": extras("usage", "usage"),
        "_seconds": custom(_seconds, schema.EXTRAS, "usage.seconds", "duration"),
        "_kind": text("usage.type"),
        "_groq": text("x_groq.id"),
        "_host": HOST,
        "_said": text("language", "task"),
    }  # fmt: skip

    def recognises(self, record: Mapping[str, Any]) -> int:
        if not isinstance(record.get("text", record.get("transcript")), str):
            return 0
        usage = record.get("usage")
        if record.get("type") in DONE:
            return 85 if isinstance(usage, Mapping) else 0
        if isinstance(usage, Mapping) and usage.get("type") in KINDS:
            return 80
        length = record.get("duration")
        timed = isinstance(length, (int, float)) and not isinstance(length, bool)
        return 60 if timed and "language" in record and ("segments" in record or "words" in record) else 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        timed = pl.col("_seconds").is_not_null() & ~(pl.col("_kind") == "tokens").fill_null(value=False)
        billed = picked.with_columns(_seconds=pl.when(timed).then("_seconds"))
        return billed.with_columns(
            extras=together(billed, "_sound", "_seconds"),
            # Its length is all that is billed of what is not counted in tokens.
            input_tokens=pl.when(timed).then(pl.col("input_tokens").fill_null(0)).otherwise("input_tokens"),
            output_tokens=pl.when(timed).then(pl.col("output_tokens").fill_null(0)).otherwise("output_tokens"),
            provider=provider(
                "_host",
                pl.col("provider").str.to_lowercase(),
                pl.when(pl.col("_groq").is_not_null()).then(pl.lit("groq")),
            ),
            region=pl.coalesce("region", pl.col("_host").str.extract(EU_US)),
        ).drop("_sound", "_seconds", "_kind", "_groq", "_host", "_said")
