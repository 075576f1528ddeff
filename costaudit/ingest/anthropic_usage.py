"""Usage reports of Anthropic's Admin API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from costaudit.ingest._aggregate import AggregateFormat, Bucket, extras, name, pages, tokens, when, whole_day


class AnthropicUsage(AggregateFormat):
    """What Anthropic counted, by bucket of time: pages of the organisation's usage report for messages.

    Sums, not requests: in a folder of logs they are skipped; `costaudit reconcile LOGS --against FILE` compares them.

    - Uncached input, cache reads and cache writes by lifetime stand apart; all input is their sum.
    - Calls are not counted: gaps are told by tokens.
    - Group the report by model, service tier, context window, speed and inference geography: prices depend on them.
    """

    name = "anthropic-usage"
    title = "Anthropic usage reports (for reconcile)"

    def recognises(self, record: Mapping[str, Any]) -> int:
        return 95 if any("uncached_input_tokens" in result for _, result in pages(record)) else 0

    def buckets(self, record: Mapping[str, Any]) -> Iterator[Bucket]:
        for bucket, result in pages(record):
            if "uncached_input_tokens" not in result:
                continue
            lives = result.get("cache_creation")
            lives = lives if isinstance(lives, Mapping) else {}
            short, long = (tokens(lives.get(f"ephemeral_{life}_input_tokens")) for life in ("5m", "1h"))
            read = tokens(result.get("cache_read_input_tokens"))
            used = result.get("server_tool_use")
            searches = tokens(used.get("web_search_requests")) if isinstance(used, Mapping) else 0
            yield common(bucket, result) | {
                "input_tokens": tokens(result.get("uncached_input_tokens")) + read + short + long,
                "cache_read_tokens": read,
                "cache_write_tokens": short + long,
                "cache_write_5m_tokens": short,
                "cache_write_1h_tokens": long,
                "output_tokens": tokens(result.get("output_tokens")),
                "extras": extras([("web_search", searches)]),
                "kind": "usage",
            }


def common(bucket: Mapping[str, Any], result: Mapping[str, Any]) -> Bucket:
    """When, and of what: the same in reports of usage and of cost."""
    start, end = whole_day(when(bucket.get("starting_at")), when(bucket.get("ending_at")))
    return {
        "start": start,
        "end": end,
        "provider": "anthropic",
        "model": name(result.get("model")),
        "service_tier": _tier(result),
        "region": _geo(result),
        "long": _long_context(result),
        "scope": name(result.get("workspace_id")),
    }


def _tier(result: Mapping[str, Any]) -> str | None:
    """The tier that served; fast mode is one."""
    if result.get("speed") == "fast":
        return "fast"
    named = name(result.get("service_tier"))
    return None if named in (None, "standard") else named


def _geo(result: Mapping[str, Any]) -> str | None:
    place = name(result.get("inference_geo"))
    return None if place in (None, "not_available", "global") else place


def _long_context(result: Mapping[str, Any]) -> bool | None:
    """`0-200k` or `200k-1M`; null where the report is not divided by it."""
    window = name(result.get("context_window"))
    return None if window is None else not window.startswith("0-")
