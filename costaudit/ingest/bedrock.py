"""Model invocation logs of Amazon Bedrock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from costaudit.ingest import _bedrock
from costaudit.ingest._decode import dig, inside, unfolded
from costaudit.ingest._files import Record
from costaudit.ingest._format import (
    Found,
    Out,
    TableFormat,
    count,
    loaded,
    maybe,
    moment,
    number,
    text,
    whole,
)
from costaudit.ingest._lifetimes import settled
from costaudit.ingest._openai import put
from costaudit.ingest._prompt import Prompt
from costaudit.ingest._table import TableReader

SCHEMA = "ModelInvocationLog"


def _caller(*names: str) -> tuple[str, ...]:
    return tuple(f"requestMetadata.{name}" for name in names)


class Bedrock(TableFormat):
    """Model invocation logs from S3 or CloudWatch, and output files of batch inference.

    Read are the files below `BedrockModelInvocationLogs/` (`.json.gz`, one record a line), CloudWatch exports that wrap
    a record as text in `message` or `@message`, Firehose batches (`logEvents`), and `*.jsonl.out` of batch jobs.

    - All model families: Converse, Messages, Nova, Titan, Llama, Cohere and those with OpenAI's shape, also streamed.
      Counts of the body come before the record's own, for they split cached input; cached input stands beside
      `inputTokens`, except in OpenAI's shape.
    - The price depends on `modelId`: `us.`, `eu.`, `global.` and bare ids differ. The id of an application inference
      profile says nothing; the answer's model is taken if it is logged, else the call is unpriced, never free.
    - The same record in S3 and in CloudWatch has the same `requestId` and is one call.
    - Logging is opt-in by account and region, and covers `bedrock-runtime` only: totals are a floor.

    Logged better: text delivery on, and `requestMetadata` with tenant, task and `run_id`.
    """

    name = "bedrock"
    title = "Amazon Bedrock model invocation logs"
    wrappable = True
    context = False
    fields = {
        "request_id": text("requestId"),
        "started_at": moment("timestamp"),
        "model_requested": text("modelId"),
        "region": text("inferenceRegion", "region"),
        "service_tier": text("serviceTier", "serviceTier.type"),
        "temperature": number(
            "input.inputBodyJson.inferenceConfig.temperature",
            "input.inputBodyJson.temperature",
            "input.inputBodyJson.textGenerationConfig.temperature",
        ),
        "max_tokens": whole(
            "input.inputBodyJson.inferenceConfig.maxTokens",
            "input.inputBodyJson.max_tokens",
            "input.inputBodyJson.max_gen_len",
            "input.inputBodyJson.textGenerationConfig.maxTokenCount",
        ),
        "cache_read_tokens": count("_said.read", "input.cacheReadInputTokenCount"),
        "cache_write_tokens": count("_said.write", "input.cacheWriteInputTokenCount"),
        "cache_write_5m_tokens": count("_said.short"),
        "cache_write_1h_tokens": count("_said.long"),
        "output_tokens": count("_said.output", "output.outputTokenCount"),
        "reasoning_tokens": count("_said.reasoning"),
        "finish_reason": text("_ended"),
        "error_type": text("errorCode", "error.errorMessage", "error"),
        "key_id": text("identity.arn"),
        "run_id": text(*_caller("run_id", "session_id", "conversation_id", "traceId", "trace_id")),
        "task": text(*_caller("task", "feature", "use_case")),
        "tenant": text(*_caller("tenant", "tenant_id", "customer", "customer_id")),
        "user": text(*_caller("user", "user_id")),
        "environment": text(*_caller("environment", "env")),
        "instance_id": text("recordId"),
        "_latency_ms": maybe(number("output.outputBodyJson.metrics.latencyMs", "_said.latency")),
        "_fresh": count("_said.input", "input.inputTokenCount"),
        "_whole": count("_said.prompt"),
        "_operation": text("operation"),
        "_answered": text("_model"),
    }
    prompt = Prompt(
        messages=("self:_messages",),
        system=("self:input.inputBodyJson.system",),
        tools=("self:_tools",),
        parameters=("self:input.inputBodyJson.inferenceConfig", "self:input.inputBodyJson.temperature"),
        answer=("self:_answer",),
    )

    def recognises(self, record: Mapping[str, Any]) -> int:
        if record.get("schemaType") == SCHEMA:
            return 95
        if isinstance(record.get("logEvents"), list) and SCHEMA in str(record["logEvents"][:1]):
            return 95
        return 90 if "recordId" in record and "modelInput" in record else 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        asked = pl.col("model_requested")
        opaque = asked.str.contains("application-inference-profile/", literal=True)
        parts = ["_fresh", "cache_read_tokens", "cache_write_tokens"]
        counted = pl.any_horizontal(pl.col(parts).is_not_null())
        batch = pl.col("instance_id").is_not_null()
        return (
            settled(picked)
            .with_columns(
                provider=pl.lit("bedrock"),
                model=pl.when(opaque | asked.is_null()).then(pl.coalesce("_answered", asked)).otherwise(asked),
                input_tokens=pl.coalesce("_whole", pl.when(counted).then(pl.sum_horizontal(parts))),
                service_tier=pl.when(batch)
                .then(pl.lit("batch"))
                .when(asked.str.contains("provisioned-model/", literal=True))
                .then(pl.lit("provisioned"))
                .otherwise("service_tier"),
                streamed=pl.col("_operation").str.contains("Stream", literal=True),
                _rank=counted.cast(pl.Int64),
            )
            .drop("_fresh", "_whole", "_operation", "_answered")
        )


@Bedrock.read_by
class BedrockReader(TableReader):
    """Brings the bodies of each family to one shape before the table is read."""

    def feed(self, records: Sequence[Record], out: Out) -> None:
        made: list[Record] = []
        for record, value in loaded(records, out):
            inner = [_record(one) for one in _unpacked(value)]
            out.extra_lines += len(inner) - 1
            made += [record._replace(data=_plain(one, self.found)) for one in inner]
        super().feed(made, out)


def _unpacked(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of a Firehose batch; any other record by itself."""
    events = value.get("logEvents")
    if not isinstance(events, list):
        return [value]
    texts = [event.get("message") for event in events if isinstance(event, Mapping)]
    found = [unfolded(t) for t in texts]
    return [one for one in found if isinstance(one, dict)] or [value]


