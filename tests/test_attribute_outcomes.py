"""Outcomes that the user states: read alike in each notation, and given to the calls they belong to."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from calls import call, table
from msgspec.structs import replace

from costaudit.attribute import attribute
from costaudit.config import Settings
from costaudit.errors import ConfigError

RUNS = [call(run_id="r1", instance_id="i1"), call(run_id="r1", minute=1), call(run_id="r2", minute=2, success=True)]


def judged(path: Path, rows=RUNS):
    return attribute(table(rows), replace(Settings(), outcomes=path))


def notation(name: str, rows: list[dict]) -> bytes:
    """The rows as JSON lines, as a JSON array, or as CSV."""
    if name.endswith(".jsonl"):
        return "\n".join(json.dumps(row) for row in rows).encode()
    if name.endswith(".json"):
        return json.dumps(rows, indent=1).encode()
    return pl.DataFrame(rows).write_csv().encode()


@pytest.mark.parametrize("name", ["o.csv", "o.jsonl", "o.json", "o.parquet"])
def test_outcomes_read_the_same_in_each_notation(tmp_path, name):
    rows = [{"run_id": "r1", "success": True, "score": 0.5}, {"run_id": "r2", "success": False, "score": None}]
    path = tmp_path / name
    if name == "o.parquet":
        pl.DataFrame(rows).write_parquet(path)
    else:
        path.write_bytes(notation(name, rows))
    found = judged(path)
    assert found.requests["success"].to_list() == [True, True, False]
    assert found.requests["score"].to_list() == [0.5, 0.5, None]
    assert found.notes == ()


def test_the_outcome_of_a_request_goes_before_that_of_its_run_and_its_case(tmp_path):
    path = tmp_path / "o.csv"
    path.write_text("request_id,run_id,instance_id,success,score\n,,i1,no,1\n,r1,,no,2\nr2,,,yes,3\n")
    found = judged(path).requests
    assert found["success"].to_list() == [False, True, True]
    assert found["score"].to_list() == [2, 3, None]


def test_outcomes_that_belong_to_no_call_are_counted(tmp_path):
    path = tmp_path / "o.csv"
    path.write_text("run_id,success\nr1,1\nr8,0\nr9,1\n")
    assert judged(path).notes == (f"{path}: 2 of 3 outcomes belong to no call of this audit",)


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("true", True),
        ("YES", True),
        ("1", True),
        ("False", False),
        ("no", False),
        ("0", False),
        ("", None),
        (" ", None),
    ],
)
def test_success_has_several_words(tmp_path, word, meaning):
    path = tmp_path / "o.csv"
    path.write_text(f"run_id,success,score\nr1,{word},1\n")
    assert judged(path).requests["success"][0] is meaning


def test_missing_values_of_dataframes_are_unknown(tmp_path):
    path = tmp_path / "o.parquet"
    columns = {"run_id": ["r1", "r2"], "success": [1.0, float("nan")], "score": [float("nan"), 2.0]}
    pl.DataFrame(columns).write_parquet(path)
    found = judged(path).requests
    assert found["success"].to_list() == [True, True, True]
    assert found["score"].to_list() == [None, None, 2.0]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("run_id,success\nr1,maybe\n", ":2: success must be one of true, 1, yes, false, 0, no, not 'maybe'"),
        ("run_id,score\nr1,much\n", ":2: score must be a number, not 'much'"),
        ("run_id,score\nr1,inf\n", ":2: score must be a number"),
        ("run_id,score\nr1,1\nr1,1\n", ":3: the outcome of run_id 'r1' is given twice"),
        ("run,score\nr1,1\n", ":2: no request_id, run_id or instance_id"),
        ("run_id,sucess\nr1,1\n", "no row has a success or a score"),
        ("run_id,success\nr1\n", ":2: the row has not as many cells as the header"),
        ("run_id,success\nr1,1,2\n", ":2: the row has not as many cells as the header"),
        ('run_id,success\n"r1,1\n', "not readable as CSV"),
        ("", "no row has a success or a score"),
        ('{"run_id": "r1", "success": 2}\n', ":1: success must be one of"),
        ('{"run_id": "r1", "score": {}}\n', ":1: score must be a number"),
        ('{"run_id": "r1", "score": 1}\n{"run_id": ', ":2: not a JSON object"),
        ('{"run_id": "r1", "score": NaN}\n', ":1: not a JSON object"),
        ('[{"run_id": "r1", "score": 1}, 7]', ", item 2: not a JSON object"),
        ('[{"run_id": "r1"', "not readable as JSON"),
        ("[" * 100_000, "not readable as JSON"),
        ("PAR1 and nothing else", "not readable as Parquet"),
        (b"run_id,success\n\xff,1\n", "not UTF-8"),
    ],
)
def test_outcomes_that_cannot_be_are_named_with_their_line(tmp_path, content, says):
    path = tmp_path / "outcomes"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ConfigError) as error:
        judged(path)
    assert str(path) in str(error.value)
    assert says in str(error.value)


def test_outcomes_that_are_not_there_are_an_error(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        judged(tmp_path / "absent.csv")
