"""The Messages API: cache beside input, counts of a stream that replace each other, steps that stand apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import fates, mangled, read, sample, spent, window

from costaudit.ingest import anthropic_messages
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Found

LOG = sample("anthropic-messages.jsonl")
LATER = "2026-09-01T08:00:00Z"


def message(usage, **more):
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
            "stop_reason": "end_turn", "content": [{"type": "text", "text": "Hello"}],
            "usage": usage} | more  # fmt: skip


def one(*records):
    made = read(records)
    assert fates(made)["rejects"] == 0
    assert made.requests.height == 1
    return made.requests.row(0, named=True)


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}
    inputs = [10 + 200 + 3_000, 4 + 100 + 3_200, 50, 23_000, 180_000, 400, 900, 70]
    outputs = [90, 12, 15, 1_000, 3_500, 80, 60, 7]
    assert spent(made) == (9, sum(inputs), 6_200, 300, sum(outputs), 0)
    assert window(made) == ("2026-09-01 08:00:00", "2026-09-01 08:00:09")
    assert made.requests["provider"].drop_nulls().unique().sort().to_list() == ["anthropic", "bedrock"]
    assert made.requests.filter(status="error").select("http_status", "error_type").rows() == [
        (529, "overloaded_error")
    ]


def test_a_run_of_the_sample_chains_and_its_tool_meets_its_result():
    first, second = read(LOG[:2]).requests.to_dicts()
    assert second["block_sha"][: len(first["block_sha"]) + 1] == [*first["block_sha"], first["reply_sha"]]
    assert first["tool_calls"][0]["id"] == second["tool_results"][0]["id"]
    assert (first["user"], first["finish_reason"]) == ("user-17", "tool_calls")


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        # input, read, written, of which 5 minutes, 1 hour
        ({"input_tokens": 3, "output_tokens": 1}, (3, None, None, None, None)),
        ({"input_tokens": 3, "cache_read_input_tokens": 7, "output_tokens": 1}, (10, 7, None, None, None)),
        ({"input_tokens": 5, "cache_creation_input_tokens": 3904, "cache_read_input_tokens": 30000,
          "cache_creation": {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 3504}},
         (33909, 30000, 3904, 400, 3504)),
        # Writes of no stated lifetime stay in the total.
        ({"input_tokens": 5, "cache_creation_input_tokens": 4000,
          "cache_creation": {"ephemeral_5m_input_tokens": 500, "ephemeral_1h_input_tokens": 2500}},
         (4005, None, 4000, 500, 2500)),
        # A split that is more than its total: the total is billed, divided as the split is.
        ({"input_tokens": 5, "cache_creation_input_tokens": 600,
          "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 800}},
         (605, None, 600, 0, 600)),
        ({"input_tokens": 5, "cache_creation_input_tokens": 600,
          "cache_creation": {"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 900}},
         (605, None, 600, 150, 450)),
        # A total of 0 beside a split is none.
        ({"input_tokens": 5, "cache_creation_input_tokens": 0,
          "cache_creation": {"ephemeral_5m_input_tokens": 7, "ephemeral_1h_input_tokens": 0}},
         (12, None, 7, 7, 0)),
        ({"input_tokens": None, "output_tokens": None}, (None, None, None, None, None)),
    ],
)  # fmt: skip
def test_cached_input_is_added_to_the_input_it_stands_beside(usage, tokens):
    row = one(message(usage))
    names = ("input", "cache_read", "cache_write", "cache_write_5m", "cache_write_1h")
    assert tuple(row[f"{name}_tokens"] for name in names) == tokens


BEGUN = {"input_tokens": 50, "cache_read_input_tokens": 20, "output_tokens": 2}
START = {"type": "message_start", "message": message(BEGUN, content=[], stop_reason=None)}
TEXT = [
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": t}} for t in ("Hel", "lo")),
]
END = [
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 9, "input_tokens": None},
    },
    {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 15}},
    {"type": "message_stop"},
]


@pytest.mark.parametrize(
    "lines",
    [
        [json.dumps(e) for e in (START, *TEXT, *END)],
        [text for e in (START, *TEXT, *END) for text in (f"event: {e['type']}", f"data: {json.dumps(e)}", "")],
        [json.dumps({"ts": LATER, "event": e}) for e in (START, *TEXT, *END)],
        # Gateways that fill what they do not know with 0: counts only grow.
        [json.dumps(e) for e in (START, *TEXT, *END, END[-2] | {"usage": dict.fromkeys([*BEGUN], 0)})],
    ],
    ids=["bare", "server-sent events", "wrapped", "zeros"],
)
def test_a_streamed_message_is_the_same_call_as_a_whole_one(lines):
    streamed = one(*lines)
    whole = one(message({"input_tokens": 50, "cache_read_input_tokens": 20, "output_tokens": 15}))
    for name in ("input_tokens", "cache_read_tokens", "output_tokens", "output_sha", "finish_reason", "model"):
        assert streamed[name] == whole[name], name


def test_streams_that_share_a_log_are_told_apart_by_their_records():
    other = json.loads(json.dumps(START).replace("msg_1", "msg_2"))
    events = zip((START, *TEXT, *END), (other, *TEXT, *END), strict=True)
    made = read([{"request_id": name, "event": e} for pair in events for name, e in zip("ab", pair, strict=True)])
    assert spent(made) == (2, 140, 40, 0, 30, 0)


def test_streamed_tool_input_comes_in_pieces_of_json():
    block = {"type": "tool_use", "id": "t", "name": "find", "input": {}}
    pieces = [
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": p}}
          for p in ('{"a"', ": 1}")),
    ]  # fmt: skip
    used = [{"type": "tool_use", "id": "t", "name": "find", "input": {"a": 1}}]
    assert one(START, *pieces, *END)["tool_calls"] == one(message({"input_tokens": 1}, content=used))["tool_calls"]


def test_a_stream_that_broke_off_keeps_the_input_it_was_billed_for():
    row = one(START, *TEXT)
    assert (row["input_tokens"], row["finish_reason"]) == (70, None)


def test_compaction_steps_are_calls_of_their_own():
    # The documented example: 23,000 / 1,000 above, 180,000 / 3,500 in the step: 207,500 tokens in all.
    made = read([line for line in LOG if "compaction" in line])
    assert spent(made) == (2, 203_000, 0, 0, 4_500, 0)
    assert made.requests["request_id"].to_list() == ["msg_01D", "msg_01D:compaction:1"]
    assert made.requests["parent_id"].to_list() == [None, "msg_01D"]


def test_an_advisor_is_billed_at_its_own_model():
    made = read([line for line in LOG if "advisor" in line])
    assert made.requests.select("model", "input_tokens", "service_tier").rows() == [
        ("claude-sonnet-5", 400, "fast"),
        ("claude-opus-5", 900, None),
    ]


def test_the_same_message_delivered_again_with_its_steps_is_counted_once():
    made = read(LOG, LOG)
    assert spent(made)[0] == 10  # the failed call has no identity
    assert made.fates.balanced


@pytest.mark.parametrize(
    ("usage", "column", "value"),
    [
        ({"speed": "fast"}, "service_tier", "fast"),
        ({"speed": "standard", "service_tier": "standard"}, "service_tier", None),
        ({"service_tier": "priority"}, "service_tier", "priority"),
        ({"inference_geo": "us"}, "region", "us"),
        ({"inference_geo": "not_available"}, "region", None),
        ({"output_tokens_details": {"thinking_tokens": 4}}, "reasoning_tokens", 4),
        ({"server_tool_use": {"web_search_requests": 0}}, "extras", None),
    ],
)
def test_a_field_fills_its_column(usage, column, value):
    assert one(message({"input_tokens": 1, "output_tokens": 5} | usage))[column] == value


@pytest.mark.parametrize(
    ("change", "provider"),
    [
        ({}, "anthropic"),
        ({"id": "msg_bdrk_1"}, "bedrock"),
        ({"id": "msg_vrtx_1"}, "vertex"),
        ({"model": "deepseek-chat"}, None),
    ],
)
def test_the_platform_is_known_by_the_id(change, provider):
    assert one(message({"input_tokens": 1}, **change))["provider"] == provider


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced


MARKED = ["message_start", "message_delta", "ping", "content_block_delta", "message", None, [], 3]


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(MARKED),
            "usage": st.sampled_from([None, 3, {"iterations": []}, {"iterations": None}, {"x": {"iterations": [1]}}]),
            "content": st.sampled_from(['"ping"', "message_start", {"type": "ping", "usage": {"iterations": []}}]),
        },
    ),
    st.sampled_from([{}, {"type": "ping"}, {"usage": {"iterations": [1]}}]),
)
@settings(max_examples=60, deadline=None)
def test_a_large_record_is_taken_apart_if_and_only_if_its_own_keys_say_so(message, before):
    reader = anthropic_messages.MessageReader(anthropic_messages.AnthropicMessages(), LogFile(Path("x"), "x"), Found())
    text = json.dumps(before)[:-1] + ", " * bool(before) + json.dumps(message | {"pad": "x" * 5_000})[1:]
    value = json.loads(text)
    usage = value.get("usage")
    steps = isinstance(usage, dict) and isinstance(usage.get("iterations"), list)
    odd = not isinstance(usage, dict | None)  # of no shape that is known: looked at in full
    special = value.get("type") in anthropic_messages.EVENTS or value.get("type") == "ping" or steps
    assert reader._special(Record(1, 0, text.encode())) == (special or odd)


def test_a_large_event_and_a_large_message_with_steps_are_read_as_small_ones_are(monkeypatch):
    padded = [json.dumps({"pad": "x" * 5_000} | json.loads(line)) for line in LOG]
    large = read(padded)
    monkeypatch.setattr(anthropic_messages, "LARGE", 1 << 30)
    small = read(padded)
    assert large.requests.drop("source_file").equals(small.requests.drop("source_file"))
    assert (large.fates, large.rejects.height) == (small.fates, small.rejects.height)
