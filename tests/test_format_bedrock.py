"""Bedrock invocation logs: every family's counts in one reading, however the record was delivered."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

from costaudit.ingest import ingest

LOG = sample("bedrock.jsonl")


def record(body, asked=None, **more):
    return {"schemaType": "ModelInvocationLog", "timestamp": "2026-09-01T08:00:00Z", "requestId": "r-1",
            "modelId": "m", "operation": "InvokeModel", "input": {"inputBodyJson": asked or {}},
            "output": {"outputBodyJson": body}} | more  # fmt: skip


def one(*records):
    made = read(records)
    assert fates(made)["rejects"] == 0
    assert made.requests.height == 1
    return made.requests.row(0, named=True)


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 1, "rollups": 0, "rejects": 0}
    assert made.fates.lines == len(LOG) + 1  # a delivery of two records is one line
    # Converse 120 + 800 + 400 and 60 + 1,200; Claude 20 + 1,000, its stream 30; Llama 12; Titan 4; gpt-oss 70 of which
    # 32 cached; counts without bodies 500; throttled: unknown; batch 20 + 1,000
    inputs = [1_320, 1_260, 1_020, 30, 12, 4, 70, 500, 1_020]
    assert spent(made) == (
        10,
        sum(inputs),
        800 + 1_200 + 1_000 + 32 + 1_000,
        400,
        45 + 5 + 3 + 9 + 7 + 6 + 20 + 40 + 3,
        0,
    )
    assert window(made) == ("2026-09-01 08:00:01", "2026-09-01 08:00:09")
    assert set(made.requests["provider"]) == {"bedrock"}
    assert made.requests.filter(status="error")["error_type"].to_list() == ["ThrottlingException"]


def test_tools_of_converse_meet_their_results_and_chain():
    first, second = read(LOG[:2]).requests.to_dicts()
    assert second["block_sha"][: len(first["block_sha"]) + 1] == [*first["block_sha"], first["reply_sha"]]
    assert first["tool_calls"][0]["id"] == second["tool_results"][0]["id"]
    assert second["tool_results"][0]["error"] is False
    assert (first["tenant"], first["task"], first["run_id"]) == ("northwind", "sort", "run-1")
    assert (first["cache_write_5m_tokens"], first["cache_write_1h_tokens"]) == (300, 100)


METERED = {"type": "chunk", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 6, "outputTokenCount": 2}}
OPAQUE = "arn:aws:bedrock:us-east-1:0:application-inference-profile/x"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        # input, read, written, output
        ({"usage": {"inputTokens": 120, "outputTokens": 450, "totalTokens": 9_170, "cacheReadInputTokens": 8_000,
                    "cacheWriteInputTokens": 600}}, (8_720, 8_000, 600, 450)),
        ({"usage": {"inputTokens": 9, "outputTokens": 4, "cacheReadInputTokenCount": 5}}, (14, 5, None, 4)),
        ({"usage": {"input_tokens": 3, "cache_read_input_tokens": 7, "output_tokens": 2}}, (10, 7, None, 2)),
        ({"usage": {"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 7}}},
         (10, 7, None, 2)),
        ({"inputTextTokenCount": 6, "results": [{"tokenCount": 2}, {"tokenCount": 3}]}, (6, None, None, 5)),
        ({"inputTextTokenCount": 6, "embedding": [0.1]}, (6, None, None, None)),
        ({"prompt_token_count": 6, "generation_token_count": 2}, (6, None, None, 2)),
        ({"meta": {"billed_units": {"input_tokens": 6, "output_tokens": 2}}}, (6, None, None, 2)),
        ([METERED, "[DONE]"],
         (6, None, None, 2)),
        ({"generation": "no counts"}, (None, None, None, None)),
    ],
)  # fmt: skip
def test_every_family_is_counted_in_its_own_words(body, tokens):
    row = one(record(body))
    assert tuple(row[f"{name}_tokens"] for name in ("input", "cache_read", "cache_write", "output")) == tokens


def test_without_bodies_the_records_own_counts_stand():
    bare = record(None) | {
        "input": {"inputTokenCount": 5, "cacheReadInputTokenCount": 3},
        "output": {"outputTokenCount": 2},
    }
    row = one(bare)
    assert (row["input_tokens"], row["cache_read_tokens"], row["output_tokens"]) == (8, 3, 2)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda r: {"@timestamp": "2026-09-01", "@message": json.dumps(r)},
        lambda r: {"message": json.dumps(r), "logGroup": "bedrock"},
        lambda r: {"logEvents": [{"id": "1", "message": json.dumps(r)}]},
        lambda r: {"detail": r},
    ],
    ids=["Insights", "shipper", "Firehose", "nested"],
)
def test_a_record_is_the_same_call_however_it_was_shipped(wrap):
    plain = json.loads(LOG[0])
    want, got = one(plain), one(wrap(plain))
    for name, value in want.items():
        assert name.startswith("source_") or got[name] == value, name


@pytest.mark.parametrize(
    ("model", "body", "priced"),
    [
        (CLAUDE, {"model": "claude-sonnet-4-5-48k"}, CLAUDE),
        (OPAQUE, {"model": "claude-haiku-4-5"}, "claude-haiku-4-5"),
        (OPAQUE, {}, OPAQUE),
    ],
)  # fmt: skip
def test_the_price_goes_by_the_id_unless_the_id_says_nothing(model, body, priced):
    row = one(record(body | {"usage": {"input_tokens": 1, "output_tokens": 1}}, modelId=model))
    assert (row["model"], row["model_requested"]) == (priced, model)


def test_provisioned_models_are_marked():
    row = one(record({"prompt_token_count": 1}, modelId="arn:aws:bedrock:us-east-1:0:provisioned-model/x"))
    assert row["service_tier"] == "provisioned"


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("elastic-three-operations.jsonl", (3, 320 + 859 + 0, 0, 0, 300 + 15 + 0, 0)),
        ("nova-lite-converse-stream.json", (1, 4, 0, 0, 38, 0)),
    ],
)
def test_real_records_read_right(shared, name, calls):
    made = ingest([shared / "formats" / "bedrock" / name])
    assert spent(made) == calls
    assert fates(made)["rejects"] == 0


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
