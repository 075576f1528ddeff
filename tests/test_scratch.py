"""Long tables stand in a file without a name: the same bytes come out, and nothing stays behind."""

from __future__ import annotations

import io
import tempfile
import threading
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from console import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from costaudit import pipeline, schema, scratch
from costaudit.config import Settings
from costaudit.errors import CostAuditError, LogError
from costaudit.ingest import _parts, _store, ingest
from costaudit.price import engine
from costaudit.report import View, renderer
from costaudit.scratch import _shelf

LOGS = ROOT / "sample_logs" / "analyzers"


@pytest.fixture
def filed(monkeypatch):
    """Every table is long."""
    monkeypatch.setattr(scratch, "MANY", 1)
    monkeypatch.setattr(_parts, "TOGETHER", 1)
    monkeypatch.setattr(_shelf, "FILLED", 2)


def report(path, **settings):
    return renderer("json")(pipeline.audit([str(path)], Settings(cache=False, **settings)), View())


def rows(height):
    values = {
        pl.String: "a name longer than twelve bytes",
        schema.UTC: datetime(2026, 11, 1, tzinfo=UTC),
        schema.USD: Decimal("0.000000000000000001"),
        schema.SHA: 2**64 - 1,
        schema.TOOL_CALLS: [{"id": 1, "name": "bash", "args_sha": 2}, {"id": 3, "name": None, "args_sha": None}],
        pl.List(schema.SHA): [1, 2**64 - 1],
    }
    made = {n: [None if nth % 3 else values.get(t) for nth in range(height)] for n, t in schema.REQUESTS.items()}
    return pl.DataFrame(made, schema=schema.REQUESTS)


@pytest.mark.usefixtures("filed")
@pytest.mark.parametrize("table", [rows(7), rows(8)[3:6], rows(9).with_columns(task=pl.lit("other"))])
def test_a_table_in_a_file_is_the_table(table):
    filed = scratch.kept(table)
    assert filed.equals(table)
    assert filed.schema == table.schema


KINDS = {
    "text": [None, "", "twelve bytes", "a name longer than twelve bytes", "another one that is as long"],
    "twin": [None, "", "twelve bytes", "a name longer than twelve bytes", "another one that is as long"],
    "number": [None, 0, 2**62],
    "flag": [None, True, False],
    "usd": [None, Decimal("0.000000000000000001")],
    "shas": [None, [], [2**64 - 1], [1, None, 2]],
    "calls": [None, [], [{"id": 1, "name": "a tool with a long name", "error": None}, {"id": 2, "error": True}, None]],
}
TYPES = {
    **{"text": pl.String, "twin": pl.String, "number": pl.Int64, "flag": pl.Boolean, "usd": schema.USD},
    **{"shas": pl.List(schema.SHA)},
    **{"calls": pl.List(pl.Struct({"id": schema.SHA, "name": pl.String, "error": pl.Boolean}))},
}


ROW = st.tuples(*(st.sampled_from(kind) for kind in KINDS.values()))


NOTHING = [st.just([(None,) * len(KINDS)] * height) for height in (1, 2, 3)]


@settings(max_examples=40, deadline=None)
@given(
    pieces=st.lists(st.one_of(*NOTHING, st.lists(ROW, min_size=1, max_size=4)), min_size=1, max_size=5),
    apart=st.integers(0, 5),
)
def test_pieces_that_are_written_one_after_the_other_are_one_table(pieces, apart):
    tables = [pl.DataFrame(piece, schema=TYPES, orient="row") for piece in pieces]
    tables = [t.with_columns(twin="text") if nth < apart else t for nth, t in enumerate(tables)]
    whole = pl.concat(tables)
    with _shelf.Shelf(whole.height, tempfile.TemporaryFile) as shelf, pytest.MonkeyPatch.context() as patch:
        patch.setattr(_shelf, "FILLED", 2)
        jobs = []
        for at, table in zip(accumulate((t.height for t in tables), initial=0), tables, strict=False):
            jobs += shelf.placed(table, at)
        for job in reversed(jobs):  # in whatever order
            job()
        found = pl.DataFrame({"": range(whole.height)}).with_columns(shelf.columns())
    assert found.select(list(TYPES)).equals(whole)


def test_places_are_given_out_whatever_is_written_meanwhile(monkeypatch):
    rooms = _shelf._Rooms(io.BytesIO)
    monkeypatch.setattr(_shelf, "_reserve", lambda *_: None)
    first = rooms.of(100)
    placed = []

    class Slow(io.BytesIO):
        def tell(self):  # another piece is placed while this one is written
            placed.append(rooms.of(1_000))
            return super().tell()

    rooms._main.file = Slow()
    first.write(0, b"a" * 100)
    placed.append(rooms.of(10))
    assert placed[0].start >= 100
    assert placed[1].start >= placed[0].start + 1_000


@pytest.mark.usefixtures("filed")
def test_a_column_that_is_kept_already_is_not_written_again():
    before = scratch.kept(rows(7))
    after = before.with_columns(task=pl.lit("other"), run_id=pl.col("run_id").reverse())
    names = ("task", "run_id", "tenant", "input_tokens")
    assert scratch.kept(after, names, before).equals(after)


