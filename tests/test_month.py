"""The monthly review adds up, months begin where their zone says; what it looks like, and how it exits."""

from __future__ import annotations

import json
import random
import unicodedata
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from audits import AUDIT
from hypothesis import given, settings
from hypothesis import strategies as st
from priced import book, call, calls
from test_hostile_text import ACTING, hostile

from costaudit.cli import main
from costaudit.compare.month import following, label, parse, preceding, price_events, review, window
from costaudit.errors import UsageError
from costaudit.price.spend import spend
from costaudit.report import View, _bridge, _month
from costaudit.verdict import Month

SEPTEMBER, OCTOBER = date(2026, 9, 1), date(2026, 10, 1)


def days_of(month: date, n: int, **columns: object) -> list[dict[str, object]]:
    """Calls spread over a month, one every few hours, of three tasks and two tenants."""
    source = random.Random(n)
    start, end = (datetime.combine(day, datetime.min.time(), UTC) for day in (month, following(month)))
    return [
        call(
            task=("triage", "answer", "research")[i % 3],
            tenant=("acme corp", None)[i % 2],
            model=source.choice(["large", "small", "falling"]),
            run_id=f"{month}-{i // 2}",
            started_at=start + (end - start) * i / n,
            input_tokens=source.randint(100, 3_000),
            output_tokens=source.randint(10, 400),
        )
        | columns
        for i in range(n)
    ]


def reviewed(now: list[dict[str, object]], then: list[dict[str, object]] | None, **options: object) -> Month:
    frame, before = calls(now), None if then is None else calls(then)
    audit = replace(AUDIT, spend=spend(frame, book()), window=window(OCTOBER, UTC, "UTC"))
    given = {"month": OCTOBER, "compared": SEPTEMBER, "zone": UTC} | options
    return review(audit, frame, before, book(), **given)


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


# What it looks like


def a_month() -> Month:
    return reviewed(days_of(OCTOBER, 200), days_of(SEPTEMBER, 120), before_share=1.0)


@pytest.mark.parametrize(("name", "columns"), [("terminal", 80), ("terminal", 120), ("markdown", 80)])
def test_the_month_reads_as_reviewed(name, columns, golden):
    golden(f"month/{name}-{columns}.txt", _month.RENDERERS[name](a_month(), View(width=columns)))


def test_no_line_of_a_terminal_report_is_wider_than_the_terminal():
    for columns in (80, 100, 120):
        view = View(width=columns)
        assert max(map(len, _month.terminal(a_month(), view).splitlines())) <= columns


def test_the_month_for_machines_adds_up_in_decimal_strings():
    read = json.loads(_month.machine(a_month(), View()))
    assert sum(Decimal(bar["effect_usd"]) for bar in read["bridge"]["bars"]) == Decimal(read["change_usd"])
    for table in ("by_task", "by_model", "by_tenant"):
        assert sum(Decimal(row["cost_usd"]) for row in read[table]) == Decimal(read["total_usd"])
        assert sum(Decimal(row["before_usd"]) for row in read[table]) == Decimal(read["compared"]["total_usd"])


@settings(max_examples=12, deadline=None)
@given(hostile)
def test_names_from_a_log_act_on_no_reader(text):
    text = text.encode("utf-8", "replace").decode()[:3_000]
    month = reviewed(days_of(OCTOBER, 4, task=text, tenant=text), days_of(SEPTEMBER, 4, task=text))
    for name, render in _month.RENDERERS.items():
        page = render(month, View())
        assert not {unicodedata.category(c) for c in page.replace("\n", "")} & ACTING
        assert name != "markdown" or "<script" not in page


# From the command line


def records(start: datetime, n: int, tokens: int, **columns: object) -> str:
    rows = [
        {
            "request_id": f"{start:%m}-{i}",
            "provider": "openai",
            "model": "gpt-4o",
            "task": ("triage", "answer")[i % 2],
            "run_id": f"{start:%m}-{i}",
            "instance_id": f"case-{i}",
            "started_at": (start + timedelta(hours=i)).isoformat(),
            "input_tokens": tokens + i,
            "output_tokens": 50,
            "status": "ok",
        }
        | columns
        for i in range(n)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def logs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "before.jsonl").write_text(records(datetime(2026, 9, 2, tzinfo=UTC), 40, 1_000))
    (tmp_path / "after.jsonl").write_text(records(datetime(2026, 10, 2, tzinfo=UTC), 40, 2_000))
    return tmp_path


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("report", "after.jsonl", "--month", "2026-9"), 2),
        (("report", "after.jsonl", "--month", "2026-10", "--format", "pdf"), 2),
        (("report", "after.jsonl", "--month", "2020-01"), 3),
    ],
)
def test_wrong_usage_is_told_with_its_exit_code(logs, capsys, arguments, code):
    assert run(*arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")


def test_a_month_is_reported_with_the_one_before(logs, capsys):
    assert run("report", "before.jsonl", "after.jsonl", "--month", "2026-10") == 0
    out = capsys.readouterr().out
    assert out.startswith("October 2026: ")
    assert "2026-10-01 to 2026-11-01 (not included), UTC" in out
    assert run("report", "before.jsonl", "after.jsonl", "--month", "2026-10", "--compare", "2026-08") == 0
    assert "no logs of August 2026" in capsys.readouterr().out
