"""The image endpoints of OpenAI and of servers that speak their dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from costaudit import schema
from costaudit.ingest._format import TableFormat, around, count, custom, moment, request, text
from costaudit.ingest._openai import EU_US, HOST, provider, quantities, usage_parts
from costaudit.ingest._prompt import Prompt
from costaudit.ingest._values import counted

DONE = ("image_generation.completed", "image_edit.completed")


def _parts(usage: Any) -> list[dict[str, Any]] | None:
    """Image tokens of an answer. Without details all of its output is an image's. ValueError: a value is no count."""
    said = usage if isinstance(usage, dict) else {}
    if isinstance(said.get("output_tokens_details"), dict):
        return usage_parts(said)
    given = {part["class"]: int(part["quantity"]) for part in usage_parts(said) or ()}
    return quantities(given | {"output_image": counted(said.get("output_tokens"))})


class OpenAIImages(TableFormat):
    """Answers of the image endpoints (generations, edits), bare or in a log record with their request, or streamed.

    - Text and image tokens of the input have prices of their own; the output is image tokens, where no details say
      otherwise. Models that are billed by the picture (DALL·E) count nothing: their calls are unmetered.
    - Of a stream the event `image_generation.completed` has the counts; partial images are no calls.
    - What another model took to draw an SVG (`svg_usage`) is a call that is not read.
    - The answer names neither model nor id: the model must stand in the request or in the record around it, and
      without an id around it (`request_id`) copies of a call cannot be told from repeated calls.
    """

    name = "openai-images"
    title = "OpenAI images"
    wrappable = True
    fields = {
        "request_id": around(text("request_id", "x_request_id", "response_id")),
        "started_at": moment("created", "created_at"),
        "model": (text("model"), request(text("model")), around(text("model", "request.model", "request.body.model"))),
        "model_requested": request(text("model")),
        "input_tokens": count("usage.input_tokens"),
        "output_tokens": count("usage.output_tokens"),
        "extras": custom(_parts, schema.EXTRAS, "usage"),
        "provider": around(text("provider")),
        "_host": HOST,
        "_pictures": text("output_format", "size", "quality"),
    }
    prompt = Prompt(messages=("request:prompt",), parameters=("request:size", "request:quality", "request:n"))

    def recognises(self, record: Mapping[str, Any]) -> int:
        if "b64_json" in record:
            return 85 if record.get("type") in DONE else 0
        data = record.get("data")
        first = data[0] if isinstance(data, list) and data else None
        if not isinstance(first, Mapping) or "created" not in record:
            return 0
        return 80 if first.get("b64_json") or first.get("url") else 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        return picked.with_columns(
            provider=provider("_host", pl.col("provider").str.to_lowercase()),
            region=pl.coalesce("region", pl.col("_host").str.extract(EU_US)),
        ).drop("_host", "_pictures")
