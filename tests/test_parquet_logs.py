"""Logs in Parquet: what repeats is small on disk and must not be large in memory."""

from __future__ import annotations

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from costaudit.ingest import _blocks, _parquet, _streams, ingest

CALL = {"model": "gpt-5.4", "provider": "openai", "input_tokens": 7, "output_tokens": 2}
CUT = "Parquet file unpacks to more than 20 times its size"


def log(path, number, note=None, group=1 << 20, **columns):
    """Calls, each with the same note, which is in the file once."""
    table = {key: pa.array([value] * number) for key, value in CALL.items()}
    table |= {"request_id": pa.array([f"c{n}" for n in range(number)]), **columns}
    if note is not None:
        table["note"] = pa.DictionaryArray.from_arrays(pa.array([0] * number, pa.int32()), pa.array([note]))
    pq.write_table(
        pa.table(table), path, compression="zstd", store_schema=False, row_group_size=group,
        dictionary_pagesize_limit=1 << 30,
    )  # fmt: skip
    return path


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(_streams, "FREE", 1 << 18)
    monkeypatch.setattr(_streams, "RATIO", 20)
    monkeypatch.setattr(_parquet, "WEIGHT", 1 << 16)


def test_a_long_text_that_is_in_the_file_once_and_in_every_row_is_cut(tmp_path):
    log(tmp_path / "log.parquet", 500, note="x" * (1 << 16))
    assert (tmp_path / "log.parquet").stat().st_size < 10_000
    read = ingest([tmp_path])
    assert read.fates.rejects == {CUT: 1}
    assert 0 < read.requests.height < 5  # four of 64 kB are a quarter of a megabyte
    assert read.rejects["source_line"].to_list() == [read.requests.height + 1]
    assert read.fates.balanced


@pytest.mark.parametrize("lists", [[[7] * 1_000] * 300, [[7] * 300_000] + [[]] * 299])
def test_lists_that_repeat_one_number_are_cut_by_what_the_footer_says_before_they_are_decoded(
    tmp_path, monkeypatch, lists
):
    log(tmp_path / "log.parquet", 300, note_ids=pa.array(lists))
    monkeypatch.setattr(pl, "scan_parquet", lambda *_, **__: pytest.fail("decoded"))
    assert next(_parquet.rows(tmp_path / "log.parquet", "log")) == [(1, 0, CUT)]


def test_a_million_equal_rows_are_cut(tmp_path):
    pq.write_table(pa.table({"model": ["m"] * 1_000_000}), tmp_path / "log.parquet", row_group_size=1 << 20)
    assert ingest([tmp_path]).fates.rejects == {CUT: 1}


def test_what_stands_in_row_groups_before_is_read(tmp_path):
    long = ["y"] * 20 + ["x" * (1 << 19)] * 20
    log(tmp_path / "log.parquet", 40, group=20, note_text=pa.array(long))
    read = ingest([tmp_path])
    assert (read.requests.height, read.fates.rejects) == (20, {CUT: 1})


def test_a_row_longer_than_any_line_costs_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(_blocks, "LONGEST", 1 << 16)
    monkeypatch.setattr(_streams, "RATIO", 1_000)
    log(tmp_path / "log.parquet", 3, note_text=pa.array(["y", "x" * (1 << 17), "y"]))
    read = ingest([tmp_path])
    assert (read.requests["request_id"].to_list(), read.fates.rejects) == (["c0", "c2"], {_blocks.TOO_LONG: 1})
    assert read.rejects["source_line"].to_list() == [2]


def test_a_log_that_packs_well_is_no_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(_parquet, "ROWS", 700)
    monkeypatch.setattr(_streams, "RATIO", 100)
    log(tmp_path / "log.parquet", 5_000, note="hello", group=1_100)
    read = ingest([tmp_path])
    assert (read.requests.height, read.fates.rejects) == (5_000, {})
    assert read.requests.sort("source_line")["request_id"].to_list() == [f"c{n}" for n in range(5_000)]
