"""What would have been: arithmetic one can read, and what holds for any log."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledgers import at, calls, ledger
from program import run as run
from test_ledger_laws import call

from costaudit import scenario
from costaudit.analyze import chosen
from costaudit.analyze._scenario import replay
from costaudit.config import Settings
from costaudit.errors import UsageError
from costaudit.scenario import batch, cache, ceiling, fix, known_tasks, swap

RULES = chosen(Settings())
IDENTITY = st.sampled_from([(), (swap("big -> big"),), (ceiling("steps=1000000"),)])


def simulated(rows, *changes):
    return replay(ledger(rows), changes, RULES)


def saved(rows, *changes):
    return [str(step.saved_usd.normalize()) for step in simulated(rows, *changes).steps]


# 1,000 tokens in and 100 out on `big` cost 10 + 5 = 15 thousandths of a dollar. Another tokenizer is never taken for
# the same: assumed are √(0.8 × 1.4) × 1,000 = 1,058 in and √(0.7 × 1.4) × 100 = 99 out, 1.553 thousandths on `small`.
RUN = [{"run_id": "r", "task": "a", "step": n, "finish_reason": "tool_calls"} for n in range(1, 5)]


@pytest.mark.parametrize(
    ("rows", "changes", "usd"),
    [
        ([{}], [swap("big -> small")], ["0.013447"]),
        ([{}, {"model": "small"}], [swap("acme/big -> acme/small")], ["0.013447"]),
        ([{"task": "a"}, {"task": "b"}], [swap("task=a: big -> small")], ["0.013447"]),
        ([{"model": "small"}], [swap("small -> big")], ["-0.01403"]),
        ([{}], [batch("task=a")], None),
        ([{"task": "a"}], [batch("a")], ["0.0075"]),
        ([{"task": "a"}], [batch("a"), swap("big -> small")], None),
        (RUN, [ceiling("steps=2")], ["0.03"]),
        (RUN, [ceiling("task=a:usd=0.02")], ["0.03"]),
        ([{"temperature": 0.0, "request_sha": 7}] * 3, [fix("duplicate-requests")], ["0.03"]),
        (
            [{"temperature": 0.0, "request_sha": 7}] * 3,
            [swap("* -> small"), fix("duplicate-requests")],
            ["0.03", "0.013447"],
        ),
    ],
)
def test_a_change_saves_what_the_price_page_says(rows, changes, usd):
    if usd is None:
        with pytest.raises(UsageError):
            saved(rows, *changes)
    else:
        assert saved(rows, *changes) == usd


def test_a_cut_good_run_is_done_again_and_that_is_taken_off():
    short = [{"run_id": f"s{n}", "task": "a", "success": True, "started_at": at(n)} for n in range(3)]
    long = [{"run_id": "x", "task": "a", "success": True, "step": n, "started_at": at(100 + n)} for n in range(1, 5)]
    done = simulated([*short, *long], ceiling("steps=1"))
    step = done.steps[0]
    assert (step.removed, step.saved_usd, step.added_usd) == (3, Decimal("0.045") - Decimal("0.06"), Decimal("0.06"))
    assert done.by_task["after_usd"].sum() == done.usd[0]


def test_a_failed_run_is_not_done_again():
    good = [{"run_id": f"s{n}", "task": "a", "success": True, "started_at": at(n)} for n in range(3)]
    stuck = [{"run_id": "x", "task": "a", "success": False, "step": n, "started_at": at(100 + n)} for n in range(1, 5)]
    assert saved([*good, *stuck], ceiling("task=a:steps=1")) == ["0.045"]


def test_a_model_that_is_new_cost_nothing_before_and_one_without_a_price_is_unknown():
    table = simulated([{}, {"model": "nobody knows"}], swap("big -> small")).by_model
    before = dict(table.select("name", "before_usd").iter_rows())
    assert before == {"big": Decimal("0.015"), "small": 0, "nobody knows": None}


def test_a_swap_pays_for_a_cold_cache_once():
    turn = {"system_sha": 1, "request_sha": 5, "input_tokens": 2_000, "cache_read_tokens": 2_000, "output_tokens": 0}
    both = [turn | {"request_sha": n, "model": m, "task": "a"} for n in range(12) for m in ("big", "small")]
    done = simulated([t | {"started_at": at(n)} for n, t in enumerate(both)], swap("big -> small"))
    # 12 calls: the first finds nothing (2,000 fresh tokens at $1), the others read 2,000 at $0.10; 12 that were there
    # read too. Tokens are those of `small` on the same requests: × 1.
    assert done.usd[0] == Decimal("0.002") + 11 * Decimal("0.0002") + 12 * Decimal("0.0002")


def test_a_cache_that_is_switched_off_costs_fresh_tokens():
    blocks = {"block_sha": [1, 2], "block_tokens": [1_500, 500], "input_tokens": 2_000, "cache_read_tokens": 1_000}
    # 1,000 tokens read at $1 become fresh at $10 a million: 9 thousandths dearer.
    assert saved([{**blocks, "output_tokens": 0, "cache_write_tokens": 0}], cache("off")) == ["-0.009"]


def test_a_cache_is_simulated_on_the_calls_own_times():
    turn = {"block_sha": [1], "block_tokens": [2_000], "input_tokens": 2_000, "output_tokens": 0}
    rows = [turn | {"started_at": at(s)} for s in (0, 60, 10_000)]
    done = simulated(rows, cache("5m"))
    # Written, read, and after a long pause written again: 2,000 × (12.5 + 1 + 12.5) against 3 × 2,000 × 10.
    assert done.usd[0] == Decimal("0.052")


def test_a_model_that_nobody_sells_is_refused_with_what_to_do():
    with pytest.raises(UsageError, match="no price for 'sonnet'") as error:
        simulated([{}], swap("big -> sonnet"))
    assert "prices list" in error.value.hint


@pytest.mark.parametrize(
    ("parse", "written", "part"),
    [
        (swap, "big", "swap"),
        (swap, "task=a: -> small", "swap"),
        (ceiling, "steps", "ceiling"),
        (ceiling, "steps=-1", "ceiling"),
        (ceiling, "steps=0", "ceiling"),
        (ceiling, "usd=1e400", "ceiling"),
        (ceiling, "steps=nan", "ceiling"),
        (ceiling, "hours=3", "ceiling"),
        (cache, "9m", "cache"),
        (cache, "some=5m", "cache"),
    ],
)
def test_what_is_no_change_is_refused_before_anything_is_read(parse, written, part):
    with pytest.raises(UsageError, match=part):
        parse(written)


@pytest.mark.parametrize(
    ("made", "task", "rest"),
    [
        (swap("task=a b: m:1 -> p/m:2"), "a b", ("m:1", "p/m:2")),
        (swap("task=a:m->n"), "a", ("m", "n")),
        (swap("ft:gpt-4o:org::id -> gpt-4o"), None, ("ft:gpt-4o:org::id", "gpt-4o")),
        (swap("triage: m -> n"), "triage", ("m", "n")),
        (ceiling("task=a:b:usd=$2.50"), "a:b", ("usd", Decimal("2.50"))),
        (cache("seen=1h"), None, ("seen", "1h")),
        (cache("task=a:off"), "a", ("", "")),
        (batch("task=nightly: digest"), "nightly: digest", ()),
    ],
)
def test_changes_are_read_as_written(made, task, rest):
    parts = {"swap": (made.source, made.target), "ceiling": (made.metric, made.limit), "cache": (made.write, made.life)}
    assert (made.task, parts.get(made.sort, ())) == (task, rest)


def test_a_task_that_is_not_there_is_an_error_with_the_nearest_one():
    with pytest.raises(UsageError, match="no task 'triag'") as error:
        known_tasks([swap("task=triag: a -> b")], ["answer", "triage"])
    assert "triage" in error.value.hint


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(call, min_size=1, max_size=12), IDENTITY)
def test_a_change_of_nothing_costs_exactly_what_was_spent(rows, changes):
    frame = calls(rows)
    spent = frame["cost_usd"].sum() or Decimal(0)
    try:
        done = replay(ledger(frame), changes, RULES)
    except UsageError:
        return  # no priced call on `big`, or no runs
    assert done.usd == (spent, spent, spent)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(call, min_size=1, max_size=12),
    st.permutations([fix("runaway-loop"), fix("cache-miss"), cache("1h"), fix("failed-calls")]),
)
def test_steps_add_up_to_the_whole_and_their_order_is_the_ledgers(rows, changes):
    frame = calls(rows)
    done = replay(ledger(frame), changes, RULES)
    spent = frame["cost_usd"].sum() or Decimal(0)
    assert spent - done.usd[0] == sum((step.saved_usd for step in done.steps), Decimal(0))
    for table in (done.by_task, done.by_model):
        assert (table["before_usd"].sum() or 0, table["after_usd"].sum() or 0) == (spent, done.usd[0])
    assert done.steps == replay(ledger(frame), sorted(changes, key=lambda c: c.written), RULES).steps


def test_the_command_prints_one_sentence_and_machines_get_exact_dollars(run):
    import shutil

    from console import ROOT

    shutil.copytree(ROOT / "sample_logs" / "analyzers", "logs")
    log = "logs/duplicate-requests.jsonl"
    ran = run("simulate", log, "--drop-duplicates")
    assert ran.code == 0
    assert "with 1 change: $1.56 less" in ran.out
    document = json.loads(run("simulate", log, "--drop-duplicates", "--format", "json").out)
    assert document["schema"] == "costaudit.simulation/1"
    assert Decimal(document["before_usd"]) - Decimal(document["after_usd"]) == Decimal(document["saved_usd"])
    assert run("simulate", log, "--swap", "task=nobody: a -> b").code == 2
    assert scenario.fix("x").rule == "x"
