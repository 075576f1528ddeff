"""What a log format is: a table of columns and where they stand in a record, compiled to a typed decoder.

A format says *where* a value is, not how it is read. Paths are dotted and relative to one of three places of a record:
the object the format recognises (a response, a span, a row), the request logged beside it, or the record around both.
The table is compiled twice: to msgspec structs that decode nothing but the named keys (the fast way), and to a walk
over plain dictionaries (for CSV, Parquet and records of unexpected shape). Both give the same rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

import msgspec
import polars as pl

from costaudit.ingest import _values
from costaudit.ingest._files import UNREADABLE, LogFile, Record
from costaudit.ingest._prompt import Prompt, PromptReader
from costaudit.ingest._values import Reader

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


@dataclass(slots=True)
class Out:
    """What a reader made of one file.

    frames   requests, columns of schema.REQUESTS and the machinery columns of `_identity`
    skipped  records that are no request by design, by type
    rejects  (line, reason)
    foreign  records that are well-formed but not of this format
    """

    frames: list[pl.DataFrame] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    rejects: list[tuple[int, str]] = field(default_factory=list)
    foreign: list[Record] = field(default_factory=list)
    extra_lines: int = 0  # records beyond one a line: elements of a container

    def rows(self, rows: Sequence[Mapping[str, Any]], dtypes: Mapping[str, Any]) -> None:
        """Append rows given as dictionaries; `dtypes` names the type of every column they may have."""
        if rows:
            used = {key for row in rows for key in row}
            schema = {name: dtype for name, dtype in dtypes.items() if name in used}
            self.frames.append(pl.DataFrame([[r.get(name) for r in rows] for name in schema], schema=schema))


class FileReader(Protocol):
    """Reads the records of one file, in order."""

    def feed(self, records: Sequence[Record], out: Out) -> None: ...

    def close(self, out: Out) -> None: ...


class Found(NamedTuple):
    """Where a record keeps what a format recognises: the paths of the response and of the request beside it."""

    self: Path = ()
    request: Path | None = None


class Format:
    """A log format. The docstring is its documentation page; the module is its name in snake_case.

    name        kebab-case
    title       a few words for tables
    wrappable   whether the object it recognises may stand deeper in a home-made log record
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    wrappable: ClassVar[bool] = False

    def recognises(self, record: Mapping[str, Any]) -> int:
        """How surely this is the format's object: 0 no, 100 decisive. On a tie the more specific format wins."""
        raise NotImplementedError

    def reader(self, file: LogFile, found: Found) -> FileReader:
        raise NotImplementedError


class TableFormat(Format):
    """A format of which every record is at most one request, given by a table of fields.

    fields   column <- where; names of schema.REQUESTS, or `_names` that `tidy` uses up
    prompt   where messages, tools and answer stand, to be hashed; None where the log has none
    context  whether columns such as tenant, task, latency are looked for around the object (see `_context`)
    """

    fields: ClassVar[Mapping[str, Field | tuple[Field, ...]]]
    prompt: ClassVar[Prompt | None] = None
    context: ClassVar[bool] = True

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        """The provider's quirks as expressions: inclusive totals, `_skip`, `_reject`, `_key`, `_rank`.

        `_foreign` comes in as "has nothing this format looks for"; a format that knows better changes it.
        """
        return picked

    def table(self) -> dict[str, tuple[Field, ...]]:
        """The fields with those of the surroundings behind them."""
        from costaudit.ingest._context import CONTEXT

        own = {name: tuple(_flat(f)) for name, f in self.fields.items()}
        if not self.context:
            return own
        return own | {name: (*own.get(name, ()), *fields) for name, fields in CONTEXT.items()}

    def explode(self, record: Record) -> Sequence[Record]:
        """The requests inside a record; most hold one, themselves."""
        return (record,)

    def reader(self, file: LogFile, found: Found) -> FileReader:
        return TableReader(self, file, found)


def _flat(fields: Any) -> Iterator[Field]:
    if isinstance(fields, Field):
        yield fields
    else:
        for item in fields:
            yield from _flat(item)


# --- the compiled table -----------------------------------------------------------------------------------------------


