"""Chat Completions of OpenAI and every server that speaks its dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from costaudit import schema
from costaudit.ingest._chunks import EVENT, Stream, deltas, is_chunk
from costaudit.ingest._decode import dig, inside, parsed
from costaudit.ingest._early import undone
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import (
    COUNTED,
    LEAVES,
    Found,
    Out,
    TableFormat,
    around,
    count,
    custom,
    flag,
    moment,
    number,
    request,
    text,
    usd,
    whole,
)
from costaudit.ingest._openai import EU_US, HOST, extras, inclusive_output, provider, put, quantities, together
from costaudit.ingest._prompt import Prompt
from costaudit.ingest._table import TableReader


def _citations(choices: Any) -> list[dict[str, Any]] | None:
    """One search for an answer that cites the web: the API bills it by the call and counts it nowhere."""
    for choice in choices if type(choices) is list else ():
        message = choice.get("message") if type(choice) is dict else None
        notes = message.get("annotations") if type(message) is dict else None
        for note in notes if type(notes) is list else ():
            if type(note) is dict and note.get("type") == "url_citation":
                return quantities({"web_search": 1})
    return None


REFUSED = (("response", "error"), ("response", "body", "error"))  # where an error stands in place of an answer


def _unanswered(record: Mapping[str, Any]) -> bool:
    """Whether a record is a request that got an error in place of an answer."""
    asked = record.get("request")
    if not isinstance(asked, Mapping) or "model" not in asked or "messages" not in asked:
        return False
    if record.get("response"):
        return any(isinstance(dig(record, path), Mapping) for path in REFUSED)
    return bool(record.get("error")) or any(record.get(name) is not None for name in ("status_code", "http_status"))


def _filtered(choices: Any) -> bool | None:
    """Whether the answer carries the content filter's results, which only Azure adds."""
    if type(choices) is list and choices and type(choices[0]) is dict:
        return (choices[0].get("content_filter_results") is not None) or None
    return (dig({"choices": choices}, ("choices", "0", "content_filter_results")) is not None) or None


class OpenAIChat(TableFormat):
    """Responses of the Chat Completions API, bare or in a log record with their request, streamed or whole.

    Read are one JSON object a line or a file; `{"request": ..., "response": ...}` and other wrappers four levels deep;
    and streams as they came over the wire, one chunk a line with or without `data:`. Chunks are put together by
    their id. Compatible servers (Groq, DeepSeek, xAI, OpenRouter, Together, vLLM, Azure OpenAI) are read alike; the
    server is known by the logged address (`base_url`), by a `provider` field, or by marks in the answer.

    - `prompt_tokens` includes cached and written input; `completion_tokens` includes reasoning, except at xAI, where
      the total shows that it stands beside, and where Gemini is asked in this dialect: its thoughts stand in the total
      alone. Cached input is also read where DeepSeek and Kimi say it.
    - A stream has usage only if `stream_options.include_usage` was set. Without it, or when it was broken off, the
      call is unmetered, not free; where the log has its text, tokens are estimated.
    - `service_tier` of the answer is the tier that served, not the one asked for.
    - Audio and image tokens are parts of the totals. Search models bill a search an answer, which no count shows: an
      answer that cites the web counts as one.

    Logged better: the request beside the response, `include_usage` on streams, a `run_id` and a `task` in the record,
    and the base URL where it is not api.openai.com.
    """

    name = "openai-chat"
    title = "OpenAI Chat Completions and compatible servers"
    wrappable = True
    others = ("object", frozenset({"list"}))  # of embeddings
    leaves = LEAVES | {"streamed"}
    fields = {
        "request_id": text("id"),
        "started_at": moment("created"),
        "model": text("model"),
        "model_requested": request(text("model")),
        "service_tier": text("service_tier"),
        "service_tier_requested": request(text("service_tier")),
        "temperature": request(number("temperature")),
        "max_tokens": request(whole("max_completion_tokens", "max_tokens")),
        "reasoning_effort": request(text("reasoning_effort", "reasoning.effort")),
        "input_tokens": count("usage.prompt_tokens", "x_groq.usage.prompt_tokens"),
        "cache_read_tokens": count(
            "usage.prompt_tokens_details.cached_tokens", "usage.prompt_cache_hit_tokens", "usage.cached_tokens"
        ),
        "cache_write_tokens": count("usage.prompt_tokens_details.cache_write_tokens"),
        "output_tokens": count("usage.completion_tokens", "x_groq.usage.completion_tokens"),
        "reasoning_tokens": count("usage.completion_tokens_details.reasoning_tokens", "usage.reasoning_tokens"),
        "search_context_size": text("usage.search_context_size"),
        "cost_logged_usd": (usd("usage.cost"), usd("usage.cost.total_cost")),
        "finish_reason": text("choices.0.finish_reason"),
        "streamed": (flag("stream"), request(flag("stream"))),
        "provider": around(text("provider")),
        "_upstream": text("provider"),
        "_host": HOST,
        "_usage": extras("usage", "usage"),
        "_cites": custom(_citations, schema.EXTRAS, "choices"),
        "_filtered": custom(_filtered, pl.Boolean(), "choices"),
        "_deepseek": whole("usage.prompt_cache_miss_tokens"),
        "_groq": text("x_groq.id"),
        "_sum": whole("usage.total_tokens"),
        "_object": text("object"),
    }
    prompt = Prompt(
        messages=("request:messages",),
        tools=("request:tools", "request:functions"),
        output_schema=("request:response_format",),
        parameters=("request:temperature", "request:top_p", "request:seed", "request:tool_choice"),
        answer=("self:choices",),
    )

    def recognises(self, record: Mapping[str, Any]) -> int:
        if record.get("object") in ("chat.completion", EVENT):
            return 80
        usage = record.get("usage")
        choices = record.get("choices")
        counted = isinstance(usage, Mapping) and "prompt_tokens" in usage
        if isinstance(choices, list) and (counted or is_chunk(record)):
            return 50
        return 30 if _unanswered(record) else 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        routed = pl.col("request_id").str.starts_with("gen-") & pl.col("model").str.contains("/", literal=True)
        who = provider(
            "_host",
            pl.when(routed).then(pl.lit("openrouter")),
            pl.coalesce("provider", "_upstream").str.to_lowercase(),
            pl.when(pl.col("_groq").is_not_null()).then(pl.lit("groq")),
            pl.when(pl.col("_deepseek").is_not_null()).then(pl.lit("deepseek")),
            pl.when(pl.col("_filtered")).then(pl.lit("azure")),
        )
        # A request without an answer is a failed call where the record says how it failed.
        failed = pl.col("model_requested").is_not_null() & (
            pl.col("http_status").is_not_null() | pl.col("error_type").is_not_null()
        )
        said, thought = inclusive_output("output_tokens", "reasoning_tokens", "_sum", "input_tokens", "model")
        return picked.with_columns(
            output_tokens=said,
            reasoning_tokens=thought,
            extras=together(picked, "_usage", "_cites"),
            provider=who,
            region=pl.coalesce("region", pl.col("_host").str.extract(EU_US)),
            _foreign=pl.col("_foreign") & ~failed,
            _rank=COUNTED,
        ).drop("_upstream", "_host", "_usage", "_cites", "_filtered", "_deepseek", "_groq", "_sum", "_object")


