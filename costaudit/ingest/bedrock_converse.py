"""Answers of Amazon Bedrock's Converse, as programs log what the SDK returned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from costaudit.ingest import _bedrock
from costaudit.ingest._decode import inside
from costaudit.ingest._files import Record
from costaudit.ingest._format import (
    Out,
    TableFormat,
    around,
    count,
    loaded,
    maybe,
    number,
    request,
    text,
    whole,
)
from costaudit.ingest._openai import put
from costaudit.ingest._prompt import Prompt
from costaudit.ingest._table import TableReader


class BedrockConverse(TableFormat):
    """Answers of Converse and ConverseStream that a program logged, bare or beside their request.

    Bedrock's own invocation logs are read by `bedrock`. Of a stream, the event with the usage is the call.

    - Cache reads and writes stand beside `inputTokens`.
    - The answer does not say which model gave it: without the request (`modelId`), or a `modelId` or `model` in the
      record around, a call is unpriced. The price depends on the id's `us.`, `eu.` or `global.` and on its region.
    - The answer has no time; the record around it must have one.

    Logged better: request and answer in one record, with the time, the region, a task and a `run_id`.
    """

    name = "bedrock-converse"
    title = "Amazon Bedrock Converse answers in a program's log"
    wrappable = True
    fields = {
        "request_id": (text("ResponseMetadata.RequestId"), around(text("request_id", "requestId", "x_request_id"))),
        "model_requested": (request(text("modelId")), around(text("modelId", "model_id", "model"))),
        "region": around(text("region", "aws_region", "metadata.region")),
        "service_tier": text("serviceTier.type"),
        "temperature": request(number("inferenceConfig.temperature")),
        "max_tokens": request(whole("inferenceConfig.maxTokens")),
        "cache_read_tokens": count("usage.cacheReadInputTokens", "usage.cacheReadInputTokenCount"),
        "cache_write_tokens": count("usage.cacheWriteInputTokens", "usage.cacheWriteInputTokenCount"),
        "cache_write_5m_tokens": count("_said.short"),
        "cache_write_1h_tokens": count("_said.long"),
        "output_tokens": count("usage.outputTokens"),
        "finish_reason": text("stopReason"),
        "http_status": whole("ResponseMetadata.HTTPStatusCode"),
        "_latency_ms": maybe(number("metrics.latencyMs")),
        "_fresh": count("usage.inputTokens"),
    }
    prompt = Prompt(
        messages=("self:_messages",),
        system=("request:system",),
        tools=("self:_tools",),
        parameters=("request:inferenceConfig",),
        answer=("self:_answer",),
    )

    def recognises(self, record: Mapping[str, Any]) -> int:
        usage, metrics = record.get("usage"), record.get("metrics")
        if not isinstance(usage, Mapping) or "inputTokens" not in usage or "outputTokens" not in usage:
            return 0
        timed = isinstance(metrics, Mapping) and "latencyMs" in metrics
        return 85 if timed or ("stopReason" in record and isinstance(record.get("output"), Mapping)) else 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        asked = pl.col("model_requested")
        parts = ["_fresh", "cache_read_tokens", "cache_write_tokens"]
        return picked.with_columns(
            provider=pl.lit("bedrock"),
            model=asked,
            input_tokens=pl.when(pl.col("_fresh").is_not_null()).then(pl.sum_horizontal(parts)),
            region=pl.coalesce("region", asked.str.extract(r"^arn:aws[\w-]*:bedrock:([\w-]+):")),
            _rank=pl.col("_fresh").is_not_null().cast(pl.Int64),
        ).drop("_fresh")


@BedrockConverse.read_by
class ConverseReader(TableReader):
    """Brings the blocks of requests and answers into the words of the Messages API."""

    def feed(self, records: Sequence[Record], out: Out) -> None:
        super().feed([record._replace(data=self._shaped(value)) for record, value in loaded(records, out)], out)

    def _shaped(self, value: dict[str, Any]) -> dict[str, Any]:
        said = inside(value, self.found.self)
        if not isinstance(said, Mapping):
            return value
        asked = None if self.found.request is None else inside(value, self.found.request)
        facts = {"_said": _bedrock.body_counts(said), "_answer": _bedrock.answer(said)}
        if isinstance(asked, Mapping):
            facts |= {"_messages": _bedrock.messages(asked), "_tools": _bedrock.tools(asked)}
        return put(value, self.found.self, {**said, **facts})
