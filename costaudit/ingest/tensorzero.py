"""TensorZero: rows of its tables and answers of its inference interface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import polars as pl

from costaudit.ingest import _tree
from costaudit.ingest._counts import Names, tokens
from costaudit.ingest._decode import opened
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._otel_prompt import prompt_facts
from costaudit.ingest._plain import PlainReader, objects, soft, when, written
from costaudit.ingest._usage import normalise
from costaudit.ingest._values import count, flag, number, text, usd
from costaudit.schema import SHARED

CALL = ("inference_id", "model_name", "model_provider_name")
INFERENCE = ("function_name", "variant_name", "episode_id")
ANSWER = ("inference_id", "episode_id", "usage")
PAGES = ("model_inferences", "inferences")
CACHE = ("short_cache_key", "long_cache_key")  # of rows that keep answers to be given again
PROVIDERS = {
    "anthropic": "anthropic", "aws_bedrock": "bedrock", "azure": "azure", "deepseek": "deepseek",
    "fireworks": "fireworks", "gcp_vertex_anthropic": "vertex", "gcp_vertex_gemini": "vertex",
    "google_ai_studio_gemini": "google", "groq": "groq", "hyperbolic": "hyperbolic", "mistral": "mistral",
    "openai": "openai", "openrouter": "openrouter", "together": "together", "xai": "x-ai",
}  # fmt: skip
"""TensorZero's kinds of providers; its users name a provider by its kind or as they like."""
COUNTS = Names(
    ("input_tokens",), ("output_tokens",), ("provider_cache_read_input_tokens",),
    ("provider_cache_write_input_tokens",), (), inside=True,
)  # fmt: skip
TAGS = {
    "user": ("user_id", "user"),
    "tenant": ("tenant", "tenant_id", "customer", "customer_id"),
    "environment": ("environment", "env"),
}
JUDGED = ("tensorzero::evaluation_run_id", "tensorzero::evaluation_name")


class TensorZero(Format):
    """TensorZero: its tables of inferences, from ClickHouse or Postgres, and answers of its interface.

    ## Where
    `ModelInference` holds the calls; `ChatInference` and `JsonInference` hold the functions, episodes and tags they
    were made for. Export them as JSON lines (`FORMAT JSONEachRow`), CSV or Parquet, one by one or joined; pages of its
    interfaces for inferences and answers of `/inference` are read too.
    ## What it knows
    Tokens of each call to a provider, function (the task), episode (the run), tags, how long it took, the cost that the
    gateway was told to compute; reasoning and lifetimes of cached input where `raw_response` is exported.
    ## Traps
    An inference can be several calls: what an answer of `/inference` says of its usage is their sum, and is not counted
    where the calls are in the log. Rows with `cached` were answered by TensorZero itself. What a provider said in
    `raw_response` decides: versions before late January 2026 left cached input out of the counts of Claude, those until
    March count it as fresh input and have no place for it. `provider_cache_write_input_tokens` of DeepSeek are tokens
    that were not in its cache, and no writes. A call that says of no time that it took it was part of a batch.
    ## Limits
    Calls that failed are in no table. A model with a name of one's own is known by its answer alone: map it with
    `models:` where `raw_response` is not exported. Whether a row's id was made before or after the call is up to the
    version, so its start may be early by as long as it took. Answers of `/inference` name no model. An empty cell of a
    CSV says nothing of a batch: there calls of batches have the price of others.
    """

    name = "tensorzero"
    title = "TensorZero inferences"

    def recognises(self, record: Mapping[str, Any]) -> int:
        if all(name in record for name in CALL) or all(name in record for name in CACHE):
            return 95
        if all(name in record for name in INFERENCE) or all(name in record for name in ANSWER):
            return 92
        pages = [item for name in PAGES for item in objects(record.get(name))[:3]]
        return 95 if any(all(n in item for n in CALL) or all(n in item for n in INFERENCE) for item in pages) else 0


