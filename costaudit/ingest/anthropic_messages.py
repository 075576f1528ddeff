"""The Messages API of Anthropic, also as served by Bedrock, Vertex AI and compatible servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from costaudit import schema
from costaudit.ingest._decode import Decoder, inside, parsed
from costaudit.ingest._events import EVENTS, START, Message
from costaudit.ingest._files import UNREADABLE, LogFile, Record
from costaudit.ingest._finish import platform
from costaudit.ingest._format import (
    Found,
    Out,
    TableFormat,
    around,
    count,
    custom,
    flag,
    number,
    request,
    text,
    whole,
)
from costaudit.ingest._lifetimes import settled
from costaudit.ingest._openai import HOST, provider, put, quantities
from costaudit.ingest._prompt import Prompt
from costaudit.ingest._steps import Step, steps
from costaudit.ingest._table import TableReader
from costaudit.ingest._values import count as tokens

PING = "ping"
LARGE = 4_096  # bytes of a record from which it is quicker to decode its marks than to search for them
WRITES = ("_fresh", "cache_read_tokens", "cache_write_tokens")


def _searches(used: Any) -> list[dict[str, Any]] | None:
    return quantities({"web_search": tokens(used) or 0})


class AnthropicMessages(TableFormat):
    """Messages of the Messages API: bare, beside their request, or streamed as events.

    Read are one message a line or a file, `{"request": ..., "response": ...}` and other wrappers four levels deep, and
    event streams as they came over the wire, with or without `data:`. Counts of a stream's `message_delta` replace
    those of its start; they never add.

    - `input_tokens` of the log is uncached input only; cache reads and writes stand beside it and are added here.
    - Writes are split by lifetime where the log has `cache_creation`; else the lifetime is unknown and both are priced.
    - `usage.iterations`: compaction and advisor steps are billed and not in the totals above them. Each becomes a call
      of its own, with the id of the response and the name of the step.
    - `usage.speed` fast and `usage.inference_geo` decide the price; `usage.server_tool_use` has the searches.
    - A message has no time. Without a `timestamp` in the record around it, no dated price applies.

    Logged better: `{"ts", "request", "response"}` with the request's `metadata`, and a `run_id` and `task` beside it.
    """

    name = "anthropic-messages"
    title = "Anthropic Messages API"
    wrappable = True
    others = ("object", frozenset({"response"}))
    fields = {
        "request_id": text("id"),
        "model": text("model"),
        "model_requested": request(text("model")),
        "service_tier": text("usage.service_tier"),
        "service_tier_requested": request(text("service_tier")),
        "temperature": request(number("temperature")),
        "max_tokens": request(whole("max_tokens")),
        "reasoning_effort": request(text("output_config.effort", "effort")),
        "cache_read_tokens": count("usage.cache_read_input_tokens"),
        "cache_write_tokens": count("usage.cache_creation_input_tokens"),
        "cache_write_5m_tokens": count("usage.cache_creation.ephemeral_5m_input_tokens"),
        "cache_write_1h_tokens": count("usage.cache_creation.ephemeral_1h_input_tokens"),
        "output_tokens": count("usage.output_tokens"),
        "reasoning_tokens": count("usage.output_tokens_details.thinking_tokens"),
        "extras": custom(_searches, schema.EXTRAS, "usage.server_tool_use.web_search_requests"),
        "finish_reason": text("stop_reason"),
        "streamed": (flag("stream"), request(flag("stream"))),
        "provider": around(text("provider")),
        "_fresh": count("usage.input_tokens"),
        "_speed": text("usage.speed"),
        "_geo": text("usage.inference_geo"),
        "_host": HOST,
        "_parent": text("_parent"),
        "_object": text("object"),
    }
    prompt = Prompt(
        messages=("request:messages",),
        system=("request:system",),
        tools=("request:tools",),
        output_schema=("request:output_config.format", "request:output_format"),
        parameters=("request:temperature", "request:top_p", "request:tool_choice", "request:thinking"),
        answer=("self:content",),
    )

    def recognises(self, record: Mapping[str, Any]) -> int:
        kind, usage = record.get("type"), record.get("usage")
        if kind in EVENTS:
            return 80
        if kind == "error" and isinstance(record.get("error"), Mapping):
            return 60 if str(record["error"].get("type")).endswith("_error") else 0
        counted = isinstance(usage, Mapping) and "input_tokens" in usage
        if kind == "message" and record.get("role") == "assistant" and (counted or "stop_reason" in record):
            return 80
        return 50 if counted and "stop_reason" in record and "content" in record else 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        picked = settled(picked)
        counted = pl.any_horizontal(pl.col(WRITES).is_not_null())
        claude = pl.col("model").str.starts_with("claude")
        who = provider(
            "_host",
            pl.col("provider").str.to_lowercase(),
            platform(pl.col("request_id")),
            pl.when(claude).then(pl.lit("anthropic")),
        )
        failed = pl.col("model_requested").is_not_null() & (
            pl.col("http_status").is_not_null() | pl.col("error_type").is_not_null()
        )
        return picked.with_columns(
            # Cached input is logged beside `input_tokens`, not inside it.
            input_tokens=pl.when(counted).then(pl.sum_horizontal(WRITES)),
            service_tier=pl.when(pl.col("_speed") == "fast").then(pl.lit("fast")).otherwise("service_tier"),
            region=pl.coalesce("region", pl.when(pl.col("_geo") != "not_available").then("_geo")),
            provider=who,
            parent_id=pl.coalesce("_parent", "parent_id"),
            _rank=pl.col("output_tokens").is_not_null().cast(pl.Int64),
            _foreign=pl.col("_foreign") & ~failed,
        ).drop("_fresh", "_speed", "_geo", "_host", "_parent", "_object")


@AnthropicMessages.read_by
class MessageReader(TableReader):
    """Puts streamed messages together, and gives steps that are billed apart a row of their own."""

    def __init__(self, form: TableFormat, file: LogFile, found: Found) -> None:
        super().__init__(form, file, found)
        self.open: dict[str, Message] = {}
        self.streamed = False
        self.marks = Decoder([(*found.self, "type"), (*found.self, "usage", "iterations")])

    def alone(self, records: Sequence[Record]) -> bool:
        """Whether each line is a call: none was an event of a stream, and none of these may be."""
        return self.form.alone and not self.streamed and not any(map(self._special, records))

    def feed(self, records: Sequence[Record], out: Out) -> None:
        whole: list[Record] = []
        for record in records:
            if self._special(record):
                whole += self._opened(record, out)
            else:
                whole.append(record)
        super().feed(whole, out)

    def _special(self, record: Record) -> bool:
        """Whether a record may be more or less than one message with one usage."""
        data = record.data
        if not isinstance(data, bytes) or len(data) < LARGE:
            return not isinstance(data, bytes) or any(mark in data for mark in MARKS)
        try:
            kind, iterations = self.marks.typed(data)
        except UNREADABLE:
            return True
        return kind in (*EVENTS, PING) or isinstance(iterations, list)

    def close(self, out: Out) -> None:
        waiting, self.open = self.open, {}
        super().feed([part for message in waiting.values() for part in self._finished(message, out)], out)

    def _opened(self, record: Record, out: Out) -> Sequence[Record]:
        """The whole messages that a record completes: itself with its steps, or the one its event begins after."""
        value = parsed(record.data)
        message = inside(value, self.found.self) if isinstance(value, dict) else None
        if not isinstance(value, dict) or not isinstance(message, Mapping):
            return [record]
        kind = message.get("type")
        if kind not in (*EVENTS, PING):
            return self._steps(record._replace(data=value), message, out)
        self.streamed = True
        # Events carry no id; where several streams share a log, the record around them has to tell them apart.
        stream = str(value.get("request_id") or value.get("stream_id") or "")
        if kind == START and isinstance(message.get("message"), Mapping):
            done = self.open.pop(stream, None)
            self.open[stream] = Message(record.line, record.offset, value, message["message"])
            return [] if done is None else self._finished(done, out)
        out.skipped[str(kind)] += 1
        if stream in self.open:
            self.open[stream].add(message)
        return []

    def _finished(self, message: Message, out: Out) -> Sequence[Record]:
        whole = message.message()
        data = put(message.around, self.found.self, whole)
        return self._steps(Record(message.line, message.offset, data), whole, out)

    def _steps(self, record: Record, message: Mapping[str, Any], out: Out) -> Sequence[Record]:
        """The record, and one more for every step that its totals leave out or that is priced by itself."""
        usage = message.get("usage")
        if not isinstance(usage, Mapping) or not isinstance(usage.get("iterations"), list):
            return [record]
        model = message.get("model")
        try:
            billed = steps(usage, model if isinstance(model, str) else None)
        except ValueError as problem:
            out.rejects.append((record.line, str(problem)))
            return []
        parts = [self._part(record, message, usage, step) for step in billed]
        out.extra_lines += len(parts) - 1
        return parts

    def _part(self, record: Record, message: Mapping[str, Any], usage: Mapping[str, Any], step: Step) -> Record:
        own = dict(message) | {"model": step.model, "usage": _usage(usage, step)}
        if step.name:
            parent = message.get("id")
            own |= {"id": f"{parent}:{step.name}" if parent else None, "_parent": parent, "content": None}
        data = record.data if isinstance(record.data, dict) else {}
        return record._replace(data=put(data, self.found.self, own))


MARKS = (b'"message_', b'"content_block_', b'"iterations"', b'"ping"')


def _usage(usage: Mapping[str, Any], step: Step) -> dict[str, Any]:
    """The step in the words of the API: uncached input, reads and writes apart."""
    cached = (step.cache_read_tokens or 0) + (step.cache_write_tokens or 0)
    kept = {key: usage.get(key) for key in ("service_tier", "inference_geo")}
    if not step.name.startswith("advisor"):  # the advisor answers at its own model's ordinary speed
        kept["speed"] = usage.get("speed")
    return kept | {
        "input_tokens": None if step.input_tokens is None else step.input_tokens - cached,
        "cache_read_input_tokens": step.cache_read_tokens,
        "cache_creation_input_tokens": step.cache_write_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": step.cache_write_5m_tokens,
            "ephemeral_1h_input_tokens": step.cache_write_1h_tokens,
        },
        "output_tokens": step.output_tokens,
        "output_tokens_details": {"thinking_tokens": step.reasoning_tokens},
        "server_tool_use": usage.get("server_tool_use") if step.extras else None,
    }
