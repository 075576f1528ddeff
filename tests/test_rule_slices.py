"""How many calls a rule looks at in one go changes nothing that it says."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costaudit import pipeline
from costaudit.analyze import (
    _beside,
    _by_run,
    _cache_calls,
    _series,
    analyze,
    dearer_sibling,
    price_change,
    tenant_concentration,
)
from costaudit.analyze._places import places, repeated
from costaudit.config import Settings
from costaudit.data import bundled
from costaudit.price import ledger
from costaudit.price.ledger import Ledger


@pytest.fixture(scope="module")
def loaded():
    names = (
        *("cache-miss", "dearer-sibling", "overpowered-model", "reasoning-overspend", "context-bloat"),
        *("missing-ceiling", "price-change"),
    )
    logs = [str(bundled("sample_logs") / "analyzers" / f"{name}.jsonl") for name in names]
    asked = pipeline.checked(Settings(cache=False))
    return pipeline.load(logs, asked), asked


def said(loaded, settings):
    found = analyze(Ledger.of(loaded.calls, loaded.book, settings=settings), settings)
    return [
        (f.id, f.title, f.owned_usd, f.alone_usd, f.low_usd, f.high_usd, f.because, f.requests, f.evidence.rows())
        for f in found.findings
    ], found.not_checked


@pytest.mark.parametrize("size", [5, 40])
def test_findings_do_not_depend_on_the_size_of_a_slice(loaded, size, monkeypatch):
    whole = said(*loaded)
    slices = (
        *((ledger, "AT_ONCE"), (price_change, "AT_ONCE"), (tenant_concentration, "AT_ONCE"), (_series, "AT_ONCE")),
        *((ledger, "SAID"), (_cache_calls, "TOGETHER"), (dearer_sibling, "TOGETHER"), (_by_run, "TOGETHER")),
    )
    for module, name in slices:
        assert getattr(module, name) > size
        monkeypatch.setattr(module, name, size)
    assert said(*loaded) == whole
    assert len(whole[0]) >= 4


def test_findings_do_not_depend_on_what_is_looked_at_meanwhile(loaded, monkeypatch):
    apart = said(*loaded)
    monkeypatch.setattr(_beside, "MEANWHILE", range(1, 1_000_000))
    assert [said(*loaded) for _ in range(3)] == [apart] * 3


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 6), max_size=20), st.integers(1, 4))
def test_numbers_that_are_there_so_often_are_found_by_sorting(numbers, times):
    found = repeated(pl.Series(numbers, dtype=pl.UInt64), times)
    assert found.to_list() == sorted(n for n in set(numbers) if numbers.count(n) >= times)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.integers(0, 1)), max_size=20))
def test_places_of_a_group_are_where_its_rows_stand(rows):
    frame = pl.DataFrame(rows, schema={"name": pl.String, "n": pl.Int64}, orient="row")
    found = places(frame, ["name", "n"], total=pl.sum("n"))
    keys = found.select("name", "n").rows()
    assert keys == sorted(set(rows), key=lambda key: (key[0] is not None, key[0], key[1]))
    for key, at, total in zip(keys, found["at"].to_list(), found["total"], strict=True):
        assert at == [nth for nth, row in enumerate(rows) if row == key]
        assert total == sum(n for _, n in (rows[nth] for nth in at))
