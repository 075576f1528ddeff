"""The generated stores of bench/: what the figures of analysis are measured on is a store like any other."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from bench import _store as bench
from bench import totals as totals_bench
from costaudit import pipeline, totals
from costaudit.commands._sums import priced_sums
from costaudit.config import Settings
from costaudit.ingest import _store

ROWS = 6_000


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench") / "store"
    with pytest.MonkeyPatch.context() as few:
        few.setattr(bench, "DAYS", 4)
        bench.write(folder, ROWS, seed=3)
    return folder, pipeline.load([str(folder)], Settings())


def test_a_generated_store_has_the_rows_asked_for_and_all_of_them_are_priced(generated):
    calls = generated[1].calls
    assert calls.height == ROWS
    assert set(calls["trust"]) == {"exact"}
    assert calls["task"].n_unique() == len(bench.TASKS)
    assert calls["model"].n_unique() == len(bench.MODELS)


def test_runs_go_on_from_call_to_call_as_agents_do(generated):
    calls = generated[1].calls.sort("run_id", "step").filter(pl.col("run_id").is_not_null())
    same = pl.col("run_id") == pl.col("run_id").shift()
    chained = calls.filter(pl.col("block_sha").is_not_null())
    # What a call sends begins with what the one before it sent, and its answer.
    size = pl.col("block_sha").shift().list.len()
    last, reply = pl.col("block_sha").shift().list.last(), pl.col("reply_sha").shift()
    held = chained.select(
        sent=pl.col("block_sha").list.get(size - 1, null_on_oob=True) == last,
        answered=pl.col("block_sha").list.get(size, null_on_oob=True) == reply,
        same=same,
    ).filter("same")
    assert held.height > 100
    assert held["sent"].all()
    assert held["answered"].all()


def test_the_sums_of_the_parts_are_the_total_of_the_calls(generated):
    folder, known = generated
    parts = priced_sums(folder, Settings())
    assert parts["cost_usd"].sum() == known.calls["cost_usd"].sum()
    assert parts["requests"].sum() == ROWS


def test_a_seed_is_one_log_and_another_seed_another():
    first, again, other = (next(bench.parts(600, seed))[1] for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)


def test_a_store_of_totals_has_the_calls_asked_for_and_its_links_as_many_again(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "DAYS", 3)
    monkeypatch.setattr(totals_bench, "LARGEST", 100)
    totals_bench.write(tmp_path / "totals-300", 300)
    one, three = (totals.spent([str(tmp_path / f"totals-{n}")], Settings()) for n in (100, 300))
    assert (one.coverage.fates.requests, three.coverage.fates.requests) == (100, 300)
    assert three.total_usd == 3 * one.total_usd
    assert three.stale == 0


def test_a_store_of_more_calls_than_are_made_one_by_one_is_one_told_again_later(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "DAYS", 2)
    monkeypatch.setattr(bench, "LARGEST", 300)
    bench.write(tmp_path / "700-1", 700)
    calls = _store.read(tmp_path / "700-1")
    first, second, third = calls[:300], calls[300:600], calls[600:]
    assert calls["request_id"].n_unique() == 700
    assert (second["started_at"] - first["started_at"]).unique().to_list() == [timedelta(days=2)]
    for column in ("input_tokens", "task", "block_tokens"):
        assert third[column].equals(first[column].head(100))
    prompts = [part["block_sha"].list.first().drop_nulls() for part in (first, second)]
    assert not set(prompts[0]) & set(prompts[1])
    assert not set(first["run_id"].drop_nulls()) & set(second["run_id"].drop_nulls())
