"""missing-ceiling: the limit that a task's own runs support, and what it would have harmed."""

from __future__ import annotations

import json
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import ask, at, calls, ledger

from costaudit import schema
from costaudit.analyze import _ceiling
from costaudit.finding import Confidence, Kind
from costaudit.schema import USD

CALL = Decimal("0.015")


def runs(*lengths, success=None, finish="stop", task="research", first=0):
    """Runs of so many equal calls, one after the other."""
    return [
        {
            "task": task,
            "run_id": f"{task}-{first + nth}",
            "step": step + 1,
            "started_at": at(3600 * (first + nth) + 10 * step),
            "finish_reason": "tool_calls" if step + 1 < length else finish,
            "success": success,
        }
        for nth, length in enumerate(lengths)
        for step in range(length)
    ]


def only(rows, **options):
    (finding,) = ask("missing-ceiling", rows, **options).findings
    return finding


GOOD = runs(*[3, 4, 5, 6] * 25, success=True)


def test_a_failed_run_far_above_the_good_ones_is_cut_where_they_end():
    finding = only([*GOOD, *runs(120, success=False, first=100)])
    assert finding.title == "research on big: a ceiling of 6 calls would have saved $1.71"
    assert finding.owned_usd == (120 - 6) * CALL
    assert finding.evidence.select("run_id", "steps", "cut_step", "good_run").rows() == [
        ("research-100", 120, 6, False)
    ]
    assert (finding.kind, finding.confidence) == (Kind.DECIDE, Confidence.MEDIUM)
    assert finding.because[0] == "1 of 101 runs is cut, 0 of 100 good ones (cuts no reference run)"


def test_without_outcomes_finished_runs_count_as_good_and_the_grade_is_low():
    rows = [row | {"success": None} for row in [*GOOD, *runs(120, finish="length", first=100)]]
    finding = only(rows)
    assert finding.owned_usd == (120 - 6) * CALL
    assert finding.confidence is Confidence.LOW
    assert "outcomes are not known" in finding.because[1]


def test_one_finished_run_of_twenty_times_the_others_is_what_a_ceiling_is_for():
    assert only(runs(*[3, 4, 5, 6] * 25, 120)).owned_usd == (120 - 6) * CALL


def test_with_few_good_runs_the_limit_is_provisional():
    finding = only([*runs(*[4] * 20, success=True), *runs(60, success=False, first=20)])
    assert finding.owned_usd == (60 - 6) * CALL  # 1.5 × 4
    assert finding.confidence is Confidence.LOW
    assert "1.5 times the largest" in finding.because[0]


@pytest.mark.parametrize(
    ("largest", "words", "kept"), [(2, "3 calls", 3), (3, "4 calls", 4), (5, "7 calls", 7), (7, "10 calls", 10)]
)
def test_the_limit_that_is_named_is_the_limit_that_was_replayed(largest, words, kept):
    """1.5 times the largest of a few good runs lies between two calls: 7.5 ends a run after 7."""
    finding = only([*runs(*[largest] * 20, success=True), *runs(60, success=False, first=20)], metrics=["steps"])
    assert f"a ceiling of {words} would" in finding.title
    assert f"a ceiling of {words} a run" in finding.remedy
    assert finding.lever == ("step-limit", str(kept))
    assert finding.owned_usd == (60 - kept) * CALL


@pytest.mark.parametrize(
    ("metric", "lever"),
    [("usd", ("spend-limit", "0.09")), ("input_tokens", ("input-limit", "6000")), ("minutes", None)],
)
def test_a_limit_of_each_kind_is_a_lever_of_its_own_but_one_of_time(metric, lever):
    rows = [*runs(*[4] * 20, success=True), *runs(60, success=False, first=20)]
    assert only(rows, metrics=[metric]).lever == lever


def test_a_limit_of_seconds_is_no_limit_of_a_minute():
    rows = [*runs(*[4] * 20, success=True), *runs(60, success=False, first=20)]
    assert "a ceiling of 0.75 minutes" in only(rows, metrics=["minutes"]).title  # 1.5 × 30 s


def test_a_good_run_that_is_cut_is_done_again_in_full():
    rows = [*runs(*[4] * 300, 10, success=True), *runs(*[40] * 20, success=False, first=301)]
    finding = only(rows, metrics=["steps"])
    frontier = finding.details["frontier"]
    at_four = frontier.filter(pl.col("limit") == 4).row(0, named=True)
    assert (at_four["runs_cut"], at_four["reference_cut"]) == (21, 1)
    assert (at_four["saved_usd"], at_four["redo_usd"]) == ((20 * 36 + 6) * CALL, 10 * CALL)
    assert finding.owned_usd == (20 * 36 + 6 - 10) * CALL
    assert finding.evidence["waste_usd"].sum() == finding.owned_usd
    assert finding.evidence.filter("good_run")["waste_usd"].to_list() == [-4 * CALL]


@pytest.mark.parametrize(
    "rows",
    [
        GOOD,
        runs(*range(2, 62), success=True),  # legitimately long runs
        runs(*[3] * 50, *[30] * 5, *[60] * 2),  # long, and finished like the others
        runs(*[5] * 12, success=True) + runs(5, success=False, first=12),
    ],
)
def test_good_runs_are_never_advised_against(rows):
    assert ask("missing-ceiling", rows).findings == ()


