"""Snowflake Cortex: usage views of AI functions, of the REST interface and of its gateway."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from costaudit.ingest._dump import SpanFormat, SpanReader, first, listing, mapping, written
from costaudit.ingest._files import Record
from costaudit.ingest._format import Out
from costaudit.ingest._spans import Span

USAGE = {
    "gen_ai.usage.input_tokens": ("input", "input_tokens", "prompt", "prompt_tokens"),
    "gen_ai.usage.output_tokens": ("output", "output_tokens", "completion", "completion_tokens"),
    "gen_ai.usage.cache_read.input_tokens": (
        "cache_read_input",
        "cache_read",
        "cached_input",
        "cache_read_input_tokens",
    ),
    "gen_ai.usage.cache_write.input_tokens": ("cache_write_input", "cache_write", "cache_creation_input_tokens"),
}
GRANULAR = ("TOKENS_GRANULAR", "OPERATION_DETAILS", "METRICS", "TOKEN_CREDITS", "TOKENS")
AT = ("START_TIME", "USAGE_TIME", "CREATED_ON")


class Snowflake(SpanFormat):
    """Rows of Snowflake's views of Cortex usage, exported as CSV, JSON or Parquet.

    - Read are `CORTEX_REST_API_USAGE_HISTORY` and `AI_GATEWAY_USAGE_HISTORY` (a row a request) and
      `CORTEX_AISQL_USAGE_HISTORY` and `CORTEX_AI_FUNCTIONS_USAGE_HISTORY` (a row a query, model, function and hour: a
      long query has several rows, and a row may be many calls).
    - Counts come from `TOKENS_GRANULAR`, `METRICS` or `OPERATION_DETAILS`. Older views have one sum of input and
      output (`TOKENS`), which has no price: their rows are unmetered.
    - Snowflake bills credits: what is shown is the list price of the model's maker, where the name is known, and not
      Snowflake's bill. Give your own rates for `snowflake/<model>` in the settings.
    - The views restate each other: give one of them. Times of `CORTEX_AISQL_USAGE_HISTORY` are in the account's zone.
    - Written to the reference pages; the sample is synthetic.

    Logged better: `QUERY_TAG` as JSON with `task` and `tenant`.
    """

    name = "snowflake"
    title = "Snowflake Cortex usage views"

    def recognises(self, record: Mapping[str, Any]) -> int:
        names = {str(name).upper() for name in record}
        timed = bool(names & set(AT))
        own = "REQUEST_ID" in names or "QUERY_ID" in names
        sure = (
            {"TOKENS_GRANULAR"} & names or {"TOKEN_CREDITS"} & names or {"GATEWAY_NAME", "OPERATION_DETAILS"} <= names
        )
        functions = {"FUNCTION_NAME", "MODEL_NAME", "CREDITS", "METRICS"} <= names
        return 95 if timed and own and (sure or functions) else 0


@Snowflake.read_by
class _Reader(SpanReader):
    def __init__(self, form: SpanFormat) -> None:
        super().__init__(form)
        self.views: set[str] = set()
        self.sums = 0  # rows with one figure for input and output together

    def spans(self, value: Mapping[str, Any], record: Record) -> Iterable[Span | None] | None:
        row = {str(name).upper(): cell for name, cell in value.items()}
        if not any(name in row for name in GRANULAR):
            return None
        self.views.add(_view(row))
        found = list(_spans(row, record))
        self.sums += sum(not span.attributes.keys() & USAGE.keys() for span in found)
        return found

    def close(self, out: Out) -> None:
        if self.sums:
            rows = "1 row has" if self.sums == 1 else f"{self.sums:,} rows have"
            out.notes.append(f"Snowflake: {rows} no split into input and output, and so no price: use a current view")
        if len(self.views) > 1:
            out.notes.append(f"Snowflake: {' and '.join(sorted(self.views))} may restate each other: give one of them")


def _view(row: Mapping[str, Any]) -> str:
    if "GATEWAY_NAME" in row:
        return "AI_GATEWAY_USAGE_HISTORY"
    if "QUERY_ID" in row:
        return "CORTEX_AISQL_USAGE_HISTORY" if "USAGE_TIME" in row else "CORTEX_AI_FUNCTIONS_USAGE_HISTORY"
    return "CORTEX_REST_API_USAGE_HISTORY"


def _spans(row: Mapping[str, Any], record: Record) -> Iterator[Span]:
    """A request of the gateway is a row a model; every other row is one."""
    details = {str(model): mapping(used) for model, used in mapping(row.get("OPERATION_DETAILS")).items()}
    if details:
        for model, used in details.items():
            yield _span(row, model, used, record)
    else:
        used = mapping(row.get("TOKENS_GRANULAR")) or _metrics(row.get("METRICS"))
        yield _span(row, written(row.get("MODEL_NAME")), used, record)


def _metrics(listed: Any) -> dict[str, Any]:
    """Counts of the list `[{"key": {"metric": "input", "unit": "tokens"}, "value": 12}]`."""
    found: dict[str, Any] = {}
    for metric in (m for m in listing(listed) if isinstance(m, dict)):
        key = metric.get("key")
        words = key.values() if isinstance(key, dict) else [key, metric.get("metric"), metric.get("unit")]
        said = " ".join(str(word).lower() for word in words if word is not None)
        if "token" in said:
            found |= {side: metric.get("value") for side in ("input", "output") if side in said.split()}
            found |= {side: metric.get("value") for side in ("input", "output") if f"{side}_tokens" in said.split()}
    return found


def _time(value: Any) -> Any:
    """A time without the blank that Snowflake writes before the zone."""
    return re.sub(r"\s+(?=(Z|[+-]\d\d:?\d\d)$)", "", value) if isinstance(value, str) else value


def _span(row: Mapping[str, Any], model: str | None, used: Mapping[str, Any], record: Record) -> Span:
    counts = {str(name).lower(): value for name, value in used.items()}
    when, told = _time(first(row, *AT)), dict(mapping(row.get("QUERY_TAG")))
    attributes = {
        **{name: first(counts, *names) for name, names in USAGE.items()},
        "gen_ai.request.model": model,
        "gen_ai.provider.name": "snowflake",
        "user.id": written(row.get("USER_ID")),
        "project.id": written(first(row, "GATEWAY_NAME", "WAREHOUSE_ID")),
        "cloud.region": written(row.get("INFERENCE_REGION")),
        "metadata": told,
        "task": written(told.get("task")),
        "gen_ai.agent.name": written(first(row, "FUNCTION_NAME", "SERVICE_TYPE")),
    }
    request, query = written(row.get("REQUEST_ID")), written(row.get("QUERY_ID"))
    parts = [_view(row), query, row.get("FUNCTION_NAME"), model, when]
    return Span(
        record.line,
        record.offset,
        None,
        None,
        None,
        None,
        when,
        _time(row.get("END_TIME")),
        {name: value for name, value in attributes.items() if value is not None},
        {},
        "",
        failed=False,
        kind="embeddings" if "embed" in str(row.get("FUNCTION_NAME")).lower() else "chat",
        known={
            "request_id": request,
            "_key": f"snowflake {request} {model}" if request else f"snowflake {' '.join(map(str, parts))}",
            "run_id": query,
        },
    )
