"""All logs below some paths as one table of requests, with the fate of every other record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path, PurePath

import msgspec
import polars as pl
from msgspec.structs import replace

from costaudit import schema
from costaudit.audit import Fates
from costaudit.config import Columns
from costaudit.errors import UNREAD, ConfigError, LogError
from costaudit.ingest import _assembled, _convention, _detect
from costaudit.ingest._cache import Cache
from costaudit.ingest._convention import settle
from costaudit.ingest._file_read import Asked, FileRead
from costaudit.ingest._files import LogFile, nothing
from costaudit.ingest._format import Format
from costaudit.ingest._identity import MACHINERY, ROWS, USAGE
from costaudit.ingest._pool import Progress, read_all
from costaudit.ingest._read import read_file
from costaudit.ingest._remote import Fetcher, walk
from costaudit.ingest._stretch import together
from costaudit.ingest._tree import LENT, NODES, resolve
from costaudit.ingest._twins import adopt, suspected

__all__ = ["FileRead", "Ingested", "formats", "ingest", "read_file"]

AT_ONCE = 50_000  # rows that are counted together
Engine = Callable[[Sequence[Asked], Progress | None], tuple[list[FileRead], set[str]]]

JOINED = {
    *("source_file", "source_line", "source_offset", "format", "started_at", "parent_id", "usage_source", "rollup"),
    *USAGE, *MACHINERY, *LENT, *_convention.COLUMNS,
}  # fmt: skip
"""Columns that rows are joined by, whether or not a log has them."""

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


class Ingested(msgspec.Struct, frozen=True):
    """All requests of the given logs, and what became of every other record.

    requests  [schema.REQUESTS], one row a call, in order of time
    rejects   source_file, source_line, format, reason, detail
    sources   one row a file and format: counts by fate, token convention and its proof
    notes     files that are no logs, with the reason; traces whose totals do not add up
    unread    of each file or folder that the system did not let be read: why; a note says it too
    sampled   whether a log does not hold all calls, or could not be read
    identities  what each request is known by (`_identity`), for a store that merges it with others
    """

    requests: pl.DataFrame
    fates: Fates
    sources: pl.DataFrame
    rejects: pl.DataFrame
    notes: tuple[str, ...] = ()
    identities: pl.DataFrame | None = None
    unread: tuple[str, ...] = ()
    sampled: bool = False


def formats() -> tuple[type[Format], ...]:
    """Every log format that is understood, by name."""
    return _detect.formats()


def ingest(
    paths: Sequence[Path | str],
    *,
    columns: Mapping[str, str] | Sequence[Columns] = (),
    progress: Progress | None = None,
    cache: Path | None = None,
    engine: Engine | None = None,
    only: Collection[str] | None = None,
) -> Ingested:
    """Read every log below the paths, in any mixture of formats, and count what became of each record.

    columns   request-table column <- name in the log, for the `generic` format; for all files, or by file
    cache     a folder where what a file gave is kept, and taken from while the file is the same (`_cache`)
    only      columns that are needed: they hold what they hold without it, every other column may be null, for its
              values need not be read; None: all. Counts are the same too, but that long rows of transcripts which bill
              nothing may be skipped "by its head": damage further on in them is not seen. Not kept in the cache
    Raises UsageError for a path that is not there, ConfigError for a column that does not exist, LogError if nothing
    at all could be read as a log.
    """
    wanted = None if only is None else _known(only)
    files = [(file if wanted is None else replace(file, only=wanted), _names(file, columns)) for file in walk(paths)]
    reads = _reads(files, Cache(cache, paths) if cache is not None else None, engine or _here, progress)
    del files  # what is known of files takes much where they are many, and their rows come on top of it
    if not any(read.lines for read in reads):
        raise _nothing(paths, reads)
    return _join(reads)


def _reads(files: Sequence[Asked], kept: Cache | None, engine: Engine, progress: Progress | None) -> list[FileRead]:
    """What each of the files gave, in their order: read, or taken from the cache, and kept there."""
    if kept is None:
        return engine(files, progress)[0]
    found = kept.find(files)
    unknown = [n for n in range(len(files)) if n not in found]
    given, doubtful = engine([kept.grown(n, files[n]) for n in unknown], progress)
    known = kept.reads(files)
    known |= {n: kept.joined(n, files[n], read) for n, read in zip(unknown, given, strict=True)}
    reads = [known[n] for n in range(len(files))]
    if all(file.only is None for file, _ in files):
        unread = {read.file.shown for read in reads if read.unread}  # it may be readable next time
        kept.keep(files, reads, doubtful | unread)
    return reads


def _known(only: Collection[str]) -> frozenset[str]:
    """The columns by name; a misspelt one would be null for ever."""
    for name in only:
        if name not in schema.REQUESTS:
            raise ConfigError(f"{name}: no column of requests", hint="`docs/schema.md` lists them")
    return frozenset(only)


def _here(asked: Sequence[Asked], progress: Progress | None) -> tuple[list[FileRead], set[str]]:
    """What each file gave, and which objects were not what their listing said."""
    fetcher = Fetcher()
    reads = fetcher.read(asked, lambda part, before: read_all(part, _later(progress, before, len(asked))))
    return reads, fetcher.doubtful


def _later(progress: Progress | None, before: int, of: int) -> Progress | None:
    """Progress of a batch as progress of the whole."""
    return progress and (lambda file, number, _: progress(file, before + number, of))


def _names(file: LogFile, columns: Mapping[str, str] | Sequence[Columns]) -> Mapping[str, str]:
    """How the file names its columns; of several mappings the first whose pattern fits its path or its name."""
    if isinstance(columns, Mapping):
        return columns
    if not columns:
        return {}
    shown = PurePath(file.shown)
    return next((c.names for c in columns if c.files == "*" or shown.match(c.files)), {})


def _nothing(paths: Sequence[Path | str], reads: Sequence[FileRead]) -> LogError:
    bad = next((read for read in reads if read.problem), None)
    if bad is not None:
        several = len(reads) > 1
        found = f"none of {len(reads)} files is a log; the first: {bad.problem}" if several else bad.problem
        known = nothing(paths, found)
        return LogError(
            str(known) if several else bad.problem, hint="get the right to read it" if bad.unread else known.hint
        )
    return nothing(paths, "no log records" if reads else "no files")


def _join(reads: Sequence[FileRead]) -> Ingested:
    stretches = together(stretch for read in reads for stretch in read.frames)
    for read in reads:
        read.frames = []
    rows = _assembled.rows(stretches, ROWS, JOINED)
    del stretches
    settled = settle(rows)
    del rows
    proofs = settled.proofs
    nodes = together(stretch for read in reads for stretch in read.nodes)
    traced = resolve(settled.rows, _assembled.frames(nodes, NODES))
    del settled  # no stage's rows outlive the next: each is as large as all that was read
    adopted = adopt(traced.rows)
    told = (*traced.notes, *adopted.notes)
    del traced
    requests, duplicates = _assembled.requests(adopted.rows)
    del adopted
    identities = requests.select("_key", "_also", "_rank")
    requests = schema.conform(requests)
    rejects = pl.DataFrame(
        [(read.file.shown, line, form, *_split(why)) for read in reads for line, form, why in read.rejects],
        schema=REJECTS,
        orient="row",
    ).sort("source_file", "source_line")
    rollups = requests["rollup"].fill_null(value=False)
    skipped: Counter[str] = Counter()
    for read in reads:
        for (_, kind), number in read.skipped.items():  # two formats of a file may have one name for it
            skipped[kind] += number
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
    unread = tuple(read.problem for read in reads if read.unread)
    others = [note for read in reads for note in ("" if read.unread else read.problem, *read.notes) if note]
    # A report has room for few: first what no total holds.
    notes = (*(f"{why}; {UNREAD}" for why in unread), *others, *told, *suspected(requests))
    sources = _sources(reads, requests, duplicates, rejects, proofs)
    sampled = bool(unread) or any(read.sample for read in reads)
    return Ingested(requests, fates, sources, rejects, notes, identities, unread, sampled)


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
    parts = [
        _calls_of(requests, keys),
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


def _calls_of(requests: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Requests and roll-ups of each file and format; some rows at a time, for each has the name of its file."""
    rolled = pl.col("rollup").fill_null(value=False)
    said = requests.select("format", "rollup", path="source_file")
    some = [
        said[at : at + AT_ONCE].group_by(keys).agg(requests=(~rolled).sum(), rollups=rolled.sum())
        for at in range(0, max(said.height, 1), AT_ONCE)
    ]
    return some[0] if len(some) == 1 else pl.concat(some).group_by(keys).agg(pl.all().sum())