class _Node:
    """A key of the records: an object with further keys below, or a leaf, or both (then it is decoded whole)."""

    __slots__ = ("below", "leaf", "opaque", "raw")

    def __init__(self) -> None:
        self.below: dict[str, _Node] = {}
        self.leaf = False
        self.opaque = False
        self.raw = False

    @property
    def whole(self) -> bool:
        """Whether the value is decoded as it is, because it is wanted itself or is a list."""
        return self.leaf or self.opaque

    def add(self, path: Path, *, raw: bool = False) -> None:
        node = self
        for key in path:
            if key.isdigit():  # an element of a list: the list is decoded whole
                node.opaque = True
            node = node.below.setdefault(key, _Node())
        node.leaf, node.raw = True, raw  # wanted as a value and as raw JSON: decoded, and written again where needed


class Decoder:
    """Records to tuples of the values at the given paths; `at` says where each stands; absent is None."""

    def __init__(self, paths: Iterable[Path], raws: Iterable[Path] = ()) -> None:
        self.paths = list(dict.fromkeys(paths))
        self.raws = list(dict.fromkeys(raws))
        root = _Node()
        for path in self.raws:
            root.add(path, raw=True)
        for path in self.paths:
            root.add(path)
        struct, self._pick = _compile(root)
        self._decode = msgspec.json.Decoder(struct).decode
        self.order = _leaves(root)
        self.at = {path: n for n, path in enumerate(self.order)}
        self._raw_at = {self.at[path] for path in self.raws} - {self.at[path] for path in self.paths}

    def typed(self, data: bytes) -> tuple[Any, ...]:
        """The values of a JSON record; raises msgspec.DecodeError where it is not of the expected shape."""
        return self._pick(self._decode(data))

    def plain(self, record: Mapping[str, Any]) -> tuple[Any, ...]:
        """The same values from a dictionary, whatever its shape."""
        values = [dig(record, path) for path in self.order]
        for n in self._raw_at:
            if values[n] is not None:
                values[n] = msgspec.Raw(_encode(values[n]))
        return tuple(values)


def _encode(value: Any) -> bytes:
    if isinstance(value, str):
        stripped = value.lstrip()
        if stripped.startswith(("[", "{")):  # JSON kept as text in a CSV cell or a Parquet column
            try:
                return bytes(msgspec.json.decode(stripped.encode(), type=msgspec.Raw))
            except (*UNREADABLE, UnicodeEncodeError):
                pass
    return msgspec.json.encode(value, enc_hook=str)


def dig(record: Any, path: Path) -> Any:
    """The value at a path of nested dictionaries and lists (`choices.0.index`), None where there is none.

    JSON kept as text is opened on the way.
    """
    for n, key in enumerate(path):
        if isinstance(record, str) and n:
            record = opened(record)
        if isinstance(record, list) and key.isdigit():
            record = record[int(key)] if int(key) < len(record) else None
            continue
        if not isinstance(record, Mapping):
            return None
        if key not in record:
            dotted = ".".join(path[n:])
            return record.get(dotted)
        record = record[key]
    return record


def opened(value: str) -> Any:
    """The object that a text holds as JSON, else None."""
    if not value.lstrip().startswith(("{", "[")):
        return None
    try:
        return msgspec.json.decode(value)
    except UNREADABLE:
        return None


def _leaves(node: _Node, path: Path = ()) -> list[Path]:
    """Paths of all leaves in the order in which `_compile` picks them."""
    here = [(*path, key) for key, child in node.below.items() if child.whole]
    for key, child in node.below.items():
        if not child.whole:
            here += _leaves(child, (*path, key))
        elif child.below:
            here += _all(child, (*path, key))
    return here


def _all(node: _Node, path: Path) -> list[Path]:
    found: list[Path] = []
    for key, child in node.below.items():
        if child.leaf:
            found.append((*path, key))
        found += _all(child, (*path, key))
    return found


def _compile(node: _Node) -> tuple[type[msgspec.Struct], Callable[[Any], tuple[Any, ...]]]:
    """A struct for the keys below a node, and the function that flattens one into a tuple of all leaves."""
    fields: list[tuple[str, Any, Any]] = []
    rename: dict[str, str] = {}
    steps: list[tuple[int, Callable[[Any], tuple[Any, ...]]]] = []  # in the order of `_leaves`
    direct: list[int] = []
    for n, (key, child) in enumerate(node.below.items()):
        rename[f"f{n}"] = key
        if not child.whole:
            struct, below = _compile(child)
            fields.append((f"f{n}", struct | None, None))
            steps.append((n, _or_absent(below, len(_leaves(child)))))
            continue
        direct.append(n)
        fields.append((f"f{n}", msgspec.Raw if child.raw and not child.below else Any, None))
        if child.below:
            steps.append((n, _dug(_all(child, ()))))
    struct = msgspec.defstruct("Keys", fields, rename=rename, gc=False)
    astuple = msgspec.structs.astuple

    def pick(value: Any) -> tuple[Any, ...]:
        cells = astuple(value)
        flat = cells if len(direct) == len(cells) else tuple([cells[n] for n in direct])
        for n, below in steps:
            flat += below(cells[n])
        return flat

    return struct, pick


