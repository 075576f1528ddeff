"""Nothing a log can hold may act on the reader of a report, in any format."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from xml.etree import ElementTree

import polars as pl
import pytest
import yaml
from audits import AUDIT, COVERAGE, FINDINGS, SPEND, evidence, finding
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from pages import read

from costaudit.audit import Audit, Fates
from costaudit.finding import NotChecked
from costaudit.report import View, _doctor, _evidence, _layout, _page, names, renderer
from costaudit.report._settings import proposal
from costaudit.report._text import LONGEST, clean, fit, pad, width, wrap

ACTING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
ATTACKS = (
    "\x1b[2J\x1b[1;1Hgone",
    "\x1b]0;title\x07",
    "\x1b]8;;http://evil.test\x1b\\click\x1b]8;;\x1b\\",
    "\x9b31mred",
    "a\u202etxt.exe",
    "a\u2066b\u2069",
    "a\u200bb\u200d\ufeff",
    "one\ntwo\r\nthree\u2028four",
    "[bold red]markup[/] [link=http://evil.test]x[/link]",
    "<script>alert(1)</script>",
    "</summary></details><img src=x onerror=alert(1)>",
    "| a | b |\n|--|--|",
    "[x](javascript:alert(1)) ![x](http://evil.test/p.png) `code`",
    "@everyone #12 https://evil.test www.evil.test",
    "=HYPERLINK(1)",
    "lone \ud800 surrogate",
    "Z" + "\u0301" * 500,
    "n" * 2 * LONGEST,
    "名前" * 200,
    "::error file=x::pwned",
    "%0A::stop-commands::x",
    "a ::stop-commands::x " * 9,
    "##vso[task.setvariable]x ##[error]y ##teamcity[z]",
)
hostile = st.one_of(
    st.sampled_from(ATTACKS), st.text(max_size=60), st.text(st.characters(categories=["Cc", "Cf", "Cs", "Mn", "Zl"]))
)


def infected(text: str) -> Audit:
    """An audit with the text wherever a log, a path or a settings file can put one."""
    rows = evidence(("r", "s", "1")).with_columns(request_id=pl.lit(_utf8(text)), source=pl.lit(_utf8(text)))
    name = pl.lit(_utf8(text))
    return replace(
        AUDIT,
        spend=replace(
            SPEND,
            by_task=SPEND.by_task.with_columns(task=name),
            by_model=SPEND.by_model.with_columns(model=name, provider=name),
            by_tenant=SPEND.by_tenant.with_columns(tenant=name),
            by_day_task=SPEND.by_day_task.with_columns(task=name),
        ),
        coverage=replace(
            COVERAGE,
            fates=Fates(2, 1, rejects={text: 1}, skipped={text: 0}),
            unpriced=COVERAGE.unpriced.with_columns(model=name),
            sources=COVERAGE.sources.with_columns(path=name, convention=name, proof=name),
            notes=(text,),
        ),
        findings=(
            finding(title=text, remedy=text, subject={"task": text}, evidence=rows, because=(text,)),
            *(replace(f, title=text, remedy=text, because=(text,)) for f in FINDINGS[1:]),
        ),
        clean=(text,),
        not_checked=(NotChecked(text, text),),
        paths=(text,),
    )


def _utf8(text: str) -> str:
    """Columns hold UTF-8, which has no lone surrogates."""
    return text.encode("utf-8", "replace").decode()


@pytest.mark.parametrize("name", names())
@given(text=hostile)
def test_no_character_of_a_report_acts_on_a_terminal(name, text):
    shown = renderer(name)(infected(text), View(plain=False))
    shown.encode()  # a lone surrogate could not be written
    assert not {c for c in shown if unicodedata.category(c) in ACTING} - {"\n", "\r"}


@given(text=hostile)
def test_the_only_escapes_of_a_coloured_report_are_colours(text):
    shown = renderer("terminal")(infected(text), View(color=True, plain=False))
    assert "\x1b" not in re.sub("\x1b\\[(0|2|32|33|1|1;31)m", "", shown)


@given(text=hostile)
def test_hostile_text_moves_no_column_and_breaks_no_line(text):
    shown = renderer("terminal")(infected(text), View(width=80))
    above = shown[: shown.index("\nNext\n")]
    assert max(map(width, above.splitlines())) <= 80
    table = above.split("Where it went\n")[1].split("\n\n")[0].splitlines()
    assert len(table) == 1 + SPEND.by_task.height
    assert len({width(row) for row in table}) == 1


@given(text=hostile)
def test_json_gives_every_text_back_as_the_log_had_it(text):
    report = json.loads(renderer("json")(infected(text), View()))
    # Two lone surrogates side by side are one character to every JSON reader.
    assert {found["title"] for found in report["findings"]} == {json.loads(json.dumps(text))}
    assert report["spend"]["by_task"][0]["task"] == _utf8(text)


@given(text=hostile)
def test_markdown_holds_no_html_link_or_mention_from_a_log(text):
    shown = renderer("markdown")(infected(text), View())
    ours = re.sub(r"<!-- costaudit report -->|</?(details|summary)>|&#8203;", "\u200b", shown)
    ours = re.sub(r"(?ms)^  ````yaml$.*?^  ````$", "", ours)  # what is to be copied calls nobody
    assert not re.search(r"(?<!\\)<[a-zA-Z/!]", ours)
    assert not re.search(r"(?<!\\)\]\(", ours)
    assert not re.search(r"@\w|#\w|://|www\.", ours)


@given(text=hostile)
def test_csv_keeps_its_shape_and_runs_no_formula(text):
    rows = list(csv.reader(io.StringIO(renderer("csv")(infected(text), View()), newline="")))
    assert {len(row) for row in rows} == {15}
    titles = [row[6] for row in rows[1:]]
    assert not [title for title in titles if title.lstrip().startswith(("=", "+", "-", "@"))]


def diagnosis(text: str) -> _doctor.Diagnosis:
    """A diagnosis with the text wherever a log can put one."""
    audit, name = infected(text), _utf8(text)
    keys = {"source_file": [name], "format": [name]}
    return _doctor.Diagnosis(
        fates=audit.coverage.fates,
        sources=audit.coverage.sources.with_columns(rejects=1),
        rejects=pl.DataFrame({**keys, "reason": [name], "source_line": [3]}),
        shares=pl.DataFrame({**keys, "requests": [2], **{w.name: [0.25] for w in _doctor.WANTED}}),
        notes=(text,),
        coverage=audit.coverage,
        not_checked=audit.not_checked,
        problem=text,
    )


@given(text=hostile)
def test_a_diagnosis_and_the_rows_of_a_finding_are_as_harmless_as_a_report(text):
    view = View(width=80)
    found = infected(text).findings[0]
    for shown in (
        _doctor.terminal(diagnosis(text), view),
        _doctor.machine(diagnosis(text)),
        _evidence.terminal(found, (), view),
        "".join(_layout.paint(_page.shown(text, 80), color=False)),
    ):
        shown.encode()
        assert not {c for c in shown if unicodedata.category(c) in ACTING} - {"\n"}
        assert not [line for line in shown.splitlines() if line.lstrip().startswith("::")]


@given(text=hostile)
def test_proposed_settings_are_valid_whatever_a_log_calls_its_tasks(text):
    name = _utf8(text)
    audit = infected(text)
    audit = replace(audit, spend=replace(audit.spend, by_task=audit.spend.by_task.head(1)))
    shown = proposal(audit, tz="UTC")
    assert not {c for c in shown if unicodedata.category(c) in ACTING} - {"\n"}
    lines = shown.splitlines()
    if len(name) > 1_000:
        assert "#tasks:" not in lines
        return
    section = lines[lines.index("#tasks:") :]
    (given,) = yaml.safe_load("\n".join(line[1:] for line in section[:2]))["tasks"].items()
    assert given == (name, name)


# --- the one place


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é ü", "plain é ü"),
        ("\x1b[31m", "␛[31m"),
        ("a\nb\tc", "a␊b␉c"),
        ("\x7f\x9b", "␡\ufffd"),
        ("\u202eabc", "\ufffdabc"),
        ("名前", "名前"),
        ("e\u0301", "e\u0301"),
        ("\u0301x", "◌\u0301x"),
        ("❤\ufe0f", "❤"),
        ("a\u3000b", "a b"),
        ("::error::x std::io ::y", ": :error::x std::io : :y"),
        ("x##vso[y] ##[z] ## heading", "x# #vso[y] # #[z] ## heading"),
        ("x" * (LONGEST + 5), "x" * LONGEST + "…"),
    ],
)
def test_what_acts_is_shown_and_what_is_text_stays(text, shown):
    assert clean(text) == shown


@given(st.text())
def test_cleaning_twice_changes_nothing_more(text):
    assert clean(clean(text)) == clean(text)


@given(st.text(), st.integers(0, 40), st.booleans())
def test_a_cell_is_exactly_as_wide_as_its_column(text, columns, right):
    assert width(pad(clean(text), columns, right=right)) == columns


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("claude-sonnet-4-5-20250929", 17, "claude-s…20250929"),
        ("short", 5, "short"),
        ("longer", 5, "lo…er"),
        ("名前名前名前", 7, "名…前"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ],
)
def test_a_long_name_loses_its_middle(text, columns, shown):
    assert fit(text, columns) == shown


@given(st.text(), st.integers(1, 60))
def test_wrapped_words_keep_their_order_and_the_width(text, columns):
    lines = wrap(clean(text), columns)
    assert all(width(line) <= columns for line in lines)
    assert " ".join(lines).split() == [fit(word, columns) for word in clean(text).split()] or columns < 3


def test_a_number_stays_beside_its_per_cent():
    assert wrap("an error of 14 %, of the last 100 %", 14) == ["an error of", "14 %, of the", "last 100 %"]


@given(text=hostile)
def test_html_holds_only_elements_of_ours_and_loads_nothing(text):
    page = read(renderer("html")(infected(text), View()))
    assert page.harmless


@pytest.mark.parametrize("name", names())
@given(text=hostile)
def test_a_build_server_takes_no_line_for_a_command(name, text):
    shown = renderer(name)(infected(text), View(width=80))
    lines = [line for line in shown.splitlines() if line.lstrip().startswith("::")]
    assert len(lines) == (2 + len(FINDINGS) if name == "github" else 0)  # the verdict, what is held back
    assert not re.search(r"##\w*\[", shown)


@given(text=hostile)
def test_annotations_keep_their_form(text):
    for line in renderer("github")(infected(text), View()).splitlines():
        assert re.fullmatch(r"::(error|warning|notice) title=[^:,]*(,file=[^:,]*,line=\d+)?::.*", line)


@given(text=hostile)
def test_junit_is_well_formed_and_counts_its_cases(text):
    suite = ElementTree.fromstring(renderer("junit")(infected(text), View()))
    assert int(suite.get("tests", "")) == len(suite) == len(FINDINGS) + 1 + 1
    assert int(suite.get("failures", "")) == len(suite.findall("testcase/failure")) == len(FINDINGS)
    assert int(suite.get("skipped", "")) == len(suite.findall("testcase/skipped")) == 1


@given(text=hostile)
def test_sarif_and_gitlab_are_json_with_one_entry_a_finding(text):
    log = json.loads(renderer("sarif")(infected(text), View()))
    (run,) = log["runs"]
    assert len(run["results"]) == len(FINDINGS)
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    entries = json.loads(renderer("gitlab")(infected(text), View()))
    assert len({entry["fingerprint"] for entry in entries}) == len(FINDINGS)
