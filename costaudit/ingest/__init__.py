"""bytes -> requests: every record becomes a request, a duplicate, a rollup, a reject, a skipped row or blank."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import polars as pl

from costaudit import schema
from costaudit.audit import Fates
from costaudit.config import Columns
from costaudit.errors import LogError
from costaudit.ingest import _detect
from costaudit.ingest._cache import Cache
from costaudit.ingest._convention import settle
from costaudit.ingest._decode import parsed
from costaudit.ingest._detect import Guess
from costaudit.ingest._files import BLANK, LogFile, Record, records, walk
from costaudit.ingest._finish import finish
from costaudit.ingest._format import FileReader, Format, Out
from costaudit.ingest._identity import ROWS, collapse
from costaudit.ingest._tree import resolve

__all__ = ["Ingested", "formats", "ingest", "read_file"]

Progress = Callable[[str, int, int], None]  # file, its number, of how many

BATCH = 5_000  # records that become one frame: fewer, and the frame costs more than its rows
WEIGHT = 16 << 20  # bytes after which a batch is full all the same

REJECTS = pl.Schema(
    {"source_file": pl.String, "source_line": pl.Int64, "format": pl.String, "reason": pl.String, "detail": pl.String}
)
SOURCES = pl.Schema(
    {
        "path": pl.String,
        "format": pl.String,
        "lines": pl.Int64,
        "requests": pl.Int64,
        "duplicates": pl.Int64,
        "rollups": pl.Int64,
        "rejects": pl.Int64,
        "skipped": pl.Int64,
        "blank": pl.Int64,
        "convention": pl.String,
        "proof": pl.String,
    }
)


@dataclass(frozen=True, slots=True)
class Ingested:
    """All requests of the given logs, and what became of every other record.

    requests  [schema.REQUESTS], one row a call, in order of time
    rejects   source_file, source_line, format, reason, detail
    sources   one row a file and format: counts by fate, token convention and its proof
    notes     files that are no logs, with the reason; traces whose totals do not add up
    """

    requests: pl.DataFrame
    fates: Fates
    sources: pl.DataFrame
    rejects: pl.DataFrame
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class FileRead:
    """What one file gave, before duplicates are collapsed across files."""

    file: LogFile
    lines: int = 0
    blank: int = 0
    frames: list[pl.DataFrame] = field(default_factory=list)
    nodes: list[pl.DataFrame] = field(default_factory=list)  # spans that are no request (`_tree`)
    skipped: Counter[tuple[str, str]] = field(default_factory=Counter)  # (format, type)
    rejects: list[tuple[int, str, str]] = field(default_factory=list)  # (line, format, reason)
    problem: str = ""
    notes: list[str] = field(default_factory=list)


def formats() -> tuple[type[Format], ...]:
    """Every log format that is understood, by name."""
    return _detect.formats()


def ingest(
    paths: Sequence[Path | str],
    *,
    columns: Mapping[str, str] | Sequence[Columns] = (),
    progress: Progress | None = None,
    cache: Path | None = None,
) -> Ingested:
    """Read every log below the paths, in any mixture of formats, and count what became of each record.

    columns   request-table column <- name in the log, for the `generic` format; for all files, or by file
    cache     a folder where what a file gave is kept, and taken from while the file is the same (`_cache`)
    Raises UsageError for a path that is not there, ConfigError for a column that does not exist, LogError if nothing
    at all could be read as a log.
    """
    files = [(file, _names(file, columns)) for file in walk(paths)]
    kept = Cache(cache, paths) if cache is not None else None
    known = kept.find(files) if kept else {}
    reads: list[FileRead] = []
    for number, (file, names) in enumerate(files, 1):
        if progress and file not in known:
            progress(file.shown, number, len(files))
        reads.append(known.get(file) or read_file(file, names))
    if kept:
        kept.keep(files, reads)
    if not any(read.lines for read in reads):
        raise LogError(_nothing(paths, reads), hint="`costaudit formats` lists what is understood")
    return _join(reads)


def _names(file: LogFile, columns: Mapping[str, str] | Sequence[Columns]) -> Mapping[str, str]:
    """How the file names its columns; of several mappings the first whose pattern fits its path or its name."""
    if isinstance(columns, Mapping):
        return columns
    shown = PurePath(file.shown)
    return next((c.names for c in columns if c.files == "*" or shown.match(c.files)), {})


def _nothing(paths: Sequence[Path | str], reads: Sequence[FileRead]) -> str:
    where = ", ".join(str(p) for p in paths)
    problems = [read.problem for read in reads if read.problem]
    if problems:
        return (
            problems[0]
            if len(reads) == 1
            else f"{where}: none of {len(reads)} files is a log; the first: {problems[0]}"
        )
    return f"{where}: no log records" if reads else f"{where}: no files"


def read_file(file: LogFile, columns: Mapping[str, str]) -> FileRead:
    """The requests of one file; a pure function of its bytes, so that files can be read side by side."""
    read = FileRead(file)
    readers = _Readers(read, columns)
    waiting: list[Record] = []
    weight = 0
    try:
        for batch in records(file):
            read.lines += len(batch)
            for item in batch:
                if isinstance(item, Record):
                    waiting.append(item)
                    weight += len(item.data)
                elif item.reason == BLANK:
                    read.blank += 1
                else:
                    read.rejects.append((item.line, "", item.reason))
            if len(waiting) >= BATCH or weight >= WEIGHT:
                readers.feed(waiting)
                waiting, weight = [], 0
        readers.feed(waiting)
    except LogError as problem:
        read.problem = str(problem)
    readers.close()
    return read


class _Readers:
    """The reader of a file's main format, and those of other formats that turn up between its records."""

    def __init__(self, read: FileRead, columns: Mapping[str, str]) -> None:
        self.read = read
        self.names = tuple(sorted(columns.items()))
        self.main: Guess | None = None
        self.decided = False
        self.open: dict[Guess, tuple[FileReader, Out]] = {}

    def feed(self, items: Sequence[Record]) -> None:
        if not items:
            return
        if not self.decided:
            self.main, self.decided = _detect.sample(items, self.names), True
        if self.main is None:
            self._apart(items)
        else:
            self._to(self.main, items)

    def _to(self, guess: Guess, items: Sequence[Record]) -> None:
        if guess not in self.open:
            self.open[guess] = (guess.form.reader(self.read.file, guess.found), Out())
        reader, out = self.open[guess]
        reader.feed(items, out)
        if out.foreign:
            foreign, out.foreign = out.foreign, []
            self._apart(foreign, but=guess)

    def _apart(self, items: Sequence[Record], but: Guess | None = None) -> None:
        """Records that the file's main format does not know, each by its own content."""
        by_guess: dict[Guess, list[Record]] = {}
        for item in items:
            value = item.data if isinstance(item.data, dict) else parsed(item.data)
            if isinstance(value, str):
                self.read.rejects.append((item.line, "", value))
                continue
            found = _detect.guess(value, self.names)
            if found is None or found[0] == but:
                self._unknown(item, value.keys())
            else:
                by_guess.setdefault(found[0], []).append(item)
        for guess, group in by_guess.items():
            self._to(guess, group)

    def _unknown(self, item: Record, keys: object) -> None:
        """A well-formed object of no known format: a reject if it may have cost money, else some other record."""
        data = item.data if isinstance(item.data, bytes) else str(keys).encode()
        if b"usage" in data or b"token" in data:
            self.read.rejects.append((item.line, "", "no format recognises this record"))
        else:
            self.read.skipped["", "other record"] += 1

    def close(self) -> None:
        for guess, (reader, out) in self.open.items():
            reader.close(out)
            name = guess.form.name
            self.read.lines += out.extra_lines
            self.read.notes += out.notes
            self.read.frames += [_framed(f, name, self.read.file) for f in out.frames]
            self.read.nodes += out.nodes
            self.read.skipped.update({(name, kind): n for kind, n in out.skipped.items()})
            self.read.rejects += [(line, name, reason) for line, reason in out.rejects]
            self.read.rejects += [(r.line, name, "no format recognises this record") for r in out.foreign]


