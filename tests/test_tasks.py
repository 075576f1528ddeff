"""Tasks found by the prompts themselves: families, shapes, and names that tell nothing."""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Sequence

import polars as pl
import pytest
from calls import call, letters, sha, shuffled, table
from hypothesis import given, settings
from hypothesis import strategies as st

from costaudit.attribute import attribute
from costaudit.attribute._families import SMALL
from costaudit.config import Settings
from costaudit.ingest._prompt import facts


def named(rows_or_table) -> pl.DataFrame:
    frame = rows_or_table if isinstance(rows_or_table, pl.DataFrame) else table(rows_or_table)
    return attribute(frame, Settings()).requests


def prompt(template: str, *, tools: Sequence[str] = (), lines: Sequence[str] = (), **columns):
    """A call with this prompt template, these tools, and these masked lines."""
    prints = {"template_sha": sha(template, *tools)}
    if tools:
        prints["tools_sha"] = sha(*sorted(tools))
        prints["tools_declared"] = [{"name": name, "sha": sha(name), "tokens": 9} for name in tools]
    if lines:
        prints["line_sha"] = [sha(line) for line in lines]
    return call(None, **(prints | columns))


def v_measure(truth: Sequence[object], found: Sequence[object]) -> float:
    """Harmonic mean of homogeneity and completeness (Rosenberg and Hirschberg 2007)."""

    def entropy(labels):
        return -sum(n / len(labels) * math.log(n / len(labels)) for n in Counter(labels).values())

    both = entropy(list(zip(truth, found, strict=True)))
    h_truth, h_found = entropy(truth), entropy(found)
    homogeneity = 1 - (both - h_found) / h_truth if h_truth else 1
    completeness = 1 - (both - h_truth) / h_found if h_found else 1
    return 2 * homogeneity * completeness / (homogeneity + completeness) if homogeneity + completeness else 0


# --- families -----------------------------------------------------------------------------------------------------


def test_a_task_of_the_log_is_kept():
    found = named([prompt("p", task="triage"), *[prompt("p")] * 5])
    assert found["task_source"].to_list() == ["field"] + ["family"] * 5
    assert found["task"][0] == "triage"


def test_calls_with_one_template_are_one_family_whatever_they_are_asked():
    found = named([prompt(t) for t in "ababababab"])
    assert "".join(letters(found["task"])) == "ababababab"


def test_other_tools_are_another_family():
    found = named([prompt("p", tools=tools) for tools in [("search",), ("book",)] * 5])
    assert "".join(letters(found["task"])) == "ababababab"


def test_a_family_under_five_calls_is_other_where_there_are_larger_ones():
    found = named([prompt("large")] * 5 + [prompt("small")] * 4)
    assert found["task"].to_list()[5:] == ["other"] * 4
    assert found["task_source"].to_list()[5:] == ["mixed"] * 4


def test_in_a_log_of_small_families_each_keeps_its_name():
    found = named([prompt("one")] * 2 + [prompt("two")] * 2)
    assert "".join(letters(found["task"])) == "aabb"


PREAMBLE = [f"rule {n}" for n in range(8)]


@pytest.mark.parametrize(
    ("lines", "tools", "joins"),
    [
        pytest.param([*PREAMBLE, "today is fine"], (), True, id="8 of 9 lines shared"),
        pytest.param(PREAMBLE[:7], (), True, id="7 of 8 lines shared"),
        pytest.param([*PREAMBLE[:5], "x", "y"], (), False, id="5 of 10 lines shared"),
        pytest.param([], (), False, id="lines unknown"),
        pytest.param([*PREAMBLE], ("search",), False, id="other tools"),
    ],
)
def test_a_small_family_joins_the_one_whose_lines_it_shares(lines, tools, joins):
    large = [prompt("large", lines=PREAMBLE)] * SMALL
    elsewhere = [prompt("elsewhere", lines=["something", "else"])] * SMALL
    found = named([*large, *elsewhere, prompt("small", lines=lines, tools=tools)])
    assert (found["task"][-1] == found["task"][0]) is joins
    assert (found["task"][-1] == "other") is not joins


def test_prompts_that_all_differ_are_held_together_by_the_lines_they_share():
    rows = [
        prompt(f"{kind} {n}", lines=[f"you are {kind}", f"document {n}", "be brief" if kind == "sorting" else "cite"])
        for n in range(60)
        for kind in ("sorting", "answering")
    ]
    found = named(rows)
    assert "".join(letters(found["task"])) == "ab" * 60
    assert set(found["task_source"]) == {"family"}


def test_prompts_that_all_differ_and_share_no_line_are_held_together_by_their_tools_or_shape():
    rows = [prompt(f"{n}", lines=[f"{n}"], tools=("search",)) for n in range(60)]
    rows += [prompt(f"free {n}", lines=[f"free {n}"], input_tokens=1500) for n in range(60)]
    found = named(rows)
    assert found["task"].n_unique() == 2
    assert set(found["task"][:60]) == {f"search-{sha('search') >> 48:04x}"}
    assert set(found["task"][60:]) == {"shape-gpt-5.4-1k"}
    assert set(found["task_source"][60:]) == {"shape"}


# --- the spread check ---------------------------------------------------------------------------------------------

