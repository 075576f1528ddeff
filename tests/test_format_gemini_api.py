"""generateContent: thoughts and tool results beside the totals, and chunks of which the last may know less."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

from costaudit.ingest import ingest

LOG = sample("gemini-api.jsonl")


def answer(usage, text="Yes.", finish="STOP", **more):
    content = {"role": "model", "parts": [{"text": text}]}
    return {"candidates": [{"content": content, "finishReason": finish}], "usageMetadata": usage} | more


def one(*records):
    made = read(records)
    assert fates(made)["rejects"] == 0
    assert made.requests.height == 1
    return made.requests.row(0, named=True)


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}
    assert made.fates.skipped == {"chunk of a stream": 1}
    inputs = [1_200, 700, 400, 800 + 1_000, 600, 90, 30]
    outputs = [20 + 300, 0 + 70, 9, 60 + 10, 40, 2, 0]
    assert spent(made) == (7, sum(inputs), 1_000, 0, sum(outputs), 300 + 70 + 10)
    assert window(made) == ("2026-09-01 08:00:00", "2026-09-01 08:00:16")
    calls = {row["request_id"]: row for row in made.requests.to_dicts()}
    assert calls["g-0001"]["finish_reason"] == "tool_calls"
    assert calls["g-0005"]["service_tier"] == "priority"
    assert [(e["class"], int(e["quantity"])) for e in calls["g-0005"]["extras"]] == [("input_audio", 500)]
    assert (calls["g-0005"]["provider"], calls["g-0001"]["provider"]) == ("vertex", "google")
    assert calls["g-0006"]["service_tier"] == "batch"
    assert calls["g-0007"]["finish_reason"] == "content_filter"
    assert (calls["g-0001"]["task"], calls["g-0001"]["max_tokens"]) == ("read", 200)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        # input, read, output, reasoning
        ({"promptTokenCount": 12_262, "cachedContentTokenCount": 10_000, "candidatesTokenCount": 242,
          "thoughtsTokenCount": 1_500, "totalTokenCount": 14_004}, (12_262, 10_000, 1_742, 1_500)),
        ({"promptTokenCount": 100, "candidatesTokenCount": 5}, (100, None, 5, None)),
        ({"promptTokenCount": 100, "totalTokenCount": 100}, (100, None, 0, None)),
        ({"promptTokenCount": 100, "toolUsePromptTokenCount": 40, "candidatesTokenCount": 5}, (140, None, 5, None)),
        ({"prompt_token_count": 100, "candidates_token_count": 5, "thoughts_token_count": 3}, (100, None, 8, 3)),
        ({"promptTokenCount": 100, "responseTokenCount": 7}, (100, None, 7, None)),
    ],
)  # fmt: skip
def test_what_stands_beside_the_totals_is_added_once(usage, tokens):
    name = "usage_metadata" if "prompt_token_count" in usage else "usageMetadata"
    row = one({"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}], name: usage})
    assert tuple(row[f"{n}_tokens"] for n in ("input", "cache_read", "output", "reasoning")) == tokens


CHUNKS = [
    answer({"promptTokenCount": 50, "thoughtsTokenCount": 9}, "Ye", None, responseId="r-000000001"),
    answer({"promptTokenCount": 50, "candidatesTokenCount": 4}, "s.", "STOP", responseId="r-000000001"),
]  # fmt: skip


@pytest.mark.parametrize(
    "records",
    [
        CHUNKS,
        [{"method": "generateContentStream", "response": CHUNKS}],
        [{"request": {"contents": []}, "chunks": CHUNKS}],
        [{k: v for k, v in chunk.items() if k != "responseId"} for chunk in CHUNKS],
        ["data: " + json.dumps(chunk) for chunk in CHUNKS],
    ],
    ids=["one a line", "list", "list in a home-made record", "without ids", "server-sent events"],
)
def test_each_count_of_a_stream_is_the_largest_of_its_chunks(records):
    row = one(*records)
    assert (row["input_tokens"], row["output_tokens"], row["reasoning_tokens"]) == (50, 4 + 9, 9)
    assert row["output_sha"] == one(answer({"promptTokenCount": 1}))["output_sha"]


@pytest.mark.parametrize(("model", "fees"), [("gemini-2.5-pro", 1), ("gemini-3.8-flash", 3), ("gemini-10-pro", 3)])
def test_grounding_is_billed_by_the_answer_or_by_the_query(model, fees):
    grounded = answer({"promptTokenCount": 1}, modelVersion=model)
    grounded["candidates"][0]["groundingMetadata"] = {"webSearchQueries": ["a", "b", "c"]}
    assert [(e["class"], int(e["quantity"])) for e in one(grounded)["extras"]] == [("web_search", fees)]


def test_cached_audio_is_taken_out_of_the_audio():
    usage = {"promptTokenCount": 100, "cachedContentTokenCount": 40,
             "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 90}, {"modality": "TEXT", "tokenCount": 10}],
             "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 40}],
             "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 7}]}  # fmt: skip
    found = {e["class"]: int(e["quantity"]) for e in one(answer(usage))["extras"]}
    assert found == {"input_audio": 50, "cache_read_audio": 40, "output_image": 7}


@pytest.mark.parametrize(
    ("usage", "finish", "read"),
    [
        ({"promptTokensDetails": [{"modality": "TEXT", "tokenCount": 9}]}, "STOP", 0),
        ({"promptTokensDetails": [{"modality": "TEXT", "tokenCount": 9}], "cachedContentTokenCount": 4}, "STOP", 4),
        ({}, "STOP", None),  # a log that keeps some counts may have dropped this one
        ({"promptTokensDetails": [{"modality": "TEXT", "tokenCount": 9}]}, None, None),  # it comes with the last chunk
    ],
)
def test_a_whole_answer_that_names_no_cached_content_read_none(usage, finish, read):
    assert one(answer({"promptTokenCount": 9} | usage, finish=finish))["cache_read_tokens"] == read


@pytest.mark.parametrize(
    ("around", "tier"),
    [
        ({"key": "case-7"}, "batch"),
        ({"key": "case-7", "request": {"contents": []}}, "batch"),
        ({"key": "team-a", "ts": "2026-11-05T10:00:00Z"}, None),  # a log's own key: a batch job writes no time
        ({"key": "case-7", "processed_time": "2026-11-05T10:00:00Z"}, "batch"),
    ],
)
@pytest.mark.parametrize("created", [{}, {"createTime": "2026-11-05T09:59:58Z"}])
def test_a_key_beside_an_answer_is_a_batch_jobs_where_no_time_is(around, tier, created):
    assert one(around | {"response": answer({"promptTokenCount": 9}) | created})["service_tier"] == tier


def test_an_answer_chains_with_the_request_that_sends_it_back():
    asked = [{"role": "user", "parts": [{"text": "a"}]}]
    first = one({"request": {"contents": asked}, "response": answer({"promptTokenCount": 1})})
    again = [*asked, {"role": "model", "parts": [{"text": "Yes."}]}, {"role": "user", "parts": [{"text": "b"}]}]
    second = one({"request": {"contents": again}, "response": answer({"promptTokenCount": 1})})
    assert second["block_sha"][1] == first["reply_sha"]


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        # The second chunk of the first answer has lost its 70 thoughts.
        (
            "context-compress-interactive.compress.responses.jsonl",
            (4, 27_010, 11_883, 0, 70 + 268 + 424 + 424, 70 + 44),
        ),
        # 8,186 + 8,207 of the search tool = 16,393; 16,468 in all with 65 + 10
        ("flicker-detector.max-height.responses.jsonl", (3, 1_173 + 12_226 + 16_393, 5_360, 0, 171 + 46 + 75, 151)),
        ("hooks-system.multiple-events.responses.jsonl", (4, 51_053, 36_607, 0, 119 + 0 + 0 + 227, 91 + 223)),
        ("json-output.error.responses.jsonl", (2, 24_891, 0, 0, 222 + 3, 164)),
    ],
)
def test_real_answers_read_right(shared, name, calls):
    made = ingest([shared / "formats" / "gemini-api" / name])
    assert spent(made) == calls
    assert fates(made)["rejects"] == 0


def test_answers_without_what_was_said_are_a_call_each():
    """A log that keeps no text has counts and nothing that ends a stream: three calls, not the largest of them."""
    counts = [{"promptTokenCount": n, "candidatesTokenCount": 1, "totalTokenCount": n + 1} for n in (100, 200, 300)]
    bare = [{"modelVersion": "gemini-2.5-flash", "usageMetadata": usage} for usage in counts]
    assert spent(read(bare))[:2] == (3, 600)
    assert spent(read([{"ts": "2026-09-05T11:00:00Z", "response": answer} for answer in bare]))[:2] == (3, 600)


def test_the_last_piece_of_a_stream_may_have_counts_alone():
    said = {"candidates": [{"content": {"parts": [{"text": "Yes"}]}}], "modelVersion": "gemini-2.5-flash"}
    last = {"modelVersion": "gemini-2.5-flash", "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 1}}
    assert spent(read([said, last])) == (1, 100, 0, 0, 1, 0)


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced


def test_lines_of_a_batch_without_an_answer_are_calls_that_failed():
    good = answer({"promptTokenCount": 100, "candidatesTokenCount": 5}, responseId="r")
    made = read([{"key": "a", "response": good}, {"key": "b", "error": {"code": 3, "message": "bad", "status": "X"}}])
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}
    assert made.requests.sort("input_tokens")["status"].to_list() == ["error", "ok"]
    assert set(made.requests["service_tier"]) == {"batch"}
    job = {"request": {"contents": []}, "status": "", "response": good, "processed_time": "2026-09-01T08:00:00.5Z"}
    assert window(read([job])) == ("2026-09-01 08:00:00", "2026-09-01 08:00:00")
