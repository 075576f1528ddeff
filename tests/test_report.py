"""Reports read as reviewed, say the same in every format, and add up."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest
from audits import AUDIT, COVERAGE, EMPTY, FINDINGS, SPEND, evidence, finding, money
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from costaudit.audit import Audit, Window
from costaudit.errors import UsageError
from costaudit.finding import Kind
from costaudit.report import View, names, renderer
from costaudit.report import _money as written
from costaudit.report._layout import bar

MANY = replace(
    AUDIT,
    findings=tuple(finding(subject={"task": f"t{i:02}"}, title=f"t{i:02}: loops, ${i}.00") for i in range(40)),
    spend=replace(
        SPEND,
        by_task=pl.DataFrame(
            {
                "task": [f"task-{i:03}" for i in range(25)],
                "requests": [25 - i for i in range(25)],
                "runs": [1] * 25,
                "cost_usd": money(*(str(250 - i) for i in range(25))),
                "usd_per_request": money(*["1"] * 25),
                "p95_usd": money(*["1"] * 25),
            }
        ),
    ),
)


def show(name: str, audit: Audit = AUDIT, **view: object) -> str:
    return renderer(name)(audit, View(**view))  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("plain", [True, False], ids=["piped", "terminal"])
def test_the_terminal_report_reads_as_reviewed(width, plain, golden):
    golden(f"report/{'piped' if plain else 'terminal'}-{width}.txt", show("terminal", width=width, plain=plain))


@pytest.mark.parametrize(
    ("sellers", "shown"),
    [
        (("google", "vertex"), ["google:gemini", "vertex:gemini"]),
        (("google", None), ["google:gemini", "gemini"]),
        (("google",), ["gemini"]),
    ],
)
@pytest.mark.parametrize("name", ["terminal", "markdown", "html"])
def test_a_model_bought_from_several_sellers_is_told_with_each(name, sellers, shown):
    one = SPEND.by_model.head(1).with_columns(model=pl.lit("gemini"))
    spent = pl.concat([one.with_columns(provider=pl.lit(seller, pl.String)) for seller in sellers])
    report = show(name, replace(AUDIT, spend=replace(SPEND, by_model=spent)))
    assert re.findall(r"(?:\w+:)?gemini", report) == shown


@pytest.mark.parametrize("name", [name for name in names() if name != "terminal"])
def test_a_report_file_reads_as_reviewed(name, golden):
    golden(f"report/{name}.txt", show(name))


def test_colour_changes_no_character(golden):
    colored = show("terminal", color=True, plain=False)
    golden("report/terminal-color.txt", colored.replace("\x1b", "␛"))
    bare = "".join(part.partition("m")[2] if i else part for i, part in enumerate(colored.split("\x1b[")))
    assert bare == show("terminal", plain=False)


@pytest.mark.parametrize("name", names())
def test_an_audit_of_nothing_is_a_report_and_no_crash(name):
    assert bool(show(name, EMPTY)) == (name != "short")  # no finding, no line


@pytest.mark.parametrize(
    ("name", "copied"),
    [
        ("terminal", '\n      - match: "a/b"\n        rates: {input: 1}  # why\n'),
        ("markdown", '\n  ````yaml\n  - match: "a/b"\n    rates: {input: 1}  # why\n  ````\n'),
        ("html", "<pre>- match: &quot;a/b&quot;\n  rates: {input: 1}  # why</pre>"),
    ],
)
def test_the_lines_of_a_remedy_that_are_to_be_copied_stay_as_they_are(name, copied):
    remedy = 'add this:\n- match: "a/b"\n  rates: {input: 1}  # why'
    assert copied in show(name, replace(AUDIT, findings=(finding(remedy=remedy),)))


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_no_line_is_wider_than_the_terminal(width):
    longest = replace(
        AUDIT,
        spend=replace(SPEND, by_task=SPEND.by_task.with_columns(task=pl.lit("very-" * 60 + "long"))),
        findings=(finding(title="x" * 300 + " loops", remedy="y" * 300), *FINDINGS),
    )
    commands = show("terminal", longest, width=width).index("\nNext\n")
    assert max(map(len, show("terminal", longest, width=width)[:commands].splitlines())) <= width


def test_a_long_table_ends_with_a_row_that_makes_it_add_up():
    rows = show("terminal", MANY, width=120).split("Where it went\n")[1].split("\n\n")[0].splitlines()
    assert rows[-1].split()[:4] == ["17", "more", "$3,978.00", "83"]  # 242 + 241 + … + 226 = 17 * 234
    assert rows[-1].split()[5] == "153"  # 17 + 16 + … + 1 requests
    assert len(rows) == 1 + 8 + 1


def test_findings_beyond_the_first_are_counted_with_their_sum():
    assert "and 34 more worth $20,819.56" in show("terminal", MANY)  # 34 * 612.34


def test_the_next_commands_carry_the_users_path_and_the_dearest_finding():
    text = show("terminal", replace(AUDIT, paths=("my logs/", "b.jsonl")))
    assert f"costaudit show {FINDINGS[0].id} 'my logs/' b.jsonl" in text
    hostile = show("terminal", replace(AUDIT, paths=("logs\x1b[2J/",)))
    assert f"costaudit show {FINDINGS[0].id} PATH" in hostile


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "$4,812 spent in 61 days; about $612 (13 %) bought nothing, $690 more needs a decision."),
        ({"findings": FINDINGS[:1]}, "$4,812 spent in 61 days; about $612 (13 %) bought nothing."),
        ({"findings": FINDINGS[2:3]}, "$4,812 spent in 61 days; nothing proved wasted, $690 needs a decision."),
        (
            {"findings": ()},
            "$4,812 spent in 61 days; no waste found by 3 rules; 3 rules could not look.",
        ),
        (
            {"findings": FINDINGS[3:4], "not_checked": (*AUDIT.not_checked, AUDIT.not_checked[0])},  # two of its parts
            "$4,812 spent in 61 days; no waste found by 4 rules, but $88.20 dearer than before; "
            "3 rules could not look.",
        ),
        ({"findings": (), "clean": ()}, "$4,812 spent in 61 days; no rule could look for waste."),
        (
            {"coverage": replace(COVERAGE, share=0.5)},
            "At least $4,812 spent in 61 days; about $612 bought nothing, $690 more needs a decision.",
        ),
        (
            {"coverage": replace(COVERAGE, tokens={"exact": 79, "estimated": 21}), "findings": ()},
            "About $4,812 spent in 61 days; no waste found by 3 rules; 3 rules could not look.",
        ),
        (
            {"coverage": replace(COVERAGE, share=0.0), "spend": replace(SPEND, total_usd=Decimal(0))},
            "12,044 requests in 61 days, and too few have a known price to say what was spent.",
        ),
        (
            {"window": Window(), "findings": (finding(low_usd=Decimal(2), high_usd=Decimal(2)),)},
            "$4,812 spent; $612 (13 %) bought nothing.",
        ),
    ],
)
def test_the_verdict_is_one_sentence_that_claims_no_more_than_is_known(changes, sentence):
    text = show("terminal", replace(AUDIT, **changes), width=120)
    assert text.partition("\n")[0] == sentence


def test_the_next_command_is_about_the_first_finding_shown():
    """What claims no dollar is said last, whatever its kind."""
    nothing, risen = finding(owned_usd=Decimal(0)), FINDINGS[3]
    text = show("terminal", replace(AUDIT, findings=(nothing, risen)))
    assert f"costaudit show {risen.id} " in text
    assert f"costaudit show {nothing.id} " not in text


def test_a_model_without_a_price_is_never_zero_dollars():
    rows = [row for row in show("terminal").splitlines() if row.startswith("  in-house-7b ")]
    assert rows[0].split()[1:4] == ["no", "price", "–"]
    assert "| in-house-7b | no price | – |" in show("markdown")


def test_below_the_coverage_floor_no_share_of_spend_is_stated():
    text = show("terminal", replace(AUDIT, coverage=replace(COVERAGE, share=0.5)))
    assert "50.0 % of the log can be priced, under the 80 % asked for: totals are lower bounds" in text.replace(
        "\n" + " " * 13, " "
    )
    assert "48 %" not in text


@pytest.mark.parametrize("by", ["task", "model", "tenant", "day"])
def test_a_table_asked_for_is_shown_alone_and_in_full(by):
    text = show("terminal", MANY, by=(by,))
    where = text.split("Where it went\n")[1].split("What to fix")[0]
    assert where.count("\n\n") == 1
    frame = getattr(MANY.spend, f"by_{by}")
    assert len(where.strip().splitlines()) == 1 + frame.height


def test_an_unknown_report_format_gets_a_suggestion():
    with pytest.raises(UsageError, match="no report format 'jsn'") as error:
        renderer("jsn")
    assert "did you mean json?" in error.value.hint


# --- money


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "$0.00"),
        ("4812.505", "$4,812.50"),  # half to even
        ("4812.515", "$4,812.52"),
        ("1", "$1.00"),
        ("0.994", "$0.99"),
        ("0.29", "$0.29"),
        ("0.042", "$0.042"),
        ("0.0042", "$0.0042"),
        ("0.00000549", "$0.0000055"),
        ("0.000000000000000001", "<$0.000001"),
        ("-0.0042", "-$0.0042"),
        ("-12.3", "-$12.30"),
        ("12345678901234567890", "$1.23e+19"),
        (None, "–"),
    ],
)
def test_an_amount_is_rounded_once_and_never_to_nothing(amount, text):
    assert written.usd(None if amount is None else Decimal(amount)) == text


@given(st.decimals(Decimal("-1e19"), Decimal("1e19"), places=18))
def test_only_nothing_is_written_as_nothing(amount):
    assert (written.usd(amount).strip("-<$0.,") == "") == (amount == 0)
    assert Decimal(written.exact(amount)) == amount


@pytest.mark.parametrize(
    ("part", "text"),
    [(0.0, "0 %"), (0.004, "<1 %"), (0.006, "1 %"), (0.996, ">99 %"), (1.0, "100 %"), (None, "–"), (0.24, "24 %")],
)
def test_a_share_says_none_and_all_only_where_it_is_so(part, text):
    assert written.percent(part) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999_499, "999,499"),
        (999_999, "1M"),
        (1_234_567, "1.23M"),
        (45_600_000_000, "45.6B"),
        (10**18, "1,000,000T"),
    ],
)
def test_token_counts_are_short_enough_to_read(number, text):
    assert written.tokens(number) == text


@pytest.mark.parametrize(
    ("part", "drawn"), [(None, ""), (0, ""), (1e-9, "▏"), (0.5, "████"), (1, "████████"), (7, "████████")]
)
def test_a_bar_is_empty_only_where_there_is_nothing(part, drawn):
    assert bar(part, 8) == drawn


# --- JSON


def test_the_json_report_has_every_key_of_its_schema():
    report = json.loads(show("json"))
    assert list(report) == [
        *("schema", "window", "prices", "coverage", "spend", "waste_usd", "decide_usd"),
        *("findings", "clean", "not_checked", "below_floor", "suppressed", "suppressions"),
    ]
    assert report["schema"] == "costaudit.report/1"
    assert report["window"] == {"from": "2026-10-01T00:00:00Z", "to": "2026-12-01T00:00:00Z", "tz": "UTC"}
    assert {"id", "rule", "kind", "severity", "confidence", "grade", "title", "subject", "owned_usd"} <= set(
        report["findings"][0]
    )
    read = report["coverage"]
    fates = ("requests", "duplicates", "rollups", "rejects", "blank", "skipped", "outside")
    assert read["lines"] == sum(read[fate] for fate in fates)


def test_times_are_written_in_the_reports_zone():
    window = Window(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC), "Europe/Berlin")
    report = json.loads(show("json", replace(AUDIT, window=window)))
    assert report["window"]["from"] == "2026-10-01T02:00:00+02:00"
    assert report["window"]["to"] == "2026-12-01T01:00:00+01:00"


def test_every_table_of_the_json_report_adds_up_to_the_total():
    spend = json.loads(show("json"))["spend"]
    for by in ("by_task", "by_model", "by_tenant", "by_day"):
        assert sum(Decimal(row["cost_usd"]) for row in spend[by]) == Decimal(spend["total_usd"]), by


@given(st.lists(st.decimals(Decimal(0), Decimal("1e7"), places=18), min_size=1, max_size=300))
def test_capped_evidence_still_adds_up_to_the_finding(amounts):
    rows = evidence(*((f"r-{i}", f"a.jsonl:{i}", str(usd)) for i, usd in enumerate(amounts)))
    total = sum(amounts, Decimal(0))
    report = json.loads(show("json", replace(AUDIT, findings=(finding(evidence=rows, owned_usd=total),))))
    (found,) = report["findings"]
    shown = sum(Decimal(row["waste_usd"]) for row in found["evidence"])
    assert shown + Decimal(found["evidence_rest"]["waste_usd"]) == Decimal(found["owned_usd"])
    assert len(found["evidence"]) + found["evidence_rest"]["rows"] == len(amounts)
    assert Decimal(report["waste_usd"]) == total


@pytest.mark.parametrize(
    ("values", "dtype", "text"),
    [
        ([Decimal("1.10")], pl.Decimal(38, 18), "1.1"),
        ([float("nan")], pl.Float64, None),
        ([float("inf")], pl.Float64, None),
        ([2**60], pl.UInt64, str(2**60)),
        ([datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)], pl.Datetime("us", "UTC"), "2026-01-02T03:04:05Z"),
        ([datetime(2026, 1, 2)], pl.Datetime("us"), "2026-01-02T00:00:00Z"),
        ([[{"a": 1.5}]], pl.List(pl.Struct({"a": pl.Float64})), [{"a": 1.5}]),
        ([None], pl.String, None),
        ([b"x"], pl.Binary, "78"),
    ],
)
def test_any_cell_of_evidence_is_a_json_value_no_reader_can_damage(values, dtype, text):
    rows = pl.DataFrame({"cell": pl.Series(values, dtype=dtype), "waste_usd": money("1")})
    report = json.loads(show("json", replace(AUDIT, findings=(finding(evidence=rows),))))
    assert report["findings"][0]["evidence"][0]["cell"] == text


def test_a_hash_is_sixteen_hex_digits():
    rows = pl.DataFrame({"request_sha": pl.Series([255], dtype=pl.UInt64), "waste_usd": money("1")})
    report = json.loads(show("json", replace(AUDIT, findings=(finding(evidence=rows),))))
    assert report["findings"][0]["evidence"][0]["request_sha"] == "00000000000000ff"


def test_headlines_are_the_sums_of_the_findings_of_their_kind():
    report = json.loads(show("json"))
    for kind in (Kind.WASTE, Kind.DECIDE):
        owned = sum(Decimal(f["owned_usd"]) for f in report["findings"] if f["kind"] == kind.value)
        assert Decimal(report[f"{kind.value}_usd"]) == owned


# --- CSV


def test_a_csv_report_is_one_row_a_finding_with_exact_amounts():
    rows = list(csv.DictReader(io.StringIO(show("csv"), newline="")))
    assert [row["id"] for row in rows] == [f.id for f in FINDINGS]
    assert rows[1]["owned_usd"] == "0.0042"
    assert rows[-1]["high_usd"] == ""


def test_a_csv_report_of_a_table_adds_up():
    rows = list(csv.DictReader(io.StringIO(show("csv", by=("task",)), newline="")))
    assert sum(Decimal(row["cost_usd"]) for row in rows) == SPEND.total_usd
    with pytest.raises(UsageError, match="one table"):
        show("csv", by=("task", "model"))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "  =1", "|calc", "%x"])
def test_a_spreadsheet_runs_nothing_from_a_log(text):
    cell = next(csv.DictReader(io.StringIO(show("csv", replace(AUDIT, findings=(finding(title=text),))), newline="")))
    assert cell["title"].startswith("'")


def test_why_exact_counts_can_have_cost_less_is_said_where_it_is_the_only_reason():
    exact = replace(COVERAGE, calls={"exact": 10}, low_usd=Decimal(4000))
    said = "; least if all input without cache counts was read from a cache"
    assert show("markdown", replace(AUDIT, coverage=exact)).count(said) == 1
    for changes in ({"calls": {"exact": 9, "estimated": 1}}, {"low_usd": SPEND.total_usd}):
        assert said not in show("markdown", replace(AUDIT, coverage=replace(exact, **changes)))
