"""Codex: totals that grow, stand still, start again, and are copied from a parent."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

from costaudit.ingest import ingest

LOG = sample("codex.jsonl")
FORK = "019a0000-0000-7000-8000-00000000000a"


def usage(tokens):
    names = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens")
    return dict(zip(names, tokens, strict=False))


def meta(thread="t", at="2026-09-02T10:00:00Z", **more):
    return {"timestamp": at, "type": "session_meta", "payload": {"id": thread, "timestamp": at, "source": "cli"} | more}


def event(kind, at="2026-09-02T11:00:00Z", **payload):
    return {"timestamp": at, "type": "event_msg", "payload": {"type": kind} | payload}


def stated(total=None, last=None, at="2026-09-02T11:00:00Z"):
    info = {}
    if total:
        info["total_token_usage"] = usage(total)
    if last:
        info["last_token_usage"] = usage(last)
    return event("token_count", at, info=info or None)


def test_the_sample_is_differences_without_the_copy_of_the_parent():
    made = read(LOG)
    # Totals over the parent's 90,000 / 80,000 / 0 / 900 / 400, then again from 0 after the reset, then a streamed turn:
    # 92,600 - 90,000 = 2,600 of which 2,000 read and 400 written; 95,600 - 92,600 = 3,000; 1,000; 500.
    assert made.requests["input_tokens"].to_list() == [2_600, 3_000, 1_000, 500]
    assert made.requests["cache_read_tokens"].to_list() == [2_000, 2_600, 0, 300]
    assert made.requests["cache_write_tokens"].to_list() == [400, 0, 0, 0]
    assert made.requests["output_tokens"].to_list() == [100, 30, 70, 20]
    assert made.requests["reasoning_tokens"].to_list() == [60, 0, 20, 0]
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}
    said = {kind: n for kind, n in made.fates.skipped.items() if "usage" in kind}
    assert said == {
        "token_count without usage": 1,
        "usage copied from the parent thread": 1,
        "usage of nothing": 1,
        "usage repeated": 1,
    }


def test_runs_are_turns_and_tools_meet_their_results():
    one, two, three, streamed = read(LOG).requests.to_dicts()
    assert [r["run_id"] for r in (one, two, three)] == [f"{FORK}:turn-1", f"{FORK}:turn-1", f"{FORK}:turn-2"]
    assert (one["parent_id"], one["task"], one["model"], one["reasoning_effort"], one["key_id"]) == (
        "019a0000-0000-7000-8000-000000000001", "explorer", "gpt-5.6-mini", "low", "/srv/shop",
    )  # fmt: skip
    assert [call["name"] for call in one["tool_calls"]] == ["shell"]
    assert [r["id"] for r in two["tool_results"]] == [call["id"] for call in one["tool_calls"]]
    assert [(e["class"], int(e["quantity"])) for e in two["extras"]] == [("web_search", 1)]
    assert streamed["model"] is None


@pytest.mark.parametrize(
    ("rows", "inputs"),
    [
        ([stated((100, 0, 1)), stated((100, 0, 1)), stated((150, 0, 2))], [100, 50]),  # shown again: nothing was spent
        ([stated((100, 0, 1)), stated(None), stated((150, 0, 2), (30, 0, 1))], [100, 50]),  # two requests in one event
        ([stated((1_000, 800, 100)), stated((0, 0, 0)), stated((900, 700, 60))], [1_000, 900]),  # counter started again
        ([stated((1_000, 0, 9)), stated((300, 0, 2), (300, 0, 2))], [1_000, 300]),
        ([stated((1_000, 0, 9)), stated((900, 0, 12), (40, 0, 3))], [1_000, 40]),
        ([stated(None, (10, 0, 1)), stated(None, (20, 0, 1))], [10, 20]),
        ([stated((0, 0, 0)), stated((100, 0, 5))], [100]),  # a first total of nothing is a total
        ([event("token_count", info={"prompt": 1_420, "completion": 910})], [1_420]),
        ([event("turn.completed", usage=usage((980, 0, 640))), event("turn.completed", usage=usage((1_620, 980, 240)))],
         [980, 1_620]),
        ([stated((100, 0, 1)), event("turn.completed", usage=usage((100, 0, 1)))], [100]),  # the turn restates it
    ],
)  # fmt: skip
def test_a_request_is_what_the_total_grew_by(rows, inputs):
    made = read([meta(), *rows])
    assert made.requests["input_tokens"].to_list() == inputs
    assert made.fates.balanced


def test_records_of_responses_are_better_than_totals_and_a_response_is_paid_once():
    spend = {"timestamp": "2026-09-02T11:00:00Z", "type": "token_usage_record"}
    first = spend | {"payload": {"thread_id": "t", "response_id": "resp_1", "usage": usage((100, 0, 5))}}
    second = spend | {"payload": {"thread_id": "t", "response_id": "resp_2", "usage": usage((40, 0, 5))}}
    made = read([meta(), first, stated((100, 0, 5)), first, second, stated((140, 0, 10))])
    assert spent(made)[:2] == (2, 140)
    assert fates(made)["duplicates"] == 1


@pytest.mark.parametrize("copied", ["2026-09-02T10:00:02Z", "2026-08-01T10:00:00Z"], ids=["rewritten", "kept"])
def test_a_fork_without_turns_drops_what_was_copied_in_its_first_seconds_or_before(copied):
    fork = meta("child", forked_from_id="parent")
    own = stated((5_700, 0, 19), at="2026-09-02T10:30:00Z")
    assert spent(read([fork, stated((5_000, 0, 9), at=copied), own]))[:2] == (1, 700)


def test_a_session_that_only_begins_fast_loses_nothing():
    rows = [stated((1_000 * n, 0, n), at=f"2026-09-02T10:00:0{n}Z") for n in range(1, 4)]
    assert spent(read([meta(), *rows]))[:2] == (3, 3_000)


def test_an_archived_copy_and_two_sessions_with_equal_numbers_are_told_apart():
    rows = [stated((100, 0, 1)), stated((150, 0, 2))]
    assert spent(read([meta("a"), *rows], [meta("a"), *rows]))[:2] == (2, 150)
    assert spent(read([meta("a"), *rows], [meta("b"), *rows]))[:2] == (4, 300)
    assert spent(read([meta("a"), *rows, meta("b"), *rows]))[:2] == (4, 300)  # rollouts joined into one file


def test_a_streamed_turn_counts_only_where_the_rollout_is_not_in_the_log():
    stream = [{"type": "thread.started", "thread_id": "t"}, {"type": "turn.completed", "usage": usage((150, 0, 2))}]
    assert spent(read(stream))[:2] == (1, 150)
    made = read(stream, [meta(), stated((100, 0, 1)), stated((150, 0, 2))])
    assert spent(made)[:2] == (2, 150)
    assert fates(made)["rollups"] == 1


def test_reasoning_is_part_of_the_output_and_cache_part_of_the_input():
    made = read([meta(), stated((200, 500, 10, 8))])  # more cached than sent: no request can have that
    assert made.requests.select("input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens").row(0) == (
        200, 200, 10, 8,
    )  # fmt: skip


def test_json_with_spaces_is_the_same_json():
    spaced = [json.dumps(json.loads(line), separators=(" , ", " : ")) for line in LOG]
    assert spent(read(spaced)) == spent(read(LOG))


# --- real rollouts, and the five fixtures with published answers ------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "calls", "first", "last"),
    [
        # input, cached, written, output, reasoning
        ("logpile/replay-multisecond.jsonl", (1, 5_000, 3_000, 0, 500, 50),
         "2026-06-08 12:01:00", "2026-06-08 12:01:00"),
        ("logpile/counter-reset-epochs.jsonl", (2, 1_900, 1_500, 0, 160, 60),
         "2026-05-01 01:00:00", "2026-05-01 03:00:00"),
        ("logpile/fresh-same-second.jsonl", (3, 3_000, 2_400, 0, 120, 30),
         "2026-06-08 11:39:04", "2026-06-08 11:40:10"),
        ("logpile/rollout-2026-05-01T00-00-00-parent-thread.jsonl", (1, 100, 50, 0, 10, 1),
         "2026-05-01 00:01:00", "2026-05-01 00:01:00"),
        ("logpile/rollout-2026-06-08T11-39-04-leaf-thread.jsonl", (1, 5_000, 2_000, 0, 200, 50),
         "2026-06-08 12:02:00", "2026-06-08 12:02:00"),
        ("logpile", (8, 15_000, 8_950, 0, 990, 191), "2026-05-01 00:01:00", "2026-06-08 12:02:00"),
        # 19 events, each a request; reasoning is 9,536 of the 12,551, not beside them.
        ("vct-real-rollout-0.39-redacted.jsonl", (19, 270_530, 136_832, 0, 12_551, 9_536),
         "2025-09-19 09:02:27", "2025-09-19 09:09:18"),
        ("agent-sessions-all-row-types-0.146.jsonl", (1, 16_341, 3_584, 0, 81, 63),
         "2026-08-03 10:48:56", "2026-08-03 10:48:56"),
        ("agent-sessions-codex_050_legacy.jsonl", (1, 1_420, 0, 0, 910, 0),
         "2025-10-30 10:00:02", "2025-10-30 10:00:02"),
        ("agent-sessions-codex_052_raw.jsonl", (2, 2_600, 980, 0, 880, 0),
         "2025-10-30 12:00:05", "2025-10-30 12:00:11"),
    ],
)  # fmt: skip
def test_real_rollouts_read_right(shared, path, calls, first, last):
    made = ingest([shared / "formats/codex" / path])
    assert spent(made) == calls
    assert window(made) == (first, last)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}


@given(mangled(LOG))
@settings(max_examples=20, deadline=None)
def test_damaged_lines_cost_themselves_and_nothing_else(lines):
    assert read(lines).fates.balanced
