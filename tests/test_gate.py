"""The gate: silent on chance, mix and price; loud on units that got dearer; never green without a baseline."""

from __future__ import annotations

import itertools
import json
import math
import random
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from gates import draw, of_log
from msgspec.structs import replace
from priced import book, call, calls, later, side

from costaudit.audit import Window
from costaudit.compare.gate import check
from costaudit.compare.side import at_prices_of, measure, month_units
from costaudit.config import Gate as Limits
from costaudit.config import Suppression
from costaudit.price.mix import mix
from costaudit.report import View, _check, _gate
from costaudit.verdict import PromptChange, Verdict


def verdict_of(head, base, **limits) -> Verdict:
    return check(side({"t": head}), side({"t": base}), Limits(**limits)).rows[0].verdict


# Chance, and what is more than chance


def fails(pool: list[float], splits: int, seed: int, **limits: float) -> float:
    """Share of random halves of one pool that the gate fails."""
    source, failed = random.Random(seed), 0
    for _ in range(splits):
        shuffled = source.sample(pool, len(pool))
        half = len(pool) // 2
        failed += verdict_of(shuffled[half:], shuffled[:half], **limits) is Verdict.FAIL
    return failed / splits


@pytest.mark.parametrize(("units", "cv"), [(12, 0.5), (40, 1.0), (200, 2.0)])
def test_random_halves_of_one_log_fail_at_most_one_time_in_twenty(units, cv):
    pool, splits = draw(random.Random(units), units, cv), 80
    error = 3 * math.sqrt(0.05 * 0.95 / splits)
    none = fails(pool, splits, 1, tolerance=0.0)
    assert none <= 0.05 + error
    assert fails(pool, splits, 1, tolerance=0.05) <= none


def test_many_unchanged_tasks_do_not_add_up_their_false_alarms():
    source, failed, trials = random.Random(5), 0, 15
    for _ in range(trials):
        base, head = ({f"t{i}": draw(source, 40) for i in range(12)} for _ in range(2))
        failed += any(r.verdict is Verdict.FAIL for r in check(side(head), side(base), Limits(tolerance=0.0)).rows)
    assert failed / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)


@pytest.mark.parametrize(("ratio", "sd"), [(1.2, 0.1), (1.5, 0.2)])
def test_a_planted_rise_of_paired_cases_fails(ratio, sd):
    source = random.Random(2)
    base = {f"case-{i}": cost for i, cost in enumerate(draw(source, 40))}
    head = {case: cost * ratio * source.gauss(1, sd) for case, cost in base.items()}
    row = check(side({"t": head}), side({"t": base}), Limits()).rows[0]
    assert (row.verdict, row.paired, row.units) == (Verdict.FAIL, True, (40, 40))
    assert row.ratio.low < ratio < row.ratio.high
    assert row.token_ratio == pytest.approx(row.ratio.value, rel=1e-3)


def test_pairing_sees_what_loose_units_cannot():
    source = random.Random(3)
    base = {f"case-{i}": cost for i, cost in enumerate(draw(source, 60))}
    head = {case: cost * 1.25 * source.gauss(1, 0.1) for case, cost in base.items()}
    assert verdict_of(head, base) is Verdict.FAIL
    assert verdict_of(list(head.values()), list(base.values())) is Verdict.CANNOT_TELL


def test_the_printed_power_is_the_power():
    # 8 in 10 comparisons at the printed detectable ratio must fail.
    source, n, trials = random.Random(7), 60, 150
    base = {f"case-{i}": 1.0 for i in range(n)}
    noisy = {case: source.gauss(1, 0.3) for case in base}
    rise = check(side({"t": noisy}), side({"t": base}), Limits()).rows[0].detectable
    failed = sum(
        verdict_of({case: rise * source.gauss(1, 0.3) for case in base}, base) is Verdict.FAIL for _ in range(trials)
    )
    assert failed / trials == pytest.approx(0.8, abs=0.05 + 3 * math.sqrt(0.16 / trials))


def test_half_the_data_of_a_clear_case_cannot_tell_and_says_how_much_is_needed():
    source = random.Random(11)
    base, head = draw(source, 12), draw(source, 12, mean=1.1)
    row = check(side({"t": head}), side({"t": base}), Limits()).rows[0]
    assert row.verdict is Verdict.CANNOT_TELL
    assert row.needed > 100
    assert row.detectable > 1.5


def test_equal_costs_pass_without_a_doubt_and_a_constant_rise_fails_without_one():
    base = {f"case-{i}": 0.5 + i for i in range(6)}
    assert verdict_of(base, base) is Verdict.PASS
    assert verdict_of({case: usd * 1.2 for case, usd in base.items()}, base) is Verdict.FAIL
    assert verdict_of({case: usd * 1.04 for case, usd in base.items()}, base) is Verdict.PASS


