"""What a remedy is called where it is set: the parameter of the provider's interface, the option of the agent.

Names are those of the providers' and frameworks' references, read in November 2026. A rule that is mended in the
application's own code has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the page of a rule needs no table
    from costaudit.audit import Audit
    from costaudit.finding import Finding

ANTHROPIC, OPENAI, GEMINI, CONVERSE = "Anthropic", "OpenAI", "Gemini", "Bedrock Converse"
_FAMILY = (
    (ANTHROPIC, re.compile(r"claude", re.IGNORECASE)),
    (OPENAI, re.compile(r"(?:^|[/.:_-])(?:gpt-|chatgpt|codex|o[1345](?:-|$)|text-embedding)", re.IGNORECASE)),
    (GEMINI, re.compile(r"gemini", re.IGNORECASE)),
)
_LIFE = re.compile(r" for (5m|30m|1h|12h)$")
_LIMIT = re.compile(r"\bceiling of ([\d,]+) (?:step|call)")

CACHED = {
    ANTHROPIC: '`"cache_control": {{"type": "ephemeral", "ttl": "{life}"}}` on the last block that stays the same',
    OPENAI: "from 1,024 tokens on it caches by itself: one `prompt_cache_key` for calls that begin alike; from gpt-5.6 "
    "on a `prompt_cache_breakpoint` at the end of what stays the same",
    GEMINI: "from 2.5 on it caches by itself; `cachedContent` names a prefix kept for longer",
    CONVERSE: '`{{"cachePoint": {{"type": "default", "ttl": "{life}"}}}}` after the last block that stays the same',
}
UNCACHED = {
    ANTHROPIC: "leave `cache_control` out of these requests",
    OPENAI: '`"prompt_cache_options": {{"mode": "explicit"}}` writes only what a breakpoint marks',
    CONVERSE: "leave `cachePoint` out of these requests",
}
EFFORT = {
    ANTHROPIC: "`output_config.effort`; of models without it `thinking.budget_tokens`",
    OPENAI: "`reasoning_effort`; in Responses `reasoning.effort`",
    GEMINI: "`thinkingConfig.thinkingLevel`; up to 2.5 `thinkingConfig.thinkingBudget`",
}
LENGTH = {
    ANTHROPIC: "`max_tokens`",
    OPENAI: "`max_completion_tokens`; in Responses `max_output_tokens`: both count hidden reasoning",
    GEMINI: "`generationConfig.maxOutputTokens`",
    CONVERSE: "`inferenceConfig.maxTokens`",
}
BATCH = {
    ANTHROPIC: "`POST /v1/messages/batches`",
    OPENAI: "`POST /v1/batches` with a file of requests",
    GEMINI: "`batchGenerateContent`",
    CONVERSE: "`CreateModelInvocationJob`",
}
FORM = {
    ANTHROPIC: "`output_config.format` with a JSON schema",
    OPENAI: '`"response_format": {{"type": "json_schema", …}}`; in Responses `text.format`',
    GEMINI: "`generationConfig.responseJsonSchema`",
}
CLIENT = {
    ANTHROPIC: "`max_retries` and `timeout` of the client",
    OPENAI: "`max_retries` and `timeout` of the client",
}
STANDARD = {ANTHROPIC: '`"service_tier": "standard_only"`', OPENAI: '`"service_tier": "default"`'}
FLEX = {OPENAI: '`"service_tier": "flex"`'}
COUNTED = {OPENAI: '`"stream_options": {{"include_usage": true}}`'}
TRIMMED = {ANTHROPIC: "`context_management` with `clear_tool_uses_20250919`"}

STEPS = (
    "`max_turns={limit}` (Claude Agent SDK, OpenAI Agents SDK), `--max-turns {limit}` (`claude -p`), "
    "`stopWhen: stepCountIs({limit})` (AI SDK), `recursion_limit` (LangGraph, which counts every node)"
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
ROUTE = '`"model": "{to}"`; `costaudit route` writes it for all tasks, or for a LiteLLM proxy'

Dials = Mapping[str, str] | str

BY_RULE: dict[str, tuple[Dials, ...]] = {
    "batchable": (BATCH,),
    "cache-miss": (CACHED, UNCACHED),
    "context-bloat": (TRIMMED,),
    "dearer-sibling": (STANDARD, FLEX),
    "duplicate-requests": (KEPT,),
    "missing-ceiling": (STEPS, DOLLARS, INPUT),
    "overpowered-model": (ROUTE,),
    "reasoning-overspend": (EFFORT,),
    "retry-waste": (CLIENT, FORM),
    "runaway-loop": BOTH,
    "tenant-concentration": (BUDGET,),
    "tenant-under-water": (BUDGET,),
    "truncated-output": (LENGTH,),
    "unmetered-usage": (COUNTED,),
}


def of_rule(rule: str) -> list[str]:
    """All that the remedies of a rule may be called, for its page."""
    names = {"life": "1h", "limit": "N", "to": "MODEL"}
    said = []
    for one in BY_RULE.get(rule, ()):
        each = [one] if isinstance(one, str) else [f"{family}: {words}" for family, words in one.items()]
        said += [words.format(**names) for words in each]
    return said


def dials(finding: Finding, audit: Audit) -> tuple[str, ...]:
    """`Anthropic: …` for each interface that served the calls of a finding; empty where nothing has a name."""
    found = tuple(_chosen(finding))
    if not found:
        return ()
    life = _LIFE.search(finding.remedy)
    limit = _LIMIT.search(finding.remedy)
    names = {
        "life": life[1] if life else "5m",
        "limit": limit[1].replace(",", "") if limit else "…",
        "to": finding.subject.get("to", ""),
    }
    families = _families(finding, audit)
    said = []
    for one in found:
        if isinstance(one, str):
            said.append(one.format(**names))
        else:
            said += [f"{family}: {one[family].format(**names)}" for family in families if family in one]
    return tuple(said)


def _chosen(finding: Finding) -> Iterator[Dials]:
    """The dials of a finding's rule, by what its remedy asks for."""
    remedy, subject = finding.remedy, finding.subject
    match finding.rule:
        case "cache-miss" if remedy.startswith(("mark ", "change ")):
            yield CACHED
        case "cache-miss" if remedy.startswith("stop "):
            yield UNCACHED
        case "reasoning-overspend":
            yield EFFORT
        case "truncated-output" if "max_tokens" in remedy:
            yield LENGTH
        case "batchable":
            yield BATCH
        case "retry-waste":
            yield FORM if subject.get("cause") == "validation retry" else CLIENT
        case "dearer-sibling" if remedy.startswith("ask for tier "):
            yield FLEX if "tier flex" in remedy else STANDARD
        case "unmetered-usage":
            yield COUNTED
        case "context-bloat" if subject.get("part") == "long-history":
            yield TRIMMED
        case "duplicate-requests":
            yield KEPT
        case "overpowered-model" if remedy.startswith("route "):
            yield ROUTE
        case "runaway-loop":
            yield from BOTH
        case "missing-ceiling":
            yield from _ceilings(finding)
        case "tenant-concentration" | "tenant-under-water":
            yield BUDGET


def _ceilings(finding: Finding) -> Iterator[str]:
    limit = finding.details.get("limit")
    metric = "usd" if limit is None or limit.is_empty() else str(limit["metric"][0])
    said = {"steps": STEPS, "usd": DOLLARS, "input_tokens": INPUT}.get(metric)
    if said is not None:
        yield said


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
