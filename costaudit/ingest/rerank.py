"""Rerankers that count tokens: Jina, Voyage, Together and servers that speak their dialects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from costaudit import schema
from costaudit.ingest._format import TableFormat, around, count, custom, request, text, usd
from costaudit.ingest._openai import HOST, provider
from costaudit.ingest._prompt import Prompt
from costaudit.ingest.cohere import searches

SERVERS = r"(?:^|[./])(jina|voyageai)\."  # api.jina.ai, api.voyageai.com


class Rerank(TableFormat):
    """Answers of rerank endpoints that count tokens (Jina, Voyage, Together), bare or in a log record.

    Cohere's, which bills searches, is read by `cohere`.

    - Query and documents together are the input; there is no output, so the total is the input: some servers leave the
      count of the prompt at 0.
    - OpenRouter tells searches of Cohere's (`search_units`) beside the tokens: they alone are billed.
    - The answer has neither an id nor a time: without a record around it that has them (`request_id`, `timestamp`),
      copies of a call cannot be told from repeated calls.
    """

    name = "rerank"
    title = "Rerankers that count tokens (Jina, Voyage, Together)"
    wrappable = True
    fields = {
        "request_id": (text("id"), around(text("request_id", "x_request_id", "response_id"))),
        "model": text("model"),
        "model_requested": (request(text("model")), around(text("request.model"))),
        "input_tokens": count("usage.total_tokens", "usage.prompt_tokens"),
        "extras": custom(searches, schema.EXTRAS, "usage"),
        "cost_logged_usd": usd("usage.cost"),
        "provider": around(text("provider")),
        "_host": HOST,
    }
    prompt = Prompt(messages=("request:query",))

    def recognises(self, record: Mapping[str, Any]) -> int:
        listed = record.get("results", record.get("data"))
        first = listed[0] if isinstance(listed, list) and listed else None
        ranked = isinstance(first, Mapping) and "relevance_score" in first
        return 80 if ranked and isinstance(record.get("usage"), Mapping) and "model" in record else 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        maker = pl.col("model").str.extract(r"^(jina)-").replace({"jina": "jina-ai"})
        voyage = pl.when(pl.col("model").str.contains(r"^rerank-(?:lite-)?\d")).then(pl.lit("voyageai"))
        served = pl.col("_host").str.to_lowercase().str.extract(SERVERS).replace({"jina": "jina-ai"})
        searched = pl.col("extras").list.len().fill_null(0) > 0
        return picked.with_columns(
            input_tokens=pl.when(searched).then(pl.lit(0, pl.Int64)).otherwise("input_tokens"),
            provider=pl.coalesce(served, provider("_host", pl.col("provider").str.to_lowercase(), maker, voyage)),
        ).drop("_host")