def test_a_few_units_that_got_much_dearer_fail_though_the_median_is_calm():
    base = {f"case-{i}": 1.0 + i / 100 for i in range(100)}
    head = {case: usd * (5 if number % 4 == 0 else 1) for number, (case, usd) in enumerate(base.items())}
    row = check(side({"t": head}), side({"t": base}), Limits()).rows[0]
    assert (row.verdict, row.median_ratio) == (Verdict.FAIL, 1.0)
    assert row.ratio.value == pytest.approx(2, rel=0.05)


def test_too_few_units_say_nothing():
    row = check(side({"t": [9.0] * 4}), side({"t": [1.0] * 50}), Limits()).rows[0]
    assert (row.verdict, row.needed) == (Verdict.CANNOT_TELL, 5)


def test_the_order_of_units_and_sides_of_a_dict_changes_no_digit():
    source = random.Random(4)
    base, head = draw(source, 20), draw(source, 20)
    once = check(side({"a": head, "b": base}), side({"a": base, "b": head}), Limits())
    again = check(side({"b": base, "a": head}), side({"b": head, "a": base}), Limits())
    assert once.rows == again.rows


# What is no regression


def test_more_units_of_a_dear_task_pass():
    source = random.Random(6)
    cheap, dear = draw(source, 400, 0.3, 0.01), draw(source, 400, 0.3, 1.0)
    found = check(side({"cheap": cheap[:200], "dear": dear}), side({"cheap": cheap, "dear": dear[:200]}), Limits())
    assert {row.verdict for row in found.rows} == {Verdict.PASS}
    assert found.overall.low < 1 < found.overall.high


@pytest.mark.parametrize("months", [("base", "head"), ("head", "base")], ids=["cut", "rise"])
def test_a_price_change_moves_no_verdict(months):
    before = [
        call(model="falling", instance_id=f"{i}", run_id=f"r{i}", input_tokens=500 + 90 * i, started_at=later(0))
        for i in range(20)
    ]
    after = [row | {"started_at": later(45 * 24 * 60)} for row in before]
    logs = dict(zip(months, (before, after), strict=True))
    day = date(2026, 10, 16)
    found = check(of_log(logs["head"], on=day), of_log(logs["base"], on=day), Limits())
    row = found.rows[0]
    assert (row.verdict, row.ratio.value, row.token_ratio) == (Verdict.PASS, 1.0, 1.0)


def test_a_model_that_had_no_price_on_the_day_keeps_its_own():
    frame = calls([call(model="newborn", started_at=later(60 * 24 * 60)), call(model="falling", started_at=later(0))])
    priced = at_prices_of(frame, book(), date(2026, 9, 10))
    assert priced["cost_usd"].to_list() == frame["cost_usd"].to_list()
    assert at_prices_of(frame, book(), date(2026, 10, 10))["cost_usd"][1] == frame["cost_usd"][1] / 2


def test_calls_keep_their_hour_when_priced_on_another_day():
    frame = calls([call(started_at=later(150), ended_at=later(151)), call(started_at=None)])
    moved = at_prices_of(frame, book(), date(2026, 10, 10))
    assert [str(t)[:16] for t in moved["started_at"]] == ["2026-10-10 02:30", "2026-10-10 00:00"]
    assert str(moved["ended_at"][0])[:16] == "2026-10-10 02:31"


# The floor, and what the month makes of it


def test_a_dearer_task_under_the_floor_does_not_fail_where_the_volume_is_known():
    base = {f"case-{i}": 0.001 + i / 10_000 for i in range(20)}
    head = {case: 2 * usd for case, usd in base.items()}
    sides = side({"t": head}), side({"t": base})
    known = check(*sides, Limits(), floor_usd=Decimal(5), month={"t": 100.0}).rows[0]
    assert known.verdict is Verdict.CANNOT_TELL
    assert "under the floor" in known.why
    assert check(*sides, Limits(), floor_usd=Decimal(5), month={"t": 100_000.0}).rows[0].verdict is Verdict.FAIL
    assert check(*sides, Limits(), floor_usd=Decimal(5)).rows[0].verdict is Verdict.FAIL


def test_the_effect_at_last_months_volume_is_difference_times_units():
    row = check(side({"t": [3.0] * 6}), side({"t": [2.0] * 6}), Limits(), month={"t": 1_000.0}).rows[0]
    assert row.month_usd == 1_000
    frame = calls([call(run_id="a"), call(run_id="a"), call(run_id="b"), call()])
    assert month_units(frame, days=30.4375) == {"triage": 3.0}


