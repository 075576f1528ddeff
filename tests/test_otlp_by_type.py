"""An export decoded by type is what the general way makes of it, whatever stands where."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spans import attributes, export, span, used

from costaudit.ingest import _otel_prompt, _otlp_typed, otlp
from costaudit.ingest._decode import parsed
from costaudit.ingest._files import Record
from costaudit.ingest._format import Out
from costaudit.ingest._messages import encoded
from costaudit.ingest._tree import PLACE
from costaudit.ingest._wire import general

odd = st.sampled_from([None, 0, "x", [], {}, {"stringValue": "a"}, [{"key": "k"}], {"code": 2}])
values = st.fixed_dictionaries(
    {},
    optional={
        "stringValue": st.sampled_from(["a", "", None, 3]),
        "intValue": st.sampled_from(["12", 12, "x", None]),
        "boolValue": st.sampled_from([True, None]),
        "doubleValue": st.sampled_from([0.5, None]),
        "arrayValue": st.sampled_from([{"values": [{"intValue": "1"}]}, None]),
        "int_value": st.just("7"),
    },
)
named = st.lists(
    st.fixed_dictionaries(
        {"key": st.sampled_from(["gen_ai.request.model", "gen_ai.usage.input_tokens", "user.id", "x"])},
        optional={"value": values | odd},
    ),
    max_size=4,
)
spans = st.fixed_dictionaries(
    {},
    optional={
        "traceId": st.sampled_from(["a" * 32, "", None]),
        "spanId": st.sampled_from(["b" * 16, "0" * 16, 7]),
        "parentSpanId": st.sampled_from(["", "c" * 16, None]),
        "traceState": st.sampled_from(["ot=th:c", "x=1", None]),
        "name": odd,
        "startTimeUnixNano": st.sampled_from(["1788336000000000000", "1788336000000000000 ", 7, "9" * 19]),
        "attributes": named | odd,
        "status": odd,
        "events": st.lists(st.fixed_dictionaries({"name": odd}, optional={"attributes": named}), max_size=1) | odd,
        "trace_id": st.just("d" * 32),
    },
)  # fmt: skip
scoped = st.lists(st.fixed_dictionaries({"scope": odd, "spans": st.lists(spans, max_size=2)}), max_size=2)
exports = st.fixed_dictionaries(
    {
        "resourceSpans": st.lists(
            st.fixed_dictionaries(
                {"scopeSpans": scoped},
                optional={"resource": st.fixed_dictionaries({"attributes": named}) | odd, "schemaUrl": odd},
            ),
            max_size=2,
        )
    },
    optional={"resourceLogs": odd},
)  # fmt: skip


def rows(data):
    reader, out = otlp._Reader(), Out()
    spans = list(reader.spans(Record(1, 0, data), out))
    reader.close(out)
    return spans, out.rejects, out.skipped, out.extra_lines, out.notes, len(out.foreign)


@given(exports)
@settings(max_examples=150, deadline=None)
def test_an_export_decoded_by_type_is_what_the_general_way_makes_of_it(record):
    data = msgspec.json.encode(record)
    fast = rows(data)
    assert fast == rows(msgspec.json.decode(data))


def test_an_export_of_a_collector_takes_the_short_way(monkeypatch):
    monkeypatch.setattr(otlp, "parsed", None)
    made = export(span("b", None, **used(12)) | {"events": [], "kind": 3, "status": {"code": 1}, "flags": 1}, name="x")
    (made["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"]).extend(attributes({"a": [1], "b": True}))
    ([found], *_) = rows(msgspec.json.encode(made))
    assert found.attributes["gen_ai.usage.input_tokens"] == 12
    assert found.attributes["a"] == [1]
    assert found.start == "1788336000000000000"


said = st.dictionaries(
    st.sampled_from([
        "gen_ai.input.messages", "gen_ai.prompt", "gen_ai.prompt.0.content", "llm.input_messages.x", "ai.response.text",
        "gen_ai.output.messages", "gen_ai.completion.0.role", "gen_ai.system_instructions", "gen_ai.tool.definitions",
    ]),
    st.sampled_from(["", "[]", " [ ]", "{}", "text", "[{", '[{"role":"user"}]', ' [{"role":"user"}]', '["a"]'])
    | st.sampled_from([None, [], {}, ["[]"], [{"role": "user", "content": "a"}], 3]),
    max_size=4,
)  # fmt: skip
told = st.lists(st.tuples(st.sampled_from(["exception", "gen_ai.user.message", "gen_ai.choice"]), said), max_size=2)


@given(said, told)
@settings(max_examples=150, deadline=None)
def test_whether_a_span_has_text_is_seen_without_reading_it(attributes, events):
    assert _otel_prompt.has_text(attributes, events) == _otel_prompt.prompt_facts(attributes, events)["has_text"]


def test_messages_that_are_not_wanted_are_not_read(monkeypatch):
    monkeypatch.setattr(_otel_prompt, "facts", None)
    span_ = span("b", None, **{**used(12), "gen_ai__input__messages": '[{"role":"user","content":"hello"}]'})
    out, reader = Out(), otlp._Reader(("input_tokens", "has_text"))
    reader.feed([Record(1, 0, msgspec.json.encode(export(span_)))], out)
    reader.close(out)
    assert out.frames[0].select("input_tokens", "has_text").rows() == [(12, True)]


def made(record, only):
    """What is read of a record for some columns: those, and what joins calls that belong together."""
    reader, out = otlp._Reader(only), Out()
    reader.feed([Record(1, 0, record)], out)
    reader.close(out)
    rows_ = [row for frame in out.frames for row in frame.to_dicts()]
    asked = [{name: row.get(name) for name in (*PLACE, *(rows_[0] if only is None else only))} for row in rows_]
    return asked, out.rejects, out.skipped


SPELLINGS = {
    "as it is": lambda line: line,
    "as ASCII": lambda line: json.dumps(json.loads(line)).encode(),
    "escaped as Go does": lambda line: line.replace(b"<", b"\\u003c"),
    "with a byte that is no text": lambda line: line.replace(b"hello", b"he\xffllo"),
    "broken in a text": lambda line: line.replace(b"hello", b"he\\x"),
    "with half a character": lambda line: line.replace(b"hello", b"\\ud83d hello"),
    "cut off": lambda line: line[:-9],
}
SETTINGS = {
    "tenant.id": "a",
    "user.id": "b",
    "gen_ai.request.temperature": 0.5,
    "ai.response.msToFirstChunk": 20,
    "gen_ai.response.finish_reasons": ["stop"],
}
GREETING = '[{"role":"user","content":"hello <é> \\n"}]'


@given(said, st.sampled_from(["", GREETING, GREETING[:-1], f" {GREETING}"]), st.sampled_from(sorted(SPELLINGS)))
@settings(max_examples=80, deadline=None)
def test_texts_that_are_read_later_say_what_the_general_way_makes_of_them(attributes_, greeting, spelling):
    asked = span("b", None, **used(12))
    asked["attributes"] += attributes({"gen_ai.input.messages": greeting} | attributes_ if greeting else attributes_)
    asked["attributes"] += attributes(SETTINGS)
    line = SPELLINGS[spelling](msgspec.json.encode(export(asked)))
    general_ = parsed(line)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_otlp_typed, "LONG", 0)
        for only in (None, ("has_text", "model"), ("finish_reason",), ("tenant", "ttft_s", "output_tokens")):
            expected = made(general_, only) if isinstance(general_, dict) else ([], [(1, general_)], {})
            assert made(line, only) == expected


texts = st.sampled_from(["", "ok", '[{"type":"text","text":"a"}]', "[no list", '{"a": 1}'])
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", ""])},
    optional={
        "content": texts | st.none() | st.just([{"type": "text", "content": "a"}]),
        "parts": st.just([{"type": "tool_call", "id": "1", "name": "f", "arguments": '{"a":1}'}]),
        "tool_calls": st.just([{"id": "1", "function": {"name": "f", "arguments": "{}"}}]) | st.none() | texts,
        "tool_call_id": st.sampled_from(["1", None]),
        "id": st.just("2"),
    },
)


@given(messages)
@settings(max_examples=60, deadline=None)
def test_a_message_of_a_span_is_what_the_general_way_makes_of_it(said):
    data = msgspec.json.encode(said)
    assert _otel_prompt._block(data) == general(encoded(_otel_prompt._message(said)))