@TensorZero.read_by
class _Reader(PlainReader):
    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self.nodes: list[dict[str, Any]] = []
        self.silent = 0  # calls of Claude that say nothing of cached input

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        items = list(_items(value))
        if not items:
            out.foreign.append(record)
            return
        made, nodes, skipped = len(self.rows), len(self.nodes), out.skipped.copy()
        try:
            for item in items:
                self._item(item, record, out)
        except (ValueError, TypeError, RecursionError):
            # A record is a reject or what it holds, never both.
            del self.rows[made:], self.nodes[nodes:]
            out.skipped = skipped
            raise
        out.extra_lines += len(items) - 1

    def _item(self, item: Mapping[str, Any], record: Record, out: Out) -> None:
        if all(name in item for name in CACHE):
            out.skipped["answer kept to be given again"] += 1
        elif "batch_id" in item and "input_tokens" not in item:
            out.skipped["request of a batch"] += 1
        elif all(name in item for name in CALL):
            self._call(item, record)
        elif "usage" in item:
            self._answer(item, record)
        else:
            place = text(item.get("id")) or text(item.get("inference_id"))
            self.nodes.append(_context(item) | {"_trace": place, "_span": f"inference {place}"})
            # Calls stand below the answer, whether it is in the log or not.
            self.nodes.append({"_trace": place, "_span": f"answer {place}", "_parent": f"inference {place}"})
            out.skipped["inference"] += 1

    def _call(self, item: Mapping[str, Any], record: Record) -> None:
        inference, own = text(item.get("inference_id")), text(item.get("id"))
        if own == inference:  # of a join that kept the inference's id alone
            own = None
        said = list(_said(item.get("raw_response")))
        asked = written(item.get("raw_request"))
        answered = next((name for one in said if (name := text(one.get("id") or one.get("responseId")))), None)
        cached = flag(item.get("cached")) is True
        model = text(item.get("response_model_name")) or next(filter(None, map(_model, said)), None)
        named = text(asked.get("model")) or _plain(item.get("model_name"))
        kind = _plain(item.get("model_provider_name")) or ""
        took = soft(number, item.get("response_time_ms"))
        began, ended = _times(item, own, inference, took)
        usage = _usage(item, said, f"{kind} {model or named}".lower())
        claude = any(word in f"{kind} {model or named}".lower() for word in ("anthropic", "claude", "bedrock"))
        self.silent += claude and not cached and bool(usage) and "cache_read_tokens" not in usage
        self.add(
            record,
            request_id=own if cached else text(item.get("provider_response_id")) or answered or own,
            # A cached answer has the id of the one it repeats.
            _key=own or (None if cached else answered),
            _also=None if cached else text(item.get("provider_response_id")) or answered,
            _trace=inference,
            _span=own or answered or f"call {record.line}",
            _parent=f"answer {inference}",
            _calls=True,
            run_source=SHARED,  # where the caller names no episode each inference is one of its own
            provider=PROVIDERS.get(kind),
            model=model or named,
            model_requested=named,
            started_at=began,
            ended_at=ended,
            ttft_s=_seconds(item.get("ttft_ms")),
            streamed=True if item.get("ttft_ms") is not None else None,
            temperature=soft(number, asked.get("temperature")),
            max_tokens=soft(count, asked.get("max_completion_tokens", asked.get("max_tokens"))),
            service_tier="batch" if took is None and "response_time_ms" in item and not cached else None,
            finish_reason=text(item.get("finish_reason")),
            cost_logged_usd=None if cached else soft(usd, item.get("cost")),
            gateway_cache_hit=True if cached else None,
            **(_texts(item) | _context(item) | usage),
        )

    def _answer(self, item: Mapping[str, Any], record: Record) -> None:
        """The sum of an inference, which is a call where its calls are not in the log."""
        inference, said = text(item.get("inference_id")), written(item.get("usage"))
        usage = tokens(said, COUNTS)
        # The gateway says 0 of what it has answered itself.
        nothing = bool(usage) and not any(usage.values())
        self.add(
            record,
            request_id=inference,
            _key=f"tensorzero {inference}" if inference else None,
            _trace=inference,
            _span=f"answer {inference}",
            _parent=f"inference {inference}",
            run_source=SHARED,
            summed=True,
            started_at=_born(inference),
            finish_reason=text(item.get("finish_reason")),
            cost_logged_usd=soft(usd, said.get("cost")),
            gateway_cache_hit=True if nothing else None,
            **(_context(item) | usage),
        )

    def end(self, out: Out) -> None:
        if self.nodes:
            rows = [[node.get(name) for name in _tree.NODES] for node in self.nodes]
            out.nodes.append(pl.DataFrame(rows, schema=_tree.NODES, orient="row"))
        if self.silent:
            calls = "1 call of Claude says" if self.silent == 1 else f"{self.silent:,} calls of Claude say"
            out.notes.append(
                f"TensorZero: {calls} nothing of cached input, which is fresh or in no count: export raw_response"
            )


