"""What a log format is: a table of columns and where they stand in a record, compiled to a typed decoder.

A format says *where* a value is, not how it is read. Paths are dotted and relative to one of three places of a record:
the object the format recognises (a response, a span, a row), the request logged beside it, or the record around both.
The table is compiled twice: to msgspec structs that decode nothing but the named keys (the fast way), and to a walk
over plain dictionaries (for CSV, Parquet and records of unexpected shape). Both give the same rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, TypeVar

import msgspec
import polars as pl

from costaudit.ingest import _values
from costaudit.ingest._columns import Rows, series
from costaudit.ingest._decode import parsed
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._prompt import Prompt
from costaudit.ingest._values import Reader

if TYPE_CHECKING:
    from costaudit.ingest._together import Held

Path = tuple[str, ...]


class Field(NamedTuple):
    """A column of a format: the reader of its value, and the places to look, the first that has one wins."""

    reader: Reader
    paths: tuple[str, ...]
    scope: str = "self"  # `self`, `request` or `around`

    def of(self, scope: str) -> Field:
        return self._replace(scope=scope)


def text(*paths: str) -> Field:
    """An id or a name."""
    return Field(_values.TEXT, paths)


def count(*paths: str) -> Field:
    """A number of tokens; a value that is none makes the record a reject, for a silent null would be a free call."""
    return Field(_values.COUNT, paths)


def number(*paths: str) -> Field:
    """A number that no bill depends on: anything else is absent."""
    return maybe(Field(_values.NUMBER, paths))


def whole(*paths: str) -> Field:
    """A whole number >= 0 that no bill depends on, e.g. an HTTP status: anything else is absent."""
    return maybe(count(*paths))


def maybe(column: Field) -> Field:
    """The same column, but a value that cannot be read is absent instead of refusing the record."""
    reader = column.reader
    return column._replace(reader=Reader(reader.dtype, _values.lenient(reader.one)))


def flag(*paths: str) -> Field:
    return Field(_values.FLAG, paths)


def usd(*paths: str) -> Field:
    """Dollars as the log states them; never summed, so a value that is no amount is absent."""
    return maybe(Field(_values.USD, paths))


def moment(*paths: str) -> Field:
    """A time: RFC 3339, or Unix seconds, ms, us, ns by size."""
    return Field(_values.MOMENT, paths)


def custom(read: Callable[[Any], Any], dtype: pl.DataType | type[pl.DataType], *paths: str) -> Field:
    """A value with a reader of its own (ValueError refuses the record)."""
    return Field(Reader(dtype, read), paths)


def request(column: Field) -> Field:
    """The same column, looked for in the request logged beside the response."""
    return column.of("request")


def around(column: Field) -> Field:
    """The same column, looked for in the record around response and request."""
    return column.of("around")


class Out(msgspec.Struct):
    """What a reader made of one file.

    frames   requests, columns of schema.REQUESTS and the machinery columns of `_identity`
    held     records of small files that are not framed yet
    nodes    spans that are no request but hold requests together, columns of `_tree.NODES`
    skipped  records that are no request by design, by type
    rejects  (line, reason)
    foreign  records that are well-formed but not of this format
    notes    what the user should know about the file, each a sentence
    sample   whether the file says that it does not hold all calls
    """

    frames: list[pl.DataFrame] = msgspec.field(default_factory=list)
    held: list[Held] = msgspec.field(default_factory=list)
    nodes: list[pl.DataFrame] = msgspec.field(default_factory=list)
    skipped: Counter[str] = msgspec.field(default_factory=Counter)
    rejects: list[tuple[int, str]] = msgspec.field(default_factory=list)
    foreign: list[Record] = msgspec.field(default_factory=list)
    extra_lines: int = 0  # records beyond one a line: elements of a container
    notes: list[str] = msgspec.field(default_factory=list)
    sample: bool = False
    tables: list[Rows] = msgspec.field(
        default_factory=list
    )  # rows of formats whose columns are fixed, not yet in a frame

    def add(self, other: Out) -> None:
        """Take over what another reader made."""
        self.frames += other.frames
        self.held += other.held
        self.nodes += other.nodes
        self.skipped.update(other.skipped)
        self.rejects += other.rejects
        self.foreign += other.foreign
        self.extra_lines += other.extra_lines
        self.notes += other.notes
        self.sample |= other.sample
        self.tables += other.tables

    def refuse(self, line: int, problem: ValueError | TypeError) -> None:
        """Make a record a reject because of a value that is no count: as none it would be a free call."""
        self.rejects.append((line, f"usage: {problem}"))

    def several(self, made: int, *, none: str) -> None:
        """Count the requests that one record held: those beyond the first are lines more; without any it is skipped."""
        self.extra_lines += max(0, made - 1)
        if not made:
            self.skipped[none] += 1

    def tuples(
        self,
        dtypes: Mapping[str, Any],
        rows: list[tuple[Any, ...]],
        derive: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
    ) -> None:
        """Append rows given as tuples, always of the same columns; they share a frame with those of other files.

        derive  adds to that frame what follows from its columns
        """
        if rows:
            self.tables.append(Rows(dtypes, rows, derive))

    def rows(self, rows: Sequence[Mapping[str, Any]], dtypes: Mapping[str, Any]) -> None:
        """Append rows given as dictionaries; `dtypes` names the type of every column they may have."""
        if rows:
            used = {key for row in rows for key in row}
            schema = {name: dtype for name, dtype in dtypes.items() if name in used}
            self.frames.append(
                pl.DataFrame([series(name, [r.get(name) for r in rows], dtype) for name, dtype in schema.items()])
            )


class Again(Exception):
    """What was passed over is needed after all: the file is read once more, all of it."""


class Seam(NamedTuple):
    """What has to be known of a slice to put it beside the others.

    starts  whether what its calls are does not depend on what is before it
    first   what its first call is known by, empty if it has none
    last    the same of the last one: copies of it would have been merged with it
    clean   whether nothing waits at its end for a row to come
    """

    starts: bool
    first: str
    last: str
    clean: bool


def fits(seams: Sequence[Seam]) -> bool:
    """Whether slices one after the other give what they would give as a whole."""
    last = ""
    for before, after in pairwise(seams):
        last = before.last or last
        if not before.clean or not after.starts or (after.first and after.first == last):
            return False
    return True


class FileReader(Protocol):
    """Reads the records of one file, in order.

    A reader may have `scan(block, out)` as well: it reads the lines of a block that begin with a brace, and yields
    number, offset and bytes of every other one in its place.

    Or `records_of(block)`: the records of a block, of which it may have decoded some already.

    And `portion`: bytes of records that it is fed at once.

    And `alone(records)`: whether all that was fed to it, and these records, is read line by line, so that it may be
    read in pieces; a reader that has no such method may hold something from line to line. If what it holds ends now
    and then, it has `cuts(size, most)`, places in the file where that is probable, and `seam()`, which says of the
    slice that it has read whether it was so (`Seam`).
    """

    def feed(self, records: Sequence[Record], out: Out) -> None: ...

    def close(self, out: Out) -> None: ...


R = TypeVar("R", bound=FileReader)


class Found(NamedTuple):
    """Where a record keeps what a format recognises: the paths of the response and of the request beside it."""

    self: Path = ()
    request: Path | None = None


class Format:
    """A log format. The docstring is its documentation page; the module is its name in snake_case.

    name        kebab-case
    title       a few words for tables
    wrappable   whether the object it recognises may stand deeper in a home-made log record
    closed      whether its records, where it is sure of them, are of no other format, whatever stands inside them
    tables      tables of a database that hold its records, the first decides: name -> columns it must have
    reads       makes the reader of a file (`read_by`)
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    wrappable: ClassVar[bool] = False
    closed: ClassVar[bool] = False
    tables: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    reads: ClassVar[Callable[..., FileReader]]

    def __init__(self, columns: Mapping[str, str] | None = None) -> None:
        """`columns`: what the settings say logs call the request table's columns; most formats have fixed names."""
        self.columns = dict(columns or {})

    def recognises(self, record: Mapping[str, Any]) -> int:
        """How surely this is the format's object: 0 no, 100 decisive. On a tie the more specific format wins."""
        raise NotImplementedError

    def reader(self, file: LogFile, found: Found) -> FileReader:
        """What reads a file; most formats have a class for it (`read_by`) and are never wrapped."""
        del found
        return type(self).reads(file)

    @classmethod
    def read_by(cls, reader: type[R]) -> type[R]:
        """Mark the class of the format's readers, one object a file."""
        cls.reads = reader
        return reader


