"""What OpenTelemetry attributes mean: every spelling that was ever in use, and the column it fills.

Sources: the GenAI semantic conventions (v1.26 to v1.41, and since then in a repository of their own), OpenLLMetry,
OpenInference, the Vercel AI SDK, Logfire and Pydantic AI, LiteLLM, Langfuse, OpenLIT; read up to autumn 2026. Names
that restate usage of other spans (`gen_ai.aggregated_usage.*`, `gen_ai.usage.partial.*`) are left out on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping

from costaudit.ingest import _values
from costaudit.ingest._values import Reader

USAGE: dict[str, tuple[str, ...]] = {
    "input_tokens": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.usage.prompt_tokens",
        "llm.token_count.prompt",
        "ai.usage.inputTokens",
        "ai.usage.promptTokens",
    ),
    "output_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.usage.completion_tokens",
        "llm.token_count.completion",
        "ai.usage.outputTokens",
        "ai.usage.completionTokens",
    ),
    "_total": (
        "gen_ai.usage.total_tokens",
        "llm.usage.total_tokens",
        "llm.token_count.total",
        "ai.usage.totalTokens",
        "ai.usage.tokens",
    ),
    "cache_read_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.prompt_tokens_details.cached_tokens",
        "gen_ai.usage.details.cache_read_tokens",
        "ai.usage.inputTokenDetails.cacheReadTokens",
        "ai.usage.cachedInputTokens",
        "llm.token_count.prompt_details.cache_read",
        "llm.token_count.prompt_details.cache_input",
        "llm.usage.cache_read_input_tokens",
    ),
    "cache_write_tokens": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.prompt_tokens_details.cache_creation_tokens",
        "gen_ai.usage.details.cache_write_tokens",
        "ai.usage.inputTokenDetails.cacheWriteTokens",
        "llm.token_count.prompt_details.cache_write",
        "llm.usage.cache_creation_input_tokens",
    ),
    "reasoning_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.completion_tokens_details.reasoning_tokens",
        "gen_ai.usage.details.reasoning_tokens",
        "llm.usage.reasoning_tokens",
        "ai.usage.outputTokenDetails.reasoningTokens",
        "ai.usage.reasoningTokens",
        "llm.token_count.completion_details.reasoning",
    ),
    "_uncached": ("ai.usage.inputTokenDetails.noCacheTokens",),
}

BARE: dict[str, str] = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_creation_tokens",
}
"""Names without a prefix that Claude Code's own spans and events use; its input leaves the cache out."""

EXTRAS: dict[str, str] = {
    **{
        f"gen_ai.usage.{kind}.{place}_tokens": f"{column}_{kind}"
        for kind in ("audio", "image", "video")
        for place, column in (("input", "input"), ("output", "output"), ("cache_read.input", "cache_read"))
    },
    "llm.token_count.prompt_details.audio": "input_audio",
    "llm.token_count.completion_details.audio": "output_audio",
}
"""attribute -> class of tokens that are part of the totals and have a rate of their own"""