def _record(value: dict[str, Any]) -> dict[str, Any]:
    """A line of a batch job's output in the shape of a log record; it has neither model nor time of its own."""
    if "modelInput" not in value or "recordId" not in value:
        return value
    bodies = {"input": {"inputBodyJson": value["modelInput"]}, "output": {"outputBodyJson": value.get("modelOutput")}}
    return {key: item for key, item in value.items() if key not in ("modelInput", "modelOutput")} | bodies


def _plain(value: dict[str, Any], found: Found) -> dict[str, Any]:
    inner = inside(value, found.self)
    if not isinstance(inner, Mapping) or not ("schemaType" in inner or "recordId" in inner):
        return value  # of another format, which is to read it as it stands
    asked, said = dig(inner, ("input", "inputBodyJson")), dig(inner, ("output", "outputBodyJson"))
    asked = asked if isinstance(asked, Mapping) else {}
    whole_body = _bedrock.streamed(said) if isinstance(said, list) else said
    facts = {
        "_said": _bedrock.body_counts(said),
        "_ended": _bedrock.ended(said),
        "_messages": _bedrock.messages(asked),
        "_tools": _bedrock.tools(asked),
        "_answer": _bedrock.answer(said),
        "_model": whole_body.get("model") if isinstance(whole_body, Mapping) else None,
    }
    return put(value, found.self, {**inner, **facts})
