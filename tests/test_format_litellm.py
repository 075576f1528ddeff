"""LiteLLM: payloads and spend rows of one gateway are the same calls, with the provider's counts inside them."""

from __future__ import annotations

import csv
import json

import polars as pl
import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

from costaudit.attribute import attribute
from costaudit.config import Settings
from costaudit.ingest import ingest

LOG = sample("litellm.jsonl")
PAYLOADS, ROWS = [json.loads(line) for line in LOG[:6]], [json.loads(line) for line in LOG[6:8]]


def one(record, **more):
    made = read([record | more])
    assert fates(made)["rejects"] == 0
    return made.requests.row(0, named=True)


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 1, "rollups": 0, "rejects": 1}
    assert made.fates.skipped == {"call_mcp_tool": 1}
    # Payloads 1,000 + 17,111 + cache hit 1,000 + failure 0 + 1,000; rows 3 × 500 of which 384 read each
    assert spent(made) == (8, 21_611, 17_002 + 3 * 384, 100, 50 + 40 + 50 + 0 + 50 + 3 * 100, 12)
    assert window(made) == ("2026-09-01 08:00:01", "2026-09-01 09:00:03")
    assert made.requests["gateway_cache_hit"].fill_null(value=False).sum() == 1
    assert made.requests["tenant"].to_list() == [
        "northwind",
        "contoso",
        "northwind",
        None,
        "northwind",
        *["support"] * 3,
    ]


def test_what_the_gateway_answered_from_its_own_cache_is_no_copy_of_the_call_it_repeats():
    made = read([PAYLOADS[0], PAYLOADS[2]])
    assert made.fates.duplicates == 0
    assert made.requests["gateway_cache_hit"].to_list() == [None, True]


def test_a_payload_and_the_providers_own_answer_are_one_call():
    made = read([PAYLOADS[0]], [PAYLOADS[0]["response"] | {"created": 1_788_249_600}])
    assert made.fates.duplicates_by_reason == {"the same call in another log": 1}


def test_cached_input_beside_uncached_text_is_inside_the_prompt():
    row = one(PAYLOADS[1])  # 9 + 17,002 + 100 = 17,111
    assert (row["input_tokens"], row["convention"]) == (17_111, "proved")
    assert (row["cache_write_5m_tokens"], row["cache_write_1h_tokens"]) == (60, 40)
    assert row["ttft_s"] == 0.5


def test_text_tokens_of_other_providers_prove_nothing():
    usage = {"prompt_tokens_details": {"cached_tokens": 600, "text_tokens": 1000}}
    assert one(PAYLOADS[0], metadata={"usage_object": usage})["input_tokens"] == 1_000


def test_an_old_writer_that_left_cached_input_out_is_found_out():
    usage = {"cache_read_input_tokens": 5_000}
    row = one(PAYLOADS[0], metadata={"usage_object": usage}, custom_llm_provider="bedrock")
    assert (row["input_tokens"], row["convention"]) == (6_000, "proved")


def test_redacted_prompts_are_no_prompts():
    row = one(PAYLOADS[1])
    assert (row["has_text"], row["request_sha"]) == (False, None)


def test_a_prompt_that_speaks_of_redaction_is_a_prompt():
    said = [{"role": "user", "content": "what is redacted-by-litellm? " + "please " * 200}]
    row = one(PAYLOADS[0], messages=said)
    assert (row["has_text"], row["request_sha"] is None) == (True, False)


def test_sessions_that_are_new_on_every_row_are_no_sessions():
    named = [ROWS[0], ROWS[1]]
    made_up = [row | {"session_id": f"random-{n}"} for n, row in enumerate(named)]
    known, invented = (attribute(read(rows).requests, Settings()).requests for rows in (named, made_up))
    assert set(known["run_id"]) == {"session-1"}
    assert set(invented["run_id"]) == {None}
    assert set(known["run_source"]) == {"log"}


@pytest.mark.parametrize("shape", ["csv", "lower-case csv", "parquet", "array"])
def test_a_dump_of_the_spend_table_reads_alike_in_any_shape(tmp_path, shape):
    rows = [{k: v for k, v in row.items() if v != ""} for row in ROWS]
    path = tmp_path / "dump"
    if shape == "parquet":
        pl.DataFrame(rows).write_parquet(path)
    elif shape == "array":
        path.write_text(json.dumps(rows))
    else:
        names = [name.lower() if shape.startswith("lower") else name for name in rows[0]]
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            writer.writerows(row.values() for row in rows)
    want, got = read(rows).requests, ingest([path]).requests
    same = [c for c in want.columns if not c.startswith("source_")]
    assert got.select(same).to_dicts() == want.select(same).to_dicts()


