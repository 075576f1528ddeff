"""Answers of Cohere's API: chat of both versions, embeddings and reranking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from costaudit import schema
from costaudit.ingest._format import COUNTED, TableFormat, around, count, custom, number, request, text, whole
from costaudit.ingest._openai import quantities
from costaudit.ingest._prompt import Prompt
from costaudit.ingest._values import counted


def searches(units: Any) -> list[dict[str, Any]] | None:
    """Searches of a reranker; raises ValueError for a value that is no count."""
    billed = units if isinstance(units, Mapping) else {}
    return quantities({"rerank_search": counted(billed.get("search_units"))})


class Cohere(TableFormat):
    """Answers of Cohere's chat (both versions), embed and rerank endpoints, bare or in a log record with their request.

    - `billed_units` is what is paid; `tokens` beside it also counts what Cohere puts around the messages, unbilled.
    - Reranking is billed by the search, of up to 100 documents.
    - The answer names neither its model nor its time: both must stand in the record around it or in the request.
    - Of a stream, the event `message-end` has the counts.

    Logged better: request and answer in one record, with the time, a task and a `run_id`.
    """

    name = "cohere"
    title = "Cohere chat, embed and rerank"
    wrappable = True
    fields = {
        "request_id": (
            text("id", "response_id", "generation_id"), around(text("request_id", "x_request_id", "response_id")),
        ),
        "model_requested": (request(text("model")), around(text("model", "request.model"))),
        "temperature": request(number("temperature")),
        "max_tokens": request(whole("max_tokens")),
        "input_tokens": count("usage.billed_units.input_tokens", "meta.billed_units.input_tokens"),
        "output_tokens": count("usage.billed_units.output_tokens", "meta.billed_units.output_tokens"),
        "finish_reason": text("finish_reason"),
        "extras": custom(searches, schema.EXTRAS, "meta.billed_units"),
    }  # fmt: skip
    prompt = Prompt(
        messages=("request:messages", "request:message", "request:texts", "request:inputs", "request:query"),
        tools=("request:tools",),
        output_schema=("request:response_format",),
        parameters=("request:temperature", "request:p", "request:seed"),
        answer=("self:message.content", "self:text"),
    )

    def recognises(self, record: Mapping[str, Any]) -> int:
        usage = record.get("usage", record.get("meta"))
        return 85 if isinstance(usage, Mapping) and isinstance(usage.get("billed_units"), Mapping) else 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        searched = pl.col("extras").list.len().fill_null(0) > 0
        return picked.with_columns(
            provider=pl.lit("cohere"),
            model=pl.col("model_requested"),
            # A search is all that a reranker bills: it has no tokens.
            input_tokens=pl.when(searched).then(pl.col("input_tokens").fill_null(0)).otherwise("input_tokens"),
            output_tokens=pl.when(searched).then(pl.col("output_tokens").fill_null(0)).otherwise("output_tokens"),
            _rank=COUNTED,
        )
