"""context-bloat: three parts, each priced at the class its tokens were billed in."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from ledgers import ask, at

from costaudit.finding import Confidence, Kind
from costaudit.ingest._prompt import facts

DAY = 86_400
TOOLS = [{"name": name, "sha": nth, "tokens": 100 * (nth + 1)} for nth, name in enumerate(["search", "read", "never"])]


def offering(n=60, days=10, tools=TOOLS, called="search", **changes):
    """Calls of a task that declare tools, evenly over some days; every second one calls one."""
    return [
        {
            "task": "research",
            "started_at": at(DAY * days * nth / (n - 1)),
            "tools_declared": tools,
            "tool_name": called if nth % 2 else None,
        }
        | changes
        for nth in range(n)
    ]


def parts(rows, **options):
    said = ask("context-bloat", rows, **options)
    for finding in said.findings:
        assert sum(finding.evidence["waste_usd"].to_list(), Decimal(0)) == finding.owned_usd
    return {f.subject["part"]: f for f in said.findings}


def test_tools_that_are_declared_for_a_week_and_never_called():
    rows = [row | {"tool_name": row["tool_name"] and "read+search"} for row in offering()]
    finding = parts(rows)["unused-tools"]
    assert finding.owned_usd == 60 * 300 * Decimal(10) / 1_000_000
    assert finding.evidence.select("unused", "tokens_a_call", "calls").row(0) == ("never", 300, 60)
    assert (finding.kind, finding.confidence) == (Kind.WASTE, Confidence.HIGH)


def test_tools_in_a_cached_prefix_are_as_cheap_as_they_were_billed():
    finding = parts(offering(cache_read_tokens=800))["unused-tools"]
    # `read` and `never`, 500 tokens at a tenth; the first call without them writes its prefix and saves nothing.
    assert finding.owned_usd == 59 * 500 * Decimal(1) / 1_000_000


@pytest.mark.parametrize(
    "rows",
    [
        offering(n=40),
        offering(days=5),
        [*offering(tools=TOOLS[:1])],
        [
            *offering(tools=TOOLS),
            {"task": "research", "started_at": at(DAY), "tool_name": "read+never"},
        ],  # once is enough
        offering(tools=[tool | {"tokens": None} for tool in TOOLS]),
    ],
)
def test_tools_that_are_called_or_hardly_declared_are_silent(rows):
    assert "unused-tools" not in parts(rows)


@pytest.mark.parametrize(
    ("tool", "sized"),
    [
        ({"type": "web_search"}, False),
        ({"type": "mcp", "server_label": "wiki", "server_url": "https://wiki.example/mcp"}, False),
        ({"type": "code_execution_20250825", "name": "code_execution"}, False),
        ({"googleSearch": {}}, False),
        ({"name": "ping"}, True),
        ({"type": "function", "function": {"name": "ping"}}, True),
        ({"name": "look", "input_schema": {"type": "object"}}, True),
        ({"type": "extension", "name": "look", "description": "Looks."}, True),
        ({"functionDeclarations": [{"name": "look", "parameters": {}}]}, True),
    ],
)
def test_what_a_provider_adds_to_a_prompt_for_its_own_tools_is_not_in_the_log(tool, sized):
    (declared,) = facts(None, None, json.dumps([tool]).encode(), None, (), None)["tools_declared"]
    assert (declared["tokens"] is not None) == sized


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param({"tool_name": None}, id="no answer of the task is in the log"),
        pytest.param({"tool_name": None, "finish_reason": "tool_calls", "output_sha": 1}, id="which tool is not said"),
    ],
)
def test_a_task_whose_answers_are_not_known_calls_nobody_knows_what(answers):
    rows = [*offering(), *[row | {"task": "write"} | answers for row in offering()]]
    assert [f.subject["task"] for f in ask("context-bloat", rows).findings] == ["research"]


def test_a_task_that_answers_without_any_tool_needs_none():
    rows = [*offering(), *[row | {"task": "write", "tool_name": None, "output_sha": 1} for row in offering()]]
    found = {f.subject["task"]: f.evidence["unused"][0] for f in ask("context-bloat", rows).findings}
    assert found == {"research": "never, read", "write": "never, read, search"}


def test_a_tool_of_the_providers_own_has_no_size_and_is_not_judged():
    rows = offering(tools=[*TOOLS, {"name": "web_search", "sha": 9, "tokens": None}])
    assert parts(rows)["unused-tools"].evidence["unused"].to_list() == ["never, read"]


def test_a_tool_is_judged_by_its_task():
    rows = [*offering(), *[row | {"task": "write", "tool_name": row["tool_name"] and "never"} for row in offering()]]
    found = [f for f in ask("context-bloat", rows).findings if f.subject["part"] == "unused-tools"]
    assert {f.subject["task"]: f.evidence["unused"].to_list() for f in found} == {
        "research": ["never, read"],
        "write": ["read, search"],
    }


def history(results, run="run-1", size=1_000):
    """A run in which every step brings one result; equal letters are equal results."""
    rows = []
    for nth in range(len(results)):
        blocks = [1, *[100 * (k + 1) for k in range(nth + 1)]]
        rows.append(
            {
                "task": "research",
                "run_id": run,
                "step": nth + 1,
                "started_at": at(10 * nth),
                "block_sha": blocks,
                "block_tokens": [500] + [size] * (nth + 1),
                "input_tokens": 500 + size * (nth + 1),
                "tool_results": [{"id": nth, "sha": ord(results[nth]), "error": None}],
            }
        )
    return rows


@pytest.mark.parametrize(
    ("results", "copies", "most"),
    [
        ("abcd", 0, 1),
        ("aba", 1, 2),  # the third prompt holds `a` twice
        ("abab", 3, 3),  # one copy in the third prompt, two in the fourth
        ("aaa", 3, 3),
    ],
)
def test_every_copy_of_a_result_but_the_last(results, copies, most):
    found = parts(history(results), keep=50)
    owned = found["repeated-results"].owned_usd if found else Decimal(0)
    assert owned == copies * 1_000 * Decimal(10) / 1_000_000
    assert [part.evidence["most_copies"].max() for part in found.values()] == ([most] if copies else [])


def test_a_result_that_left_the_context_is_no_copy():
    rows = history("aba")
    rows[2] |= {"block_sha": [7, 8], "block_tokens": [500, 1_000], "input_tokens": 1_500}
    assert "repeated-results" not in parts(rows)


def test_a_call_that_is_sent_again_brings_its_result_once():
    rows = history("ab")
    rows.insert(1, rows[0] | {"status": "error", "output_tokens": 0, "step": None})
    assert "repeated-results" not in parts([row | {"step": None, "started_at": at(n)} for n, row in enumerate(rows)])


def test_a_prompt_of_another_branch_holds_only_its_own_copies():
    rows = history("aba")
    branch = {"block_sha": [1, 100, 7], "block_tokens": [500, 1_000, 1_000], "input_tokens": 2_500}
    rows += [rows[1] | branch | {"step": 4, "started_at": at(40), "tool_results": None}]
    assert parts(rows)["repeated-results"].requests == 1


def test_a_result_is_no_larger_than_the_smallest_message_that_brought_it():
    rows = history("aa")
    rows[1] |= {"block_tokens": [500, 9_000, 1_000], "input_tokens": 10_500}
    rows[0] |= {"block_tokens": [500, 9_000], "input_tokens": 9_500}
    assert parts(rows)["repeated-results"].owned_usd == 1_000 * Decimal(10) / 1_000_000


def test_a_message_that_comes_with_a_result_is_not_its_size():
    rows = history("aa")
    for nth, row in enumerate(rows):  # an answer, the result, and a reminder of 9,000 tokens
        row["block_sha"] = [1, *(block + k for block in row["block_sha"][1:] for k in range(3))]
        row["block_tokens"] = [500, *(5, 1_000, 9_000) * (nth + 1)]
        row["reply_sha"] = row["block_sha"][-1] + 98
    rows.insert(0, rows[0] | {"block_sha": [1], "block_tokens": [500], "tool_results": None, "reply_sha": 100})
    assert "repeated-results" not in parts([row | {"step": n} for n, row in enumerate(rows)])


def long_run(n, grow=500, **changes):
    return [
        {"task": "code", "run_id": "long", "step": k + 1, "started_at": at(9 * k), "input_tokens": 5_000 + grow * k}
        | changes
        for k in range(n)
    ]


def test_history_older_than_the_last_steps_is_a_decision_with_an_interval():
    finding = parts(long_run(30))["long-history"]
    # From step 11 on, step n drops the growth up to step n - 10: 0, 500, 1,000, ... 19 × 500.
    assert finding.owned_usd == sum(500 * k for k in range(20)) * Decimal(10) / 1_000_000
    assert finding.low_usd == sum(500 * k for k in range(10)) * Decimal(10) / 1_000_000
    assert (finding.kind, finding.confidence) == (Kind.DECIDE, Confidence.LOW)
    assert finding.lever == ("history", "")
    assert finding.because[0] == "contexts grow by 500 tokens a step in 1 long run"


@pytest.mark.parametrize(
    "rows",
    [
        long_run(9),  # short
        long_run(60, grow=10),  # trimmed already
        [row | {"cache_read_tokens": row["input_tokens"] - 500} for row in long_run(30)],  # trimming breaks the cache
    ],
)
def test_history_that_pays_is_silent(rows):
    assert parts(rows) == {}


def test_each_part_says_what_it_lacks():
    assert [n.why for n in ask("context-bloat", [{}]).not_checked] == [
        "long history: no runs with token counts",
        "repeated results: no tool results with message sizes in runs",
        "unused tools: no declared tools",
    ]
    rows = offering(called=None)
    assert "unused tools: no tool calls are logged" in [n.why for n in ask("context-bloat", rows).not_checked]
