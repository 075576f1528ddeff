"""The mistakes other readers of logs make, by their number in the list of those seen in the field, each planted here.

Planted homes of coding agents are those of `bench/agents.py`; truths are sums of what was spent.
"""

from __future__ import annotations

import importlib.util
import json
import sys

import pytest
from console import ROOT
from samples import read, spent, window

from costaudit.data import bundled
from costaudit.errors import LogError
from costaudit.ingest import ingest
from costaudit.price.book import PriceBook
from costaudit.price.engine import price

spec = importlib.util.spec_from_file_location("agent_cases", ROOT / "bench" / "_agent_cases.py")
planted = sys.modules["agent_cases"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(planted)


@pytest.mark.parametrize(
    "case", planted.CASES, ids=[f"{c.mistake or 'x'}-{c.agent}-{c.name}".replace(" ", "-") for c in planted.CASES]
)
def test_a_planted_home_costs_what_was_spent_in_it(case, tmp_path):
    planted.write(case, tmp_path)
    _, given, _, _, made, _ = spent(ingest([tmp_path]))
    assert given + made == case.truth


@pytest.mark.parametrize("mistake", [*range(1, 15), 21])
def test_every_mistake_of_coding_agents_is_planted(mistake):
    assert any(case.mistake == mistake for case in planted.CASES)


def gemini(output, thoughts, **more):
    usage = {"promptTokenCount": 12_000, "candidatesTokenCount": output, "thoughtsTokenCount": thoughts} | more
    return {"responseId": "r1", "modelVersion": "gemini-2.5-pro", "candidates": [], "usageMetadata": usage}


def test_mistake_15_the_last_chunk_of_a_stream_may_know_less():
    chunks = [gemini(282, 70, totalTokenCount=12_352), gemini(282, None, totalTokenCount=12_282)]
    assert spent(read(chunks)) == (1, 12_000, 0, 0, 352, 70)


COST = {"starting_at": "2026-09-01T00:00:00Z", "ending_at": "2026-09-02T00:00:00Z",
        "results": [{"amount": "123.45", "currency": "USD", "cost_type": "tokens"}]}  # fmt: skip


def test_mistake_16_a_report_of_cents_is_no_call_of_dollars():
    """Aggregates are no requests: whatever their unit, they add nothing to the bill."""
    try:
        assert read([{"data": [COST], "has_more": False}]).fates.requests == 0
    except LogError as problem:
        assert "no" in str(problem)  # noqa: PT017


def test_mistake_17_ticks_and_seconds_are_told_by_their_size():
    ticks = (planted.T0 + 62_135_596_800) * 10_000_000
    properties = {"requestTime": ticks, "responseTime": ticks + 20_000_000, "modelName": "gpt-4o"}
    record = {"category": "RequestResponse", "event": "ShoeboxCallResult", "operationName": "ChatCompletions_Create",
              "correlationId": "c", "properties": json.dumps(properties)}  # fmt: skip
    assert window(read([record])) == ("2026-09-05 11:00:00", "2026-09-05 11:00:00")
    home = ingest([planted.SAMPLES / "crush.db"])
    assert window(home) == ("2026-09-05 11:00:00", "2026-09-05 11:00:00")


def test_mistake_18_written_input_is_not_read_again_at_the_input_rate():
    usage = {"prompt_tokens": 2_600, "completion_tokens": 10, "total_tokens": 2_610,
             "prompt_tokens_details": {"cached_tokens": 2_000, "cache_write_tokens": 400}}  # fmt: skip
    chat = {"id": "chatcmpl-1", "object": "chat.completion", "created": planted.T0, "model": "gpt-5.6-terra",
            "choices": [], "usage": usage}  # fmt: skip
    assert spent(read([chat])) == (1, 2_600, 2_000, 400, 10, 0)  # 2,000 + 400 + 200 rest


def test_mistake_20_the_rows_of_a_message_in_parts_are_one_call():
    row = {"TimeGenerated": "2026-09-05T11:00:00Z", "CorrelationId": "c1", "Region": "West Europe"}
    first = {**row, "DeploymentName": "chat", "ModelName": "gpt-4o", "PromptTokens": 900, "CompletionTokens": 30,
             "TotalTokens": 930, "SequenceNumber": 0}  # fmt: skip
    parts = [{**row, "SequenceNumber": n, "RequestMessages": "...", "PromptTokens": 900} for n in (1, 2)]
    assert spent(read([first, *parts]))[:2] == (1, 900)


def test_mistake_23_an_opaque_profile_has_no_price_and_is_not_free():
    arn = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/abc123"
    record = {"schemaType": "ModelInvocationLog", "schemaVersion": "1.0", "timestamp": "2026-09-05T11:00:00Z",
              "requestId": "b1", "operation": "Converse", "modelId": arn, "region": "eu-central-1",
              "input": {"inputTokenCount": 500}, "output": {"outputTokenCount": 20}}  # fmt: skip
    assert spent(read([record]))[:2] == (1, 500)
    priced = price(read([record]).requests, PriceBook.load(bundled("pricing")))
    assert priced["price_status"].to_list() == ["unpriced"]
    assert priced["cost_usd"].to_list() == [None]


def test_mistake_24_usage_pages_of_different_groupings_are_no_calls():
    result = {"object": "organization.usage.completions.result", "input_tokens": 1_000, "output_tokens": 100,
              "num_model_requests": 5, "model": None, "project_id": None}  # fmt: skip
    bucket = {"object": "bucket", "start_time": planted.T0, "end_time": planted.T0 + 86_400}
    pages = [{"object": "page", "data": [{**bucket, "results": [{**result, "model": m}]}]} for m in (None, "gpt-5")]
    try:
        assert read(pages).fates.requests == 0
    except LogError as problem:
        assert "no" in str(problem)  # noqa: PT017
