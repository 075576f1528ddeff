"""SQLite databases to records: one record a row, with the name of its table; nothing is ever written beside the file.

Formats name the tables they read (`Format.tables`). A database of a known program gives those tables in that order; any
other gives all its tables, for a home-made log is a table too. The file is hostile: views, triggers, virtual tables and
generated columns are not touched, statements other than reading are refused, a damaged page costs its own rows.
"""

from __future__ import annotations

import io
import shutil
import sqlite3
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from costaudit.errors import LogError
from costaudit.ingest._files import Bad, LogFile, Record
from costaudit.ingest._streams import Stream, copied

SIDES = ("-wal", "-journal")  # what a program that did not close its database leaves beside it
LARGEST = 64 << 20  # bytes of a cell that is looked at, compressed or not
BATCH = 4 << 20  # bytes of rows handed on together
ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_PRAGMA}
DAMAGE = (sqlite3.Error, ValueError)  # of a damaged file; its names and messages may be no text either
DAMAGED = "damaged page of a database"
LEAST = -(1 << 63) - 1  # below every row number


class Table(NamedTuple):
    """A table as it is in the file."""

    name: str
    columns: tuple[str, ...]
    ordered: bool  # has row numbers, which rise
    known: bool = False  # of a program whose format needs the table's name


def rows(file: LogFile, head: bytes = b"", stream: Stream | None = None) -> Iterator[list[Record | Bad]]:
    """The rows of the database in batches; a row is a JSON object, of a known program with its table as `_table`.

    head, stream   the database's bytes where the file is compressed or standard input
    Raises LogError if the file is no readable database.
    """
    with tempfile.TemporaryDirectory(prefix="costaudit-") as folder:
        try:
            copy = _copied(file.path, head, stream, Path(folder))
            with closing(_opened(copy or file.path, copied=copy is not None)) as db:
                yield from _numbered(_wanted(db), db, (copy or file.path).stat().st_size)
        except DAMAGE as problem:
            raise LogError(f"{file.shown}: not a readable database ({problem})") from problem


def _copied(path: Path, head: bytes, stream: Stream | None, folder: Path) -> Path | None:
    """A copy with the changes that stand beside the file; None where the file alone is complete.

    A database in use is read from a copy: reading in place would wait for its locks, or write beside it.
    """
    copy = folder / "database"
    if stream is not None:
        return copied(copy, head, stream)
    sides = unfinished(path)
    if not sides:
        return None
    shutil.copyfile(path, copy)
    for side in sides:
        shutil.copyfile(path.with_name(path.name + side), folder / f"database{side}")
    return copy


def unfinished(path: Path) -> list[str]:
    """The kinds of files beside a database that hold changes it does not have yet."""
    found = []
    for side in SIDES:
        with suppress(OSError):
            if path.with_name(path.name + side).stat().st_size:
                found.append(side)
    return found


def _opened(path: Path, *, copied: bool) -> sqlite3.Connection:
    # `immutable` takes no locks and creates no files; a copy is ours, and its log has to be played back.
    db = sqlite3.connect(f"{path.resolve().as_uri()}?{'mode=rw' if copied else 'mode=ro&immutable=1'}", uri=True)
    db.text_factory = lambda data: data.decode("utf-8", "replace")
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA cell_size_check = ON")
    db.execute("PRAGMA query_only = ON")
    db.set_authorizer(_authorized)
    return db


def _authorized(action: int, one: str | None, two: str | None, *_: Any) -> int:
    if action == sqlite3.SQLITE_FUNCTION:
        return sqlite3.SQLITE_OK if two in ("length", "typeof", "like", "upper") else sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_PRAGMA:
        return sqlite3.SQLITE_OK if one == "table_xinfo" else sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in ALLOWED else sqlite3.SQLITE_DENY


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _wanted(db: sqlite3.Connection) -> list[Table]:
    """The tables of the formats the database is of, in their order; of a database of no known program all tables."""
    from costaudit.ingest._detect import formats

    there = _tables(db)
    wanted: dict[str, Table] = {}
    for form in formats():
        named: Mapping[str, tuple[str, ...]] = form.tables
        fit = [t for name, needed in named.items() if (t := there.get(name)) and set(needed) <= set(t.columns)]
        if fit and fit[0].name == next(iter(named)):
            wanted |= {table.name: table._replace(known=True) for table in fit}
    return list((wanted or there).values())


