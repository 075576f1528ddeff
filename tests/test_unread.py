"""What the system does not let be read is named, and nothing is judged without it: it must not look like savings."""

from __future__ import annotations

import json
import os

import pytest
from program import response
from program import run as run

from costaudit.ingest import _files

REASON = "Permission denied"


@pytest.fixture(params=["a folder", "a file"])
def closed(request, tmp_path, monkeypatch):
    """Logs of two files, one of which, or its folder, may not be read; the answer undoes it."""
    secret = tmp_path / "logs" / "secret"
    secret.mkdir(parents=True)
    (tmp_path / "logs" / "a.jsonl").write_text("\n".join(response(n) for n in range(8)))
    (secret / "b.jsonl").write_text("\n".join(response(n) for n in range(8, 20)))
    hidden = secret if request.param == "a folder" else secret / "b.jsonl"
    looked, opened = os.scandir, _files.open_log

    def refused(path, ask):
        if os.fspath(path).endswith(hidden.name):
            raise PermissionError(13, REASON)
        return ask(path)

    with monkeypatch.context() as patch:
        patch.setattr("costaudit.ingest._files.os.scandir", lambda path: refused(path, looked))
        patch.setattr("costaudit.ingest._files.open_log", lambda path: refused(path, opened))
        patch.setattr("costaudit.ingest._state.state_of", lambda _: None)
        yield f"{hidden.relative_to(tmp_path)}: {REASON}", patch.undo


@pytest.mark.parametrize(
    "command",
    [
        ["analyze", "logs"],
        ["spend", "logs"],
        ["report", "logs", "--month", "2026-09"],
        ["simulate", "logs", "--swap", "gpt-4o -> gpt-4o-mini"],
        ["sql", "select count(*) from calls", "logs"],
    ],
    ids=lambda command: command[0],
)
def test_whatever_is_said_of_the_rest_is_said_and_the_end_tells_that_it_is_the_rest(command, closed, run):
    done = run(*command)
    assert done.code == 3
    assert done.out
    assert (
        f"error: cannot judge: 1 file or folder could not be read, and no figure holds what is in there: {closed[0]}"
        in done.err
    )


def test_a_total_without_it_is_a_lower_bound_that_names_it_and_the_next_run_reads_what_may_be_read_then(closed, run):
    first = run("analyze", "logs")
    assert first.out.startswith("At least $0.028 spent")  # 8 calls at $0.0035
    assert "or more, no upper bound" in first.out
    assert f"{closed[0]}; it could not be read, so totals are at" in first.out
    closed[1]()
    again = run("analyze", "logs")
    assert (again.code, again.err) == (0, "")
    assert again.out.startswith("$0.070 spent")


def test_the_gate_judges_nothing_while_a_side_is_not_whole(closed, run):
    done = run("check", "logs/a.jsonl", "--baseline", "logs", "--format", "json")
    assert done.code == 3
    answer = json.loads(done.out)
    assert answer["verdict"] == "CANNOT JUDGE"
    assert answer["notes"][0] == f"could not be read: {closed[0]}"
    done = run("check", "logs", "--baseline", "logs/a.jsonl")
    assert done.code == 3
    assert f"could not be read: {closed[0]}" in done.out.replace("\n", " ")


def test_no_baseline_is_saved_of_a_part_and_a_store_says_what_it_lacks(closed, run, tmp_path):
    done = run("baseline", "save", "logs", "-o", "base.json")
    assert (done.code, done.out) == (3, "")
    assert not (tmp_path / "base.json").exists()
    done = run("ingest", "logs", "--store", "history")
    assert done.code == 3
    assert "history: 8 requests added" in done.out
    assert "error: 1 file or folder could not be read, so the store does not hold what is in there" in done.err


def test_where_nothing_at_all_may_be_read_there_is_no_answer(closed, run):
    path = closed[0].partition(":")[0]
    assert run("analyze", path) == (3, "", f"error: {closed[0]}\nhint: get the right to read it\n")
