"""What a remedy is called where it is set: the parameter of the provider's interface, the option of the agent.

Names are those of the providers' and frameworks' references, read in November 2026. None: the interface has no
parameter for it, or none that holds for all of its models. What is mended in the application's own code has no lever.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the page of a rule needs no table
    from costaudit.audit import Audit
    from costaudit.finding import Finding, LeverName

FAMILIES = ANTHROPIC, OPENAI, GEMINI, CONVERSE = "Anthropic", "OpenAI", "Gemini", "Bedrock Converse"
_FAMILY = (
    (ANTHROPIC, re.compile(r"claude", re.IGNORECASE)),
    (OPENAI, re.compile(r"(?:^|[/.:_-])(?:gpt-|chatgpt|codex|o[1345](?:-|$)|text-embedding)", re.IGNORECASE)),
    (GEMINI, re.compile(r"gemini", re.IGNORECASE)),
)

Named = Mapping[str, str | None]  # by interface

CACHED: Named = {
    ANTHROPIC: '`"cache_control": {{"type": "ephemeral", "ttl": "{value}"}}` on the last block that stays the same',
    OPENAI: "from 1,024 tokens on it caches by itself: one `prompt_cache_key` for calls that begin alike; from gpt-5.6 "
    "on a `prompt_cache_breakpoint` at the end of what stays the same",
    GEMINI: "from 2.5 on it caches by itself; `cachedContent` names a prefix kept for longer",
    CONVERSE: '`{{"cachePoint": {{"type": "default", "ttl": "{value}"}}}}` after the last block that stays the same',
}
UNCACHED: Named = {
    ANTHROPIC: "leave `cache_control` out of these requests",
    OPENAI: '`"prompt_cache_options": {{"mode": "explicit"}}` writes only what a breakpoint marks',
    CONVERSE: "leave `cachePoint` out of these requests",
    GEMINI: None,
}
EFFORT: Named = {
    ANTHROPIC: "`output_config.effort`; of models without it `thinking.budget_tokens`",
    OPENAI: "`reasoning_effort`; in Responses `reasoning.effort`",
    GEMINI: "`thinkingConfig.thinkingLevel`; up to 2.5 `thinkingConfig.thinkingBudget`",
    CONVERSE: None,
}
LENGTH: Named = {
    ANTHROPIC: "`max_tokens`",
    OPENAI: "`max_completion_tokens`; in Responses `max_output_tokens`: both count hidden reasoning",
    GEMINI: "`generationConfig.maxOutputTokens`",
    CONVERSE: "`inferenceConfig.maxTokens`",
}
BATCH: Named = {
    ANTHROPIC: "`POST /v1/messages/batches`",
    OPENAI: "`POST /v1/batches` with a file of requests",
    GEMINI: "`batchGenerateContent`",
    CONVERSE: "`CreateModelInvocationJob`",
}
FORM: Named = {
    ANTHROPIC: "`output_config.format` with a JSON schema",
    OPENAI: '`"response_format": {{"type": "json_schema", …}}`; in Responses `text.format`',
    GEMINI: "`generationConfig.responseJsonSchema`",
    CONVERSE: None,
}
CLIENT: Named = {
    ANTHROPIC: "`max_retries` and `timeout` of the client",
    OPENAI: "`max_retries` and `timeout` of the client",
    GEMINI: None,
    CONVERSE: None,
}
STANDARD: Named = {
    ANTHROPIC: '`"service_tier": "standard_only"`',
    OPENAI: '`"service_tier": "default"`',
    GEMINI: None,
    CONVERSE: None,
}
FLEX: Named = {
    OPENAI: '`"service_tier": "flex"`',
    ANTHROPIC: None,
    GEMINI: None,
    CONVERSE: None,
}
COUNTED: Named = {
    OPENAI: '`"stream_options": {{"include_usage": true}}`',
    ANTHROPIC: None,
    GEMINI: None,
    CONVERSE: None,
}
TRIMMED: Named = {
    ANTHROPIC: "`context_management` with `clear_tool_uses_20250919`",
    OPENAI: None,
    GEMINI: None,
    CONVERSE: None,
}

STEPS = (
    "`max_turns={value}` (Claude Agent SDK, OpenAI Agents SDK), `--max-turns {value}` (`claude -p`), "
    "`stopWhen: stepCountIs({value})` (AI SDK), `recursion_limit` (LangGraph, which counts every node)"
)
DOLLARS = "`max_budget_usd` (Claude Agent SDK), `--max-budget-usd` (`claude -p`)"
BOTH = (
    "steps: `max_turns` (Claude Agent SDK, OpenAI Agents SDK), `stopWhen` (AI SDK), `recursion_limit` (LangGraph)",
    f"dollars: {DOLLARS}",
)
INPUT = "`UsageLimits(input_tokens_limit=…)` (Pydantic AI)"
KEPT = "LiteLLM proxy: `litellm_settings: {{cache: true, cache_params: {{ttl: 86400}}}}`"
BUDGET = (
    "`budgets:` in costaudit.yaml watches it, `max_budget` and `budget_duration` of its key in a LiteLLM proxy stop it"
)
ROUTE = '`"model": "{value}"`; `costaudit route` writes it for all tasks, or for a LiteLLM proxy'

BY_LEVER: dict[LeverName, tuple[Named | str, ...]] = {
    "batch": (BATCH,),
    "budget": (BUDGET,),
    "cache": (CACHED,),
    "effort": (EFFORT,),
    "flex": (FLEX,),
    "history": (TRIMMED,),
    "input-limit": (INPUT,),
    "model": (ROUTE,),
    "no-cache": (UNCACHED,),
    "output-format": (FORM,),
    "output-limit": (LENGTH,),
    "retries": (CLIENT,),
    "reuse": (KEPT,),
    "run-limit": BOTH,
    "spend-limit": (DOLLARS,),
    "standard": (STANDARD,),
    "step-limit": (STEPS,),
    "usage": (COUNTED,),
}
_USUAL = {"cache": "5m"}  # where the remedy leaves the lifetime to the provider
_ANY = {"cache": "1h", "step-limit": "N", "model": "MODEL"}  # what stands for the value on the page of a rule


def of_levers(levers: Sequence[LeverName]) -> list[str]:
    """All that the remedies of a rule may be called, for its page."""
    return [said for lever in levers for said in _said(lever, _ANY.get(lever, ""), FAMILIES)]


def dials(finding: Finding, audit: Audit) -> tuple[str, ...]:
    """`Anthropic: …` for each interface that served the calls of a finding; empty where nothing has a name."""
    if finding.lever is None:
        return ()
    name, value = finding.lever
    return tuple(_said(name, value or _USUAL.get(name, ""), _families(finding, audit)))


def _said(lever: LeverName, value: str, families: Sequence[str]) -> Iterator[str]:
    for one in BY_LEVER[lever]:
        if isinstance(one, str):
            yield one.format(value=value)
        else:
            yield from (f"{family}: {words.format(value=value)}" for family in families if (words := one.get(family)))


def _families(finding: Finding, audit: Audit) -> list[str]:
    """The interfaces that served a finding's models, else those of the log; the dearest first."""
    served = list(audit.spend.by_model.select("model", "provider").iter_rows())
    named = {finding.subject[key].rpartition(":")[2] for key in ("model", "from") if finding.subject.get(key)}
    for column in ("model", "from"):
        if not named and column in finding.evidence.columns:
            named = {str(name) for name in finding.evidence[column].drop_nulls().unique()}
    mine = [(model, provider) for model, provider in served if model in named] or [(name, "") for name in sorted(named)]
    return list(dict.fromkeys(family for model, provider in mine or served if (family := _family(model, provider))))


def _family(model: str, provider: str | None) -> str:
    if "bedrock" in (provider or "").lower():
        return CONVERSE
    return next((name for name, pattern in _FAMILY if pattern.search(model)), "")
