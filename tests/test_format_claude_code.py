"""Claude Code: one response is many rows, a step can hide in a list, and a copy is not a call."""

from __future__ import annotations

import json
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

from costaudit.ingest import ingest

LOG = sample("claude-code.jsonl")
RESULTS = sample("claude-result.jsonl")

# input with cache, cache reads, cache writes, output of each response in the sample
BILLED = {
    "msg_01AAAAAAAAAAAAAAAAAAAAAA": (10 + 1_000 + 200, 1_000, 200, 167),  # rows say 8, 8, 167: the largest is the call
    "msg_01BBBBBBBBBBBBBBBBBBBBBB": (20 + 1_200 + 300, 1_200, 300, 50),  # replayed in a side question with 9,900 read
    "msg_01CCCCCCCCCCCCCCCCCCCCCC": (5 + 1_500 + 100, 1_500, 100, 40),
    "msg_01DDDDDDDDDDDDDDDDDDDDDD": (700, 0, 0, 30),  # a side chain of its own is real spend
    "msg_01EEEEEEEEEEEEEEEEEEEEEE": (23_000, 0, 0, 1_000),
    "gw-1": (100, 0, 0, 10),
}
BESIDE = [("claude-opus-5", 180_000, 3_500), ("claude-sonnet-5", 900, 60)]  # compaction; advisor at its own rates


def row(n, *, fresh=10, read=0, write=0, out=5, session="s", **more):
    usage = {
        "input_tokens": fresh,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": write,
        "output_tokens": out,
    }
    usage |= more.pop("usage", {})
    message = {"id": f"msg_{n}", "role": "assistant", "model": "claude-opus-5", "content": [], "usage": usage}
    return {
        "type": "assistant",
        "uuid": f"u-{n}-{out}",
        "parentUuid": None,
        "isSidechain": False,
        "sessionId": session,
        "requestId": f"req_{n}",
        "timestamp": "2026-09-01T08:00:00Z",
        "message": message | more.pop("message", {}),
    } | more


