"""Names: every documented spelling finds its entry, in the documented order, and nothing else finds one."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from price_book import write

from costaudit.data import bundled
from costaudit.price.book import PriceBook
from costaudit.price.match import match


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook.load(bundled("pricing"))


@pytest.mark.parametrize(
    ("provider", "model", "entry"),
    [
        ("openai", "gpt-5-mini", "openai:gpt-5-mini"),
        ("openai", "GPT-5-Mini", "openai:gpt-5-mini"),
        ("open-ai", "gpt-5-mini-2025-08-07", "openai:gpt-5-mini"),
        ("openai", "gpt-5-mini-20250807", "openai:gpt-5-mini"),
        ("openai", "openai/openai/gpt-5-mini", "openai:gpt-5-mini"),
        ("openai", "gpt-5-4", "openai:gpt-5.4"),
        ("openai", "gpt-4o-2024-05-13", "openai:gpt-4o-2024-05-13"),  # a snapshot with another price
        ("anthropic", "claude-sonnet-4-5-20250929", "anthropic:claude-sonnet-4-5"),
        ("anthropic", "claude-opus-4.8", "anthropic:claude-opus-4-8"),
        ("anthropic", "claude-4-6-opus", "anthropic:claude-opus-4-6"),
        ("google", "models/gemini-2.5-pro", "google:gemini-2.5-pro"),
        ("gcp.gemini", "gemini/gemini-2.5-flash-lite", "google:gemini-2.5-flash-lite"),
        ("google", "gemini-2.5-flash-lite-latest", "google:gemini-2.5-flash-lite"),
        ("vertex_ai", "publishers/anthropic/models/claude-haiku-4-5", "vertex:claude-haiku-4-5"),
        ("vertex", "claude-haiku-4-5@20251001", "vertex:claude-haiku-4-5"),
        ("vertex", "projects/p/locations/us-east5/publishers/google/models/gemini-2.5-pro", "vertex:gemini-2.5-pro"),
        ("aws.bedrock", "anthropic.claude-opus-5", "bedrock:anthropic.claude-opus-5"),
        ("bedrock", "bedrock/converse/eu.amazon.nova-lite-v1:0", "bedrock:eu.amazon.nova-lite-v1:0"),
        ("bedrock", "arn:aws:bedrock:eu-west-1::foundation-model/meta.llama3-3-70b-instruct-v1:0",
         "bedrock:meta.llama3-3-70b-instruct-v1:0"),
        ("bedrock", "arn:aws:bedrock:us-east-1:1:inference-profile/global.anthropic.claude-opus-5",
         "bedrock:global.anthropic.claude-opus-5"),
        # What answers call themselves at Bedrock: the profile they came through is not in it.
        ("bedrock", "claude-opus-5-5", "bedrock:global.anthropic.claude-opus-5-5"),
        ("bedrock", "claude-opus-4-5-20251101", "bedrock:global.anthropic.claude-opus-4-5-20251101-v1:0"),
        ("bedrock", "claude-3-5-haiku-20241022", "bedrock:anthropic.claude-3-5-haiku-20241022-v1:0"),
        ("azure.ai.openai", "azure/eu/gpt-6-luna", "azure:eu/gpt-6-luna"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:org:name:id", "openai:ft:gpt-4o-mini-2024-07-18"),
        ("openai", "gpt-4.1-2025-04-14.ft-0123abcd", "openai:ft:gpt-4.1-2025-04-14"),
        ("x_ai", "xai/grok-4.7", "x-ai:grok-4.7"),
        ("google", "gemini-2.0-flash-001", "google:gemini-2.0-flash"),
        ("vertex", "publishers/meta/models/llama-3.3-70b-instruct-maas", "vertex:meta/llama-3.3-70b-instruct-maas"),
        ("bedrock", "eu.amazon.nova-pro-v1:0:300k", "bedrock:eu.amazon.nova-pro-v1:0"),  # not the dearer place's base
        ("bedrock", "us.anthropic.claude-opus-5-5-20260921-v1:0", "bedrock:us.anthropic.claude-opus-5-5"),
        ("mistral_ai", "mistral-large-2512", "mistral:mistral-large-2512"),
        ("openrouter", "anthropic/claude-opus-5.5", "openrouter:anthropic/claude-opus-5.5"),
        (None, "claude-opus-5-5", "anthropic:claude-opus-5-5"),
        (None, "anthropic/claude-opus-5-5", "anthropic:claude-opus-5-5"),
        (None, "us.anthropic.claude-opus-5-5-20260921-v1:0", "bedrock:us.anthropic.claude-opus-5-5"),
        (None, "amazon.nova-lite-v1:0", "bedrock:amazon.nova-lite-v1:0"),
        (None, "arn:aws:bedrock:us-east-1:1:inference-profile/global.anthropic.claude-opus-5",
         "bedrock:global.anthropic.claude-opus-5"),
        ("litellm", "groq/llama-3.3-70b-versatile", "groq:llama-3.3-70b-versatile"),
    ],
)  # fmt: skip
def test_every_documented_spelling_finds_its_entry(book, provider, model, entry):
    found = match(book, provider, model)
    assert found.model is not None, found.steps
    assert found.entry == entry


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt"),
        ("openai", "gpt-5-mini-turbo"),
        ("openai", "gpt-5-mini-v2"),
        ("openai", "my-gpt-5-mini"),
        ("openai", "gpt-5-mini-2025-13-07"),  # not a date
        ("openai", "ft:gpt-77:org::id"),
        ("anthropic", "claude"),
        ("anthropic", "claude-opus-7"),
        ("azure", "my-prod-deployment"),
        ("bedrock", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"),
        ("bedrock", "anthropic.claude-opus"),
        ("google", "gemini-4-argon-ultra"),
        ("somebody", "gpt-5-mini"),
        ("lmstudio", "qwen/qwen3-8b"),  # not what Alibaba asks for it
        ("hosted_vllm", "openai/gpt-oss-20b"),
        (None, "us.anthropic.claude-opus-7-v1:0"),
        ("openrouter", "anthropic/claude-opus-5.5:nitro"),
        (None, "my-llama"),
        (None, ""),
    ],
)
def test_a_name_that_is_not_documented_is_unknown_and_says_so(book, provider, model):
    found = match(book, provider, model)
    assert found.model is None
    assert found.steps


@pytest.mark.parametrize(
    ("model", "steps"),
    [
        ("plain", ("exact: acme:plain",)),
        ("plain-documented", ("alias: acme:plain",)),
        ("acme/plain", ("prefix 'acme/' stripped", "exact: acme:plain")),
        ("acme/plain-2026-01-31", ("prefix 'acme/' stripped", "date '-2026-01-31' stripped", "exact: acme:plain")),
        ("plain@20260131", ("date '@20260131' stripped", "exact: acme:plain")),
        ("plain-latest", ("suffix '-latest' stripped", "exact: acme:plain")),
        ("dots-1-5", ("alias (spelling): acme:dots-1.5",)),
        ("ft:plain:me::1", ("fine-tuned: ft:plain", "exact: acme:ft:plain")),
    ],
)
def test_the_steps_taken_are_told_in_order(tmp_path, model, steps):
    assert match(PriceBook.load(write(tmp_path), cache=None), "acme", model).steps == steps


def test_a_spelling_that_stands_for_two_entries_stands_for_none(tmp_path):
    twins = "provider: acme\nsources: {page: {title: Page, read_on: 2026-11-01}}\nmodels:\n" + "".join(
        f"  {name}: {{aliases: [both], prices: [{{source: page, rates: {{input: 1}}}}]}}\n" for name in ("a.1", "a-1")
    )
    book = PriceBook.load(write(tmp_path, acme=twins), cache=None)
    assert match(book, "acme", "a.1").name == "a.1"
    assert match(book, "acme", "both").model is None
    assert match(book, "acme", "a_1").model is None


def test_a_region_finds_the_entry_of_its_zone(book):
    assert match(book, "azure", "gpt-6-sol", "us").entry == "azure:us/gpt-6-sol"
    assert match(book, "azure", "gpt-6-sol", "eastus2").entry == "azure:gpt-6-sol"  # a region is no price zone


WORDS = st.sampled_from(["gpt-5-mini", "claude-opus-5-5", "gemini-2.5-pro", "o3"])
HOMES = {"gpt-5-mini": "openai", "claude-opus-5-5": "anthropic", "gemini-2.5-pro": "google", "o3": "openai"}


@settings(max_examples=60, deadline=None)
@given(WORDS, st.dates(date(2000, 1, 1), date(2099, 12, 31)), st.sampled_from(["-%Y%m%d", "-%Y-%m-%d", "@%Y%m%d"]))
def test_any_well_formed_date_resolves_to_the_same_entry(book, model, day, form):
    home = HOMES[model]
    plain = match(book, home, model)
    assert match(book, home, model + day.strftime(form)).name == plain.name
    assert match(book, home, f"{home}/{model}" + day.strftime(form)).name == plain.name


@settings(max_examples=60, deadline=None)
@given(WORDS, st.text("abcdefghijklmnopqrstuvwxyz", min_size=2, max_size=8))
def test_a_longer_name_is_never_taken_for_its_beginning(book, model, tail):
    found = match(book, HOMES[model], f"{model}-{tail}")
    assert found.model is None or found.name != model or tail in {"latest", "preview"}


def test_every_entry_is_found_by_its_own_name(book):
    for name in ("openai", "bedrock", "azure", "vertex", "openrouter"):
        file = book.provider(name)
        assert file is not None
        for model in file.models:
            assert match(book, name, model).name == model


def test_a_fine_tuned_deployment_of_azure_is_never_priced_as_its_base(book):
    found = match(book, "azure", "gpt-4o-mini-2024-07-18.ft-0123abcd")
    assert found.model is None
    assert found.steps == (
        "fine-tuned: azure lists no price for it, and its base's is another one: it is the user's to say",
    )
