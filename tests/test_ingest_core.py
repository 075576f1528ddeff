"""Field tables, identity, fingerprints, estimates: what every format stands on."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import polars as pl
import pytest
from console import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from costaudit import schema
from costaudit.ingest import _messages, _prompt, _results, _tokens, _values, ingest
from costaudit.ingest._decode import Decoder
from costaudit.ingest._identity import ROWS, collapse

UTC_NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


# --- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "2026-10-01T12:00:00Z",
        "2026-10-01T14:00:00+02:00",
        "2026-10-01 12:00:00",
        "2026-10-01T12:00:00.0000000Z",
        "2026-10-01 12:00:00 UTC",
        1_790_856_000,
        1_790_856_000.0,
        "1790856000",
        1_790_856_000_000,
        1_790_856_000_000_000,
        1_790_856_000_000_000_000,
        "1790856000000000000",
        [1_790_856_000, 0],
        datetime(2026, 10, 1, 12),
    ],
)
def test_a_moment_is_read_in_any_spelling(value):
    assert _values.moment(value) == UTC_NOON


@pytest.mark.parametrize("value", ["soon", -1, 1e300, float("nan"), True, {}, "0001-01-01T00:00:00Z", 10**30])
def test_what_is_no_moment_is_refused(value):
    with pytest.raises(ValueError, match="not a time"):
        _values.moment(value)


@pytest.mark.parametrize(("value", "tokens"), [(7, 7), ("7", 7), (7.0, 7), ("7.0", 7), ("", None), ("null", None)])
def test_a_count_is_read_in_any_spelling(value, tokens):
    assert _values.count(value) == tokens


@pytest.mark.parametrize("value", [-1, 1.5, True, "many", 2**60, float("inf"), [7]])
def test_what_is_no_count_is_refused(value):
    with pytest.raises(ValueError, match="not a token count"):
        _values.count(value)


def test_dollars_stay_exact():
    assert _values.usd("$1,234.000000000000000001") == Decimal("1234.000000000000000001")


# --- the compiled table ---------------------------------------------------------------------------------------------

PATHS = [("a",), ("b", "c"), ("b", "d", "e"), ("x", "0", "y"), ("f", "g"), ("f",)]
keys = st.sampled_from(["a", "b", "c", "d", "e", "f", "g", "x", "y", "0"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@given(record=st.dictionaries(keys, values, max_size=6))
@settings(max_examples=300)
def test_the_typed_decoder_and_the_plain_walk_see_the_same_values(record):
    decoder = Decoder(PATHS)
    try:
        typed = decoder.typed(json.dumps(record).encode())
    except msgspec.ValidationError:
        return  # a shape the typed decoder does not expect is left to the plain walk
    assert typed == decoder.plain(record)


# --- identity -------------------------------------------------------------------------------------------------------


def copy(key, **columns):
    return {"_key": key, "format": "f", "source_file": "a", "source_line": 1, "output_tokens": 1} | columns


def collapsed(*copies):
    return collapse(schema.conform(pl.DataFrame(list(copies), infer_schema_length=None), ROWS))


def test_the_most_complete_copy_wins_whole_and_lends_nothing_to_its_usage():
    done = collapsed(
        copy("k", input_tokens=10, output_tokens=3, cache_read_tokens=9, source_line=1),
        copy("k", input_tokens=10, output_tokens=7, source_line=2),
    )
    usage = done.requests.select("input_tokens", "output_tokens", "cache_read_tokens").row(0)
    assert usage == (10, 7, None)


@pytest.mark.parametrize("rank", [0, 1, None])
def test_of_copies_with_the_same_totals_the_one_that_tells_their_parts_stays(rank):
    gateway = copy("k", input_tokens=10, format="gateway", source_file="a", _rank=1)
    tracer = copy("k", input_tokens=10, cache_read_tokens=9, format="tracer", source_file="b", _rank=rank)
    other = copy("k", input_tokens=12, output_tokens=1, cache_read_tokens=9, format="zero", source_file="c", _rank=-1)
    for copies in ([gateway, tracer], [tracer, gateway], [other, tracer, gateway]):
        row = collapsed(*copies).requests.row(0, named=True)
        assert (row["input_tokens"], row["cache_read_tokens"], row["format"]) == (10, 9, "tracer")
        assert row["_rank"] == rank  # met again in a store, it stands where it stood among the others


def test_a_call_that_any_reading_knew_to_restate_others_does():
    # A store has met the span without the spans below it, and meets it again with them.
    for known in ([None, True], [True, None]):
        done = collapsed(*(copy("span 1", source_line=n, rollup=rollup) for n, rollup in enumerate(known)))
        assert done.requests["rollup"].to_list() == [True]


def test_what_one_logger_knows_and_the_other_does_not_is_kept():
    done = collapsed(
        copy(
            "k", output_tokens=7, tenant="acme", source_file="gateway", started_at=datetime(2026, 1, 1, 1, tzinfo=UTC)
        ),
        copy("k", output_tokens=5, task="triage", source_file="app", started_at=datetime(2026, 1, 1, 0, tzinfo=UTC)),
    )
    row = done.requests.row(0, named=True)
    assert (row["tenant"], row["task"], row["output_tokens"], row["started_at"].hour) == ("acme", "triage", 7, 0)


def test_rows_without_identity_are_never_merged():
    assert collapsed(copy(None), copy(None), copy(None)).requests.height == 3


def test_copies_are_counted_with_the_reason():
    done = collapsed(
        copy("k", output_tokens=9),
        copy("k", source_line=2),
        copy("k", source_file="b"),
        copy("k", source_file="b", format="g"),
    )
    assert sorted(done.duplicates.select("reason", "count").rows()) == [
        ("another copy of the same response", 1),
        ("the same call in another log", 1),
        ("the same record in another file", 1),
    ]


@given(
    keys=st.lists(st.sampled_from(["k", "l", "m", None]), min_size=1, max_size=20),
    tokens=st.lists(st.integers(0, 5), min_size=20, max_size=20),
    seed=st.randoms(use_true_random=False),
)
def test_the_order_of_records_does_not_matter(keys, tokens, seed):
    rows = [copy(k, output_tokens=t, source_line=n) for n, (k, t) in enumerate(zip(keys, tokens, strict=False))]
    shuffled = list(rows)
    seed.shuffle(shuffled)
    sort = ["source_line", "output_tokens"]
    one, other = collapsed(*rows), collapsed(*shuffled)
    assert one.requests.sort(sort).equals(other.requests.sort(sort))
    assert one.requests.height + one.duplicates["count"].sum() == len(rows)


def test_logs_of_every_format_side_by_side_give_the_calls_that_each_gives_alone():
    samples = ROOT / "sample_logs" / "formats"
    alone = [ingest([path]) for path in sorted(samples.iterdir())]
    together = ingest([samples])
    assert together.requests.height == sum(read.requests.height for read in alone)
    tokens = pl.concat([read.requests for read in alone]).select(pl.sum("input_tokens", "output_tokens"))
    assert together.requests.select(pl.sum("input_tokens", "output_tokens")).equals(tokens)
    assert together.fates.lines == sum(read.fates.lines for read in alone)
    assert together.fates.balanced


# --- fingerprints ---------------------------------------------------------------------------------------------------


def facts(messages, **parts):
    def raw(value):
        return None if value is None else json.dumps(value).encode()

    return _prompt.facts(
        raw(messages), raw(parts.get("system")), raw(parts.get("tools")), None, [], raw(parts.get("answer"))
    )


USER = {"role": "user", "content": "hello"}
TOOL = {"id": "t1", "type": "function", "function": {"name": "look", "arguments": '{"q": 1.0, "p": "x "}'}}


@pytest.mark.parametrize(
    ("answer", "echo"),
    [
        (
            [{"message": {"role": "assistant", "content": "hi", "refusal": None}}],
            {"role": "assistant", "content": "hi"},
        ),
        (
            [{"message": {"role": "assistant", "content": None, "tool_calls": [TOOL]}}],
            {"role": "assistant", "content": "", "tool_calls": [TOOL]},
        ),
        ([{"type": "text", "text": "hi"}], {"role": "assistant", "content": [{"type": "text", "text": "hi"}]}),
        ([{"type": "text", "text": "hi"}], {"role": "assistant", "content": "hi"}),
        (
            [{"type": "thinking", "thinking": "…"}, {"type": "tool_use", "id": "t", "name": "look", "input": {"q": 1}}],
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "look", "input": {"q": 1.0}}]},
        ),
        (
            [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}],
            {"role": "assistant", "content": [{"type": "output_text", "text": "hi"}]},
        ),
        ([{"content": {"role": "model", "parts": [{"text": "hi"}]}}], {"role": "model", "parts": [{"text": "hi"}]}),
    ],
)
def test_an_answer_and_its_echo_in_the_next_call_are_the_same_block(answer, echo):
    first = facts([USER], answer=answer)
    second = facts([USER, echo, USER])
    assert second["block_sha"][1] == first["reply_sha"]
    assert second["block_sha"][0] == first["block_sha"][0]


def test_arguments_are_the_same_whatever_their_spacing_order_and_number_form():
    assert _messages.args_sha('{"p": "x", "q": 1}') == _messages.args_sha({"q": 1.0, "p": " x "})
    assert _messages.args_sha({"q": 1}) != _messages.args_sha({"q": 2})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("done at 12:00:01 in 35 ms", "done at 13:10:44 in 9 ms", True),
        ("id 0f8fad5b-d9cb-469f-a165-70867728950e", "id 7c9e6679-7425-40de-944b-e07fc1f90ae7", True),
        ("at 2026-10-01T12:00Z\n12:00:01,5 ok", "at 2026-11-02T09:30Z\n13:10:44 ok", True),
        ("took 1.5 seconds (é)", "took 9 seconds (é)", True),
        ("x12:00:01", "x13:10:44", False),  # part of a word
        (r"C:\n12:00:01", r"C:\n13:10:44", False),  # a backslash and an n, no line feed
        ("port 8s0", "port 9s0", False),
        ("page 1 of 9", "page 2 of 9", False),
        ("3 rows", "4 rows", False),
    ],
)
def test_a_result_is_the_same_but_for_clocks_and_ids_and_counters_are_kept(one, other, same):
    assert (_results.result_sha(one) == _results.result_sha(other)) is same


def test_the_same_template_with_other_values_is_one_family():
    def family(text):
        return facts([{"role": "system", "content": text}, USER])["template_sha"]

    assert family("It is 2026-10-01. Serve order 17.") == family("It is 2026-11-23. Serve order 4011.")
    assert family("Sort the tickets.") != family("Answer the tickets.")


# --- estimates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "text", "tokens"),
    [
        ("gpt-4o", "hello world", 2),
        ("gpt-4", "hello world", 2),
        ("gpt-4", "antidisestablishmentarianism", 6),
        (None, "", 0),
        ("gpt-4o", "\ud800", 1),
    ],
)
def test_estimates_are_those_of_the_published_vocabulary(model, text, tokens):
    assert abs(_tokens.estimate(text, model) - tokens) <= (1 if "\ud800" in text else 0)


def test_a_call_with_text_and_no_counts_is_estimated_and_marked(tmp_path):
    record = {
        "request": {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello world"}]},
        "response": {
            "id": "c1",
            "object": "chat.completion",
            "created": 1_790_856_000,
            "model": "gpt-4o",
            "choices": [{"message": {"role": "assistant", "content": "hello world"}, "finish_reason": "stop"}],
        },
    }
    (tmp_path / "log").write_text(json.dumps(record))
    row = ingest([tmp_path]).requests.row(0, named=True)
    assert (row["usage_source"], row["input_tokens"], row["output_tokens"]) == ("tokenizer", 2 + _tokens.PER_MESSAGE, 2)
