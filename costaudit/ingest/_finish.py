"""What every format has in common once its columns are picked: defaults, derived columns, identity."""

from __future__ import annotations

import polars as pl

from costaudit import schema

FINISH = {
    "end_turn": "stop", "stop_sequence": "stop", "stop": "stop", "eos": "stop", "completed": "stop", "complete": "stop",
    "max_tokens": "length", "length": "length", "max_output_tokens": "length", "model_length": "length",
    "model_context_window_exceeded": "length", "incomplete": "length",
    "tool_use": "tool_calls", "tool_calls": "tool_calls", "function_call": "tool_calls", "tool-calls": "tool_calls",
    "tool_call": "tool_calls", "tooluse": "tool_calls",
    "content_filter": "content_filter", "safety": "content_filter", "recitation": "content_filter",
    "content-filter": "content_filter", "blocklist": "content_filter", "prohibited_content": "content_filter",
    "guardrail_intervened": "content_filter", "refusal": "refusal", "pause_turn": "pause", "error": "error",
    "malformed_function_call": "error", "unexpected_tool_call": "error", "too_many_tool_calls": "error",
    "failed": "error",
    "cancelled": "cancelled", "canceled": "cancelled",
}  # fmt: skip
"""Provider's word for why an answer ended -> ours; unknown words are kept as they are."""

TIERS = {
    "default": None,
    "standard": None,
    "auto": None,
    "on_demand": None,
    "": None,
    "not_available": None,
    "scale": None,
}
"""Words for the ordinary tier. OpenAI's prepaid `scale` tier has no price of its own per token."""

NOBODY = ("none", "null", "undefined", "unknown", "nan", "n/a", "-")
DRAWN = r"^chatcmpl-\d{1,4}$"
SHORT = 13  # bytes of the longest id that may be one of these


PLATFORMS = {"msg_bdrk_": "bedrock", "msg_vrtx_": "vertex"}
"""Beginning of a message's id -> who served Claude, where it was not Anthropic itself."""


def platform(identity: pl.Expr) -> pl.Expr:
    """Who served a message, as its id tells; null where it tells nothing."""
    return pl.coalesce(pl.when(identity.str.starts_with(mark)).then(pl.lit(who)) for mark, who in PLATFORMS.items())


def finish(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame of one format with everything derived that follows from its own columns."""
    have = set(frame.columns)

    def of(name: str) -> pl.Expr:
        return pl.col(name) if name in have else pl.lit(None, schema.REQUESTS.get(name, pl.Int64()))

    latency = pl.duration(milliseconds=of("_latency_ms").cast(pl.Float64)) if "_latency_ms" in have else None
    if "_latency_s" in have:
        seconds = pl.duration(milliseconds=(pl.col("_latency_s") * 1_000).cast(pl.Float64))
        latency = seconds if latency is None else pl.coalesce(latency, seconds)
    metered = of("input_tokens").is_not_null() | of("output_tokens").is_not_null()
    failed = (of("http_status") >= 400).fill_null(value=False) | of("error_type").is_not_null()
    reason = of("finish_reason").cast(pl.String).str.to_lowercase()
    columns = {
        "finish_reason": reason.replace(FINISH),
        "service_tier": of("service_tier").cast(pl.String).str.to_lowercase().replace(TIERS),
        "status": pl.coalesce(of("status"), pl.when(failed).then(pl.lit("error")).otherwise(pl.lit("ok"))),
        "usage_source": pl.coalesce(
            of("usage_source"), pl.when(metered).then(pl.lit("provider")).otherwise(pl.lit("absent"))
        ),
    }
    if latency is not None:
        columns["ended_at"] = pl.coalesce(of("ended_at"), of("started_at") + latency)
    if "_block_bytes" in have:
        total = pl.col("_block_bytes").list.sum()
        scale = pl.coalesce(of("input_tokens"), total // 4) / total
        estimated = (pl.col("_block_bytes") * scale).list.eval(pl.element().round().cast(pl.Int64))
        columns["block_tokens"] = pl.coalesce(of("block_tokens"), estimated)
    key, named = of("_key").cast(pl.String), of("request_id")
    if frame.schema.get("request_id") == pl.String and frame.select(platform(named).is_not_null().any()).item():
        said = of("provider").cast(pl.String)
        # Clients of Anthropic's SDK for a platform name Anthropic, and so do logs of them.
        columns["provider"] = (
            pl.when(said.str.to_lowercase() != "anthropic").then(said).otherwise(pl.coalesce(platform(named), said))
        )
    columns["_key"] = pl.coalesce(key, named)
    if frame.schema.get("request_id") == pl.String and (frame["request_id"].str.len_bytes() <= SHORT).any():
        said, narrower = _said(named), pl.when(key.ne_missing(named)).then(key)
        columns |= {"request_id": said, "_key": pl.coalesce(narrower, _apart(said, of("started_at")), said)}
    return frame.with_columns(**columns)


def _said(name: pl.Expr) -> pl.Expr:
    """An id, unless it is the word that a program writes where it has none: two calls would be one."""
    return pl.when(~name.str.to_lowercase().is_in(NOBODY)).then(name)


def _apart(name: pl.Expr, when: pl.Expr) -> pl.Expr:
    """Ids drawn out of a thousand, as Ollama's are, with the second they were given out in; null for any other."""
    drawn = (name.str.len_bytes() <= SHORT) & name.str.contains(DRAWN)
    return pl.when(drawn).then(pl.concat_str(name, when.dt.epoch("s"), separator=" "))