def _or_absent(pick: Callable[[Any], tuple[Any, ...]], width: int) -> Callable[[Any], tuple[Any, ...]]:
    absent = (None,) * width
    return lambda value: absent if value is None else pick(value)


def _dug(paths: Sequence[Path]) -> Callable[[Any], tuple[Any, ...]]:
    return lambda value: tuple([dig(value, path) if isinstance(value, (Mapping, list)) else None for path in paths])


class _Plan:
    """The decoder of one format at one place, and which of its values make up which column."""

    def __init__(self, form: TableFormat, found: Found) -> None:
        self.form = form
        scopes = {"self": found.self, "request": found.request, "around": ()}
        self.columns: list[tuple[str, list[tuple[Path, Reader]]]] = []
        for name, fields in form.table().items():
            places: list[tuple[Path, Reader]] = []
            for item in fields:
                base = scopes[item.scope]
                if base is None:
                    continue
                places += [((*base, *path.split(".")), item.reader) for path in item.paths]
            self.columns.append((name, list(dict.fromkeys(places))))
        self.prompt = PromptReader(form.prompt, scopes) if form.prompt else None
        raws = self.prompt.paths if self.prompt else []
        self.decoder = Decoder((path for _, places in self.columns for path, _ in places), raws)
        at = self.decoder.at
        self.picks = [(name, [(at[path], reader) for path, reader in places]) for name, places in self.columns]
        self.raws = [at[path] for path in raws]
        # Columns looked for in the object itself: a record that has none of them is of another format.
        self.own = [name for name, fields in form.table().items() if any(f.scope == "self" for f in fields)]


_PLANS: dict[tuple[type[TableFormat], Found], _Plan] = {}


def _plan(form: TableFormat, found: Found) -> _Plan:
    """The plan of a format at a place, compiled once a process: a folder has many files of few shapes."""
    key = (type(form), found)
    if key not in _PLANS:
        _PLANS[key] = _Plan(form, found)
    return _PLANS[key]


