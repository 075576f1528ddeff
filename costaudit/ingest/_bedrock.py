"""Bodies that Bedrock logs, one shape a model family, brought to one: counts, messages, answer, why it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from costaudit.ingest._decode import dig
from costaudit.ingest._events import BLOCKS, DELTA, START, Message

METRICS = "amazon-bedrock-invocationMetrics"


def body_counts(body: Any) -> dict[str, Any]:
    """Counts of an answer as its family writes them, under names of our own; empty where it has none.

    `prompt` in place of `input` means that cached input is inside it.
    """
    if isinstance(body, list):
        body = streamed(body)
    if not isinstance(body, Mapping):
        return {}
    return next((found for family in FAMILIES if (found := _known(family(body)))), {})


def _usage(body: Mapping[str, Any]) -> Mapping[str, Any]:
    usage = body.get("usage")
    return usage if isinstance(usage, Mapping) else {}


def _known(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if value is not None}


def _converse(body: Mapping[str, Any]) -> dict[str, Any]:
    """Converse of any model, and Nova invoked directly."""
    usage = _usage(body)
    if "inputTokens" not in usage:
        return {}
    kept = usage.get("cacheDetails")
    listed = [d for d in kept if isinstance(d, Mapping)] if isinstance(kept, list) else []
    lifetimes = {str(d.get("ttl")): d.get("inputTokens") for d in listed}
    return {
        "input": usage.get("inputTokens"),
        "read": usage.get("cacheReadInputTokens", usage.get("cacheReadInputTokenCount")),
        "write": usage.get("cacheWriteInputTokens", usage.get("cacheWriteInputTokenCount")),
        "short": lifetimes.get("5m"),
        "long": lifetimes.get("1h"),
        "output": usage.get("outputTokens"),
    }


def _anthropic(body: Mapping[str, Any]) -> dict[str, Any]:
    usage = _usage(body)
    if "input_tokens" not in usage:
        return {}
    return {
        "input": usage.get("input_tokens"),
        "read": usage.get("cache_read_input_tokens"),
        "write": usage.get("cache_creation_input_tokens"),
        "short": dig(usage, ("cache_creation", "ephemeral_5m_input_tokens")),
        "long": dig(usage, ("cache_creation", "ephemeral_1h_input_tokens")),
        "output": usage.get("output_tokens"),
        "reasoning": dig(usage, ("output_tokens_details", "thinking_tokens")),
    }


def _openai(body: Mapping[str, Any]) -> dict[str, Any]:
    """DeepSeek, Qwen, gpt-oss, Mistral: cached input is inside the prompt."""
    usage = _usage(body)
    return {
        "prompt": usage.get("prompt_tokens"),
        "read": dig(usage, ("prompt_tokens_details", "cached_tokens")),
        "output": usage.get("completion_tokens"),
        "reasoning": dig(usage, ("completion_tokens_details", "reasoning_tokens")),
    }


def _titan(body: Mapping[str, Any]) -> dict[str, Any]:
    """Titan text and embeddings."""
    results = body.get("results")
    listed = [r.get("tokenCount") for r in results if isinstance(r, Mapping)] if isinstance(results, list) else []
    told = [n for n in listed if isinstance(n, int)]
    return {"input": body.get("inputTextTokenCount"), "output": sum(told) if told else None}


def _llama(body: Mapping[str, Any]) -> dict[str, Any]:
    return {"input": body.get("prompt_token_count"), "output": body.get("generation_token_count")}


def _cohere(body: Mapping[str, Any]) -> dict[str, Any]:
    billed = dig(body, ("meta", "billed_units"))
    billed = billed if isinstance(billed, Mapping) else {}
    return {"input": billed.get("input_tokens"), "output": billed.get("output_tokens")}


def _metrics(body: Mapping[str, Any]) -> dict[str, Any]:
    """What Bedrock adds to the last event of a stream."""
    metrics = body.get(METRICS)
    metrics = metrics if isinstance(metrics, Mapping) else {}
    return {
        "input": metrics.get("inputTokenCount"),
        "read": metrics.get("cacheReadInputTokenCount"),
        "write": metrics.get("cacheWriteInputTokenCount"),
        "output": metrics.get("outputTokenCount"),
    }


FAMILIES: tuple[Callable[[Mapping[str, Any]], dict[str, Any]], ...] = (
    _converse, _anthropic, _openai, _titan, _llama, _cohere, _metrics,
)  # fmt: skip


def streamed(events: Sequence[Any]) -> dict[str, Any]:
    """A streamed answer as one body; the list may end with the text `[DONE]`."""
    known = [event for event in events if isinstance(event, Mapping)]
    message: Message | None = None
    other: dict[str, Any] = {}
    for event in known:
        kind = event.get("type")
        if kind == START and isinstance(event.get("message"), Mapping):
            message = Message(0, 0, {}, event["message"])
        elif message is not None and kind in (DELTA, *BLOCKS):
            message.add(event)
        other |= {key: value for key, value in event.items() if key not in ("type", "index", "delta", "content_block")}
    return {**other, **(message.message() if message else {})}


def messages(body: Mapping[str, Any]) -> Any:
    """The conversation of a request: Converse's blocks in the words of the Messages API, others as they are."""
    listed = body.get("messages")
    if isinstance(listed, list):
        return [_message(m) for m in listed]
    return next((body[k] for k in ("inputText", "prompt", "message", "texts") if body.get(k) is not None), None)


def _message(message: Any) -> Any:
    if not isinstance(message, Mapping) or not isinstance(message.get("content"), list):
        return message
    return {"role": message.get("role"), "content": [_block(block) for block in message["content"]]}


def _block(block: Any) -> Any:
    if not isinstance(block, Mapping):
        return block
    used, result = block.get("toolUse"), block.get("toolResult")
    if isinstance(used, Mapping):
        return {"type": "tool_use", "id": used.get("toolUseId"), "name": used.get("name"), "input": used.get("input")}
    if isinstance(result, Mapping):
        failed = None if result.get("status") is None else result["status"] == "error"
        return {"type": "tool_result", "tool_use_id": result.get("toolUseId"), "content": result.get("content"),
                "is_error": failed}  # fmt: skip
    return {"type": "thinking"} if "reasoningContent" in block else block


def answer(body: Any) -> Any:
    """What was said, as content blocks, choices or plain text; None where the answer is not logged."""
    body = streamed(body) if isinstance(body, list) else body
    if not isinstance(body, Mapping):
        return None
    message = dig(body, ("output", "message"))
    if isinstance(message, Mapping):
        said = _message(message)
        return said.get("content") if isinstance(said, Mapping) else None
    for key in ("content", "choices", "generation", "text"):
        if body.get(key) is not None:
            return body[key]
    return dig(body, ("results", "0", "outputText"))


def ended(body: Any) -> Any:
    """Why the answer ended, in its family's word."""
    body = streamed(body) if isinstance(body, list) else body
    told = (dig(body, path) for path in ENDS)
    return next((why for why in told if why is not None), None)


ENDS = (("stopReason",), ("stop_reason",), ("choices", "0", "finish_reason"), ("results", "0", "completionReason"))


def tools(body: Mapping[str, Any]) -> Any:
    """The declared tools of a request."""
    listed = dig(body, ("toolConfig", "tools"))
    if not isinstance(listed, list):
        return body.get("tools")
    return [t["toolSpec"] if isinstance(t, Mapping) and isinstance(t.get("toolSpec"), Mapping) else t for t in listed]