@pytest.mark.parametrize(
    ("change", "column", "value"),
    [
        ({"cache_hit": "True"}, "gateway_cache_hit", True),
        ({"cache_hit": "None"}, "gateway_cache_hit", None),
        ({"call_type": "aretrieve_batch"}, "service_tier", "batch"),
        ({"metadata": {"usage_object": {"speed": "fast"}}}, "service_tier", "fast"),
        ({"metadata": {"usage_object": {"inference_geo": "us"}}}, "region", "us"),
        ({"metadata": {"usage_object": {"prompt_tokens_details": {"audio_tokens": 9}}}}, "extras", "input_audio"),
        ({"status": "failure", "error_information": {"error_class": "Timeout"}}, "error_type", "Timeout"),
        ({"startTime": "2026-09-01T10:00:00+02:00"}, "started_at", "2026-09-01 08:00:00+00:00"),
    ],
)
def test_a_field_fills_its_column(change, column, value):
    found = one(PAYLOADS[0], **change)[column]
    if column == "extras":
        found = found[0]["class"]
    assert (str(found) if column == "started_at" else found) == value


def test_a_table_of_daily_sums_is_not_read_as_calls():
    made = read([{"date": "2026-09-01", "api_key": "k", "model": "gpt-4o", "prompt_tokens": 5, "completion_tokens": 5,
                  "spend": 1.0, "api_requests": 7}])  # fmt: skip
    assert made.requests.is_empty()


@pytest.mark.parametrize("name", ["spend_logs_payload.json", "standard_logging_payload.json"])
def test_real_records_read_right(shared, name):
    made = ingest([shared / "formats" / "litellm" / name])
    assert spent(made) == (1, 10, 0, 0, 20, 0)
    assert window(made) == ("2025-01-24 09:20:46", "2025-01-24 09:20:46")
    assert str(made.requests["cost_logged_usd"].item()) == "0.000225000000000000"


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced


def test_daily_sums_are_counted_and_never_billed():
    row = {
        "id": "u-1", "user_id": "ann", "date": "2026-09-02", "api_key": "8f1e", "model": "gpt-5", "spend": 1.5,
        "prompt_tokens": 100_000, "completion_tokens": 5_000, "api_requests": 70, "successful_requests": 69,
    }  # fmt: skip
    made = read([*LOG, row, row | {"api_key": "77aa"}])
    assert spent(made) == spent(read(LOG))
    assert made.fates.skipped["daily sum of calls"] == 2


def test_a_line_of_a_providers_batch_is_billed_as_batch():
    row = {
        "batch_id": "batch_1", "custom_id": "case-1", "status": "success", "model": "gpt-5", "response_cost": 0.01,
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 40}},
        "request": {"messages": [{"role": "user", "content": "x"}]},
        "response": {"id": "chatcmpl-b1", "choices": [{"message": {"content": "y"}, "finish_reason": "stop"}]},
    }  # fmt: skip
    made = read([row])
    assert spent(made) == (1, 100, 40, 0, 10, 0)
    columns = ("format", "service_tier", "instance_id", "request_id", "finish_reason")
    assert made.requests.select(columns).row(0) == ("litellm", "batch", "case-1", "chatcmpl-b1", "stop")


def test_a_dump_of_the_table_with_lower_case_names_is_read(tmp_path):
    header = "request_id,call_type,spend,prompt_tokens,completion_tokens,starttime,endtime,model,metadata,cache_hit"
    cells = '"{""additional_usage_values"": {""cache_read_input_tokens"": 40}}"'
    lines = [
        header,
        f"chatcmpl-1,acompletion,0.01,100,10,2026-09-02 08:00:00.1,2026-09-02 08:00:02,gpt-5,{cells},None",
        "chatcmpl-1_cache_hit17,acompletion,0,100,10,2026-09-02 08:00:03,2026-09-02 08:00:03,gpt-5,{},True",
    ]
    (tmp_path / "spend.csv").write_text("\n".join(lines))
    first, hit = ingest([tmp_path]).requests.to_dicts()
    assert (first["cache_read_tokens"], first["gateway_cache_hit"]) == (40, None)
    assert hit["gateway_cache_hit"]
    table = pl.read_csv(tmp_path / "spend.csv", try_parse_dates=True)
    (tmp_path / "spend.csv").unlink()
    table.write_parquet(tmp_path / "spend.parquet")
    again = ingest([tmp_path])
    assert spent(again) == (2, 200, 40, 0, 20, 0)
    assert again.requests["started_at"].to_list() == [first["started_at"], hit["started_at"]]


@pytest.mark.parametrize(
    ("given", "total", "rest", "input_tokens"),
    [
        (90, 120, None, 100),  # 30 fresh + 60 read, 10 written beside them: 90 + 10 + 20
        (90, 110, 30, 100),
        (100, 120, 30, 100),  # all of it inside
        (30, 120, None, 100),  # all of it beside
    ],
)
def test_reads_inside_and_writes_beside_the_prompt_are_told_by_the_total(given, total, rest, input_tokens):
    details = {"cached_tokens": 60, "cache_creation_tokens": 10, "text_tokens": rest}
    usage = {"prompt_tokens": given, "completion_tokens": 20, "total_tokens": total, "prompt_tokens_details": details}
    row = {
        "id": "msg-1", "call_type": "acompletion", "hidden_params": {}, "model_map_information": {},
        "response_cost": None, "custom_llm_provider": "bedrock", "model": "bedrock/us.anthropic.claude-haiku-4-5",
        "startTime": 1_788_336_000.5, "prompt_tokens": given, "completion_tokens": 20, "total_tokens": total,
        "metadata": {"usage_object": usage},
    }  # fmt: skip
    assert spent(read([row])) == (1, input_tokens, 60, 10, 20, 0)
