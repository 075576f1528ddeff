"""OpenRouter: the activity export and generation records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from costaudit.ingest._format import TableFormat, count, custom, flag, maybe, moment, number, text, usd
from costaudit.schema import USD


def _tries(responses: Any) -> int | None:
    """How many providers were asked until one answered."""
    return len(responses) if isinstance(responses, list) else None


class OpenRouter(TableFormat):
    """The activity export (CSV, one row a generation) and generation records of the API (JSON).

    - Prompt tokens include cached ones, completion tokens include reasoning. Records of the API have two counts: the
      native ones are billed and are read, the normalised ones only where there are no others.
    - The id of a generation is the `id` of its answer: an application's own log of the same call is the same call.
    - What a web search or a file cost is in `cost_total` and not in the counts: where it was used, the logged cost is
      higher than the computed one. Of calls on a key of one's own it is what the provider is paid and what OpenRouter
      charges, together.
    - The grouped export behind the charts has sums without tokens; it is no log of calls. Neither are the sums by day
      of the activity interface, which are counted as skipped.
    """

    name = "openrouter"
    title = "OpenRouter activity export and generation records"
    wrappable = True
    context = False
    fields = {
        "request_id": text("generation_id", "id"),
        "started_at": moment("created_at"),
        "model": text("model_permaslug", "model"),
        "service_tier": text("service_tier"),
        "region": text("data_region"),
        "streamed": flag("streamed"),
        "input_tokens": count("native_tokens_prompt", "tokens_prompt"),
        "cache_read_tokens": count("native_tokens_cached", "tokens_cached"),
        "output_tokens": count("native_tokens_completion", "tokens_completion"),
        "reasoning_tokens": count("native_tokens_reasoning", "tokens_reasoning"),
        "cost_logged_usd": usd("cost_total", "total_cost"),
        "_own_usd": usd("byok_usage_inference"),
        "_upstream_usd": usd("upstream_inference_cost"),
        "_own": flag("is_byok"),
        "finish_reason": text("finish_reason_normalized", "finish_reason"),
        "run_id": text("session_id"),
        "tenant": text("external_user"),
        "user": text("user"),
        "task": text("app_name"),
        "key_id": text("api_key_name", "workspace_id"),
        "_latency_ms": maybe(number("generation_time_ms", "generation_time")),
        "_first_ms": maybe(number("time_to_first_token_ms", "latency")),
        "_day": text("date"),
        "_tries": custom(_tries, pl.Int64, "provider_responses"),
        "_cancelled": flag("cancelled"),
        "_variant": text("variant"),
        "_cached": text("response_cache_source_id"),
    }

    def recognises(self, record: Mapping[str, Any]) -> int:
        if "generation_id" in record and "tokens_prompt" in record:
            return 95
        if "byok_usage_inference" in record and "requests" in record and "date" in record:
            return 95
        return 95 if "native_tokens_prompt" in record and "tokens_prompt" in record else 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        variant = pl.col("_variant").is_in(["", "standard"])
        named = pl.col("model").str.contains(":", literal=True)
        return picked.with_columns(
            provider=pl.lit("openrouter"),
            # On a key of one's own the provider is paid beside what OpenRouter charges.
            cost_logged_usd=pl.col("cost_logged_usd")
            + pl.coalesce("_own_usd", pl.when("_own").then("_upstream_usd"), pl.lit(0, USD)),
            model=pl.when(variant.fill_null(value=True) | named)
            .then("model")
            .otherwise(pl.col("model") + ":" + pl.col("_variant")),
            status=pl.when(pl.col("_cancelled")).then(pl.lit("cancelled")),
            gateway_cache_hit=pl.when(pl.col("_cached").is_not_null()).then(True),
            ttft_s=pl.when(pl.col("_first_ms") >= 0).then(pl.col("_first_ms") / 1_000),
            attempt=pl.when(pl.col("_tries") > 1).then("_tries"),
            _skip=pl.when(pl.col("_day").is_not_null()).then(pl.lit("daily sum of calls")),
            _rank=pl.lit(2),  # what is billed, before what the application saw of it
        ).drop("_day", "_tries", "_cancelled", "_variant", "_cached", "_first_ms", "_own_usd", "_upstream_usd", "_own")
