"""Usage objects of every API, read into the inclusive columns: who wrote the log decides what a number means."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costaudit.ingest._lifetimes import COLUMNS, settled, writes
from costaudit.ingest._usage import normalise

APIS = [
    "openai.chat", "openai.responses", "anthropic.messages", "google.generateContent", "bedrock.converse", "litellm",
    "deepseek.chat", "xai.chat", "perplexity.chat", "codex.token_count", "somebody.else",
]  # fmt: skip


@pytest.mark.parametrize(
    ("api", "usage", "columns"),
    [
        ("openai.chat", {}, {"input_tokens": 0, "output_tokens": 0}),
        ("openai.chat", {"prompt_tokens": 10, "completion_tokens": None, "prompt_tokens_details": None},
         {"input_tokens": 10, "output_tokens": 0}),
        ("openai.chat",
         {"prompt_tokens": 100, "completion_tokens": 50,
          "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": 30,
                                    "cached_tokens_details": {"audio_tokens": 10}},
          "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 20}},
         {"input_tokens": 100, "cache_read_tokens": 40, "output_tokens": 50, "reasoning_tokens": 5,
          "input_audio": 20, "cache_read_audio": 10, "output_audio": 20}),
        ("openai.realtime",
         {"input_tokens": 100, "output_tokens": 50, "input_token_details": {"cached_tokens": 64, "image_tokens": 20}},
         {"input_tokens": 100, "cache_read_tokens": 64, "output_tokens": 50, "input_image": 20}),
        ("mistral.chat", {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
         {"input_tokens": 7, "output_tokens": 3}),
        ("xai.chat", {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
                      "completion_tokens_details": {"reasoning_tokens": 2}},
         {"input_tokens": 10, "output_tokens": 5, "reasoning_tokens": 2}),  # inside: the total says so
        ("anthropic.messages",
         {"input_tokens": 1, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 4, "output_tokens": 8,
          "server_tool_use": {"web_search_requests": 3}, "output_tokens_details": {"thinking_tokens": 6}},
         {"input_tokens": 7, "cache_read_tokens": 2, "cache_write_tokens": 4, "output_tokens": 8,
          "reasoning_tokens": 6, "web_search": 3}),
        ("anthropic.messages",
         {"input_tokens": 1, "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 3}},
         {"input_tokens": 9, "cache_write_tokens": 8, "cache_write_5m_tokens": 5, "cache_write_1h_tokens": 3,
          "output_tokens": 0}),
        ("anthropic.messages",  # the total is billed, divided as the split is
         {"input_tokens": 1, "cache_creation_input_tokens": 4,
          "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 6}},
         {"input_tokens": 5, "cache_write_tokens": 4, "cache_write_5m_tokens": 1, "cache_write_1h_tokens": 3,
          "output_tokens": 0}),
        ("google.generateContent",
         {"promptTokenCount": 100, "cachedContentTokenCount": 40, "candidatesTokenCount": 10,
          "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 60}, {"modality": "AUDIO", "tokenCount": 40}],
          "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 15}],
          "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 9}]},
         {"input_tokens": 100, "cache_read_tokens": 40, "output_tokens": 10, "input_audio": 25, "cache_read_audio": 15,
          "output_image": 9}),
        ("google.generateContent", {"prompt_token_count": 5, "candidates_token_count": 2, "thoughts_token_count": 3},
         {"input_tokens": 5, "output_tokens": 5, "reasoning_tokens": 3}),
        ("bedrock.converse", {"inputTokens": 5, "outputTokens": 2, "cacheReadInputTokenCount": 3},
         {"input_tokens": 8, "cache_read_tokens": 3, "output_tokens": 2}),
        ("litellm", {"prompt_tokens": 5, "cache_read_input_tokens": 100, "completion_tokens": 1},
         {"input_tokens": 105, "cache_read_tokens": 100, "output_tokens": 1}),  # too small to hold them: beside it
        ("litellm", {"prompt_tokens": 20, "cache_creation_input_tokens": 10,
                     "prompt_tokens_details": {"cache_creation_token_details": {"ephemeral_1h_input_tokens": 4}}},
         {"input_tokens": 20, "cache_write_tokens": 10, "cache_write_5m_tokens": 6, "cache_write_1h_tokens": 4,
          "output_tokens": 0}),
        ("perplexity.chat",
         {"prompt_tokens": 3, "completion_tokens": 10, "reasoning_tokens": 70, "citation_tokens": 20,
          "num_search_queries": 2},
         {"input_tokens": 3, "output_tokens": 80, "reasoning_tokens": 70, "citation": 20, "web_search": 2}),
        ("codex.token_count",
         {"input_tokens": 9, "cached_input_tokens": 4, "output_tokens": 3, "reasoning_output_tokens": 1},
         {"input_tokens": 9, "cache_read_tokens": 4, "output_tokens": 3, "reasoning_tokens": 1}),
        ("somebody.else", {"input_tokens": 5, "cache_creation_input_tokens": 2, "output_tokens": 1},
         {"input_tokens": 7, "cache_write_tokens": 2, "output_tokens": 1}),  # told by its keys
    ],
)  # fmt: skip
def test_a_usage_object_is_read_as_its_writer_meant_it(api, usage, columns):
    assert normalise(api, usage) == columns


@pytest.mark.parametrize("count", [-1, 1.5, True, "7", [], {}])
def test_a_count_that_is_no_count_is_refused(count):
    with pytest.raises(ValueError, match="not a token count"):
        normalise("openai.chat", {"prompt_tokens": count})


COUNT = st.integers(0, 10**6) | st.none()
KEYS = [
    "prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens", "cache_read_input_tokens",
    "cache_creation_input_tokens", "cached_input_tokens", "reasoning_tokens", "promptTokenCount", "thoughtsTokenCount",
    "candidatesTokenCount", "inputTokens", "outputTokens", "cacheReadInputTokens", "prompt_cache_hit_tokens",
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(APIS), st.dictionaries(st.sampled_from(KEYS), COUNT))
def test_any_mixture_of_counts_gives_totals_and_no_negative_part(api, usage):
    columns = normalise(api, usage)
    assert {"input_tokens", "output_tokens"} <= columns.keys()
    assert all(isinstance(count, int) and count >= 0 for count in columns.values())


@pytest.mark.parametrize(
    ("logged", "read"),
    [
        # all writes, those that live 5 minutes, those that live an hour
        ((None, None, None), (None, None, None, False)),
        ((100, None, None), (100, None, None, False)),
        ((None, 60, None), (60, 60, None, False)),
        ((0, 60, 40), (100, 60, 40, False)),
        ((100, None, 60), (100, None, 60, False)),  # nobody knows how long the other 40 live
        ((100, 60, 80), (100, 43, 57, True)),  # what is billed, divided as the split is
    ],
)
def test_writes_are_all_of_them_and_no_more_than_their_lifetimes_say(logged, read):
    assert writes(*logged) == read
    both = pl.DataFrame([logged, (5, 5, 0)], schema=dict.fromkeys(COLUMNS, pl.Int64), orient="row")
    made = settled(both.with_columns(convention=pl.lit(None, pl.String)))
    assert made.select(COLUMNS).rows() == [read[:3], (5, 5, 0)]
    assert made["convention"].to_list() == ["assumed" if read[3] else None, None]