@pytest.mark.parametrize(
    ("until", "cap", "verdict"),
    [
        (date(2026, 11, 1), None, Verdict.PASS),
        (date(2026, 10, 1), None, Verdict.FAIL),
        (date(2026, 11, 1), Decimal(1_000), Verdict.PASS),
        (date(2026, 11, 1), Decimal(999), Verdict.FAIL),
    ],
    ids=["accepted", "expired", "within its cap", "past its cap"],
)
def test_a_rise_accepted_on_purpose_passes_until_its_day_and_up_to_its_cap(until, cap, verdict):
    accepted = Suppression("cost-regression", {"task": "t"}, "ada", "longer answers are wanted", until, cap)
    head = replace(side({"t": [3.0] * 6}), window=Window(None, datetime(2026, 10, 15, tzinfo=UTC)))
    found = check(head, side({"t": [2.0] * 6}), Limits(), month={"t": 1_000.0}, suppressions=[accepted])
    assert found.rows[0].verdict is verdict
    assert found.rows[0].accepted is (verdict is Verdict.PASS)
    assert "accepted" in found.rows[0].why


# Units from logs


def test_repeats_of_a_case_are_averaged_and_loose_calls_are_units():
    rows = [
        call(instance_id="x", run_id="1"),
        call(instance_id="x", run_id="1"),
        call(instance_id="x", run_id="2"),
        call(task="other"),
        call(task="other", run_id="3"),
        call(task="other", rollup=True),
    ]
    units = of_log(rows).units
    assert units.filter(task="triage").select("runs", "usd").rows() == [(2, Decimal("0.042"))]
    assert units.filter(task="other")["runs"].to_list() == [1, 1]
    assert units["case"].null_count() == 2


def test_calls_of_a_case_without_runs_are_one_run_of_it():
    rows = [call(instance_id="x"), call(instance_id="x"), call(instance_id="y", run_id="1"), call()]
    units = of_log(rows).units
    assert sorted(units.select("runs", "usd").rows()) == [
        (1, Decimal("0.014")),
        (1, Decimal("0.014")),
        (1, Decimal("0.028")),
    ]
    assert mix(calls(rows), book()).units == 3


def test_units_without_a_price_are_left_out_and_too_many_of_them_judge_nothing():
    base = [call(run_id=f"r{i}") for i in range(10)]
    one = check(of_log([*base[1:], call(run_id="odd", model="unheard-of")]), of_log(base), Limits())
    assert (one.rows[0].verdict, one.rows[0].units) == (Verdict.PASS, (10, 9))
    many = check(
        of_log(base[:3] + [call(run_id=f"odd{i}", model="unheard-of") for i in range(7)]), of_log(base), Limits()
    )
    assert many.rows[0].verdict is Verdict.CANNOT_JUDGE
    assert "7 of 10 units of the candidate have no price" in many.rows[0].why


def test_a_failure_carries_the_bridge_of_one_unit():
    base = [call(run_id=f"r{i}", input_tokens=1_000 + i) for i in range(10)]
    longer = [row | {"input_tokens": row["input_tokens"] * 3} for row in base]
    row = check(of_log(longer), of_log(base), Limits()).rows[0]
    assert row.verdict is Verdict.FAIL
    assert next(name for name, _, _ in row.bridge.by_factor()) == "input tokens"
    assert row.bridge.change_usd == pytest.approx(row.unit_usd[1] - row.unit_usd[0], abs=Decimal("1e-15"))


def test_a_failure_names_the_first_message_that_differs():
    def log(system: int, tokens: int) -> list[dict[str, object]]:
        return [
            call(
                run_id=f"r{i}",
                input_tokens=tokens * 10,
                block_sha=[system, 7 * system + i],
                block_tokens=[tokens, 30],
                tools_sha=5,
                started_at=later(i),
            )
            for i in range(10)
        ]

    row = check(of_log(log(1, 400)), of_log(log(2, 100)), Limits()).rows[0]
    assert row.prompt == PromptChange(1, 100, 400, 1.0, behind_tokens=3_600)  # of 4,000, 400 of them its own
    assert _gate.prompt(row.prompt) == (
        "message 1 is the first that differs: 100 to 400 tokens, in 100 % of the units; "
        "3,600 tokens of the prompt stand behind"
    )


def test_a_task_that_was_free_fails_once_most_of_it_is_billed():
    free, billed = [call(model="gratis", run_id=f"r{i}") for i in range(10)], [call(run_id=f"r{i}") for i in range(10)]
    assert check(of_log(billed), of_log(free), Limits()).rows[0].verdict is Verdict.FAIL
    assert check(of_log(free), of_log(free), Limits()).rows[0].verdict is Verdict.PASS
    assert check(of_log(free), of_log(billed), Limits()).rows[0].verdict is Verdict.PASS
    assert check(of_log(free[1:] + billed[:1]), of_log(free), Limits()).rows[0].verdict is Verdict.CANNOT_TELL


