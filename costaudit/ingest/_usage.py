"""Usage objects of provider APIs -> the inclusive columns of the request table.

One function a dialect. A dialect is told by its keys; the name of the API decides where keys are shared: who wrote the
log is part of what a number means (`input_tokens` is the whole prompt at OpenAI, the uncached rest at Anthropic).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from costaudit.ingest._lifetimes import writes

Usage = Mapping[str, Any]
Columns = dict[str, int]
"""Column -> tokens; other keys are classes of `extras`: searches, and modalities, which are inside the totals."""


def normalise(api: str, usage: Usage) -> Columns:
    """The token columns, and classes of `extras`, that a usage object states; columns it does not state are absent.

    api   who wrote it: `openai.chat`, `openai.responses`, `anthropic.messages`, `google.generateContent`,
          `bedrock.converse`, `deepseek.chat`, `xai.chat`, `perplexity.chat`, `litellm`, `codex.token_count`, …
    Raises ValueError for a count that is no count.
    """
    return _reader(api.lower(), usage)(usage)


def _reader(api: str, usage: Usage) -> Callable[[Usage], Columns]:
    if "promptTokenCount" in usage or "prompt_token_count" in usage or "totalTokenCount" in usage:
        return _gemini
    if "inputTokens" in usage or "outputTokens" in usage:
        return _converse
    if api.startswith("litellm"):
        return _litellm
    if api.startswith("perplexity"):
        return _perplexity
    if "prompt_tokens" in usage or "completion_tokens" in usage:
        return _chat
    if api.startswith(("anthropic", "bedrock.invoke", "vertex.anthropic")) or "cache_creation_input_tokens" in usage:
        return _messages
    return _responses


def _count(usage: Usage, *names: str) -> int:
    """The first of the names that is present; absent and null are 0."""
    for name in names:
        value = usage.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value != int(value):
            raise ValueError(f"not a token count: {name} = {str(value)[:40]}")
        return int(value)
    return 0


def _part(usage: Usage, *names: str) -> Usage:
    """A nested object; {} where it is absent."""
    return next((part for name in names if isinstance(part := usage.get(name), Mapping)), {})


def _columns(**columns: int) -> Columns:
    """The columns with the totals always there, the parts only where they are not 0."""
    totals = {"input_tokens", "output_tokens"}
    return {name: count for name, count in columns.items() if count or name in totals}


def _chat(usage: Usage) -> Columns:
    """Chat Completions and its speakers: cached and written input inside the prompt, reasoning inside the completion.

    Reasoning stands beside the completion where only that adds up to the total (xAI).
    """
    details = _part(usage, "prompt_tokens_details", "input_tokens_details")
    out = _part(usage, "completion_tokens_details", "output_tokens_details")
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    reasoning = _count(out, "reasoning_tokens")
    if reasoning and _count(usage, "total_tokens") == prompt + completion + reasoning:
        completion += reasoning
    return _columns(
        input_tokens=prompt,
        cache_read_tokens=_count(details, "cached_tokens")
        or _count(usage, "prompt_cache_hit_tokens")
        or _count(usage, "cached_tokens"),
        cache_write_tokens=_count(details, "cache_write_tokens"),
        output_tokens=completion,
        reasoning_tokens=reasoning,
    ) | _modalities(details, out)


def _responses(usage: Usage) -> Columns:
    """The Responses, Realtime and Images APIs, and Codex: everything inside the totals."""
    details = _part(usage, "input_tokens_details", "input_token_details")
    out = _part(usage, "output_tokens_details", "output_token_details")
    return _columns(
        input_tokens=_count(usage, "input_tokens"),
        cache_read_tokens=_count(usage, "cached_input_tokens") or _count(details, "cached_tokens"),
        cache_write_tokens=_count(usage, "cache_write_input_tokens") or _count(details, "cache_write_tokens"),
        output_tokens=_count(usage, "output_tokens"),
        reasoning_tokens=_count(usage, "reasoning_output_tokens") or _count(out, "reasoning_tokens"),
    ) | _modalities(details, out)


def _messages(usage: Usage) -> Columns:
    """Anthropic: reads and writes beside the input; written tokens that no lifetime claims live 5 minutes."""
    split = _part(usage, "cache_creation")
    read = _count(usage, "cache_read_input_tokens")
    lives = (_count(split, f"ephemeral_{life}_input_tokens") for life in ("5m", "1h"))
    made = writes(_count(usage, "cache_creation_input_tokens"), *lives)
    written, hour = made.all or 0, made.long or 0
    return _columns(
        input_tokens=_count(usage, "input_tokens") + read + written,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_5m_tokens=written - hour if split else 0,
        cache_write_1h_tokens=hour,
        output_tokens=_count(usage, "output_tokens"),
        reasoning_tokens=_count(_part(usage, "output_tokens_details"), "thinking_tokens"),
        web_search=_count(_part(usage, "server_tool_use"), "web_search_requests"),
    )


def _gemini(usage: Usage) -> Columns:
    """Gemini: cached input inside the prompt, the tools' prompt and the thoughts beside prompt and candidates."""
    thoughts = _count(usage, "thoughtsTokenCount", "thoughts_token_count")
    prompt = _count(usage, "promptTokenCount", "prompt_token_count")
    tools = _count(usage, "toolUsePromptTokenCount", "tool_use_prompt_token_count")
    columns = _columns(
        input_tokens=prompt + tools,
        cache_read_tokens=_count(usage, "cachedContentTokenCount", "cached_content_token_count"),
        output_tokens=_count(usage, "candidatesTokenCount", "candidates_token_count") + thoughts,
        reasoning_tokens=thoughts,
    )
    sent, cached = _by_modality(usage, "promptTokensDetails"), _by_modality(usage, "cacheTokensDetails")
    for modality, tokens in _by_modality(usage, "toolUsePromptTokensDetails").items():
        sent[modality] = sent.get(modality, 0) + tokens
    made = _by_modality(usage, "candidatesTokensDetails")
    for modality in ("audio", "image", "video"):
        held = cached.get(modality, 0)
        columns |= _columns_of(modality, max(0, sent.get(modality, 0) - held), held, made.get(modality, 0))
    return columns


