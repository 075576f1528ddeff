"""OpenRouter: the activity export and generation records, with the counts that are billed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import SAMPLES, fates, read, spent, window

from costaudit.ingest import ingest

SAMPLE = SAMPLES / "openrouter.csv"


def test_the_sample_reads_as_it_is_meant():
    made = ingest([SAMPLE])
    assert fates(made) == {"duplicates": 1, "rollups": 0, "rejects": 1}
    assert spent(made) == (3, 1_000 + 300 + 120, 800, 0, 200 + 40 + 5, 64)
    assert window(made) == ("2026-09-01 08:00:00", "2026-09-01 08:00:09")
    assert made.requests["model"].to_list() == [
        "openai/gpt-4.1-2025-04-14",
        "meta-llama/llama-3.3-70b-instruct:free",
        "openai/gpt-4.1-mini-2025-04-14",
    ]
    assert made.requests["status"].to_list() == ["ok", "ok", "cancelled"]
    assert set(made.requests["provider"]) == {"openrouter"}
    assert made.requests["ttft_s"].to_list() == [0.31, None, None]


GENERATION = {"id": "gen-1788249600-a1b2c3", "created_at": "2026-09-01T08:00:00Z", "model": "openai/gpt-4.1",
              "total_cost": 0.0045, "tokens_prompt": 950, "tokens_completion": 190, "native_tokens_prompt": 1000,
              "native_tokens_completion": 200, "native_tokens_cached": 800, "native_tokens_reasoning": 64}  # fmt: skip


@pytest.mark.parametrize("record", [GENERATION, {"data": GENERATION}])
def test_native_counts_are_what_is_billed(record):
    assert spent(read([record])) == (1, 1_000, 800, 0, 200, 64)


def test_the_export_and_the_applications_own_log_are_one_call(tmp_path):
    (tmp_path / "export.csv").write_bytes(SAMPLE.read_bytes())
    (tmp_path / "app.jsonl").write_text(
        '{"id":"gen-1788249600-a1b2c3","object":"chat.completion","created":1788249600,"model":"openai/gpt-4.1",'
        '"choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":200}}'
    )
    made = ingest([tmp_path])
    assert (made.requests.height, made.fates.duplicates) == (3, 2)
    assert made.requests["cache_read_tokens"].sum() == 800


ROWS = SAMPLE.read_bytes().splitlines()


@given(
    st.lists(
        st.tuples(st.sampled_from(ROWS[1:]), st.integers(0, 250), st.binary(max_size=3)).map(
            lambda cut: (cut[0][: cut[1]] + cut[2] + cut[0][cut[1] :]).replace(b"\0", b" ")
        ),
        max_size=6,
    )
)
@settings(max_examples=30, deadline=None)
def test_no_row_is_lost_whatever_stands_in_it(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("openrouter") / "log.csv"
    path.write_bytes(b"\n".join([*ROWS[:2], *rows]))
    assert ingest([path]).fates.balanced


def test_providers_asked_in_vain_are_attempts_and_sums_of_days_are_no_calls():
    made = read([
        {"data": {"id": "gen-1", "model": "openai/gpt-5", "tokens_prompt": 100, "native_tokens_prompt": 120,
                  "native_tokens_completion": 12, "created_at": "2026-09-02T08:00:00Z",
                  "provider_responses": [{"status": 503}, {"status": 200}]}},
        {"date": "2026-09-02", "model": "openai/gpt-5", "usage": 1.5, "byok_usage_inference": 0, "requests": 10,
         "prompt_tokens": 100, "completion_tokens": 10},
    ])  # fmt: skip
    assert made.requests.select("attempt", "input_tokens").rows() == [(2, 120)]
    assert made.fates.skipped == {"daily sum of calls": 1}


@pytest.mark.parametrize(
    ("paid", "usd"),
    [
        ({"is_byok": True, "upstream_inference_cost": 0.005}, "0.008"),  # its provider was paid 0.005, OpenRouter 0.003
        ({"is_byok": False, "upstream_inference_cost": 0.005}, "0.003"),
        ({"byok_usage_inference": "0.005"}, "0.008"),
    ],
)
def test_what_a_call_on_a_key_of_ones_own_cost_is_paid_in_two_places(paid, usd):
    call = {"id": "gen-1", "model": "openai/gpt-5", "tokens_prompt": 100, "native_tokens_prompt": 120,
            "native_tokens_completion": 12, "created_at": "2026-09-02T08:00:00Z", "total_cost": 0.003}  # fmt: skip
    assert read([call | paid]).requests["cost_logged_usd"].item() == Decimal(usd)