COUNTED: pl.Expr = pl.col("input_tokens").is_not_null().cast(pl.Int64)
"""A `_rank`: of copies of a call, those with counts come before those without."""

LEAVES = frozenset(
    {"temperature", "max_tokens", "reasoning_effort", "finish_reason", "service_tier_requested", "task", "tenant",
     "user", "environment", "key_id", "step", "attempt", "score", "success"}
)  # fmt: skip
"""Columns of which nothing else is made by what formats share; `instance_id` Azure's gateway makes a key of."""


class TableFormat(Format):
    """A format of which every record is at most one request, given by a table of fields.

    fields   column <- where; names of schema.REQUESTS, or `_names` that `tidy` uses up
    prompt   where messages, tools and answer stand, to be hashed; None where the log has none
    context  whether columns such as tenant, task, latency are looked for around the object (see `_context`)
    alone    whether `tidy` gives a row whatever rows stand beside it: then an appended file is read from its old end
    leaves   columns that no value is refused of and no other column is made of: not read where they are not wanted
    called   columns that `tidy` makes of what an answer calls: answers are read where one of them is wanted
    others   a place of the object, and what stands there in objects of formats that call their counts the same
    signs    columns of the object itself, no leaves, of which each of its records has one: one that has none is of
             whatever other format tells it
    """

    fields: ClassVar[Mapping[str, Field | tuple[Field, ...]]]
    prompt: ClassVar[Prompt | None] = None
    context: ClassVar[bool] = True
    alone: ClassVar[bool] = True
    leaves: ClassVar[frozenset[str]] = frozenset()
    called: ClassVar[tuple[str, ...]] = ()
    others: ClassVar[tuple[str, frozenset[str]] | None] = None
    signs: ClassVar[tuple[str, ...]] = ()

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        """The provider's quirks as expressions: inclusive totals, `_skip`, `_reject`, `_key`, `_rank`.

        `_foreign` comes in as "has nothing this format looks for"; a format that knows better changes it.
        """
        return picked

    def table(self) -> dict[str, tuple[Field, ...]]:
        """The fields with those of the surroundings behind them."""
        from costaudit.ingest._context import CONTEXT

        own = self.own()
        if not self.context:
            return own
        return own | {name: (*own.get(name, ()), *fields) for name, fields in CONTEXT.items()}

    def own(self) -> dict[str, tuple[Field, ...]]:
        """The fields of the format itself."""
        return {name: tuple(_flat(f)) for name, f in self.fields.items()}

    def explode(self, record: Record) -> Sequence[Record]:
        """The requests inside a record; most hold one, themselves."""
        return (record,)

    def reader(self, file: LogFile, found: Found) -> FileReader:
        from costaudit.ingest._table import TableReader

        return getattr(type(self), "reads", TableReader)(self, file, found)


def _flat(fields: Any) -> Iterator[Field]:
    if isinstance(fields, Field):
        yield fields
    else:
        for item in fields:
            yield from _flat(item)


def loads(data: bytes, line: int, out: Out) -> dict[str, Any] | None:
    """A JSON object from damaged or odd text, else None and a reject that says why."""
    value = parsed(data)
    if isinstance(value, dict):
        return value
    out.rejects.append((line, value))
    return None


def loaded(records: Sequence[Record], out: Out) -> Iterator[tuple[Record, dict[str, Any]]]:
    """Each record with the object it holds; of one that is none, `loads` says why."""
    for record in records:
        value = record.data if isinstance(record.data, dict) else loads(record.data, record.line, out)
        if value is not None:
            yield record, value
