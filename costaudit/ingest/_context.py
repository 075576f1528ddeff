"""Columns that stand around a request in home-made logs: who asked, for what, how long it took, how it ended.

Names are matched exactly, never by substring; the record itself, then its metadata, then the request's metadata.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from costaudit.ingest._format import Field, around, custom, flag, maybe, moment, number, request, text, usd, whole

TIMES = ("started_at", "start_time", "startTime", "request_time", "timestamp", "ts", "time", "@timestamp")
_HOMES = ("", "metadata.", "tags.", "context.", "labels.", "properties.", "attributes.", "extra.")


def _anywhere(*names: str) -> tuple[Field, ...]:
    """A name in the record, in its metadata, or in the metadata of the request or the response."""
    outer = [home + name for name in names for home in _HOMES]
    inner = [f"metadata.{name}" for name in names]
    return around(text(*outer)), request(text(*inner)), text(*inner)


def _http(status: Any) -> int | None:
    """A status that is an HTTP code; words and other numbers say nothing here."""
    return status if type(status) is int and 100 <= status <= 599 else None


CONTEXT: dict[str, tuple[Field, ...]] = {
    "task": _anywhere("task", "task_name", "feature", "use_case", "workflow", "prompt_name", "agent_name"),
    "tenant": _anywhere("tenant", "tenant_id", "customer", "customer_id", "workspace_id", "org_id", "organization_id"),
    "user": (
        *_anywhere("user", "user_id", "end_user"),
        request(text("user", "safety_identifier", "metadata.user_id")),
    ),
    "environment": _anywhere("environment", "env", "deployment_environment", "stage"),
    "run_id": _anywhere("run_id", "session_id", "conversation_id", "thread_id", "trace_id"),
    "parent_id": _anywhere("parent_id", "parent_run_id", "parent_request_id"),
    "instance_id": _anywhere("instance_id", "case_id", "example_id", "task_instance", "custom_id"),
    "key_id": _anywhere("key_id", "api_key_id", "api_key_alias", "project_id", "project"),
    "region": (around(text("region", "metadata.region")),),
    "step": (around(whole("step", "metadata.step")),),
    "attempt": (around(whole("attempt", "attempt_number", "metadata.attempt")),),
    "started_at": (
        around(moment(*TIMES)),
        around(maybe(moment("created_at", "logged_at", "datetime", "date"))),
    ),
    "ended_at": (around(maybe(moment("ended_at", "end_time", "endTime", "completed_at", "response_time_at"))),),
    "_latency_ms": (
        around(number("latency_ms", "duration_ms", "elapsed_ms", "response_time_ms", "metadata.latency_ms")),
    ),
    "_latency_s": (around(number("latency_s", "duration_s", "elapsed_s", "latency_seconds", "duration_seconds")),),
    "http_status": (
        around(whole("status_code", "http_status", "statusCode", "response.status_code")),
        around(custom(_http, pl.Int64, "status", "response.status")),
    ),
    "error_type": (
        text("error.type", "error.code"),
        around(
            text(
                *("error.type", "error.code", "error_type", "error_class", "exception", "error"),
                *("response.error.type", "response.error.code", "response.body.error.type", "response.body.error.code"),
            )
        ),
    ),
    "score": (around(number("score", "metadata.score", "evaluation.score")),),
    "success": (around(flag("success", "metadata.success", "evaluation.success")),),
    "cost_logged_usd": (around(usd("cost_usd", "response_cost", "total_cost_usd", "metadata.cost_usd")),),
    "streamed": (around(flag("stream", "streaming")), request(flag("stream"))),
}
"""column -> places, after the format's own."""
