"""A large file read in slices gives what it gives as a whole, or is read as a whole."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import mangled, sample
from test_format_otlp import export, span, used
from test_ingest_fast import same, taken

from costaudit.ingest import _pool, _slices
from costaudit.ingest._files import walk
from costaudit.ingest._ingest import _join
from costaudit.ingest._read import read_files

WHOLE = ("claude-code.jsonl", "codex.jsonl", "gemini-api.jsonl", "langfuse.jsonl")  # hold something from line to line
APART = ("openai-chat.jsonl", "litellm.jsonl", "otlp.jsonl", "helicone.jsonl")
CHUNK = {"id": "c", "object": "chat.completion.chunk", "model": "m"}


def calls(name):
    """The lines of a sample that are no pieces of a stream."""
    return [line for line in sample(name) if "chat.completion.chunk" not in line]


def in_slices(path, size):
    (of,) = [(file, {}) for file in walk([path])]
    parts = _slices.slices(of, path.stat().st_size, size)
    return len(parts), _slices.joined(of[0], read_files(parts)) if len(parts) > 1 else None


@pytest.mark.parametrize("name", APART)
@given(data=st.data())
@settings(max_examples=3, deadline=None)
def test_slices_of_a_file_give_what_the_file_gives(name, data, tmp_path_factory):
    lines = [line if isinstance(line, bytes) else line.encode() for line in data.draw(mangled(calls(name)))]
    text = calls(name)[0].encode() + b"\n" + b"\n".join(lines * 2) + data.draw(st.sampled_from([b"", b"\n", b"\n\n"]))
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    path.write_bytes(text)
    number, read = in_slices(path, data.draw(st.integers(len(text) // 9 + 1, len(text) // 2)))
    whole = taken([path])
    if number > 1 and read is not None:
        same(_join([read]), whole)


@pytest.mark.parametrize("name", APART)
def test_a_file_of_calls_is_cut_and_put_together(name, tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(calls(name) * 4))
    number, read = in_slices(path, path.stat().st_size // 4)
    assert number > 2
    same(_join([read]), taken([path]))


@pytest.mark.parametrize("name", WHOLE)
def test_what_holds_something_from_line_to_line_is_not_cut(name, tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(sample(name) * 4))
    assert in_slices(path, 1_000) == (1, None)


def test_what_turns_out_to_be_streamed_or_sampled_is_read_as_a_whole(tmp_path, monkeypatch):
    calls_, streamed, spans = calls("openai-chat.jsonl"), tmp_path / "streamed.jsonl", tmp_path / "spans.jsonl"
    first, second = (
        json.dumps(CHUNK | {"choices": [{"index": 0, "delta": {"content": text}}]}) for text in ("one", "two")
    )
    streamed.write_text("\n".join([*calls_[:1] * 160, first, *calls_[:1] * 40, second, *calls_[:1] * 40]))
    whole = [json.dumps(export(span("c", trace=trace, **used(4)))) for trace in "12345"]
    thinned = [json.dumps(export(span("b", trace=trace, **used(5)) | {"traceState": "ot=th:c"})) for trace in "6789"]
    spans.write_text("\n".join([*whole * 40, *thinned]))
    for path in (streamed, spans):
        number, read = in_slices(path, path.stat().st_size // 3)
        assert number > 2
        assert read is None
    alone = taken([tmp_path])
    assert any("sample" in note for note in alone.notes)
    monkeypatch.setattr(_pool, "SHARE", 30_000)
    told = []
    files = [(file, {}) for file in walk([tmp_path])]
    same(_join(_pool.read_all(files, lambda *how: told.append(how), workers=2)), alone)
    assert sorted(how[1:] for how in told) == [(1, 2), (2, 2)]
