"""PostHog: events of its AI observability, as captured, as exported and as answers of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import polars as pl

from costaudit import schema
from costaudit.ingest._decode import parsed, unfolded
from costaudit.ingest._files import Record
from costaudit.ingest._format import Field, TableFormat, count, flag, maybe, moment, number, text, usd, whole
from costaudit.ingest._lifetimes import settled
from costaudit.ingest._openai import quantities
from costaudit.ingest._prompt import Prompt
from costaudit.schema import SHARED

CALLS = ("$ai_generation", "$ai_embedding")
FLAT = ("$ai_model", "$ai_provider", "$ai_input_tokens", "$ai_output_tokens", "$ai_trace_id", "$ai_total_cost_usd")
TOLD = ("uuid", "timestamp", "event")  # what a row of a query has that is a call, and a sum over calls has not
PAGES = ("batch", "results", "events")
HOLDING = (*(f'"{name}"'.encode() for name in PAGES), b'"properties.$ai_')  # of bytes that are more than one event
RELAYS = (
    "openai",
    "azure",
    "openrouter",
    "litellm",
)  # which count Claude's input as OpenAI does, whatever the flag says
LONGEST = 7 * 24 * 3_600  # seconds of a latency that is taken off the time an event was sent
PARTS = {
    "web_search": "web_search_count",
    "input_audio": "audio_input_tokens",
    "input_image": "image_input_tokens",
    "input_video": "video_input_tokens",
    "output_audio": "audio_output_tokens",
    "output_image": "image_output_tokens",
    "output_video": "video_output_tokens",
    "cache_read_audio": "cache_read_audio_tokens",
}


def _ai(column: Any, *names: str) -> Field:
    found: Field = column(*(f"properties.$ai_{name}" for name in names))
    return found


def _own(*names: str) -> Field:
    return text(*(f"properties.{name}" for name in names))


class PostHog(TableFormat):
    """PostHog events `$ai_generation` and `$ai_embedding`, each of which is a call.

    Read are bodies of the capture interface (`batch`), answers of the events and query interfaces, traces with their
    events, and batch exports (JSON lines, Parquet, CSV; `properties` as an object or as text). A table that a query
    makes is read where its columns keep their names (`properties.$ai_model` or `$ai_model`), with a time or a `uuid`.

    - Traces and spans hold calls together and are skipped, and so is every other event. Of generations that came as
      spans of OpenTelemetry, one inside the other, the inner one is the call.
    - Whether cached input is inside the input, `$ai_cache_reporting_exclusive` says. PostHog guesses it where the
      caller does not, and without it the same guess is made: beside the input for Anthropic and Claude, inside it for
      all others. The rows are asked; what they do not prove is assumed, and a price range for Claude in spans of
      OpenTelemetry and behind an interface of OpenAI's kind, where the guess is as often wrong.
    - Reasoning of Gemini 2.5 and 3 stands beside the output, as PostHog counts it, that of others inside.
    - The libraries write 0 tokens where they know none: a call without any is unknown, not free.
    - The time of an event is when the call ended, and when it began where it came as an OpenTelemetry span.
    - `$ai_total_cost_usd` is PostHog's own or the caller's, and is shown beside the computed cost.

    Logged better: `task`, `tenant` and `environment` as properties, `$ai_session_id` for runs of several traces.
    """

    name = "posthog"
    title = "PostHog AI events"
    context = False
    signs = ("_event", "model", "input_tokens")
    fields = {
        "request_id": text("properties.$ai_completion_id", "uuid", "id"),
        "_key": text("uuid", "id"),
        "_also": _ai(text, "completion_id"),
        "_event": text("event"),
        "started_at": moment("timestamp", "properties.timestamp", "createdAt"),
        "_latency_s": maybe(_ai(number, "latency")),
        "ttft_s": maybe(_ai(number, "time_to_first_token")),
        "provider": _ai(text, "provider"),
        "model": _ai(text, "model"),
        "input_tokens": _ai(count, "input_tokens"),
        "cache_read_tokens": _ai(count, "cache_read_input_tokens"),
        "cache_write_tokens": _ai(count, "cache_creation_input_tokens"),
        "cache_write_5m_tokens": _ai(count, "cache_creation_5m_input_tokens"),
        "cache_write_1h_tokens": _ai(count, "cache_creation_1h_input_tokens"),
        "output_tokens": _ai(count, "output_tokens"),
        "reasoning_tokens": _ai(count, "reasoning_tokens"),
        "_total": _ai(whole, "total_tokens"),
        **{f"_{name}": _ai(whole, place) for name, place in PARTS.items()},
        "cost_logged_usd": _ai(usd, "total_cost_usd"),
        "http_status": _ai(whole, "http_status"),
        "_failed": _ai(flag, "is_error"),
        "error_type": _ai(text, "error_type"),
        "finish_reason": _ai(text, "stop_reason"),
        "streamed": _ai(flag, "stream", "model_parameters.stream", "model_parameters.streaming"),
        "temperature": _ai(number, "temperature", "model_parameters.temperature"),
        "max_tokens": _ai(
            whole, "max_tokens", "model_parameters.max_tokens", "model_parameters.max_completion_tokens",
            "model_parameters.max_output_tokens",
        ),
        "run_id": _ai(text, "session_id"),
        "_trace": _ai(text, "trace_id"),
        "_span_id": _ai(text, "span_id"),
        "parent_id": _ai(text, "parent_id"),
        "task": text(
            "properties.task", "properties.task_name", "properties.feature", "properties.$ai_prompt_name",
            "properties.$ai_agent_name",
        ),
        "tenant": _own("tenant", "tenant_id", "customer", "customer_id", "organization_id", "$groups.organization",
                       "$groups.company"),
        "user": text("distinct_id", "properties.distinct_id"),
        "environment": _own("environment", "env"),
        "key_id": text("team_id"),
        "_exclusive": _ai(flag, "cache_reporting_exclusive"),
        "_framework": _ai(text, "framework"),
        "_lib": _ai(text, "lib"),
        "_source": _ai(text, "ingestion_source"),
    }  # fmt: skip
    prompt = Prompt(
        messages=("self:properties.$ai_input",),
        tools=("self:properties.$ai_tools",),
        parameters=("self:properties.$ai_model_parameters",),
        answer=("self:properties.$ai_output_choices",),
    )

    def recognises(self, record: Mapping[str, Any]) -> int:
        if (score := _is_event(record)) or (score := _is_row(record)):
            return score
        rows = next((rows for name in PAGES if isinstance(rows := record.get(name), list)), [])
        columns = record.get("columns")
        if rows and isinstance(columns, list) and isinstance(rows[0], list):
            return _is_row(dict.fromkeys(map(str, columns)))
        inside = [row for row in rows[:5] if isinstance(row, dict)]
        inside += [event for row in inside for event in _events(row)[:5] if isinstance(event, dict)]
        return max(map(_is_event, inside), default=0)

    def explode(self, record: Record) -> Sequence[Record]:
        """The events of a page, each with its properties in one object; one event that is a line by itself as it is."""
        data = record.data
        if not isinstance(data, dict):
            if not any(mark in data for mark in HOLDING):
                return (record,)
            value = parsed(data)
            if isinstance(value, str) or (not _pages(value) and not _is_row(value)):
                return (record,)
            data = value
        if not self.recognises(data):
            return (record,)
        rows = _rows(data) if _pages(data) else [data]
        found = [_event(row) if isinstance(row, dict) else msgspec.json.encode(str(row)[:40]) for row in rows]
        return [record._replace(data=row) for row in found] or (record,)

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        provider, model = (pl.col(name).str.to_lowercase().fill_null("") for name in ("provider", "model"))
        given, said, hidden = pl.col("input_tokens"), pl.col("output_tokens"), pl.col("reasoning_tokens").fill_null(0)
        nothing = pl.sum_horizontal("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens") == 0
        claude = (provider == "anthropic") | model.str.contains("anthropic", literal=True)
        claude |= model.str.starts_with("claude")
        vercel = (provider == "gateway") & (pl.col("_framework").str.to_lowercase() == "vercel").fill_null(value=False)
        span = (pl.col("_source") == "otel").fill_null(value=False)
        reading = (
            pl.when(pl.col("_exclusive") == False)  # noqa: E712
            .then(pl.lit("inside"))
            .when(claude & (provider.is_in(RELAYS) | span))
            .then(pl.lit("unknown"))
            .when(pl.col("_exclusive") | (claude & ~vercel))
            .then(pl.lit("beside"))
            .otherwise(pl.lit("inside"))
        )
        # The same models as PostHog's own price of an answer adds it for, unless the total has it once already.
        thought = model.str.contains(r"^gemini-(2\.5|3(\.\d+)?)-") & (hidden > 0)
        thought &= (pl.col("_total") != given + said).fill_null(value=True)
        took = pl.col("_latency_s")
        took = pl.when(took.is_between(0, LONGEST)).then(took)
        sent = pl.col("started_at") - pl.duration(microseconds=(took * 1e6).round())
        event = pl.col("_event")
        embedding = (event == "$ai_embedding").fill_null(value=False)
        other = pl.when(event.str.starts_with("$ai_")).then(event.str.slice(0, 40)).otherwise(pl.lit("no AI"))
        made = settled(picked).with_columns(
            started_at=pl.coalesce(pl.when(~span).then(sent), "started_at"),
            _latency_s=took,
            input_tokens=pl.when(~nothing).then("input_tokens"),
            output_tokens=pl.when(~nothing).then(
                pl.when(thought).then(said + hidden).when(embedding).then(said.fill_null(0)).otherwise(said)
            ),
            provider=pl.col("provider").str.to_lowercase(),
            http_status=pl.when(pl.col("http_status") > 0).then("http_status"),
            status=pl.when(pl.col("_failed")).then(pl.lit("error")),
            run_id=pl.coalesce("run_id", "_trace"),
            run_source=pl.when(pl.col("run_id").is_null() & pl.col("_trace").is_not_null()).then(pl.lit(SHARED)),
            # Instrumentations nest, and the outer span of two restates the inner one.
            _trace=pl.when(span).then("_trace"),
            _span=pl.when(span).then("_span_id"),
            _parent=pl.when(span).then("parent_id"),
            # Without a person an event goes by its trace.
            user=pl.when(pl.col("user").ne_missing(pl.col("_trace"))).then("user"),
            extras=_extras(picked),
            _reading=reading,
            _scope=pl.concat_str(pl.col("_lib").fill_null(""), reading, separator=" "),
            _rank=given.is_not_null().cast(pl.Int64),
            _skip=pl.when(event.is_not_null() & ~event.is_in(CALLS)).then(pl.concat_str(pl.lit("event: "), other)),
        )
        return made.drop(
            "_event", "_failed", "_span_id", "_exclusive", "_framework", "_lib", "_source", *map("_{}".format, PARTS)
        )


def _extras(picked: pl.DataFrame) -> pl.Series:
    """What PostHog counts apart, by class: all sound of the input contains the cached sound."""
    names = [f"_{name}" for name in PARTS]
    if picked.select(pl.sum_horizontal(pl.col(name).sum() for name in names)).item() == 0:
        return pl.Series([None], dtype=schema.EXTRAS).new_from_index(0, picked.height)
    cells = []
    for row in picked.select(names).iter_rows():
        found = {name: n or 0 for name, n in zip(PARTS, row, strict=True)}
        found["input_audio"] = max(0, found["input_audio"] - found["cache_read_audio"])
        cells.append(quantities(found))
    return pl.Series(cells, dtype=schema.EXTRAS)


def _is_event(record: Mapping[str, Any]) -> int:
    event = record.get("event")
    if not isinstance(event, str) or "properties" not in record:
        return 0
    return 95 if event.startswith("$ai_") else 70 if "distinct_id" in record else 0


def _is_row(record: Mapping[str, Any]) -> int:
    """Whether it is a row of a query's table that is a call by itself."""
    known = sum(name in record or f"properties.{name}" in record for name in FLAT)
    return 95 if known >= 2 and any(name in record for name in TOLD) else 0


