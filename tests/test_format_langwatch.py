"""LangWatch: spans with their trace, summaries, CSV; sums and estimates are told for what they are."""

from __future__ import annotations

import csv
import json

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

from costaudit.ingest import ingest

LOG = sample("langwatch.jsonl")
FULL, SUMMARY, AGAIN, FOUND, ROW = (json.loads(line) for line in LOG)
AGENT, OPENAI, TOOL, CLAUDE, SHORT = FULL["spans"]


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    # The agent's span and a summary of the first trace restate its calls.
    assert fates(made) == {"duplicates": 0, "rollups": 2, "rejects": 0}
    given = 1_200 + (150 + 1_100 + 50) + 200 + 500 + 300 + 1_000
    assert spent(made) == (6, given, 900 + 1_100 + 600, 50, 80 + 40 + 10 + 40 + 20 + 25, 30)
    assert window(made) == ("2026-09-02 08:00:00", "2026-09-02 08:00:30")
    assert made.fates.skipped == {"span: tool": 1, "span: workflow": 2}
    assert not made.notes


def test_columns_are_those_of_the_span_and_its_trace():
    rows = {row["input_tokens"]: row for row in read(LOG).requests.to_dicts()}
    called = rows[1_200]
    assert [called[k] for k in ("run_id", "task", "tenant", "user", "ttft_s", "temperature", "request_id")] == [
        "s-1", "triage", "acme", "u-1", 0.4, 0.2, "chatcmpl-lw1",
    ]  # fmt: skip
    # A thread that one span names is that of its trace.
    assert (rows[1_300]["run_id"], rows[1_300]["tenant"], rows[1_300]["max_tokens"]) == ("s-1", "acme", 200)
    assert [rows[300][k] for k in ("run_id", "tenant", "user", "status")] == ["s-3", "beta", "u-3", "error"]
    assert (rows[1_000]["task"], rows[1_000]["ttft_s"], rows[1_000]["cache_read_tokens"]) == ("sum up", 0.25, 600)
    assert called["system_sha"] is not None


def test_a_summary_counts_only_where_no_span_is_there():
    alone = read([SUMMARY]).requests.to_dicts()[0]
    assert [alone[k] for k in ("model", "input_tokens", "summed")] == [None, 500, True]
    for logs in ([[FULL], [AGAIN]], [[AGAIN], [FULL]], [[AGAIN, FULL]]):
        made = read(*logs)
        assert spent(made) == spent(read([FULL]))
        assert fates(made)["rollups"] == 2


def test_estimates_are_told_and_only_those():
    sources = dict(read([FULL]).requests.select("input_tokens", "usage_source").rows())
    assert sources == {2_700: "provider", 1_200: "provider", 1_300: "provider", 200: "tokenizer"}
    # CSV says it in the attributes.
    told = {**ROW, "span_params": json.dumps({"langwatch": {"tokens": {"estimated": True}}})}
    assert read([told]).requests["usage_source"].to_list() == ["tokenizer"]


@pytest.mark.parametrize(
    ("vendor", "given", "read_", "convention", "counted"),
    [
        ("openai", 1_000, 900, "undecided", 1_000),  # LangWatch adds it, OpenTelemetry includes it
        ("anthropic", 1_000, 900, "undecided", 1_000),  # inside or beside: nothing says
        ("anthropic", 10, 900, "proved", 910),
        ("openai", 1_000, 0, None, 1_000),
    ],
)
def test_where_cached_input_stands(vendor, given, read_, convention, counted):
    metrics = {"prompt_tokens": given, "completion_tokens": 5, "cache_read_input_tokens": read_, "cost": 0.001}
    model = "claude-haiku-4-5" if vendor == "anthropic" else "gpt-5-mini"
    span = {**CLAUDE, "vendor": vendor, "model": model, "metrics": metrics}
    made = read([{**FULL, "spans": [span]}]).requests
    assert made.select("input_tokens", "convention").rows() == [(counted, convention)]
    assert made["cost_logged_usd"].null_count() == (read_ > 0)


def test_the_same_spans_from_the_interface_the_export_and_alone_are_one():
    single = {**OPENAI, "trace_id": FULL["trace_id"]}
    answer = {**FULL, "timestamps": {"started_at": FULL["timestamp"]}, "metrics": {"prompt_tokens": 2_700}}
    made = read([FULL], [answer], [single])
    assert spent(made) == spent(read([FULL]))
    assert spent(read([single])) == (1, 1_200, 900, 0, 80, 30)


def test_csv_of_both_kinds(tmp_path):
    second = {**ROW, "span_id": "000000000000000c", "span_type": "tool", "span_model": "", "span_prompt_tokens": "",
              "span_completion_tokens": "", "span_params": ""}  # fmt: skip
    short = {k: v for k, v in SUMMARY.items() if k not in ("project_id", "error", "evaluations")}
    for name, rows in (("full.csv", [ROW, second]), ("summary.csv", [{**short, "labels": "", "metadata": ""}])):
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    made = ingest([tmp_path])
    assert spent(made) == (2, 1_500, 600, 0, 65, 0)
    assert set(made.requests["format"]) == {"langwatch"}


def test_a_span_that_is_none_costs_itself():
    made = read([{**FULL, "spans": [OPENAI, "x", {**SHORT, "metrics": {"prompt_tokens": -1}}]}])
    assert fates(made)["rejects"] == 2
    assert spent(made) == (1, 1_200, 900, 0, 80, 30)


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
