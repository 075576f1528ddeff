"""Small files share frames and decoders: each still gives what it gives alone, whatever stands beside it."""

from __future__ import annotations

import json
from random import Random

import pytest
from console import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from costaudit.ingest import _read, _table, _together
from costaudit.ingest._files import walk
from costaudit.ingest._stretch import cut

SAMPLES = sorted(path for path in (ROOT / "sample_logs" / "formats").iterdir() if path.stat().st_size < 40_000)


def reads(paths):
    return _read.read_files([(file, {}) for file in walk(paths)])


def said(read):
    rows = [row for frame in cut(read.frames) for row in frame.to_dicts()]
    told = [{name: value for name, value in row.items() if value is not None} for row in rows]
    counts = read.lines, read.blank, read.skipped, sorted(read.rejects), sorted(read.notes), read.problem, read.until
    return sorted(told, key=lambda row: (row["source_line"], repr(row))), counts


def alone(path):
    (read,) = reads([path])
    return said(read)


@pytest.fixture(scope="module")
def apart():
    """What each sample gives when it is read by itself, its rows framed at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_table, "SMALL", -1)
        return {path: alone(path) for path in SAMPLES}


def test_samples_of_every_format_in_one_folder_give_what_each_gives_alone(apart):
    paths = Random(1).sample(SAMPLES, len(SAMPLES))
    for path, read in zip(paths, reads(paths), strict=True):
        assert said(read) == apart[path], path.name


CALL = {"object": "chat.completion", "model": "gpt-4o-2024-08-06", "choices": [], "usage": {"prompt_tokens": 5}}
LINES = {
    "a call": json.dumps(CALL | {"id": "a"}),
    "another shape": json.dumps(CALL | {"id": "b", "x": {"y": 1}, "metadata": {"task": "t"}}),
    "in a wrapper": json.dumps({"response": CALL, "request": {"model": "gpt-4o", "messages": []}, "task": "u"}),
    "a bad count": json.dumps(CALL | {"usage": {"prompt_tokens": -1}}),
    "of another format": json.dumps({"type": "message", "id": "m", "model": "claude-opus-4", "role": "assistant",
                                     "content": [], "usage": {"input_tokens": 3, "output_tokens": 2}}),
    "of none": '{"usage": 1}',
    "no record": '{"note": "text"}',
    "broken": '{"id": ',
    "blank": "",
    "a chunk": json.dumps({"id": "s", "object": "chat.completion.chunk", "model": "m", "choices": [{"delta": {}}]}),
}  # fmt: skip


@given(files=st.lists(st.lists(st.sampled_from(sorted(LINES)), max_size=7), min_size=1, max_size=5))
@settings(max_examples=6)
def test_any_lines_in_any_files_give_what_each_file_gives_alone(tmp_path_factory, files):
    folder = tmp_path_factory.mktemp("files")
    paths = []
    for number, names in enumerate(files):
        paths.append(folder / f"{number}.jsonl")
        paths[-1].write_text("".join(LINES[name] + "\n" for name in names))
    together = reads(paths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_table, "SMALL", -1)
        for path, read in zip(paths, together, strict=True):
            assert said(read) == alone(path)


def test_rows_go_back_to_the_file_they_are_of(tmp_path):
    for number in range(5):
        (tmp_path / f"{number}").write_text((json.dumps(CALL | {"id": f"c{number}"}) + "\n") * number)
    assert [[rows.cut()["request_id"].to_list() for rows in read.frames] for read in reads([tmp_path])] == [
        [] if number == 0 else [[f"c{number}"] * number] for number in range(5)
    ]


def test_a_record_too_deep_to_be_read_costs_itself_and_no_other_file(tmp_path, monkeypatch):
    tidied = _table.TableReader._tidied

    def deep(self, records, values, facts):
        if any(b"deep" in record.data for record in records):
            raise RecursionError
        return tidied(self, records, values, facts)

    monkeypatch.setattr(_table.TableReader, "_tidied", deep)
    for number in range(3):
        ids = ("deep", "b") if number == 1 else ("a", "b")
        (tmp_path / f"{number}").write_text("".join(json.dumps(CALL | {"id": name}) + "\n" for name in ids))
    found = reads([tmp_path])
    assert [sum(frame.height for frame in read.frames) for read in found] == [2, 1, 2]
    assert [[why for _, _, why in read.rejects] for read in found] == [[], ["nested too deeply"], []]


def test_a_portion_holds_about_as_many_rows_as_one_file_would(monkeypatch):
    monkeypatch.setattr(_together, "BATCH", 10)
    held = [(_together.Held(None, [None] * 4, []), None) for _ in range(7)]
    assert [len(some) for some in _together._bearable(held)] == [3, 3, 1]