def _pages(value: Mapping[str, Any]) -> bool:
    return "event" not in value and any(isinstance(value.get(name), list) for name in PAGES)


def _events(row: Mapping[str, Any]) -> list[Any]:
    found = row.get("events")
    return found if isinstance(found, list) else []


def _rows(value: Mapping[str, Any]) -> list[Any]:
    """The events of a page: of a batch, of a list, of traces, or the rows of a table with their columns' names."""
    rows = next(value[name] for name in PAGES if isinstance(value.get(name), list))
    columns = value.get("columns")
    if isinstance(columns, list) and all(isinstance(row, list) for row in rows):
        names = [str(name) for name in columns]
        return [dict(zip(names, row, strict=False)) for row in rows]
    found: list[Any] = []
    for row in rows:
        below = _events(row) if isinstance(row, dict) and "event" not in row else []
        found += below or [row if not isinstance(row, dict) or "event" in row else {"event": "$ai_trace"}]
    return found


def _event(row: Mapping[str, Any]) -> dict[str, Any]:
    """The event with its properties in one object, wherever they stand."""
    inside = row.get("properties")
    inside = unfolded(inside)
    properties = dict(inside) if isinstance(inside, Mapping) else {}
    for name, value in row.items():
        if name.startswith("properties."):
            properties.setdefault(name.removeprefix("properties."), value)
        elif name.startswith("$ai_"):
            properties.setdefault(name, value)
    return {**row, "properties": properties}
