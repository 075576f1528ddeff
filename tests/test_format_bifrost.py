"""Bifrost: what its counts include, which rows are calls, and the ways its log store is read."""

from __future__ import annotations

import csv
import json
import sqlite3

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

from costaudit.ingest import ingest

LOG = sample("bifrost.jsonl")
RECORDS = [json.loads(line) for line in LOG]
FIRST, CLAUDE, HIT, FAILED, FALLBACK, EMBEDDING, CHORE, RUNNING = RECORDS[:8]
CALLS = [FIRST, CLAUDE, FALLBACK, EMBEDDING]


def used(row, given, said, total=None, hidden=0, **details):
    return row | {
        "token_usage": {
            "prompt_tokens": given,
            "prompt_tokens_details": details,
            "completion_tokens": said,
            "completion_tokens_details": {"reasoning_tokens": hidden},
            "total_tokens": given + said if total is None else total,
        }
    }


def one(row):
    return read([row]).requests.row(0, named=True)


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    # The first row and the embedding stand in it twice.
    assert fates(made) == {"duplicates": 2, "rollups": 0, "rejects": 1}
    assert spent(made) == (9, 1_000 + 1_050 + 1_000 + 300 + 70 + 1_050 + 200, 400 + 900 + 400 + 900, 100,
                           50 + 30 + 50 + 20 + 0 + 30 + 10, 20)  # fmt: skip
    assert window(made) == ("2026-09-01 08:00:01", "2026-09-01 08:00:25")
    assert made.fates.skipped == {"no call: list_models": 1}
    calls = {r["request_id"]: r for r in made.requests.to_dicts()}
    assert [name for name, r in calls.items() if r["gateway_cache_hit"]] == ["bf-3"]
    assert [calls[f"bf-{n}"]["status"] for n in (1, 4, 5, 8)] == ["ok", "error", "ok", "cancelled"]
    assert (calls["bf-4"]["http_status"], calls["bf-4"]["error_type"]) == (529, "overloaded_error")
    assert (calls["bf-5"]["attempt"], calls["bf-5"]["parent_id"]) == (2, "bf-4")
    for name in ("bf-2", "bf-9"):  # as its interface gives it, and as a table keeps it
        assert (calls[name]["cache_write_1h_tokens"], calls[name]["run_id"], calls[name]["task"]) == (
            30, "session-1", "triage",
        )  # fmt: skip
    first = calls["bf-1"]
    assert (first["tenant"], first["environment"], first["key_id"]) == ("northwind", "production", "northwind-app")
    assert f"{first['ended_at'] - first['started_at']}" == "0:00:01.500000"


@pytest.mark.parametrize(
    ("row", "tokens", "convention"),
    [
        (used(CLAUDE, 1_050, 30, cached_read_tokens=900, cached_write_tokens=50), (1_050, 900, 50), "proved"),
        # A total that a stream's counts do not add up to shows nothing; Bifrost counts the input so.
        (used(CLAUDE, 1_050, 30, 130, cached_read_tokens=900, cached_write_tokens=50), (1_050, 900, 50), "assumed"),
        # What cannot be inside is not.
        (used(CLAUDE, 100, 30, cached_read_tokens=900, cached_write_tokens=50), (1_050, 900, 50), "proved"),
        # Older versions name reads and writes together.
        (used(FIRST, 1_000, 50, cached_tokens=400), (1_000, 400, None), "proved"),
        (used(CLAUDE, 1_050, 30, cached_tokens=950, cached_write_tokens=50), (1_050, 900, 50), "proved"),
        (used(CLAUDE, 1_050, 30, cached_tokens=0, cached_write_tokens=50), (1_050, 0, 50), "proved"),
    ],
)
def test_cached_input_is_inside_the_prompt(row, tokens, convention):
    made = one(row)
    assert tuple(made[f"{name}_tokens"] for name in ("input", "cache_read", "cache_write")) == tokens
    assert made["convention"] == convention


def former(row, given, said, read_, written, total=None):
    """A row of a version before cached reads and writes had names of their own (March 2026)."""
    row = used(row, given, said, total, cached_tokens=read_)
    row["token_usage"]["completion_tokens_details"]["cached_tokens"] = written
    return row


@pytest.mark.parametrize(
    ("row", "tokens", "convention"),
    [
        # Fresh input alone was the prompt, and the total left the cache out: it looks as if it were inside.
        (former(CLAUDE, 1_000, 30, 900, 50), (1_950, 900, 50, 30), "assumed"),
        (former(CLAUDE, 100, 30, 900, 50), (1_050, 900, 50, 30), "proved"),
        (former(CLAUDE | {"provider": "bedrock"}, 1_000, 30, 900, 50, 1_980), (1_950, 900, 50, 30), "proved"),
        (former(CLAUDE | {"provider": "vertex"}, 1_000, 30, 900, 0), (1_900, 900, 0, 30), "assumed"),
        # As a later version's interface gives what an earlier one wrote.
        (used(CLAUDE | {"timestamp": "2026-01-05T08:00:00Z"}, 1_000, 30, cached_tokens=900, cached_read_tokens=900),
         (1_900, 900, None, 30), "assumed"),
        # Whoever a provider of that name is.
        (former(CLAUDE | {"provider": "ours"}, 1_000, 30, 900, 0), (1_000, 900, None, 30), "undecided"),
        (former(CLAUDE | {"provider": "openrouter"}, 1_000, 30, 900, 0), (1_000, 900, None, 30), "proved"),
    ],
)  # fmt: skip
def test_earlier_versions_left_what_claude_reads_and_writes_beside_the_prompt(row, tokens, convention):
    made = one(row)
    names = ("input", "cache_read", "cache_write", "output")
    assert (tuple(made[f"{name}_tokens"] for name in names), made["convention"]) == (tokens, convention)