def _framed(frame: pl.DataFrame, form: str, file: LogFile) -> pl.DataFrame:
    frame = frame.with_columns(pl.lit(form).alias("format"), pl.lit(file.shown).alias("source_file"))
    return schema.conform(finish(frame), ROWS)


def _join(reads: Sequence[FileRead]) -> Ingested:
    frames = [frame for read in reads for frame in read.frames]
    empty = ROWS.to_frame()
    settled = settle(pl.concat([empty, *frames]))
    traced = resolve(settled.rows, [node for read in reads for node in read.nodes])
    requests, duplicates = collapse(traced.rows)
    requests = requests.sort("started_at", "source_file", "source_line", nulls_last=True)
    rejects = pl.DataFrame(
        [(read.file.shown, line, form, *_split(why)) for read in reads for line, form, why in read.rejects],
        schema=REJECTS,
        orient="row",
    ).sort("source_file", "source_line")
    rollups = requests["rollup"].fill_null(value=False)
    skipped: Counter[str] = Counter()
    for read in reads:
        skipped.update({kind: n for (_, kind), n in read.skipped.items()})
    fates = Fates(
        lines=sum(read.lines for read in reads),
        requests=requests.height - int(rollups.sum()),
        duplicates=int(duplicates["count"].sum()),
        rollups=int(rollups.sum()),
        blank=sum(read.blank for read in reads),
        skipped=dict(sorted(skipped.items())),
        rejects={str(r): int(n) for r, n in rejects.group_by("reason").len().sort("reason").iter_rows()},
        duplicates_by_reason={
            str(r): int(n) for r, n in duplicates.group_by("reason").agg(pl.sum("count")).sort("reason").iter_rows()
        },
    )
    notes = (*(note for read in reads for note in (read.problem, *read.notes) if note), *traced.notes)
    return Ingested(requests, fates, _sources(reads, requests, duplicates, rejects, settled.proofs), rejects, notes)


