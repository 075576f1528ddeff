"""The embeddings endpoint of OpenAI and of servers that speak its dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from costaudit.ingest._format import TableFormat, around, count, request, text
from costaudit.ingest._openai import EU_US, HOST, provider
from costaudit.ingest._prompt import Prompt


class OpenAIEmbeddings(TableFormat):
    """Answers of the embeddings endpoint, bare or in a log record with their request.

    Input is all there is to bill. The answer has neither an id nor a time: without a record around it that has them
    (`request_id`, `timestamp`), copies of a call cannot be told from repeated calls, and no dated price applies.
    """

    name = "openai-embeddings"
    title = "OpenAI embeddings and compatible servers"
    wrappable = True
    others = ("object", frozenset({"chat.completion", "chat.completion.chunk", "text_completion", "response"}))
    fields = {
        "request_id": (text("id"), around(text("request_id", "x_request_id", "response_id"))),
        "model": text("model"),
        "model_requested": request(text("model")),
        "input_tokens": count("usage.prompt_tokens", "usage.total_tokens"),
        "provider": around(text("provider")),
        "_host": HOST,
        "_object": text("object"),
    }
    prompt = Prompt(messages=("request:input",), parameters=("request:dimensions",))

    def recognises(self, record: Mapping[str, Any]) -> int:
        data = record.get("data")
        if record.get("object") != "list" or not isinstance(data, list):
            return 0
        first = data[0] if data else None
        vectors = isinstance(first, Mapping) and (first.get("object") == "embedding" or "embedding" in first)
        return 80 if vectors or (not data and "usage" in record and "model" in record) else 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        return picked.with_columns(
            provider=provider("_host", pl.col("provider").str.to_lowercase()),
            region=pl.coalesce("region", pl.col("_host").str.extract(EU_US)),
        ).drop("_host", "_object")
