"""A large file read in slices gives what it gives as a whole, or is read as a whole."""

from __future__ import annotations

import json
import tempfile
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from samples import mangled, sample
from spans import export, span, used
from test_ingest_fast import same, taken
from test_ingest_only import SUMS, Alone

from costaudit.ingest import _pool, _slices, _transcript_rows
from costaudit.ingest._files import walk
from costaudit.ingest._ingest import _join
from costaudit.ingest._read import read_files

WHOLE = ("codex.jsonl", "gemini-api.jsonl", "langfuse.jsonl")  # hold something from line to line
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


def session(*kinds):
    """A session of rows: a prompt, an answer that calls a tool, its result, and so on, each after the one before."""
    answered = 0
    for n, kind in enumerate(kinds):
        row = {"parentUuid": None, "isSidechain": False, "sessionId": "s", "type": "user", "uuid": f"u{n}"}
        answered += kind in ("answer", "error")
        content = {
            "prompt": f"/do {n}",
            "result": [{"tool_use_id": f"t{answered}", "type": "tool_result", "content": f"{n}"}],
        }
        said = {"role": "user", "content": content.get(kind, "note")}
        if kind in ("answer", "more"):
            blocks = [{"type": "tool_use", "id": f"t{answered}", "name": "Read", "input": {"n": n}}]
            usage = {"input_tokens": 10, "output_tokens": n}
            said = {
                "role": "assistant",
                "id": f"msg_{answered}",
                "model": "claude-opus-5",
                "content": blocks,
                "usage": usage,
            }
            row["type"] = "assistant"
        if kind == "error":
            row |= {"type": "system", "subtype": "api_error", "retryAttempt": 1}
        else:
            row["message"] = said
        yield json.dumps(
            row | {"isMeta": kind == "note"} | {"timestamp": f"2026-09-01T08:00:{n % 60:02}Z"}, separators=(",", ":")
        )


KINDS = st.sampled_from(["prompt", "prompt", "answer", "answer", "more", "result", "result", "error", "note"])


@given(st.lists(KINDS, min_size=4, max_size=24), st.data())
@settings(max_examples=25, deadline=None)
def test_a_transcript_cut_anywhere_gives_what_it_gives_as_a_whole_or_nothing(kinds, data):
    lines = [line.encode() + b"\n" for line in session(*kinds)]
    places = list(accumulate(map(len, lines)))[:-1]
    chosen = sorted(data.draw(st.sets(st.sampled_from(places), min_size=1, max_size=3)))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / "log.jsonl"
        path.write_bytes(b"".join(lines))
        patch.setattr(_slices, "cuts_of", lambda *_: chosen)
        number, read = in_slices(path, 1)
        assert number == len(chosen) + 1
        if read is not None:
            same(_join([read]), taken([path]))


SAYINGS = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["claude-opus-5", "claude-sonnet-4-6", None]),
        "cwd": st.sampled_from(["/a", "/b", None]),
        "stop_reason": st.sampled_from(["end_turn", "tool_use", None, None]),
        "output": st.integers(0, 2),
        "second": st.integers(0, 2),
        "odd": st.booleans(),
    }
)


def copy(model, cwd, stop_reason, output, second, odd):
    """A row of one and the same response; an odd one begins with a space."""
    usage = {"input_tokens": 5, "output_tokens": output}
    said = {"id": "msg", "model": model, "stop_reason": stop_reason, "content": [], "usage": usage}
    row = {"type": "assistant", "uuid": f"{model}{output}", "parentUuid": None, "sessionId": "s", "cwd": cwd}
    row |= {"timestamp": f"2026-09-01T08:00:0{second}.000Z", "message": said}
    return (" " * odd + json.dumps(row) + "\n").encode()


@given(st.lists(SAYINGS, min_size=2, max_size=6), st.data())
@settings(max_examples=15, deadline=None)
def test_copies_that_each_know_something_are_one_call_wherever_they_are_cut(sayings, data):
    """What fills a gap is decided over all copies together: what reads some of them loses nothing that they know."""
    lines = [copy(**saying) for saying in sayings]
    places = data.draw(st.sets(st.sampled_from(list(accumulate(map(len, lines)))[:-1]), min_size=1))
    known = sorted(sayings, key=lambda said: (-said["output"], said["second"]))
    model, cwd, reason = (
        next((said[name] for said in known if said[name] is not None), None) for name in ("model", "cwd", "stop_reason")
    )
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / "log.jsonl"
        path.write_bytes(b"".join(lines))
        patch.setattr(_slices, "cuts_of", lambda *_: sorted(places))
        patch.setattr(_pool, "SHARE", 1)
        patch.setattr(_pool, "_Pool", Alone)
        for only, workers in ((None, 1), (frozenset(SUMS), 1), (frozenset(SUMS), 2)):
            files = [(replace(file, only=only), {}) for file in walk([path])]
            read = _join(_pool.read_all(files, workers=workers))
            told = (model, cwd, {"end_turn": "stop", "tool_use": "tool_calls"}.get(reason))
            assert read.requests.select("model", "key_id", "finish_reason").rows() == [told]
            assert read.requests["output_tokens"].item() == max(said["output"] for said in sayings)
            assert read.requests["started_at"].dt.second().item() == min(said["second"] for said in sayings)
            assert (read.fates.requests, read.fates.duplicates) == (1, len(lines) - 1)


def test_a_transcript_is_cut_where_a_prompt_begins(tmp_path):
    path = tmp_path / "log.jsonl"
    lines = list(session(*["prompt", "answer", "more", "result", "note", "answer"] * 12))
    path.write_text("\n".join(lines))
    number, read = in_slices(path, 4_000)
    assert number > 3
    assert read.until is None
    same(_join([read]), taken([path]))
    aside = json.dumps(json.loads(lines[1]) | {"isSidechain": True}, separators=(",", ":"))
    path.write_text("\n".join([*lines, aside, *lines, *lines]))
    assert in_slices(path, len(lines) * 100)[1] is None


def test_a_row_as_long_as_several_slices_is_passed_over_once(tmp_path, monkeypatch):
    """It is no place to cut at, however it begins, and it is looked for its end once, not once for each slice."""
    path = tmp_path / "log.jsonl"
    lines = list(session(*["prompt", "answer"] * 4))
    long = json.dumps(json.loads(lines[0]) | {"uuid": "long", "more": "x" * 50_000}, separators=(",", ":"))
    path.write_text("\n".join([*lines, long, *lines, ""]))
    passed = []
    past = _transcript_rows._past
    monkeypatch.setattr(_transcript_rows, "PROMPT", 1_000)
    monkeypatch.setattr(_transcript_rows, "_past", lambda stream: passed.append(stream.tell()) or past(stream))
    size, most = path.stat().st_size, 2_000
    starts = [0, *accumulate(len(line) + 1 for line in (*lines, long, *lines))]
    places = _transcript_rows.prompts(path, size, most)
    assert places
    assert set(places) <= set(starts) - {starts[len(lines)]}
    assert len(passed) < 6
    assert in_slices(path, most)[0] == len(places) + 1


@pytest.mark.parametrize("end", [["result"], ["error"]])
def test_what_waits_for_the_next_answer_is_not_cut_off(end, tmp_path, monkeypatch):
    path = tmp_path / "log.jsonl"
    before = [line + "\n" for line in session("prompt", "answer", *end, "prompt", "answer")]
    path.write_text("".join(before))
    monkeypatch.setattr(_slices, "cuts_of", lambda *_: [len("".join(before[:3]))])
    assert in_slices(path, 1) == (2, None)
