"""Dify: rows of its tables of messages and workflow nodes, answers and events of its API."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from costaudit.ingest._decode import opened
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._messages import encoded
from costaudit.ingest._plain import PlainReader, after, objects, part, soft, when, written
from costaudit.ingest._prompt import facts
from costaudit.ingest._values import counted, flag, number, text, usd

CALLS = {"llm", "question-classifier", "parameter-extractor", "agent"}  # nodes that always call a model
SUMS = {"iteration", "loop", "tool"}  # nodes that state what nodes below them used: those have rows of their own
EVENTS = {"message", "agent_message", "agent_thought", "message_end", "message_file", "message_replace", "error",
          "ping", "tts_message", "tts_message_end", "workflow_started", "workflow_finished", "workflow_paused",
          "node_started", "node_finished", "node_retry", "text_chunk", "text_replace", "agent_log", "iteration_started",
          "iteration_next", "iteration_completed", "loop_started", "loop_next", "loop_completed"}  # fmt: skip


class Dify(Format):
    """Dify's tables `messages` and `workflow_node_executions` (JSON lines, CSV), answers and events of its API.

    ## Where
    `psql -c "copy messages to stdout csv header"`, and the same of `workflow_node_executions`; `select row_to_json(t)`
    for JSON lines. Of the API: answers, and the events of streams (`message_end`, `node_finished`).
    ## What it knows
    Tokens of each message of a chat, agent or text app with its model; of a workflow those of each node that calls a
    model (LLM, classifier, extractor, agent), with node titles as tasks. App (as `key_id`), workspace (as tenant),
    user, latency, Dify's price where it is in dollars. A run is a conversation or a run of a workflow.
    ## Traps
    A message of a workflow app is the sum of its run's nodes: it counts only where none of them is there, and then
    without a model and so without a price. Iterations, loops and workflows used as tools state the sum of nodes that
    have rows of their own. A message of an agent is the sum of its steps; `message_agent_thoughts` restates it.
    `workflow_runs` and `workflow_finished` are sums without a split into input and output.
    ## Limits
    Dify has no count of cached input. With prompt caching its plugin for Anthropic weights `prompt_tokens` by price (a
    cached token as a tenth of one, a written one as 1.25): counts of Claude are marked as the gateway's, not the
    provider's. Stopped answers, and those of providers that name no usage, are counted by Dify; rows do not say so.
    Events of the API name no model of a chat app: give the tables. Give tables or events of the same time, not both.
    Embeddings, rerankers and moderation are not in these tables: totals are a floor.
    Written to the shape of version 1.10; the sample is synthetic.
    """

    name = "dify"
    title = "Dify messages and workflow nodes"

    def recognises(self, record: Mapping[str, Any]) -> int:
        if "task_id" in record:
            return 93 if _is_event(record) else 0
        if "message_tokens" in record:
            return 95 if {"answer_tokens", "conversation_id", "app_id"} <= record.keys() else 0
        if "node_type" in record:
            told = "execution_metadata" in record or "process_data" in record
            return 95 if told and {"workflow_id", "node_id"} <= record.keys() else 0
        if "message_token" in record:
            return 93 if {"answer_token", "message_id", "thought"} <= record.keys() else 0
        return 90 if {"total_tokens", "total_steps", "workflow_id", "created_by_role"} <= record.keys() else 0


def _is_event(record: Mapping[str, Any]) -> bool:
    event = record.get("event")
    if event is None:  # the answer of a workflow that was not streamed
        return "workflow_run_id" in record and {"workflow_id", "total_tokens"} <= part(record, "data").keys()
    named = any(name in record for name in ("message_id", "workflow_run_id", "conversation_id"))
    return named and isinstance(event, str) and event in EVENTS


@Dify.read_by
class _Reader(PlainReader):
    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self.sums = 0  # totals of a workflow

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        event, data = text(value.get("event")), written(value.get("data"))
        if "message_tokens" in value:
            self._message(value, record, out)
        elif "node_type" in value:
            self._node(value, record, out)
        elif "message_token" in value:
            out.skipped["step of an agent, part of its message"] += 1
        elif event == "node_finished" and data:
            self._node({**value, **data, "_task": text(value.get("task_id"))}, record, out)
        elif event in ("message_end", "message") and part(value, "metadata").get("usage") is not None:
            self._answer(value, part(value, "metadata"), record, out)
        elif event == "workflow_finished" or _is_sum(value):
            self.sums += 1
            out.skipped["run of a workflow, the sum of its nodes"] += 1
        elif event is not None:
            out.skipped[f"event: {event}"[:60]] += 1
        else:
            out.foreign.append(record)

    def _message(self, row: Mapping[str, Any], record: Record, out: Out) -> None:
        """A row of `messages`."""
        own, run = text(row.get("id")), text(row.get("workflow_run_id"))
        told = written(row.get("message_metadata"))
        used = {**row, "prompt_tokens": row.get("message_tokens"), "completion_tokens": row.get("answer_tokens")}
        usage = _tokens(used)
        if not usage and (run or part(told, "annotation_reply")):
            out.skipped["message without a call" if run else "answer of an annotation"] += 1
            return
        at, took = when(row.get("created_at")), soft(number, row.get("provider_response_latency"))
        provider = _provider(row.get("model_provider"))
        failed = text(row.get("status")) == "error" or bool(text(row.get("error")))
        summed = bool(run) or _true(row.get("agent_based"))
        self.add(
            record,
            started_at=at,
            ended_at=after(at, (took or 0) * 1_000),
            run_id=text(row.get("conversation_id")),
            user=text(row.get("from_end_user_id")) or text(row.get("from_account_id")),
            environment=text(row.get("invoke_from")),
            key_id=text(row.get("app_id")),
            provider=provider,
            model=text(row.get("model_id")),
            status="error" if failed else None,
            **_prompt(None if summed else row.get("message"), row.get("answer")),
            summed=summed or None,
            usage_source=_counter(provider, usage),
            _key=f"dify message {own}" if own else None,
            _rank=2,
            **_place(run, None),
            **usage,
            **_cost(used),
        )

    def _node(self, row: Mapping[str, Any], record: Record, out: Out) -> None:
        """A row of `workflow_node_executions`, or the data of an event."""
        kind = text(row.get("node_type")) or ""
        done, made, given = (written(row.get(name)) for name in ("process_data", "outputs", "inputs"))
        used = written(done.get("usage")) or written(made.get("usage"))
        usage = {} if kind in SUMS else _tokens(used)
        if not usage and kind not in CALLS:
            out.skipped[f"node: {kind}"[:60]] += 1
            return
        own, run, task = text(row.get("id")), text(row.get("workflow_run_id")), text(row.get("_task"))
        asked = written(given.get("model"))  # of an agent
        provider = _provider(done.get("model_provider") or given.get("model_provider") or asked.get("provider"))
        self.add(
            record,
            started_at=when(row.get("created_at")),
            ended_at=when(row.get("finished_at")),
            ttft_s=soft(number, used.get("time_to_first_token")),
            run_id=run or task,
            task=text(row.get("title")),
            tenant=text(row.get("tenant_id")),
            user=text(row.get("created_by")),
            key_id=text(row.get("app_id")),
            provider=provider,
            model=text(done.get("model_name")) or text(given.get("model_name")) or text(asked.get("model")),
            status="error" if text(row.get("status")) in ("failed", "exception", "retry") else None,
            finish_reason=text(done.get("finish_reason")) or text(made.get("finish_reason")),
            **_prompt(done.get("prompts"), made.get("text")),
            summed=kind == "agent" or None,
            usage_source=_counter(provider, usage),
            _key=f"dify node {own}" if own else None,
            _rank=1 if task else 2,
            **_place(None, task or run, own),
            **usage,
            **_cost(used),
        )

    def _answer(self, answer: Mapping[str, Any], told: Mapping[str, Any], record: Record, out: Out) -> None:
        """The end of a stream, or an answer that was not streamed; nothing names its model."""
        usage = _tokens(used := written(told.get("usage")))
        if not usage:
            out.skipped["answer without usage"] += 1
            return
        own = text(answer.get("message_id")) or text(answer.get("id"))
        at, took = when(answer.get("created_at")), soft(number, used.get("latency"))
        self.add(
            record,
            started_at=at,
            ended_at=after(at, (took or 0) * 1_000),
            ttft_s=soft(number, used.get("time_to_first_token")),
            run_id=text(answer.get("conversation_id")),
            has_text=True,
            _key=f"dify message {own}" if own else None,
            _rank=1,
            **_place(text(answer.get("task_id")), None),
            **usage,
            **_cost(used),
        )

    def end(self, out: Out) -> None:
        if self.sums and not self.rows:
            runs = "1 run" if self.sums == 1 else f"{self.sums:,} runs"
            out.notes.append(f"Dify: {runs} of a workflow say only a sum of tokens: give `workflow_node_executions`")


def _is_sum(value: Mapping[str, Any]) -> bool:
    """Whether it is a row of `workflow_runs`, or the answer of a workflow that was not streamed."""
    return "total_tokens" in value or "total_tokens" in part(value, "data")


def _tokens(used: Mapping[str, Any]) -> dict[str, int]:
    """Input and output; nothing where both are 0, which is what Dify writes where it knows none."""
    given, made = counted(used.get("prompt_tokens")), counted(used.get("completion_tokens"))
    return {"input_tokens": given, "output_tokens": made} if given or made else {}


def _prompt(said: Any, answer: Any) -> dict[str, Any]:
    """Fingerprints of a prompt as Dify keeps it (`{"role": …, "text": …}`) and of its answer."""
    listed = opened(said) if isinstance(said, str) else said
    messages = [{"role": item.get("role"), "content": item.get("text")} for item in objects(listed)]
    made = encoded(answer) if isinstance(answer, str) and answer else None
    return facts(encoded(messages) if messages else None, None, None, None, (), made)


def _cost(used: Mapping[str, Any]) -> dict[str, Decimal]:
    """Dify's own price, where it is in dollars and not just absent."""
    price = soft(usd, used.get("total_price")) if text(used.get("currency")) == "USD" else None
    return {"cost_logged_usd": price} if price else {}


def _provider(name: Any) -> str | None:
    """`anthropic` of `langgenius/anthropic/anthropic`, the id of a plugin's provider."""
    said = text(name)
    return said.rpartition("/")[2] or None if said else None


def _counter(provider: str | None, usage: Mapping[str, int]) -> str | None:
    return "gateway" if usage and provider == "anthropic" else None


def _place(run: str | None, inside: str | None, own: str | None = None) -> dict[str, str]:
    """Where a row stands: a sum around a run, or a call inside one."""
    if run:
        return {"_trace": run, "_span": "run"}
    return {"_trace": inside, "_span": f"node {own}", "_parent": "run"} if inside and own else {}


def _true(value: Any) -> bool:
    """A flag, also as `copy` writes it."""
    return bool(flag(value)) or value == "t"
