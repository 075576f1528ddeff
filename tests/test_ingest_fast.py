"""The fast ways of reading change nothing: blocks of any size, lines decoded in place, any number of processes."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import SAMPLES, mangled, sample

from costaudit.ingest import _blocks, _containers, _elements, _pool, _read, _streams, claude_code
from costaudit.ingest._decode import Decoder
from costaudit.ingest._files import walk
from costaudit.ingest._ingest import _join
from costaudit.ingest._lean import Lean
from costaudit.ingest._pool import read_all

LOG = sample("claude-code.jsonl")


def taken(paths, workers=1):
    return _join(read_all([(file, {}) for file in walk(paths)], workers=workers))


def same(one, other):
    assert one.requests.equals(other.requests)
    assert one.rejects.equals(other.rejects)
    assert one.sources.equals(other.sources)
    assert (one.fates, one.notes) == (other.fates, other.notes)


@st.composite
def respelled(draw, lines):
    """Lines as other writers would have written them: spaces, escapes, other line ends, prefixes."""
    made = []
    for line in draw(mangled(lines)):
        how = draw(st.sampled_from(["keep", "keep", "spaces", "escapes", "indent", "return", "data", "array", "blank"]))
        if how in ("spaces", "escapes"):
            try:
                value = json.loads(line)
            except ValueError:
                value = None
            if isinstance(value, dict):
                line = json.dumps(value, separators=(" , ", " : ")).encode() if how == "spaces" else line
                line = (
                    line.replace(b"usage", b"\\u0075sage").replace(b"tool_", b"tool\\u005f")
                    if how == "escapes"
                    else line
                )
        made.append(
            {"indent": b"  " + line, "return": line + b"\r", "data": b"data: " + line, "array": b"[" + line + b"]",
             "blank": b"\n" + line}.get(how, line)
        )  # fmt: skip
    return b"\n".join(made) + draw(st.sampled_from([b"", b"\n"]))


@given(respelled(LOG), st.sampled_from([64, 1_000, 1 << 18]))
@settings(max_examples=40, deadline=None)
def test_lines_decoded_in_place_give_what_lines_read_one_by_one_give(data, size):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / "log.jsonl"
        path.write_bytes(data)
        patch.setattr(_blocks, "SIZE", size)
        fast = taken([path])
        patch.delattr(claude_code._Reader, "scan")
        same(fast, taken([path]))


@given(
    st.lists(st.sampled_from([b"", b"{}", b'{"a": 1}', b"x" * 90, b'{"b":"' + b"y" * 300 + b'"}'])), st.integers(1, 80)
)
@settings(max_examples=40, deadline=None)
def test_blocks_of_any_size_hold_every_line_with_its_number_and_place(lines, size):
    data = b"\n".join(lines)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(_blocks, "SIZE", size)
        patch.setattr(_blocks, "GIANT", 128)
        path = Path(folder) / "log"
        path.write_bytes(data)
        for stream in (path.open("rb"), io.BytesIO(data)):
            with stream:
                head = stream.read(10)
                read = list(_whole(_blocks.blocks(head, "", stream, 0)))
            lines_of = data.removesuffix(b"\n").split(b"\n") if data else []
            assert [part for _, _, part in read] == lines_of
            assert [number for number, _, _ in read] == list(range(1, len(read) + 1))
            assert all(data[at:].startswith(part) for _, at, part in read)
            assert b"".join(part for _, _, part in read) == data.replace(b"\n", b"")


def _whole(blocks):
    for block in blocks:
        text = bytes(block.data[block.start : block.end])
        parts = text.removesuffix(b"\n").split(b"\n")
        block.lines = len(parts)
        at = block.offset
        for n, part in enumerate(parts):
            yield block.line + n, at, part
            at += len(part) + 1


@pytest.mark.parametrize("shape", ["array", "lists", "documents", "batches"])
def test_a_large_container_gives_what_a_small_one_gives(shape, tmp_path, monkeypatch):
    rows = [json.loads(line) | {"note": 'a "]}" \\ [{'} for line in sample("openai-chat.jsonl")]
    text = {
        "array": json.dumps(rows, indent=1),
        "lists": json.dumps([rows[:2], rows[2:]]),
        "documents": "\n".join(json.dumps(row, indent=2) for row in rows),
        "batches": "\n".join(json.dumps(rows[n : n + 2]) for n in range(0, len(rows), 2)),
    }[shape]
    path = tmp_path / "log.json"
    path.write_text(text)
    whole = taken([path])
    assert whole.requests.height > 3
    monkeypatch.setattr(_containers, "LARGE", 1)
    monkeypatch.setattr(_containers, "WEIGHT", 500)
    monkeypatch.setattr(_elements, "CHUNK", 50)
    monkeypatch.setattr(_streams, "CHUNK", 50)
    large = taken([path])
    assert large.requests.drop("source_offset").equals(whole.requests.drop("source_offset"))
    assert large.fates == whole.fates


def test_a_damaged_value_of_a_large_array_costs_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(_containers, "LARGE", 1)
    line = sample("openai-chat.jsonl")[0]
    (tmp_path / "log.json").write_text(f"[{line}, 7, {line.replace(':', ';', 1)}, {line}, {line[:90]}")
    read = taken([tmp_path])
    assert (read.fates.requests, read.fates.duplicates, sum(read.fates.rejects.values())) == (1, 1, 3)


keys = st.sampled_from(["a", "b", "c", "d", "e", "x", "new"])
cells = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=10,
)
DECODER = Decoder([("a",), ("b", "c"), ("b", "d", "e"), ("x", "0", "a"), ("c", "a"), ("c",)], [("d", "a")])


@given(st.lists(st.dictionaries(keys, cells, max_size=5), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_a_decoder_that_learns_its_keys_finds_what_one_that_knows_all_finds(records):
    lean, rows, structs = Lean(DECODER), [], []
    for record in map(msgspec.json.encode, records):
        try:
            rows.append(DECODER.typed(record))
        except msgspec.DecodeError:
            with pytest.raises(msgspec.DecodeError):
                lean.one(record)
        else:
            structs.append((record, lean.one(record)))
    found = [lean.columns([lean.one(record)]) for record, _ in structs]
    assert [[_shown(cell) for (cell,) in columns] for columns in found] == [list(map(_shown, row)) for row in rows]


@pytest.mark.parametrize("key", ["m\nodel", 'mo"del', "mo\\del", "\x00"])
@pytest.mark.parametrize("first", [True, False])
def test_a_key_that_no_struct_can_have_costs_nothing(key, first, tmp_path):
    lines = sample("openai-chat.jsonl")[:3]
    at, call = 0 if first else 3, json.loads(sample("openai-chat.jsonl")[4])
    made = []
    for more in ({}, {key: {key: 1}}):
        (tmp_path / "log.jsonl").write_text("\n".join([*lines[:at], json.dumps(more | call), *lines[at:]]))
        made.append(taken([tmp_path]))
    plain, odd = made
    assert odd.requests.drop("source_offset").equals(plain.requests.drop("source_offset"))
    assert odd.fates == plain.fates


@pytest.mark.parametrize("key", ["respon\nse", 'respon"se', "\x00"])
def test_a_call_that_is_wrapped_in_a_key_that_no_struct_can_have_is_read(key, tmp_path):
    made = []
    for around in ("reply", key):
        (tmp_path / "log.jsonl").write_text(
            "\n".join(json.dumps({around: json.loads(sample("openai-chat.jsonl")[4])}) for _ in "ab")
        )
        made.append(taken([tmp_path]))
    plain, odd = made
    assert plain.requests.height
    assert odd.requests.drop("source_offset").equals(plain.requests.drop("source_offset"))


def _shown(cell):
    return bytes(cell) or None if isinstance(cell, msgspec.Raw) else cell


SEVERAL = ("claude-code.jsonl", "codex.jsonl", "generic.csv", "openai-chat.jsonl", "otlp.jsonl")


def test_one_process_and_many_give_the_same_even_where_one_dies(monkeypatch):
    logs = [SAMPLES / name for name in SEVERAL]
    alone = taken(logs)
    monkeypatch.setattr(_pool, "SHARE", 20_000)
    same(alone, taken(logs, workers=2))
    monkeypatch.setattr(_read, "LINES", 1)  # an answer for each file
    same(alone, taken(logs, workers=2))
    ask = _pool._Worker.ask

    def answers_once(worker, files):
        for data in ask(worker, files):
            yield data
            worker.answers.close()

    for dies in (answers_once, lambda *_: iter([None])):
        monkeypatch.setattr(_pool._Worker, "ask", dies)
        same(alone, taken(logs, workers=2))


def test_what_goes_wrong_between_processes_is_told_and_not_waited_for(monkeypatch):
    def wrong(*_):
        raise RuntimeError("no such question")

    monkeypatch.setattr(_pool, "SHARE", 20_000)
    monkeypatch.setattr(_pool._Worker, "ask", wrong)
    with pytest.raises(RuntimeError, match="no such question"):
        taken([SAMPLES / name for name in SEVERAL], workers=2)
