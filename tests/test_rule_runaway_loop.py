"""runaway-loop: progress is judged by calls and results, not by length."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import count

import polars as pl
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import ask, at, ledger

from costaudit import schema
from costaudit.analyze._analyzer import these
from costaudit.analyze.runaway_loop import RunawayLoop, actions, signals, suspects
from costaudit.finding import Confidence

UNKNOWN = None


def run(letters, *, results=True, task="research", run_id="run-1", gap=(7, 11, 5), tail=()):
    """One call a letter: equal letters are equal calls; `results` True: equal, False: changing, None: not logged."""
    fresh = count(10_000)
    times = 0.0
    rows = []
    for nth, letter in enumerate(letters):
        times += gap[nth % len(gap)]
        rows.append(
            {
                "run_id": run_id,
                "task": task,
                "step": nth + 1,
                "started_at": at(times),
                "tool_name": "search",
                "tool_args_sha": ord(letter),
                "tool_result_sha": {True: ord(letter), False: next(fresh), None: None}[results],
            }
        )
    return [*rows, *tail]


def waste(rows, **options):
    said = ask("runaway-loop", rows, **options)
    return sum((f.owned_usd for f in said.findings), Decimal(0))


CALL = Decimal("0.015")  # 1,000 tokens in at 10 USD, 100 out at 50 USD a million


@pytest.mark.parametrize(
    ("letters", "wasted"),
    [
        ("AAA", 2),  # the first call was needed
        ("AA", 0),  # twice is a retry
        ("xyAAAAAz", 4),  # it recovers: z is work
        ("ABABAB", 4),  # period 2, three times
        ("ABAB", 0),
        ("ABCABCABC", 6),
        ("ABCDABCDABCD", 8),
        ("ABCDEABCDEABCDE", 0),  # period 5 is beyond max_period
        ("AAABAAAB", 4),  # two short loops; the second period of AAAB is one repeat short
        ("AxAyAzA", 0),  # equal calls far apart
        ("abcdefghijklmnop", 0),  # long, and new at every step
    ],
)
def test_what_repeats_after_the_first_full_period_is_waste(letters, wasted):
    assert waste(run(letters)) == wasted * CALL


def test_a_longer_cycle_is_found_when_asked_for():
    assert waste(run("ABCDEABCDEABCDE"), max_period=5) == 10 * CALL


def test_the_claim_reads_as_a_sentence_with_who_and_dollars():
    (finding,) = ask("runaway-loop", run("AAAA")).findings
    assert finding.title == "research: 1 run repeats itself, $0.045 after the stop point"
    assert finding.confidence is Confidence.HIGH
    evidence = finding.evidence.row(0, named=True)
    assert (evidence["stop_step"], evidence["period"], evidence["repeats"]) == (1, 1, 4)
    assert (evidence["wasted_calls"], evidence["calls"], evidence["results_equal"]) == (3, 4, "yes")
    assert (evidence["first_request_id"], evidence["last_request_id"], evidence["source"]) == (
        "r1",
        "r3",
        "log.jsonl:2",
    )
    assert evidence["spent_after_usd"] == 3 * CALL


def test_of_several_loops_of_a_run_the_longest_is_told():
    (finding,) = ask("runaway-loop", run("AAABBBBBB")).findings
    assert finding.evidence["repeats"].to_list() == [6]


def test_equal_words_between_calls_that_differ_are_no_loop():
    rows = run("aXbXcXdXeX")
    for row in rows[1::2]:
        row |= {"tool_name": None, "tool_args_sha": None, "tool_result_sha": None, "output_sha": 7}
    assert waste(rows) == 0


def test_healthy_polling_is_silent():
    assert waste(run("AAAAAAAA", results=False)) == 0


def test_polling_that_is_answered_in_the_end_is_silent():
    rows = run("AAAAAAAA")
    rows[-1]["tool_result_sha"] = 99
    assert waste(rows) == 0


def test_a_fixed_gap_of_a_minute_without_logged_results_is_polling():
    assert waste(run("AAAAAA", results=UNKNOWN, gap=(60, 61, 60))) == 0
    assert waste(run("AAAAAA", results=UNKNOWN, gap=(60, 20, 90))) == 5 * CALL
    assert waste(run("AAAAAA", results=UNKNOWN, gap=(5, 5, 5))) == 5 * CALL


def test_polling_of_which_few_results_are_logged_is_silent():
    rows = run("AAAAAAAAAA", results=False)
    for nth in (1, 2, 4, 5, 6, 8):  # of neighbours, one at most is known
        rows[nth]["tool_result_sha"] = None
    assert waste(rows) == 0


def test_agents_that_begin_alike_side_by_side_are_no_loop():
    first = {"run_id": "run-1", "tool_name": "ls", "tool_args_sha": 1, "tool_result_sha": 7}
    rows = [first | {"started_at": at(nth / 20), "ended_at": at(4 + nth / 20)} for nth in range(4)]
    assert waste(rows) == 0
    one_by_one = [row | {"started_at": at(5 * nth), "ended_at": at(5 * nth + 5.9)} for nth, row in enumerate(rows)]
    assert waste(one_by_one) > 0  # ends may be rounded up


def test_agents_of_one_run_that_count_their_own_steps_are_no_loop():
    rows = []
    for agent, letters in enumerate(("Aabc", "Adef", "Aghi", "Ajkl")):
        rows += [row | {"started_at": at(300 * agent + 20 * nth)} for nth, row in enumerate(run(letters))]
    assert waste(rows) == 0


def test_calls_without_a_step_stand_in_order_of_time():
    rows = [row | ({"step": None} if row["tool_args_sha"] == ord("A") else {}) for row in run("AxAyAzAw")]
    assert waste(rows) == 0
    assert waste([row | {"step": None} for row in run("AAAA")]) == 3 * CALL


@pytest.mark.parametrize("sizes", [[1_500] * 60, [500 + nth * 977 % 2_000 for nth in range(60)]])
def test_labels_of_a_batch_given_by_a_forced_tool_call_are_work(sizes):
    rows = run("AAAB" * 15, results=UNKNOWN)
    labels = [row | {"input_tokens": sizes[nth], "request_sha": nth} for nth, row in enumerate(rows)]
    assert waste(labels) == 0
    assert waste([row | {"input_tokens": 500 + 100 * nth} for nth, row in enumerate(labels)]) > 0  # one conversation


def test_paging_through_a_list_is_silent():
    assert waste(run("abcdefghij")) == 0


def test_tools_named_as_polling_may_repeat():
    assert waste(run("AAAA"), polling_tools=["search"]) == 0


def test_arguments_that_are_not_logged_are_not_equal():
    rows = [row | {"tool_args_sha": None, "output_sha": nth} for nth, row in enumerate(run("AAAA"))]
    assert waste(rows) == 0


def test_equal_calls_without_results_are_named_as_less_sure():
    (finding,) = ask("runaway-loop", run("AAAA", results=UNKNOWN)).findings
    assert finding.confidence is Confidence.MEDIUM
    assert finding.owned_usd == 3 * CALL


def test_guessed_runs_are_never_high():
    (finding,) = ask("runaway-loop", [row | {"run_source": "guessed"} for row in run("AAAA")]).findings
    assert finding.confidence is Confidence.LOW


def test_summaries_between_equal_calls_do_not_hide_the_loop():
    acts = run("AAAA")
    rows = [
        row
        for act, text in zip(acts, range(4), strict=True)
        for row in (act | {"step": None}, {"run_id": "run-1", "task": "research", "output_sha": text, "step": None})
    ]
    for nth, row in enumerate(rows):
        row["started_at"] = at(7 * nth + nth % 3)
    assert waste(rows) == 3 * CALL


def test_a_run_that_announces_its_success_again_and_again_was_over_the_first_time():
    answers = [
        {"run_id": "run-1", "task": "research", "step": 4 + nth, "started_at": at(100 + 9 * nth), "output_sha": 7}
        for nth in range(4)
    ]
    assert waste(run("abc", tail=answers)) == 3 * CALL


def test_what_follows_a_repeated_finish_is_waste_too():
    rows = [*run("abFxF"), {"run_id": "run-1", "step": 9, "started_at": at(200)}]
    for row in rows[2:5]:
        row["tool_name"] = "finish"
        row["tool_args_sha"] = 1
        row["tool_result_sha"] = 1
    assert waste(rows) == 3 * CALL


def test_equal_short_answers_to_different_items_are_work():
    rows = [
        {"run_id": "batch", "input_tokens": 900 + 37 * (nth % 5), "output_tokens": 3, "output_sha": nth % 2 // 2}
        for nth in range(40)
    ]
    assert waste(rows) == 0


def test_equal_answers_to_unrelated_requests_are_work():
    rows = [{"run_id": "batch", "input_tokens": 900 - nth, "output_sha": 1} for nth in range(40)]
    assert waste(rows) == 0


def test_gateway_hits_and_unbilled_errors_count_as_repeats_and_cost_nothing():
    rows = run("AAAA")
    rows[1]["gateway_cache_hit"] = True
    assert waste(rows) == 2 * CALL


def test_rows_that_restate_others_are_not_repeats():
    rows = run("AAA")
    rows[1]["rollup"] = rows[2]["rollup"] = True
    assert waste(rows) == 0


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([{}], "no runs"),
        ([{"run_id": "a"}], "no call content or hashes"),
        (
            [{"run_id": "a", "tool_name": "search", "tool_result_sha": 1}, {"run_id": "a", "output_sha": 2}],
            "the arguments of tool calls are not logged",
        ),
    ],
)
def test_it_says_what_it_lacks(rows, why):
    said = ask("runaway-loop", rows)
    assert [n.why for n in said.not_checked] == [why]
    assert said.clean == ()


def by_the_book(letters, periods=4, least=3):
    """The definition, one call at a time: calls after the stop point of any cycle of period 1 to 4."""
    wasted = set()
    for p in range(1, periods + 1):
        start = p
        while start < len(letters):
            end = start
            while end < len(letters) and letters[end] == letters[end - p]:
                end += 1
            if (end - start + p) // p >= least:
                wasted |= set(range(start, end))
            start = max(end, start + 1)
    return wasted


@settings(max_examples=80, deadline=None)
@given(st.lists(st.text("ABC", min_size=1, max_size=24), min_size=1, max_size=4))
def test_the_vectorised_rule_is_the_definition(texts):
    rows = [row for nth, text in enumerate(texts) for row in run(text, run_id=f"run-{nth}")]
    held = ledger(rows)
    keyed = actions(these(held, suspects(held, 3)))  # runs that do nothing three times are passed over
    found = RunawayLoop().repeats(keyed).group_by("run_id").agg(pl.col("row").len())
    assert dict(found.iter_rows()) == {f"run-{n}": len(w) for n, t in enumerate(texts) if (w := by_the_book(t))}


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(12)))
def test_the_order_of_lines_changes_nothing(order):
    rows = run("abAAAAcABABA")
    shuffled = [rows[nth] | {"request_id": f"r{nth}", "source_line": nth + 1} for nth in order]
    one, other = ask("runaway-loop", rows).findings[0], ask("runaway-loop", shuffled).findings[0]
    assert one.evidence.equals(other.evidence)


# ---------------------------------------------------------------- real runs


def agent_steps(shared, agent):
    """Steps of the agent's labelled runs as calls: one tool call a step, no results, no clock."""
    folder = shared / "datasets" / "agentbench2023_loops"
    labelled = pl.read_csv(folder / "runs.csv").filter(pl.col("agent") == agent, pl.col("success").is_not_null())
    steps = pl.DataFrame(
        [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()], infer_schema_length=None
    )
    steps = steps.join(labelled.select("run_id", "success", "reached_cutoff"), on="run_id")
    return steps.select(
        "run_id",
        "success",
        "reached_cutoff",
        pl.col("step").cast(pl.Int64),
        tool_name="action",
        tool_args_sha=pl.when(pl.col("action").is_not_null()).then(
            pl.col("args_sha").str.to_integer(base=16).cast(pl.UInt64)
        ),
        output_sha=pl.when(pl.col("action").is_null()).then(
            pl.col("response_sha").str.to_integer(base=16).cast(pl.UInt64)
        ),
        input_tokens=1_000 * pl.col("step").cast(pl.Int64),
        output_tokens=pl.col("response_chars") // 4,
        row=pl.int_range(pl.len(), dtype=pl.UInt32),
    )


