"""What is decoded by type is what the general way makes of the same JSON: messages, usage, columns of one kind."""

from __future__ import annotations

import json

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costaudit.ingest import _messages, _openai, _otel_prompt, _results, _talk, _transcript_rows, _values, _wire
from costaudit.ingest._columns import series
from costaudit.ingest._messages import answer_blocks
from costaudit.ingest._prompt import Prompt, PromptReader, columns, facts
from costaudit.ingest._values import Reader

texts = st.sampled_from(
    ["", "ok", "Error: no\n", "took 3.5 s at 10:11:12", '{"b": 1.0, "a": " x "}', "é\t\\ \x07", "[]"]
)
odd = st.none() | texts | st.integers(-1, 2) | st.lists(texts, max_size=1) | st.fixed_dictionaries({"text": texts})
parts = st.lists(st.fixed_dictionaries({"type": st.sampled_from(["text", "image"]), "text": texts}), max_size=2)
functions = st.fixed_dictionaries({}, optional={"name": texts, "arguments": texts | odd, "args": odd})
calls = st.fixed_dictionaries({}, optional={"id": texts, "type": texts, "index": odd, "function": functions | odd})
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool", "function", "", "other"])},
    optional={
        "content": st.none() | texts | parts | odd,
        "tool_calls": st.none() | st.lists(calls, max_size=2) | odd,
        "tool_call_id": texts | odd,
        "name": odd,
        "type": texts,
        "parts": odd,
        "is_error": odd,
        "function_call": functions | odd,
    },
)


@given(messages | odd)
@settings(max_examples=150, deadline=None)
def test_a_message_decoded_by_type_is_what_the_general_way_makes_of_it(said):
    data = msgspec.json.encode(said)
    assert _wire.block(data) == _wire.general(data)


@given(st.lists(st.fixed_dictionaries({}, optional={"message": messages | odd, "delta": odd}) | odd, max_size=2) | odd)
@settings(max_examples=100, deadline=None)
def test_an_answer_decoded_by_type_is_what_the_general_way_makes_of_it(said):
    assert _wire.replies(said) == _messages.answers(said)


@given(messages | odd)
@settings(max_examples=50, deadline=None)
def test_what_is_remembered_of_an_answer_is_what_its_echo_says(said):
    _wire.replies([{"message": said}])
    echo = msgspec.json.encode(said)
    told = _wire.conversation(b"[" + echo + b"]")
    assert told is not None
    assert told.blocks == [_wire.general(echo)]


@given(messages | odd)
@settings(max_examples=100, deadline=None)
def test_the_answer_of_a_span_decoded_by_type_is_what_the_general_way_makes_of_it(said):
    text = json.dumps([said])
    short = _otel_prompt._reply({"gen_ai.output.messages": text}, ["gen_ai.output.messages"])
    assert short is None or short == _wire.replies(_otel_prompt._answer(json.loads(text)))


def test_the_echo_of_an_answer_is_not_decoded_again(monkeypatch):
    said = {"role": "assistant", "content": "an answer that nobody else gives"}
    _wire.replies([{"message": said}])
    monkeypatch.setattr(_wire._CONVERSATIONS, "made", lambda data: pytest.fail(f"decoded: {data!r}"))
    assert _wire.conversation(b"[" + msgspec.json.encode(said) + b"]") is not None


blocks = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "tool_use", "thinking", "redacted_thinking", "tool_result"])},
    optional={
        "text": texts | odd,
        "thinking": texts | odd,
        "signature": odd,
        "id": texts | odd,
        "name": texts | odd,
        "input": odd | st.just({"b": [1.0, " x "], "a": {"é": None}}),
        "tool_use_id": texts,
        "content": texts | odd,
    },
)


@given(st.lists(blocks, max_size=3))
@settings(max_examples=150, deadline=None)
def test_content_blocks_decoded_by_type_are_what_the_general_way_makes_of_them(said):
    raws = list(map(msgspec.json.encode, said))
    assert _wire.content_answer(raws) == answer_blocks(b"[" + b",".join(raws) + b"]")


@given(
    st.sampled_from(["user", "assistant", "system"]),
    st.lists(blocks | odd, max_size=2) | odd,
    st.sampled_from(["", " "]),
)
@settings(max_examples=100, deadline=None)
def test_a_row_whose_blocks_are_decoded_in_one_go_says_what_it_says_in_two(kind, content, space):
    row = {"type": kind, "message": {"id": "m", "content": content}}
    data = json.dumps(row, separators=("," + space, ":" + space)).encode()
    quick = _transcript_rows.decode(data, 0, len(data), memoryview(data))
    plain = _transcript_rows.decode_plain(data, 0, len(data), memoryview(data))
    if kind == "assistant":
        said = (_transcript_rows.content_blocks(row.message.content) for row in (quick, plain))
    else:
        said = (_transcript_rows.results(row.message.content) for row in (quick, plain))
    assert next(said) == next(said)
    quick.message = plain.message = None
    assert msgspec.structs.astuple(quick) == msgspec.structs.astuple(plain)


