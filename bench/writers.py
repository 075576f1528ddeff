"""What a logger of each format would write of the events, as files.

The writers follow the published shapes of the formats, wrapped as home-made loggers wrap them; they know nothing of how
the program reads.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence

import polars as pl

from bench.events import Event, Turn
from bench.spans import otlp
from bench.writing import EMPTY, Files, iso, lines, schema


def _chat_message(turn: Turn) -> dict[str, object]:
    if turn.role == "call":
        called = {"id": turn.id, "type": "function", "function": {"name": turn.name, "arguments": turn.text}}
        return {"role": "assistant", "content": None, "tool_calls": [called]}
    if turn.role == "result":
        return {"role": "tool", "tool_call_id": turn.id, "content": turn.text}
    return {"role": turn.role, "content": turn.text}


def _instructions(e: Event) -> list[dict[str, object]]:
    return [{"role": "system", "content": e.system}] if e.system else []


def _chat_request(e: Event) -> dict[str, object]:
    body: dict[str, object] = {
        "model": e.model,
        "messages": [*_instructions(e), *map(_chat_message, e.turns)],
        "temperature": e.temperature,
        "max_completion_tokens": e.max_tokens,
        "user": e.user,
    }
    body |= {"reasoning_effort": e.effort} if e.effort else {}
    if e.declared:
        body["tools"] = [{"type": "function", "function": tool} for tool in schema(e, parameters=EMPTY)]
    return body


def _chat_usage(e: Event) -> dict[str, object]:
    return {
        "prompt_tokens": e.input,
        "completion_tokens": e.output,
        "total_tokens": e.input + e.output,
        "prompt_tokens_details": {"cached_tokens": e.cached, "cache_write_tokens": e.written, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": e.reasoning, "accepted_prediction_tokens": 0},
    }


def _chat_response(e: Event) -> dict[str, object] | None:
    if e.input is None:
        return None
    message = _chat_message(e.call) if e.call else {"role": "assistant", "content": e.answer or None}
    return {
        "id": f"chatcmpl-{e.id}",
        "object": "chat.completion",
        "created": int(e.at.timestamp()),
        "model": e.model,
        "choices": [] if e.error else [{"index": 0, "message": message, "finish_reason": e.finish}],
        "usage": _chat_usage(e),
        "service_tier": e.tier or "default",
    }


def _error(e: Event) -> dict[str, object]:
    return {"type": e.error, "message": "the service could not answer", "code": None}


def _wrapped(e: Event, request: object, response: object) -> dict[str, object]:
    """Request and response side by side, times in ISO, who asked in `metadata`."""
    where = {"task": e.task, "tenant": e.tenant, "user": e.user, "run_id": e.run, "step": e.step,
             "key_id": e.key, "instance_id": e.instance}  # fmt: skip
    line = {"timestamp": iso(e.at), "latency_ms": float(e.seconds * 1000), "request": request, "response": response}
    line |= {"metadata": {k: v for k, v in where.items() if v is not None}, "status_code": e.http}
    line |= {} if e.provider in ("openai", "anthropic") else {"provider": e.provider}
    return line | ({"error": _error(e)} if e.error else {})


def _in_out(e: Event, request: object, response: object) -> dict[str, object]:
    """`input` and `output`, epoch seconds, who asked beside them."""
    line = {"start_time": e.at.timestamp(), "end_time": e.end.timestamp(), "input": request, "output": response}
    line |= {"tenant_id": e.tenant, "task": e.task, "user_id": e.user, "status": e.http}
    line |= {"session_id": e.run, "step": e.step} if e.run else {}
    return line | ({"error": _error(e)} if e.error else {})


def _http(e: Event, request: object, response: object) -> dict[str, object]:
    """An HTTP proxy: bodies inside request and response, the error as the body of the answer, tags beside."""
    tags = {"feature": e.task, "tenant": e.tenant, "user": e.user} | ({"conversation_id": e.run} if e.run else {})
    answer = response if response is not None else {"error": _error(e)}
    line = {"time": iso(e.at), "duration_ms": float(e.seconds * 1000), "tags": tags}
    line["request"] = {"method": "POST", "headers": {"content-type": "application/json"}, "body": request}
    line["response"] = {"status_code": e.http, "body": answer}
    return line | ({"error": _error(e)} if e.error else {})


Wrapper = Callable[[Event, object, object], dict[str, object]]


def openai_chat(made: Sequence[Event], wrapper: Wrapper = _wrapped) -> Files:
    return {"chat.jsonl": lines([wrapper(e, _chat_request(e), _chat_response(e)) for e in made])}


def openai_chat_in_out(made: Sequence[Event]) -> Files:
    return openai_chat(made, _in_out)


def openai_chat_http(made: Sequence[Event]) -> Files:
    return openai_chat(made, _http)


def _item(turn: Turn) -> dict[str, object]:
    if turn.role == "call":
        return {"type": "function_call", "call_id": turn.id, "name": turn.name, "arguments": turn.text}
    if turn.role == "result":
        return {"type": "function_call_output", "call_id": turn.id, "output": turn.text}
    return {"role": turn.role, "content": turn.text}


def openai_responses(made: Sequence[Event]) -> Files:
    def request(e: Event) -> dict[str, object]:
        body = {"model": e.model, "instructions": e.system or None, "input": [_item(turn) for turn in e.turns]}
        body |= {"temperature": e.temperature, "max_output_tokens": e.max_tokens, "user": e.user}
        body |= {"reasoning": {"effort": e.effort}} if e.effort else {}
        return body | ({"tools": schema(e, type="function", parameters=EMPTY)} if e.declared else {})

    def response(e: Event) -> dict[str, object] | None:
        if e.input is None:
            return None
        said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": e.answer}]}
        output = [] if e.error else [_item(e.call) if e.call else said]
        usage = {"input_tokens": e.input, "output_tokens": e.output, "total_tokens": e.input + e.output}
        usage["input_tokens_details"] = {"cached_tokens": e.cached, "cache_write_tokens": e.written}
        usage["output_tokens_details"] = {"reasoning_tokens": e.reasoning}
        return {
            "id": f"resp_{e.id}", "object": "response", "created_at": e.at.timestamp(), "model": e.model,
            "status": "failed" if e.error else "incomplete" if e.cut else "completed",
            "completed_at": e.end.timestamp(),
            "error": {"code": e.error, "message": "it broke"} if e.error else None,
            "incomplete_details": {"reason": "max_output_tokens"} if e.cut else None,
            "output": output, "usage": usage, "service_tier": e.tier or "default",
        }  # fmt: skip

    return {"responses.jsonl": lines([_wrapped(e, request(e), response(e)) for e in made])}


def _blocks(turn: Turn) -> dict[str, object]:
    if turn.role == "call":
        used = {"type": "tool_use", "id": turn.id, "name": turn.name, "input": json.loads(turn.text)}
        return {"role": "assistant", "content": [used]}
    if turn.role == "result":
        return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": turn.id, "content": turn.text}]}
    return {"role": turn.role, "content": turn.text}


def _writes(e: Event) -> dict[str, object]:
    return {f"ephemeral_{life}_input_tokens": e.written if e.life == life else 0 for life in ("5m", "1h")}


def _anthropic_request(e: Event) -> dict[str, object]:
    body = {"model": e.model, "messages": [_blocks(turn) for turn in e.turns]}
    body |= {"system": e.system} if e.system else {}
    body |= {"temperature": e.temperature, "max_tokens": e.max_tokens, "metadata": {"user_id": e.user}}
    return body | ({"tools": schema(e, input_schema=EMPTY)} if e.declared else {})


STOPS = {"tool_calls": "tool_use", "length": "max_tokens", "stop": "end_turn"}


def _anthropic_response(e: Event) -> dict[str, object] | None:
    if e.input is None:
        return None
    said = _blocks(e.call)["content"] if e.call else [{"type": "text", "text": e.answer}]
    return {
        "id": f"msg_{e.id}", "type": "message", "role": "assistant", "model": e.model,
        "content": [] if e.error else said, "stop_sequence": None,
        "stop_reason": STOPS.get(e.finish),
        "usage": {
            "input_tokens": e.input - e.cached - e.written,
            "cache_read_input_tokens": e.cached,
            "cache_creation_input_tokens": e.written,
            "cache_creation": _writes(e),
            "output_tokens": e.output,
            "output_tokens_details": {"thinking_tokens": e.reasoning},
            "service_tier": "standard",
        },
    }  # fmt: skip


def anthropic_messages(made: Sequence[Event], wrapper: Wrapper = _wrapped) -> Files:
    return {"messages.jsonl": lines([wrapper(e, _anthropic_request(e), _anthropic_response(e)) for e in made])}


def anthropic_messages_in_out(made: Sequence[Event]) -> Files:
    return anthropic_messages(made, _in_out)


def anthropic_messages_http(made: Sequence[Event]) -> Files:
    return anthropic_messages(made, _http)


def litellm(made: Sequence[Event]) -> Files:
    """StandardLoggingPayload, one a line; every answer in the shape of Chat Completions, whoever gave it."""

    def payload(e: Event) -> dict[str, object]:
        request, response = _chat_request(e), _chat_response(e)
        kept = ("temperature", "max_completion_tokens", "tools", "reasoning_effort")
        parameters = {k: request[k] for k in kept if k in request}
        tags = {"task": e.task, "tenant": e.tenant, "case_id": e.instance}
        usage = _chat_usage(e) if e.input is not None else {}
        usage |= {"service_tier": e.tier} if e.tier else {}
        if e.written:
            usage["cache_creation_input_tokens"] = e.written
            usage["prompt_tokens_details"]["cache_creation_token_details"] = _writes(e)
        return {
            "id": f"chatcmpl-{e.id}", "litellm_call_id": f"call-{e.id}", "trace_id": f"trace-{e.id}",
            "session_id": e.run or "", "call_type": "acompletion", "stream": False,
            "status": "failure" if e.error else "success", "custom_llm_provider": e.provider, "model": e.model,
            "model_group": e.model, "model_id": "deployment-1", "response_cost": 0.0,
            "model_map_information": {"model_map_key": e.model, "model_map_value": None},
            "prompt_tokens": e.input or 0, "completion_tokens": e.output or 0,
            "total_tokens": (e.input or 0) + (e.output or 0), "cache_hit": None,
            "startTime": e.at.timestamp(), "endTime": e.end.timestamp(), "completionStartTime": e.end.timestamp(),
            "response_time": float(e.seconds), "end_user": e.user, "messages": request["messages"],
            "response": response if response else {}, "model_parameters": parameters,
            "metadata": {"requester_metadata": tags, "usage_object": usage or None},
            "error_str": "it broke" if e.error else None,
            "error_information": {"error_code": str(e.http), "error_class": e.error} if e.error else None,
            "hidden_params": {"litellm_model_name": e.model},
        }  # fmt: skip

    return {"litellm.jsonl": lines([payload(e) for e in made])}


def _row(e: Event) -> dict[str, object]:
    """One call in the columns of the request table."""
    last = e.call
    return {
        "request_id": f"chatcmpl-{e.id}", "started_at": iso(e.at), "ended_at": iso(e.end), "run_id": e.run,
        "step": e.step, "task": e.task, "tenant": e.tenant, "user": e.user, "provider": e.provider, "model": e.model,
        "temperature": e.temperature, "max_tokens": e.max_tokens, "input_tokens": e.input,
        "cache_read_tokens": e.cached if e.input is not None else None,
        "cache_write_tokens": e.written if e.input is not None else None,
        "cache_write_5m_tokens": e.written if e.life == "5m" and e.input is not None else None,
        "cache_write_1h_tokens": e.written if e.life == "1h" and e.input is not None else None,
        "output_tokens": e.output, "reasoning_tokens": e.reasoning if e.input is not None else None,
        "status": "error" if e.error else "ok", "http_status": e.http, "error_type": e.error,
        "finish_reason": e.finish, "tool_name": last.name if last else None, "tool_args": last.text if last else None,
        "tool_result": e.result, "system": e.system or None, "service_tier": e.tier,
        "response": e.answer or None if e.input is not None else None,
        "reasoning_effort": e.effort, "key_id": e.key, "instance_id": e.instance,
    }  # fmt: skip


def generic_csv(made: Sequence[Event]) -> Files:
    rows = [_row(e) | {"prompt": json.dumps([_chat_message(turn) for turn in e.turns])} for e in made]
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    return {"calls.csv": text.getvalue().encode()}


def generic_jsonl(made: Sequence[Event]) -> Files:
    rows = [_row(e) | {"messages": [_chat_message(turn) for turn in e.turns]} for e in made]
    tools = [{"tools": schema(e, parameters=EMPTY)} if e.declared else {} for e in made]
    return {"calls.jsonl": lines([row | declared for row, declared in zip(rows, tools, strict=True)])}


def generic_parquet(made: Sequence[Event]) -> Files:
    rows = [_row(e) | {"started_at": e.at, "ended_at": e.end} for e in made]
    data = io.BytesIO()
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(data)
    return {"calls.parquet": data.getvalue()}


COMMON = (litellm, otlp, generic_csv, generic_jsonl, generic_parquet)
WRITERS: dict[str, tuple[Callable[[Sequence[Event]], Files], ...]] = {
    "openai": (openai_chat, openai_chat_in_out, openai_chat_http, openai_responses, *COMMON),
    "anthropic": (anthropic_messages, anthropic_messages_in_out, anthropic_messages_http, *COMMON),
}
