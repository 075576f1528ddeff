"""Helicone: rows of which only the totals say whether cached input is inside."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

LOG = sample("helicone.jsonl")
FIRST = json.loads(LOG[0])


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 1}
    # 100 + 900 read + 50 written = 1,050, for 1,070 with 20 of output in all
    assert spent(made) == (4, 1_050 + 100 + 100, 900, 50, 60, 0)
    assert window(made) == ("2026-09-01 08:00:01", "2026-09-01 08:00:04")
    assert made.requests["convention"].to_list() == ["proved", None, None, None]
    assert made.requests["gateway_cache_hit"].to_list() == [None, None, True, None]
    assert made.requests["status"].to_list() == ["ok", "ok", "ok", "error"]
    assert made.requests["request_id"].to_list()[1] == "chatcmpl-h2"
    assert set(made.requests["run_id"]) == {"session-1"}


@pytest.mark.parametrize(
    ("total", "input_tokens", "convention"),
    [(1_070, 1_050, "proved"), (None, 1_050, "proved"), (120, 1_050, "proved")],
)
def test_more_cached_input_than_input_can_only_stand_beside_it(total, input_tokens, convention):
    row = read([FIRST | {"total_tokens": total}]).requests.row(0, named=True)
    assert (row["input_tokens"], row["convention"]) == (input_tokens, convention)


def test_what_nothing_proves_is_undecided_and_read_as_the_cheaper_way():
    row = read([FIRST | {"prompt_tokens": 2_000, "total_tokens": None}]).requests.row(0, named=True)
    assert (row["input_tokens"], row["convention"]) == (2_000, "undecided")


def test_addresses_with_credentials_are_nowhere_in_the_table():
    assert "secret" not in str(read(LOG).requests.to_dicts())


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced


@pytest.mark.parametrize(("code", "status"), [(-3, "cancelled"), (-1, "error"), (200, None)])
def test_a_call_that_never_ended_is_not_one_of_no_tokens(code, status):
    made = read([FIRST | {"response_status": code, "prompt_tokens": 0, "completion_tokens": 0}])
    row = made.requests.row(0, named=True)
    unknown = status is not None
    assert row["status"] == (status or "ok")
    assert (row["output_tokens"], row["usage_source"]) == ((None, "absent") if unknown else (0, "provider"))
