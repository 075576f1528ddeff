"""Google's ADK: pieces have the counts of the whole, and an event in a session and a database is one call."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

from costaudit.ingest import ingest

LOG = sample("google-adk.jsonl")
BILL = (2, 400 + 510, 128, 0, 50 + 5, 30)


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}
    assert spent(made) == BILL
    assert window(made) == ("2026-09-05 11:00:01", "2026-09-05 11:00:03")
    first, second = made.requests.sort("started_at").to_dicts()
    assert [first[k] for k in ("task", "run_id", "provider", "model", "finish_reason")] == [
        "helper", "e-1", "google", "gemini-2.5-flash", "stop",
    ]  # fmt: skip
    assert ([c["name"] for c in first["tool_calls"]], len(second["tool_results"])) == (["lookup"], 1)
    assert second["provider"] == "vertex"
    assert made.fates.skipped == {"event without counts": 2, "piece of an answer": 1}


def test_a_session_is_its_events():
    session = {"id": "s-1", "appName": "shop", "userId": "u-1", "state": {}, "events": [json.loads(x) for x in LOG]}
    made = read([session])
    assert spent(made) == BILL
    assert set(made.requests["parent_id"]) == {"s-1"}
    assert spent(read(LOG, [session])) == BILL
    session["events"][1]["usageMetadata"]["promptTokenCount"] = "many"
    hurt = read([{**session, "events": [*session["events"], 7]}])
    assert (spent(hurt)[0], fates(hurt)["rejects"]) == (1, 2)


@pytest.mark.parametrize(
    ("usage", "spends"),
    [  # input, output
        ({"totalTokenCount": 187, "toolUsePromptTokenCount": 7}, (107, 80)),  # Gemini: thoughts beside the output
        ({"totalTokenCount": 150}, (100, 50)),  # LiteLLM: inside
        ({}, (100, 80)),
        # The Live API leaves them out of its total.
        ({"totalTokenCount": 150, "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 50}]}, (100, 80)),
    ],
)
def test_the_total_tells_where_thoughts_stand(usage, spends):
    event = json.loads(LOG[1])
    event["usageMetadata"] = {"promptTokenCount": 100, "candidatesTokenCount": 50, "thoughtsTokenCount": 30, **usage}
    call = read([event]).requests.row(0, named=True)
    assert ((call["input_tokens"], call["output_tokens"]), call["reasoning_tokens"]) == (spends, 30)


@pytest.mark.parametrize("layout", ["event_data", "columns"])
def test_the_database_has_the_same_calls(layout, tmp_path):
    rows = []
    for event in map(json.loads, LOG):
        row = {"id": event["id"], "app_name": "shop", "user_id": "u-1", "session_id": "s-1", "invocation_id": "e-1",
               "timestamp": "2026-09-05 11:00:01.500000"}  # fmt: skip
        usage = event.get("usageMetadata", event.get("usage_metadata"))
        if layout == "event_data":
            row["event_data"] = json.dumps(event)
        else:
            row |= {"author": event["author"], "usage_metadata": json.dumps(usage), "partial": event.get("partial")}
        rows.append(row)
    with closing(sqlite3.connect(tmp_path / "sessions.db")) as db:
        db.execute(f"CREATE TABLE events ({', '.join(rows[0])})")
        db.executemany(f"INSERT INTO events VALUES ({', '.join('?' * len(rows[0]))})", [list(r.values()) for r in rows])
        db.commit()
    calls = ingest([tmp_path]).requests
    assert spent(ingest([tmp_path])) == BILL
    if layout == "event_data":
        assert set(calls["model"]) == {"gemini-2.5-flash"}
    assert set(calls["user"]) == {"u-1"}
    assert calls["input_tokens"].sum() == 400 + 510


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