CHUNK = 8_192  # bytes of a record that may be a chunk by itself


@OpenAIChat.read_by
class ChatReader(TableReader):
    """Puts chunks together before their response is read; whole responses go straight through."""

    passes = True

    def __init__(self, form: TableFormat, file: LogFile, found: Found) -> None:
        super().__init__(form, file, found)
        self.streams: dict[str, Stream] = {}
        self.streamed = False

    def alone(self, records: Sequence[Record]) -> bool:
        """Whether each line is a call: none was a chunk of a stream, and none of these is."""
        return self.form.alone and not self.streamed and not any(self._chunk(record) for record in records)

    def feed(self, records: Sequence[Record], out: Out) -> None:
        # A chunk is small: of a large record it is seen by what is decoded of it, without a search through its text.
        apart = [r.early is None and len(r.data) < CHUNK and self._taken(r, out) for r in records]
        super().feed([record for record, taken in zip(records, apart, strict=True) if not taken], out)

    def _frame(self, records: list[Record], values: Sequence[Sequence[Any]], out: Out) -> None:
        at = self.plan.decoder.at
        marks = zip(values[at[*self.found.self, "object"]], values[at[*self.found.self, "choices"]], strict=True)
        chunks = [
            n
            for n, (kind, choices) in enumerate(marks)
            if (kind == EVENT or deltas(choices)) and self._taken(records[n], out)
        ]
        if not chunks:
            super()._frame(records, values, out)
            return
        rest = sorted(set(range(len(records))) - set(chunks))
        if rest:
            super()._frame([records[n] for n in rest], [[cells[n] for n in rest] for cells in values], out)

    def close(self, out: Out) -> None:
        streams, self.streams = self.streams, {}
        super().feed([self._whole(stream) for stream in streams.values()], out)

    def _taken(self, record: Record, out: Out) -> bool:
        """Whether the record is a chunk; then it belongs to the stream of its id, and only the first one is a call."""
        found = self._chunk(record)
        if found is None:
            return False
        self.streamed = True
        value, chunk = found
        # Some servers send no id: what they stream in one second with one model is taken for one answer.
        key = str(chunk.get("id") or (chunk.get("created"), chunk.get("model")))
        if key in self.streams:
            out.skipped[EVENT] += 1
        else:
            head = {name: chunk[name] for name in ("id", "system_fingerprint", "x_groq") if chunk.get(name)}
            self.streams[key] = Stream(record.line, record.offset, value, head)
        self.streams[key].add(chunk)
        return True

    def _chunk(self, record: Record) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The record and the chunk in it, if it is one."""
        data = undone(record).data
        if isinstance(data, bytes) and b"delta" not in data and EVENT.encode() not in data:
            return None
        value = parsed(data)
        chunk = inside(value, self.found.self) if isinstance(value, dict) else None
        return (value, chunk) if isinstance(value, dict) and isinstance(chunk, dict) and is_chunk(chunk) else None

    def _whole(self, stream: Stream) -> Record:
        return Record(stream.line, stream.offset, put(stream.around, self.found.self, stream.response()))