FACTS: dict[str, tuple[Reader, tuple[str, ...]]] = {
    "request_id": (_values.TEXT, ("gen_ai.response.id", "ai.response.id", "llm.response.id")),
    "model": (
        _values.TEXT,
        (
            "gen_ai.response.model",
            "llm.response.model",
            "ai.response.model",
            "llm.response.model_name",
            "llm.model_name",
            "embedding.model_name",
            "reranker.model_name",
        ),
    ),
    "model_requested": (
        _values.TEXT,
        ("gen_ai.request.model", "llm.request.model", "ai.model.id", "llm.request.model_name", "model"),
    ),
    "provider": (
        _values.TEXT,
        ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "llm.vendor", "ai.model.provider"),
    ),
    "service_tier": (
        _values.TEXT,
        ("openai.response.service_tier", "gen_ai.openai.response.service_tier", "gen_ai.response.service_tier"),
    ),
    "service_tier_requested": (
        _values.TEXT,
        ("openai.request.service_tier", "gen_ai.openai.request.service_tier", "gen_ai.request.service_tier"),
    ),
    "temperature": (
        _values.NUMBER,
        ("gen_ai.request.temperature", "llm.request.temperature", "ai.settings.temperature"),
    ),
    "max_tokens": (
        _values.COUNT,
        ("gen_ai.request.max_tokens", "llm.request.max_tokens", "ai.settings.maxOutputTokens", "ai.settings.maxTokens"),
    ),
    "reasoning_effort": (
        _values.TEXT,
        ("gen_ai.request.reasoning.effort", "gen_ai.request.reasoning_effort", "effort"),
    ),
    "streamed": (_values.FLAG, ("gen_ai.request.stream", "llm.is_streaming", "gen_ai.is_streaming")),
    "ttft_s": (
        _values.NUMBER,
        (
            "gen_ai.response.time_to_first_chunk",
            "gen_ai.server.time_to_first_token",
            "gen_ai.latency.time_to_first_token",
        ),
    ),
    "_ttft_ms": (_values.NUMBER, ("ai.response.msToFirstChunk", "ttft_ms")),
    "_latency_ms": (_values.NUMBER, ("duration_ms",)),
    "http_status": (_values.COUNT, ("http.response.status_code", "http.status_code", "status_code")),
    "error_type": (_values.TEXT, ("error.type", "exception.type")),
    "attempt": (_values.COUNT, ("attempt",)),
    "cost_logged_usd": (
        _values.USD,
        (
            "gen_ai.usage.cost",
            "gen_ai.usage.total_cost",
            "gen_ai.cost.total",
            "gen_ai.cost.total_cost",
            "operation.cost",
            "llm.cost.total",
            "litellm.cost.total",
            "litellm.cost.total_cost",
            "tokenjam.cost_usd",
            "cost_usd",
        ),
    ),
    "run_id": (
        _values.TEXT,
        (
            "gen_ai.conversation.id",
            "session.id",
            "langfuse.session.id",
            "langsmith.trace.session_id",
            "traceloop.association.properties.session_id",
            "traceloop.association.properties.thread_id",
            "traceloop.association.properties.conversation_id",
            "ai.telemetry.metadata.sessionId",
            "ai.telemetry.metadata.session_id",
        ),
    ),
    "task": (
        _values.TEXT,
        (
            "task",
            "app.task",
            "feature",
            "app.feature",
            "traceloop.association.properties.task",
            "traceloop.association.properties.feature",
            "ai.telemetry.metadata.task",
            "ai.telemetry.metadata.feature",
            "litellm.metadata.task",
            "litellm.metadata.feature",
            "gen_ai.agent.name",
            "agent.name",
            "ai.telemetry.functionId",
            "langfuse.trace.name",
            "gen_ai.workflow.name",
            "traceloop.workflow.name",
            "traceloop.entity.name",
            "graph.node.name",
        ),
    ),
    "tenant": (
        _values.TEXT,
        (
            *(
                home + name
                for home in ("", "app.", "traceloop.association.properties.", "ai.telemetry.metadata.",
                             "langfuse.trace.metadata.", "litellm.metadata.")
                for name in ("tenant", "tenant.id", "tenant_id", "tenantId", "customer.id", "customer_id", "customerId",
                             "organization_id", "organization.id", "org_id")
            ),
            "litellm.team.alias",
            "litellm.team.id",
        ),
    ),
    "user": (
        _values.TEXT,
        (
            "user.id",
            "enduser.id",
            "llm.user",
            "gen_ai.user",
            "gen_ai.request.user",
            "langfuse.user.id",
            "traceloop.association.properties.user_id",
            "ai.telemetry.metadata.userId",
            "ai.telemetry.metadata.user_id",
            "litellm.end_user.id",
        ),
    ),
    "environment": (
        _values.TEXT,
        ("deployment.environment.name", "deployment.environment", "langfuse.environment", "gen_ai.environment",
         "environment"),
    ),
    "key_id": (
        _values.TEXT,
        (
            "metadata.user_api_key_alias",
            "metadata.user_api_key_hash",
            "litellm.api_key.alias",
            "litellm.api_key.hash",
            "ai.telemetry.metadata.project",
            "project.id",
            "openinference.project.name",
        ),
    ),
    "gateway_cache_hit": (_values.FLAG, ("litellm.cache_hit",)),
    "region": (_values.TEXT, ("cloud.region", "inference_geo")),
    "instance_id": (_values.TEXT, ("case.id", "traceloop.association.properties.case_id")),
}  # fmt: skip

METADATA: dict[str, tuple[str, ...]] = {
    "task": ("task", "task_name", "feature", "use_case"),
    "tenant": ("tenant", "tenant_id", "customer", "customer_id", "organization_id", "org_id"),
    "user": ("user", "user_id", "end_user"),
    "run_id": ("session_id", "thread_id", "conversation_id", "run_id"),
    "environment": ("environment", "env"),
}
"""keys of the JSON text in the attribute `metadata` that OpenInference and LiteLLM write"""

CALLS = frozenset(
    {"chat", "generate_content", "text_completion", "embeddings", "call_llm", "completion", "response", "llm",
     "llm_request", "embedding", "rerank", "generate", "stream", "create", "messages"}
)  # fmt: skip
"""operations and kinds that are one call to a model"""

AROUND = frozenset(
    {"invoke_agent", "create_agent", "invoke_workflow", "agent_step", "plan", "execute_tool", "retrieval",
     "fetch_response", "agent", "chain", "workflow", "task", "tool", "retriever", "guardrail", "evaluator", "prompt",
     "decision"}
)  # fmt: skip
"""operations and kinds that are no call even where they name a model"""


TOOLS = frozenset({"execute_tool", "tool"})
"""operations and kinds that run a tool: a call to a model below it was made by the tool"""


def _where(table: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, int]]:
    return {name: (column, rank) for column, names in table.items() for rank, name in enumerate(names)}


WHERE_USAGE = _where(USAGE)
WHERE_FACTS = _where({column: names for column, (_, names) in FACTS.items()})
"""attribute -> (column, rank): of several spellings of one thing the first listed wins"""
