"""SQL over the priced calls: exact dollars, and errors that say what the query got wrong."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal

import pytest
from console import ROOT
from program import run as run


@pytest.fixture
def log(tmp_path):
    shutil.copy(ROOT / "sample_logs" / "analyzers" / "duplicate-requests.jsonl", tmp_path / "log.jsonl")
    return "log.jsonl"


def test_sums_are_exact_and_equal_the_report(run, log):
    answer = json.loads(run("sql", "select sum(cost_usd) as usd, count(*) as n from calls", log, "-f", "json").out)
    report = json.loads(run("analyze", log, "-f", "json").out)
    assert Decimal(answer["rows"][0]["usd"]) == Decimal(report["spend"]["total_usd"])
    assert answer["rows"][0]["n"] == report["coverage"]["requests"]


def test_rows_come_as_a_table_or_as_csv(run, log):
    assert run("sql", "select model, count(*) as n from calls group by model", log).out.split()[:2] == ["model", "n"]
    assert run("sql", "select model from calls limit 1", log, "-f", "csv").out.startswith("model\r\n")


@pytest.mark.parametrize("query", ["select nope from calls", "select * from requests", "selec", " "])
def test_a_query_that_cannot_be_answered_is_a_usage_error_on_one_line(run, log, query):
    ran = run("sql", query, log)
    assert (ran.code, ran.out) == (2, "")
    assert "the query cannot be answered" in ran.err
    assert len(ran.err.splitlines()) == 2
