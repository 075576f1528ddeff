"""TensorZero: a call is counted once, as its provider counted it, in the function and the episode it was made for."""

from __future__ import annotations

import csv
import json

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

from costaudit.ingest import ingest

LOG = sample("tensorzero.jsonl")
RECORDS = [json.loads(line) for line in LOG]
FIRST, SECOND, FUNCTION, ANSWER, CLAUDE = RECORDS[:5]
CALLS = [r for r in RECORDS if "model_name" in r]
QUIET = SECOND | {"response_time_ms": 1_000}


def one(call):
    return read([call]).requests.row(0, named=True)


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 1, "rollups": 1, "rejects": 1}
    given = 1_000 + 200 + (100 + 900 + 50) + 1_000 + 500 + 300
    assert spent(made) == (7, given, 400 + 900 + 400 + 300, 50, 50 + 10 + 30 + 50 + 20 + 40, 20 + 20)
    assert window(made) == ("2026-09-01 08:00:00", "2026-09-01 08:00:41")
    assert made.fates.skipped == {"inference": 3, "answer kept to be given again": 1}
    calls = {r["request_id"]: r for r in made.requests.to_dicts() if not r["rollup"]}
    first = calls["chatcmpl-tz-1"]
    assert (first["task"], first["tenant"], first["user"]) == ("triage", "northwind", "user-1")
    assert first["run_id"] == FUNCTION["episode_id"]
    assert (first["model"], first["model_requested"]) == ("gpt-4o-mini-2024-07-18", "gpt-4o-mini")
    assert calls["msg_tz_2"]["cache_write_1h_tokens"] == 30
    assert [r["gateway_cache_hit"] for r in made.requests.to_dicts() if r["gateway_cache_hit"]] == [True]
    judged = next(r for r in made.requests.to_dicts() if r["model"] == "deepseek-chat")
    assert (judged["environment"], judged["service_tier"]) == ("evaluation", "batch")
    assert made.notes == (
        "TensorZero: 1 call of Claude says nothing of cached input, which is fresh or in no count: export raw_response",
    )


def test_an_answer_is_the_sum_of_its_calls_whichever_of_the_rows_are_there():
    both = read([FIRST, SECOND, ANSWER, FUNCTION])
    for log in ([FIRST, SECOND], [FIRST, SECOND, ANSWER], [ANSWER, SECOND, FIRST], [FUNCTION, FIRST, SECOND]):
        assert spent(read(log)) == spent(both), log
        assert spent(read(*([row] for row in log))) == spent(both)  # a table a file
    alone = read([ANSWER, ANSWER]).requests.row(0, named=True)
    assert (alone["input_tokens"], alone["output_tokens"], alone["model"], alone["summed"]) == (1_200, 60, None, True)


def test_rows_that_are_joined_say_what_rows_beside_each_other_say():
    joined = FUNCTION | FIRST
    row, beside = one(joined), read([FIRST, FUNCTION]).requests.row(0, named=True)
    for name in ("task", "run_id", "user", "tenant", "input_tokens", "request_id"):
        assert row[name] == beside[name], name


def test_a_join_that_kept_the_inferences_id_is_no_one_call():
    rows = [QUIET | {"id": QUIET["inference_id"], "input_tokens": n} for n in (100, 200)]
    assert spent(read(rows))[:2] == (2, 300)


@pytest.mark.parametrize(
    ("provider", "read_", "written", "expected"),
    [
        ("openai", 150, None, (200, 150, None)),
        ("anthropic", 150, 50, (200, 150, 50)),  # versions that name them count them inside
        ("deepseek", 150, 50, (200, 150, None)),  # 50 were not in the cache
    ],
)
def test_cached_input_is_inside_the_input_where_it_is_counted(provider, read_, written, expected):
    counts = {"provider_cache_read_input_tokens": read_, "provider_cache_write_input_tokens": written}
    row = one(QUIET | {"model_provider_name": provider} | counts)
    assert (row["input_tokens"], row["cache_read_tokens"], row["cache_write_tokens"]) == expected


def answered(usage, **more):
    return QUIET | {"raw_response": json.dumps({"id": "r", "model": "m", **more, **usage})}


@pytest.mark.parametrize(
    ("call", "tokens"),
    [
        (answered({"usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 14,
                             "completion_tokens_details": {"reasoning_tokens": 3}}}), (9, None, 5, 3)),
        (answered({"usage": {"input_tokens": 9, "output_tokens": 2, "cache_read_input_tokens": 5}}, type="message"),
         (14, 5, 2, None)),
        (answered({"usage": {"input_tokens": 9, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 5}}},
                  object="response"), (9, 5, 2, None)),
        (answered({"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 2, "thoughtsTokenCount": 3,
                                     "cachedContentTokenCount": 5, "totalTokenCount": 14}}), (9, 5, 5, 3)),
        (answered({"usage": {"inputTokens": 4, "outputTokens": 2, "totalTokens": 11, "cacheReadInputTokens": 5}}),
         (9, 5, 2, None)),
        (answered({}), (200, None, 10, None)),
        (QUIET | {"raw_response": "no json"}, (200, None, 10, None)),
        (QUIET | {"raw_response": '{"usage": []}'}, (200, None, 10, None)),
    ],
)  # fmt: skip
def test_what_the_provider_said_is_what_it_bills(call, tokens):
    row = one(call)
    names = ("input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens")
    assert tuple(row[name] for name in names) == tokens


