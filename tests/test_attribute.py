"""Attribution as a whole: tools, the user's rules and names, outcomes, and what holds for any table."""

from __future__ import annotations

import polars as pl
import pytest
from calls import asked, call, chain, gave, letters, sha, shuffled, table
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from costaudit import schema
from costaudit.attribute import attribute
from costaudit.config import Assignment, Rule, Settings
from costaudit.errors import ConfigError

TOOLS = ("tool_name", "tool_args_sha", "tool_result_sha", "tool_error")


def attributed(rows, given_settings: Settings | None = None) -> pl.DataFrame:
    return attribute(table(rows), given_settings or Settings()).requests


# --- tools --------------------------------------------------------------------------------------------------------


def test_a_tool_call_gets_the_result_that_the_next_request_brings():
    found = attributed(
        [
            call(run_id="r", tool_calls=asked(("t1", "search", "x"))),
            call(run_id="r", minute=1, tool_results=gave(("t1", "found", False))),
        ]
    )
    assert found.select(TOOLS).row(0) == ("search", sha("x"), sha("found"), False)
    assert found.select(TOOLS).row(1) == (None, None, None, None)


@pytest.mark.parametrize(
    ("results", "known"),
    [
        pytest.param([call(run_id="r", minute=1)], (None, None), id="no result"),
        pytest.param(
            [call(run_id="other", minute=1, tool_results=gave(("t1", "found", False)))], (None, None), id="another run"
        ),
        pytest.param(
            [call(run_id="r", minute=-1, tool_results=gave(("t1", "found", False)))], (None, None), id="an earlier one"
        ),
        pytest.param(
            [call(run_id="r", minute=1, tool_results=gave(("t1", "boom", True)))], (sha("boom"), True), id="an error"
        ),
        pytest.param(
            [call(run_id="r", minute=1, tool_results=gave(("t1", "found", None)))], (sha("found"), None), id="unsaid"
        ),
        pytest.param(
            [
                call(run_id="r", minute=2, tool_results=gave(("t1", "second", False))),
                call(run_id="r", minute=1, tool_results=gave(("t1", "first", False))),
            ],
            (sha("first"), False),
            id="the first of several",
        ),
    ],
)
def test_a_result_is_taken_from_the_next_request_of_the_run_only(results, known):
    found = attributed([call(run_id="r", tool_calls=asked(("t1", "search", "x"))), *results])
    assert found.select("tool_result_sha", "tool_error").row(0) == known


def test_ids_that_start_again_with_every_step_meet_their_own_results():
    rows = []
    for n in range(3):
        rows.append(call(run_id="r", minute=2 * n, tool_calls=asked(("call_0", "look", n))))
        rows.append(call(run_id="r", minute=2 * n + 1, tool_results=gave(("call_0", f"result {n}", False))))
    assert attributed(rows)["tool_result_sha"].drop_nulls().to_list() == [sha(f"result {n}") for n in range(3)]


def test_what_the_format_says_of_a_tool_stays():
    row = call(run_id="r", tool_name="own", tool_args_sha=1, tool_calls=asked(("t1", "search", "x")))
    found = attributed([row, call(run_id="r", minute=1, tool_results=gave(("t1", "found", False)))])
    assert found.select(TOOLS).row(0) == ("own", 1, sha("found"), False)


def parallel(*tools, results=()):
    rows = [
        call(run_id="r", tool_calls=asked(*tools)),
        call(run_id="r", minute=1, tool_results=gave(*results)),
    ]
    return attributed(rows).select(TOOLS).row(0)


def test_parallel_tools_are_one_call_whatever_their_order():
    one, two = ("t1", "search", "x"), ("t2", "book", "y")
    results = [("t1", "found", False), ("t2", "booked", False)]
    name, args, result, error = parallel(one, two, results=results)
    assert (name, error) == ("book+search", False)
    assert None not in (args, result)
    assert parallel(two, one, results=results[::-1]) == (name, args, result, error)


def test_parallel_tools_keep_arguments_and_results_with_their_tool():
    plain = parallel(("t1", "a", "x"), ("t2", "b", "y"), results=[("t1", "1", False), ("t2", "2", False)])
    swapped_arguments = parallel(("t1", "a", "y"), ("t2", "b", "x"), results=[("t1", "1", False), ("t2", "2", False)])
    swapped_results = parallel(("t1", "a", "x"), ("t2", "b", "y"), results=[("t1", "2", False), ("t2", "1", False)])
    assert swapped_arguments[1] != plain[1]
    assert swapped_results[1] == plain[1]
    assert swapped_results[2] != plain[2]


def test_of_parallel_tools_one_error_is_an_error_and_one_unknown_result_makes_all_unknown():
    tools = [("t1", "a", "x"), ("t2", "b", "y")]
    assert parallel(*tools, results=[("t1", "1", True), ("t2", "2", False)])[3] is True
    assert parallel(*tools, results=[("t1", "1", False)])[2:] == (None, None)
    assert parallel(*tools, results=[("t1", "1", True)])[2:] == (None, True)


