"""Accepting on purpose: what `suppress` writes, what it leaves alone, what it refuses, and what reports say of it."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from audits import AUDIT, FINDINGS
from hypothesis import given, settings
from hypothesis import strategies as st
from months import run
from msgspec.structs import replace
from priced import call, calls, later

from costaudit.analyze._standing import standings
from costaudit.audit import Accepted, Standing
from costaudit.commands.suppress import entry, write
from costaudit.config import Settings, Suppression, append
from costaudit.errors import ConfigError
from costaudit.report import View, renderer

ITEM = ["rule: cache-miss", "until: 2027-01-31"]
FILES = {
    "nothing": "",
    "only a comment": "# ours\n",
    "no list yet": "# ours\ntz: UTC  # of the office\n\ngate:\n  tolerance: 0.1   # agreed\n# the end\n",
    "no line end": "tz: UTC",
    "an empty list": "suppressions: []  # none yet\ntz: UTC\n",
    "a key without a list": "suppressions:\ntz: UTC\n",
    "a list at the end": "tz: UTC\nsuppressions:\n- rule: a  # one\n  until: 2026-01-01   # soon\n# after it\n",
    "a list in the middle": "suppressions:\n    -   rule: a\n        until: 2026-01-01\n\n# about zones\ntz: UTC\n",
    "a folded text at the end": "suppressions:\n  - rule: a\n    reason: >\n      long\n      words\n\ntz: UTC\n",
    "a flow at the end": "suppressions:\n  - {rule: a, subject: {task: b}}\ntz: UTC\n",
    "line ends of Windows": "tz: UTC\r\nsuppressions:\r\n  - rule: a\r\ngate: {}\r\n",
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_an_item_is_added_and_every_other_line_stays(text):
    after = append.with_item(text, "suppressions", ITEM)
    old, new = (yaml.safe_load(t) or {} for t in (text, after))
    added = new["suppressions"].pop()
    assert added == {"rule": "cache-miss", "until": date(2027, 1, 31)}
    assert new["suppressions"] == (old.pop("suppressions", None) or [])
    assert {k: v for k, v in new.items() if k != "suppressions"} == old
    kept = [line for line in after.splitlines() if line.strip().lstrip("- ") not in (*ITEM, "suppressions:")]
    was = [line.replace(" []", "") for line in text.splitlines() if line.strip() != "suppressions:"]
    assert kept == was
    assert ("\r\n" in after) == ("\r\n" in text)


@pytest.mark.parametrize("text", ["{tz: UTC}", "suppressions: [{rule: a}]\n", "suppressions: none\n", "- a\n"])
def test_a_layout_that_would_have_to_be_rewritten_is_left_to_its_owner(text):
    with pytest.raises(ConfigError) as raised:
        append.with_item(text, "suppressions", ITEM)
    assert raised.value.hint == append.PASTE


def test_a_text_whose_end_would_change_is_not_touched(tmp_path):
    target = tmp_path / "costaudit.yaml"
    target.write_text("prices_dir: |-\n  a\nsuppressions:\n- rule: a\n  reason: |\n    no line end")
    with pytest.raises(ConfigError):
        write(target, ITEM)


@settings(max_examples=25)
@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_any_name_and_reason_come_back_as_they_were(tmp_path_factory, task, reason):
    task, reason = (text.encode("utf-8", "replace").decode() for text in (task, reason))
    if not task.strip() or not reason.strip():
        return
    target = tmp_path_factory.mktemp("any") / "costaudit.yaml"
    target.write_text("tz: UTC\n")
    wanted = Suppression("cache-miss", {"task": task}, "ana", reason, date(2027, 1, 31), Decimal("80.50"))
    target.write_bytes(write(target, entry(wanted)).encode())
    assert [replace(s, where="") for s in Settings.load(target, start=target.parent).suppressions] == [wanted]


# From the command line

SAMPLE = Path(__file__).parent.parent / "sample_logs" / "analyzers" / "runaway-loop.jsonl"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(capsys) -> dict[str, object]:
    capsys.readouterr()
    assert run("analyze", SAMPLE, "--format", "json", "-q") == 0
    return json.loads(capsys.readouterr().out)


def test_a_finding_accepted_is_gone_from_the_report_and_counted(here, capsys):
    loop = next(f for f in found(capsys)["findings"] if f["rule"] == "runaway-loop")
    (here / "costaudit.yaml").write_text("# ours\nfloor_usd: 0  # all of it\n")
    flags = ("--until", "2027-01-31", "--reason", "a release", "--owner", "ana")
    assert run("suppress", loop["id"][:6], SAMPLE, *flags) == 0
    assert f"{loop['id']} {loop['title']}\naccepted until 2027-01-31, in " in capsys.readouterr().out
    assert (here / "costaudit.yaml").read_text().startswith("# ours\nfloor_usd: 0  # all of it\nsuppressions:\n")
    report = found(capsys)
    assert loop["id"] not in [f["id"] for f in report["findings"]]
    assert report["suppressed"] == 1
    assert [(s["standing"], s["finding"]) for s in report["suppressions"]] == [("holds", loop["id"])]
    assert run("suppress", loop["id"], SAMPLE, *flags) == 2  # it is there already


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("F-000000", SAMPLE), "no finding 'F-000000'"),
        (("F-000000",), "in which logs"),
        (("runaway-lop", "--subject", "task=x"), "did you mean 'runaway-loop'"),
        (("runaway-loop", "--subject", "task"), "not KEY=VALUE"),
        (("runaway-loop", SAMPLE, "--subject", "task=x"), "needs no logs"),
        (("runaway-loop", "--subject", "task=x", "--until", "soon"), "no date"),
        (("runaway-loop", "--subject", "task=x", "--reason", " "), "--reason is missing"),
        (("runaway-loop", "--subject", "task=x", "--owner", " "), "--owner is empty"),
        (("runaway-loop", "--subject", "task=x", "--max", "-3"), "no amount"),
        (("runaway-loop", "--subject", "task=x", "--max", "NaN"), "no amount"),
    ],
)
def test_nonsense_is_refused_and_nothing_is_written(here, capsys, arguments, says):
    flags = {"--until": "2027-01-31", "--reason": "why"}
    given = [*arguments, *(part for flag in flags if flag not in arguments for part in (flag, flags[flag]))]
    assert run("suppress", *given) == 2
    assert says in capsys.readouterr().err
    assert list(here.iterdir()) == []


def test_what_would_be_open_again_at_once_is_refused(here, capsys):
    loop = next(f for f in found(capsys)["findings"] if f["rule"] == "runaway-loop")
    base = ("suppress", loop["id"], SAMPLE, "--reason", "why")
    assert run(*base, "--until", "2020-01-01") == 2
    assert "over before the log ends" in capsys.readouterr().err
    assert run(*base, "--until", "2027-01-31", "--max", "0.000001") == 2
    assert "past --max" in capsys.readouterr().err


def test_a_file_that_cannot_be_edited_stays_and_the_lines_are_given_to_paste(here, capsys):
    (here / "costaudit.yaml").write_text("{tz: UTC}\n")
    flags = ("--subject", "task=x", "--until", "2027-01-31", "--reason", "why", "--owner", "ana")
    assert run("suppress", "runaway-loop", *flags) == 2
    assert "add these lines" in (said := capsys.readouterr().err)
    assert "rule: runaway-loop" in said
    assert (here / "costaudit.yaml").read_text() == "{tz: UTC}\n"


# What has become of them

LOOP = FINDINGS[0]  # $612.34, in a log of 61 days
BY = Suppression(LOOP.rule, LOOP.subject, "ana", "limits ship", date(2026, 12, 1))


@pytest.mark.parametrize(
    ("by", "standing"),
    [
        (BY, Standing.HOLDS),
        (replace(BY, until=date(2026, 10, 30)), Standing.EXPIRED),
        (replace(BY, until=date(2026, 10, 31)), Standing.HOLDS),  # the day given is the last one
        (replace(BY, max_usd=Decimal(306)), Standing.PAST_CAP),  # 306 · 60 / 30.4375 = $603.20
        (replace(BY, max_usd=Decimal(311)), Standing.HOLDS),  # $613.06
        (replace(BY, subject={"task": "another"}), Standing.IDLE),
    ],
)
def test_a_suppression_holds_until_its_day_and_up_to_its_amount_a_month(by, standing):
    log = calls([call(started_at=later(0)), call(started_at=later(60 * 24 * 60))])  # 1 September to 31 October
    assert [one.standing for one in standings([LOOP], [by], log)] == [standing]


def test_what_one_suppression_hides_is_not_open_again_by_another():
    log = calls([call(started_at=later(60 * 24 * 60))])
    old = replace(BY, until=date(2026, 9, 30))
    assert [one.standing for one in standings([LOOP], [old, BY], log)] == [Standing.HOLDS]


HELD = replace(
    AUDIT,
    suppressed=1,
    accepted=(
        Accepted(BY, Standing.HOLDS, "F-aaaaaa", "research: loops, $9.00", Decimal(9)),
        Accepted(replace(BY, until=date(2026, 9, 30)), Standing.EXPIRED, LOOP.id, LOOP.title, LOOP.owned_usd),
    ),
)


@pytest.mark.parametrize("name", ["terminal", "markdown", "json", "sarif", "junit", "github"])
def test_every_report_counts_what_is_accepted(name):
    text = renderer(name)(HELD, View())
    assert "1 suppressed" in text or "F-aaaaaa" in text


def test_what_is_open_again_is_always_listed_and_what_is_hidden_when_asked():
    plain, verbose = (renderer("terminal")(HELD, View(verbose=v)) for v in (False, True))
    assert "Accepted once, open again (1)" in plain
    assert "the day is over" in plain
    assert "F-aaaaaa" not in plain
    assert "Accepted on purpose (1)\n  research: loops, $9.00 (F-aaaaaa): accepted until 2026-12-01" in verbose
