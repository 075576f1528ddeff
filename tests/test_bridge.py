"""The variance bridge: it adds up, it turns round, and one planted cause is named as the cause."""

from __future__ import annotations

import itertools
import math
import random
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from priced import book, call, calls, later

from costaudit.price.bridge import FACTORS, Bridge, between, bridge
from costaudit.price.engine import bill, bill_by
from costaudit.price.mix import CLASS_ROWS, MODELS, TASKS, Mix, mix

SEPTEMBER, OCTOBER = later(0), later(40 * 24 * 60)


@st.composite
def some_calls(draw: st.DrawFn) -> dict[str, object]:
    tokens = draw(st.integers(0, 5_000))
    cached = draw(st.integers(0, tokens))
    output = draw(st.integers(0, 2_000))
    return call(
        task=draw(st.sampled_from(["triage", "answer", None])),
        model=draw(st.sampled_from(["large", "small", "falling", "gratis", "unheard-of"])),
        run_id=draw(st.sampled_from(["r1", "r2", "r3", None])),
        status=draw(st.sampled_from(["ok", "ok", "error", "cancelled", None])),
        rollup=draw(st.sampled_from([None, False, False, True])),
        gateway_cache_hit=draw(st.sampled_from([None, False, False, True])),
        started_at=draw(st.sampled_from([SEPTEMBER, OCTOBER])),
        input_tokens=tokens,
        cache_read_tokens=cached,
        output_tokens=output,
        reasoning_tokens=draw(st.integers(0, output)),
        extras=[{"class": "web_search", "quantity": draw(st.integers(0, 3))}],
    )


logs = st.lists(some_calls(), max_size=12)


def effects(of: Bridge) -> dict[tuple[str, str, str], Decimal]:
    return {(f, t, m): usd for f, _, t, m, usd, _ in of.rows.iter_rows()}


@settings(max_examples=15, deadline=None)
@given(logs, logs)
def test_the_bars_add_up_to_the_change_on_any_two_logs_and_swapping_turns_every_sign(first, second):
    before, after = calls(first), calls(second)
    mixes = mix(before, book()), mix(after, book())
    there, back = between(*mixes), between(*reversed(mixes))
    zero = Decimal(0)
    assert there.before_usd == (before["cost_usd"].sum() or zero)
    assert sum(effects(there).values(), zero) == there.after_usd - there.before_usd
    assert sum((usd for _, _, usd in there.by_factor()), zero) == there.change_usd == sum(there.by_group().values())
    names = {"new task": "gone task", "gone task": "new task"}
    turned = {(names.get(f, f), t, m): -usd for (f, t, m), usd in effects(back).items()}
    assert turned == effects(there)


