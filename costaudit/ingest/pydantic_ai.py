"""Message histories of Pydantic AI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from costaudit import schema
from costaudit.ingest._decode import inside
from costaudit.ingest._files import Record
from costaudit.ingest._format import (
    Out,
    TableFormat,
    around,
    count,
    custom,
    loaded,
    maybe,
    moment,
    text,
    usd,
)
from costaudit.ingest._openai import placed, quantities
from costaudit.ingest._plain import part
from costaudit.ingest._prompt import Prompt
from costaudit.ingest._table import TableReader
from costaudit.ingest._values import counted

LISTS = ("messages", "all_messages", "new_messages", "message_history", "history")
PROVIDERS = {"google-gla": "google", "google-vertex": "vertex", "google-cloud": "vertex", "openai-codex": "openai"}
"""How Pydantic AI calls some providers -> their name in the price book."""


def _beside(usage: Any) -> list[dict[str, Any]] | None:
    """Audio tokens, cached ones apart, and the provider's own searches. Raises ValueError for what is no count."""
    said = usage if isinstance(usage, Mapping) else {}
    given, cached, made = (
        counted(said.get(name)) for name in ("input_audio_tokens", "cache_audio_read_tokens", "output_audio_tokens")
    )
    searches = counted(part(said, "details").get("web_search_requests"))
    sound = {"input_audio": max(0, given - cached), "cache_read_audio": cached, "output_audio": made}
    return quantities({**sound, "web_search": searches})


class PydanticAi(TableFormat):
    """Messages of Pydantic AI, as `all_messages_json()` and its type adapter write them.

    ## Where
    Wherever the program keeps histories: a list of messages, one message a line, or a list in any log record
    (`messages`, `all_messages`, `new_messages`, `message_history`).
    ## What it knows
    Tokens of each response with cache, reasoning and audio, model, provider, run, tools called, cost where it is known.
    Spans of its instrumentation are read by `otlp` and `logfire`.
    ## Traps
    A history holds the responses of all runs before it: a response counts once, by the provider's id. Cached input
    stands inside the input. A response keeps the attempts before it that failed or were rejected, with their own
    usage: each is a call of its own. Counts that are all 0 were not known. Older versions call the counts
    `request_tokens` and `response_tokens`, keep cache and reasoning in `details`, and leave Gemini's thoughts out
    of the response: their total tells.
    ## Limits
    A response says when it was received and not when it was asked for. What Anthropic's advisor took is not counted:
    its model is not named.
    """

    name = "pydantic-ai"
    title = "Pydantic AI messages"
    wrappable = True
    fields = {
        "request_id": text("provider_response_id", "vendor_id"),
        "started_at": maybe(moment("timestamp")),
        "run_id": text("run_id", "conversation_id"),
        "model": text("model_name"),
        "provider": (around(text("provider")), text("canonical_system", "provider_name")),
        "input_tokens": count("usage.input_tokens", "usage.request_tokens"),
        "output_tokens": count("usage.output_tokens", "usage.response_tokens"),
        "cache_read_tokens": count(
            "usage.cache_read_tokens",
            *(f"usage.details.{n}" for n in ("cached_tokens", "cache_read_input_tokens", "cached_content_tokens")),
        ),
        "cache_write_tokens": count("usage.cache_write_tokens", "usage.details.cache_creation_input_tokens"),
        "cache_write_1h_tokens": count("usage.cache_write_1h_tokens", "usage.details.ephemeral_1h_input_tokens"),
        "reasoning_tokens": count(
            "usage.output_reasoning_tokens",
            *(f"usage.details.{name}_tokens" for name in ("reasoning", "thoughts", "thinking")),
        ),
        "_total": count("usage.total_tokens"),
        "extras": custom(_beside, schema.EXTRAS, "usage"),
        "cost_logged_usd": usd("usage.cost"),
        "finish_reason": text("finish_reason"),
        "status": text("_status"),
        "_kind": text("kind"),
    }
    prompt = Prompt(answer=("self:_choices",))

    def recognises(self, record: Mapping[str, Any]) -> int:
        if _kind(record):
            return 84
        for name in LISTS:
            listed = record.get(name)
            first = listed[0] if isinstance(listed, list) and listed else None
            if isinstance(first, Mapping) and _kind(first):
                return 84
        return 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        counts = [n for n in self.fields if n.endswith("_tokens")]
        unknown = (pl.sum_horizontal("input_tokens", "output_tokens") == 0).fill_null(value=False)
        when = pl.col("started_at").dt.to_string("%FT%T%.f")
        own = pl.concat_str(pl.lit("pydantic-ai"), pl.col("run_id").fill_null(""), when, separator=" ")
        return picked.with_columns(
            *(pl.when(~unknown).then(name).alias(name) for name in counts),
            provider=pl.col("provider").str.to_lowercase().replace(PROVIDERS),
            _key=pl.coalesce("request_id", own),
            _reading=pl.when(pl.col("_total").is_not_null()).then(pl.lit("inside")),
        ).drop("_kind")


def _kind(value: Mapping[str, Any]) -> str:
    """Whether an object is a request or a response; "" where it is neither."""
    parts = value.get("parts")
    if not isinstance(parts, list):
        return ""
    if value.get("kind") == "response":
        return "response" if "usage" in value or "model_name" in value else ""
    first = parts[0] if parts else None
    return "request" if value.get("kind") == "request" and isinstance(first, Mapping) and "part_kind" in first else ""


@PydanticAi.read_by
class HistoryReader(TableReader):
    """Takes histories apart into responses."""

    def feed(self, records: Sequence[Record], out: Out) -> None:
        made: list[Record] = []
        for record, value in loaded(records, out):
            place = inside(value, self.found.self)
            messages = _messages(place) if isinstance(place, Mapping) else []
            if not messages:
                made.append(record._replace(data=value))
                continue
            out.extra_lines += len(messages) - 1
            for message in messages:
                if _kind(message) == "response":
                    before = _attempts(message)
                    out.extra_lines += len(before)
                    answers = ({**message, "_choices": _choices(message["parts"])}, *before)
                    made += [record._replace(data=placed(value, self.found.self, a, *LISTS)) for a in answers]
                else:
                    out.skipped["request message"] += 1
        super().feed(made, out)


def _messages(place: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The messages of a history, or the one that the object is."""
    if _kind(place):
        return [place]
    listed: list[Any] = next((place[name] for name in LISTS if isinstance(place.get(name), list) and place[name]), [])
    return [m for m in listed if isinstance(m, Mapping) and _kind(m)]


def _attempts(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The attempts before a response as responses of the same run."""
    listed = message.get("failed_attempts")
    about = {name: message[name] for name in ("run_id", "conversation_id") if name in message}
    return [
        {"kind": "response", "parts": [], **about, **a, "_status": "error" if a.get("outcome") == "error" else None}
        for a in (listed if isinstance(listed, list) else ())
        if isinstance(a, Mapping) and "model_name" in a
    ]


def _choices(parts: Sequence[Any]) -> list[dict[str, Any]] | None:
    """What was answered: the text and the tools called."""
    known = [p for p in parts if isinstance(p, Mapping)]
    said = [p["content"] for p in known if p.get("part_kind") == "text" and isinstance(p.get("content"), str)]
    calls = [
        {"id": p.get("tool_call_id"), "type": "function",
         "function": {"name": p.get("tool_name"), "arguments": p.get("args")}}
        for p in known if p.get("part_kind") == "tool-call"
    ]  # fmt: skip
    if not said and not calls:
        return None
    return [{"message": {"role": "assistant", "content": "".join(said), **({"tool_calls": calls} if calls else {})}}]
