"""Apache APISIX: entries of its loggers with the summary of its AI proxy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from costaudit.ingest._format import COUNTED, TableFormat, count, flag, moment, number, text, whole
from costaudit.ingest._prompt import Prompt


class Apisix(TableFormat):
    """Entries of APISIX' loggers, with `llm_summary` from its AI proxy (`logging.summaries`).

    - Counts may be text: they are nginx variables. `duration` is the time to the first token, not of the whole call.
    - Cached input is inside the prompt or beside it as the provider counts: the rows of a file decide.
    - Entries of other routes, without `llm_summary`, are counted as skipped.
    - With `logging.payloads` the messages are there and fingerprints are taken.
    - Written to the plugin's source; the sample is synthetic.

    Logged better: switch both `summaries` and `payloads` on, and use one consumer a tenant.
    """

    name = "apisix"
    title = "Apache APISIX AI proxy logs"
    context = False
    fields = {
        "request_id": text("request_id", "request.headers.x-request-id"),
        "started_at": moment("start_time", "@timestamp", "timestamp"),
        "model": text("llm_summary.model", "llm_summary.request_model"),
        "model_requested": text("llm_summary.request_model"),
        "input_tokens": count("llm_summary.prompt_tokens"),
        "output_tokens": count("llm_summary.completion_tokens"),
        "cache_read_tokens": count("llm_summary.cache_read_input_tokens"),
        "cache_write_tokens": count("llm_summary.cache_creation_input_tokens"),
        "reasoning_tokens": count("llm_summary.reasoning_tokens"),
        "_total": whole("llm_summary.total_tokens"),
        "streamed": flag("llm_summary.stream"),
        "_first_ms": number("llm_summary.duration"),
        "_latency_ms": number("latency"),
        "_upstream_s": number("llm_summary.upstream_response_time"),
        "http_status": whole("response.status"),
        "user": text("llm_summary.end_user_id"),
        "tenant": text("consumer.username", "consumer_name"),
        "task": text("route_name", "route_id", "service_id"),
        "run_id": text("request.headers.x-session-id"),
    }
    prompt = Prompt(messages=("self:llm_request.messages",), answer=("self:llm_response_text.content",))

    def recognises(self, record: Mapping[str, Any]) -> int:
        return 95 if isinstance(record.get("llm_summary"), dict) else 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        return picked.with_columns(
            ttft_s=pl.when(pl.col("streamed") & (pl.col("_first_ms") > 0)).then(pl.col("_first_ms") / 1_000),
            _latency_s=pl.col("_upstream_s"),
            _reading=pl.lit("unknown"),
            _rank=COUNTED,
            _skip=pl.when(pl.all_horizontal(pl.col("model", "input_tokens", "output_tokens").is_null())).then(
                pl.lit("request of no model")
            ),
        ).drop("_first_ms", "_upstream_s")