class TableReader:
    """Reads one file by a compiled table."""

    def __init__(self, form: TableFormat, file: LogFile, found: Found) -> None:
        self.form, self.file, self.plan, self.found = form, file, _plan(form, found), found

    def feed(self, records: Sequence[Record], out: Out) -> None:
        decode, plain = self.plan.decoder.typed, self.plan.decoder.plain
        kept: list[Record] = []
        rows: list[tuple[Any, ...]] = []
        for record in records:
            parts = self.form.explode(record)
            out.extra_lines += len(parts) - 1
            for part in parts:
                data = part.data
                try:
                    row = plain(data) if isinstance(data, dict) else decode(data)
                except UNREADABLE:
                    value = loads(data, part.line, out) if isinstance(data, bytes) else None
                    if value is None:
                        continue
                    row = plain(value)
                kept.append(part)
                rows.append(row)
        if rows:
            self._frame(kept, rows, out)

    def close(self, out: Out) -> None:
        """Nothing is held back between records."""

    def _frame(self, records: list[Record], rows: list[tuple[Any, ...]], out: Out) -> None:
        values = list(zip(*rows, strict=True))
        height = len(rows)
        bad: dict[int, str] = {}
        columns: dict[str, pl.Series] = {}
        for name, picks in self.plan.picks:
            columns[name] = _column(name, picks, values, height, bad)
        if self.plan.prompt is not None:
            raws = [values[n] for n in self.plan.raws]
            columns |= self.plan.prompt.columns(raws, height)
        frame = pl.DataFrame(columns).with_columns(
            pl.Series("source_line", [r.line for r in records], dtype=pl.Int64),
            pl.Series("source_offset", [r.offset for r in records], dtype=pl.Int64),
            pl.int_range(pl.len(), dtype=pl.UInt32).alias("_row"),
        )
        if bad:
            frame = frame.with_columns(pl.Series("_bad", [bad.get(n) for n in range(height)], dtype=pl.String))
            out.rejects += list(frame.filter(pl.col("_bad").is_not_null()).select("source_line", "_bad").iter_rows())
            frame = frame.filter(pl.col("_bad").is_null()).drop("_bad")
        if frame.height:
            frame = self.form.tidy(frame.with_columns(_foreign=pl.all_horizontal(pl.col(self.plan.own).is_null())))
            if self.plan.prompt is not None:
                frame = self._estimate(frame, values)
            self._sort(frame, records, out)

    def _estimate(self, frame: pl.DataFrame, values: Sequence[Sequence[Any]]) -> pl.DataFrame:
        """Tokens of the answered calls whose log has their text and no counts, marked as estimates."""
        prompt = self.plan.prompt
        bare = frame.filter(pl.col("input_tokens").is_null() & pl.col("output_tokens").is_null() & pl.col("has_text"))
        if prompt is None or bare.is_empty():
            return frame
        raws = [values[n] for n in self.plan.raws]
        known = []
        for row, model in bare.select("_row", "model").iter_rows():
            tokens = prompt.estimates([column[row] for column in raws], model)
            if tokens is not None:
                known.append((row, *tokens, "tokenizer"))
        schema = {
            "_row": pl.UInt32,
            "input_tokens": pl.Int64,
            "output_tokens": pl.Int64,
            "usage_source": pl.String,
        }
        estimates = pl.DataFrame(known, schema=schema, orient="row")
        if "usage_source" not in frame.columns:
            frame = frame.with_columns(usage_source=pl.lit(None, pl.String))
        return frame.update(estimates, on="_row", how="left")

    def _sort(self, frame: pl.DataFrame, records: list[Record], out: Out) -> None:
        """Rows the format calls no request, foreign or broken go where they belong; the rest are requests."""
        if frame["_foreign"].any():
            out.foreign += [records[n] for n in frame.filter("_foreign")["_row"]]
            frame = frame.filter(~pl.col("_foreign"))
        if "_reject" in frame.columns:
            out.rejects += list(
                frame.filter(pl.col("_reject").is_not_null()).select("source_line", "_reject").iter_rows()
            )
            frame = frame.filter(pl.col("_reject").is_null())
        if "_skip" in frame.columns:
            out.skipped.update(frame["_skip"].drop_nulls().to_list())
            frame = frame.filter(pl.col("_skip").is_null())
        frame = frame.drop("_row", "_foreign", "_reject", "_skip", strict=False)
        if frame.height:
            out.frames.append(frame)


def loads(data: bytes, line: int, out: Out) -> dict[str, Any] | None:
    """A JSON object from damaged or odd text, else None and a reject that says why."""
    value = parsed(data)
    if isinstance(value, dict):
        return value
    out.rejects.append((line, value))
    return None


def parsed(data: bytes) -> dict[str, Any] | str:
    """A JSON object, or the sentence that says why there is none. A byte that is no UTF-8 costs one character."""
    for attempt in (data, data.decode("utf-8", "replace").encode()):
        try:
            value = msgspec.json.decode(attempt)
        except RecursionError:
            return "nested too deeply"
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            reason = f"not JSON ({problem})"
        else:
            return value if isinstance(value, dict) else "not a JSON object"
    return reason


def _column(
    name: str,
    picks: Sequence[tuple[int, Reader]],
    values: Sequence[Sequence[Any]],
    height: int,
    bad: dict[int, str],
) -> pl.Series:
    """One column from the first of its places that has a value; refused values are noted in `bad` by row."""
    result: pl.Series | None = None
    for n, reader in picks:
        cells = values[n]
        if cells.count(None) == height:
            continue
        if result is None:
            waiting = cells
        else:
            have = result.is_not_null()
            if have.all():
                break
            waiting = [None if known else cell for known, cell in zip(have, cells, strict=True)]
        series, refused = reader.column(waiting)
        for row, reason in refused.items():
            bad.setdefault(row, f"{name}: {reason}")
        result = series if result is None else result.fill_null(series)
    if result is None:
        dtype = picks[0][1].dtype if picks else pl.Null
        result = pl.Series([None] * height, dtype=dtype)
    return result.alias(name)
