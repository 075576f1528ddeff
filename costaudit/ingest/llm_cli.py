"""The log database of LLM, Simon Willison's command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from costaudit.ingest._counts import Names, tokens
from costaudit.ingest._files import Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, after, part, soft, when, written
from costaudit.ingest._values import count, number, text

PARTS = (
    ("cached_tokens", "cachedContentTokenCount", "cache_read_input_tokens", "prompt_cache_hit_tokens"),
    ("cache_write_tokens", "cache_creation_input_tokens"),
    ("reasoning_tokens", "thoughtsTokenCount", "thinking_tokens"),
)  # fmt: skip
INSIDE = Names(("input_tokens",), ("output_tokens",), *PARTS, inside=True)
BESIDE = Names(("input_tokens",), ("output_tokens",), *PARTS)


class LlmCli(Format):
    """The log database of LLM, the command line tool, and rows of it exported as JSON or CSV.

    ## Where
    `$(llm logs path)`: `~/.config/io.datasette.llm/logs.db`, on a Mac below `~/Library/Application Support`; its tables
    `responses` and, since version 0.33, `turns`.
    ## What it knows
    Tokens of each answer, cached ones where the plugin of the model keeps them, model, conversation, how long it took.
    ## Traps
    Cached input stands inside the input, for plugins of Anthropic beside it. Models are named as LLM calls them
    (`anthropic/claude-sonnet-5`); where the answer's own name is kept, it counts. Logs before version 0.19, and plugins
    that count nothing, have no tokens: their answers are unmetered.
    ## Limits
    A prompt is kept without the conversation before it, so prompts cannot be compared.
    """

    name = "llm-cli"
    title = "LLM command line log database"
    tables: ClassVar = {
        "responses": ("id", "model", "conversation_id", "datetime_utc"),
        "turns": ("id", "model", "thread_id", "datetime_utc"),
    }

    def recognises(self, record: Mapping[str, Any]) -> int:
        if "datetime_utc" not in record or "model" not in record or "id" not in record:
            return 0
        return 92 if "conversation_id" in record or "thread_id" in record else 0


@LlmCli.read_by
class _Reader(PlainReader):
    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        own = text(value.get("id"))
        if own is None or "datetime_utc" not in value:
            out.foreign.append(record)
            return
        options = written(value.get("options_json"))
        began, took = when(value.get("datetime_utc")), soft(number, value.get("duration_ms"))
        self.add(
            record,
            started_at=began,
            ended_at=after(began, took),
            run_id=text(value.get("conversation_id")) or text(value.get("thread_id")),
            model=text(value.get("resolved_model")) or text(value.get("model")),
            model_requested=text(value.get("model")),
            temperature=soft(number, options.get("temperature")),
            max_tokens=soft(count, options.get("max_tokens")),
            service_tier=text(written(value.get("token_details")).get("service_tier")),
            has_text=bool(value.get("response")),
            _key=f"llm {own}",
            **_usage(value),
        )


def _usage(value: Mapping[str, Any]) -> dict[str, int]:
    """The token columns; empty where the plugin counted nothing. Raises ValueError for what is no count."""
    details = written(value.get("token_details"))
    homes = ("prompt_tokens_details", "input_tokens_details", "completion_tokens_details", "output_tokens_details")
    said = {**details, **{k: v for home in homes for k, v in part(details, home).items()}}
    part_of = part(details, "cache_creation")
    lifetimes = {
        f"cache_write_{name}_tokens": n
        for name in ("5m", "1h")
        if (n := soft(count, part_of.get(f"ephemeral_{name}_input_tokens")))
    }
    beside = "cache_read_input_tokens" in details or "cache_creation_input_tokens" in details
    totals = {name: value.get(name) for name in ("input_tokens", "output_tokens")}
    usage = tokens(said | totals, BESIDE if beside else INSIDE)
    return usage | lifetimes if usage else usage
