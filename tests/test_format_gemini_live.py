"""Gemini's Live API: a turn bills what was said before it, and names neither model nor session."""

from __future__ import annotations

import json

from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

LOG = sample("gemini-live.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}
    assert spent(made) == (2, 200 + 410, 128, 0, 75 + 50, 30)
    assert window(made) == ("2026-09-02 08:00:04", "2026-09-02 08:00:09")
    first, second = made.requests.to_dicts()
    assert [first[k] for k in ("model", "provider", "run_id", "task")] == [
        "gemini-live-2.5-flash-preview", "google", "live-1", "hotline",
    ]  # fmt: skip
    assert {e["class"]: e["quantity"] for e in first["extras"]} == {"input_audio": 150, "output_audio": 75}
    assert {e["class"]: e["quantity"] for e in second["extras"]} == {"input_audio": 300}
    assert made.fates.skipped == {"message without counts": 3}


def test_what_stands_around_a_message_keeps_its_name():
    row = json.loads(LOG[4])
    call = read([{"request_id": "r-9", "run_id": "s-9", "ts": row["ts"], **row["message"]}]).requests.row(0, named=True)
    assert (call["request_id"], call["run_id"], call["started_at"] is not None) == ("r-9", "s-9", True)


def test_without_a_setup_the_record_around_names_the_model():
    row = json.loads(LOG[3]) | {"model": "gemini-2.5-flash-live"}
    assert read([row]).requests["model"].item() == "gemini-2.5-flash-live"


def test_a_new_session_takes_neither_name_nor_model_from_the_one_before():
    again = [json.loads(LOG[0]), json.loads(LOG[3])]
    again[0]["message"]["setup"] = {"model": "models/gemini-3-live"}
    again[1]["request_id"] = "live-2-1"
    call = {row["request_id"]: row for row in read([*LOG, *again]).requests.to_dicts()}["live-2-1"]
    assert (call["model"], call["run_id"]) == ("gemini-3-live", None)


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
