"""promptfoo: tests and what grading them took; what its own cache answered called nobody."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent

from costaudit.ingest import ingest

LOG = sample("promptfoo.jsonl")
RESULTS = json.loads(LOG[0])["results"]["results"]


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}
    assert spent(made) == (4, 500 + 1_000 + 100, 800, 100, 40 + 30 + 20, 20)
    calls = {(row["instance_id"], row["task"]): row for row in made.requests.to_dicts()}
    first, second, cached, graded = (calls[k] for k in (("0", None), ("1", None), ("2", None), ("0", "grading")))
    assert [first[k] for k in ("provider", "model", "score", "success", "environment")] == [
        "openai", "gpt-5-mini", 1.0, True, "evaluation",
    ]  # fmt: skip
    assert (first["ended_at"] - first["started_at"]).total_seconds() == 1.5
    assert first["system_sha"] is not None
    assert (second["model"], second["success"]) == ("claude-sonnet-5", False)
    assert (cached["gateway_cache_hit"], cached["model"]) == (True, "llama3.2:3b")
    assert (graded["model"], graded["summed"]) == (None, True)


def test_results_one_a_line_are_the_same_calls():
    assert spent(read(RESULTS)) == spent(read(LOG))


def test_the_database_has_the_same_calls(tmp_path):
    names = {
        "promptIdx": "prompt_idx",
        "testIdx": "test_idx",
        "latencyMs": "latency_ms",
        "gradingResult": "grading_result",
    }
    rows = [
        {names.get(k, k): json.dumps(v) if isinstance(v, (dict, list)) else v for k, v in r.items()} for r in RESULTS
    ]
    with closing(sqlite3.connect(tmp_path / "promptfoo.db")) as db:
        columns = ["eval_id", "created_at", *rows[0]]
        db.execute(f"CREATE TABLE eval_results ({', '.join(columns)})")
        marks = ", ".join("?" * len(columns))
        db.executemany(
            f"INSERT INTO eval_results VALUES ({marks})", [["eval-abc", 1788606000000, *row.values()] for row in rows]
        )
        db.commit()
    made = ingest([tmp_path])
    assert spent(made) == spent(read(LOG))
    assert made.requests["started_at"].null_count() == 0


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        # Gemini: thoughts beside the completion, cached input inside the prompt.
        ({"prompt": 100, "completion": 10, "total": 150, "cached": 60, "numRequests": 1,
          "completionDetails": {"reasoning": 40, "acceptedPrediction": 0}}, (1, 100, 60, 0, 50, 40)),
        # OpenAI: reasoning inside.
        ({"prompt": 100, "completion": 50, "total": 150,
          "completionDetails": {"reasoning": 40, "cacheReadInputTokens": 60}}, (1, 100, 60, 0, 50, 40)),
        # Of several requests some may have been answered by promptfoo's own cache.
        ({"prompt": 100, "completion": 10, "total": 200, "cached": 90, "numRequests": 2}, (1, 100, 0, 0, 10, 0)),
    ],
)  # fmt: skip
def test_what_stands_inside_is_as_the_provider_has_it(usage, expected):
    result = RESULTS[0] | {"provider": {"id": "google:gemini-2.5-flash"}, "gradingResult": None}
    assert spent(read([result | {"response": {"tokenUsage": usage}}])) == expected


def test_one_bad_result_costs_that_result():
    log = json.loads(LOG[0])
    log["results"]["results"][1]["response"]["tokenUsage"]["prompt"] = "many"
    assert (spent(read([log]))[0], fates(read([log]))["rejects"]) == (3, 1)


def test_cached_input_of_bedrock_stands_beside_the_prompt():
    result = RESULTS[0] | {"provider": {"id": "bedrock:us.anthropic.claude-sonnet-5"}, "gradingResult": None}
    usage = {"prompt": 20, "completion": 9, "total": 829, "numRequests": 2}
    result["response"] = {"tokenUsage": usage, "metadata": {"cacheTokens": {"read": 700, "write": 100}}}
    made = read([result])
    assert spent(made) == (1, 20 + 700 + 100, 700, 100, 9, 0)
    assert made.requests["summed"].item() is True


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