@pytest.mark.usefixtures("filed")
def test_columns_that_say_the_same_are_told_apart_by_their_names():
    table = pl.DataFrame({"low": [1, 2, 3], "cost": [1, 2, 3], "high": [1, 2, 4], "none": [None, None, None]})
    assert scratch.kept(table).equals(table)


@pytest.mark.parametrize(
    ("log", "window"),
    [
        ("runaway-loop.jsonl", {}),
        ("cache-miss.jsonl", {}),
        ("unmetered-usage.jsonl", {}),
        ("runaway-loop.jsonl", {"since": datetime(2026, 1, 1, tzinfo=UTC)}),
    ],
)
def test_an_audit_in_files_priced_in_slices_says_the_same_bytes(log, window, monkeypatch):
    in_memory = report(LOGS / log, **window)
    monkeypatch.setattr(scratch, "MANY", 1)
    monkeypatch.setattr(engine, "AT_ONCE", 2)
    assert report(LOGS / log, **window) == in_memory


def test_a_store_read_in_batches_of_columns_is_in_the_same_order(tmp_path, monkeypatch):
    requests = ingest([LOGS / "batchable.jsonl"]).requests
    for part in (requests[::2], requests[1::2]):  # two parts that overlap in time
        _store.merge(part, tmp_path / "store")
    in_memory = _store.read(tmp_path / "store")
    monkeypatch.setattr(scratch, "MANY", 1)
    assert _store.read(tmp_path / "store").equals(in_memory)


@pytest.mark.usefixtures("filed")
def test_no_file_has_a_name(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    table = scratch.kept(rows(5))
    assert not list(tmp_path.iterdir())
    assert table["task"][0] == "a name longer than twelve bytes"


@pytest.mark.usefixtures("filed")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_with_the_folder_and_what_to_do(monkeypatch):
    monkeypatch.setattr(scratch, "nameless", lambda: Path("/dev/full").open("wb"))  # noqa: SIM115
    with pytest.raises(CostAuditError, match="no room for the working file of so many requests") as told:
        scratch.kept(rows(5))
    assert "TMPDIR" in told.value.hint
    assert told.value.exit_code == 3


@pytest.mark.usefixtures("filed")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_while_a_store_is_read_is_told(tmp_path, monkeypatch):
    _store.merge(ingest([LOGS / "batchable.jsonl"]).requests, tmp_path / "store")
    monkeypatch.setattr(scratch, "nameless", lambda: Path("/dev/full").open("wb"))  # noqa: SIM115
    with pytest.raises(CostAuditError, match="no room for the working file"):
        _store.read(tmp_path / "store")


@pytest.mark.usefixtures("filed")
def test_a_part_that_is_damaged_ends_the_reading_of_a_long_store(tmp_path):
    _store.merge(ingest([LOGS / "batchable.jsonl"]).requests, tmp_path / "store")
    (part,) = (tmp_path / "store").glob("requests/*/*.parquet")
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(LogError, match="damaged"):
        _store.read(tmp_path / "store")


def test_a_column_of_one_value_takes_no_room_in_the_file(monkeypatch):
    monkeypatch.setattr(scratch, "MANY", 1)
    before = scratch.size()
    one = pl.DataFrame({"name": ["a name longer than twelve bytes"] * 1000, "none": [None] * 1000})
    one = one.with_columns(shas=pl.lit(None, pl.List(schema.SHA)), calls=pl.lit(None, schema.TOOL_CALLS))
    table = scratch.made(1000, [partial(one.slice, at, 500) for at in (0, 500)])
    assert scratch.size() == before
    assert table.equals(one)


def test_what_many_calls_will_lack_is_said_before_they_are_read(tmp_path, monkeypatch, caplog):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 24684092 kB\nMemAvailable: 1 kB\n")
    monkeypatch.setattr(scratch, "MANY", 1)
    monkeypatch.setattr(scratch, "MEMORY", meminfo)
    monkeypatch.setattr(scratch, "disk_usage", lambda _: SimpleNamespace(free=599 * 7))
    scratch.read(7, [partial(rows, 7)])
    disk, memory = (record.getMessage() for record in caplog.records)
    assert disk.startswith("7 calls: a working file of some 0 GB, ")
    assert "TMPDIR" in disk
    assert memory.startswith("7 calls: all rules take some 0 GB of memory, 0 GB are free: audit a shorter window")


def test_nothing_is_said_where_there_is_room(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(scratch, "MANY", 1)
    monkeypatch.setattr(scratch, "MEMORY", tmp_path / "no such file")
    monkeypatch.setattr(scratch, "disk_usage", lambda _: SimpleNamespace(free=600 * 7))
    scratch.read(7, [partial(rows, 7)])
    assert not caplog.records


def test_a_place_that_is_given_out_while_another_is_written_lies_in_no_other():
    rooms = _shelf._Rooms(tempfile.TemporaryFile)
    first = rooms.of(10)
    places = []
    asking = threading.Thread(target=lambda: places.append(rooms.of(1_000)))

    class Slow:
        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return getattr(self.file, name)

        def tell(self):
            at = self.file.tell()
            asking.start()
            asking.join(0.1)  # it may be given its place only when this write has ended
            return at

    whole = first.file
    whole.file = Slow(whole.file)
    first.write(0, b"0123456789")
    asking.join()
    whole.file = whole.file.file
    places.append(rooms.of(1_000))
    assert first.start + 10 <= places[0].start
    assert places[0].start + 1_000 <= places[1].start
    rooms.close()
