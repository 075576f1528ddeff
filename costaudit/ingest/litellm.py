"""LiteLLM: the payload its loggers write, and dumps of its spend table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import polars as pl

from costaudit.ingest import _cells
from costaudit.ingest._decode import opened
from costaudit.ingest._early import NOTICE
from costaudit.ingest._files import Record
from costaudit.ingest._format import (
    LEAVES,
    Out,
    TableFormat,
    count,
    custom,
    flag,
    maybe,
    moment,
    number,
    text,
    usd,
    whole,
)
from costaudit.ingest._openai import extras
from costaudit.ingest._prompt import Prompt
from costaudit.ingest._table import TableReader
from costaudit.schema import MAYBE, SHARED

PAYLOAD = ("call_type", "response_cost", "model_map_information", "hidden_params")
SPEND = ("request_id", "call_type", "spend", "prompt_tokens")
LINE = ("batch_id", "custom_id", "status")  # a line of a provider's batch, as the proxy reports it
DAILY = ("api_requests", "spend", "date", "prompt_tokens")

# Where a payload, a spend row and the response inside them keep the provider's usage.
USAGE = ("metadata.usage_object", "metadata.additional_usage_values", "response.usage", "usage")
# Where callers of the gateway leave keys of their own.
CALLERS = ("metadata.requester_metadata", "metadata.spend_logs_metadata")


def _usage(*names: str) -> tuple[str, ...]:
    return tuple(f"{home}.{name}" for name in names for home in USAGE)


def _caller(*names: str) -> tuple[str, ...]:
    return tuple(f"{home}.{name}" for name in names for home in CALLERS)


class LiteLLM(TableFormat):
    """Calls through a LiteLLM proxy or the LiteLLM library, one record an attempt.

    Read are both shapes: the standard logging payload (objects in S3, GCS or Azure blobs, JSON lines of batched
    uploads, bodies of the generic HTTP callback) and rows of `LiteLLM_SpendLogs` (CSV of `psql \\copy`, JSON of the
    spend API, Parquet of a warehouse; lower-case time columns too).

    - `prompt_tokens` includes cached input in current versions. Old ones left out parts of it for Bedrock: the rows of
      a file are asked first, and what they prove is said in the report.
    - `response_cost` and `spend` are shown beside the computed cost and never summed. A cost of 0 is no free call.
    - Rows with `cache_hit` were answered by the gateway's own cache: tokens, but no cost.
    - Session ids that are different on every row are generated ones, no sessions; runs are then rebuilt from messages.
    - Rows of the daily tables (`LiteLLM_DailyUserSpend` and its kin) are sums of the same calls, and of each other:
      they are counted as skipped, for no call can be priced or judged from them.
    - Lines of a provider's batch that the proxy reports (`batch_id`, `custom_id`) are billed at the batch's rates.
    - Rows of MCP tools are no calls to a model and are skipped. Prompts that LiteLLM redacted are as if not logged.

    Logged better: `store_prompts_in_spend_logs`, a `session_id` from the caller, and task and tenant in the request's
    `metadata` (they arrive as `requester_metadata`).
    """

    name = "litellm"
    title = "LiteLLM logging payloads and spend logs"
    wrappable = True
    leaves = LEAVES
    signs = ("_call", "_daily", "_batch")
    context = False  # its trace and session ids need a second look
    fields = {
        "request_id": text("request_id", "id", "litellm_call_id", "response.id"),
        "started_at": moment("startTime", "starttime", "start_time"),
        "ended_at": maybe(moment("endTime", "endtime", "end_time")),
        "_first_at": maybe(moment("completionStartTime", "completionstarttime")),
        "provider": text("custom_llm_provider"),
        "model": text("model", "hidden_params.litellm_model_name", "model_map_information.model_map_key"),
        "model_requested": text("model_group"),
        "service_tier": text(
            *_usage("service_tier"), "cost_breakdown.service_tier", "metadata.cost_breakdown.service_tier"
        ),
        "service_tier_requested": text("model_parameters.service_tier"),
        "region": text(*_usage("inference_geo"), "cost_breakdown.vertex_location", "cost_breakdown.data_residency"),
        "temperature": number("model_parameters.temperature"),
        "max_tokens": whole("model_parameters.max_completion_tokens", "model_parameters.max_tokens"),
        "reasoning_effort": text("model_parameters.reasoning_effort"),
        "streamed": flag("stream", "model_parameters.stream"),
        "input_tokens": count("prompt_tokens", "usage.prompt_tokens"),
        "output_tokens": count("completion_tokens", "usage.completion_tokens"),
        "cache_read_tokens": count(*_usage("cache_read_input_tokens", "prompt_tokens_details.cached_tokens")),
        "cache_write_tokens": count(
            *_usage(
                "cache_creation_input_tokens",
                "prompt_tokens_details.cache_creation_tokens",
                "prompt_tokens_details.cache_write_tokens",
            )
        ),
        **{
            f"cache_write_{life}_tokens": count(
                *_usage(f"prompt_tokens_details.cache_creation_token_details.ephemeral_{life}_input_tokens")
            )
            for life in ("5m", "30m", "1h", "12h")
        },
        "reasoning_tokens": count(*_usage("completion_tokens_details.reasoning_tokens")),
        "extras": extras("usage", *USAGE),
        "cost_logged_usd": usd("response_cost", "spend"),
        "status": custom(_cells.status, pl.String(), "status", "metadata.status"),
        "http_status": whole("error_information.error_code", "metadata.error_information.error_code"),
        "error_type": text("error_information.error_class", "metadata.error_information.error_class"),
        "finish_reason": text("response.choices.0.finish_reason", "response.stop_reason"),
        "gateway_cache_hit": flag("cache_hit"),
        "run_id": text(*_caller("run_id", "session_id")),
        "_session": text("session_id"),
        "_trace": text("trace_id"),
        "task": text(*_caller("task", "task_name", "feature", "use_case", "workflow")),
        "tenant": text(
            *_caller("tenant", "tenant_id", "customer", "customer_id"),
            "metadata.user_api_key_org_alias", "metadata.user_api_key_org_id", "organization_id",
            "metadata.user_api_key_team_alias", "metadata.user_api_key_team_id", "team_id",
        ),
        "environment": text(*_caller("environment", "env")),
        "instance_id": text(*_caller("instance_id", "case_id", "example_id", "task_instance"), "custom_id"),
        "user": text("end_user", "metadata.user_api_key_end_user_id", "metadata.user_api_key_user_id", "user"),
        "key_id": text("metadata.user_api_key_alias", "metadata.user_api_key_hash", "api_key"),
        "_batch": text("batch_id"),
        "_call": text("call_type"),
        "_daily": text("api_requests"),
        "_speed": text(*_usage("speed")),
        "_total": whole("total_tokens", "usage.total_tokens"),
        "_rest": whole(*_usage("prompt_tokens_details.text_tokens")),
    }  # fmt: skip
    prompt = Prompt(
        messages=("self:messages", "self:request.messages"),
        tools=("self:model_parameters.tools",),
        output_schema=("self:model_parameters.response_format",),
        parameters=("self:model_parameters.temperature", "self:model_parameters.top_p"),
        answer=("self:response.choices", "self:response.output", "self:response.content"),
    )

    def recognises(self, record: Mapping[str, Any]) -> int:
        if sum(name in record for name in PAYLOAD) >= 3 and ("id" in record or "startTime" in record):
            return 95
        if all(name in record for name in DAILY):
            return 95
        if all(name in record for name in LINE) and (
            "response_cost" in record or isinstance(record.get("usage"), dict)
        ):
            return 96
        timed = any(name in record for name in ("startTime", "starttime"))
        return 95 if timed and all(name in record for name in SPEND) else 0

    def explode(self, record: Record) -> Sequence[Record]:
        """Itself, with the metadata that spend logs keep as text opened."""
        if isinstance(record.data, dict):
            return (record._replace(data=_opened(record.data)),)
        return (record,)  # objects kept as text are no objects to the decoder, and opened by the slow way

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        call = pl.col("_call").fill_null("")
        hit = pl.col("request_id").str.contains("_cache_hit", literal=True)
        apart = (pl.col("ended_at") - pl.col("_first_at")).dt.total_microseconds() > 0
        wait = (pl.col("_first_at") - pl.col("started_at")).dt.total_microseconds() / 1e6
        anthropic = pl.col("provider").is_in(["anthropic", "bedrock", "vertex_ai"]) | pl.col("model").str.contains(
            "claude"
        )
        named = pl.coalesce("_session", "_trace")
        given, read, write = (pl.col(f"{name}_tokens") for name in ("input", "cache_read", "cache_write"))
        # Until the end of 2025 reads of Bedrock were inside the prompt and writes beside it, BerriAI/litellm#15270.
        half = (read > 0) & (write > 0) & anthropic
        half &= (pl.col("_rest") + read == given) | (given + write + pl.col("output_tokens") == pl.col("_total"))
        return picked.with_columns(
            input_tokens=pl.when(half).then(given + write).otherwise(given),
            service_tier=pl.when(call.str.contains("batch") | pl.col("_batch").is_not_null())
            .then(pl.lit("batch"))
            .when(pl.col("_speed") == "fast")
            .then(pl.lit("fast"))
            .otherwise("service_tier"),
            gateway_cache_hit=pl.coalesce(pl.when(hit).then(True), "gateway_cache_hit"),
            ttft_s=pl.when(pl.col("streamed") & apart & (wait >= 0)).then(wait),
            run_id=pl.coalesce("run_id", named),
            # Older proxies make up a session or a trace for every call: whether it is one, all the calls say.
            run_source=pl.when(pl.col("run_id").is_null() & named.is_not_null()).then(
                pl.when(pl.col("_session").is_not_null()).then(pl.lit(MAYBE)).otherwise(pl.lit(SHARED))
            ),
            # Anthropic's text tokens are the uncached ones; other providers count cached text in them.
            _uncached=pl.when(anthropic).then("_rest"),
            _reading=pl.lit("inside"),
            _scope=pl.col("_call"),
            _rank=pl.col("cache_read_tokens").is_not_null().cast(pl.Int64),
            _skip=pl.when(pl.col("_daily").is_not_null())
            .then(pl.lit("daily sum of calls"))
            .when(call.str.contains("mcp"))
            .then("_call"),
        ).drop("_call", "_batch", "_daily", "_speed", "_first_at", "_rest", "_session", "_trace")


REDACTED = b"redacted-by-litellm"
OBJECTS = ("metadata", "response", "model_parameters", "hidden_params", "error_information", "cost_breakdown")


@LiteLLM.read_by
class PayloadReader(TableReader):
    """Takes the words that stand in for hidden prompts for what they are: no prompt, and no answer."""

    passes = True

    def alone(self, records: Sequence[Record]) -> bool:
        """Each payload is a call."""
        del records
        return self.form.alone

    def _frame(self, records: list[Record], values: Sequence[Sequence[Any]], out: Out) -> None:
        at, home = self.plan.decoder.at, self.found.self
        hidden = {n for n, cell in enumerate(values[at[*home, "messages"]]) if cell is not None and _hidden(cell)}
        if hidden:
            said = {
                place
                for path, place in at.items()
                if path[: len(home) + 1] in ((*home, "messages"), (*home, "response"))
            }
            values = [
                [None if n in hidden else cell for n, cell in enumerate(cells)] if place in said else cells
                for place, cells in enumerate(values)
            ]
        super()._frame(records, values, out)


def _hidden(messages: msgspec.Raw) -> bool:
    """Whether LiteLLM has left nothing of messages but that they are hidden."""
    view = memoryview(messages)
    return len(view) < NOTICE and REDACTED in view.tobytes()


def _opened(record: Mapping[str, Any]) -> dict[str, Any]:
    return {**record, **{name: opened(value) for name in OBJECTS if isinstance(value := record.get(name), str)}}