def test_the_cost_of_claudes_cached_streams_is_not_shown():
    """Version 1.5.2 charged their cached input once more: twenty such costs would prove it to be beside the input."""
    stream = used(CLAUDE, 1_050, 30, 130, cached_read_tokens=900, cached_write_tokens=50) | {"stream": True, "cost": 1}
    whole = used(CLAUDE, 1_050, 30, cached_read_tokens=900) | {"stream": False, "cost": 1}
    plain = used(CLAUDE, 1_050, 30) | {"stream": True, "cost": 1}
    shown = [one(row)["cost_logged_usd"] for row in (stream, former(CLAUDE, 1_000, 30, 900, 50), whole, plain)]
    assert [cost is not None for cost in shown] == [False, False, True, True]


@pytest.mark.parametrize(("said", "total"), [(100, 600), (40, 600)])
def test_thoughts_are_inside_the_completion_or_the_total_shows_that_they_are_not(said, total):
    row = one(used(FIRST, 500, said, total, hidden=60) | {"provider": "gemini", "model": "gemini-2.5-flash"})
    assert (row["output_tokens"], row["reasoning_tokens"]) == (100, 60)


def test_a_count_of_nothing_is_left_out_and_is_none():
    row = one(EMBEDDING)
    assert (row["input_tokens"], row["output_tokens"]) == (70, 0)


def test_a_row_is_written_as_the_call_begins_and_filled_in_as_it_ends():
    done = FIRST | {"id": "bf-8"}
    for log in ([RUNNING, done], [done, RUNNING]):
        made = read(log)
        assert made.fates.duplicates == 1
        assert made.requests.select("status", "input_tokens").rows() == [("ok", 1_000)]


@pytest.mark.parametrize("row", [RUNNING, FAILED, used(FIRST, 0, 0) | {"output_message": None, "input_history": None}])
def test_what_has_no_counts_is_unknown(row):
    made = one(row)
    assert (made["input_tokens"], made["output_tokens"], made["usage_source"]) == (None, None, "absent")


def test_a_failed_call_that_was_billed_says_so():
    row = one(used(FAILED, 700, 30))
    assert (row["input_tokens"], row["output_tokens"], row["status"]) == (700, 30, "error")


def test_a_chore_with_usage_is_a_call():
    assert one(used(CHORE, 5, 1) | {"object": "batch_retrieve", "model": "gpt-4o-mini"})["service_tier"] == "batch"


def stored(row):
    """The row as the log store's table has it."""
    usage = row["token_usage"] or {}
    objects = ("token_usage", "metadata", "params", "cache_debug", "error_details")
    return {
        **{k: v for k, v in row.items() if k not in ("object", *objects) and not isinstance(v, list)},
        **{name: json.dumps(row[name]) if row.get(name) else "" for name in objects},
        "object_type": row["object"],
        "timestamp": row["timestamp"].replace("T", " ").replace("Z", "+00:00"),
        "prompt_tokens": usage.get("prompt_tokens", 0),
        "completion_tokens": usage.get("completion_tokens", 0),
        "total_tokens": usage.get("total_tokens", 0),
        "cached_read_tokens": usage.get("prompt_tokens_details", {}).get("cached_read_tokens", 0),
        "output_message": "",
    }  # fmt: skip


def same(made, rows=CALLS):
    assert fates(made)["rejects"] == 0
    assert spent(made) == spent(read(rows))
    assert window(made) == window(read(rows))


def test_the_database_and_tables_of_it_read_as_the_interface(tmp_path):
    rows = [stored(row) for row in CALLS]
    names = sorted({name for row in rows for name in row})
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        out = csv.DictWriter(file, names)
        out.writeheader()
        out.writerows(rows)
    same(ingest([tmp_path / "rows.csv"]))
    db = sqlite3.connect(tmp_path / "logs.db")
    db.execute(f"create table logs ({', '.join(names)})")
    db.execute("create table async_jobs (id, payload)")
    db.execute("insert into async_jobs values ('1', '{\"usage\": {\"prompt_tokens\": 9}}')")
    db.executemany(
        f"insert into logs values ({', '.join('?' * len(names))})", [[r.get(n) for n in names] for r in rows]
    )
    db.commit()
    db.close()
    same(ingest([tmp_path / "logs.db"]))
    same(ingest([tmp_path]))  # each once
    same(read([json.dumps(row) for row in rows]))
    same(read([{"logs": CALLS, "stats": {"total_tokens": 9_999_999, "total_cost": 99.0}}]))


def test_rows_whose_usage_is_kept_elsewhere_have_the_counts_beside_it():
    row = one(stored(CLAUDE) | {"token_usage": ""})
    assert (row["input_tokens"], row["cache_read_tokens"], row["cache_write_tokens"]) == (1_050, 900, None)
    assert one(stored(FAILED))["input_tokens"] is None


def test_an_element_that_is_no_row_costs_itself():
    made = read([{"logs": [FIRST, "x", None]}])
    assert (made.requests.height, fates(made)["rejects"]) == (1, 2)


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