@pytest.mark.parametrize(
    ("said", "kept", "read_"),
    [
        # Who says nothing of a cache may have used one: unknown, unless the gateway's own count knows.
        ({"prompt_tokens": 2_000, "completion_tokens": 5, "total_tokens": 2_005}, None, None),
        ({"prompt_tokens": 2_000, "completion_tokens": 5, "total_tokens": 2_005}, 1_500, 1_500),
        ({"prompt_tokens": 2_000, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 0}}, None, 0),
    ],
)
def test_cached_input_that_a_provider_does_not_speak_of_is_unknown_and_not_nothing(said, kept, read_):
    raw = json.dumps({"id": "chatcmpl-x", "object": "chat.completion", "model": "gpt-5-mini", "usage": said})
    counts = {"input_tokens": 2_000, "output_tokens": 5, "provider_cache_read_input_tokens": kept}
    row = one(QUIET | counts | {"raw_response": raw})
    assert (row["input_tokens"], row["cache_read_tokens"], row["output_tokens"]) == (2_000, read_, 5)


def test_a_stream_says_its_usage_in_pieces():
    whole = one(CLAUDE)
    assert (whole["input_tokens"], whole["output_tokens"], whole["cache_write_tokens"]) == (1_050, 30, 50)
    assert (whole["model"], whole["provider"], whole["streamed"]) == ("claude-sonnet-4-5-20250929", None, True)


def test_an_answer_out_of_the_gateways_cache_is_no_copy_of_the_call_it_repeats():
    hit = FIRST | {"id": SECOND["id"], "cached": True}
    made = read([FIRST, hit])
    assert made.requests["gateway_cache_hit"].to_list() == [None, True]
    assert made.requests["cost_logged_usd"].is_null().to_list() == [False, True]  # what it would have been
    assert made.fates.duplicates == 0


def test_the_providers_own_log_of_a_call_is_the_same_call():
    own = json.loads(FIRST["raw_response"]) | {"created": 1788249600}
    made = read([FIRST], [own])
    assert (made.requests.height, made.fates.duplicates) == (1, 1)


@pytest.mark.parametrize(("given", "said"), [(0, 0), (None, None)])
def test_a_call_without_counts_is_unknown(given, said):
    row = one(QUIET | {"input_tokens": given, "output_tokens": said, "output": None, "input_messages": None})
    assert (row["input_tokens"], row["usage_source"]) == (None, "absent")


def test_an_answer_of_no_tokens_is_one_the_gateway_gave_itself():
    row = one(ANSWER | {"usage": {"input_tokens": 0, "output_tokens": 0}})
    assert row["gateway_cache_hit"] is True


@pytest.mark.parametrize(
    ("call", "start", "end"),
    [
        (FIRST, "08:00:00", "08:00:02"),  # its id was made as it ended
        (FIRST | {"id": FIRST["inference_id"][:-1] + "9"}, "08:00:00", "08:00:02"),  # or as it began
        (QUIET | {"id": "no uuid", "inference_id": "x", "timestamp": "2026-09-01 08:00:09"}, "08:00:08", "08:00:09"),
        (QUIET | {"response_time_ms": None}, "08:00:04", None),
    ],
)
def test_a_call_begins_with_its_inference_or_so_long_before_its_row(call, start, end):
    row = one(call)
    assert f"{row['started_at']:%H:%M:%S}" == start
    assert (f"{row['ended_at']:%H:%M:%S}" if row["ended_at"] else None) == end


def test_tables_as_csv_and_pages_read_the_same(tmp_path):
    rows = [{k: v for k, v in call.items() if v is not None} for call in (FIRST, SECOND)]
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        out = csv.DictWriter(file, sorted({name for row in rows for name in row}))
        out.writeheader()
        out.writerows(rows)
    assert spent(ingest([tmp_path])) == spent(read([FIRST, SECOND]))
    page = read([{"model_inferences": [FIRST, SECOND]}, {"inferences": [FUNCTION | {"type": "chat"}]}])
    assert spent(page) == spent(read([FIRST, SECOND]))
    assert set(page.requests["task"]) == {"triage"}


def test_a_page_with_a_count_that_is_none_is_one_reject():
    made = read([{"model_inferences": [FIRST, SECOND | {"input_tokens": -1}]}])
    assert (made.requests.height, fates(made)["rejects"]) == (0, 1)


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
