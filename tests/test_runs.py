"""Runs rebuilt from what calls send: who belongs together, and who must be kept apart."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import timedelta

import polars as pl
import pytest
from calls import START, asked, call, chain, gave, letters, shuffled, table
from hypothesis import given, settings
from hypothesis import strategies as st

from costaudit import schema
from costaudit.attribute import _runs, attribute
from costaudit.config import Settings
from costaudit.ingest._prompt import facts


def runs(rows) -> pl.DataFrame:
    return attribute(table(rows), Settings()).requests


def grouping(rows) -> str:
    return "".join(letters(runs(rows)["run_id"]))


TOGETHER = {
    "the next turn": [call("S|hello", "hi"), call("S|hello|hi|more", minute=1)],
    "the next turn where answers are not stored": [call("S|hello"), call("S|hello|hi|more", minute=1)],
    "no system prompt, but question and answer": [call("hello", "hi"), call("hello|hi|more", minute=1)],
    "an answer continued by itself": [call("S|hello", "one,"), call("S|hello|one,", "two", minute=1)],
    "snapshots of one model family": [
        call("S|hello", "hi", model="gpt-5.4-2026-03-05"),
        call("S|hello|hi|more", minute=1, model="openai/gpt-5.4-mini"),
    ],
    "another cloud's name for the family": [
        call("S|hello", "hi", model="us.anthropic.claude-sonnet-4-6-v1:0"),
        call("S|hello|hi|more", minute=1, model="claude-opus-4-6"),
    ],
    "a day less a minute": [call("S|hello", "hi"), call("S|hello|hi|more", minute=24 * 60 - 1)],
    "one file without times": [
        call("S|hello", "hi", started_at=None),
        call("S|hello|hi|more", started_at=None),
    ],
    "a turn of many messages": [
        call("S|hello", "hi"),
        call("S|hello|hi|" + "|".join(f"result {n}" for n in range(20)), minute=1),
    ],
    "a failed call and its retry": [call("S|hello", status="error"), call("S|hello", "hi", minute=1)],
    "a trimmed history whose tool results name their call": [
        call("S|u1|a1|u2", "a2", tool_calls=asked(("t7", "search", 1))),
        call("S|a2|result", minute=1, tool_results=gave(("t7", "found", False))),
    ],
    "a request that names the response it continues": [
        call("S|hello", "hi", request_id="resp-1"),
        call("more", request_id="resp-2", parent_id="resp-1", minute=25 * 60),
    ],
    "spans with tool ids only": [
        call(tool_calls=asked(("t7", "search", 1))),
        call(minute=1, tool_results=gave(("t7", "found", False))),
    ],
}

APART = {
    "another API key": [call("S|hello", "hi"), call("S|hello|hi|more", minute=1, key_id="key-2")],
    "another tenant": [
        call("S|hello", "hi", key_id=None, tenant="acme"),
        call("S|hello|hi|more", minute=1, key_id=None, tenant="globex"),
    ],
    "another model family": [call("S|hello", "hi"), call("S|hello|hi|more", minute=1, model="claude-opus-4-6")],
    "only the system prompt": [call("S"), call("S|hello", minute=1)],
    "the same request again": [call("S|hello", "hi"), call("S|hello", "hi", minute=1)],
    "the same opening": [call("S|hello", "hi"), call("S|hello", "hey", minute=1)],
    "more than a day": [call("S|hello", "hi"), call("S|hello|hi|more", minute=24 * 60 + 1)],
    "a later call cannot be continued": [call("S|hello", "hi", minute=1), call("S|hello|hi|more")],
    "two files without times": [
        call("S|hello", "hi", started_at=None),
        call("S|hello|hi|more", started_at=None, source_file="b.jsonl"),
    ],
    "a failed call long before": [call("S|hello", status="error"), call("S|hello", "hi", minute=11)],
    "a shared beginning": [call("S|hello|x", "hi"), call("S|hello|y", minute=1)],
    "a restating row": [call("S|hello", "hi", rollup=True), call("S|hello|hi|more", minute=1)],
    "no messages at all": [call(), call(minute=1)],
    "a parent that is no call": [call("S|hello", "hi"), call("S|more", parent_id="span-7", minute=1)],
    "a parent that comes later": [call("S|x", parent_id="r2"), call("S|y", minute=1)],
    "a tool id without a call": [
        call("S|x|y", tool_calls=asked(("t7", "search", 1))),
        call("S|z|w", minute=1, tool_results=gave(("t8", "found", False))),
    ],
}


@pytest.mark.parametrize("rows", TOGETHER.values(), ids=TOGETHER.keys())
def test_these_belong_together(rows):
    found = runs(rows)
    assert "".join(letters(found["run_id"])) == "aa"
    assert found["run_source"].to_list() == ["chain", "chain"]
    assert found["step"].to_list() == [1, 2]


@pytest.mark.parametrize("rows", APART.values(), ids=APART.keys())
def test_these_stay_apart(rows):
    found = runs(rows)
    assert found["run_id"].to_list() == [None, None]
    assert found["run_source"].to_list() == [None, None]
    assert found["step"].to_list() == [None, None]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(
            [
                call("S|hello", "one", minute=0),
                call("S|hello", "two", minute=1),
                call("S|hello|one|x", minute=2),
                call("S|hello|two|y", minute=3),
            ],
            "abab",
            id="equal openings are told apart by the answer, not by time",
        ),
        pytest.param(
            [call("S|hello", "hi"), call("S|hello|hi|x", minute=1), call("S|hello|hi|y", minute=2)],
            "aaa",
            id="several continuations of one request are branches of one run",
        ),
        pytest.param(
            [
                call("S|hello", status="error"),
                call("S|hello", "hi", minute=1),
                call("S|hello|hi|more", status="error", minute=2),
                call("S|hello|hi|more", "ok", minute=3),
                call("S|hello|hi|more|ok|last", minute=4),
            ],
            "aaaaa",
            id="failed attempts belong to the run they interrupt",
        ),
        pytest.param(
            [
                call("S|hello", "hi"),
                call("S|hello|hi|more", "sure", minute=1),
                call("S|hello|hi|more|sure|last", minute=2),
                call("S|other", "x", minute=3),
            ],
            "aaa.",
            id="a call that nothing continues has no run",
        ),
        pytest.param(
            [
                call("S|u1", "a1", user="ann"),
                call("S|u1|a1|u2", "a2", user="ann", minute=1),
                call("S|v1", "b1", user="ann", minute=2),
                call("S|v1|b1|v2", "b2", user="ann", minute=3),
            ],
            "aabb",
            id="two conversations of one user in a row are two runs",
        ),
        pytest.param(
            [
                call("S|x|y", tool_calls=asked(("call_1", "search", 1))),
                call("S|x|z", tool_calls=asked(("call_1", "search", 2)), minute=1),
                call("S|x|w", tool_results=gave(("call_1", "found", False)), minute=2),
            ],
            "...",
            id="a tool id that is given out twice links nothing",
        ),
    ],
)
def test_runs_are_the_trees_of_these_links(rows, expected):
    assert grouping(rows) == expected


def test_an_answer_that_is_never_repeated_literally_is_no_objection():
    rewritten = [call("S|hello", "hi "), call("S|hello|hi|more", minute=1)]
    assert grouping(rewritten) == "aa"
    faithful = [
        row for n in range(3) for row in (call(f"S|q{n}", "yes", minute=n), call(f"S|q{n}|yes|more", minute=n + 0.5))
    ]
    assert grouping([*faithful, *rewritten]) == "aabbcc.."


# --- guesses ------------------------------------------------------------------------------------------------------


def ann(messages, minute, answer=None, **columns):
    return call(messages, answer, minute, **({"user": "ann"} | columns))


BEGINNING = [ann("S|u1", 0, "a1"), ann("S|u1|a1|u2", 1, "a2", input_tokens=90_000)]
CHAIN, GUESS, NONE = "chain", "guessed", None


@pytest.mark.parametrize(
    ("rows", "sources"),
    [
        pytest.param(
            [*BEGINNING, ann("S|a1|u2|a2|u3", 10), ann("S|u2|a2|u3|a3|u4", 19)],
            [GUESS] * 4,
            id="a window that slides over the history",
        ),
        pytest.param([*BEGINNING, ann("S|a1|u2|a2|u3", 12)], [CHAIN, CHAIN, NONE], id="not after a pause"),
        pytest.param(
            [*BEGINNING, ann("S|a1|u2|a2|u3", 2, user="bob")], [CHAIN, CHAIN, NONE], id="not for another user"
        ),
        pytest.param([*BEGINNING, ann("T|a1|u2|a2|u3", 2)], [CHAIN, CHAIN, NONE], id="not under another system prompt"),
        pytest.param(
            [row | {"user": None} for row in [*BEGINNING, ann("S|a1|u2|a2|u3", 2)]],
            [CHAIN, CHAIN, NONE],
            id="not where users are unknown",
        ),
        pytest.param(
            [BEGINNING[0], BEGINNING[1] | {"ended_at": START + timedelta(minutes=3)}, ann("S|a1|u2|a2|u3", 2)],
            [CHAIN, CHAIN, NONE],
            id="not while the first is still running",
        ),
        pytest.param(
            [ann(f"S|example {n}|label {n}|question", n) for n in range(5)],
            [NONE] * 5,
            id="not single calls with examples of their own",
        ),
        pytest.param(
            [ann("S|e1|r1|q1", 0, "a"), ann("S|e1|r1|q1|a|q2", 1, "b"), ann("S|e1|r1|q3", 2, "c")],
            [CHAIN, CHAIN, NONE],
            id="not because of examples that both begin with",
        ),
        pytest.param(
            [*BEGINNING, ann("S|summary", 2, input_tokens=20_000)], [GUESS] * 3, id="a context compacted to a quarter"
        ),
        pytest.param(
            [*BEGINNING, ann("S|summary", 2, input_tokens=80_000)],
            [CHAIN, CHAIN, NONE],
            id="not a context that stays large",
        ),
    ],
)
def test_broken_chains_are_bridged_where_a_guess_is_reasonable(rows, sources):
    assert runs(rows)["run_source"].to_list() == sources


# --- steps and names ----------------------------------------------------------------------------------------------


def test_runs_of_the_log_are_kept_and_numbered():
    found = runs(
        [
            call("S|hello", "hi", run_id="r"),
            call("S|hello|hi|more", minute=1),
            call("S|x", minute=3, run_id="r"),
            call("S|y", minute=2, run_id="r"),
            call("S|z", minute=2, run_id="r", rollup=True),
        ]
    )
    assert found["run_id"].to_list() == ["r", None, "r", "r", "r"]
    assert found["run_source"].to_list() == ["log", None, "log", "log", "log"]
    assert found["step"].to_list() == [1, None, 3, 2, None]


def test_steps_at_one_time_follow_the_log_and_steps_without_times_its_numbers():
    at_once = [call(run_id="r", source_line=n) for n in (3, 1, 2)]
    assert runs(at_once)["step"].to_list() == [3, 1, 2]
    numbered = [call(run_id="r", started_at=None, step=n) for n in (9, 2, 5)]
    assert runs(numbered)["step"].to_list() == [3, 1, 2]


def test_a_run_has_the_same_name_whatever_else_is_audited():
    rows = [call("S|hello", "hi"), call("S|hello|hi|more", minute=1)]
    alone = runs(rows)["run_id"][0]
    others = [call("T|a", "b", minute=-2, request_id="x"), call("T|a|b|c", minute=-1, request_id="y")]
    assert alone.startswith("chain-")
    assert runs([*rows, *others])["run_id"][0] == alone


# --- laws ---------------------------------------------------------------------------------------------------------


@st.composite
def conversations(draw):
    """Rows of several conversations at once, with the truth in instance_id; each has something of its own."""
    rows = []
    stored = draw(st.booleans())
    for number in range(draw(st.integers(1, 4))):
        messages = f"S|opening {number if not stored or draw(st.booleans()) else 'shared'}"
        minute = draw(st.integers(0, 50))
        for turn in range(draw(st.integers(2, 6))):
            answer = f"answer {number}.{turn}"
            rows.append(call(messages, answer if stored else None, minute, instance_id=str(number)))
            messages += f"|{answer}|" + "|".join(f"more {turn}" for _ in range(draw(st.integers(1, 10))))
            minute += draw(st.integers(1, 60))
    return rows


@settings(max_examples=40, deadline=None)
@given(conversations(), st.integers(0, 2**32), st.integers(1, 9))
def test_interleaved_conversations_come_apart_again_in_any_order_of_rows(rows, seed, at_once):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_runs, "AT_ONCE", at_once)
        found = attribute(shuffled(table(rows), seed), Settings()).requests.sort("source_line")
    assert list(letters(found["run_id"])) == list(letters(found["instance_id"]))
    by_step = found.sort("run_id", "step")
    assert by_step.select("run_id", "started_at").equals(
        found.sort("run_id", "started_at").select("run_id", "started_at")
    )


# --- real conversations -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def airline(shared) -> pl.DataFrame:
    """Every model call of 200 real conversations on 50 tasks, four trials each, all within one busy hour."""
    folder = shared / "datasets" / "tau_airline_gpt4o"
    if not folder.is_dir():
        pytest.skip("tau_airline_gpt4o is not among the real data")
    random_time, rows = random.Random(7), []
    for number, conversation in enumerate(json.loads(next(folder.glob("*.json")).read_text())):
        seconds = random_time.uniform(0, 3600)
        for at, message in enumerate(conversation["traj"]):
            if message["role"] == "assistant":
                seconds += random_time.uniform(3, 20)
                sent, answer = json.dumps(conversation["traj"][:at]), json.dumps([{"message": message}])
                prints = facts(sent.encode(), None, None, None, (), answer.encode())
                known = {name: value for name, value in prints.items() if name in schema.REQUESTS}
                rows.append(call(minute=seconds / 60, instance_id=str(number), **known))
    return table(rows)


@pytest.mark.parametrize("stored", [True, False], ids=["answers stored", "answers not stored"])
def test_200_real_conversations_are_200_runs(airline, stored):
    calls = airline if stored else airline.with_columns(reply_sha=pl.lit(None, schema.SHA))
    found = attribute(calls, Settings()).requests
    assert found.height == 2454
    assert found["run_id"].null_count() == 0
    assert found["run_id"].n_unique() == found["instance_id"].n_unique() == 200
    pairs = Counter(found.select("run_id", "instance_id").iter_rows())
    largest = {run: max(n for (r, _), n in pairs.items() if r == run) for run, _ in pairs}
    assert sum(largest.values()) / found.height >= 0.975


def test_the_chain_of_the_tests_is_a_chain():
    assert chain("a|b|c")[:2] == chain("a|b")
    assert chain("a|b") != chain("b|a")
