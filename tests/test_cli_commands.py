"""The commands but for analyze, from outside: what each prints, where, and with which exit code."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from program import Ran, response
from program import logs as logs
from program import run as run

from costaudit.analyze import checked
from costaudit.config import BY, Settings


def test_an_output_called_dash_is_standard_output(logs, run, tmp_path):
    for command in (["spend", logs], ["analyze", logs, "--format", "csv"], ["init", logs]):
        assert run(*command, "-o", "-").out
    saved = run("baseline", "save", logs, "-o", "-")
    assert json.loads(saved.out)["schema"] == "costaudit.baseline/1"
    assert not (tmp_path / "-").exists()


def test_explain_prints_a_page_or_the_list_of_rules(run):
    page = run("explain", "runaway_loop").out
    assert page.startswith("# runaway-loop\n")
    assert "## What to do" in page
    assert "- `repetitions` (3 repeats): " in page
    rules = run("explain").out
    assert re.search(r"^runaway-loop +Agent runs that make the same call", rules, re.MULTILINE)


def test_formats_prints_the_list_or_one_in_full(run):
    assert re.search(r"^  openai-chat +Responses of the Chat Completions API", run("formats").out, re.MULTILINE)
    assert run("formats", "openai-chat").out.startswith("# openai-chat\n")


def test_doctor_says_of_each_file_what_was_refused_and_what_is_missing(logs, run):
    text = run("doctor", logs).out
    assert "  records   20 requests, 1 duplicate, 1 rejected, 1 blank\n" in text
    assert "  rejected  1 not JSON, line 22\n" in text
    assert re.search(r"^  task +spend and advice per task \(0 % of calls have it\)$", text, re.MULTILINE)
    report = json.loads(run("doctor", logs, "--format", "json").out)
    assert report["schema"] == "costaudit.doctor/1"
    assert report["rejects"][0]["first_lines"] == [22]


def test_doctor_groups_many_files_by_folder_and_format(run, tmp_path):
    for n in range(50):
        call = {"request_id": f"call-{n:08}", "model": "gpt-5.4", "input_tokens": 9, "output_tokens": 1}
        path = tmp_path / ("day" if n < 49 else "night") / f"{n}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(call) + "\n{broken\n")
    text = run("doctor", tmp_path).out
    assert re.search(r"day/: 49 files +generic\n  records   49 requests, 49 rejected\n", text)
    assert re.search(r"night/49\.jsonl +generic\n  records   1 request, 1 rejected\n", text)
    assert max(map(len, text.splitlines())) <= 100
    assert len(json.loads(run("doctor", tmp_path, "--format", "json").out)["sources"]) == 50


def test_doctor_diagnoses_what_cannot_be_audited(run, tmp_path):
    (tmp_path / "x.log").write_text("not a record\n{broken\n")
    ran = run("doctor", "x.log")
    assert ran.code == 0
    assert "2 rejected" in ran.out
    assert "Not audited  x.log: no request among 2 records" in ran.out


def test_a_store_outlives_its_logs_and_holds_each_request_once(logs, run, tmp_path):
    first = run("ingest", logs, "--store", "history")
    assert first.out == "history: 20 requests added, 0 known already, 20 in all\n"
    again = run("ingest", logs, "--store", "history", "--quiet")
    assert again == Ran(0, "history: 0 requests added, 20 known already, 20 in all\n", "")
    before = json.loads(run("analyze", logs, "--format", "json").out)
    (logs / "a.jsonl").unlink()
    after = json.loads(run("analyze", "history", "--format", "json").out)
    assert after["spend"] == before["spend"]
    assert after["coverage"]["lines"] == after["coverage"]["requests"] == 20


def test_a_store_is_not_mixed_with_other_paths(logs, run):
    run("ingest", logs, "--store", "history")
    ran = run("analyze", "history", logs)
    assert ran.code == 2
    assert "costaudit ingest LOGS --store history" in ran.err


def test_a_store_is_shown_checked_and_compacted(logs, run, tmp_path):
    run("ingest", logs, "--store", "history")
    shown = run("store", "info", "history")
    spent = json.loads(run("analyze", "history", "--format", "json").out)["spend"]["total_usd"]
    assert "20 requests, 1 month, 1 part" in shown.out
    told = json.loads(run("store", "info", "history", "--format", "json").out)
    assert [(month["requests"], month["cost_usd"]) for month in told["months"]] == [(20, spent)]
    assert run("store", "compact", "history").out == "history: 1 part before, 1 now\n"
    assert run("store", "verify", "history") == Ran(0, "history: 1 part, 20 rows: whole\n", "")
    assert run("ingest", "history", "--store", "copy").out == "copy: 20 requests added, 0 known already, 20 in all\n"
    next((tmp_path / "history").glob("requests/*/*.parquet")).write_bytes(b"PAR1")
    broken = run("store", "verify", "history")
    assert broken.code == 1
    assert "not as it was written (4 bytes of" in broken.out
    assert run("store", "compact", "history").code == 1
    assert run("store", "compact", "history").out == broken.out
    assert run("store", "verify", "nothing").code == 2


@pytest.mark.parametrize("by", BY)
def test_every_grouping_adds_up_to_the_total(by, logs, run):
    spend = json.loads(run("analyze", logs, "--by", by, "--format", "json").out)["spend"]
    assert sum(Decimal(row["cost_usd"]) for row in spend[f"by_{by}"]) == Decimal(spend["total_usd"])
    assert f"\n  {by} " in run("analyze", logs, "--by", by).out


def test_the_rows_behind_a_finding_are_shown_by_the_beginning_of_its_id(run, tmp_path):
    (tmp_path / "a.jsonl").write_text("\n".join(response(n, model="nobody-knows-7b") for n in range(20)))
    (found,) = json.loads(run("analyze", "a.jsonl", "--select", "unpriced-usage", "--format", "json").out)["findings"]
    text = run("show", found["id"][:6].lower(), "a.jsonl").out
    assert text.startswith(f"{found['id']} {found['title']}")
    assert "\nEvidence\n" in text
    assert json.loads(run("show", found["id"], "a.jsonl", "--format", "json").out)["id"] == found["id"]
    table = run("show", found["id"], "a.jsonl", "--format", "csv").out
    assert len(table.splitlines()) == 1 + len(found["evidence"])


def test_init_proposes_settings_of_which_every_line_is_valid(run, tmp_path):
    hostile = 'n"\n: {#\u202e'
    lines = [response(n, model="nobody-knows-7b" if n % 2 else "gpt-4o") for n in range(20)]
    wrapped = [json.dumps({"metadata": {"task": hostile}, "response": json.loads(text)}) for text in lines]
    (tmp_path / "a.jsonl").write_text("\n".join(wrapped))
    assert run("init", "a.jsonl") == Ran(0, "", "wrote costaudit.yaml\n")
    text = Path("costaudit.yaml").read_text()
    assert json.dumps(hostile) in text
    assert "nobody-knows-7b" in text
    assert Settings.load(None, start=tmp_path).tz == "UTC"
    Path("costaudit.yaml").write_text(re.sub(r"^#(?=[a-z ] *\S)(?! [A-Z`])", "", text, flags=re.MULTILINE))
    given = Settings.load(None, start=tmp_path)
    assert given.tasks.names == {hostile: hostile}
    assert given.fail_on == "high"
    assert given.budgets
    assert [s.rule for s in given.suppressions] == ["runaway-loop"]
    assert checked(given).rules == {"runaway-loop": {"repetitions": 3}}
    again = run("init", "a.jsonl")
    assert again.code == 2
    assert "costaudit.yaml is there already" in again.err
    assert run("init", "a.jsonl", "-o", "-").out == text
