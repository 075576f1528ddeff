"""Access logs in the words of the GenAI conventions: Envoy AI Gateway and proxies that copy its template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from costaudit.ingest._decode import parsed
from costaudit.ingest._files import Record
from costaudit.ingest._format import COUNTED, TableFormat, count, maybe, moment, number, text, whole
from costaudit.ingest._otel_names import FACTS, USAGE

HERE = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.usage.total_tokens")
AROUND = ("start_time", "duration", "response_code", "route_name", "upstream_cluster", ":authority", "x-request-id")


class Envoy(TableFormat):
    """Access logs of Envoy AI Gateway as JSON lines, and of any proxy that logs `gen_ai.*` keys at the top level.

    - The keys are chosen in the gateway's configuration: every spelling of the GenAI conventions is understood.
    - `gen_ai.provider.name` is the name of a backend route, not a vendor; the model decides the price.
    - Input includes cached reads. Whether it includes cache writes depends on the configured expression: the counts of
      a file's rows decide.
    - Lines that name no model and no tokens (other routes, health checks) are counted as skipped.
    - One line a downstream request: retries of the gateway are not in it. Costs it computes are not dollars.

    Logged better: add `gen_ai.response.id`, the cached, written and reasoning tokens, and headers that carry task,
    tenant and session (as `task`, `tenant`, `session.id`) to the access log's template.
    """

    name = "envoy"
    title = "Envoy AI Gateway access logs"
    context = False
    signs = ("input_tokens", "output_tokens", "_total")
    fields = {
        **{column: count(*names) for column, names in USAGE.items() if column in ("input_tokens", "output_tokens")},
        **{
            column: count(*USAGE[column], *more)
            for column, more in {
                "cache_read_tokens": ("gen_ai.usage.cached_input_tokens",),
                "cache_write_tokens": (),
                "reasoning_tokens": ("gen_ai.usage.output_reasoning_tokens",),
            }.items()
        },
        "_total": whole(*USAGE["_total"]),
        "request_id": text(*FACTS["request_id"][1]),
        "_request": text("x-request-id", "request_id"),
        "started_at": moment("start_time", "timestamp", "time"),
        "_latency_ms": number("duration"),
        "ttft_s": number("gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token"),
        "model": text(*FACTS["model"][1], "gen_ai.request.model_override", "gen_ai.request.model"),
        "model_requested": text("gen_ai.request.original_model", "gen_ai.request.model"),
        "key_id": text("gen_ai.provider.name", "upstream_cluster"),
        "http_status": whole("response_code", "status"),
        "finish_reason": text("gen_ai.response.finish_reason", "gen_ai.response.finish_reasons"),
        "user": text(*FACTS["user"][1], "x-user-id"),
        "tenant": text(*FACTS["tenant"][1], "x-tenant-id"),
        "run_id": text(*FACTS["run_id"][1], "x-session-id"),
        "task": text(*FACTS["task"][1], "x-task"),
        "environment": text(*FACTS["environment"][1]),
        "_flags": text("response_flags"),
        "_attempts": maybe(count("upstream_request_attempt_count")),
    }

    def recognises(self, record: Mapping[str, Any]) -> int:
        if not any(name in record for name in HERE):
            return 0
        return 92 if any(name in record for name in AROUND) and "spanId" not in record else 60

    def explode(self, record: Record) -> Sequence[Record]:
        """Itself as an object: keys with dots in them are not looked for in the quick way; `-` is what is not there."""
        value = parsed(record.data)
        if isinstance(value, str):
            return (record,)
        return (record._replace(data={name: said for name, said in value.items() if said != "-"}),)

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        flags = pl.col("_flags").is_not_null() & ~pl.col("_flags").is_in(["-", ""])
        return picked.with_columns(
            request_id=pl.coalesce("request_id", "_request"),
            error_type=pl.when(flags & (pl.col("http_status").is_null() | (pl.col("http_status") >= 400))).then(
                "_flags"
            ),
            attempt=pl.when(pl.col("_attempts") > 1).then("_attempts"),
            _reading=pl.lit("inside"),
            _rank=COUNTED,
            _skip=pl.when(pl.all_horizontal(pl.col("model", "input_tokens", "output_tokens").is_null())).then(
                pl.lit("request of no model")
            ),
        ).drop("_request", "_flags", "_attempts")
