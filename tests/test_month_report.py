"""What the monthly review looks like, what it says to machines, and how it exits."""

from __future__ import annotations

import json
import re
import unicodedata
from decimal import Decimal

import pytest
from hypothesis import given, settings
from month_reviews import OCTOBER, SEPTEMBER, a_month, days_of, reviewed
from months import logs as logs
from months import run
from pages import body, read
from test_hostile_text import ACTING, hostile

from costaudit.report import View, _month
from costaudit.report._spark import spark, writable


def test_no_line_of_the_month_is_wider_than_the_terminal():
    for columns in (60, 80, 120):
        assert max(map(len, _month.terminal(a_month(), View(width=columns)).splitlines())) <= columns


def test_a_sparkline_is_relative_to_its_largest_value_and_has_a_plain_form():
    assert spark([0, 1, 2, 4, None]) == "▁▃▅█ "
    assert spark([0, 1, 2, 4], plain=True) == "_-=#"
    assert spark([0.0, 0.0]) == spark([]) == ""
    assert (writable("utf-8"), writable("latin-1"), writable("ascii")) == (True, False, False)
    assert _month.terminal(a_month(), View(width=80, ascii=True)).count("#") > 3


@pytest.mark.parametrize(("name", "columns"), [("terminal", 80), ("terminal", 120), ("markdown", 80), ("html", 120)])
def test_the_month_reads_as_reviewed(name, columns, golden):
    text = _month.RENDERERS[name](a_month(), View(width=columns))
    golden(f"month/{name}-{columns}.txt", body(text) if name == "html" else text)


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
        assert not {unicodedata.category(c) for c in page.replace("\r\n", "").replace("\n", "")} & ACTING
        assert name != "markdown" or not re.search(r"(?<!\\)<script", page)
        assert name != "html" or read(page).harmless


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


def test_a_store_is_reported_by_its_own_flag_and_two_sources_are_refused(logs, capsys):
    assert run("ingest", "before.jsonl", "after.jsonl", "--store", "held") == 0
    capsys.readouterr()
    assert run("report", "--month", "2026-10", "--store", "held") == 0
    assert capsys.readouterr().out.startswith("October 2026: ")
    assert run("report", "--month", "2026-10") == 2
    assert run("report", "before.jsonl", "--month", "2026-10", "--store", "held") == 2