BELL = [round(math.exp(random.Random(n).gauss(5, 0.5))) for n in range(200)]
HUMPS = [n % 2 * 2000 + 10 + n % 7 for n in range(200)]
GRADES = [0.1 * (n % 2 * 8) + 0.01 * (n % 5) for n in range(200)]


@pytest.mark.parametrize(
    ("columns", "source"),
    [
        pytest.param([{"output_tokens": n} for n in BELL], "family", id="one hump"),
        pytest.param([{"output_tokens": n} for n in HUMPS], "mixed", id="two humps in length"),
        pytest.param([{"output_tokens": n} for n in HUMPS[:99]], "family", id="too few to tell"),
        pytest.param([{"output_tokens": 7}] * 200, "family", id="always the same length"),
        pytest.param([{"score": n} for n in GRADES], "mixed", id="two humps in score"),
        pytest.param([{"score": float(n % 2)} for n in range(200)], "family", id="right or wrong has two humps"),
        pytest.param([{}] * 200, "family", id="nothing known"),
    ],
)
def test_a_family_that_does_not_look_like_one_thing_is_marked(columns, source):
    assert set(named([prompt("p", **known) for known in columns])["task_source"]) == {source}


def test_a_family_with_two_tool_sets_is_marked():
    both = [call(template_sha=7, tools_sha=n % 2) for n in range(10)]
    assert set(named(both)["task_source"]) == {"mixed"}


# --- shapes and names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "name"),
    [
        (0, "shape-gpt-5.4-1"),
        (1, "shape-gpt-5.4-1"),
        (8, "shape-gpt-5.4-8"),
        (1023, "shape-gpt-5.4-512"),
        (1024, "shape-gpt-5.4-1k"),
        (4095, "shape-gpt-5.4-2k"),
        (4096, "shape-gpt-5.4-4k"),
        (2**29, "shape-gpt-5.4-524288k"),
        (None, "shape-gpt-5.4-any"),
    ],
)
def test_without_prompts_a_task_is_a_model_and_a_size(tokens, name):
    found = named([call(input_tokens=tokens)])
    assert found.select("task", "task_source").row(0) == (name, "shape")


def test_a_run_that_grows_stays_one_task():
    grows = [call(run_id=run, minute=n, input_tokens=500 * 2**n) for run in ("r", "s") for n in range(5)]
    assert set(named(grows)["task"]) == {"shape-gpt-5.4-256"}


def test_rows_that_restate_others_are_no_task():
    assert named([call(rollup=True)])["task"].to_list() == [None]


@pytest.mark.parametrize(
    ("tools", "begins"),
    [
        ((), "family-"),
        (("search",), "search-"),
        (("search", "book"), "book+search-"),
        (("d", "c", "b", "a"), "a+b+2-"),
        (("\x1b[31mred[/]\n", "x" * 200), "_31mred_+" + "x" * 24 + "-"),
    ],
)
def test_a_family_is_named_by_its_tools_and_digits_and_by_no_word_of_its_prompt(tools, begins):
    name = named([prompt("the secret plan", tools=tools)] * 5)["task"][0]
    assert re.fullmatch(re.escape(begins) + "[0-9a-f]{4}", name)


def test_families_with_equal_digits_show_as_many_as_tell_them_apart():
    one, two, three = (0x3FA2 << 48, (0x3FA2 << 48) + 1, 0x3FA2_1 << 44)
    found = named([call(template_sha=print_sha) for print_sha in [one, two, three] * 5])
    assert found["task"].to_list()[:3] == ["family-3fa2000000000000", "family-3fa2000000000001", "family-3fa21000"]


# --- laws ---------------------------------------------------------------------------------------------------------

TEMPLATES = [
    "You sort support tickets. Answer with one word. The queue holds {n} tickets.",
    "You sort invoices. Answer with one word. Today is 2026-10-{day:02d}.",
    "You write SQL for the warehouse {uuid}. Use only tables that exist.",
    "You answer questions of {mail} from the handbook. Cite the page.",
    "Translate the text into French. Keep numbers such as {n} as they are.",
]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(SMALL, 30), min_size=5, max_size=5), st.integers(0, 2**32))
def test_planted_templates_are_found_again_in_any_order_of_rows(sizes, seed):
    plan = [template for template, size in enumerate(sizes) for _ in range(size)]
    random.Random(seed).shuffle(plan)
    rows = []
    for n, template in enumerate(plan, start=seed):
        uuid = f"{n:08x}-0000-4000-8000-{n:012x}"
        system = TEMPLATES[template].format(n=n, day=1 + n % 28, uuid=uuid, mail=f"user{n}@example.com")
        messages = f'[{{"role": "system", "content": "{system}"}}, {{"role": "user", "content": "question {n}"}}]'
        prints = facts(messages.encode(), None, None, None, (), None)
        rows.append(call(instance_id=str(template), **{k: prints[k] for k in ("template_sha", "system_sha")}))
    found = named(table(rows))
    assert v_measure(found["instance_id"].to_list(), found["task"].to_list()) >= 0.9
    assert named(shuffled(table(rows), seed)).sort("source_line")["task"].to_list() == found["task"].to_list()


def test_the_measure_of_the_tests_is_the_published_one():
    assert v_measure("aabb", "aabb") == v_measure("aabb", "xxyy") == 1
    assert v_measure("aabb", "xxxx") == 0
    assert v_measure("aabb", "xyzw") == pytest.approx(2 / 3)
