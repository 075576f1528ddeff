"""The command spend: the figures of analyze without a rule, in tables that add up to the last digit."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from functools import cache

import polars as pl
import pytest
from program import response
from program import run as run
from samples import SAMPLES

from costaudit import pipeline, totals
from costaudit.config import BY, Settings
from costaudit.price.spend import spend_by
from costaudit.report import View, _spend

DEMO = SAMPLES.parent / "demo"
ANY = Settings(cache=False)


def demo(*by, **settings):
    return totals.answered(analyzed(DEMO), [one.split(",") for one in by], Settings(**settings), ["sample_logs/demo"])


@cache
def analyzed(path):
    return pipeline.load([str(path)], ANY)


def test_the_figures_and_their_trust_are_those_of_analyze_on_every_sample_file():
    known = analyzed(SAMPLES)
    answer = totals.spent([str(SAMPLES)], ANY, [["source_file"]])
    theirs = spend_by(known.calls, "source_file").filter(pl.col("requests") > 0).sort("source_file")
    ours = answer.tables[0].rows.with_columns(pl.col("cost_usd").fill_null(Decimal(0))).sort("source_file")
    columns = ("source_file", "requests", "cost_usd")
    assert ours.select(columns).equals(theirs.select(columns))
    assert answer.window == known.window
    for name in ("fates", "calls", "tokens", "share", "low_usd", "sampled", "notes"):
        assert getattr(answer.coverage, name) == getattr(known.coverage, name)
    assert answer.coverage.unpriced.equals(known.coverage.unpriced)
    # A bound that takes knowing the tasks is left open where nobody has looked for them, and is never another one.
    assert answer.coverage.high_usd in (None, known.coverage.high_usd)


def test_a_call_without_counts_is_bounded_by_its_task_though_tasks_are_read_for_no_other(tmp_path):
    def row(nth, **message):
        return {
            "type": "assistant", "uuid": f"u{nth}", "parentUuid": None, "sessionId": "s", "isSidechain": False,
            "timestamp": f"2026-09-01T10:00:0{nth}.000Z", "requestId": f"r{nth}",
            "message": {"id": f"m{nth}", "model": "claude-sonnet-4-5", "content": [], **message},
        }  # fmt: skip

    rows = [row(1, usage={"input_tokens": 1_000, "output_tokens": 200}), row(2)]  # $0.006 at $3 and $15 a million
    (tmp_path / "s.jsonl").write_text("\n".join(map(json.dumps, rows)))
    answer = totals.spent([str(tmp_path)], ANY, [["model"]])
    assert answer.coverage.calls["unmetered"] == 1
    assert (answer.coverage.low_usd, answer.coverage.high_usd) == (Decimal("0.006"), Decimal("0.012"))


@pytest.mark.parametrize("by", BY)
def test_a_table_has_the_rows_of_analyze(by):
    known = analyzed(DEMO)
    rows = demo(by).tables[0].rows
    theirs = spend_by(known.calls, by).filter(pl.col("requests") > 0)
    ours = rows.group_by(by).agg(pl.sum("requests"), pl.col("cost_usd").fill_null(Decimal(0)).sum())
    columns = (by, "requests", "cost_usd")
    assert ours.select(columns).sort(by).equals(theirs.select(columns).sort(by))


@pytest.mark.parametrize("by", [*BY, "day,model", "month,task,tenant", "model,provider", "provider,hour"])
def test_every_table_adds_up_to_the_total_to_the_last_digit(by):
    answer = demo(by)
    rows = answer.tables[0].rows
    assert rows["cost_usd"].sum() == answer.total_usd
    assert rows["requests"].sum() == answer.coverage.fates.requests
    assert rows["unknown"].sum() == 92


@pytest.mark.parametrize("top", [1, 2, 3])
@pytest.mark.parametrize("by", ["day,model", "model", "task"])
def test_what_top_leaves_out_is_one_row_and_all_add_up(by, top):
    (given,) = demo(by).tables
    part = _spend.cut(given, top)
    assert part.rows.height == top
    assert part.rest["rows"] == given.rows.height - top
    assert part.rows["cost_usd"].sum() + (part.rest["cost_usd"] or 0) == demo(by).total_usd
    assert part.rows["requests"].sum() + part.rest["requests"] == given.rows["requests"].sum()


def test_times_are_cut_at_their_beginning_and_everything_else_at_its_end():
    days, models = (_spend.cut(demo(by).tables[0], 2) for by in ("day", "model"))
    assert days.rows["day"].to_list() == ["2026-10-30", "2026-10-31"]
    assert models.rows["model"].to_list() == ["claude-sonnet-4-6", "claude-opus-5"]


def test_what_nobody_has_a_price_for_is_never_zero_dollars(run, tmp_path):
    (tmp_path / "a.jsonl").write_text("\n".join([response(1), response(2, model="secret-7")]))
    said = run("spend", "a.jsonl").out
    assert "secret-7  no price" in said
    assert "$0.0035+" in said  # the day: one call of two has a price
    assert "$0.00 " not in said
    rows = json.loads(run("spend", "a.jsonl", "--by", "model", "-f", "json").out)["tables"][0]["rows"]
    assert [(row["model"], row["unknown"], row["cost_usd"]) for row in rows] == [
        ("gpt-4o", 0, "0.0035"),
        ("secret-7", 1, None),
    ]


def test_days_are_those_of_the_zone():
    ours = demo("day", tz="Asia/Tokyo").tables[0].rows
    theirs = spend_by(analyzed(DEMO).calls, "day", tz="Asia/Tokyo").filter(pl.col("requests") > 0)
    assert ours.select("day", "cost_usd").equals(theirs.select("day", "cost_usd"))


@pytest.mark.parametrize("width", [80, 120])
def test_the_first_screen_reads_as_reviewed(width, golden):
    for name in ("terminal", "markdown"):
        view = View(width=width, plain=width == 80)
        golden(f"spend/{name}-{width}.txt", _spend.RENDERERS[name](demo("model", "day"), view, None))


def test_a_csv_file_is_one_table_and_has_one_without_being_asked(run):
    found = list(csv.DictReader(io.StringIO(run("spend", DEMO, "-f", "csv").out)))
    assert sum(Decimal(row["cost_usd"] or 0) for row in found) == demo("model").total_usd
    assert list(found[0])[:3] == ["day", "model", "provider"]
    done = run("spend", DEMO, "--by", "day", "--by", "model", "-f", "csv")
    assert (done.code, done.err) == (
        2,
        "error: a CSV file holds one table\nhint: one table by both is --by day,model\n",
    )


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (("--by", "mdel"), "error: --by: unknown grouping 'mdel'\nhint: did you mean 'model'?\n"),
        (("--by", "day,"), "error: --by: unknown grouping ''\n"),
        (("--top", "0"), "error: --top 0: a table has at least one row\n"),
    ],
)
def test_what_is_asked_wrongly_is_told_before_anything_is_read(flags, error, run):
    done = run("spend", "nowhere", *flags)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(error)


def test_less_priced_than_asked_for_cannot_be_judged(run, tmp_path):
    (tmp_path / "a.jsonl").write_text("\n".join([response(1), response(2, model="secret-7")]))
    assert run("spend", "a.jsonl").code == 0
    assert run("spend", "a.jsonl", "--min-coverage", "0.9").code == 3


def test_names_of_a_log_cannot_act_on_a_terminal_or_a_page(run, tmp_path):
    (tmp_path / "a.jsonl").write_text(response(1, model="=cmd|<b>\x1b[31m"))
    for form in ("terminal", "markdown", "csv"):
        said = run("spend", "a.jsonl", "--by", "model", "-f", form).out
        assert "\x1b" not in said
        assert "<b>" not in said or form != "markdown"
    assert "'" in run("spend", "a.jsonl", "--by", "model", "-f", "csv").out