def _split(why: str) -> tuple[str, str]:
    """A reason and its detail: `not a token count (-5)` is counted as `not a token count`."""
    reason, _, detail = why.partition(" (")
    return reason, detail.removesuffix(")")


def _sources(
    reads: Sequence[FileRead],
    requests: pl.DataFrame,
    duplicates: pl.DataFrame,
    rejects: pl.DataFrame,
    proofs: pl.DataFrame,
) -> pl.DataFrame:
    """One row a file and format. Lines of a file stand in the row of its first format."""
    keys = ["path", "format"]
    rolled = pl.col("rollup").fill_null(value=False)
    parts = [
        requests.rename({"source_file": "path"}).group_by(keys).agg(requests=(~rolled).sum(), rollups=rolled.sum()),
        duplicates.rename({"source_file": "path"}).group_by(keys).agg(duplicates=pl.sum("count")),
        rejects.rename({"source_file": "path"}).group_by(keys).agg(rejects=pl.len()),
        pl.DataFrame(
            [(r.file.shown, form, n) for r in reads for (form, _), n in r.skipped.items()],
            schema={"path": pl.String, "format": pl.String, "skipped": pl.Int64},
            orient="row",
        )
        .group_by(keys)
        .agg(pl.sum("skipped")),
    ]
    table = pl.concat([p.select(keys) for p in parts]).unique()
    for part in [*parts, proofs.rename({"source_file": "path"})]:
        table = table.join(part, on=keys, how="left")
    table = table.sort("path", pl.col("format") == "", "format")
    first = pl.int_range(pl.len()).over("path") == 0
    files = pl.DataFrame(
        [(r.file.shown, r.lines, r.blank) for r in reads],
        schema={"path": pl.String, "lines": pl.Int64, "blank": pl.Int64},
        orient="row",
    )
    table = table.join(files, on="path", how="left").with_columns(
        pl.when(first).then("lines").alias("lines"), pl.when(first).then("blank").alias("blank")
    )
    counts = ["lines", "requests", "duplicates", "rollups", "rejects", "skipped", "blank"]
    return schema.conform(table.with_columns(pl.col(counts).fill_null(0)), SOURCES)
