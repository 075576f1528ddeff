"""Usage exports of OpenAI: pages of the Usage API, and the dashboard's CSV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from costaudit.ingest._aggregate import AggregateFormat, Bucket, extras, name, pages, tokens, when, whole_day

RESULT = "organization.usage."
FEES = {
    "web_searches": (("web_search", "num_requests"),),
    "file_searches": (("file_search", "num_requests"),),
    "code_interpreter_sessions": (("code_sessions", "num_sessions"),),
    "images": (("images", "images"),),
    "audio_speeches": (("characters", "characters"),),
    "audio_transcriptions": (("audio_seconds", "seconds"),),
    "vector_stores": (),
}


class OpenAIUsage(AggregateFormat):
    """What OpenAI counted, by bucket of time: pages of the organisation's Usage API, or the dashboard's usage CSV.

    Sums, not requests: in a folder of logs they are skipped; `costaudit reconcile LOGS --against FILE` compares them.

    - `input_tokens` is all input; the uncached part, cached and written input add up to it. Text, audio and image
      counts speak of the uncached part alone.
    - Group the export by model, batch and service tier: without them usage cannot be priced, and says so.
    - Exports that overlap repeat buckets: the last one holds. Do not give two groupings of one period.
    """

    name = "openai-usage"
    title = "OpenAI usage exports (for reconcile)"

    def recognises(self, record: Mapping[str, Any]) -> int:
        if "num_model_requests" in record and "start_time" in record:
            return 95  # a row of the dashboard's CSV
        for bucket, result in pages(record):
            if str(result.get("object", "")).startswith(RESULT):
                return 95
            if bucket.get("object") == "bucket" and result is bucket:
                return 60  # an empty page of the same API
        return 0

    def buckets(self, record: Mapping[str, Any]) -> Iterator[Bucket]:
        for bucket, result in pages(record):
            sort = str(result.get("object", "")).removeprefix(RESULT).removesuffix(".result") or "completions"
            counted = ("model", "num_model_requests", "num_requests", "num_sessions", "images", "characters", "seconds")
            if not any(result.get(key) not in (None, "") for key in counted):
                continue  # a day without use
            start, end = whole_day(when(bucket.get("start_time")), when(bucket.get("end_time")))
            common = {
                "start": start,
                "end": end,
                "provider": "openai",
                "model": name(result.get("model")),
                "service_tier": _tier(result),
                "scope": name(result.get("project_id")),
                "kind": "usage",
            }
            if sort in FEES:
                yield common | {"item": sort, "extras": extras((c, tokens(result.get(k))) for c, k in FEES[sort])}
            else:
                yield common | _tokens(result)


def _tokens(result: Mapping[str, Any]) -> Bucket:
    def of(key: str) -> int:
        return tokens(result.get(key))

    media = (
        ("input_audio", of("input_audio_tokens")),
        ("input_image", of("input_image_tokens")),
        ("cache_read_audio", of("input_cached_audio_tokens")),
        ("cache_read_image", of("input_cached_image_tokens")),
        ("output_audio", of("output_audio_tokens")),
        ("output_image", of("output_image_tokens")),
    )
    return {
        "calls": of("num_model_requests"),
        "input_tokens": of("input_tokens"),
        "cache_read_tokens": of("input_cached_tokens"),
        "cache_write_tokens": of("input_cache_write_tokens"),
        "output_tokens": of("output_tokens"),
        "extras": extras(media),
    }


def _tier(result: Mapping[str, Any]) -> str | None:
    """A batch is a batch whatever tier is named; `default` is the standard tier."""
    if str(result.get("batch")).lower() == "true":
        return "batch"
    tier = name(result.get("service_tier"))
    return None if tier in (None, "default", "standard", "auto") else tier