@pytest.mark.parametrize(("temperature", "runs", "advised"), [(0.7, 1, True), (0.7, 3, False), (0.0, 1, False)])
def test_sampled_cases_that_ran_once_are_advised_to_run_more_often(temperature, runs, advised):
    rows = [
        call(
            instance_id=f"{i}",
            run_id=f"{i}-{n}",
            temperature=temperature,
            output_tokens=random.Random(f"{i}-{n}").randint(1, 2_000),
        )
        for i in range(6)
        for n in range(runs)
    ]
    again = [row | {"output_tokens": random.Random(f"{row['run_id']} again").randint(1, 2_000)} for row in rows]
    found = check(of_log(again), of_log(rows), Limits())
    assert found.rows[0].verdict is Verdict.CANNOT_TELL
    assert ("run each case at least 3 times" in _gate.remark(found.rows[0], found)) is advised


def test_cases_on_one_side_only_are_left_out_and_counted():
    base = {f"case-{i}": 1.0 + i for i in range(10)}
    head = {f"case-{i}": 1.0 + i for i in range(2, 13)}
    found = check(side({"t": head}), side({"t": base}), Limits())
    assert (found.rows[0].units, found.rows[0].left_out) == ((8, 8), (2, 3))
    assert "left out 2 units of the baseline, 3 of the candidate" in _gate.remark(found.rows[0], found)


def test_amounts_beyond_reason_are_judged_like_any_other():
    base = {f"case-{i}": 1e13 + i for i in range(6)}
    found = check(side({"t": {k: 3 * v for k, v in base.items()}}), side({"t": base}), Limits(), month={"t": 1e9})
    assert found.verdict is Verdict.FAIL
    assert all(render(found, View()) for render in _check.RENDERERS.values())


# Exit codes, and no baseline


def test_the_gravest_verdict_decides_the_exit_code():
    same = {f"case-{i}": 1.0 + i for i in range(8)}
    dear = {case: usd * 2 for case, usd in same.items()}
    few = {"x": 1.0}
    assert check(side({"t": same}), side({"t": same}), Limits()).exit_code == 0
    assert check(side({"t": dear}), side({"t": same}), Limits()).exit_code == 1
    assert check(side({"t": dear, "new": same}), side({"t": same}), Limits(require_baseline=True)).exit_code == 1
    assert check(side({"t": few}), side({"t": few}), Limits()).exit_code == 0
    assert check(side({"t": few}), side({"t": few}), Limits(inconclusive="fail")).exit_code == 1


@pytest.mark.parametrize(("required", "code"), [(False, 0), (True, 3)])
def test_without_a_baseline_nothing_is_judged_and_nothing_passes(required, code):
    limits = Limits(require_baseline=required)
    none = check(side({"t": [1.0] * 9}), None, limits)
    assert (none.verdict, none.exit_code) == (Verdict.CANNOT_JUDGE, code)
    other = check(side({"t": [1.0] * 9, "new": [1.0] * 9}), side({"t": [1.0] * 9}), limits)
    assert ({row.task: row.verdict for row in other.rows}["new"], other.exit_code) == (Verdict.CANNOT_JUDGE, code)
    assert other.verdict is Verdict.CANNOT_JUDGE


def test_under_the_coverage_floor_nothing_is_judged_and_the_exit_code_says_so():
    blind = measure(calls([call()] * 6), book(), name="head", window=Window(), coverage=0.5)
    found = check(blind, of_log([call()] * 6), Limits())
    assert (found.verdict, found.exit_code) == (Verdict.CANNOT_JUDGE, 3)
    assert "50 %" in found.rows[0].why


# A real A/A: one model, the same fifty cases, four trials each


@pytest.mark.parametrize("trials", list(itertools.combinations(range(4), 2)))
def test_trials_of_one_agent_on_the_same_cases_do_not_fail_each_other(trials, shared):
    found = sorted((shared / "datasets" / "tau_airline_gpt4o").glob("*.json"))
    costs: dict[int, dict[str, float]] = {}
    for run in json.loads(found[0].read_text()):
        characters = list(itertools.accumulate(len(str(turn.get("content") or "")) for turn in run["traj"]))
        asked = [
            sum_before for turn, sum_before in zip(run["traj"], characters, strict=True) if turn["role"] == "assistant"
        ]
        costs.setdefault(run["trial"], {})[str(run["task_id"])] = sum(asked) / 4 * 2.5e-6
    first, second = trials
    row = check(side({"airline": costs[first]}), side({"airline": costs[second]}), Limits()).rows[0]
    assert row.paired
    assert row.units == (50, 50)
    assert row.verdict is not Verdict.FAIL
