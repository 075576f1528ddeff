"""`check` from the command line: its baselines, its budgets, what it looks like, and how it exits."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from gates import a_gate
from months import logs as logs
from months import records, run
from pages import body

from costaudit.report import View, _check, _gate

# What it looks like


@pytest.mark.parametrize(
    ("name", "columns"),
    [("terminal", 80), ("terminal", 120), *((name, 80) for name in _check.RENDERERS if name != "terminal")],
)
def test_the_gate_reads_as_reviewed(name, columns, golden):
    text = _check.RENDERERS[name](a_gate(), View(width=columns))
    golden(f"gate/{name}-{columns}.txt", body(text) if name == "html" else text)


def test_no_line_of_the_gate_is_wider_than_the_terminal():
    for columns in (60, 80, 100, 120):
        text = _gate.terminal(a_gate(), View(width=columns))
        assert max(map(len, text.splitlines())) <= columns


def test_check_fails_a_dearer_build_and_passes_an_equal_one(logs, capsys):
    assert run("check", "after.jsonl", "--baseline", "before.jsonl", "--format", "json") == 1
    read = json.loads(capsys.readouterr().out)
    assert (read["schema"], read["verdict"], read["exit_code"]) == ("costaudit.check/1", "FAIL", 1)
    assert [task["paired"] for task in read["tasks"]] == [True, True]
    (logs / "again.jsonl").write_bytes((logs / "before.jsonl").read_bytes())
    assert run("check", "again.jsonl", "--baseline", "before.jsonl") == 0


def test_a_saved_baseline_gives_the_verdicts_of_its_logs(logs, capsys):
    assert run("baseline", "save", "before.jsonl", "-o", "b.json", "--name", "before.jsonl", "-q") == 0
    first = (logs / "b.json").read_bytes()
    assert run("baseline", "save", "before.jsonl", "-o", "b.json", "--name", "before.jsonl", "-q") == 0
    assert (logs / "b.json").read_bytes() == first
    capsys.readouterr()
    said = []
    for baseline in ("before.jsonl", "b.json"):
        assert run("check", "after.jsonl", "--baseline", baseline, "--format", "json") == 1
        read = json.loads(capsys.readouterr().out)
        said.append([(task["task"], task["verdict"], task["cost"]) for task in read["tasks"]])
    assert said[0] == said[1]


def test_a_saved_baseline_is_read_however_a_shell_or_a_tool_has_written_it_since(logs, capsys):
    assert run("baseline", "save", "before.jsonl", "-o", "b.json", "-q") == 0
    text = Path("b.json").read_text()
    assert run("check", "after.jsonl", "--baseline", "b.json", "--format", "json") == 1
    said = capsys.readouterr().out
    forms = (
        text.encode("utf-8-sig"),
        text.encode("utf-16"),
        text.replace("\n", "\r\n").encode(),
        gzip.compress(text.encode()),
    )
    for form in forms:
        Path("b.json").write_bytes(form)
        assert run("check", "after.jsonl", "--baseline", "b.json", "--format", "json") == 1
        assert capsys.readouterr().out == said
    Path("b.json").write_bytes(gzip.compress(text.encode())[:-30])
    assert run("check", "after.jsonl", "--baseline", "b.json") == 3
    assert "b.json is not a baseline that can be read: compressed stream is cut off" in capsys.readouterr().err


@pytest.mark.parametrize(("flags", "code"), [((), 2), (("--require-baseline",), 3)])
@pytest.mark.parametrize("gone", ["gone.json", "gone-*.json", "last28d"])
def test_a_baseline_that_is_named_and_not_there_is_a_mistake_and_no_answer(logs, capsys, flags, code, gone):
    assert run("check", "after.jsonl", "--baseline", gone, *flags) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert f"the baseline {gone} is not there" in err


@pytest.mark.parametrize(("flags", "code"), [((), 0), (("--require-baseline",), 3)])
def test_without_a_baseline_nothing_is_compared_and_nothing_passes(logs, capsys, flags, code):
    assert run("check", "after.jsonl", *flags) == code
    out, err = capsys.readouterr()
    assert out.startswith("CANNOT JUDGE 2 of 2 tasks: no baseline")
    assert "nothing was compared" in err
    assert ("error: CANNOT JUDGE 2 of 2 tasks: no baseline" in err) is (code == 3)


def test_what_cannot_be_judged_is_counted_and_a_missing_price_is_named_with_the_way_to_it(logs, capsys):
    odd = records(datetime(2026, 10, 2, tzinfo=UTC), 6, 2_000, model="in-house-9")
    (logs / "odd.jsonl").write_text(odd)
    assert run("check", "odd.jsonl", "--baseline", "before.jsonl") == 3
    out, err = capsys.readouterr()
    assert [line.split()[-3:] for line in out.splitlines() if line.lstrip().startswith("CANNOT JUDGE  ")] == [
        ["20", "/", "3"],
        ["20", "/", "3"],
    ]
    assert "no price: in-house-9 (6 requests); `costaudit doctor odd.jsonl` prints the entries to complete" in err


def test_budgets_of_the_settings_are_checked_without_a_baseline_too(logs, capsys):
    (logs / "costaudit.yaml").write_text("budgets:\n- {task: triage, usd: 0.005, per: run}\n- {usd: 100}\n")
    assert run("check", "after.jsonl", "--format", "json") == 1
    read = json.loads(capsys.readouterr().out)
    assert [(b["budget"], b["verdict"], b["of"], b["over"]) for b in read["budgets"]] == [
        ("task triage, a run", "FAIL", 20, 20),  # 2,000 input tokens at $2.50 and 50 output tokens at $10 a million
        ("all calls, a month", "PASS", 1, 0),
    ]
    assert run("check", "before.jsonl") == 0  # 1,000 tokens: $0.003


def test_a_log_is_not_compared_with_itself(logs, capsys):
    assert run("check", "before.jsonl", "--baseline", "before.jsonl") == 2
    assert "compared with itself" in capsys.readouterr().err


def test_a_suppression_of_an_unknown_rule_is_no_silent_pass(logs, capsys):
    (logs / "costaudit.yaml").write_text(
        "suppressions:\n- {rule: cost-regresion, subject: {task: t}, owner: a, reason: b, until: 2030-01-01}\n"
    )
    assert run("check", "after.jsonl", "--baseline", "before.jsonl") == 2
    assert "did you mean 'cost-regression'" in capsys.readouterr().err


def test_a_tolerance_and_an_inconclusive_gate_follow_their_flags(logs):
    assert run("check", "after.jsonl", "--baseline", "before.jsonl", "--tolerance", "2") == 0
    (logs / "few.jsonl").write_text(records(datetime(2026, 10, 2, tzinfo=UTC), 4, 1_000))
    assert run("check", "few.jsonl", "--baseline", "before.jsonl") == 0
    assert run("check", "few.jsonl", "--baseline", "before.jsonl", "--fail-on", "inconclusive") == 1
    assert run("check", "after.jsonl", "--baseline", "before.jsonl", "--fail-on", "never") == 0
    assert run("check", "few.jsonl", "--baseline", "before.jsonl", "--min-units", "2") == 0


def test_the_days_before_a_window_are_a_baseline(logs, capsys):
    (logs / "costaudit.yaml").write_text("gate: {floor_usd: 0}\n")  # a few cents a month
    flags = ("--since", "2026-10-01", "--baseline", "last-30d", "--format", "json")
    assert run("check", "before.jsonl", "after.jsonl", *flags) == 1
    read = json.loads(capsys.readouterr().out)
    assert read["baseline"]["from"] == "2026-09-01T00:00:00+00:00"
    assert read["baseline"]["to"] == "2026-10-01T00:00:00+00:00"


def test_the_effect_at_last_months_volume_is_in_the_answer(logs, capsys):
    flags = ("--baseline", "before.jsonl", "--month", "before.jsonl", "--format", "json")
    run("check", "after.jsonl", *flags)
    read = json.loads(capsys.readouterr().out)
    assert all(task["month_units"] > 0 for task in read["tasks"])
    assert all(Decimal(task["month_usd"]) > 0 for task in read["tasks"])


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--format", "pdf"), "no format"),
        (("--also", "pdf=x"), "no format"),
        (("--also", "sarif"), "not a format and a file"),
        (("--tolerance", "-1"), "--tolerance must be a share"),
        (("--pass-margin", "99"), "--pass-margin must be a share"),
        (("--min-units", "1"), "--min-units must be from 2"),
        (("--fail-on", "high"), "unknown value 'high'"),
        (("--baseline-since", "yesterday"), "not a date or time"),
        (("--baseline", "last-28d"), "needs --since"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_answered(logs, capsys, flags, says):
    assert run("check", "after.jsonl", "--baseline", "before.jsonl", *flags) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err


# A store and its windows


@pytest.fixture
def store(logs):
    (logs / "costaudit.yaml").write_text("gate: {floor_usd: 0}\n")  # a few cents a month
    assert run("ingest", "before.jsonl", "after.jsonl", "--store", "kept", "-q") == 0
    return logs / "kept"


@pytest.mark.parametrize(
    "flags",
    [
        ("kept", "--since", "2026-10-01", "--baseline", "last-30d"),
        ("kept", "--since", "2026-10-01", "--baseline", "kept"),
        ("after.jsonl", "--baseline", "kept", "--baseline-until", "2026-10-01"),
        (
            "kept",
            "--since",
            "2026-10-01",
            "--baseline",
            "kept",
            "--baseline-since",
            "2026-09-01",
            "--baseline-until",
            "2026-10-01",
        ),
    ],
    ids=["days before", "all before", "until a day", "a window of it"],
)
def test_a_window_of_a_store_is_a_baseline_and_brings_the_volume_of_a_month(store, capsys, flags):
    assert run("check", *flags, "--format", "json") == 1
    read = json.loads(capsys.readouterr().out)
    assert read["baseline"]["calls"] == read["candidate"]["calls"] == 40
    assert {task["verdict"] for task in read["tasks"]} == {"FAIL"}
    assert all(task["month_units"] > 0 for task in read["tasks"])
    assert read["month"].endswith(" days")


def test_a_saved_baseline_has_its_own_window(logs, capsys):
    assert run("baseline", "save", "before.jsonl", "-o", "b.json", "-q") == 0
    assert run("check", "after.jsonl", "--baseline", "b.json", "--baseline-since", "2026-09-01") == 2
    assert "has its own window" in capsys.readouterr().err


# Where the answer goes


def test_one_reading_of_the_logs_answers_in_several_formats(logs, capsys, monkeypatch):
    summary = logs / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    also = ("--also", "sarif=out.sarif", "--also", "json=out.json", "--also", "markdown=out.md")
    assert run("check", "after.jsonl", "--baseline", "before.jsonl", "--format", "github", *also) == 1
    assert capsys.readouterr().out.startswith("::error title=costaudit check::FAIL")
    assert json.loads((logs / "out.json").read_text())["verdict"] == "FAIL"
    assert json.loads((logs / "out.sarif").read_text())["version"] == "2.1.0"
    assert summary.read_text() == "before\n" + (logs / "out.md").read_text() + "\n"


def test_the_summary_of_a_job_is_written_for_its_own_format_only(logs, capsys, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(logs / "summary.md"))
    run("check", "after.jsonl", "--baseline", "before.jsonl")
    assert not (logs / "summary.md").exists()
    run("analyze", "after.jsonl", "--format", "github")
    assert (logs / "summary.md").read_text().startswith("<!-- costaudit report -->")
