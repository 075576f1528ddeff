"""Cursor: two input columns that overlap or do not, costs that are words, rows without ids."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import SAMPLES, fates, sample, spent

from costaudit import pipeline
from costaudit.config import Settings
from costaudit.ingest import ingest
from costaudit.ingest._cursor_names import served
from costaudit.price.engine import price

HEADER, *ROWS = sample("cursor.csv")
COLUMNS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "convention")


def exported(tmp_path, *rows, header=HEADER):
    (tmp_path / "usage.csv").write_text("\n".join([header, *rows]) + "\n")
    return ingest([tmp_path / "usage.csv"])


def test_the_sample_reads_as_its_totals_say():
    made = ingest([SAMPLES / "cursor.csv"])
    # 1,200 of which 200 written, and 5,000 read: 6,500 with the output. 200 written, 1,000 and 400 read: 1,650.
    assert spent(made) == (4, 6_200 + 1_600 + 700, 5_000 + 400, 200 + 200, 300 + 50 + 20, 0)
    assert fates(made) == {"duplicates": 1, "rollups": 0, "rejects": 0}
    assert made.requests["cost_logged_usd"].drop_nulls().to_list() == [Decimal("0.12")]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ("1200,1000,5000,300,6500", (6_200, 5_000, 200, 300, None)),
        ("200,1000,5000,300,6500", (6_200, 5_000, 200, 300, None)),
        ("0,700,0,20,720", (700, 0, 0, 20, None)),
        ("1200,1000,5000,300,", (6_200, 5_000, 200, 300, "assumed")),
    ],
)
def test_the_total_decides_whether_the_input_columns_overlap(tmp_path, counts, expected):
    made = exported(tmp_path, f"2026-09-06T10:00:00Z,x,m,No,{counts},$1")
    assert made.requests.select(COLUMNS).row(0) == expected


def test_the_older_header_reads_the_same(tmp_path):
    header = HEADER.replace("Kind,", "").replace("Max Mode,", "") + ",Cost to you"
    made = exported(tmp_path, "2026-01-06,m,1200,1000,5000,300,6500,0.50,0", header=header)
    assert made.requests.select(COLUMNS).row(0) == (6_200, 5_000, 200, 300, None)
    assert made.requests["cost_logged_usd"].item() == Decimal("0.50")


def test_rows_with_a_date_and_no_time_are_all_kept(tmp_path):
    row = "2026-01-06,x,m,No,1200,1000,5000,300,6500,$1"
    assert exported(tmp_path, row, row).fates.requests == 2


@given(
    st.lists(
        st.lists(st.sampled_from(["7", "-1", "x", "", '"1,2"', "NaN", "9e99"]), min_size=9, max_size=11), max_size=5
    )
)
@settings(max_examples=20, deadline=None)
def test_odd_cells_cost_their_row_and_nothing_else(tmp_path_factory, cells):
    rows = [",".join(["2026-09-06T10:00:00Z", *row]) for row in cells]
    assert exported(tmp_path_factory.mktemp("csv"), *rows, ROWS[0]).fates.balanced


def test_what_errored_or_was_aborted_is_no_call_of_unknown_cost(tmp_path):
    header = "Date,Cloud Agent ID,Kind,Model,Max Mode,Input (w/ Cache Write),Input (w/o Cache Write),Cache Read,"
    rows = [
        '2026-09-01T08:00:00Z,,"Errored, No Charge",auto,No,,,,,,Free',
        "2026-09-01T08:00:01Z,,Included,auto,No,200,10,3000,50,3260,Included",
        '2026-09-01T08:00:02Z,,"Aborted, Not Charged",auto,No,0,0,0,0,0,-',
    ]
    (tmp_path / "usage.csv").write_text("\n".join([header + "Output Tokens,Total Tokens,Cost", *rows]))
    made = ingest([tmp_path])
    assert made.requests.sort("started_at")["status"].to_list() == ["error", "ok", "cancelled"]
    assert spent(made) == (3, 3_210, 3_000, 200, 50, 0)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("claude-4.5-sonnet", ("claude-sonnet-4-5", None, None, None)),
        ("claude-4.5-sonnet-thinking", ("claude-sonnet-4-5", None, None, None)),
        ("claude-4-sonnet", ("claude-sonnet-4", None, None, None)),
        ("claude-4.6-opus-high-thinking", ("claude-opus-4-6", None, "high", None)),
        ("claude-4.6-opus-max-thinking-fast", ("claude-opus-4-6", None, "max", "fast")),
        ("claude-3.7-sonnet-thinking", ("claude-3.7-sonnet", None, None, None)),
        ("claude-sonnet-4-5-20250929", ("claude-sonnet-4-5-20250929", None, None, None)),
        ("gpt-5.4-high-fast", ("gpt-5.4", None, "high", "priority")),
        ("gpt-5.3-extra-high", ("gpt-5.3", None, "xhigh", None)),
        ("gpt-5.1-codex-max", ("gpt-5.1-codex-max", None, None, None)),  # a name, no effort
        ("gpt-5.1-codex-max-high", ("gpt-5.1-codex-max", None, "high", None)),
        ("composer-2.5-fast", ("composer-2.5-fast", "cursor", None, None)),
        ("cursor-grok-4.5-high-fast", ("grok-4.5-fast", "cursor", "high", None)),
        ("grok-4-fast", ("grok-4-fast", None, None, None)),
        ("grok-code-fast-1", ("grok-code-fast-1", None, None, None)),
        ("kimi-k2-thinking", ("kimi-k2-thinking", None, None, None)),
        ("auto", ("auto", None, None, None)),
    ],
)
def test_a_name_of_cursor_is_taken_apart(name, said):
    assert served(name) == said


def test_names_of_cursor_have_the_prices_of_their_models(tmp_path):
    names = ("claude-4.5-sonnet-thinking", "gpt-5.4-high", "composer-2.5")
    rows = [f"2026-09-06T10:0{n}:00Z,Included,{name},No,0,1000,0,100,1100,Included" for n, name in enumerate(names)]
    read = exported(tmp_path, *rows)
    calls = price(read.requests, pipeline.prices(Settings()))
    assert set(calls["price_status"]) == {"priced"}
    assert calls["cost_usd"][0] == (1_000 * Decimal(3) + 100 * 15) / 1_000_000
