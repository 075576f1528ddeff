"""Sums are made some rows at a time, and rows of a large merge wait in a file: neither changes what is said."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st
from test_store_totals import books as books
from test_store_totals import calls

from costaudit import pipeline, scratch
from costaudit.commands import _sums
from costaudit.config import Settings
from costaudit.errors import CostAuditError
from costaudit.ingest import _away, _copies, _parts, _store
from costaudit.price.sums import sums


def rows_of(rows):
    """What reads the rows of a part."""
    return lambda: rows.iter_slices(15)


@given(seed=st.integers(0, 10_000), plain=st.booleans(), piece=st.integers(1, 30))
@trials(max_examples=5)
def test_sums_of_some_rows_at_a_time_are_the_sums_of_all_rows(seed, plain, piece):
    book, rows = pipeline.prices(Settings()), calls(seed, 40, plain=plain)
    with pytest.MonkeyPatch.context() as few:
        few.setattr(_sums, "AT_ONCE", piece)
        assert _sums.summed(rows_of(rows), book).equals(sums(rows, book))


@pytest.mark.parametrize("plain", [True, False])
def test_rows_are_never_priced_all_at_once_whether_or_not_one_rests_on_others(monkeypatch, plain):
    seen = []

    def counted(rows, book, *more):
        seen.append(rows.height)
        return sums(rows, book, *more)

    monkeypatch.setattr(_sums, "sums", counted)
    monkeypatch.setattr(_sums, "AT_ONCE", 9)
    rows = calls(1, 40, plain=plain)
    _sums.summed(rows_of(rows), pipeline.prices(Settings()))
    assert max(seen) == 9
    assert sum(seen) == (40 if plain else 49)


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("waiting", ["rows that are compared", "rows of a month"])
def test_a_disk_that_is_full_while_rows_wait_leaves_the_store_as_it_was(tmp_path, monkeypatch, waiting):
    store, rows = tmp_path / "store", calls(2, 30)
    _store.merge(rows[:20], store)
    before, rows = _parts.load(store), rows.with_columns(tenant=pl.lit("fabrikam"))
    monkeypatch.setattr(*((_copies, "TOGETHER", 4) if waiting == "rows that are compared" else (_away, "FEW", 4)))
    with monkeypatch.context() as full:
        full.setattr(scratch, "nameless", lambda: FULL.open("r+b", buffering=0))
        with pytest.raises(CostAuditError, match="no room for the working file") as told:
            _store.merge(rows, store)
    assert "TMPDIR" in told.value.hint
    assert _parts.load(store) == before
    assert not list(store.rglob("*.writing"))
    assert _store.merge(rows, store).added == 10
