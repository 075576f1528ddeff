"""The rows that are told to be a transcript's by their keys alone are what asking every format says they are."""

from __future__ import annotations

import json

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
VALUES = {str: TEXTS, bool: st.booleans(), type(None): st.none()}
CALL = {"object": "chat.completion", "model": "m", "choices": [], "usage": {"prompt_tokens": 1}}
RAWS = st.sampled_from(
    [[], {}, None, "text", [{"type": "text", "text": "hello"}], {"stdout": json.dumps(CALL)}, CALL, [CALL],
     {"usageMetadata": {}, "parts": []}, {"input_tokens": 3, "output_tokens": 4}, {"resourceSpans": []}]
)  # fmt: skip


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
    if kind is msgspec.Raw:
        return RAWS
    args = [arg for arg in getattr(kind, "__args__", ()) if arg is not msgspec.UnsetType]
    if getattr(kind, "__origin__", None) is dict:
        return st.just({}) | st.just({"a.py": CALL})
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


ROW = {"parentUuid": None, "isSidechain": False, "sessionId": "s", "type": "assistant", "uuid": "u"}
SAID = {"role": "assistant", "content": [], "model": "m", "id": "i", "type": "message", "usage": {"input_tokens": 3}}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (ROW | {"message": SAID}, True),
        (ROW | {"type": "user", "message": {"role": "user", "content": json.dumps(CALL)}}, True),
        (ROW | {"type": "user", "message": {"role": "user", "content": []}, "toolUseResult": CALL}, True),
        (ROW | {"type": "progress", "data": {"type": "bash_progress", "output": "text"}}, True),
        (ROW | {"message": SAID, "systemPayload": {}}, False),
        (ROW | {"message": SAID | {"parts": []}}, False),
        (ROW | {"message": SAID, "object": "chat.completion"}, False),
    ],
)
def test_rows_as_they_are_written_are_told_at_once_and_others_are_not(row, told):
    assert agree(msgspec.json.encode(row)) is told


def test_what_a_sample_of_records_is_does_not_depend_on_the_shortcut(monkeypatch):
    records = [
        Record(n, 0, line if isinstance(line, bytes) else line.encode())
        for n, line in enumerate(sample("claude-code.jsonl"))
    ]
    with_it = [_detect.sample(records[n : n + 5]) for n in range(len(records))]
    monkeypatch.setattr(_transcript_shape, "score", lambda _: None)
    assert [_detect.sample(records[n : n + 5]) for n in range(len(records))] == with_it