@settings(max_examples=6, deadline=None)
@given(logs, logs, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(first, second, shuffle):
    there = bridge(calls(first), calls(second), book())
    shuffle.shuffle(first)
    shuffle.shuffle(second)
    assert bridge(calls(first), calls(second), book()).rows.equals(there.rows)


@settings(max_examples=6, deadline=None)
@given(logs)
def test_a_window_compared_with_itself_has_no_bars(rows):
    window = mix(calls(rows), book())
    assert between(window, window).rows.is_empty()


@settings(max_examples=6, deadline=None)
@given(logs, logs)
def test_a_mix_is_additive_in_dollars_and_calls(first, second):
    parts, whole = (mix(calls(first), book()), mix(calls(second), book())), mix(calls(first + second), book())
    assert whole.usd == parts[0].usd + parts[1].usd
    assert whole.tasks["calls"].sum() == sum(p.tasks["calls"].sum() for p in parts)
    assert whole.unpriced.calls == sum(p.unpriced.calls for p in parts)


@settings(max_examples=8, deadline=None)
@given(logs)
def test_sums_of_bills_are_the_bills_summed(rows):
    frame = calls(rows).filter(pl.col("cost_usd").is_not_null() & pl.col("price_status").is_not_null())
    keys = frame.select("task", "model")
    parts = bill(frame, book())
    by_row = pl.concat([keys[parts["row"]], parts], how="horizontal").with_columns(
        pl.col("class").replace("reasoning", "output")
    )
    by_key = bill_by(frame, book(), keys).with_columns(pl.col("class").replace("reasoning", "output"))
    names = ["task", "model", "class"]
    sums = [of.group_by(names).agg(pl.col("quantity", "usd").sum()).sort(names) for of in (by_row, by_key)]
    assert sums[0].equals(sums[1])


def a_month(seed: int = 1, runs: int = 60, **changes: object) -> list[dict[str, object]]:
    """Agent runs of 1 to 6 calls, some errors, half of the input cached; `changes` overrides columns of each call."""
    source, rows = random.Random(seed), []
    for run in range(runs):
        task = ("triage", "answer")[run % 2]
        for step in range(source.randint(1, 6)):
            tokens, output = source.randint(500, 4_000), source.randint(50, 500)
            row = call(
                task=task,
                run_id=f"run-{run}",
                step=step,
                model=("large", "small")[source.random() < 0.5],
                status="error" if source.random() < 0.1 else "ok",
                input_tokens=tokens,
                cache_read_tokens=tokens // 2,
                output_tokens=output,
                reasoning_tokens=output // 3,
            )
            rows.append(row | {k: v(row) if callable(v) else v for k, v in changes.items()})
    return rows


def _twice(rows):
    return rows + [row | {"run_id": f"again-{row['run_id']}"} for row in rows]


def _one_task_four_times(rows):
    more = [row | {"run_id": f"{n}-{row['run_id']}"} for n in range(3) for row in rows if row["task"] == "triage"]
    # Fewer answers, so that the number of units stays the same.
    return [row for row in rows + more if row["task"] == "triage" or int(str(row["run_id"])[4:]) % 2 == 0]


def _longer_runs(rows):
    return [copy for row in rows for copy in (row, row)]


def _retried(rows):
    return [c for row in rows for c in ((row, row | {"status": "error"}) if row["status"] == "ok" else (row,))]


@pytest.mark.parametrize(
    ("factor", "change"),
    [
        ("units", _twice),
        ("calls per unit", _longer_runs),
        ("retries", _retried),
        (
            "input tokens",
            lambda rows: [
                r | {"input_tokens": r["input_tokens"] * 3, "cache_read_tokens": r["cache_read_tokens"] * 3}
                for r in rows
            ],
        ),
        (
            "output tokens",
            lambda rows: [r | {"output_tokens": r["output_tokens"] * 3 - 2 * r["reasoning_tokens"]} for r in rows],
        ),
        (
            "reasoning tokens",
            lambda rows: [
                r
                | {
                    "output_tokens": r["output_tokens"] + 4 * r["reasoning_tokens"],
                    "reasoning_tokens": r["reasoning_tokens"] * 5,
                }
                for r in rows
            ],
        ),
        ("caching", lambda rows: [r | {"cache_read_tokens": 0} for r in rows]),
        ("fees", lambda rows: [r | {"extras": [{"class": "web_search", "quantity": 2}]} for r in rows]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_planted_cause_gets_over_95_percent_of_the_change(factor, change):
    rows = a_month()
    found = bridge(calls(rows), calls(change(rows)), book())
    named = {name: usd for name, _, usd in found.by_factor()}
    assert abs(named[factor]) > Decimal("0.95") * sum(abs(usd) for usd in named.values())


def test_the_same_calls_on_a_dearer_model_are_model_mix():
    rows = a_month(input_tokens=2_000, cache_read_tokens=1_000, output_tokens=200, reasoning_tokens=60)
    found = bridge(calls(rows), calls([row | {"model": "large"} for row in rows]), book())
    assert [name for name, _, _ in found.by_factor()] == ["model mix"]


def test_a_price_cut_is_price_and_nothing_else():
    before, after = a_month(model="falling", started_at=SEPTEMBER), a_month(model="falling", started_at=OCTOBER)
    found = bridge(calls(before), calls(after), book())
    assert [name for name, _, _ in found.by_factor()] == ["price"]
    assert found.change_usd == -found.after_usd


def test_more_of_a_cheap_task_is_mix_and_not_efficiency():
    rows = a_month()
    found = bridge(calls(rows), calls(_one_task_four_times(rows)), book())
    growth = found.by_group()["growth"]
    assert abs(growth) > Decimal("0.9") * abs(found.change_usd)


def test_a_longer_month_is_a_bar_of_its_own():
    february, march = a_month(runs=28), a_month(runs=31)
    found = bridge(calls(february), calls(february + march[len(february) :]), book(), days=(28, 31))
    named = {name: usd for name, _, usd in found.by_factor()}
    weight = found.change_usd / Decimal(math.log(float(found.after_usd / found.before_usd)))
    assert float(named["days"]) == pytest.approx(float(weight) * math.log(31 / 28), rel=0.05)
    assert "units" not in named or abs(named["units"]) < Decimal("1e-12")


def test_tasks_that_come_and_go_own_all_they_cost():
    found = bridge(calls([call(task="old")]), calls([call(task="new", model="small")]), book())
    assert effects(found) == {
        ("gone task", "old", "acme:large"): Decimal("-0.014"),
        ("new task", "new", "acme:small"): Decimal("0.0014"),
    }


def test_a_model_that_appears_is_model_mix_and_a_class_that_appears_is_caching():
    found = bridge(calls([call(), call()]), calls([call(), call(model="small")]), book())
    assert {name for name, _, _ in found.by_factor()} == {"model mix"}
    cached = bridge(calls([call()]), calls([call(cache_read_tokens=1_000)]), book())
    assert {name for name, _, _ in cached.by_factor()} == {"caching"}


def test_a_window_without_one_good_call_has_no_retries_bar():
    found = bridge(calls([call()]), calls([call(status="error"), call(status="error")]), book())
    assert [(name, usd) for name, _, usd in found.by_factor()] == [
        ("units", Decimal("0.014000000000000000")),
    ]
    run = bridge(calls([call(run_id="a")]), calls([call(run_id="a", status="error")] * 2), book())
    assert [(name, usd) for name, _, usd in run.by_factor()] == [("calls per unit", Decimal("0.014"))]


def test_two_spellings_of_one_price_entry_are_one_model():
    found = bridge(calls([call(model="large")]), calls([call(model="acme/large")]), book())
    assert found.rows.is_empty()


def test_calls_without_a_price_stand_outside_the_bars_and_are_counted():
    found = bridge(calls([call()]), calls([call(), call(model="unheard-of")]), book())
    assert found.rows.is_empty()
    assert (found.unpriced[0].calls, found.unpriced[1].calls, found.unpriced[1].high_usd) == (0, 1, None)


def test_answers_of_a_gateway_cache_show_as_fewer_calls_per_unit():
    before = [call(run_id=f"r{n}") for n in range(4)]
    found = bridge(calls(before), calls([r | {"gateway_cache_hit": n > 1} for n, r in enumerate(before)]), book())
    assert [(name, usd) for name, _, usd in found.by_factor()] == [("calls per unit", Decimal("-0.028"))]


def test_money_on_estimated_counts_is_footnoted():

    frame = calls([call(), call()]).with_columns(trust=pl.Series(["exact", "estimated"]))
    found = bridge(frame, calls([call()] * 4), book())
    assert found.rows["estimated"].to_list() == pytest.approx([1 / 6])


def test_amounts_of_a_whole_economy_still_add_up():
    found = bridge(calls([call()]), calls([call(input_tokens=10**12, output_tokens=3)] * 9), book())
    assert sum(effects(found).values(), Decimal(0)) == found.change_usd


def test_the_bars_agree_with_brute_force_shapley_in_sign_and_size():
    # One task, one model, one class; V = units · calls a unit · tokens a call · price.
    source = random.Random(3)
    for _ in range(20):
        before = [source.uniform(1, 3) for _ in range(3)]
        after = [x * source.uniform(0.6, 1.8) for x in before]
        shapley = [0.0, 0.0, 0.0]
        for order in itertools.permutations(range(3)):
            now = list(before)
            for i in order:
                was = math.prod(now)
                now[i] = after[i]
                shapley[i] += (math.prod(now) - was) / 6
        lmdi = _three_factors(before, after)
        for mine, fair in zip(lmdi, shapley, strict=True):
            assert mine == pytest.approx(fair, abs=0.05 * max(map(abs, shapley)))


def _three_factors(before: list[float], after: list[float]) -> list[float]:
    """Units, calls a unit and tokens a call through the bridge, on mixes built by hand."""

    def window(units: float, per_unit: float, tokens: float) -> Mix:
        n = units * per_unit
        usd = Decimal(n * tokens).quantize(Decimal("1e-18"))
        return Mix(
            pl.DataFrame([("t", units, n, n)], schema=TASKS, orient="row"),
            pl.DataFrame([("t", "m", n)], schema=MODELS, orient="row"),
            pl.DataFrame([("t", "m", "input", n * tokens, usd, Decimal(0))], schema=CLASS_ROWS, orient="row"),
        )

    found = between(window(*before), window(*after))
    named = {name: float(usd) for name, _, usd in found.by_factor()}
    return [named.get(name, 0.0) for name in ("units", "calls per unit", "input tokens")]


def test_a_unit_mix_divides_dollars_to_the_last_digit_and_explains_the_unit_cost():
    before = mix(calls(a_month()), book())
    after = mix(calls(_longer_runs(a_month())), book())
    found = between(before.per_unit("triage"), after.per_unit("triage"))
    clear = [name for name, _, usd in found.by_factor() if abs(usd) > Decimal("1e-15")]  # the rest is rounding
    assert clear == ["calls per unit"]
    assert found.after_usd == pytest.approx(2 * found.before_usd)
    assert before.per_unit("nothing of the kind").usd == 0


def test_the_largest_rows_and_the_rest_are_all_of_it():
    found = bridge(calls(a_month(1)), calls(a_month(2, runs=90)), book())
    head, rest = found.top(3)
    assert head.height == 3
    assert head["effect_usd"].sum() + rest == found.change_usd


def test_every_bar_has_a_kind():
    assert set(FACTORS.values()) == {"growth", "efficiency", "price"}