# --- rules and names ----------------------------------------------------------------------------------------------


def rules(*given_rules, section="tasks", names=None) -> Settings:
    """Settings with one section of (match, give) rules; a pattern stands for a list of one."""
    made = tuple(
        Rule({column: p if isinstance(p, tuple) else (p,) for column, p in match.items()}, give, f"costaudit.yaml:{n}")
        for n, (match, give) in enumerate(given_rules, start=1)
    )
    return replace(Settings(), **{section: Assignment(made, names or {})})


@pytest.mark.parametrize(
    ("pattern", "user", "matches"),
    [
        ("ann", "ann", True),
        ("ann", "anna", False),
        ("ann", "Ann", False),
        ("ci-*", "ci-7", True),
        ("ci-*", "xci-7", False),
        ("ci-*", "ci-\n", True),
        ("ci-?", "ci-77", False),
        ("a.b*", "axb", False),
        ("[a]*", "[a] b", True),
        ("a (b)#&~-*", "a (b)#&~-c", True),
        ("/^ci-[0-9]+$/", "ci-77", True),
        ("/[0-9]/", "ci-7", True),
        ("/^[0-9]/", "ci-7", False),
        ("/", "/", True),
        ("//", "//", True),
        (("x", "ci-*"), "ci-7", True),
        ((None, "x"), None, True),
        ((None, "x"), "y", False),
        ("*", None, False),
        ("", "", True),
    ],
)
def test_a_pattern_is_a_value_a_glob_or_a_regex(pattern, user, matches):
    found = attributed([call(user=user)], rules(({"user": pattern}, {"task": "t"})))
    assert (found["task"][0] == "t") is matches


def test_the_first_rule_that_matches_decides_and_a_rule_wins_over_the_log():
    given_settings = rules(
        ({"user": "ann", "tenant": "acme"}, {"task": "both"}),
        ({"user": "ann"}, {"task": "ann", "environment": "dev"}),
        ({"user": "*"}, {"task": "anybody"}),
    )
    rows = [
        call(user="ann", tenant="acme", task="own"),
        call(user="ann", tenant="globex", environment="prod"),
        call(user="bob"),
        call(task="own"),
    ]
    found = attributed(rows, given_settings)
    assert found["task"].to_list() == ["both", "ann", "anybody", "own"]
    assert found["task_source"].to_list() == ["mapping", "mapping", "mapping", "field"]
    assert found["environment"].to_list() == ["dev", "dev", None, None]


def test_rules_see_the_log_and_not_each_other():
    given_settings = replace(
        rules(({"user": "ann"}, {"user": "bob"}), section="users"),
        tasks=rules(({"user": "bob"}, {"task": "of bob"})).tasks,
    )
    assert attributed([call(user="ann", task="x")], given_settings).select("user", "task").row(0) == ("bob", "x")


def test_the_section_of_a_column_goes_before_rules_elsewhere():
    given_settings = replace(
        rules(({"user": "*"}, {"tenant": "by the way"})),
        tenants=rules(({"user": "ann"}, {"tenant": "on purpose"})).tasks,
    )
    found = attributed([call(user="ann"), call(user="bob")], given_settings)
    assert found["tenant"].to_list() == ["on purpose", "by the way"]


def test_numbers_and_booleans_match_as_text():
    given_settings = rules(({"max_tokens": "1*"}, {"task": "t"}), ({"streamed": "true"}, {"task": "s"}))
    found = attributed([call(max_tokens=16), call(max_tokens=64), call(streamed=True)], given_settings)
    assert found["task"].to_list() == ["t", "shape-gpt-5.4-any", "s"]


@pytest.mark.parametrize(
    ("match", "text", "tenant"),
    [
        ({"key_id": "/^([a-z]+)-/"}, "$1", "acme"),
        ({"key_id": "/([a-z]+)-([a-z]+)/"}, "${2}_of_$1", "prod_of_acme"),
        ({"key_id": "acme-*"}, "$1", "$1"),
        ({"key_id": "/^acme-(x?)/"}, "$1", None),
    ],
)
def test_a_rule_can_take_its_text_from_a_group_of_its_regex(match, text, tenant):
    found = attributed([call(key_id="acme-prod")], rules((match, {"tenant": text}), section="tenants"))
    assert found["tenant"].to_list() == [tenant]


def test_runs_can_be_named_by_a_rule():
    given_settings = rules(({"request_id": "/^(conv-[0-9]+)/"}, {"run_id": "$1"}), section="runs")
    rows = [call(request_id="conv-7/1"), call(request_id="conv-7/2", minute=1), call(request_id="other")]
    found = attributed(rows, given_settings)
    assert found["run_id"].to_list() == ["conv-7", "conv-7", None]
    assert found["run_source"].to_list() == ["log", "log", None]
    assert found["step"].to_list() == [1, 2, None]