def _items(value: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    pages = next((rows for name in PAGES if (rows := objects(value.get(name)))), None)
    for item in [value] if pages is None else pages:
        if any(all(n in item for n in names) for names in (CALL, INFERENCE, ANSWER, CACHE)):
            yield item


def _context(item: Mapping[str, Any]) -> dict[str, Any]:
    """For whom and for what a call was made, as far as its row says it."""
    tags = written(item.get("tags"))
    function = text(item.get("function_name"))
    judged = any(name in tags for name in JUDGED) or (function or "").startswith("tensorzero::llm_judge")
    found = {
        "task": None if function == "tensorzero::default" else function,
        "run_id": text(item.get("episode_id")),
        **{name: next(filter(None, (text(tags.get(tag)) for tag in names)), None) for name, names in TAGS.items()},
    }
    found["environment"] = "evaluation" if judged else found["environment"]
    return {name: value for name, value in found.items() if value is not None}


def _said(raw: Any) -> Iterator[Mapping[str, Any]]:
    """What the provider answered: one object, or those of a stream, one a line."""
    if isinstance(raw, Mapping):
        yield raw
        return
    whole = opened(raw) if isinstance(raw, str) else None
    if isinstance(whole, Mapping):
        yield whole
        return
    for line in raw.splitlines() if isinstance(raw, str) else ():
        part = opened(line)
        if isinstance(part, Mapping):
            yield part
            for name in ("message", "response"):
                if isinstance(part.get(name), Mapping):
                    yield part[name]


def _model(answer: Mapping[str, Any]) -> str | None:
    return text(answer.get("model")) or text(answer.get("modelVersion"))


def _usage(item: Mapping[str, Any], said: list[Mapping[str, Any]], names: str) -> dict[str, Any]:
    """Inclusive counts: as the provider said them, else as TensorZero keeps them. Raises ValueError for no count."""
    stated: dict[str, Any] = {}
    for answer in said:
        usage = answer.get("usage", answer.get("usageMetadata"))
        stated |= {k: v for k, v in usage.items() if v is not None} if isinstance(usage, Mapping) else {}
    if stated:
        messages = any(answer.get("type") in ("message", "message_start") for answer in said)
        found: dict[str, Any] = normalise("anthropic.messages" if messages else "", stated)
        found = {name: n for name, n in found.items() if name in COLUMNS}
        if found.get("input_tokens") or found.get("output_tokens"):
            # Gemini leaves a count of 0 out. Others that say nothing of a cache have not said that none was used.
            none = "promptTokenCount" in stated or _of_a_cache(stated)
            read = 0 if none else soft(count, item.get("provider_cache_read_input_tokens"))
            return ({} if read is None else {"cache_read_tokens": read}) | found
    kept = dict(item)
    if "deepseek" in names:
        kept["provider_cache_write_input_tokens"] = None
    # 0 of both is none, and other versions write it so.
    usage = tokens(kept, COUNTS)
    return usage if any(usage.values()) else {}


def _of_a_cache(stated: Mapping[str, Any]) -> bool:
    """Whether a provider's usage has a count of what was cached, be it 0."""
    return any(
        _of_a_cache(value) if isinstance(value, Mapping) else "cache" in name.lower() and value is not None
        for name, value in stated.items()
    )


COLUMNS = (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens",
    "cache_write_1h_tokens", "reasoning_tokens",
)  # fmt: skip


def _texts(item: Mapping[str, Any]) -> dict[str, Any]:
    told = {
        "gen_ai.input.messages": _opened(item.get("input_messages")),
        "gen_ai.system_instructions": item.get("system"),
        "gen_ai.output.messages": [{"role": "assistant", "content": blocks}]
        if (blocks := _opened(item.get("output")))
        else None,
    }
    return prompt_facts({name: value for name, value in told.items() if value}, ())


def _opened(value: Any) -> Any:
    return opened(value) if isinstance(value, str) else value


def _plain(name: Any) -> str | None:
    """A name without what stands before it: `openai::gpt-5` is gpt-5."""
    return (text(name) or "").rpartition("::")[2] or None


def _seconds(value: Any) -> float | None:
    found = soft(number, value)
    return found / 1_000 if found is not None and found >= 0 else None


def _born(identity: str | None) -> datetime | None:
    """When an id was made: its first 48 bits are milliseconds (UUID version 7)."""
    try:
        made = UUID(identity or "")
    except ValueError:
        return None
    return when((made.int >> 80) / 1_000) if made.version == 7 else None


def _times(
    item: Mapping[str, Any], own: str | None, inference: str | None, took: float | None
) -> tuple[datetime | None, datetime | None]:
    """When a call began and ended: no earlier than its inference, which the row's time less what it took may be."""
    first = _born(inference)
    row = _born(own) or when(item.get("timestamp")) or when(item.get("created_at"))
    if row is None or took is None or not 0 <= took < 1e9:
        return row or first, None
    span = timedelta(milliseconds=took)
    began = row - span if first is None else max(row - span, min(first, row))
    return began, began + span
