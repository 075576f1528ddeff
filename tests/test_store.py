"""The store: the same logs again change nothing, and a crash leaves the old month or the new one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from console import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from spans import export, span, used
from stores import log, months

from costaudit import pipeline, schema
from costaudit.commands._sums import priced_sums, summary
from costaudit.config import Settings
from costaudit.errors import LogError, UsageError
from costaudit.ingest import _store, _store_check, ingest
from costaudit.price import sums

DAY, HOUR = datetime(2026, 10, 30, tzinfo=UTC), timedelta(hours=1)


def test_merging_is_idempotent_and_overlaps_count_once(tmp_path):
    first, second = log(tmp_path / "a", range(40)), log(tmp_path / "b", range(30, 60))
    store = tmp_path / "store"
    assert _store.merge(first, store) == (40, 0, 0, 40)
    assert _store.merge(first, store) == (0, 0, 40, 40)
    assert _store.merge(second, store) == (20, 0, 10, 60)
    assert _store.read(store)["input_tokens"].sum() == 60 * 7


def test_calls_without_an_id_are_kept_apart_by_what_they_are_and_known_again(tmp_path):
    requests = log(tmp_path / "a", range(5), id=None)
    moved = requests.with_columns(source_file=pl.lit("archive/a"))
    store = tmp_path / "store"
    assert _store.merge(requests, store).added == 5
    assert _store.merge(moved, store).known == 5


def test_what_comes_out_is_what_went_in(tmp_path):
    requests = log(tmp_path / "a", range(40))
    _store.merge(requests, tmp_path / "store")
    assert _store.read(tmp_path / "store").equals(requests)
    assert _store.read(tmp_path / "store").schema == schema.REQUESTS


def test_what_is_no_store_is_not_written_to(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="not a store"):
        _store.merge(schema.REQUESTS.to_frame(), tmp_path)


@pytest.mark.parametrize(("mark", "says"), [("{", "damaged"), ('{"schema": 99}', "version 99")])
def test_a_damaged_or_newer_store_stops_with_a_sentence(tmp_path, mark, says):
    store = tmp_path / "store"
    _store.merge(log(tmp_path / "a", range(3)), store)
    (store / _store.MARK).write_text(mark)
    with pytest.raises(LogError, match=says):
        _store.read(store)


def test_a_damaged_part_stops_with_its_name(tmp_path):
    store = tmp_path / "store"
    _store.merge(log(tmp_path / "a", range(3)), store)
    path = next(store.glob("requests/*/*.parquet"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(LogError, match=rf"{path.name}: damaged"):
        _store.read(store)


def test_a_part_that_the_system_does_not_let_be_read_is_not_called_damaged(tmp_path):
    store = tmp_path / "store"
    _store.merge(log(tmp_path / "a", range(3)), store)
    path = next(store.glob("requests/*/*.parquet"))
    path.unlink()
    with pytest.raises(LogError, match=rf"{path.name}: damaged: No such file"):
        _store.read(store)
    path.mkdir()
    with pytest.raises(LogError, match=rf"{path.name}: cannot be read: Is a directory"):
        _store.read(store)


def test_a_byte_that_changed_stops_what_reads_whole_rows_and_is_not_merged_into_new_parts(tmp_path):
    store = tmp_path / "store"
    more = log(tmp_path / "b", range(1, 4), model="gpt-5.4-mini", usage={"prompt_tokens": 9, "completion_tokens": 1})
    _store.merge(log(tmp_path / "a", range(3)), store)
    path = next((store / "requests").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:600] + b"\xff" + path.read_bytes()[601:])
    for asked in (lambda: _store.read(store), lambda: _store.merge(more, store), lambda: _store.everything(store)):
        with pytest.raises(LogError, match=rf"{path.name}: damaged"):
            asked()


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[::-1])])
def test_sums_that_are_gone_or_damaged_are_not_used_and_are_made_anew(tmp_path, harm):
    store, made = tmp_path / "store", summary(Settings())
    _store.merge(log(tmp_path / "a", range(3)), store, summary=made)
    harm(next((store / "sums").rglob("*.parquet")))
    assert _store.sums(store, made.stamp) is None
    _store.compact(store, made)
    assert _store.sums(store, made.stamp) is not None
    assert _store_check.verify(store).problems == []


def test_a_list_that_names_files_outside_of_its_store_is_damaged(tmp_path):
    _store.merge(log(tmp_path / "a", range(3)), tmp_path / "store")
    mark = tmp_path / "store" / _store.MARK
    mark.write_text(mark.read_text().replace("requests/month", "requests/../../month"))
    with pytest.raises(LogError, match="damaged"):
        _store.read(tmp_path / "store")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_copies_the_better_stays_whichever_came_first(tmp_path, order):
    """The first chunk of a stream has no answer yet; the last one has all counts."""
    chunks = [{"prompt_tokens": 7, "completion_tokens": 0}, {"prompt_tokens": 7, "completion_tokens": 99}]
    merged = [
        _store.merge(log(tmp_path / f"{n}", range(2), usage=chunks[n]), tmp_path / "store").improved for n in order
    ]
    assert merged == ([0, 2] if order == (0, 1) else [0, 0])
    assert _store.read(tmp_path / "store")["output_tokens"].to_list() == [99, 99]


def test_what_only_the_worse_copy_knows_is_taken_from_it(tmp_path):
    best = log(tmp_path / "a", range(1), usage={"prompt_tokens": 7, "completion_tokens": 9})
    store = tmp_path / "store"
    _store.merge(best, store)
    known = log(tmp_path / "b", range(1)).with_columns(tenant=pl.lit("acme"))
    assert _store.merge(known, store) == (0, 1, 0, 1)
    assert _store.read(store).select("tenant", "output_tokens").row(0) == ("acme", 9)
    assert _store.merge(known, store) == (0, 0, 1, 1)


@pytest.mark.parametrize("name", ["claude-code", "otlp", "langfuse", "openai-chat"])
def test_what_a_format_knows_a_call_by_is_known_in_the_store(tmp_path, name):
    """One response can be several calls, and several lines one: as many as the reader found."""
    whole = ingest([ROOT / "sample_logs" / "formats" / f"{name}.jsonl"])
    for _ in range(2):
        _store.merge(whole.requests, tmp_path / "store", whole.identities)
        assert _store.read(tmp_path / "store").sort(UNIQUE).equals(whole.requests.sort(UNIQUE))


def test_files_one_by_one_in_any_order_and_twice_are_the_calls_of_all(tmp_path):
    reads = [ingest([file]) for file in sorted((ROOT / "sample_logs" / "formats").glob("*.jsonl"))]
    store = tmp_path / "store"
    for read in [*reads[::-3], *reads]:
        _store.merge(read.requests, store, read.identities)
    assert ids(_store.read(store)) == ids(pl.concat([read.requests for read in reads]))
    assert not _store_check.verify(store).problems


UNIQUE = ["source_file", "source_line", "request_id", "output_tokens"]  # one line can give several calls


def ids(rows):
    return sorted({row for row in rows.select("request_id", "output_tokens").iter_rows() if row[0]})


@given(data=st.data())
@settings(max_examples=8)
def test_any_split_of_a_log_in_any_order_ends_as_the_same_store(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("split")
    copies = st.tuples(st.integers(0, 12), st.integers(0, 3), st.sampled_from([None, "acme"]))
    drawn = data.draw(st.lists(copies, min_size=1, max_size=12))
    calls = [pl.DataFrame({"request_id": f"c{n}", "output_tokens": o, "tenant": t, "started_at": DAY + n * 5 * HOUR,
                           "source_file": "log", "source_line": 1}) for n, o, t in drawn]  # fmt: skip
    calls = [schema.conform(call) for call in calls]
    rows = pl.concat(calls)
    _store.merge(rows, folder / "whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_store, "PARTS", 2)
        patch.setattr(_store, "ROWS", 4)
        for call in data.draw(st.permutations(calls)):
            _store.merge(call, folder / "pieces")
        _store.merge(rows, folder / "pieces")
    whole, pieces = _store.read(folder / "whole"), _store.read(folder / "pieces")
    best = {n: max(o for m, o, _ in drawn if m == n) for n, _, _ in drawn}
    for held in (whole, pieces):
        assert dict(held.select("request_id", "output_tokens").iter_rows()) == {f"c{n}": o for n, o in best.items()}
    assert set(pieces.select("request_id", "tenant").iter_rows()) == set(
        whole.select("request_id", "tenant").iter_rows()
    )
    assert not _store_check.verify(folder / "pieces").problems


def test_a_new_day_is_a_new_part_and_many_parts_become_few(tmp_path):
    store = tmp_path / "store"
    _store.merge(log(tmp_path / "a", range(3)), store)
    first = next(store.glob("requests/*/*.parquet"))
    _store.merge(log(tmp_path / "b", range(3, 4)), store)
    assert first.exists()
    for n in range(4, 20):
        _store.merge(log(tmp_path / "b", range(n, n + 1)), store)
    for month, paths in months(store).items():
        assert len(paths) <= _store.PARTS, month
    before = _store.read(store)
    done = _store.compact(store)
    assert done.after == len(months(store)) == 2
    assert done.before > done.after
    assert _store.read(store).equals(before)
    assert _store.compact(store) == (2, 2, 0)


def test_a_window_opens_only_the_parts_that_can_hold_it(tmp_path):
    store = tmp_path / "store"
    everything = log(tmp_path / "a", range(90)).with_columns(rollup=pl.Series([True] + [False] * 89))
    _store.merge(everything, store)
    start, end = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    for name, paths in months(store).items():
        if name != "month=2026-11":
            paths[0].write_bytes(b"not opened")
    opened = _store.window(store, start, end)
    inside = everything.filter(pl.col("started_at").is_between(start, end, closed="left"))
    assert opened.requests.equals(inside)
    assert (opened.outside, opened.outside_restated) == (89 - inside.height, 1)


def test_rows_without_a_time_have_a_month_of_their_own_and_come_along_to_be_named(tmp_path):
    store = tmp_path / "store"
    rows = log(tmp_path / "a", range(2))
    _store.merge(rows.with_columns(started_at=pl.lit(None, schema.UTC)), store)
    assert list(months(store)) == ["month=undated"]
    assert _store.window(store, datetime(2020, 1, 1, tzinfo=UTC), None).requests["started_at"].null_count() == 2
    assert _store.merge(rows, store) == (0, 2, 0, 2)
    assert list(months(store)) == ["month=2026-09"]


def test_a_store_from_before_there_were_lists_is_read_and_taken_over(tmp_path):
    store = tmp_path / "store"
    rows = log(tmp_path / "a", range(40))
    (store / "requests" / "month=2026-09").mkdir(parents=True)
    rows.write_parquet(store / "requests" / "month=2026-09" / "requests.parquet")
    (store / _store.MARK).write_text(json.dumps({"format": "costaudit-store", "schema": schema.VERSION}))
    assert _store.read(store).equals(rows)
    assert _store.merge(rows, store) == (0, 0, 40, 40)
    assert _store.merge(log(tmp_path / "b", range(39, 41)), store).added == 1
    _store.compact(store)
    assert _store.read(store).height == 41
    assert not _store_check.verify(store).problems


def test_sums_of_the_parts_are_the_sums_of_the_rows(tmp_path):
    store = tmp_path / "store"
    rows = log(tmp_path / "a", range(60), usage={"prompt_tokens": 1_000, "completion_tokens": 100})
    chosen = Settings()
    for piece in rows.iter_slices(17):
        _store.merge(piece, store, summary=summary(chosen))
    held = priced_sums(store, chosen)
    spent = pipeline.audit([str(store)], chosen).spend
    assert sums.added(held)["cost_usd"].item() == spent.total_usd > 0
    by_model = sums.added(held, "model").select("model", "requests", "cost_usd").rows()
    assert by_model == spent.by_model.select("model", "requests", "cost_usd").rows()
    exact = spent.total_usd / 60  # all calls are alike
    assert float(sums.quantile(held, 0.95) / exact) == pytest.approx(1, rel=0.07)


def test_sums_of_other_prices_are_not_used_until_they_are_made_anew(tmp_path):
    store = tmp_path / "store"
    _store.merge(log(tmp_path / "a", range(5)), store, summary=_store.Summary("older", lambda _: sums.SUMS.to_frame()))
    assert priced_sums(store, Settings()) is None
    assert _store_check.verify(store).problems  # those of this test add up to nothing
    _store.compact(store, summary(Settings()))
    assert sums.added(priced_sums(store, Settings()))["requests"].item() == 5
    assert not _store_check.verify(store).problems


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "not as it was written"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"PAR1", b"PAR2")), "not as it was written"),
    ],
)
@pytest.mark.parametrize("kind", ["requests", "sums"])
def test_verify_names_what_is_wrong(tmp_path, harm, says, kind):
    store = tmp_path / "store"
    _store.merge(log(tmp_path / "a", range(3)), store, summary=summary(Settings()))
    assert not _store_check.verify(store).problems
    path = next(store.glob(f"{kind}/*/*.parquet"))
    harm(path)
    assert [problem for problem in _store_check.verify(store).problems if str(path) in problem and says in problem]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_trace_cut_over_two_merges_is_told_and_put_right_by_reading_it_whole(tmp_path, order):
    spans = [span("1", **used(100)), span("2", "1", **used(100))]
    logs = [tmp_path / "agent.jsonl", tmp_path / "call.jsonl"]
    for path, one in zip(logs, spans, strict=True):
        path.write_text(json.dumps(export(one)))
    store = tmp_path / "store"

    def kept(*some):
        made = ingest(some)
        _store.merge(made.requests, store, made.identities)
        rows = _store.read(store)
        calls = rows.filter(~pl.col("rollup").fill_null(value=False))
        return calls.height, _store_check.verify(store).notes

    assert kept(logs[order[0]]) == (1, [])
    assert kept(logs[order[1]]) == (
        2,
        [f"{store}: 1 request stands above others that were read another time, and both count: "
         "ingest the logs of whole traces in one command, also again"],
    )  # fmt: skip
    assert kept(*logs) == (1, [])
