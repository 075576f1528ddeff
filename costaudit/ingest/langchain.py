"""Answers and callbacks of LangChain, as programs dump them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from costaudit import schema
from costaudit.ingest._decode import inside
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import COUNTED, Found, Out, TableFormat, around, count, custom, loaded, text, whole
from costaudit.ingest._lifetimes import settled
from costaudit.ingest._openai import placed, quantities
from costaudit.ingest._plain import part
from costaudit.ingest._prompt import Prompt
from costaudit.ingest._table import TableReader
from costaudit.ingest._values import counted

REASONS = ("finish_reason", "stop_reason", "stopReason")
ANSWERS = ("ai", "AIMessage", "AIMessageChunk")
LISTS = ("generations", "messages")  # where results and states of graphs keep messages
HOMES = ("usage_metadata", "response_metadata", "kwargs", "data")  # what an answer has, or what holds its fields
DEEP = 4  # lists in lists: results have one a prompt
TIERS = ("", "priority_", "flex_")  # before the names of parts, where the tier is not the ordinary one


def _sound(parts: Any) -> list[dict[str, Any]] | None:
    """Audio tokens of a message; raises ValueError for a value that is no token count."""
    return quantities({name: counted(value) for name, value in parts.items()} if isinstance(parts, Mapping) else {})


class Langchain(TableFormat):
    """Messages of LangChain and LangGraph (`AIMessage`), results of callbacks (`LLMResult`), states of graphs.

    ## Where
    Wherever the program writes them: `model_dump()`, `dumpd()`, `messages_to_dict()`, `toJSON()` of JavaScript, alone,
    in a list, or in any log record. Runs that LangSmith exports are read by `langsmith`.
    ## What it knows
    Tokens with cache, audio and reasoning, model, tools called.
    ## Traps
    A state holds the messages of all states before it: a message counts once, by its id. Input includes cached input,
    which older wrappers of Anthropic left out: the counts decide. The pieces of a stream add up, unless a later one
    has all.
    Where a result names the answer's id of the provider, another log of the same answer is the same call.
    ## Limits
    A message has no time: the record around it must have one. Messages without any counts are unmetered.
    """

    name = "langchain"
    title = "LangChain messages and results"
    wrappable = True
    fields = {
        "request_id": text("_answer"),
        "_own": text("id"),
        "model": text(*(f"response_metadata.{name}" for name in ("model_name", "model", "model_id")), "_model"),
        "service_tier": text("response_metadata.service_tier"),
        "provider": (around(text("provider")), text("response_metadata.model_provider")),
        "input_tokens": count("_input"),
        "output_tokens": count("_output"),
        "cache_read_tokens": count("_read"),
        "cache_write_tokens": count("_write"),
        "cache_write_5m_tokens": count("_write_5m"),
        "cache_write_1h_tokens": count("_write_1h"),
        "reasoning_tokens": count("_hidden"),
        "extras": custom(_sound, schema.EXTRAS, "_sound"),
        "finish_reason": text(*(f"response_metadata.{name}" for name in REASONS)),
        "_reading": text("_reading"),
        "_total": whole("_all"),
        "_uncached": whole("_fresh"),
    }  # fmt: skip
    prompt = Prompt(messages=("request:messages",), answer=("self:_choices",))

    def recognises(self, record: Mapping[str, Any]) -> int:
        if _message(record) is not None:
            return 82
        for name in LISTS:
            if isinstance(record.get(name), list) and next(_messages(record[name]), None) is not None:
                return 82
        return 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        own = pl.when(pl.col("_own").is_not_null()).then(pl.concat_str(pl.lit("langchain "), "_own"))
        return (
            settled(picked)
            .with_columns(
                _key=pl.coalesce("request_id", own),
                _rank=COUNTED,
            )
            .drop("_own")
        )


def _message(value: Any) -> Mapping[str, Any] | None:
    """An answer of a model as its plain fields, however it was serialised; None for anything else."""
    if not isinstance(value, Mapping):
        return None
    if not any(name in value for name in HOMES):
        return None
    kind, named = value.get("type"), value.get("id")
    if kind == "constructor" and isinstance(named, list) and named and named[-1] in ANSWERS:
        fields = part(value, "kwargs")
    elif kind in ANSWERS and isinstance(value.get("data"), Mapping):
        fields = value["data"]
    elif kind in ANSWERS and "content" in value:
        fields = value
    else:
        return None
    known = "usage_metadata" in fields or "response_metadata" in fields
    kinds = named if kind == "constructor" and isinstance(named, list) else [kind]
    return {**fields, "_piece": "AIMessageChunk" in kinds} if known else None


def _messages(value: Any, deep: int = 0) -> Iterator[Mapping[str, Any]]:
    """The answers in lists of messages or of generations."""
    for item in value if isinstance(value, list) and deep < DEEP else ():
        inner = item["message"] if isinstance(item, Mapping) and "message" in item else item
        found = _message(inner)
        if found is not None:
            yield found
        else:
            yield from _messages(item, deep + 1)


@Langchain.read_by
class LangchainReader(TableReader):
    """Takes states and results apart into messages, and brings their counts into one shape."""

    def __init__(self, form: TableFormat, file: LogFile, found: Found) -> None:
        super().__init__(form, file, found)
        self.open: dict[str, tuple[Record, dict[str, Any], list[Mapping[str, Any]]]] = {}

    def feed(self, records: Sequence[Record], out: Out) -> None:
        made: list[Record] = []
        for record, value in loaded(records, out):
            answer = inside(value, self.found.self)
            found = _answers(answer) if isinstance(answer, Mapping) else []
            if not found:
                made.append(record._replace(data=value))
                continue
            out.extra_lines += len(found) - 1
            for message in found:
                made += self._made(message, record, value, out)
        super().feed(made, out)

    def close(self, out: Out) -> None:
        waiting, self.open = self.open, {}
        super().feed([self._put(r, v, _shaped(_joined(pieces))) for r, v, pieces in waiting.values()], out)

    def _made(self, message: Mapping[str, Any], record: Record, value: dict[str, Any], out: Out) -> Sequence[Record]:
        own = message.get("id")
        if not message["_piece"] or not isinstance(own, str):
            return [self._put(record, value, _shaped(message))]
        if own in self.open:
            out.skipped["piece of a stream"] += 1
        self.open.setdefault(own, (record, value, []))[2].append(message)
        return []

    def _put(self, record: Record, value: dict[str, Any], message: dict[str, Any]) -> Record:
        return record._replace(data=placed(value, self.found.self, message, *LISTS, "kwargs"))


def _answers(value: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The answers of a message, a state or a result; a result says of its answers what they do not say themselves."""
    own = _message(value)
    if own is not None:
        return [own]
    listed = {name: value[name] for name in LISTS if isinstance(value.get(name), list)}
    # Of the candidates that answer one prompt each repeats what all of them took.
    prompts = [next(_messages(candidates), None) for candidates in _lists(listed.pop("generations", []))]
    found = [m for m in prompts if m is not None] + [m for messages in listed.values() for m in _messages(messages)]
    told = part(value, "llm_output")
    if len(found) == 1:
        return [{"_told": told, **found[0]}]
    return found


