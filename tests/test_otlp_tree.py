"""Spans stand in trees: of those on one branch the deepest with usage is the call, and the leaves are the bill."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import fates, read, spent
from spans import export, span, used

CHAT = {"gen_ai__operation__name": "chat", "gen_ai__request__model": "m"}


def tree(*spans):
    made = read([export(*spans)])
    calls = made.requests.filter(~pl.col("rollup").fill_null(value=False))
    return int(calls["input_tokens"].sum()), calls.height, made.fates.rollups, made


@pytest.mark.parametrize(
    ("spans", "tokens", "calls", "rollups"),
    [
        ([span("1", **used(300)), span("2", "1", **used(100)), span("3", "1", **used(200))], 300, 2, 1),
        # Three levels that all repeat one call.
        ([span("1", **used(100)), span("2", "1", **used(100)), span("3", "2", **used(100))], 100, 1, 2),
        # The agent span carries the last call only: the calls count.
        ([span("1", **used(200)), span("2", "1", **used(100)), span("3", "1", **used(200))], 300, 2, 1),
        # A span without usage between two that have it.
        ([span("1", **used(100)), span("2", "1"), span("3", "2", **used(100))], 100, 1, 1),
        # Usage on the agent only; its calls, which have none, are what it restates.
        ([span("1", **used(100)), span("2", "1", **CHAT)], 100, 1, 1),
        # A child that used nothing does not make its parent a roll-up.
        ([span("1", **used(100)), span("2", "1", **used(0, 0))], 100, 1, 1),
        # Running sums and parts are not usage.
        ([span("1", gen_ai__aggregated_usage__input_tokens=900), span("2", "1", **used(100))], 100, 1, 0),
        ([span("1", **used(100)), span("2", "1", gen_ai__usage__partial__input_tokens=50, **CHAT)], 100, 1, 0),
        # The parent is in no file.
        ([span("2", "9", **used(100)), span("3", "9", **used(200))], 300, 2, 0),
        # The same span ids in another trace are other spans.
        ([span("1", **used(100)), span("2", "1", "b", **used(100))], 200, 2, 0),
        # Spans that are each other's parents.
        ([span("1", "2", **used(100)), span("2", "1", **used(100))], None, None, None),
        ([span("1", "1", **used(100))], 100, 1, 0),
    ],
    ids=["agent repeats the sum", "one call on three levels", "agent repeats the last call", "a gap between",
         "usage on the agent only", "a child of nothing", "running sums", "partial usage", "no parent in the log",
         "another trace", "a loop", "its own parent"],
)  # fmt: skip
def test_of_the_spans_of_one_branch_the_deepest_with_usage_is_the_call(spans, tokens, calls, rollups):
    got = tree(*spans)
    assert got[3].fates.balanced
    if tokens is not None:
        assert got[:3] == (tokens, calls, rollups)


ASKED = {"gen_ai__operation__name": "chat"}
TOOL = {"gen_ai__operation__name": "execute_tool"}
AGENT = {"gen_ai__operation__name": "invoke_agent"}


@pytest.mark.parametrize(
    ("spans", "tokens", "calls", "rollups"),
    [
        ([span("1", **ASKED, **used(100)), span("2", "1", **TOOL), span("3", "2", **ASKED, **used(7))], 107, 2, 0),
        # A tool that runs an agent, which restates its call; a helper's span stands between.
        ([span("1", **ASKED, **used(100)), span("2", "1", **TOOL), span("3", "2", **AGENT, **used(7)), span("4", "3"),
          span("5", "4", **ASKED, **used(7))], 107, 2, 1),
        # Three models, one behind the other.
        ([span("1", **ASKED, **used(100)), span("2", "1", **TOOL), span("3", "2", **ASKED, **used(20)),
          span("4", "3", **TOOL), span("5", "4", **ASKED, **used(3))], 123, 3, 0),
        # The framework's span around the SDK's, both calls by their kind: the SDK's is the call, and the tool's too.
        ([span("1", **ASKED, **used(100)), span("2", "1", **ASKED, **used(100)), span("3", "1", **TOOL),
          span("4", "3", **ASKED, **used(7))], 107, 2, 1),
        # The sum of everything on every level, as some frameworks write it.
        ([span("1", **AGENT, **used(107)), span("2", "1", **ASKED, **used(100)), span("3", "2", **TOOL),
          span("4", "3", **ASKED, **used(7))], 107, 2, 1),
        # A span that is a call by its kind, and states what the calls of its tools add up to.
        ([span("1", **ASKED, **used(9, 2)), span("2", "1", **TOOL), span("3", "2", **ASKED, **used(7)),
          span("4", "2", **ASKED, **used(2))], 9, 2, 1),
        # Nearly their sum, in input and in output: counts of one call that two programs made.
        ([span("1", **ASKED, **used(1003, 10)), span("2", "1", **TOOL), span("3", "2", **ASKED, **used(600, 6)),
          span("4", "2", **ASKED, **used(400, 4))], 1000, 2, 1),
        # As much input as the tool's call by chance, and other output; and a sum that is not near.
        ([span("1", **ASKED, **used(1003, 50)), span("2", "1", **TOOL), span("3", "2", **ASKED, **used(1000, 10))],
         2003, 2, 0),
        ([span("1", **ASKED, **used(1030, 10)), span("2", "1", **TOOL), span("3", "2", **ASKED, **used(1000, 10))],
         2030, 2, 0),
        # An agent's usage over a tool's call stays the sum that it usually is.
        ([span("1", **AGENT, **used(107)), span("2", "1", **TOOL), span("3", "2", **ASKED, **used(7))], 7, 1, 1),
        # The tool's own span repeats the usage of the call that it made.
        ([span("1", **ASKED, **used(100)), span("2", "1", **TOOL, **used(7)), span("3", "2", **ASKED, **used(7))],
         107, 2, 1),
        # The tool's call was cut off: it is unmetered, not restated.
        ([span("1", **ASKED, **used(100)), span("2", "1", **TOOL), span("3", "2", **CHAT)], 100, 2, 0),
        # Vercel's outer span over the tool that it ran.
        ([span("1", ai__operationId="ai.generateText", **used(107)), span("2", "1", ai__operationId="ai.toolCall"),
          span("3", "1", ai__operationId="ai.generateText.doGenerate", **used(100)),
          span("4", "2", ai__operationId="ai.generateText.doGenerate", **used(7))], 107, 2, 1),
        *(
            ([span("1", **{key: call}, **used(100)), span("2", "1", **{key: tool}), span("3", "2", **{key: call},
              **used(7))], 107, 2, 0)
            for key, call, tool in (
                ("openinference__span__kind", "LLM", "TOOL"), ("span__type", "llm_request", "tool"),
            )
        ),
    ],
)  # fmt: skip
def test_a_tool_that_asks_a_model_makes_a_call_of_its_own(spans, tokens, calls, rollups):
    for ordered in (spans, spans[::-1]):
        assert tree(*ordered)[:3] == (tokens, calls, rollups)


def test_the_tree_is_that_of_the_whole_log_and_not_of_a_file():
    parent, child = export(span("1", gen_ai__agent__name="triage", **used(100))), export(span("2", "1", **used(100)))
    for logs in ([[parent, child]], [[child, parent]], [[parent], [child]], [[child], [parent]]):
        made = read(*logs)
        assert spent(made)[:2] == (1, 100)
        assert fates(made)["rollups"] == 1
        assert set(made.requests["task"]) == {"triage"}


def test_a_rollup_that_says_more_than_its_calls_is_told():
    assert tree(span("1", **used(1_000)), span("2", "1", **used(100)))[3].notes == (
        "1 span states 900 tokens more than the calls below: those were not traced",
    )


def test_a_call_keeps_its_own_model_whatever_stands_above():
    made = tree(
        span("1", gen_ai__request__model="dear", gen_ai__response__model="dear-1"),
        span("2", "1", gen_ai__usage__input_tokens=5, gen_ai__request__model="cheap"),
        span("3", "1", gen_ai__usage__input_tokens=5),
    )[3]
    assert fates(made)["rollups"] == 1  # the span above names a model and has no usage of its own
    calls = made.requests.filter(pl.col("input_tokens") == 5).sort("model")
    assert calls.select("model", "model_requested").rows() == [("cheap", "cheap"), ("dear-1", "dear")]


def test_a_response_seen_by_application_and_gateway_in_two_traces_is_one_call():
    one = span("1", gen_ai__response__id="resp_1", **used(100))
    two = span("2", trace="b", gen_ai__response__id="resp_1", tenant="acme", **used(100))
    made = read([export(one)], [export(two)])
    assert spent(made)[:2] == (1, 100)
    assert made.requests["tenant"].item() == "acme"


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 3)), min_size=1, max_size=12), st.randoms())
@settings(max_examples=20, deadline=None)
def test_in_any_tree_the_leaves_with_usage_are_the_bill(shape, random):
    """Span n stands below an earlier one; tokens are powers of ten so that every sum names its parts."""
    letters = "123456789abc"
    parents = [None, *[at % n for n, (at, _) in enumerate(shape[1:], 1)]]
    tokens = [10 * 2**n if much else 0 for n, (_, much) in enumerate(shape)]
    spans = [
        span(letters[n], None if up is None else letters[up], **(used(tokens[n], 0) if tokens[n] else {}))
        for n, up in enumerate(parents)
    ]
    above = set()
    for n, up in enumerate(parents):
        while tokens[n] and up is not None:
            above.add(up)
            up = parents[up]
    random.shuffle(spans)
    got = tree(*spans)
    assert got[0] == sum(t for n, t in enumerate(tokens) if n not in above)
    assert got[3].fates.balanced
