"""generateContent of the Gemini API and of Vertex AI, whole and streamed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from costaudit import schema
from costaudit.ingest._context import TIMES
from costaudit.ingest._decode import inside
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import (
    Found,
    Out,
    TableFormat,
    around,
    count,
    custom,
    loaded,
    maybe,
    moment,
    number,
    request,
    text,
)
from costaudit.ingest._format import whole as whole_number
from costaudit.ingest._gemini import camel, ended, is_answer, is_stream, modality_parts, whole
from costaudit.ingest._openai import put, together
from costaudit.ingest._prompt import Prompt
from costaudit.ingest._table import TableReader

TRAFFIC = {
    "on_demand": None,
    "on_demand_priority": "priority",
    "on_demand_flex": "flex",
    "provisioned_throughput": "provisioned",
}
NAMED = r"([^/]+)$"  # models/gemini-2.5-pro, projects/P/locations/L/publishers/google/models/gemini-2.5-pro
PLACE = r"/locations/([^/]+)/"
HOMES = ("response", "responses", "chunks", "stream")  # where home-made logs keep a list of chunks
MARKS = ("_detailed", "_processed", "_key", "_logged")


def _detailed(details: Any) -> bool | None:
    """Whether the prompt is counted by modality, as in every answer of the API that nobody has cut."""
    return True if type(details) is list and details else None


class GeminiAPI(TableFormat):
    """Answers of generateContent and streamGenerateContent: bare, beside their request, or as chunks.

    Read are answers in camelCase (REST) and snake_case (SDK dumps), the list of chunks that a streamed call returns,
    chunks one a line, and output lines of batch jobs (`processed_time` beside the response, or `key` and no time).

    - `promptTokenCount` includes cached content; results of built-in tools (`toolUsePromptTokenCount`) are input beside
      it; `thoughtsTokenCount` is output beside `candidatesTokenCount`.
    - Counts of 0 are left out of an answer: one that has ended, counts its prompt by modality and names no cached
      content read none.
    - Every chunk carries counts, and the last one can carry fewer than an earlier one: each is the largest seen.
    - A grounded answer has a fee: by the answer up to Gemini 2.5, by the query from Gemini 3 on.
    - Storage of explicit caches is billed by the hour and stands in no answer.

    Logged better: request and answer in one record with a time, a task and a `run_id`; `responseId` kept.
    """

    name = "gemini-api"
    title = "Gemini API and Vertex AI generateContent"
    wrappable = True
    called = ("finish_reason",)
    fields = {
        "request_id": text("responseId"),
        "started_at": (moment("createTime"), around(moment("processed_time"))),
        "model": text("modelVersion"),
        "model_requested": (request(text("model")), around(text("model"))),
        "service_tier": text("usageMetadata.trafficType"),
        "service_tier_requested": request(text("serviceTier", "config.serviceTier")),
        "temperature": request(number("generationConfig.temperature", "config.temperature")),
        "max_tokens": request(whole_number("generationConfig.maxOutputTokens", "config.maxOutputTokens")),
        "reasoning_effort": request(text("generationConfig.thinkingConfig.thinkingLevel")),
        "cache_read_tokens": count("usageMetadata.cachedContentTokenCount"),
        "reasoning_tokens": count("usageMetadata.thoughtsTokenCount"),
        "finish_reason": (text("candidates.0.finishReason"), text("promptFeedback.blockReason")),
        "tenant": request(text("labels.tenant", "labels.customer", "labels.tenant_id")),
        "task": request(text("labels.task", "labels.feature")),
        "provider": around(text("provider")),
        "_prompt": count("usageMetadata.promptTokenCount"),
        "_tools": count("usageMetadata.toolUsePromptTokenCount"),
        "_said": count("usageMetadata.candidatesTokenCount", "usageMetadata.responseTokenCount"),
        "_parts": custom(modality_parts, schema.EXTRAS, "usageMetadata"),
        "_queries": whole_number("_queries"),
        "_detailed": custom(_detailed, pl.Boolean(), "usageMetadata.promptTokensDetails"),
        "_processed": around(text("processed_time")),
        "_key": around(text("key")),
        "_logged": around(maybe(moment(*TIMES))),
        "_blocked": text("promptFeedback.blockReason"),
    }
    prompt = Prompt(
        messages=("request:contents",),
        system=("request:systemInstruction", "request:config.systemInstruction"),
        tools=("request:tools", "request:config.tools"),
        output_schema=("request:generationConfig.responseSchema", "request:config.responseSchema"),
        parameters=("request:generationConfig.temperature", "request:generationConfig.topP", "request:toolConfig"),
        answer=("self:candidates",),
    )

    def recognises(self, record: Mapping[str, Any]) -> int:
        if is_answer(record):
            return 80
        return 75 if any(is_stream(record.get(home)) for home in HOMES) else 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        asked = pl.col("model_requested")
        model = pl.coalesce("model", asked.str.extract(NAMED), asked)
        calls = (pl.col("tool_calls").list.len() > 0) & (pl.col("finish_reason") == "STOP")
        per_query = model.str.contains(r"gemini-([3-9]|\d\d)")
        searches = pl.when(per_query).then("_queries").otherwise(pl.lit(1))
        fee = pl.struct(pl.lit("web_search").alias("class"), searches.cast(pl.Decimal(38, 9)).alias("quantity"))
        place = asked.str.extract(PLACE)
        named = asked.str.contains("publishers/", literal=True)
        cloud = place.is_not_null() | named | pl.col("service_tier").is_not_null()
        # A batch job writes no time beside its keys; a log that does has keys of its own.
        keyed = pl.col("_key").is_not_null() & pl.col("_logged").is_null()
        batch = pl.col("_processed").is_not_null() | keyed
        billed = picked.with_columns(_fee=pl.when(pl.col("_queries") > 0).then(pl.concat_list(fee)))
        return billed.with_columns(
            model=model,
            # Results of built-in tools are input and thoughts are output; both stand beside the totals.
            input_tokens=pl.when(pl.col("_prompt").is_not_null()).then(pl.sum_horizontal("_prompt", "_tools")),
            output_tokens=pl.when(pl.any_horizontal(pl.col("_said", "reasoning_tokens").is_not_null()))
            .then(pl.sum_horizontal("_said", "reasoning_tokens"))
            .when(pl.col("_prompt").is_not_null())
            .then(0),
            cache_read_tokens=pl.when(pl.col("_detailed") & pl.col("finish_reason").is_not_null())
            .then(pl.col("cache_read_tokens").fill_null(0))
            .otherwise("cache_read_tokens"),
            extras=together(billed, "_parts", "_fee"),
            finish_reason=pl.when(calls)
            .then(pl.lit("tool_calls"))
            .when(pl.col("_blocked").is_not_null())
            .then(pl.lit("content_filter"))
            .otherwise("finish_reason"),
            service_tier=pl.when(batch)
            .then(pl.lit("batch"))
            .otherwise(pl.col("service_tier").str.to_lowercase().replace(TRAFFIC)),
            region=pl.coalesce("region", place),
            provider=pl.coalesce(
                pl.col("provider").str.to_lowercase(),
                pl.when(cloud.fill_null(value=False)).then(pl.lit("vertex")).otherwise(pl.lit("google")),
            ),
            _rank=pl.col("_prompt").is_not_null().cast(pl.Int64),
            # A line of a batch without an answer says why: a call that failed.
            _foreign=pl.col("_foreign") & ~(batch & pl.col("error_type").is_not_null()),
        ).drop("_prompt", "_tools", "_said", "_parts", "_fee", "_queries", "_blocked", *MARKS)


@GeminiAPI.read_by
class GeminiReader(TableReader):
    """Brings answers into one shape and puts the chunks of streams together before they are read."""

    def __init__(self, form: TableFormat, file: LogFile, found: Found) -> None:
        super().__init__(form, file, found)
        self.open: dict[str, tuple[Record, dict[str, Any], list[dict[str, Any]]]] = {}

    def feed(self, records: Sequence[Record], out: Out) -> None:
        made: list[Record] = []
        for record, value in loaded(records, out):
            made += self._answers(record, value, out)
        super().feed(made, out)

    def close(self, out: Out) -> None:
        waiting, self.open = self.open, {}
        super().feed([made for stream in waiting.values() for made in self._whole(*stream, out)], out)

    def _answers(self, record: Record, value: dict[str, Any], out: Out) -> Sequence[Record]:
        answer = inside(value, self.found.self)
        listed = self._listed(answer)
        if listed is not None:
            return self._whole(record, value, [camel(chunk) for chunk in listed], out)
        if not is_answer(answer):
            return [record._replace(data=value)]
        chunk = camel(answer)
        name = str(chunk.get("responseId") or "")  # without ids, chunks are of one answer up to the one that ends it
        if name not in self.open and not name and not chunk.get("candidates"):
            return self._whole(record, value, [chunk], out)  # of a log that leaves out what was said: no chunk
        if name in self.open:
            self.open[name][2].append(chunk)
            out.skipped["chunk of a stream"] += 1
        else:
            self.open[name] = (record, value, [chunk])
        return self._whole(*self.open.pop(name), out) if ended(chunk) else []

    def _listed(self, answer: Any) -> list[Any] | None:
        homes = [answer.get(home) for home in HOMES] if isinstance(answer, Mapping) else []
        return next((home for home in homes if is_stream(home)), None)

    def _whole(self, record: Record, value: dict[str, Any], chunks: list[dict[str, Any]], out: Out) -> Sequence[Record]:
        try:
            return [record._replace(data=put(value, self.found.self, {**_around(value, self.found), **whole(chunks)}))]
        except ValueError as problem:
            out.rejects.append((record.line, str(problem)))
            return []


def _around(value: dict[str, Any], found: Found) -> dict[str, Any]:
    """What stands beside the chunks where the record itself is the answer's place."""
    return {} if found.self else {key: item for key, item in value.items() if key not in (*HOMES, "candidates")}
