"""What records begin with as earlier ones did is not decoded again, and no figure and no count knows the difference."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ingest_only import SUMS, agrees

from costaudit.ingest import _beginnings, _early, _plan, _table, ingest, litellm
from costaudit.ingest._beginnings import Beginnings, Cut
from costaudit.ingest._early import Early
from costaudit.ingest._files import LogFile
from costaudit.ingest._read import read_file

SAID = [
    {"role": "system", "content": 'help, and say "messages":[{} when asked'},
    {"role": "user", "content": "how long is a piece of string? é\n"},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": {"arguments": '{"messages":[1]}'}}]},
    {"role": "tool", "content": "]}, {[" * 9},
    {"role": "user", "content": "redacted-by-litellm"},
    {"messages": [{"usage": {"prompt_tokens": 999, "completion_tokens": 9}}]},
    {},
    "as text",
    12,
]
SPACED = [(",", ":"), (", ", ": "), (" ,", " : ")]


def chat(said, usage, n, spaced):
    """A call with its request."""
    response = {"id": f"chatcmpl-{n}", "object": "chat.completion", "created": 1788284567 + n, "model": "gpt-4o"}
    choices = [{"message": {"role": "assistant", "content": "as you like"}, "finish_reason": "stop"}]
    record = {
        "run_id": "r",
        "request": {"model": "gpt-4o", "messages": said, "temperature": 0.2},
        "response": response | {"choices": choices} | ({} if usage is None else {"usage": usage}),
    }
    return json.dumps(record, separators=spaced, ensure_ascii=False).encode()


def payload(said, usage, n, spaced):
    """The same as LiteLLM logs it."""
    record = {
        "id": f"c{n}", "call_type": "acompletion", "response_cost": 0.25, "model_map_information": None,
        "hidden_params": {}, "startTime": 1788284567.5 + n, "model": "gpt-4o", "custom_llm_provider": "openai",
        **(usage or {}), "messages": said, "response": {"choices": [{"finish_reason": "stop"}]},
    }  # fmt: skip
    return json.dumps(record, separators=spaced, ensure_ascii=False).encode()


@st.composite
def said(draw):
    """The beginning of one of a few conversations; some have been edited."""
    turns = draw(st.sampled_from([SAID[:4], SAID[:1] + SAID[3:], SAID[::-1], [SAID[0]] * 3, SAID[:3] * 2, SAID[4:6]]))
    return turns[: draw(st.integers(0, len(turns)))]


USAGE = st.sampled_from(
    [
        *[{"prompt_tokens": 7, "completion_tokens": 2}] * 4,
        {"prompt_tokens": 1, "completion_tokens": "many"},
        {"prompt_tokens": "7"},
        {"prompt_tokens": -1, "completion_tokens": 2.5},
        {"completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 1}},
        None,
    ]
)
HOSTILE = [
    (b'"messages":[', b'"messages":[],"messages":['),
    (b'"messages":[', b'"x\\"messages":[{}],"messages":['),
    (b'"messages":[', b'"x":"\\"messages\\":[{}]","messages" : ['),
    (b'"messages":[', b'"m\\u0065ssages":['),
    (b'"messages":[', b'"x":[{"messages":[{"role":"user"}]}],"messages":['),
    (b'"response"', b'"metadata":{"messages":[{"prompt_tokens":5}]},"response"'),
    (b'"role":"user"', b'"role":"us\xffer"'),
    (b'"prompt_tokens":7', b'"prompt_tokens":7,"prompt_tokens":8'),
    (b'"prompt_tokens"', b'"prompt\\u005ftokens"'),
    (b'"chat.completion"', b'"chat.completion.chunk"'),
    (b'"message":', b'"delta":'),
    (b'"temperature"', b'"new key":{"a":1},"temperature"'),
    (b"}],", b"},],"),
    (b"}],", b"},5],"),
    (b"}],", b"}5],"),
    (b"{}", b"{"),
    (b'"gpt-4o"', b'"gpt-4o-mini"'),
]


@st.composite
def logs(draw):
    """Calls of a few conversations, some of them odd or damaged."""
    write = draw(st.sampled_from([chat, payload]))
    lines = [write(SAID[:2], {"prompt_tokens": 1, "completion_tokens": 2}, 0, SPACED[0])]
    for n in range(1, draw(st.integers(1, 12))):
        line = write(draw(said()), draw(USAGE), n, draw(st.sampled_from([*SPACED[:1] * 3, *SPACED])))
        match draw(st.sampled_from(["", "", "", "", "hostile", "hostile", "cut", "doubled", "changed"])):
            case "hostile":
                line = line.replace(*draw(st.sampled_from(HOSTILE)), draw(st.sampled_from([1, 9])))
            case "cut":
                line = line[: draw(st.integers(0, len(line)))]
            case "doubled":
                lines.append(line)
            case "changed":
                at = draw(st.integers(0, len(line) - 1))
                line = line[:at] + draw(st.sampled_from([b"", b"x", b'"', b"\\", b"}", b"]", b","])) + line[at + 1 :]
        lines.append(line)
    return b"\n".join(line.replace(b"\n", b"") for line in lines) + draw(st.sampled_from([b"", b"\n", b"\r\n"]))


@given(st.lists(logs(), min_size=1, max_size=2), st.sampled_from([4, 40]), st.sampled_from([200, 1 << 20]))
@settings(max_examples=15, deadline=None)
def test_any_log_of_conversations_gives_the_sums_that_it_gives_read_in_full(files, key, held):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for n, log in enumerate(files):
            (Path(folder) / f"{n}.jsonl").write_bytes(log)
        for module, name, value in (
            (_early, "LONG", 1),
            (_early, "NOTICE", 150),
            (litellm, "NOTICE", 150),
            (_beginnings, "KEY", key),
            (_beginnings, "HELD", held),
            (_table, "SMALL", -1),
            (_plan, "_PLANS", {}),
        ):
            patch.setattr(module, name, value)
        part = ingest([folder], only=SUMS)
        agrees(ingest([folder]), part, SUMS)


def elements(items):
    return ",".join(json.dumps(item) for item in items).encode()


OBJECTS = st.lists(st.sampled_from([{"n": n, "said": "x" * n} for n in range(5)]), min_size=1, max_size=6)


@given(st.lists(OBJECTS, min_size=1, max_size=8), st.sampled_from([1, 8, 30]))
def test_what_is_found_of_a_list_is_elements_that_it_begins_with(lists, key):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_beginnings, "KEY", key)
        known = Beginnings()
        for items in lists:
            text = elements(items)
            row = b'{"a":[' + text + b"]}"
            end, found = known.find(row, 6, len(row))
            assert row[6:end] == b"".join(part.text for part in found)
            assert elements(items[: len(msgspec.json.decode(b"[" + row[6:end] + b"]"))]) == row[6:end]
            known.keep(found, row[end:-2])
        assert not known.find(b"[{}]", 1, 4)[1] or key == 1


def test_a_conversation_that_goes_on_is_decoded_from_where_it_went_on(tmp_path, monkeypatch):
    turns = [{"role": "user", "content": f"{n} " * 200} for n in range(40)]
    usage = {"prompt_tokens": 7, "completion_tokens": 2}
    lines = [chat([SAID[0], *turns[run : run + n]], usage, n, SPACED[0]) for run in (0, 9) for n in range(9, 25)]
    (tmp_path / "log.jsonl").write_bytes(b"\n".join(lines))
    decoded = []
    one = Early._record
    monkeypatch.setattr(Early, "_record", lambda *of: decoded.append(one(*of)) or decoded[-1])
    read = read_file(LogFile(tmp_path / "log.jsonl", "log", only=frozenset(SUMS)), {})
    assert sum(frame.height for frame in read.frames) == len(lines)
    assert [record is not None for record in decoded] == [True] * len(lines)
    assert sum(len(record.data) for record in decoded) < sum(map(len, lines)) / 3
    assert [_early.undone(record).data for record in decoded] == lines


def test_what_is_decoded_again_for_a_new_key_is_decoded_as_it_was(tmp_path):
    """What is left of messages may be the words that stand in for hidden ones."""
    usage = {"prompt_tokens": 7, "completion_tokens": 2}
    turns = [{"role": "user", "content": "long " * 900}, {"role": "user", "content": "redacted-by-litellm"}]
    lines = [payload(turns[: n + 1], usage, n, SPACED[0]) for n in range(3)]
    lines[2] = lines[2].replace(b'"model"', b'"a key of this test":1,"model"')
    (tmp_path / "log.jsonl").write_bytes(b"\n".join([lines[0]] * _table.SEVERAL + lines))
    part = ingest([tmp_path], only=SUMS)  # before anything else learns the key
    agrees(ingest([tmp_path]), part, SUMS)


def test_what_another_format_takes_out_of_a_conversation_is_read_as_it_was_written(tmp_path):
    usage = {"prompt_tokens": 7, "completion_tokens": 2}
    turns = [{"role": "user", "content": f"{n} " * 900} for n in range(8)]
    lines = [chat(turns[: n + 1], usage, n, SPACED[0]) for n in range(8)]
    lines[6] = lines[6].replace(b'"chat.completion"', b'"list","data":[]')  # of embeddings
    (tmp_path / "log.jsonl").write_bytes(b"\n".join(lines))
    part, whole = ingest([tmp_path], only=SUMS), ingest([tmp_path])
    agrees(whole, part, SUMS)
    assert sorted(set(part.requests["format"])) == ["openai-chat", "openai-embeddings"]


def test_what_was_left_out_stands_where_it_was():
    assert Cut(6, [b'{"b":1}', b',{"c":2}']).undone(b'{"a":[{},{}]}') == b'{"a":[{"b":1},{"c":2},{}]}'
