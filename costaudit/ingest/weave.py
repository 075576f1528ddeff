"""W&B Weave: exported calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from costaudit.ingest._dump import SpanFormat, first, mapping, written
from costaudit.ingest._files import Record
from costaudit.ingest._plain import soft
from costaudit.ingest._spans import Span
from costaudit.ingest._values import usd

USAGE = {
    "gen_ai.usage.input_tokens": ("prompt_tokens", "input_tokens"),
    "gen_ai.usage.output_tokens": ("completion_tokens", "output_tokens"),
    "gen_ai.usage.total_tokens": ("total_tokens",),
    "gen_ai.usage.cache_read.input_tokens": ("cache_read_input_tokens",),
    "gen_ai.usage.cache_write.input_tokens": ("cache_creation_input_tokens",),
    "gen_ai.usage.reasoning.output_tokens": ("reasoning_tokens",),
}
DETAILS = {
    "gen_ai.usage.cache_read.input_tokens": (("prompt_tokens_details", "input_tokens_details"), "cached_tokens"),
    "gen_ai.usage.reasoning.output_tokens": (
        ("completion_tokens_details", "output_tokens_details"),
        "reasoning_tokens",
    ),
}
FLAT = "summary.usage."
TAILS = ("prompt_tokens_details", "input_tokens_details", "completion_tokens_details", "output_tokens_details")


class Weave(SpanFormat):
    """Calls of W&B Weave, exported as JSON lines, CSV or Parquet: one row a traced function call.

    - `summary.usage` of a call with calls below it is their sum: only the innermost ones are counted. Where those were
      filtered out of the export, the sum is all there is and stands as one call (`requests` says how many it was).
    - Input of Anthropic models includes cached input in current versions and leaves it out in older ones: the counts
      of a file's rows decide.
    - Costs of `summary.weave.costs` are Weave's own and are shown beside the computed cost.
    - Written to the shape of weave 0.54; the sample is synthetic.

    Logged better: `weave.attributes({"task": …, "tenant": …})` around a run, and threads for sessions.
    """

    name = "weave"
    title = "W&B Weave calls"

    def recognises(self, record: Mapping[str, Any]) -> int:
        if "op_name" in record and "started_at" in record and ("trace_id" in record or "project_id" in record):
            return 95
        return 0

    def spans(self, value: Mapping[str, Any], record: Record) -> Iterable[Span | None] | None:
        return list(_spans(value, record)) if "op_name" in value else None


def _spans(call: Mapping[str, Any], record: Record) -> Iterator[Span]:
    """One span a model that the call used; a call that used none is a span all the same."""
    used = _used(call)
    for n, (model, usage) in enumerate(used.items() if used else [(None, {})]):
        yield _span(call, model, usage, f"{call.get('id')}#{n}" if n else written(call.get("id")), record)


def _used(call: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Model -> usage, nested or in columns `summary.usage.<model>.<count>`."""
    summary = mapping(call.get("summary"))
    nested = {str(model): mapping(usage) for model, usage in mapping(summary.get("usage")).items()}
    for name, value in call.items():
        if name.startswith(FLAT) and value is not None:
            model, _, tail = name[len(FLAT) :].rpartition(".")
            home, _, part = model.rpartition(".")
            if part in TAILS:
                nested[home] = {**nested.get(home, {}), part: {**mapping(nested.get(home, {}).get(part)), tail: value}}
            else:
                nested[model] = {**nested.get(model, {}), tail: value}
    return {model: usage for model, usage in nested.items() if usage}


def _span(
    call: Mapping[str, Any], model: str | None, usage: Mapping[str, Any], identity: str | None, record: Record
) -> Span:
    given, made = mapping(call.get("inputs")), mapping(call.get("output"))
    told = mapping(call.get("attributes"))
    settings = mapping(given.get("config")) or given
    counts = {name: first(usage, *names) for name, names in USAGE.items()}
    for name, (homes, key) in DETAILS.items():
        counts[name] = counts[name] or next((v for h in homes if (v := mapping(usage.get(h)).get(key))), None)
    attributes = {
        **counts,
        "gen_ai.response.model": model,
        "gen_ai.request.model": written(given.get("model")),
        "gen_ai.response.id": written(made.get("id")),
        "gen_ai.conversation.id": call.get("thread_id"),
        "user.id": call.get("wb_user_id"),
        "gen_ai.request.temperature": settings.get("temperature"),
        "gen_ai.request.max_tokens": first(settings, "max_completion_tokens", "max_tokens"),
        "gen_ai.input.messages": first(given, "messages", "input", "contents"),
        "gen_ai.system_instructions": given.get("system"),
        "gen_ai.tool.definitions": given.get("tools"),
        "gen_ai.output.messages": first(made, "choices", "output") or ([made] if "content" in made else None),
        "gen_ai.response.stop_reason": made.get("stop_reason"),
        "metadata": {k: v for k, v in told.items() if k != "weave"},
    }
    name = written(call.get("op_name")) or ""
    return Span(
        record.line,
        record.offset,
        written(call.get("trace_id")),
        identity,
        written(call.get("parent_id")),
        name.rpartition("/")[2].partition(":")[0] or None,
        call.get("started_at"),
        call.get("ended_at"),
        {name: value for name, value in attributes.items() if value is not None},
        {},
        "",
        bool(call.get("exception")),
        kind="chat" if model else "workflow",
        known={"cost_logged_usd": _cost(call, model)},
    )


def _cost(call: Mapping[str, Any], model: str | None) -> Decimal | None:
    costs = mapping(mapping(mapping(mapping(call.get("summary")).get("weave")).get("costs")).get(str(model)))
    parts = [soft(usd, value) for name, value in costs.items() if name.endswith("_tokens_total_cost")]
    known = [part for part in parts if part is not None]
    return sum(known, Decimal(0)) if known else None
