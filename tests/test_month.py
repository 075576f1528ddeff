"""The monthly review adds up, months begin where their zone says; what it looks like, and how it exits."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from audits import AUDIT
from hypothesis import given, settings
from hypothesis import strategies as st
from month_reviews import OCTOBER, SEPTEMBER, a_month, claim, days_of, reviewed
from msgspec.structs import replace
from priced import book, call, calls

from costaudit.compare._coming import with_trend
from costaudit.compare._followed import follow
from costaudit.compare.month import days_of as days_of_spend
from costaudit.compare.month import following, label, parse, preceding, price_events, window
from costaudit.errors import UsageError
from costaudit.finding import NotChecked
from costaudit.price.spend import spend
from costaudit.report import View, _bridge, _month
from costaudit.verdict import Standing

# Months


@pytest.mark.parametrize(("written", "first"), [("2026-10", date(2026, 10, 1)), ("2026-01", date(2026, 1, 1))])
def test_a_month_is_written_with_four_and_two_digits(written, first):
    assert parse(written) == first


@pytest.mark.parametrize(
    "written", ["", "2026", "2026-13", "2026-00", "26-10", "2026-1", "2026-10-01", "２０２６-10", "9999-12 "]
)
def test_anything_else_is_no_month(written):
    with pytest.raises(UsageError):
        parse(written)


def test_months_follow_each_other_over_the_year():
    assert (following(date(2026, 12, 1)), preceding(date(2026, 1, 1))) == (date(2027, 1, 1), date(2025, 12, 1))
    assert label(date(2026, 3, 1)) == "March 2026"


def test_a_month_begins_at_midnight_of_its_zone_and_may_be_an_hour_longer():
    berlin = window(date(2026, 10, 1), ZoneInfo("Europe/Berlin"), "Europe/Berlin")
    assert berlin.start == datetime(2026, 9, 30, 22, tzinfo=UTC)
    assert berlin.end == datetime(2026, 10, 31, 23, tzinfo=UTC)
    assert berlin.end - berlin.start == timedelta(days=31, hours=1)


# What adds up


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40))
def test_tables_and_bars_add_up_to_both_totals(n, m):
    month = reviewed(days_of(OCTOBER, n), days_of(SEPTEMBER, m))
    zero = Decimal(0)
    for frame in month.tables.values():
        assert sum(frame["cost_usd"], zero) == month.audit.spend.total_usd
        assert sum(frame["before_usd"], zero) == month.before_usd
        assert sum(frame["change_usd"], zero) == month.change_usd
    assert sum(month.bridge.by_group().values(), zero) == month.change_usd
    assert month.tables["model"]["units"].sum() == n


def test_calls_without_a_tenant_are_a_row_of_their_own():
    tenants = reviewed(days_of(OCTOBER, 20), days_of(SEPTEMBER, 20)).tables["tenant"]
    assert set(tenants["tenant"]) == {"acme corp", "(no tenant)"}


@pytest.mark.parametrize(
    ("columns", "usd"),
    [
        ({"status": "error", "input_tokens": None, "output_tokens": None}, Decimal(0)),  # nobody is billed for it
        ({"model": "in-house-7b"}, None),  # unknown, and not nothing
    ],
)
def test_what_is_not_billed_costs_nothing_and_what_has_no_price_is_unknown(columns, usd):
    rows = [call(task="other"), call(task="this", **columns), call(task="this", **columns)]
    month = reviewed([row | {"started_at": datetime(2026, 10, 5, tzinfo=UTC)} for row in rows], None)
    assert dict(month.tables["task"].select("task", "cost_usd").iter_rows())["this"] == usd


def test_a_unit_is_a_run_and_its_cost_is_exact():
    rows = [call(run_id="a"), call(run_id="a"), call(run_id="b"), call()]
    month = reviewed([row | {"started_at": datetime(2026, 10, 5, tzinfo=UTC)} for row in rows], None)
    row = month.tables["task"].row(0, named=True)
    assert (row["cost_usd"], row["units"], row["unit_before_usd"]) == (Decimal("0.056"), 3, None)
    assert abs(row["unit_usd"] * 3 - Decimal("0.056")) < Decimal("1e-17")


def test_twice_the_work_is_growth_and_no_efficiency():
    month = reviewed(
        days_of(OCTOBER, 60, model="large", input_tokens=1_000, output_tokens=10),
        days_of(SEPTEMBER, 30, model="large", input_tokens=1_000, output_tokens=10),
    )
    groups = month.bridge.by_group()
    assert groups["efficiency"] == groups["price"] == 0
    assert groups["growth"] == month.change_usd == month.before_usd


def test_a_price_cut_is_price_and_an_event_with_its_day():
    month = reviewed(
        days_of(OCTOBER, 31, model="falling", input_tokens=500, output_tokens=10, task="t"),
        days_of(SEPTEMBER, 30, model="falling", input_tokens=500, output_tokens=10, task="t"),
    )
    assert month.bridge.by_group()["price"] < 0
    assert month.price_events.rows() == [
        ("acme:falling", OCTOBER, "input", Decimal(10), Decimal(5), False),
        ("acme:falling", OCTOBER, "output", Decimal(40), Decimal(20), False),
    ]


def test_a_price_to_come_is_announced():
    frame = calls(days_of(date(2026, 8, 1), 5, model="falling"))
    events = price_events(frame, book(), window(date(2026, 7, 1), UTC, "UTC"), window(date(2026, 8, 1), UTC, "UTC"))
    assert events["announced"].to_list() == [True, True]


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60))
def test_a_reader_who_adds_up_the_printed_bars_gets_the_printed_change(n, m):
    bridge = reviewed(days_of(OCTOBER, n), days_of(SEPTEMBER, m)).bridge
    *bars, change = [row[3] for row in _bridge.cells(bridge)]
    assert sum(map(printed, bars)) == printed(change)
    assert sum(printed(row[3]) for row in _bridge.drill(bridge)) == printed(change)
    assert sum(printed(part.split()[-1]) for part in _bridge.sentence(bridge).split(", ")) == printed(change)


def printed(effect: str) -> Decimal:
    """The amount that a reader sees; `<$0.01` is too small to count."""
    return Decimal(0) if "<" in effect else Decimal(effect.replace("$", "").replace(",", ""))


def test_without_the_month_before_nothing_is_compared():
    month = reviewed(days_of(OCTOBER, 10), None)
    assert (month.bridge, month.before_usd, month.change_usd) == (None, None, None)
    assert "no logs of September 2026 to compare with" in _month.headline(month)


def test_a_log_that_does_not_fill_its_month_says_so():
    late = [r | {"started_at": datetime(2026, 10, 11, tzinfo=UTC)} for r in days_of(OCTOBER, 4)]
    notes = reviewed(late, days_of(SEPTEMBER, 60)).notes
    assert notes == (
        "the log of this month begins 10 days after its start",
        "the log of this month ends 21 days before its end",
    )


# From one month to the next


def test_findings_are_matched_by_rule_and_subject():
    said = {f.id: (str(f.standing), f.title.split(":")[0]) for f in a_month().followed if f.rule == "runaway-loop"}
    assert sorted(said.values()) == [("fixed", "research"), ("new", "triage"), ("still open", "answer")]


def test_what_was_fixed_is_promised_at_this_month_s_volume_and_measured_with_an_interval():
    month = a_month()
    (fixed,) = (f for f in month.followed if f.standing is Standing.FIXED)
    before, now = (
        len({r["run_id"] for r in rows if r["task"] == "research"})
        for rows in (days_of(SEPTEMBER, 120), days_of(OCTOBER, 200))
    )
    assert fixed.promised[0] == pytest.approx(Decimal("0.30") * now / before)
    assert fixed.measured.low < fixed.measured.value < fixed.measured.high
    assert fixed.measured.low > 0  # an eighth of the prompt, and many runs


@pytest.mark.parametrize(
    ("task", "changes", "standing_"),
    [
        ("research", {}, "fixed"),
        ("nobody's task", {}, "gone"),
        ("research", {"unshown": True}, "below the floor"),
        ("research", {"not_checked": (NotChecked("runaway-loop", "no runs"),), "clean": ()}, "not checked"),
        ("research", {"clean": ()}, "not checked"),
    ],
)
def test_what_is_no_longer_shown_is_not_always_fixed(task, changes, standing_):
    earlier = claim(task, "1")
    given = {"findings": (), "clean": ("runaway-loop",), "not_checked": ()} | changes
    if given.pop("unshown", False):
        given["unshown"] = frozenset({earlier.id})
    now, then = replace(AUDIT, **given), replace(AUDIT, findings=(earlier,))
    sides = calls(days_of(OCTOBER, 30)), calls(days_of(SEPTEMBER, 30))
    (found,) = follow(now, then, *sides, book())
    assert str(found.standing) == standing_


def test_a_cheaper_month_without_a_change_of_unit_cost_measures_nothing():
    rows = days_of(SEPTEMBER, 90, input_tokens=1_000, model="large", output_tokens=10)
    later = days_of(OCTOBER, 45, input_tokens=1_000, model="large", output_tokens=10)
    then = replace(AUDIT, findings=(claim("answer", "1"),))
    (found,) = follow(replace(AUDIT, findings=(), clean=("runaway-loop",)), then, calls(later), calls(rows), book())
    assert found.measured.value == pytest.approx(0, abs=1e-9)


def test_where_it_happened_adds_up_to_both_totals():
    month = a_month()
    assert month.drill["cost_usd"].sum() == month.audit.spend.total_usd
    assert month.drill["before_usd"].sum() == month.before_usd


def test_the_order_of_calls_moves_no_digit_of_a_trend():
    frame = calls(days_of(OCTOBER, 40, input_tokens=333, output_tokens=7))
    table = pl.DataFrame({"task": frame["task"].unique().sort()})
    trends = [
        with_trend(table, days_of_spend(frame.sample(fraction=1, shuffle=True, seed=seed), UTC), "task")
        for seed in range(4)
    ]
    assert all(one.equals(trends[0]) for one in trends)


def test_a_trend_is_the_spend_of_whole_weeks():
    month = reviewed(days_of(OCTOBER, 62), days_of(SEPTEMBER, 30))
    rows = month.tables["task"]
    assert {len(trend) for trend in rows["trend"]} == {8}  # 61 days
    last = [r for r in days_of(OCTOBER, 62) if r["started_at"] >= datetime(2026, 10, 25, tzinfo=UTC)]
    assert sum(trend[-1] for trend in rows["trend"]) == pytest.approx(float(spend(calls(last)).total_usd))


# What is coming


def test_a_month_in_progress_comes_to_what_is_spent_and_what_its_days_still_cost():
    daily = {"model": "large", "input_tokens": 1_000, "output_tokens": 100}  # $0.014
    september = [call(started_at=datetime(2026, 9, 1, 20, tzinfo=UTC) + timedelta(days=k), **daily) for k in range(30)]
    october = [call(started_at=datetime(2026, 10, 1, 20, tzinfo=UTC) + timedelta(days=k), **daily) for k in range(10)]
    coming = reviewed(october, september).coming
    assert coming.end == pytest.approx([31 * 0.014] * 3)
    assert coming.following is None  # 51 days ahead of 40 days of log


def test_the_month_after_a_whole_one_is_forecast():
    daily = {"model": "large", "input_tokens": 1_000, "output_tokens": 100}  # $0.014
    both = [call(started_at=datetime(2026, 9, 1, 23, tzinfo=UTC) + timedelta(days=k), **daily) for k in range(61)]
    coming = reviewed(both[30:], both[:30]).coming
    assert coming.following == pytest.approx([30 * 0.014] * 3)
    assert coming.following_label == "2026-11"


def test_a_month_that_is_over_has_no_end_to_forecast():
    daily = [call(started_at=datetime(2026, 10, 1, 23, tzinfo=UTC) + timedelta(days=k)) for k in range(31)]
    assert reviewed(daily, None).coming.end is None


def test_a_few_days_are_a_run_rate():
    few = [call(started_at=datetime(2026, 10, 1, 23, tzinfo=UTC) + timedelta(days=k)) for k in range(5)]
    month = reviewed(few, None)
    assert month.coming.outlook.kind == "run-rate"
    assert "four whole weeks make a trend" in _month.terminal(month, View(width=120))
