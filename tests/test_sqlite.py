"""SQLite databases as logs: complete with what stands beside them, untouched, and harmless whatever they hold."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import importlib.util
import sqlite3
from contextlib import closing

import pytest
from console import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import SAMPLES, fates, spent

from costaudit.errors import LogError
from costaudit.ingest import ingest

spec = importlib.util.spec_from_file_location("sample_databases", ROOT / "sample_logs" / "databases.py")
databases = importlib.util.module_from_spec(spec)
spec.loader.exec_module(databases)

CALLS = "CREATE TABLE calls (model TEXT, input_tokens INTEGER, output_tokens INTEGER, started_at TEXT)"


def made(path, *statements):
    with closing(sqlite3.connect(path)) as db:
        for statement, *rows in statements:
            db.executemany(statement, rows) if rows else db.execute(statement)
        db.commit()
    return path


def calls(n, first=0):
    return [("gpt-5-mini", 100 + i, 10, "2026-09-05T11:00:00Z") for i in range(first, first + n)]


INSERT = "INSERT INTO calls VALUES (?, ?, ?, ?)"


def content(path):
    with closing(sqlite3.connect(path)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return {name: db.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables}


@pytest.mark.parametrize("name", sorted(databases.SAMPLES))
def test_the_generator_writes_the_committed_databases(name, tmp_path):
    databases.write(tmp_path / "x.db", databases.SAMPLES[name]())
    assert content(tmp_path / "x.db") == content(SAMPLES / f"{name}.db")


def test_a_home_made_database_is_a_log_too(tmp_path):
    made(tmp_path / "log.sqlite", (CALLS,), (INSERT, *calls(3)))
    read = ingest([tmp_path])
    assert spent(read)[:2] == (3, 100 + 101 + 102)
    assert set(read.requests["format"]) == {"generic"}


def test_changes_not_yet_in_the_file_are_read_and_nothing_is_written(tmp_path):
    """A database in use: the newest rows stand in the write-ahead log, and a writer holds a lock."""
    path = tmp_path / "live.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute(CALLS)
        db.executemany(INSERT, calls(2))
        db.execute("BEGIN EXCLUSIVE")
        before = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in tmp_path.iterdir()}
        assert len(before) == 3
        read = ingest([tmp_path])
        assert spent(read)[:2] == (2, 201)
        assert not read.notes  # what stands beside a database is no log of its own
        assert before == {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in tmp_path.iterdir()}
        db.execute("ROLLBACK")


def test_a_cached_database_is_read_again_while_its_newest_rows_stand_beside_it(tmp_path):
    path = tmp_path / "logs" / "live.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute(CALLS)
        for n in range(1, 4):
            db.execute(INSERT, calls(1, n)[0])
            assert spent(ingest([path], cache=tmp_path / "cache"))[0] == n


def test_a_database_on_a_read_only_medium_is_read(tmp_path):
    path = made(tmp_path / "log.db", ("PRAGMA journal_mode = WAL",), (CALLS,), (INSERT, *calls(2)))
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        assert spent(ingest([path]))[0] == 2
        assert [p.name for p in tmp_path.iterdir()] == ["log.db"]
    finally:
        tmp_path.chmod(0o755)


def test_a_compressed_database_is_read(tmp_path):
    made(tmp_path / "log.db", (CALLS,), (INSERT, *calls(2)))
    (tmp_path / "log.db.gz").write_bytes(gzip.compress((tmp_path / "log.db").read_bytes()))
    assert spent(ingest([tmp_path / "log.db.gz"]))[0] == 2


def test_views_triggers_virtual_tables_and_generated_columns_are_not_run(tmp_path):
    bomb = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r"
    path = made(
        tmp_path / "log.db",
        (CALLS.replace("started_at TEXT)", "started_at TEXT, x AS (zeroblob(1000000000)) VIRTUAL)"),),
        ("INSERT INTO calls VALUES ('gpt-5-mini', 5, 1, '2026-09-05')",),
        (f"CREATE VIEW forever AS {bomb}",),
        ("CREATE TRIGGER t AFTER INSERT ON calls BEGIN DELETE FROM calls; END",),
        ("CREATE VIRTUAL TABLE words USING fts5(body)",),
        ('CREATE TABLE "odd ""name""; DROP TABLE calls" (a)',),
    )
    assert spent(ingest([path]))[:2] == (1, 5)


def test_a_cell_of_a_wrong_type_costs_its_row(tmp_path):
    path = made(tmp_path / "log.db", (CALLS,), (INSERT, *calls(2), ("gpt-5-mini", b"\xff\x00", 1, "2026-09-05"),
                ("gpt-5-mini", "many", 1, "2026-09-05"), ("gpt-5-mini", -5, 1, "2026-09-05")))  # fmt: skip
    read = ingest([path])
    assert fates(read)["rejects"] == 2
    assert spent(read)[1] == 201  # the BLOB is no text: that call has no count


def test_a_damaged_page_costs_its_own_rows(tmp_path):
    path = made(tmp_path / "log.db", ("PRAGMA page_size = 512",), (CALLS,), (INSERT, *calls(2_000)))
    whole = ingest([path])
    data = bytearray(path.read_bytes())
    at = len(data) // 512 // 2 * 512
    data[at : at + 512] = b"\x07" * 512
    path.write_bytes(data)
    read = ingest([path])
    assert read.fates.balanced
    assert read.fates.rejects == {"damaged page of a database": 1}
    assert 1_900 < read.fates.requests < whole.fates.requests  # before the damage and behind it


def test_what_is_no_database_says_so(tmp_path):
    (tmp_path / "x.db").write_bytes(b"SQLite format 3\x00" + b"\x01" * 600)
    with pytest.raises(LogError, match="not a readable database"):
        ingest([tmp_path / "x.db"])


def test_a_bomb_in_a_blob_is_absent(tmp_path):
    import zstandard

    blob = zstandard.ZstdCompressor().compress(b"[" * (65 << 20))
    path = made(tmp_path / "t.db", ("CREATE TABLE threads (id, data_type, data)",),
                ("INSERT INTO threads VALUES (?, ?, ?)", ("t", "zstd", blob)))  # fmt: skip
    read = ingest([path])
    assert read.fates.balanced
    assert read.fates.requests == 0


CHANGES = st.lists(st.tuples(st.integers(16, 10_000), st.binary(min_size=1, max_size=8)), max_size=6)


@given(st.sampled_from(sorted(databases.SAMPLES)), CHANGES)
@settings(max_examples=25, deadline=None)
def test_any_bytes_in_a_database_end_in_counts_or_in_a_sentence(tmp_path_factory, name, changes):
    data = bytearray((SAMPLES / f"{name}.db").read_bytes())
    for at, new in changes:
        at %= len(data)
        data[at : at + len(new)] = new
    path = tmp_path_factory.mktemp("db") / "x.db"
    path.write_bytes(data)
    with contextlib.suppress(LogError):
        assert ingest([path]).fates.balanced