def test_a_message_of_chat_completions_takes_the_short_way(monkeypatch):
    monkeypatch.setattr(_wire, "general", None)
    for said in (
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "function": {"name": "f"}}]},
        {"role": "tool", "tool_call_id": "a", "content": "Error"},
    ):  # fmt: skip
        assert _wire.block(msgspec.json.encode(said)).role == said["role"]


READER = PromptReader(
    Prompt(messages=("self:messages", "self:input"), system=("self:system",), answer=("self:choices",)), {"self": ()}
)


@given(st.lists(st.tuples(odd | st.lists(messages, max_size=3), odd, odd, odd | parts), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_the_prompts_of_a_batch_are_those_of_its_calls_one_by_one(rows):
    def raw(value):
        return None if value is None else msgspec.Raw(msgspec.json.encode(value))

    def said(*values):
        known = (
            msgspec.json.encode(value, order="deterministic") for value in values if value not in (None, "", [], {})
        )
        return next(known, None)

    cells = [(raw(m), raw(i), raw(s), a) for m, i, s, a in rows]
    batch = columns(READER.facts(list(zip(*cells, strict=True)), len(rows)))
    alone = [facts(said(m, i), said(s), None, None, (), said(a)) for m, i, s, a in rows]
    for name, column in batch.items():
        assert column.equals(series(name, [row.get(name) for row in alone], column.dtype), check_names=True)


numbers = st.sampled_from([None, 0, 1, 12, -1, 2.0, 2.5, True, "3", "x", 10**400, float("inf"), 2**40 + 1])
times = st.sampled_from(
    [None, 0, 1_700_000_000, 1_700_000_000.25, 4_102_444_799.9999995, 10**12, "",
     "2026-10-01T10:11:12Z", "2026-10-01T10:11:12.5+00:00",
     "2026-10-01T10:11:12+02:00", "2026-10-01", "20261001", "2026-10-01 10:11:12 UTC", "1999-01-01T00:00:00Z", "soon"]
)  # fmt: skip
ALONE = [_values.COUNT, _values.NUMBER, _values.FLAG, _values.MOMENT, _values.TEXT]


@pytest.mark.parametrize("reader", [*ALONE, *(Reader(r.dtype, _values.lenient(r.one)) for r in ALONE)])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_column_of_one_kind_is_read_as_its_values_are(reader, data):
    kinds = data.draw(st.sampled_from([numbers, times, st.sampled_from([None, 1, 2]), st.sampled_from([None, True])]))
    values = data.draw(st.lists(kinds, max_size=5))
    column, bad = reader.column(values)
    slow, refused = Reader(reader.dtype, lambda value: reader.one(value)).column(values)
    assert column.equals(slow)
    assert bad == refused


counts = st.sampled_from([0, None, 3])
details = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("audio_tokens", "image_tokens", "cached_tokens", "cached_tokens_details"), counts)
)
usages = st.fixed_dictionaries(
    {"prompt_tokens": counts},
    optional={
        "prompt_tokens_details": st.none() | details,
        "output_tokens_details": details,
        "server_tool_use": st.fixed_dictionaries({"web_search_requests": counts}),
        "num_search_queries": counts,
        "search_context_size": st.sampled_from([None, "low"]),
    },
)


@given(usages)
@settings(max_examples=60, deadline=None)
def test_a_usage_of_text_alone_has_no_parts(usage):
    found = _openai.usage_parts(usage)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_openai, "_is_text", lambda _: False)
        assert _openai.usage_parts(usage) == found


def test_the_answer_of_a_call_is_the_same_decoded_or_not():
    choices = [
        {"message": {"role": "assistant", "content": "yes", "tool_calls": [{"id": "1", "function": {"name": "f"}}]}}
    ]
    found = columns(READER.facts([[None], [None], [None], [choices]], 1))
    assert found["output_sha"].to_list() == [answer_blocks(msgspec.json.encode(choices))[0].sha]
    assert pl.DataFrame(found)["has_text"].all()


