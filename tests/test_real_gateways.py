"""Every recorded gateway and tracer file: who reads it, how many calls and tokens it holds, and which spans restate."""

from __future__ import annotations

import pytest
from samples import fates, spent

from costaudit.ingest import ingest

# file, format, (calls, input, cache reads, cache writes, output, reasoning), roll-ups
RECORDED = [
    ("azure/apim-gateway-log.jsonl", "azure", (1, 14, 0, 0, 8, 0), 0),
    ("azure/request-response.jsonl", "azure", (1, 0, 0, 0, 0, 0), 0),
    ("datadog-llmobs/apm_shadow_metrics_openai_response.json", "datadog", (1, 53, 0, 0, 40, 0), 0),
    ("envoy-ai-gateway/access_log_llm.json", "envoy", (1, 15, 0, 0, 7, 0), 0),
    ("langfuse/agno-2025-06-11.trace.json", "langfuse", (2, 826, 0, 0, 245, 0), 2),
    ("langfuse/claude-agent-2025-12-22.trace.json", "langfuse", (4, 34, 0, 0, 232, 0), 0),
    ("langfuse/google-gemini-2025-08-01.trace.json", "langfuse", (1, 6, 0, 0, 2055, 1104), 0),
    ("langfuse/langgraph-js-2025-10-30.trace.json", "langfuse", (2, 321, 0, 0, 123, 64), 0),
    ("langfuse/microsoft-agent-2025-12-17.trace.json", "langfuse", (2, 293, 0, 0, 106, 0), 1),
    ("langfuse/openai-agents-2025-09-30.trace.json", "langfuse", (2, 140, 0, 0, 44, 0), 0),
    ("langfuse/pydantic-ai-tools-2025-12-04.trace.json", "langfuse", (4, 1315, 0, 0, 209, 0), 0),
    ("langfuse/vercel-aisdk-2025-11-17.trace.json", "langfuse", (1, 62, 0, 0, 85, 0), 1),
    ("langsmith/langsmith_js_wrap_openai_default.json", "langsmith", (1, 9, 0, 0, 9, 0), 0),
    ("langsmith/langsmith_js_wrap_openai_reasoning.json", "langsmith", (1, 43, 0, 0, 1901, 960), 0),
    ("langsmith/langsmith_py_wrap_openai_reasoning.json", "langsmith", (1, 43, 0, 0, 2497, 1408), 0),
    ("langsmith/langsmith_py_wrap_openai_stream.json", "langsmith", (1, 9, 0, 0, 9, 0), 0),
    ("litellm/spend_logs_payload.json", "litellm", (1, 10, 0, 0, 20, 0), 0),
    ("litellm/standard_logging_payload.json", "litellm", (1, 10, 0, 0, 20, 0), 0),
    ("otel-sdk-dump/any-agent-AGNO.json", "otel-sdk", (3, 1396, 0, 0, 74, 0), 0),
    ("otel-sdk-dump/any-agent-GOOGLE.json", "otel-sdk", (3, 2251, 0, 0, 86, 0), 0),
    ("otel-sdk-dump/any-agent-LANGCHAIN.json", "otel-sdk", (4, 1262, 0, 0, 125, 0), 0),
    ("otel-sdk-dump/any-agent-OPENAI.json", "otel-sdk", (3, 1020, 0, 0, 76, 0), 0),
    ("otlp-json/any_agent_openai.otlp.converted.json", "otlp", (3, 1020, 0, 0, 76, 0), 0),
    ("otlp-json/otlp-proto-example-trace.json", "otlp", (0, 0, 0, 0, 0, 0), 0),
    ("otlp-json/tokenjam_otlp_fixture.synthetic.json", "otlp", (2, 2300, 0, 0, 520, 0), 0),
    ("otlp-openinference/envoy-chat-bad-request.span.json", "otlp", (1, 0, 0, 0, 0, 0), 0),
    ("otlp-openinference/envoy-chat-detailed-usage.span.json", "otlp", (1, 12, 0, 0, 100, 100), 0),
    ("otlp-openinference/envoy-chat-openai-agents-python.span.json", "otlp", (1, 171, 0, 0, 1962, 1664), 0),
    ("otlp-openinference/envoy-chat-reasoning.span.json", "otlp", (1, 27, 0, 0, 267, 192), 0),
    ("otlp-openinference/envoy-chat-streaming-detailed-usage.span.json", "otlp", (1, 12, 0, 0, 100, 100), 0),
    ("otlp-openinference/envoy-chat-tools.span.json", "otlp", (1, 162, 0, 0, 287, 256), 0),
    ("otlp-openinference/envoy-embeddings-basic.span.json", "otlp", (1, 7, 0, 0, 0, 0), 0),
    ("phoenix/pxi_suggestion_traces.json", "otel-sdk", (16, 0, 0, 0, 0, 0), 0),
    ("portkey/sample_log_file.json", "openai-chat", (1, 9, 0, 0, 9, 0), 0),
    ("portkey/sample_metric_file.json", "portkey", (1, 150, 0, 0, 200, 0), 0),
    ("vertex/prompt-response-row.json", "vertex", (1, 3, 0, 0, 930, 901), 0),
]


@pytest.mark.parametrize(("name", "form", "counts", "rollups"), RECORDED, ids=[name for name, *_ in RECORDED])
def test_a_recorded_file_is_read_by_one_format_with_these_counts(shared, name, form, counts, rollups):
    made = ingest([shared / "formats" / name])
    assert set(made.sources["format"]) == {form}
    assert spent(made) == counts
    assert fates(made) == {"duplicates": 0, "rollups": rollups, "rejects": 0}


def test_one_recorded_run_in_two_dumps_is_counted_once(shared):
    """The OTLP file was converted from the SDK's dump of the same run: the same spans."""
    folder = shared / "formats"
    made = ingest(
        [folder / "otel-sdk-dump/any-agent-OPENAI.json", folder / "otlp-json/any_agent_openai.otlp.converted.json"]
    )
    assert spent(made) == (3, 1_020, 0, 0, 76, 0)
    assert made.fates.duplicates_by_reason == {"the same call in another log": 3}