def _lists(generations: list[Any]) -> list[Any]:
    """The candidates by prompt; a plain list is that of one prompt."""
    return generations if all(isinstance(item, list) for item in generations) else [generations]


def _joined(pieces: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One message of the pieces of a stream."""
    known = [usage for piece in pieces if (usage := part(piece, "usage_metadata"))]
    message: dict[str, Any] = {"response_metadata": {}}
    for piece in pieces:
        message |= {
            k: v for k, v in piece.items() if v is not None and k not in ("response_metadata", "usage_metadata")
        }
        message["response_metadata"] |= part(piece, "response_metadata")
    return message | ({"usage_metadata": _whole(known)} if known else {})


def _whole(usages: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The counts of a stream by those of its pieces: their sum, unless a later one states the whole input again."""
    stated = [u for u in usages if type(u.get("input_tokens")) is int and u["input_tokens"] > 0]
    if len(stated) > 1 and stated[-1]["input_tokens"] >= max(u["input_tokens"] for u in stated[:-1]):
        return stated[-1]
    return _sum(usages)


def _sum(usages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The sum of counts by name; a value that is no number stays, so that it is refused."""
    total: dict[str, Any] = {}
    for usage in usages:
        for name, value in usage.items():
            before = total.get(name)
            if isinstance(value, Mapping):
                total[name] = _sum([v for v in (before, value) if isinstance(v, Mapping)])
            elif type(value) is int and type(before) is int:
                total[name] = before + value
            else:
                total[name] = value if value is not None else before
    return total


def _shaped(message: Mapping[str, Any]) -> dict[str, Any]:
    """The message with its counts in one shape; values are not looked at yet."""
    meta, told = part(message, "response_metadata"), part(message, "_told")
    answer = meta.get("id")
    choices = [{"message": {"role": "assistant", "content": message.get("content"), **_tools(message)}}]
    return {
        **message,
        **_counts(message, meta, told),
        "_answer": answer if isinstance(answer, str) and not answer.startswith("run-") else None,
        "_model": told.get("model_name"),
        "_choices": choices,
    }


def _counts(message: Mapping[str, Any], meta: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    usage = part(message, "usage_metadata")
    if usage:
        inner, outer = part(usage, "input_token_details"), part(usage, "output_token_details")
        return {
            "_input": usage.get("input_tokens"),
            "_output": usage.get("output_tokens"),
            "_all": usage.get("total_tokens"),
            "_fresh": part(meta, "usage").get("input_tokens"),
            "_read": _tiered(inner, "cache_read"),
            "_write": _tiered(inner, "cache_creation"),
            "_write_5m": inner.get("ephemeral_5m_input_tokens"),
            "_write_1h": inner.get("ephemeral_1h_input_tokens"),
            "_hidden": _tiered(outer, "reasoning"),
            "_sound": {"input_audio": inner.get("audio"), "output_audio": outer.get("audio")},
            "_reading": "inside",
        }
    said = next(
        (found for name in ("token_usage", "tokenUsage") for home in (meta, told) if (found := part(home, name))), {}
    )
    inner, outer = part(said, "prompt_tokens_details"), part(said, "completion_tokens_details")
    return {
        "_input": said.get("prompt_tokens", said.get("promptTokens")),
        "_output": said.get("completion_tokens", said.get("completionTokens")),
        "_read": inner.get("cached_tokens"),
        "_hidden": outer.get("reasoning_tokens"),
    }


def _tiered(parts: Mapping[str, Any], name: str) -> Any:
    return next((parts[tier + name] for tier in TIERS if parts.get(tier + name) is not None), None)


def _tools(message: Mapping[str, Any]) -> dict[str, Any]:
    calls = message.get("tool_calls")
    made = [
        {"id": c.get("id"), "type": "function", "function": {"name": c.get("name"), "arguments": c.get("args")}}
        for c in (calls if isinstance(calls, list) else ())
        if isinstance(c, Mapping)
    ]
    return {"tool_calls": made} if made else {}