def repeating(steps):
    lacking = [pl.lit(None, dtype).alias(name) for name, dtype in schema.CALLS.items() if name not in steps.columns]
    return RunawayLoop().repeats(actions(steps.with_columns(lacking)).filter(pl.col("name").is_not_null()))


def test_mini_agi_repeats_an_action_in_8_of_599_runs_all_of_them_cut_off(shared):
    steps = agent_steps(shared, "mini-agi")
    once = repeating(steps).filter(pl.col("period") == 1)["run_id"].unique()
    runs = steps.unique("run_id").filter(pl.col("run_id").is_in(once.implode()))
    assert steps["run_id"].n_unique() == 599
    assert (runs.height, runs["reached_cutoff"].sum(), runs["success"].sum()) == (8, 8, 4)


def test_auto_gpt_never_repeats_itself_in_369_runs(shared):
    steps = agent_steps(shared, "auto-gpt")
    assert steps["run_id"].n_unique() == 369
    assert repeating(steps).is_empty()


def airline_calls(shared):
    """One call an assistant message: its tool call, the result that follows, and whether the run succeeded."""
    rows = []
    for trace in json.loads((shared / "datasets/tau_airline_gpt4o/gpt-4o-airline.json").read_text()):
        messages = trace["traj"]
        name = f"{trace['task_id']}-{trace['trial']}"
        for nth, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            tool = (message.get("tool_calls") or [None])[0]
            following = messages[nth + 1 : nth + 2]
            rows.append(
                {
                    "run_id": name,
                    "step": nth,
                    "success": trace["reward"] == 1,
                    "input_tokens": sum(len(m.get("content") or "") for m in messages[:nth]) // 4,
                    "output_tokens": 50,
                    "tool_name": tool and tool["function"]["name"],
                    "tool_args_sha": tool
                    and hash_of(json.dumps(json.loads(tool["function"]["arguments"]), sort_keys=True)),
                    "tool_result_sha": hash_of(following[0].get("content") or "") if tool and following else None,
                    "output_sha": None if tool else hash_of(message.get("content") or ""),
                }
            )
    return pl.DataFrame(
        rows, schema_overrides=dict.fromkeys(("tool_args_sha", "tool_result_sha", "output_sha"), pl.UInt64)
    ).with_row_index("row")


def hash_of(text):
    return xxhash.xxh3_64_intdigest(text.encode())


def test_airline_agents_repeat_no_single_call_and_their_signals_fire_on_failures_only(shared):
    steps = airline_calls(shared)
    lacking = [pl.lit(None, dtype).alias(name) for name, dtype in schema.CALLS.items() if name not in steps.columns]
    keyed = actions(steps.with_columns(lacking))
    # One failed run thinks and books in turns, with the same error each time: a real loop of period 2.
    loops = RunawayLoop().repeats(keyed).join(steps.select("row", "success"), on="row")
    assert loops.select(pl.col("run_id", "period", "known", "success").unique()).row(0) == ("9-2", 2, True, False)
    often = signals(keyed).filter(pl.col("equal_calls") >= 3).join(steps.unique("run_id"), on="run_id")
    assert (often.height, often["success"].sum()) == (4, 0)


def test_evidence_adds_up_over_tasks():
    rows = run("AAAA") + [r | {"run_id": "run-2", "task": "triage"} for r in run("BBBBB")]
    for finding in ask("runaway-loop", rows).findings:
        assert finding.evidence["waste_usd"].sum() == finding.owned_usd
    assert ledger(rows).calls.height == 9