def _tables(db: sqlite3.Connection) -> dict[str, Table]:
    found: dict[str, Table] = {}
    for name, sql in db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall():
        text = " ".join(str(sql or "").upper().split())
        if not isinstance(name, str) or name.startswith("sqlite_") or text.startswith("CREATE VIRTUAL"):
            continue
        info = db.execute(f"PRAGMA table_xinfo({_quoted(name)})").fetchall()
        columns = tuple(str(column) for _, column, *_, hidden in info if hidden == 0)
        if columns:
            found[name] = Table(name, columns, "WITHOUT ROWID" not in text)
    return found


def _numbered(tables: list[Table], db: sqlite3.Connection, size: int) -> Iterator[list[Record | Bad]]:
    number, weight = 0, 0
    batch: list[Record | Bad] = []
    for table in tables:
        for row in _rows(db, table, size):
            number += 1
            batch.append(Record(number, 0, row) if isinstance(row, bytes) else Bad(number, 0, DAMAGED))
            weight += len(row) if isinstance(row, bytes) else 0
            if weight >= BATCH or len(batch) >= 10_000:
                yield batch
                batch, weight = [], 0
    yield batch


def _rows(db: sqlite3.Connection, table: Table, size: int) -> Iterator[bytes | None]:
    """The rows of a table as JSON; None where rows are lost. What stands behind the damage is read from the end."""
    last = LEAST
    try:
        for at, cells in _scan(db, table, _select(table), size):
            last = at
            yield _row(table, cells)
    except DAMAGE:
        yield None
    else:
        return
    behind: list[bytes] = []
    try:
        for at, cells in _scan(db, table, f"{_select(table)} ORDER BY 1 DESC", size) if table.ordered else ():
            if at <= last:
                break
            behind.append(_row(table, cells))
    except DAMAGE:
        pass  # the same damage, met from the other side
    yield from reversed(behind)


def _scan(db: sqlite3.Connection, table: Table, sql: str, size: int) -> Iterator[tuple[int, list[Any]]]:
    """Rows with their numbers, which rise or fall all the way: pages that point at each other would never end."""
    before: int | None = None
    rising: bool | None = None
    for n, (at, *cells) in enumerate(db.execute(sql)):
        if n > size:
            raise sqlite3.DatabaseError("more rows than bytes")
        if table.ordered and before is not None:
            if at == before or (rising is not None and rising != (at > before)):
                raise sqlite3.DatabaseError("rows out of order")
            rising = at > before
        before = at
        yield at, cells


def _select(table: Table) -> str:
    cells = [f"CASE WHEN length({q}) <= {LARGEST} THEN {q} END" for q in map(_quoted, table.columns)]
    return f"SELECT {'_rowid_' if table.ordered else '0'}, {', '.join(cells)} FROM {_quoted(table.name)}"


def _row(table: Table, cells: list[Any]) -> bytes:
    row: dict[str, Any] = {"_table": table.name} if table.known else {}
    for name, cell in zip(table.columns, cells, strict=True):
        value = _text(cell) if isinstance(cell, bytes) else cell
        if value is not None:
            row[name] = value
    return msgspec.json.encode(row)


def _text(blob: bytes) -> str | None:
    """The text in a BLOB, also compressed; None for anything else."""
    opened = next((inflate(blob) for magic, inflate in _INFLATE.items() if blob.startswith(magic)), blob)
    try:
        return None if opened is None or b"\x00" in opened[:64] else opened.decode()
    except UnicodeDecodeError:
        return None


def _unzstd(blob: bytes) -> bytes | None:
    import zstandard

    try:
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(blob), read_across_frames=True) as reader:
            data: bytes = reader.read(LARGEST + 1)
    except zstandard.ZstdError:
        return None
    return data if len(data) <= LARGEST else None


def _ungzip(blob: bytes) -> bytes | None:
    try:
        data = zlib.decompressobj(wbits=47).decompress(blob, LARGEST + 1)
    except zlib.error:
        return None
    return data if len(data) <= LARGEST else None


_INFLATE: dict[bytes, Callable[[bytes], bytes | None]] = {b"\x28\xb5\x2f\xfd": _unzstd, b"\x1f\x8b": _ungzip}
