"""Snowflake: usage views with counts as objects, and older ones with one sum."""

from __future__ import annotations

from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

LOG = sample("snowflake.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}
    assert spent(made) == (2, 1_200 + 1_300, 900, 0, 80 + 40, 0)
    assert window(made) == ("2026-09-02 08:00:00", "2026-09-02 08:00:03")
    assert made.fates.skipped == {}
    assert not made.notes


def test_a_request_of_the_gateway_is_a_row_a_model():
    row = {
        "START_TIME": "2026-09-02 08:00:00.000 -0700", "REQUEST_ID": "g-1", "GATEWAY_NAME": "main", "USER_ID": 3,
        "OPERATION_DETAILS": {
            "llama4-maverick": {"input": 90, "output": 9},
            "mistral-large2": {"input": 10, "output": 1},
        },
    }  # fmt: skip
    made = read([row])
    assert spent(made) == (2, 100, 0, 0, 10, 0)
    assert window(made) == ("2026-09-02 15:00:00", "2026-09-02 15:00:00")
    assert set(made.requests["key_id"]) == {"main"}


def test_metrics_of_functions_are_counts_and_a_query_of_two_hours_is_two_rows():
    row = {
        "START_TIME": "2026-09-02 08:00:00.000 Z", "FUNCTION_NAME": "AI_COMPLETE", "MODEL_NAME": "llama4-maverick",
        "QUERY_ID": "q-1", "QUERY_TAG": '{"task": "triage", "tenant": "acme"}', "CREDITS": 0.01,
        "METRICS": [
            {"key": {"metric": "input", "unit": "tokens"}, "value": 500},
            {"key": {"metric": "output", "unit": "tokens"}, "value": 50},
        ],
    }  # fmt: skip
    made = read([row, row | {"START_TIME": "2026-09-02 09:00:00.000 Z"}, row])
    assert spent(made) == (2, 1_000, 0, 0, 100, 0)
    assert made.fates.duplicates == 1
    assert set(made.requests.select("task", "tenant", "run_id").iter_rows()) == {("triage", "acme", "q-1")}


def test_one_sum_of_input_and_output_has_no_price_and_says_so():
    row = {"START_TIME": "2026-09-02 08:00:00.000 Z", "FUNCTION_NAME": "COMPLETE", "MODEL_NAME": "llama3-8b"}
    made = read([row | {"QUERY_ID": "q-1", "TOKENS": 550, "TOKEN_CREDITS": 0.01}])
    assert made.requests["usage_source"].to_list() == ["absent"]
    assert made.notes == ("Snowflake: 1 row has no split into input and output, and so no price: use a current view",)


def test_two_views_in_one_file_are_warned_of():
    row = {"QUERY_ID": "q-1", "FUNCTION_NAME": "COMPLETE", "MODEL_NAME": "llama3-8b"}
    counts = {"TOKENS_GRANULAR": {"input": 5, "output": 1}}
    made = read(
        [row | counts | {"USAGE_TIME": "2026-09-02 08:00:00"}, row | counts | {"START_TIME": "2026-09-02 08:00:00"}]
    )
    assert "may restate each other" in made.notes[0]


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
