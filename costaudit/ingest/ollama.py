"""Ollama's own API: chat, generate and embed, whole and streamed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import polars as pl

from costaudit.ingest._decode import inside
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import (
    Found,
    Out,
    TableFormat,
    around,
    count,
    flag,
    loaded,
    maybe,
    moment,
    number,
    request,
    text,
    whole,
)
from costaudit.ingest._openai import HOST, provider, put
from costaudit.ingest._plain import when
from costaudit.ingest._prompt import Prompt
from costaudit.ingest._table import TableReader
from costaudit.ingest._values import text as text_of


class Ollama(TableFormat):
    """Answers of Ollama's `/api/chat`, `/api/generate` and `/api/embed`, bare or in a log record with their request.

    What its OpenAI-compatible endpoint answers is read by `openai-chat`. Read are one answer a line or a file, and
    streams, one piece a line: the piece that ends one has the counts.

    - `eval_count` includes what the model thought, `prompt_eval_count` what was cached (`prompt_eval_cached_count`). It
      is absent where a prompt was cached whole, in older versions: the input is then not known.
    - `created_at` is when the answer was complete; `total_duration` [ns] says when it began.
    - Pieces name no answer: those of one model, up to the one that ends, are taken for one; the end can say something
      too, and is known by its duration. A stream that was broken
      off has no counts and is unmetered. Answers that only load or unload a model are counted as skipped.
    - A server of one's own has no price list: give your rates for `ollama/<model>` in the settings.

    Logged better: request and answer in one record, with a `request_id`, a `run_id` and a `task`.
    """

    name = "ollama"
    title = "Ollama API"
    wrappable = True
    fields = {
        "request_id": around(text("request_id", "x_request_id", "response_id")),
        "ended_at": maybe(moment("created_at")),
        "model": text("model"),
        "model_requested": request(text("model")),
        "temperature": request(number("options.temperature")),
        "max_tokens": request(whole("options.num_predict")),
        "reasoning_effort": request(text("think")),
        "input_tokens": count("prompt_eval_count"),
        "cache_read_tokens": count("prompt_eval_cached_count"),
        "output_tokens": count("eval_count"),
        "finish_reason": text("done_reason"),
        "streamed": (flag("_streamed"), request(flag("stream"))),
        "provider": around(text("provider")),
        "_host": HOST,
        "_took": number("total_duration"),
        "_first_at": maybe(moment("_first_at")),
        "_vectors": number("_vectors"),
    }
    prompt = Prompt(
        messages=("request:messages", "request:prompt", "request:input"),
        system=("request:system",),
        tools=("request:tools",),
        output_schema=("request:format",),
        parameters=("request:options",),
        answer=("self:_choices",),
    )

    def recognises(self, record: Mapping[str, Any]) -> int:
        if isinstance(record.get("embeddings"), list):
            counted = "total_duration" in record or "prompt_eval_count" in record
            return 80 if counted and isinstance(record.get("model"), str) else 0
        if not isinstance(record.get("done"), bool) or not isinstance(record.get("model"), str):
            return 0
        said = isinstance(record.get("message"), Mapping) or isinstance(record.get("response"), str)
        return 85 if said and "created_at" in record else 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        began = pl.col("ended_at") - pl.duration(microseconds=pl.col("_took") / 1_000)
        # A record with no other time is told the answer's own, which is that of its end.
        own = pl.col("started_at").eq_missing(pl.col("ended_at"))
        started = pl.when(own & (pl.col("_took") > 0)).then(began).otherwise("started_at")
        wait = (pl.col("_first_at") - started).dt.total_microseconds() / 1_000_000
        return picked.with_columns(
            started_at=started,
            ttft_s=pl.when(wait >= 0).then(wait.round(6)),
            output_tokens=pl.when(pl.col("_vectors").is_not_null()).then(None).otherwise("output_tokens"),
            provider=provider("_host", pl.col("provider").str.to_lowercase(), pl.lit("ollama")),
        ).drop("_host", "_took", "_first_at", "_vectors")


class _Stream(msgspec.Struct):
    """A streamed answer while its pieces come in; `record` is the first of them."""

    record: Record
    around: dict[str, Any]
    said: list[str] = msgspec.field(default_factory=list)
    calls: list[Any] = msgspec.field(default_factory=list)
    last: Mapping[str, Any] = msgspec.field(default_factory=dict)
    began: Any = None

    def add(self, piece: Mapping[str, Any]) -> None:
        message = _message(piece)
        content, calls = message.get("content"), message.get("tool_calls")
        self.said += [content] if isinstance(content, str) else []
        self.calls += calls if isinstance(calls, list) else []
        self.began = self.began or piece.get("created_at")
        self.last = piece

    def ends_with(self, answer: Mapping[str, Any]) -> bool:
        """Whether an answer that is complete is the end of this stream: it says nothing, or began no later."""
        if not _message(answer).get("content"):
            return True
        began, ended, took = when(self.began), when(answer.get("created_at")), answer.get("total_duration")
        if began is None or ended is None or not isinstance(took, int):
            return False
        return (ended - began).total_seconds() * 1e9 <= took

    def answer(self) -> dict[str, Any]:
        """The answer in the shape of one that was not streamed."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self.said)}
        if self.calls:
            message |= {"tool_calls": self.calls}
        whole = {key: value for key, value in self.last.items() if key != "response"}
        return whole | {"message": message, "_streamed": True, "_first_at": self.began}


def _message(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an answer says, as a message, whichever endpoint it is of."""
    message = answer.get("message")
    return message if isinstance(message, Mapping) else {"role": "assistant", "content": answer.get("response")}


@Ollama.read_by
class OllamaReader(TableReader):
    """Puts the pieces of streams together before they are read."""

    def __init__(self, form: TableFormat, file: LogFile, found: Found) -> None:
        super().__init__(form, file, found)
        self.open: dict[tuple[str, ...], _Stream] = {}

    def feed(self, records: Sequence[Record], out: Out) -> None:
        made = [whole for record, value in loaded(records, out) for whole in self._answers(record, value, out)]
        super().feed(made, out)

    def close(self, out: Out) -> None:
        waiting, self.open = self.open, {}
        super().feed([self._whole(stream) for stream in waiting.values()], out)

    def _answers(self, record: Record, value: dict[str, Any], out: Out) -> Sequence[Record]:
        answer = inside(value, self.found.self)
        if not isinstance(answer, Mapping) or not self.form.recognises(answer):
            return [record._replace(data=value)]
        if answer.get("done_reason") in ("load", "unload"):
            out.skipped["load of a model"] += 1
            return []
        done, named = answer.get("done"), text_of(value.get("request_id")) if self.found.self else None
        key = (str(answer.get("model")), "message" if "message" in answer else "response", str(named))
        piece = done is False or (key in self.open and self.open[key].ends_with(answer))
        if not piece:
            return [record._replace(data=put(value, self.found.self, _shaped(answer)))]
        if key in self.open:
            out.skipped["piece of a stream"] += 1
        else:
            self.open[key] = _Stream(record, value)
        self.open[key].add(answer)
        return [] if done is False else [self._whole(self.open.pop(key))]

    def _whole(self, stream: _Stream) -> Record:
        answer = put(stream.around, self.found.self, _shaped(stream.answer()))
        return stream.record._replace(data=answer)


def _shaped(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The answer with its message where fingerprints are taken from."""
    if "embeddings" in answer:
        return {**answer, "_vectors": 1}
    return {**answer, "_choices": [{"message": _message(answer)}]}
