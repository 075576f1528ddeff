"""Token conventions: the same calls written under either reading are understood, or called undecided; never wrong."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costaudit import schema
from costaudit.ingest._convention import settle
from costaudit.ingest._identity import ROWS

calls = st.lists(
    st.tuples(st.integers(0, 5_000), st.integers(1, 9_000), st.integers(0, 3_000), st.integers(1, 2_000)),
    min_size=20,
    max_size=60,
)


def rows(calls, *, beside, total, reading="unknown"):
    """(fresh, read, written, output) tokens as a source would log them."""
    logged = [
        {
            "format": "f",
            "source_file": "log",
            "provider": "p",
            "input_tokens": fresh if beside else fresh + read + written,
            "cache_read_tokens": read,
            "cache_write_tokens": written,
            "output_tokens": out,
            "_total": fresh + read + written + out if total else None,
            "_reading": reading,
        }
        for fresh, read, written, out in calls
    ]
    return schema.conform(pl.DataFrame(logged, schema_overrides={"_total": pl.Int64}), ROWS)


@given(calls=calls, beside=st.booleans())
def test_totals_prove_the_convention_of_a_source(calls, beside):
    settled = settle(rows(calls, beside=beside, total=True, reading="beside" if beside else "inside"))
    assert settled.rows["input_tokens"].to_list() == [f + r + w for f, r, w, _ in calls]
    assert set(settled.rows["convention"]) == {"proved"}


@given(calls=calls)
def test_rows_overrule_a_documented_reading_that_they_disprove(calls):
    settled = settle(rows(calls, beside=True, total=True, reading="inside"))
    assert settled.rows["input_tokens"].to_list() == [f + r + w for f, r, w, _ in calls]


@given(calls=calls, beside=st.booleans(), total=st.booleans())
def test_without_proof_a_reading_is_undecided_but_never_called_proved_when_wrong(calls, beside, total):
    settled = settle(rows(calls, beside=beside, total=total))
    right = pl.Series([f + r + w for f, r, w, _ in calls])
    wrong = settled.rows.filter(settled.rows["input_tokens"] != right)
    assert set(wrong["convention"]) <= {"undecided"}


@pytest.mark.parametrize(
    ("read", "convention", "tokens"),
    [
        ([200, 300, 400], "proved", [300, 400, 500]),  # more cached than input, three times: it stands beside
        ([20, 30, 40], "assumed", [100, 100, 100]),  # nothing to prove it by: the documented reading, marked
        ([0, 0, 0], None, [100, 100, 100]),  # no cache: every reading is the same
    ],
)
def test_few_rows_are_decided_by_impossibility_or_assumed(read, convention, tokens):
    log = rows([(100, r, 0, 1) for r in read], beside=True, total=False, reading="inside")
    settled = settle(log)
    assert settled.rows["input_tokens"].to_list() == tokens
    assert set(settled.rows["convention"]) == {convention}


def test_the_proof_is_told_by_file():
    settled = settle(rows([(100, 200, 0, 1)] * 30, beside=True, total=False, reading="inside"))
    assert settled.proofs.row(0) == (
        "log",
        "f",
        "cache beside input, proved",
        "30 of 30 rows with cached input show it by their counts",
    )
