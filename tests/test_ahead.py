"""What is read ahead is what reading gives: every figure and every count, whatever is left to the ordinary way."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import SAMPLES
from test_ingest_fast import respelled
from test_ingest_only import LOG, SUMS, WRITTEN, agrees

from costaudit.cli import main
from costaudit.ingest import _ahead, _pool, _transcript_shape, ingest
from costaudit.ingest._ahead import Piece
from costaudit.ingest._files import LogFile

USUAL = [line for line in WRITTEN if _transcript_shape.score(line.encode())]
HEAD = "\n".join(USUAL[:4]) + "\n"


def here(places):
    """The pieces read by this process."""
    for path, start, end in places:
        seen = _ahead.read(Piece(LogFile(Path(path), path), start, end))
        if seen is not None:
            yield (path, start, end), seen


@given(st.lists(respelled(LOG) | respelled(WRITTEN), min_size=1, max_size=2), st.sampled_from([600, 1 << 20]))
@settings(max_examples=12, deadline=None)
def test_any_log_read_ahead_gives_what_it_gives(logs, left):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for n, data in enumerate(logs):
            (Path(folder) / f"{n}.jsonl").write_bytes(HEAD.encode() + data)
        whole = ingest([folder])
        patch.setattr(_ahead, "LEFT", left)
        patch.setattr(_pool, "taken", here)
        told = []
        agrees(whole, ingest([folder], only=SUMS, progress=lambda *how: told.append(how[1:])), SUMS)
        assert sorted(told) == [(n + 1, len(logs)) for n in range(len(logs))]


@given(st.lists(st.sampled_from(WRITTEN), min_size=4, max_size=14), st.sampled_from([700, 2_000]))
@settings(max_examples=6, deadline=None)
def test_slices_read_ahead_give_what_the_transcript_gives_as_a_whole(lines, size):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        (Path(folder) / "log.jsonl").write_text(HEAD + "\n".join(lines))
        whole = ingest([folder], only=SUMS)
        for name, value in (("SHARE", size), ("cores", lambda: 2), ("WORTH", 1), ("taken", here)):
            patch.setattr(_pool, name, value)
        agrees(whole, ingest([folder], only=SUMS), SUMS)


def test_a_transcript_is_read_ahead_and_a_log_of_another_kind_is_left(tmp_path):
    for name, text in (("ours", HEAD), ("other", '{"object":"chat.completion"}')):
        (tmp_path / name).write_text(text)
    ours, other = (_ahead.read(Piece(LogFile(tmp_path / n, n), 0, None)) for n in ("ours", "other"))
    assert other is None
    assert (ours.lines, ours.left, ours.until) == (4, [], len(HEAD))
    assert [row[4] for row in ours.rows] == [2]  # rows of one response
    assert ours.skipped == {"user": 2}


PROGRAM = """
import sys
from costaudit.ingest import _ahead
_ahead.WORTH, _ahead.cores = 1, lambda: 2
taken = _ahead.taken
def told(places):
    found = list(taken(places))
    print(f"ahead {len(found)}", file=sys.stderr)
    yield from found
_ahead.taken = told
from costaudit.cli import main
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked elsewhere")
def test_the_program_answers_the_same_with_a_head_start_and_without(tmp_path, capsys):
    for n in range(2):
        (tmp_path / f"{n}.jsonl").write_text(HEAD + "\n".join([*LOG, *WRITTEN]))
    (tmp_path / "calls.jsonl").write_bytes((SAMPLES / "openai-chat.jsonl").read_bytes())
    asked = ["spend", str(tmp_path), "--by", "day,model", "--no-cache", "--format", "json"]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *asked], capture_output=True, text=True, check=True)
    assert done.stderr == "ahead 2\n"
    with suppress(SystemExit):
        main(asked)
    assert json.loads(done.stdout) == json.loads(capsys.readouterr().out)