def test_the_sample_is_billed_once_a_response():
    made = read(LOG)
    calls = made.requests.filter(pl.col("convention").is_null()).to_dicts()
    top = {c["request_id"]: c for c in calls if (c["model"], c["input_tokens"], c["output_tokens"]) not in BESIDE}
    assert {
        name: tuple(c[k] or 0 for k in ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens"))
        for name, c in top.items()
    } == BILLED
    assert sorted((c["model"], c["input_tokens"], c["output_tokens"]) for c in calls if c not in top.values()) == BESIDE
    assert fates(made) == {"duplicates": 3, "rollups": 0, "rejects": 0}
    assert made.fates.skipped == {"answer to an API error": 1, "summary": 1, "system/api_error": 1, "user": 7}


def test_runs_tasks_and_what_is_billed_beside_tokens():
    by = {c["request_id"]: c for c in read(LOG).requests.to_dicts()}
    session = "5e0a7c1e-0000-4000-8000-00000000000a"
    assert [by[f"msg_01{c * 22}"]["run_id"] for c in "ABCD"] == [
        f"{session}:u1", f"{session}:u1", f"{session}:u4", f"{session}/c1",
    ]  # fmt: skip
    assert [by[f"msg_01{c * 22}"]["task"] for c in "ABCD"] == ["main loop", "main loop", "/review", "Explore"]
    answer = by[f"msg_01{'B' * 22}"]
    assert answer["service_tier"] == "fast"
    assert answer["attempt"] == 2
    assert answer["cache_write_1h_tokens"] == 300
    assert [(e["class"], int(e["quantity"])) for e in answer["extras"]] == [("web_search", 2)]


def test_tool_calls_and_their_results_meet_although_written_between_the_rows_of_one_response():
    by = {c["request_id"]: c for c in read(LOG).requests.to_dicts()}
    asking, sending = by[f"msg_01{'A' * 22}"], by[f"msg_01{'B' * 22}"]
    assert [call["name"] for call in asking["tool_calls"]] == ["Read", "Bash"]
    assert asking["tool_results"] is None
    assert [r["id"] for r in sending["tool_results"]] == [call["id"] for call in asking["tool_calls"]]
    assert [r["error"] for r in sending["tool_results"]] == [False, True]


@pytest.mark.parametrize(
    ("rows", "calls", "tokens", "output"),
    [
        ([row(1, out=8), row(1, out=8), row(1, out=167)], 1, 10, 167),
        ([row(1, out=167), row(1, out=8)], 1, 10, 167),
        ([row(1, requestId=None, out=3), row(1, requestId=None, out=9)], 1, 10, 9),
        ([row(1, requestId="", out=3), row(1, requestId="req_1", out=9)], 1, 10, 9),
        ([row(1), row(1, requestId="req_9")], 2, 20, 10),
        ([row(1, fresh=10), row(1, fresh=99, requestId="req_9", isSidechain=True, out=500)], 1, 10, 5),
        ([row(1, isSidechain=True)], 1, 10, 5),
        ([row(1, message={"id": None}, uuid="a"), row(1, message={"id": None}, uuid="a")], 1, 10, 5),
        ([row(1, message={"id": None}, uuid="a"), row(1, message={"id": None}, uuid="b")], 2, 20, 10),
        ([row(1, session="a"), row(1, session="b")], 1, 10, 5),
        ([row(1, message={"usage": {}})], 1, 0, 0),
        ([row(1, cwd=None, usage={"speed": None, "server_tool_use": None, "iterations": None})], 1, 10, 5),
        ([row(1, usage={"input_tokens": "10", "output_tokens": 5.0})], 1, 10, 5),
    ],
    ids=[
        "output grows", "the largest stands first", "no request id", "request id empty in one copy",
        "two requests of one message id", "replayed in a side question", "a side chain of its own",
        "copies without ids", "two rows without ids", "resumed under another session", "usage that is empty",
        "nulls everywhere", "numbers as text",
    ],
)  # fmt: skip
def test_copies_are_found_by_identity_and_the_best_one_counts_whole(rows, calls, tokens, output):
    made = read(rows)
    assert spent(made)[:2] == (calls, tokens)
    assert spent(made)[4] == output
    assert made.fates.balanced


def test_copies_in_other_files_are_the_same_calls():
    assert spent(read(LOG, LOG[:9])) == spent(read(LOG))
    assert spent(read(LOG[9:], LOG)) == spent(read(LOG))


def test_json_with_spaces_is_the_same_json():
    spaced = [json.dumps(json.loads(line), indent=None, separators=(" , ", " : ")) for line in LOG]
    assert spent(read(spaced)) == spent(read(LOG))


def test_without_request_ids_nothing_is_counted_twice_or_lost():
    without = [{k: v for k, v in json.loads(line).items() if k != "requestId"} for line in LOG]
    assert spent(read(without)) == spent(read(LOG))


def test_a_call_without_usage_is_unmetered_and_not_free():
    made = read([row(1, message={"usage": None})])
    assert made.requests.select("input_tokens", "output_tokens", "usage_source").row(0) == (None, None, "absent")


@pytest.mark.parametrize(
    ("total", "split", "iterations", "expected"),
    [
        (600, (0, 600), None, (600, 0, 600, None)),
        (600, None, None, (600, None, None, None)),
        # The one step that agrees with the top level in everything else has the split of 600.
        (600, (0, 800), [(1, 20, 0, 800, 5), (10, 30, 100, 500, 7)], (600, 100, 500, None)),
        # Two steps that add up to the top level.
        (600, (0, 800), [(4, 10, 200, 200, 3), (6, 20, 200, 0, 4)], (600, 400, 200, None)),
        (600, (0, 800), [(1, 20, 0, 800, 5)], (600, 0, 600, "assumed")),
        (600, (300, 900), None, (600, 150, 450, "assumed")),  # one quarter and three quarters of the total
        (600, (100, 300), None, (600, 100, 300, None)),  # how long the rest lives is unknown
        (0, (100, 300), None, (400, 100, 300, None)),
    ],
)
def test_cache_writes_and_their_lifetimes_agree(total, split, iterations, expected):
    usage = {"cache_read_input_tokens": 30, "cache_creation_input_tokens": total, "output_tokens": 7}
    if split:
        usage["cache_creation"] = lifetimes(*split)
    if iterations:
        usage["iterations"] = [
            {"input_tokens": fresh, "cache_read_input_tokens": hit, "cache_creation_input_tokens": short + long,
             "cache_creation": lifetimes(short, long), "output_tokens": out}
            for fresh, hit, short, long, out in iterations
        ]  # fmt: skip
    columns = ("cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "convention")
    assert read([row(1, usage=usage)]).requests.select(columns).row(0) == expected


@pytest.mark.parametrize(
    ("identity", "provider"), [("msg_1", None), ("msg_bdrk_1", "bedrock"), ("msg_vrtx_1", "vertex")]
)
def test_who_served_a_message_is_known_by_its_id(identity, provider):
    assert read([row(1, message={"id": identity})]).requests["provider"].item() == provider


def lifetimes(short, long):
    return {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long}


def step(kind, fresh, out, **more):
    return {"type": kind, "input_tokens": fresh, "output_tokens": out} | more


@pytest.mark.parametrize(
    ("top", "iterations", "billed"),
    [
        ((23_000, 1_000), [step("compaction", 180_000, 3_500), step("message", 23_000, 1_000)], 23_000 + 180_000),
        ((30, 4), [step("message", 10, 2), step("message", 20, 2)], 30),
        # A refusal answered by another model: each part at the rates of the model that did it.
        ((30, 4), [step("message", 10, 2, model="claude-fable-5"), step("fallback_message", 20, 2)], 30),
        # The sum of two steps looks like one prompt over a price step; each step is under it.
        ((180_000, 4), [step("message", 90_000, 2), step("message", 90_000, 2)], 180_000),
        ((30, 4), [step("message", 7, 2, model="claude-fable-5"), step("message", 20, 2)], 30),  # does not add up
    ],
)
def test_steps_are_billed_once_each(top, iterations, billed):
    made = read([row(1, fresh=top[0], out=top[1], usage={"iterations": iterations})] * 2)
    assert made.requests["input_tokens"].sum() == billed
    assert (
        made.requests["input_tokens"].max() == max(s["input_tokens"] for s in iterations) or made.requests.height == 1
    )
    assert made.fates.balanced


def test_a_subagent_takes_its_session_from_the_path_and_its_kind_from_the_file_beside_it(tmp_path):
    folder = tmp_path / "parent-session" / "subagents"
    folder.mkdir(parents=True)
    own = row(1, session="agent-77", agentId="77", isSidechain=True)
    (folder / "agent-77.jsonl").write_text(json.dumps(own))
    (folder / "agent-77.meta.json").write_text('{"agentType": "code-reviewer", "spawnDepth": 1}')
    made = ingest([tmp_path])
    assert made.requests.select("run_id", "parent_id", "task").row(0) == (
        "parent-session/77", "parent-session", "code-reviewer",
    )  # fmt: skip
    assert made.fates.skipped == {"agent description": 1}


# --- headless results -------------------------------------------------------------------------------------------------


def test_results_are_totals_of_sessions_and_the_last_running_total_counts():
    made = read(RESULTS)
    # Session b: the second result holds the first one. 50 + 2,000 + 200 of one model, 400 of the other; session c: 7.
    assert spent(made) == (3, 50 + 2_000 + 200 + 400 + 7, 2_000, 200, 120 + 10 + 3, 0)
    assert made.requests["cost_logged_usd"].sum() == Decimal("0.62")  # 0.59 + 0.01 + 0.02
    assert fates(made)["duplicates"] == 2


def test_a_result_counts_only_where_its_transcript_is_not_in_the_log():
    result = {
        "type": "result",
        "session_id": "s",
        "total_cost_usd": 1,
        "usage": {"input_tokens": 10, "output_tokens": 5},
    }
    assert spent(read([result]))[:2] == (1, 10)
    made = read([result], [row(1)])
    assert spent(made)[:2] == (1, 10)
    assert fates(made)["rollups"] == 1
    streamed = read([row(1), result])
    assert (spent(streamed)[0], streamed.fates.rollups) == (1, 1)


# --- real transcripts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "calls", "duplicates", "rejects", "first", "last"),
    [
        # Right totals of the real session: 158 + 99,004 written + 1,093,509 read; adding every row up gives 1,423,238.
        ("vct-real-session-redacted.jsonl", (32, 158 + 99_004 + 1_093_509, 1_093_509, 99_004, 3_860, 0), 10, 0,
         "2025-08-28 12:57:13", "2025-08-28 13:13:47"),
        ("claude-code-log-edge_cases.jsonl", (4, 35 + 200 + 85 + 168, 0, 0, 145 + 25 + 180 + 85, 0), 0, 3,
         "2025-06-14 10:02:00", "2025-06-14 11:03:00"),
        ("claude-code-log-representative_messages.jsonl", (5, 218, 0, 0, 445, 0), 0, 0,
         "2025-06-14 10:00:30", "2025-06-14 10:03:30"),
        ("logpile/claims", (1, 10 + 20 + 30, 30, 20, 40, 0), 1, 0, "2026-07-04 09:00:01", "2026-07-04 09:00:01"),
        ("logpile/residual-day.jsonl", (1, 60, 30, 20, 40, 0), 0, 0, "2026-07-03 09:00:00", "2026-07-03 09:00:00"),
        ("logpile/stats", (3, 6_630, 3_320, 2_200, 4_430, 0), 0, 0, "2026-06-30 23:10:00", "2026-07-10 10:00:00"),
        ("logpile/tmp-demo", (2, 10 + 20 + 100 + 200 + 300, 320, 200, 45, 0), 0, 0,
         "2026-07-01 09:00:01", "2026-07-01 10:00:01"),
    ],
)  # fmt: skip
def test_real_transcripts_read_right(shared, path, calls, duplicates, rejects, first, last):
    made = ingest([shared / "formats/claude-code" / path])
    assert spent(made) == calls
    assert fates(made) == {"duplicates": duplicates, "rollups": 0, "rejects": rejects}
    assert window(made) == (first, last)


def test_every_known_type_of_row_is_counted_and_none_is_refused(shared):
    made = ingest([shared / "formats/claude-code/agent-sessions-all-row-types.jsonl"])
    assert len(made.fates.skipped) > 25
    assert fates(made)["rejects"] == 0
    assert spent(made)[1] == 10


@given(mangled(LOG + RESULTS))
@settings(max_examples=20, deadline=None)
def test_damaged_lines_cost_themselves_and_nothing_else(lines):
    assert read(lines).fates.balanced