def test_discovered_tasks_are_renamed_and_merged_by_name_or_by_rule():
    rows = [call(template_sha=n << 48) for n in (0x3FA2, 0x91C0, 0xBEEF) for _ in range(5)]
    names = {"family-3fa2": "triage", "family-91c0": "triage"}
    found = attributed(rows, rules(({"task": "family-b*"}, {"task": "billing"}), names=names))
    assert found["task"].to_list() == ["triage"] * 10 + ["billing"] * 5
    assert set(found["task_source"]) == {"mapping"}


def test_a_new_name_does_not_make_one_thing_of_a_mixed_family():
    rows = [call(template_sha=0x3FA2 << 48, tools_sha=n % 2) for n in range(6)]
    found = attributed(rows, rules(names={"family-3fa2": "triage"}))
    assert set(found.select("task", "task_source").iter_rows()) == {("triage", "mixed")}


def test_names_of_the_log_are_renamed_literally():
    given_settings = replace(rules(names={"acme*": "x", "acme gmbh": "acme"}), tenants=Assignment(names={"a*": "b"}))
    found = attributed([call(task="acme gmbh", tenant="a*"), call(task="acme two", tenant="ab")], given_settings)
    assert found["task"].to_list() == ["acme", "acme two"]
    assert found["tenant"].to_list() == ["b", "ab"]
    assert found["task_source"].to_list() == ["mapping", "field"]


@pytest.mark.parametrize(
    ("match", "give", "says"),
    [
        ({"usr": "x"}, {"task": "t"}, "costaudit.yaml:1: unknown request column 'usr'"),
        ({"block_sha": "x"}, {"task": "t"}, "costaudit.yaml:1: unknown request column 'block_sha'"),
        ({"user": "/([a-z/"}, {"task": "t"}, "costaudit.yaml:1: cannot read the pattern"),
        ({"user": r"/(a)(?=b)/"}, {"task": "t"}, "costaudit.yaml:1: cannot read the pattern"),
        ({"user": ("/(a)/", "/(b)/")}, {"task": "$1"}, "costaudit.yaml:1: '$1' takes its text"),
    ],
)
def test_a_rule_that_cannot_be_applied_is_named_with_its_line(match, give, says):
    with pytest.raises(ConfigError) as error:
        attributed([call(user="x")], rules((match, give)))
    assert says in str(error.value)


# --- laws ---------------------------------------------------------------------------------------------------------

words = st.sampled_from([None, "", "a", "b", "ci-1", "\x1b[31m", "*"])
numbers = st.sampled_from([None, 0, 1, 2, 2**63 - 1])
hashes = st.sampled_from([None, 0, 1, 2**64 - 1])
any_call = st.fixed_dictionaries(
    {
        "started_at": st.sampled_from([None, call()["started_at"], call(minute=1)["started_at"]]),
        "request_id": words,
        "run_id": words,
        "task": words,
        "user": words,
        "model": words,
        "source_line": st.integers(1, 10**6),
        "step": numbers,
        "input_tokens": numbers,
        "output_tokens": numbers,
        "template_sha": hashes,
        "tools_sha": hashes,
        "rollup": st.sampled_from([None, True, False]),
        "block_sha": st.sampled_from([None, [], chain("a"), chain("a|b"), chain("a|b|c|d")]),
        "reply_sha": st.sampled_from([None, chain("a|b|c")[-1]]),
        "tool_calls": st.sampled_from([None, [], asked(("t", "x", 1)), asked(("t", "x", 1), ("u", "y", 2))]),
        "tool_results": st.sampled_from([None, [], gave(("t", 1, None)), gave(("t", 2, True), ("u", 2, False))]),
    }
)


@settings(max_examples=30, deadline=None)
@given(st.lists(any_call, max_size=12, unique_by=lambda row: row["source_line"]), st.integers(0, 2**32))
def test_any_table_comes_back_whole_and_the_order_of_rows_decides_nothing(rows, seed):
    requests = table(rows)
    given_settings = rules(({"user": "ci-*"}, {"task": "t"}), names={"a": "b"})
    found = attribute(requests, given_settings).requests
    assert found.schema == schema.REQUESTS
    untouched = [name for name, column in schema.REQUESTS.items() if name not in WRITTEN]
    assert found.select(untouched).equals(requests.select(untouched))
    again = attribute(shuffled(requests, seed), given_settings).requests
    assert again.sort("source_line").equals(found.sort("source_line"))
    known = found.with_columns(requests["step"])  # the log's own word on what came first
    assert attribute(known, given_settings).requests["run_id"].equals(found["run_id"])


WRITTEN = {"task", "task_source", "tenant", "user", "environment", "run_id", "run_source", "step", *TOOLS}


def test_an_empty_table_stays_empty():
    assert attribute(table([]), Settings()).requests.schema == schema.REQUESTS


def test_letters_show_a_partition():
    assert "".join(letters(["x", None, "y", "x"])) == "a.ba"
