"""Chat Completions: one call one row, whatever server sent it, whole or in chunks."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from samples import SAMPLES, fates, mangled, read, sample, spent, window

from costaudit.ingest import ingest

LOG = sample("openai-chat.jsonl")
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}


def answer(**more):
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_788_249_600, "model": "gpt-4o",
            "choices": [CHOICE], "usage": usage} | more  # fmt: skip


def one(*records):
    made = read(records)
    assert fates(made)["rejects"] == 0
    assert made.requests.height == 1
    return made.requests.row(0, named=True)


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 1, "rollups": 0, "rejects": 1}
    assert made.fates.skipped == {"chat.completion.chunk": 4}
    # 1,200 + 1,290 + (429: unknown) + 300 + 2,000 + 10,120 + 10,000 + 400 + 500; at xAI 1,500 + 2,800 hidden
    assert spent(made) == (
        9,
        25_810,
        1_024 + 1_280 + 128 + 9_000,
        0,
        30 + 48 + 6 + 900 + 4_300 + 500 + 100 + 200,
        3_440,
    )
    assert window(made) == ("2026-09-01 08:00:00", "2026-09-01 08:01:10")
    assert made.requests["provider"].to_list() == [None] * 6 + ["deepseek", "openrouter", None]
    assert made.requests["service_tier"].drop_nulls().to_list() == ["flex"]
    assert made.requests["status"].value_counts().sort("status").rows() == [("error", 1), ("ok", 8)]


def test_a_run_of_the_sample_chains_and_its_tool_meets_its_result():
    first, second = read(LOG[:2]).requests.to_dicts()
    assert second["block_sha"][: len(first["block_sha"]) + 1] == [*first["block_sha"], first["reply_sha"]]
    assert first["tool_calls"][0]["id"] == second["tool_results"][0]["id"]
    assert (first["task"], first["tenant"], first["run_id"]) == ("answer", "northwind", "run-1")
    assert (first["ended_at"] - first["started_at"]).total_seconds() == 0.9


def chunks(*deltas, usage=None, **more):
    made = [{"id": "c1", "object": "chat.completion.chunk", "created": 1_788_249_600, "model": "gpt-4o",
             "choices": [{"index": 0, "delta": delta, "finish_reason": None}], "usage": None} | more
            for delta in deltas]  # fmt: skip
    return made if usage is None else [*made, made[0] | {"choices": [], "usage": usage}]


USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


PIECES = ({"content": "Ye"}, {"content": "s."})


@pytest.mark.parametrize(
    "lines",
    [
        [json.dumps(c) for c in chunks(*PIECES, usage=USAGE)],
        ["data: " + json.dumps(c) for c in chunks(*PIECES, usage=USAGE)] + ["data: [DONE]"],
        [json.dumps({"ts": "2026-09-01", "chunk": c}) for c in chunks(*PIECES, usage=USAGE)],
        [json.dumps(c) for c in chunks(*PIECES, usage=USAGE, id="")],
        # A server that repeats a running count on every chunk: the last one counts, never the sum.
        [json.dumps(c | {"usage": {"prompt_tokens": 10, "completion_tokens": n}})
         for n, c in zip((2, 5), chunks(*PIECES), strict=True)],
        # Moonshot's server counts inside the choice.
        [json.dumps(c | {"choices": [c["choices"][0] | {"usage": u}]})
         for c, u in zip(chunks(*PIECES), (None, USAGE), strict=True)],
    ],
    ids=["bare", "server-sent events", "wrapped", "without ids", "running counts", "counts in the choice"],
)  # fmt: skip
def test_a_streamed_answer_is_the_same_call_as_a_whole_one(lines):
    whole, streamed = one(answer()), one(*lines)
    assert (streamed["input_tokens"], streamed["output_tokens"]) == (10, 5)
    assert streamed["output_sha"] == whole["output_sha"]
    assert streamed["streamed"]


def test_the_pieces_of_a_streamed_tool_call_are_one_call_with_whole_arguments():
    name, start, rest = ({"index": 0, **piece} for piece in (
        {"id": "t1", "function": {"name": "find", "arguments": ""}},
        {"function": {"arguments": '{"a"'}}, {"function": {"arguments": ": 1}"}}))  # fmt: skip
    streamed = one(*chunks(*({"tool_calls": [piece]} for piece in (name, start, rest)), usage=USAGE))
    call = {"id": "t1", "function": {"name": "find", "arguments": '{"a": 1}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    assert streamed["tool_calls"] == one(answer(choices=[CHOICE | {"message": message}]))["tool_calls"]


def test_a_stream_that_broke_off_is_unmetered_and_not_free():
    row = one(*chunks({"content": "Ye"}))
    assert (row["input_tokens"], row["output_tokens"], row["usage_source"]) == (None, None, "absent")


def test_an_unmetered_stream_with_its_prompt_is_estimated_and_says_so():
    request = {"model": "gpt-4o", "messages": [{"role": "user", "content": "one two three"}]}
    row = one(*({"request": request, "response": c} for c in chunks({"content": "four "}, {"content": "five"})))
    assert (row["usage_source"], row["output_tokens"]) == ("tokenizer", 2)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 100, "completion_tokens": 50}, (100, None, 50, None)),
        ({"prompt_tokens": 100, "completion_tokens": 50, "prompt_tokens_details": None}, (100, None, 50, None)),
        ({"prompt_tokens": 100, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 60}},
         (100, 60, 50, None)),
        # Reasoning is inside the completion …
        ({"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
          "completion_tokens_details": {"reasoning_tokens": 40}}, (100, None, 50, 40)),
        # … except where the total says that it is not: 100 + 50 + 40 = 190.
        ({"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 190,
          "completion_tokens_details": {"reasoning_tokens": 40}}, (100, None, 90, 40)),
        ({"prompt_tokens": 100, "completion_tokens": 50, "prompt_cache_hit_tokens": 90}, (100, 90, 50, None)),
        ({"prompt_tokens": 100, "completion_tokens": 50, "cached_tokens": 80}, (100, 80, 50, None)),  # Kimi's way
    ],
)  # fmt: skip
def test_cached_input_and_reasoning_are_counted_once(usage, tokens):
    row = one(answer(usage=usage))
    names = ("input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens")
    assert tuple(row[name] for name in names) == tokens


@pytest.mark.parametrize(
    ("model", "total", "output"),
    [
        ("gemini-2.5-flash", 553, (533, 382)),  # 20 in, 151 said; what the total has beyond them was thought
        ("google/gemini-3.1-pro-preview", 553, (533, 382)),
        ("gemini-2.5-flash", 171, (151, None)),
        ("not-gemini-2.5", 553, (151, None)),  # a total that nothing explains changes no count
    ],
)
def test_thoughts_of_gemini_in_this_dialect_stand_in_the_total_alone(model, total, output):
    row = one(answer(model=model, usage={"prompt_tokens": 20, "completion_tokens": 151, "total_tokens": total}))
    assert (row["output_tokens"], row["reasoning_tokens"]) == output


@pytest.mark.parametrize(
    ("details", "extras"),
    [
        ({"prompt_tokens_details": {"audio_tokens": 0}}, None),
        ({"prompt_tokens_details": {"audio_tokens": 8}}, {"input_audio": 8}),
        # 8 audio tokens, 3 of them from the cache
        ({"prompt_tokens_details": {"audio_tokens": 8, "cached_tokens_details": {"audio_tokens": 3}}},
         {"input_audio": 5, "cache_read_audio": 3}),
        ({"completion_tokens_details": {"audio_tokens": 2, "image_tokens": 1}}, {"output_audio": 2, "output_image": 1}),
        ({"num_search_queries": 4, "citation_tokens": 30, "search_context_size": "high"},
         {"search_queries": 4, "citation": 30, "requests": 1}),
        ({"server_tool_use": {"web_search_requests": 2}}, {"web_search": 2}),
    ],
)  # fmt: skip
def test_what_is_billed_beside_text_tokens_is_listed_by_class(details, extras):
    row = one(answer(usage=USAGE | details))
    listed = {item["class"]: int(item["quantity"]) for item in row["extras"] or ()}
    assert listed == (extras or {})


def test_an_answer_that_cites_the_web_made_a_search():
    cited = {"role": "assistant", "content": "x", "annotations": [{"type": "url_citation"}, {"type": "url_citation"}]}
    row = one(answer(choices=[CHOICE | {"message": cited}]))
    assert row["extras"] == [{"class": "web_search", "quantity": Decimal(1)}]


@pytest.mark.parametrize(
    ("record", "provider", "region"),
    [
        (answer(), None, None),
        ({"base_url": "https://eu.api.openai.com/v1", "response": answer()}, "openai", "eu"),
        ({"api_base": "https://acme.openai.azure.com/", "response": answer()}, "azure", None),
        ({"base_url": "https://evil-api.x.ai.example.com", "response": answer()}, None, None),
        ({"provider": "Together", "response": answer()}, "together", None),
        (answer(id="gen-1", model="openai/gpt-4o", provider="Azure"), "openrouter", None),
        (answer(x_groq={"id": "req_1"}), "groq", None),
        (answer(choices=[CHOICE | {"content_filter_results": {"hate": {"filtered": False}}}]), "azure", None),
    ],
)
def test_the_server_is_known_by_its_address_or_its_marks(record, provider, region):
    row = one(record)
    assert (row["provider"], row["region"]) == (provider, region)


def test_a_request_that_got_an_error_is_a_failed_call_and_bills_nothing():
    request = {"model": "gpt-4o", "messages": [{"role": "user", "content": "a"}]}
    row = one({"request": request, "error": {"type": "rate_limit_error"}, "status_code": 429})
    assert (row["status"], row["http_status"], row["error_type"], row["usage_source"]) == (
        "error", 429, "rate_limit_error", "absent")  # fmt: skip
    assert row["model_requested"] == "gpt-4o"
    assert row["request_sha"] is not None


@pytest.mark.parametrize(
    "response",
    [
        {"status": 429, "body": {"error": {"type": "rate_limit_error"}}},
        {"status": 429, "error": {"code": "rate_limit_error"}},
    ],
)
def test_an_error_in_place_of_the_answer_is_a_failed_call_too(response):
    record = {"request": {"model": "gpt-4o", "messages": [{"role": "user", "content": "a"}]}, "response": response}
    for log in ([record], [{"request": record["request"], "response": answer()}, record]):
        row = read(log).requests.sort("http_status", nulls_last=True).row(0, named=True)
        assert (row["status"], row["http_status"], row["error_type"]) == ("error", 429, "rate_limit_error")


@pytest.mark.parametrize("gap", ["", " ", "\n  "])
def test_any_spacing_of_the_json_reads_alike(tmp_path, gap):
    text = json.dumps(answer(), separators=(f",{gap}", f":{gap}"))
    (tmp_path / "log.json").write_text(text)
    assert spent(ingest([tmp_path])) == (1, 10, 0, 0, 5, 0)


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("chat-completion-default.json", (1, 19, 0, 0, 10, 0)),
        ("chat-completion-functions.json", (1, 82, 0, 0, 17, 0)),
        ("chat-completion-image-input.json", (1, 1_117, 0, 0, 46, 0)),
        ("chat-completion-logprobs.json", (1, 9, 0, 0, 9, 0)),
        ("chat-completion-streaming.txt", (1, 0, 0, 0, 0, 0)),
    ],
)
def test_real_answers_read_right(shared, name, calls):
    made = ingest([shared / "formats" / "openai-api" / name])
    assert spent(made) == calls
    assert fates(made)["rejects"] == (1 if name.endswith(".txt") else 0)  # a line of dots


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced


def test_the_sample_file_is_what_is_tested():
    assert ingest([SAMPLES / "openai-chat.jsonl"]).requests.height == 9


RESPONSE = {
    "object": "chat.completion", "created": 1_760_000_000, "model": "gpt-4o", "choices": [],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5},
}  # fmt: skip


@pytest.mark.parametrize("word", ["None", "null", "undefined", "unknown", ""])
def test_the_word_for_no_id_makes_no_call_a_copy_of_another(word):
    made = read([RESPONSE | {"id": word}, RESPONSE | {"id": word}])
    assert made.requests.height == 2
    assert made.requests["request_id"].to_list() == [None, None]


def test_ids_out_of_a_thousand_are_those_of_their_second():
    # Ollama's: `chatcmpl-` and a random number below 999.
    calls = [RESPONSE | {"id": "chatcmpl-7", "created": 1_760_000_000 + n // 2} for n in range(4)]
    made = read(calls, calls[:1])
    assert (made.requests.height, made.fates.duplicates) == (2, 3)
