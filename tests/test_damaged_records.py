"""What is damaged costs itself: the first line of a log, one request of a document, a count that is empty."""

from __future__ import annotations

import json

import pytest
from samples import fates, read, sample, spent

from costaudit.ingest import ingest

COHERE, AMP = sample("cohere.jsonl"), sample("amp.jsonl")


@pytest.mark.parametrize(
    "line",
    [
        "{broken",
        '{"a": 1, "b": [' + '"x", ' * 40,
        "[1,2]",
        "[1,2",
        '[{"a": 1}, {"b"',
        "null",
        "garbage",
        "\ufffd{",
        '"text"',
    ],
)
def test_a_damaged_line_costs_itself_also_where_it_is_the_first(line):
    assert spent(read([line, *COHERE])) == spent(read(COHERE))
    between = read([part for sound in COHERE for part in (line, sound)])
    assert spent(between) == spent(read(COHERE))
    assert between.fates.balanced
    assert between.fates.lines >= 2 * len(COHERE)


@pytest.mark.parametrize(
    "text", ['{\n "a": 1\n}\n', '[\n{"a": 1},\n{"b": 2}\n]\n', '{\n"a": [\n{},\n{"b": 1},\n{"c": 2']
)
def test_documents_over_several_lines_are_no_lines(text, tmp_path):
    log = tmp_path / "log.json"
    log.write_text(text + json.dumps(json.loads(COHERE[0]), indent=1))
    read = ingest([log])
    assert read.fates.balanced
    assert read.fates.lines <= 4


def test_one_bad_request_of_a_document_costs_that_request():
    whole, thread = read(AMP), json.loads(AMP[0])
    events = thread["usageLedger"]["events"]
    events[-1]["tokens"]["input"] = []
    hurt = read([thread, *AMP[1:]])
    assert fates(hurt) == fates(whole) | {"rejects": 1}
    assert spent(hurt)[0] == spent(whole)[0] - 1


@pytest.mark.parametrize("odd", [[], {}, [[1]], {"a": None}])
@pytest.mark.parametrize("name", ["turn", "step"])
def test_a_list_where_a_number_stands_costs_a_line_at_most(name, odd):
    log = [json.loads(line) for line in sample("dsh.jsonl")]
    for row in log:
        if name in row.get("data", {}):
            row["data"][name] = odd
    assert read(log).fates.balanced


@pytest.mark.parametrize(
    ("name", "line", "path"),
    [
        ("azure.jsonl", 5, ("TimeGenerated",)),
        ("braintrust.jsonl", 0, ("metrics", "estimated_cost")),
        ("braintrust.jsonl", 0, ("is_root",)),
        ("ai-sdk.jsonl", 4, ("runs", 0, "id")),
        ("codex.jsonl", 11, ("payload", "info", "total_token_usage")),
        ("openai-agents.jsonl", 1, ("trace_id",)),
    ],
)
@pytest.mark.parametrize("value", ["1e999", "9" * 4_000, "[" * 980 + "]" * 980, '{"a":' * 900 + "1" + "}" * 900])
def test_no_value_is_too_large_or_too_deep_to_be_read(name, line, path, value):
    log = sample(name)
    row = json.loads(log[line])
    place = row
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = "here"
    assert read([*log[:line], json.dumps(row).replace('"here"', value), *log[line + 1 :]]).fates.balanced


@pytest.mark.parametrize("nothing", [[], {}, False, "x"])
@pytest.mark.parametrize(
    ("name", "line", "path"),
    [
        ("claude-result.jsonl", 1, ("modelUsage", "claude-haiku-4-5", "inputTokens")),
        ("cohere.jsonl", 3, ("response", "meta", "billed_units", "search_units")),
        ("ai-sdk.jsonl", 3, ("usage", "promptTokens")),
    ],
)
def test_an_empty_value_in_place_of_a_count_is_no_zero(name, line, path, nothing):
    log = sample(name)
    row = json.loads(log[line])
    place = row
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = nothing
    assert sum(read([row, COHERE[0]]).fates.rejects.values()) == 1