def _by_modality(usage: Usage, name: str) -> dict[str, int]:
    snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
    listed = usage.get(name) or usage.get(snake) or ()
    found: dict[str, int] = {}
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, Mapping):
            modality = str(entry.get("modality", "")).lower()
            found[modality] = found.get(modality, 0) + _count(entry, "tokenCount", "token_count")
    return found


def _converse(usage: Usage) -> Columns:
    """Bedrock Converse: like Anthropic, cache classes beside `inputTokens`."""
    read = _count(usage, "cacheReadInputTokens", "cacheReadInputTokenCount")
    written = _count(usage, "cacheWriteInputTokens", "cacheWriteInputTokenCount")
    return _columns(
        input_tokens=_count(usage, "inputTokens") + read + written,
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=_count(usage, "outputTokens"),
    )


def _litellm(usage: Usage) -> Columns:
    """litellm folds every provider's cache classes into `prompt_tokens`, and keeps Anthropic's names beside it."""
    details = _part(usage, "prompt_tokens_details")
    read = _count(usage, "cache_read_input_tokens") or _count(details, "cached_tokens")
    written = _count(usage, "cache_creation_input_tokens") or _count(
        details, "cache_creation_tokens", "cache_write_tokens"
    )
    split = _part(details, "cache_creation_token_details")
    hour = _count(split, "ephemeral_1h_input_tokens")
    prompt = _count(usage, "prompt_tokens", "input_tokens")
    out = _part(usage, "completion_tokens_details")
    return _columns(
        # Older versions left the cache classes beside the prompt: a prompt smaller than they are proves it.
        input_tokens=prompt if prompt >= read + written else prompt + read + written,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_5m_tokens=written - hour if split else 0,
        cache_write_1h_tokens=hour,
        output_tokens=_count(usage, "completion_tokens", "output_tokens"),
        reasoning_tokens=_count(out, "reasoning_tokens"),
        web_search=_count(_part(usage, "server_tool_use"), "web_search_requests"),
    ) | _modalities(details, out)


def _perplexity(usage: Usage) -> Columns:
    """Perplexity: reasoning and citations beside the completion, searches counted."""
    reasoning = _count(usage, "reasoning_tokens")
    return _columns(
        input_tokens=_count(usage, "prompt_tokens"),
        output_tokens=_count(usage, "completion_tokens") + reasoning,
        reasoning_tokens=reasoning,
        citation=_count(usage, "citation_tokens"),
        web_search=_count(usage, "num_search_queries"),
    )


def _modalities(details: Usage, out: Usage) -> Columns:
    """Audio and image tokens of OpenAI's dialects; cached ones are named apart where the API does so."""
    cached = _part(details, "cached_tokens_details")
    found: Columns = {}
    for modality in ("audio", "image"):
        held = _count(cached, f"{modality}_tokens")
        sent = max(0, _count(details, f"{modality}_tokens") - held)
        found |= _columns_of(modality, sent, held, _count(out, f"{modality}_tokens"))
    return found


def _columns_of(modality: str, sent: int, held: int, made: int) -> Columns:
    classes = {f"input_{modality}": sent, f"cache_read_{modality}": held, f"output_{modality}": made}
    return {name: count for name, count in classes.items() if count}
