"""The mistakes calculators make, one row each: the right cost beside the wrong one, both as arithmetic.

Figures are dollars per million tokens of the bundled book on the day named; past prices never change, so neither do
these. A row fails when its mistake is made again: `wrong` is what the mistake would answer.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from costaudit.commands._price_quote import quoted
from costaudit.data import bundled
from costaudit.price.book import PriceBook

DAY = "2026-11-10T12:00:00Z"
TRAPS = [f"T{n:02}" for n in range(1, 49)]
PRO = "gemini-3.1-pro-preview"


def case(
    trap: str, provider: str, model: str, usage: dict[str, Any], right: str, wrong: str, **more: Any
) -> tuple[str, dict[str, Any], str, str]:
    """One trap: what is asked, the right sum and the wrong one, written as sums of millions × rate."""
    stated = {"raw": usage} if "api" in usage else {"usage": usage}
    asked = {"id": trap, "provider": provider, "model": model, "ts": more.pop("ts", DAY), **stated}
    return (
        trap,
        asked | ({"override": more.pop("override")} if "override" in more else {}) | {"context": more},
        right,
        wrong,
    )


def raw(api: str, **usage: Any) -> dict[str, Any]:
    return {"api": api, "usage": usage}


CASES = [
    case("T01", "openai", "gpt-5-mini", raw("openai.chat", prompt_tokens=20_000, completion_tokens=100,
         prompt_tokens_details={"cached_tokens": 16_000}),
         ".004*.25 + .016*.025 + .0001*2", ".02*.25 + .016*.025 + .0001*2"),
    case("T02", "anthropic", "claude-sonnet-5-5", raw("anthropic.messages", input_tokens=10,
         cache_creation_input_tokens=8_000, cache_read_input_tokens=0, output_tokens=100),
         ".00001*2 + .008*2.5 + .0001*10", ".00801*2 + .008*2.5 + .0001*10"),
    case("T03", "anthropic", "claude-sonnet-5-5", {"cache_write_1h": 10_000}, ".01*4", ".01*2.5"),
    case("T04", "openai", "gpt-6-luna", raw("openai.responses", input_tokens=10_000, output_tokens=0,
         input_tokens_details={"cached_tokens": 6_000, "cache_write_tokens": 3_000}),
         ".001*.1 + .006*.01 + .003*.125", ".004*.1 + .006*.01"),
    case("T05", "openai", "gpt-6-luna", {"cache_write_12h": 10_000}, ".01*.25", ".01*.125"),
    case("T06", "openai", "gpt-6-luna", {"input": 300_000}, ".3*.2", ".272*.1 + .028*.2"),
    case("T07", "google", PRO, {"input": 1_000, "cache_read": 200_000}, ".001*4 + .2*.4", ".001*2 + .2*.2"),
    case("T08", "google", PRO, {"input": 190_000, "output": 20_000}, ".19*2 + .02*12", ".19*4 + .02*18"),
    case("T09", "dashscope", "qwen3-coder-flash", {"input": 130_000}, ".13*.8", ".13*.5"),
    case("T10", "openai", "gpt-5.6-terra", {"input": 10_000}, ".01*2.5", ".01*2", ts="2026-07-29T12:00:00Z"),
    case("T11", "mistral", "mistral-ocr-latest", {"pages": 100}, ".1*2", ".1*4", ts="2026-01-15T00:00:00Z"),
    case("T12", "google", "gemini-4-argon", {"input": 10_000}, ".01*4", ".01*2", ts="2026-12-01T00:00:00Z"),
    case("T13", "openai", "gpt-5.6-terra", {"input": 10_000}, ".01*2", ".01*2.5", ts="2026-07-29T19:00:00-08:00"),
    case("T14", "openai", "gpt-6.1-sol", {"input": 10_000}, ".01*12", ".01*2", service_tier="ultrafast"),
    case("T15", "anthropic", "claude-opus-5", {"input": 10_000}, ".01*2.5", ".01*5",
         processing="batch", ts="2026-08-01T00:00:00Z"),
    case("T16", "openai", "gpt-6-luna", {"input": 300_000}, ".3*.4", ".3*.2", service_tier="priority"),
    case("T17", "openai", "o4-mini", {"cache_read": 1_000_000}, "1*.138", "1*.1375", service_tier="flex"),
    case("T18", "openai", "gpt-5-mini", {"input": 10_000}, ".01*.25", ".01*.45", service_tier="default",
         requested_service_tier="priority"),
    case("T19", "anthropic", "claude-sonnet-5-5", {"cache_write_1h": 10_000}, ".01*2", ".01*1.25", processing="batch"),
    case("T20", "anthropic", "claude-sonnet-5-5", {"web_search": 2}, ".002*10", ".002*5", processing="batch"),
    case("T21", "anthropic", "claude-fable-5-2", {"input": 10_000, "cache_write_5m": 10_000}, ".01*16 + .01*20",
         ".01*16 + .01*10", speed="fast"),
    case("T22", "google", "gemini-3.7-flash", {"cache_read": 1_000_000}, "1*.135", "1*.15", service_tier="priority"),
    case("T23", "x-ai", "grok-4.20", {"input": 10_000}, ".01*1", ".01*.625", processing="batch"),
    case("T24", "deepseek", "deepseek-flash", {"input": 10_000}, ".01*.15", ".01*.3", ts="2026-11-07T02:00:00Z"),
    case("T25", "openai", "gpt-realtime-mini", {"input_audio": 10_000}, ".01*10", ".01*.6"),
    case("T26", "openai", "gpt-realtime-mini", {"cache_read_audio": 10_000}, ".01*.3", ".01*10"),
    case("T27", "google", "gemini-3-pro-image-preview", {"output_image": 1_000}, ".001*120", ".001*12"),
    case("T28", "groq", "whisper-large-v3-turbo", {"audio_seconds": 4.5}, "10*.04/3600", "4.5*.04/3600"),
    case("T29", "openai", "o3", raw("openai.chat", prompt_tokens=0, completion_tokens=1_000,
         completion_tokens_details={"reasoning_tokens": 900}), ".001*8", ".0019*8"),
    case("T30", "perplexity", "sonar-deep-research", {"output": 1_000, "reasoning": 50_000},
         ".001*8 + .05*3", ".051*8"),
    case("T31", "openai", "gpt-5-mini", {"input": 1_000, "web_search": 3}, ".001*.25 + .003*10", ".001*.25"),
    case("T32", "perplexity", "sonar", {"requests": 1}, ".001*8", ".001*12", search_context_size="medium"),
    case("T33", "openai", "gpt-5.4-mini", {"input": 10_000, "web_search": 1}, ".01*.75*1.1 + .001*10",
         ".01*.75*1.1 + .001*11", data_residency="eu"),
    case("T34", "bedrock", "anthropic.claude-haiku-5-5", {"input": 10_000}, ".01*.11", ".01*.1"),
    case("T35", "azure", "azure/eu/gpt-6-luna", {"input": 10_000}, ".01*.12", ".01*.1"),
    case("T36", "bedrock", "provisioned:anthropic.claude-instant-v1/us-east-1/6-month",
         {"provisioned_seconds": 60, "input": 0}, "60*.00611", "0"),
    case("T37", "google", "gemini-3.6-flash", {"cache_storage_token_hours": 3_000_000}, "3*.5", "0"),
    case("T38", "vertex", "publishers/anthropic/models/claude-sonnet-4-5@20250929", {"input": 10_000}, ".01*3", "0"),
    case("T39", "openai", "ft:gpt-4.1-2025-04-14:me::1", {"input": 10_000}, ".01*3", ".01*2"),
    case("T42", "anthropic", "claude-opus-5", {"input": 10_000}, ".01*5*.9", ".01*5",
         override={"match": "anthropic/claude-opus-*", "token_multiplier": "0.9", "valid_from": "2026-11-01"}),
    case("T43", "anthropic", "claude-sonnet-5-5", raw("anthropic.messages", input_tokens=0, output_tokens=0,
         cache_creation_input_tokens=10_000, cache_creation={"ephemeral_1h_input_tokens": 4_000}),
         ".006*2.5 + .004*4", ".004*4"),
    case("T44", "x-ai", "grok-4.20", raw("xai.chat", prompt_tokens=1_000, completion_tokens=100, total_tokens=1_600,
         completion_tokens_details={"reasoning_tokens": 500}), ".001*1.25 + .0006*2.5", ".001*1.25 + .0001*2.5"),
    case("T45", "google", PRO, raw("google.generateContent", promptTokenCount=1_000,
         candidatesTokenCount=100, thoughtsTokenCount=900, totalTokenCount=2_000),
         ".001*2 + .001*12", ".001*2 + .0001*12"),
    case("T46", "bedrock", "global.anthropic.claude-opus-5", raw("bedrock.converse", inputTokens=100, outputTokens=0,
         cacheReadInputTokens=10_000), ".0001*5 + .01*.5", ".01*.5"),
    case("T47", "anthropic", "claude-sonnet-5-5", raw("litellm", prompt_tokens=10_010, completion_tokens=0,
         cache_read_input_tokens=10_000, cache_creation_input_tokens=0), ".00001*2 + .01*.1", ".01001*2 + .01*.1"),
    case("T48", "google", PRO, raw("google.generateContent", promptTokenCount=1_000,
         toolUsePromptTokenCount=4_000, candidatesTokenCount=0, totalTokenCount=5_000), ".005*2", ".001*2"),
]  # fmt: skip


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook.load(bundled("pricing"))


def added(sum_of: str) -> Decimal:
    """`.01*5 + .001*10/3600` exactly; durations as the book rounds them."""
    total = Decimal(0)
    for term in sum_of.split("+"):
        product, _, divisor = term.strip().partition("/")
        value = Decimal(1)
        for factor in product.split("*"):
            value *= Decimal(factor)
        total += (value / Decimal(divisor)).quantize(Decimal("1e-15")) if divisor else value
    return total


def answer(book: PriceBook, asked: dict[str, Any]) -> dict[str, Any]:
    return json.loads(next(quoted([json.dumps(asked)], book, "trap"))[0])


@pytest.mark.parametrize(("trap", "asked", "right", "wrong"), CASES, ids=[case[0] for case in CASES])
def test_the_right_cost_and_not_the_mistake(book, trap, asked, right, wrong):
    assert added(right) != added(wrong), "a trap that cannot be fallen into"
    told = answer(book, asked)
    assert told["status"] == "priced", told["steps"]
    assert Decimal(told["usd"]) == added(right), told["steps"]


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-6-sol-mini"),
        ("anthropic", "claude-opus-9"),
        ("google", "gemini-4-argon-max"),
        ("azure", "prod-1"),
    ],
)
def test_t40_an_unknown_model_is_neither_free_nor_its_neighbour(book, provider, model):
    told = answer(book, {"id": 1, "provider": provider, "model": model, "ts": DAY, "usage": {"input": 1_000}})
    assert (told["status"], told["usd"], told["entry"]) == ("unpriced", None, None)


def test_t41_free_subscription_and_unknown_are_told_apart(book):
    asked = [("openrouter", "qwen/qwen3-coder:free"), ("chatgpt", "gpt-6-luna"), ("openrouter", "qwen/qwen99")]
    told = [answer(book, {"provider": p, "model": m, "ts": DAY, "usage": {"input": 10**6}}) for p, m in asked]
    assert [(t["status"], t["usd"]) for t in told] == [("free", "0"), ("subscription", "0"), ("unpriced", None)]
    assert told[1]["list_usd"] == "0.2"  # over 272,000 tokens: the long rate


def test_every_trap_has_a_case():
    assert sorted({case[0] for case in CASES} | {"T40", "T41"}) == TRAPS