def test_too_few_runs_give_no_limit_only_what_is_at_risk():
    finding = only(runs(2, 2, 2, 20))
    assert (finding.kind, finding.owned_usd) == (Kind.EXPOSURE, 0)
    assert finding.stake_usd == 18 * CALL
    assert finding.evidence["at_risk_usd"].sum() == finding.stake_usd
    assert finding.lever == ("spend-limit", "")
    assert ask("missing-ceiling", runs(2, 2, 2, 8)).findings == ()


def test_the_back_test_prints_promise_and_outcome():
    rows = [
        *GOOD[: len(GOOD) // 2],
        *runs(90, success=False, first=200),
        *runs(*[3, 4, 5, 8] * 15, success=True, first=300),
    ]
    bad = runs(90, success=False, first=1)
    finding = only([*bad, *[row | {"run_id": "early-" + row["run_id"]} for row in GOOD], *rows])
    assert any("a limit from the earlier half (6 calls) cut 0 of" in line for line in finding.because)


@pytest.mark.parametrize(
    ("rows", "why"),
    [([{}], "no runs"), ([{"run_id": "a"}, {"run_id": "b"}], "no run has more than one call")],
)
def test_it_says_what_it_lacks(rows, why):
    assert [n.why for n in ask("missing-ceiling", rows).not_checked] == [why]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 50), min_size=1, max_size=8), min_size=1, max_size=5),
    st.lists(st.integers(1, 20), min_size=1, max_size=4),
    st.sampled_from(["steps", "usd"]),
)
def test_the_simulator_is_a_replay_call_by_call(prices, limits, metric):
    rows = [
        {
            "run_id": f"r{n}",
            "step": k + 1,
            "started_at": at(1000 * n + k),
            "input_tokens": 1_000 * price,
            "output_tokens": 0,
        }
        for n, run in enumerate(prices)
        for k, price in enumerate(run)
    ]
    held = ledger(calls(rows))
    steps = _ceiling.runs_of(held)
    limits = [float(limit) if metric == "steps" else limit / 64 for limit in limits]
    done = _ceiling.cuts(steps, _ceiling.summary(steps, held), metric, limits)
    names = dict(steps.select("run", "run_id").iter_rows())
    found = {(row["limit"], names[row["run"]]): row["saved_usd"] for row in done.to_dicts()}
    expected = {}
    for limit in limits:
        for n, run in enumerate(prices):
            spent, kept = 0.0, []
            for k, price in enumerate(run):
                if metric == "steps" and k + 1 > limit:
                    break
                kept.append(price)
                spent += price / 100
                if metric == "usd" and sum(kept) / 100 > limit:
                    break
            saved = sum(run) - sum(kept)
            if saved:
                expected[limit, f"r{n}"] = Decimal(saved) / 100
    assert found == expected


# ---------------------------------------------------------------- real runs


def agent_runs(shared, agent):
    """The actions of the agent's labelled runs, a dollar each."""
    folder = shared / "datasets" / "agentbench2023_loops"
    labelled = pl.read_csv(folder / "runs.csv").filter(pl.col("agent") == agent, pl.col("success").is_not_null())
    lines = (folder / "steps.jsonl").read_text().splitlines()
    steps = pl.DataFrame([json.loads(line) for line in lines], infer_schema_length=None)
    acts = steps.join(labelled.select("run_id", "success"), on="run_id").filter(pl.col("action").is_not_null())
    columns = acts.select(
        "run_id", "success", "step", row=pl.int_range(pl.len(), dtype=pl.UInt32), cost_usd=pl.lit(1).cast(USD)
    )
    lacking = [pl.lit(None, dtype).alias(name) for name, dtype in schema.CALLS.items() if name not in columns.columns]
    return columns.with_columns(lacking)


@pytest.mark.parametrize(
    ("agent", "saved", "cut", "good"),
    [("auto-gpt", 0.071, 8, 179), ("mini-agi", 0.028, 16, 324)],
)
def test_the_95th_percentile_of_successes_is_eight_steps_for_both_agents(shared, agent, saved, cut, good):
    held = ledger(agent_runs(shared, agent))
    steps = _ceiling.runs_of(held)
    runs = _ceiling.with_reference(_ceiling.summary(steps, held))
    reference = runs.filter("reference")["steps"]
    assert (reference.len(), reference.quantile(0.95, "higher")) == (good, 8.0)
    done = _ceiling.cuts(steps, runs, "steps", [8.0]).join(runs.select("run", "reference"), on="run")
    assert done["reference"].sum() == cut
    assert round(float(done["saved_usd"].sum()) / steps.height, 3) == saved


def test_contexts_of_coding_agents_grow_by_so_many_tokens_a_step(shared):
    table = pl.read_csv(shared / "datasets/openhands_calls/calls.csv")
    rows = [
        {
            "run_id": r["trace"],
            "step": r["step"],
            "started_at": at(n),
            "input_tokens": r["prompt_tokens"],
            "output_tokens": 1,
        }
        for n, r in enumerate(table.to_dicts())
    ]
    held = ledger(calls(rows))
    slopes = [
        round(_ceiling.growth(one, _ceiling.summary(one, held))["tokens_per_step"].item())
        for _, one in _ceiling.runs_of(held).group_by("run_id", maintain_order=True)
    ]
    # Theil-Sen; a least-squares line, which a few long results pull up, has 1,418, 539 and 369.
    assert slopes == [1_273, 513, 294]
