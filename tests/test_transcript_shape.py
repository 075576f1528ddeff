"""The rows that are told to be a transcript's by their keys alone are what asking every format says they are."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import sample

from costaudit.ingest import _detect, _transcript_shape
from costaudit.ingest._decode import parsed
from costaudit.ingest._files import Record
from costaudit.ingest.claude_code import ClaudeCode

TEXTS = st.sampled_from(
    [
        "",
        "a",
        "messages",
        "gpt-4.1",
        "claude-opus-5",
        "end_turn",
        "2026-09-01T08:00:00Z",
        "  text of some length",
        "0",
        '{"object": "chat.completion", "choices": []}',
        '  [{"model": "m"}] and more',
        "bash_progress",
        "standard",
    ]
)
NUMBERS = st.integers(0, 10**7)
VALUES = {str: TEXTS, int: NUMBERS, float: NUMBERS, bool: st.booleans(), type(None): st.none()}
BLOCKS = [{"type": "text", "text": "hello"}, {"type": "tool_use", "id": "t", "name": "n", "input": {"model": "m"}}, {}]


@st.composite
def structs(draw, kind):
    """Any object that the struct takes, with any of the keys that may be absent."""
    made = {}
    for field in msgspec.structs.fields(kind):
        if field.required or draw(st.booleans()):
            made[field.name] = draw(values(field.type))
    return made


def values(kind):
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return structs(kind)
    if kind in VALUES:
        return VALUES[kind]
    args = [arg for arg in getattr(kind, "__args__", ()) if arg is not msgspec.UnsetType]
    if getattr(kind, "__origin__", None) is list:
        return st.lists(st.sampled_from(BLOCKS), max_size=2)
    if getattr(kind, "__origin__", None) is dict:
        return st.just({}) | st.just({"a.py": {"model": "m"}})
    if all(isinstance(arg, str) for arg in args):
        return st.sampled_from(args)
    return st.one_of([values(arg) for arg in args])


def agree(data):
    """Whether the shortcut, where it says anything, says what asking every format says; whether it did."""
    told, value = _transcript_shape.score(data), parsed(data)
    if told is None:
        return False
    found = _detect.guess(value) if isinstance(value, dict) else None
    if told == 0:
        assert found is None
    else:
        assert found is not None
        assert isinstance(found[0].form, ClaudeCode)
        assert found == _detect._found(data, ())
        assert found[1] == told
    return True


@given(structs(_transcript_shape.Row) | structs(_transcript_shape.Snapshot))
@settings(max_examples=150, deadline=None)
def test_rows_with_known_keys_alone_are_what_every_format_together_says(row):
    agree(msgspec.json.encode(row))


@pytest.mark.parametrize("n", range(7))
def test_rows_as_they_are_written_are_told_at_once(n):
    message = {"role": "assistant", "content": [], "model": "m", "id": "i", "type": "message", "usage": {}}
    row = {"parentUuid": None, "isSidechain": False, "sessionId": "s", "type": "assistant", "uuid": "u"}
    told = [
        row | {"message": message},
        row | {"message": message | {"usage": {"input_tokens": 3, "service_tier": "standard"}}},
        row | {"type": "user", "message": {"role": "user", "content": "hello there"}},
        row | {"type": "progress", "data": {"type": "bash_progress", "output": "text"}},
    ]
    open_ = [
        row | {"type": "user", "message": {"role": "user", "content": ' {"object": "chat.completion"}'}},
        row | {"message": message, "toolUseResult": {"stdout": "x"}},
        row | {"message": message | {"usage": {"input_tokens": "3"}}},
    ]
    assert agree(msgspec.json.encode((told + open_)[n])) is (n < len(told))


def test_what_a_sample_of_records_is_does_not_depend_on_the_shortcut(monkeypatch):
    records = [
        Record(n, 0, line if isinstance(line, bytes) else line.encode())
        for n, line in enumerate(sample("claude-code.jsonl"))
    ]
    with_it = [_detect.sample(records[n : n + 5]) for n in range(len(records))]
    monkeypatch.setattr(_transcript_shape, "score", lambda _: None)
    assert [_detect.sample(records[n : n + 5]) for n in range(len(records))] == with_it