TURNS = [
    *({"role": role, "content": text} for role in ("user", "system") for text in ("a" * 30, "", "b, [")),
    *({"role": "assistant", "content": text} for text in ('é"\n', "/\\n\x07", "b, [")),
    {"role": "tool", "tool_call_id": "1", "content": "[" + "x" * 90},
    {"role": "tool", "tool_call_id": "1", "content": "[" + "x" * 90 + "]"},
]


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(TURNS), max_size=7),
            st.sampled_from([",", ",", ",", " , ", ",\n"]),
            st.sampled_from(["]", "]", "]", ",]", " ]", "", "]]"]),
        ),
        max_size=9,
    ),
    st.sampled_from([16, 40, 64]),
    st.sampled_from([0, 3_000, 1 << 20]),
)
@settings(max_examples=80, deadline=None)
def test_a_conversation_whose_beginning_is_known_is_what_it_is_without(lists, grid, most):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_talk, "GRID", grid)
        talks = _talk.Conversations(_wire.block, most)
        grown = [(turns[:n], gap, end) for turns, gap, end in lists for n in range(1, len(turns) + 1)]
        for turns, gap, end in (*lists, *grown, *lists):
            data = ("[" + gap.join(msgspec.json.encode(turn).decode() for turn in turns) + end).encode()
            fresh = _talk.Conversations(_wire.block).of(data)
            assert talks.of(data) == fresh
            if end in ("]", " ]"):
                assert fresh == _talk.told([_wire.general(msgspec.json.encode(turn)) for turn in turns])
            elif turns or end != "]":
                assert fresh is None


QUOTES = {
    "shortest": lambda text: msgspec.json.encode(text),
    "ascii": lambda text: json.dumps(text).encode(),
    "html": lambda text: msgspec.json.encode(text).replace(b"/", b"\\/").replace(b"b", b"\\u0062"),
}


@given(
    st.lists(st.tuples(st.lists(st.sampled_from(TURNS), max_size=7), st.sampled_from(list(QUOTES))), max_size=7),
    st.sampled_from([16, 40, 64]),
    st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_a_conversation_in_quotes_is_what_it_is_without_them(lists, grid, ascii_inside):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_talk, "GRID", grid)
        talks = _talk.Conversations(_wire.block)
        for turns, quote in [(whole[:n], quote) for whole, quote in lists for n in range(len(whole) + 1)]:
            text = json.dumps(turns, ensure_ascii=ascii_inside, separators=(",", ":"))
            assert talks.quoted(QUOTES[quote](text)) == _talk.Conversations(_wire.block).of(text.encode())


def test_the_second_call_of_a_conversation_in_quotes_takes_what_is_new_out_of_them():
    seen = []
    talks = _talk.Conversations(lambda data: seen.append(data) or _wire.block(data))
    turns = [msgspec.json.encode({"role": "user", "content": f"{n}é\n" * 1_000}) for n in range(9)]
    for n in range(1, 10):
        talks.quoted(msgspec.json.encode((b"[" + b",".join(turns[:n]) + b"]").decode()))
    assert seen == turns
    talks.known.younger = {}
    talks.quoted(msgspec.json.encode((b"[" + b",".join(turns) + b"]").decode()))
    assert seen[9:] == turns[-1:]
    with pytest.raises(UnicodeDecodeError):
        talks.quoted(b'"[\xff]"')


def test_the_second_call_of_a_conversation_decodes_what_is_new_of_it():
    seen = []
    talks = _talk.Conversations(lambda data: seen.append(data) or _wire.block(data))
    turns = [msgspec.json.encode({"role": "user", "content": str(n) * 3_000}) for n in range(9)]
    for n in range(1, 10):
        talks.of(b"[" + b",".join(turns[:n]) + b"]")
        assert seen == turns[:n]
    assert len(talks.begun.younger) == sum(map(len, turns)) // _talk.GRID
    talks.known.younger = {}
    talks.of(b"[" + b",".join(turns) + b"]")
    assert seen[9:] == turns[-1:]


WORDS = [
    "3",
    " s",
    "12:",
    ":30",
    "ms",
    "-",
    "0a1b2c3d-1111-2222-3333-0a1b2c3d4e5f",
    "\n",
    "\\",
    '"',
    "é",
    "\x07",
    "error",
    " ",
]


@given(st.lists(st.sampled_from(WORDS), max_size=12), st.sampled_from([0, 1, 5, 64]))
@settings(max_examples=200, deadline=None)
def test_what_may_differ_between_equal_results_is_found_at_every_digit_and_hyphen(words, few):
    body = _results.escaped("".join(words))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_results, "FEW_HYPHENS", few)
        spans = _results._spans(body)
    times = [
        _results._time(body, at) for at in range(len(body)) if body[at : at + 1].isdigit() and ends(body[at + 1 :])
    ]
    uuids = [_results._uuid(body, at) for at in range(len(body)) if body[at : at + 1] == b"-"]
    assert set(spans) == {span for span in times + uuids if span}
    assert spans == sorted(spans)


def ends(rest):
    """Whether a number that ends here may be a time."""
    return rest[:1] in (b":", b" ") or rest[:1] in b"smun\xc2"


@given(st.sampled_from(["", "\n", " \t", "x"]), st.sampled_from([*WORDS, "Error:", "fatal!", "errors", "failed"]))
def test_a_failure_is_seen_where_a_result_begins_with_one(before, word):
    body = _results.escaped(before + word + " 1")
    said = before != "x" and word.lower().rstrip(":!") in ("error", "fatal", "failed")
    assert _results.tells_failure(body) == said
