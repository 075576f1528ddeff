"""Logfire: rows of spans, their beginnings, running sums, and the one integration whose agent has the bill."""

from __future__ import annotations

import json

from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

LOG = sample("logfire.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}
    # The agent's aggregated usage is a running sum; the Claude agent's usage is the bill, its chats' are parts.
    assert spent(made) == (3, 1_200 + 1_300 + 5_000, 900 + 1_100 + 4_000, 0, 80 + 40 + 300, 0)
    assert window(made) == ("2026-09-02 08:00:01", "2026-09-02 08:00:05")
    assert made.fates.skipped == {
        "pending span": 1,
        "span with partial usage": 1,
        "span: execute_tool": 1,
        "span: invoke_agent": 1,
    }
    assert not made.notes


def test_calls_take_their_context_from_the_agent():
    first, second, claude = read(LOG).requests.to_dicts()
    for row in (first, second):
        assert [row[k] for k in ("run_id", "task", "tenant", "environment")] == ["s-1", "triage", "acme", "prod"]
    assert (first["finish_reason"], str(first["cost_logged_usd"])[:6]) == ("tool_calls", "0.0012")
    assert (claude["model"], claude["rollup"]) == ("claude-haiku-4-5", None)


def test_an_answer_with_rows_as_lists_and_attributes_as_text_is_the_same():
    rows = [json.loads(line) for line in LOG]
    rows = [r for row in rows for r in row.get("rows", [row])]
    rows = [row | {"attributes": json.dumps(row["attributes"])} for row in rows]
    columns = [{"name": name, "datatype": "String"} for name in rows[0]]
    answer = {"columns": columns, "rows": [list(row.values()) for row in rows]}
    assert spent(read([answer])) == spent(read(LOG))
    # What the interface answers unless it is asked for rows.
    answer = {"columns": [column | {"values": [row[column["name"]] for row in rows]} for column in columns]}
    assert spent(read([answer])) == spent(read(LOG))


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
