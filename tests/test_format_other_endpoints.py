"""Pictures, transcripts and ranks: what is billed beside text, and answers that name neither model nor time."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent

from costaudit import pipeline
from costaudit.config import Settings
from costaudit.price.engine import price

IMAGES, SPEECH, RANKS = (sample(f"{name}.jsonl") for name in ("openai-images", "openai-transcriptions", "rerank"))
PAGES = sample("mistral-ocr.jsonl")
CLEAN = {"duplicates": 0, "rollups": 0, "rejects": 0}
M = 1_000_000


def costs(log):
    calls = price(read(log).requests, pipeline.prices(Settings()))
    return dict(calls.select("request_id", "cost_usd").iter_rows())


def extras(log):
    return {
        r["request_id"]: {e["class"]: e["quantity"] for e in r["extras"] or ()} for r in read(log).requests.to_dicts()
    }


def test_pictures_cost_what_their_tokens_cost():
    made = read(IMAGES)
    assert fates(made) == CLEAN
    assert spent(made) == (4, 50 + 12 + 8, 0, 0, 1_056 + 1_100 + 272, 0)
    cost = costs(IMAGES)
    assert cost["req_img_1"] == (10 * Decimal(5) + 40 * Decimal(10) + 1_056 * Decimal(40)) / M
    assert cost["req_img_2"] == (12 * Decimal(5) + 44 * Decimal(10) + 1_056 * Decimal(32)) / M
    assert cost["req_img_3"] == (8 * Decimal(2) + 272 * Decimal(8)) / M
    assert made.requests.filter(model="dall-e-3")["usage_source"].item() == "absent"
    assert set(made.requests["task"]) == {"banner", None}


def test_sound_is_billed_by_the_token_or_by_the_second():
    made = read(SPEECH)
    assert fates(made) == CLEAN
    assert spent(made) == (4, 16 + 13, 0, 0, 45 + 9, 0)
    assert extras(SPEECH) == {
        "req_tr_1": {"input_audio": 14}, "req_tr_2": {"audio_seconds": 90},
        "req_tr_3": {"audio_seconds": Decimal("12.5")}, "event_tr_4": {"input_audio": 13},
    }  # fmt: skip
    cost = costs(SPEECH)
    assert cost["req_tr_1"] == (2 * Decimal("2.5") + 14 * Decimal(6) + 45 * Decimal(10)) / M
    assert cost["req_tr_2"] == 90 * Decimal("0.36") / 3_600


def test_the_length_of_what_is_counted_in_tokens_is_not_billed_again():
    row = json.loads(SPEECH[0])
    row["response"] |= {"duration": 90.0, "language": "english", "segments": []}
    assert extras([row]) == {"req_tr_1": {"input_audio": 14}}


@pytest.mark.parametrize("length", ["90", -1, True, [], 1e300])
def test_a_length_that_is_none_costs_the_line(length):
    row = json.loads(SPEECH[1])
    row["response"]["usage"]["seconds"] = length
    made = read([row, SPEECH[0]])
    assert (spent(made)[0], sum(made.fates.rejects.values())) == (1, 1)


def test_rerankers_bill_what_they_read():
    made = read(RANKS)
    assert fates(made) == CLEAN
    assert spent(made) == (3, 815 + 26 + 1_837, 0, 0, 0, 0)
    assert made.requests.sort("source_line")["provider"].to_list() == ["jina-ai", "voyageai", "together"]
    assert costs(RANKS)["req_rr_2"] == 26 * Decimal("0.05") / M


def test_the_total_of_a_reranker_is_its_input():
    row = json.loads(RANKS[0])
    row["response"]["usage"] = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 815}
    assert spent(read([row])) == (1, 815, 0, 0, 0, 0)


def test_a_reranker_that_tells_searches_bills_them():
    row = json.loads(RANKS[2]) | {"provider": "openrouter"}
    row["response"]["usage"] = {"search_units": 1, "total_tokens": 150, "cost": 0.001}
    call = read([row]).requests.row(0, named=True)
    assert [(e["class"], e["quantity"]) for e in call["extras"]] == [("rerank_search", 1)]
    assert (call["input_tokens"], call["cost_logged_usd"]) == (0, Decimal("0.001"))


def test_documents_are_billed_by_the_page():
    made = read(PAGES)
    assert (fates(made), spent(made)) == (CLEAN, (2, 0, 0, 0, 0, 0))
    assert costs(PAGES) == {"req_ocr_1": Decimal(29) / 1_000, "req_ocr_2": 4 * Decimal(3) / 1_000}
    assert set(made.requests["task"]) == {"intake"}
    row = json.loads(PAGES[0])
    row["response"]["pages"][0]["images"] = [{"id": "i-1", "image_annotation": '{"kind":"chart"}'}]
    assert costs([row]) == {"req_ocr_1": 29 * Decimal(3) / 1_000}


@pytest.mark.parametrize("name", ["mistral-ocr", "openai-agents", "openai-images", "rerank"])
def test_vectors_among_others_keep_their_counts(name):
    vectors, others = sample("openai-embeddings.jsonl"), sample(f"{name}.jsonl")
    made = read([*others, *vectors])
    apart = zip(spent(read(others)), spent(read(vectors)), strict=True)
    assert (spent(made), sum(made.fates.rejects.values())) == (tuple(map(sum, apart)), 0)


@given(mangled([*IMAGES, *SPEECH, *RANKS, *PAGES]))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
