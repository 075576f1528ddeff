"""Charts add up to the tables beside them, are drawn in round steps, and are absent where there is nothing to draw."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

import polars as pl
import pytest
from audits import AUDIT, SPEND, finding
from audits import money as dollars
from gates import a_gate
from html5lib import HTMLParser
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from pages import read
from program import run as run
from test_ci import hostile_gate
from test_hostile_text import hostile
from test_reconcile import LOG, SAME, reconciled

from costaudit.data import bundled
from costaudit.reconciliation import Reconciliation
from costaudit.report import (
    View,
    _chart_ahead,
    _chart_details,
    _chart_time,
    _chart_waterfall,
    _gate_html,
    _reconcile_html,
    _svg,
    html,
)
from costaudit.report._chart_ahead import Ahead
from costaudit.report._chart_waterfall import Effect
from costaudit.report._html import STYLE
from costaudit.report._money import Currency, shown_in
from costaudit.stats import Interval

EMPTY = SPEND.by_day_task.clear()


def days(*amounts: str) -> pl.DataFrame:
    """Days from the first of October on."""
    return pl.DataFrame({"day": [f"2026-10-{n:02}" for n in range(1, len(amounts) + 1)], "cost_usd": dollars(*amounts)})


def of(task: str, *amounts: str) -> pl.DataFrame:
    return days(*amounts).select("day", pl.lit(task).alias("task"), "cost_usd")


@given(st.floats(-1e12, 1e12), st.floats(1e-6, 1e12), st.integers(2, 8))
def test_ticks_are_few_round_and_inside(low, span, most):
    found = _svg.ticks(low, low + span, most)
    assert 1 <= len(found) <= most
    assert all(low - 1e-9 * abs(low) <= float(tick) <= low + span + 1e-9 * abs(low + span) for tick in found)
    steps = {b - a for a, b in pairwise(found)}
    assert len(steps) <= 1
    assert not steps or next(iter(steps)).normalize().as_tuple().digits in ((1,), (2,), (5,), (2, 5))


@pytest.mark.parametrize(
    ("high", "said"),
    [
        (0.012, ["$0.000", "$0.005", "$0.010"]),
        (0.9, ["$0.00", "$0.50"]),
        (1.2, ["$0.00", "$0.50", "$1.00"]),
        (7, ["$0.00", "$2.50", "$5.00"]),
        (1040, ["$0", "$500", "$1,000"]),
        (9.9e6, ["$0", "$5M"]),
    ],
)
def test_amounts_of_an_axis_are_written_to_the_same_decimals(high, said):
    assert [label for _, label in _svg.amounts(0, high, 3)] == said


def test_the_parts_of_a_day_add_up_to_it_and_the_rest_is_named():
    drawn = _chart_time.spend(days("10", "20"), pl.concat([of("a", "6", "1"), of("b", "4", "9")]))
    assert "a: $7.00" in drawn
    assert "b: $13.00" in drawn
    assert "all other tasks: $10.00" in drawn
    # 10 = 6 + 4 and 20 = 1 + 9 + 10, the rest
    assert "2026-10-01</th><td>$10.00</td><td>$4.00</td><td>$6.00</td><td>–</td>" in drawn
    assert "2026-10-02</th><td>$20.00</td><td>$9.00</td><td>$1.00</td><td>$10.00</td>" in drawn


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 900)), min_size=2, max_size=12))
def test_the_key_of_the_chart_adds_up_to_the_total(cents):
    named = of("a", *(str(Decimal(a) / 100) for a, _ in cents))
    drawn = _chart_time.spend(days(*(str(Decimal(a + b) / 100) for a, b in cents)), named)
    total = sum(a + b for a, b in cents)
    assert (not drawn) == (not total)
    key = drawn.partition('<ul class="key">')[2].partition("</ul>")[0]
    assert sum(round(100 * float(said.split("<")[0])) for said in key.split("$")[1:]) == total


@pytest.mark.parametrize(("span", "unit"), [(2, "day"), (100, "day"), (101, "week"), (701, "month")])
def test_a_long_log_is_drawn_in_weeks_then_months(span, unit):
    first = date(2025, 1, 1)
    ends = [first.isoformat(), (first + timedelta(days=span - 1)).isoformat()]
    assert f"Spend by {unit}" in _chart_time.spend(days("1", "2").with_columns(day=pl.Series(ends)), EMPTY)


@pytest.mark.parametrize(
    "by_day", [SPEND.by_day.clear(), days("3"), days("0", "0"), days("3").with_columns(day=pl.lit("(no date)"))]
)
def test_nothing_to_draw_is_no_chart(by_day):
    assert _chart_time.spend(by_day, EMPTY) == ""


def test_a_waterfall_ends_where_its_bars_lead_and_says_where_its_axis_begins():
    ends = Effect("September", Decimal(1000), "$1,000"), Effect("October", Decimal(1040), "$1,040")
    bars = [Effect("units", Decimal(60), "+$60"), Effect("price", Decimal(-20), "-$20")]
    drawn = _chart_waterfall.waterfall("Why", ends[0], bars, ends[1])
    assert "the axis begins at $" in drawn
    assert "From $1,000 to $1,040: units +$60, price -$20." in drawn
    assert "the axis begins" not in _chart_waterfall.waterfall("Why", Effect("a", Decimal(1), "$1"), bars, ends[1])
    assert _chart_waterfall.waterfall("Why", ends[0], [], ends[0]) == ""


FRONTIER = pl.DataFrame(
    {
        "metric": ["steps"] * 3 + ["cost_usd"],
        "limit": [3.0, 9.0, 30.0, 1.0],
        "runs_cut": [5, 2, 0, 1],
        "reference_cut": [3, 0, 0, 0],
        "n": [20] * 4,
        "saved_usd": dollars("9", "6", "0", "1"),
        "redo_usd": dollars("12", "0", "0", "0"),
        "net_usd": [-3.0, 6.0, 0.0, 1.0],
    }
)
POLICIES = pl.DataFrame(
    {
        "prefix": [0, 0, 1],
        "policy": ["cache nothing", "write for <5m>", "cache nothing"],
        "relative": [1.0, 0.25, 1.0],
        "read_tokens": [0, 1_350_000, 0],
        "written_tokens": [0, 190_000, 0],
    }
)
TENANTS = pl.DataFrame(
    {"tenant": [f"t{n:02}" for n in range(14)], "calls": [10] * 14, "spend_usd": dollars(*(str(n) for n in range(14)))}
)


def test_the_ceilings_tried_show_what_each_saves_and_cuts_by_mistake():
    drawn = _chart_details.frontier(FRONTIER, {"metric": "steps", "limit": 9.0})
    assert "the one advised: 9 steps" in drawn
    assert "<td>3 of 20</td><td>$9.00</td><td>$12.00</td><td>-$3.00</td>" in drawn
    assert drawn.count("good runs</title>") == 3
    assert _chart_details.frontier(FRONTIER, {"metric": "cost_usd", "limit": 1.0}) == ""


def test_policies_are_those_of_the_dearest_prefix_and_tenants_add_up():
    drawn = _chart_details.policies(POLICIES)
    assert "write for &lt;5m&gt;" in drawn
    assert drawn.count("<tr>") == 3
    shown = _chart_details.tenants(TENANTS)
    assert "4 more" in shown  # 0 + 1 + 2 + 3
    assert "<td>$6.00</td><td>7 %</td><td>40</td>" in shown
    assert _chart_details.tenants(TENANTS.head(1)) == _chart_details.policies(POLICIES.clear()) == ""


def test_a_finding_shows_the_charts_it_has_figures_for():
    limit = pl.DataFrame({"metric": ["steps"], "limit": [9.0]})
    found = finding(details={"frontier": FRONTIER, "limit": limit, "policies": POLICIES, "tenants": TENANTS})
    page = html.render(replace(AUDIT, findings=(found,)), View())
    assert read(page).harmless
    assert "Ceilings tried" in page
    assert "Cache policies, replayed" in page
    assert _chart_details.details(finding()) == []


# Every command with a page


def page_of(*buckets: dict[str, object], **changes: str) -> str:
    """The page of `reconcile` for ten calls."""
    done = reconciled(LOG, *buckets)
    cells = done.frame()
    said = Reconciliation(
        AUDIT.window,
        AUDIT.prices,
        AUDIT.coverage,
        exports=(changes.get("text", "usage.json"),),
        billed=False,
        logs_usd=cells["logs_usd"].sum(),
        export_usd=cells["export_usd"].sum(),
        cells=cells,
        outside=0,
        unpriced_calls=0,
        unpriced_buckets=0,
        notes=(changes.get("text", ""),),
    )
    return _reconcile_html.render(said, View())


@settings(max_examples=10)
@given(text=hostile)
def test_names_from_a_log_are_text_on_every_page(text):
    assert read(_gate_html.render(hostile_gate(text), View())).harmless
    assert read(page_of(SAME | {"model": text.encode("utf-8", "replace").decode()}, text=text)).harmless


def test_the_bars_of_a_waterfall_are_those_of_the_table_beside_it():
    page = _gate_html.render(a_gate(), View())
    drawn, _, table = page.partition("Every bar</caption>")
    for effect in re.findall(r'class="ink end">([+-][^<]+)</text>', drawn):
        assert f"<td>{effect}</td>" in table
    assert "From $0.15 to $0.20: token counts +$0.050." in page_of(SAME | {"input_tokens": 15_000})
    assert "<figure>" not in page_of(SAME)


def test_an_axis_has_round_steps_in_the_currency_that_is_shown():
    with shown_in(Currency("EUR", Decimal("0.8"), date(2026, 10, 1))):
        drawn = _chart_time.spend(days("10", "20"), EMPTY)
    assert [said for said in ("€5", "€10", "€15") if f'"end">{said}<' in drawn]
    assert "all other tasks: €24.00" in drawn


def test_a_span_ahead_shows_its_interval_and_needs_something_to_show():
    likely = Ahead("November", Interval(12.0, 9.0, 16.0))
    drawn = _chart_ahead.columns("Months", [("October", Decimal(10))], [likely], 0.8)
    assert "November: $12.00, $9.00 to $16.00." in drawn
    assert "likely, with its 80 % interval" in drawn
    assert _chart_ahead.columns("Months", [("October", Decimal(10))], [], 0.8) == ""
    assert _chart_ahead.columns("Months", [], [Ahead("November", Interval(0.0, 0.0, 0.0))], 0.8) == ""


def test_a_page_is_written_to_a_file_and_only_a_run_has_one(run, tmp_path):
    logs, page = bundled("sample_logs") / "analyzers" / "runaway-loop.jsonl", tmp_path / "run.html"
    done = run("show", "run", "run-7", logs, "--format", "html", "-o", page)
    assert (done.code, done.out) == (0, "")
    found = read(page.read_text(encoding="utf-8"))
    assert found.harmless
    assert "stop point" in found.source
    refused = run("show", "request", "r1", logs, "--format", "html")
    assert refused.code == 2
    assert "costaudit show run" in refused.err


def luminance(color: str) -> float:
    """Relative luminance, WCAG 2.2."""
    digits = color.removeprefix("#")
    digits = "".join(2 * one for one in digits) if len(digits) == 3 else digits
    parts = [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("part", [0, 1], ids=["light", "dark"])
def test_words_and_bars_stand_out_from_the_paper(part):
    colors = dict(re.findall(r"--(\w+): (#[0-9a-f]+)", STYLE.split("@media")[part]))
    for name, color in colors.items():
        for ground in (colors["paper"], colors["card"]):
            light, dark = sorted((luminance(color), luminance(ground)), reverse=True)
            ratio = (light + 0.05) / (dark + 0.05)
            # WCAG 2.2: 4.5 for text (1.4.3), 3 for what carries meaning in a drawing (1.4.11)
            least = 4.5 if name in ("ink", "soft", "bad", "warn", "good") else 3 if name[0] in "sb" else 1
            assert ratio >= least, (name, ground, ratio)


def test_another_parser_finds_no_error_in_a_page():
    bill = page_of(SAME | {"input_tokens": 15_000})
    for page in (html.render(AUDIT, View()), _gate_html.render(a_gate(), View()), bill):
        reader = HTMLParser()
        reader.parse(page)
        assert reader.errors == []


def test_a_printed_page_holds_what_is_folded_on_a_screen():
    """Seen in a browser's print: without this rule a closed section is left out."""
    printed = STYLE.partition("@media print")[2]
    assert "details::details-content { content-visibility: visible; block-size: auto; }" in printed
