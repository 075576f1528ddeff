"""Logs in object storage: `s3://`, `gs://`, `az://` paths are listed, fetched a few at a time, and read like files.

Objects go through a folder of temporary files that is emptied batch after batch, so that every format, compression and
worker process reads them as it reads any file; the next batch is fetched while one is read.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from xxhash import xxh3_64_hexdigest

from costaudit.errors import UsageError
from costaudit.ingest import _files
from costaudit.ingest._files import SKIPPED, LogFile, Object, beside
from costaudit.ingest._listing import MARK
from costaudit.ingest._objects import connected, is_remote, library, refused, sentence, split

if TYPE_CHECKING:
    from costaudit.ingest._file_read import Asked, FileRead

BATCH = 512 << 20  # bytes of objects on disk at a time, and as much again of the batch being fetched
OBJECTS = 400  # of a batch
AT_ONCE = 8  # objects being fetched
PIECE = 4 << 20  # bytes held of each of them


def walk(paths: Sequence[Path | str]) -> list[LogFile]:
    """Every file and every object at the paths, once, in a stable order; raises as `_files.walk` and `listed` do."""
    if not any(map(is_remote, paths)):
        return _files.walk(paths)
    found = [file for path in paths for file in (listed(str(path)) if is_remote(path) else _files.walk([path]))]
    return list({file.shown if file.object else file.path.resolve(): file for file in found}.values())


def listed(url: str) -> list[LogFile]:
    """The objects at a URL: one object, all below a prefix, or those that a pattern (`*`, `**`, `?`) fits.

    Raises UsageError where there is none, LogError where the storage refuses or cannot be reached.
    """
    scheme, bucket, key = split(url)
    pattern = re.compile(_pattern(key)) if any(c in key for c in "*?[") else None
    prefix = key if pattern is None else "/".join(key.split("/")[: _literal(key)])
    try:
        found = list(_listed(scheme, bucket, prefix, exact=pattern is None))
    except library().exceptions.BaseError as problem:
        raise refused(url, scheme, problem) from problem
    home = f"{scheme}://{bucket}/"
    if kept := next((PurePosixPath(o.key) for o in found if PurePosixPath(o.key).name == MARK), None):
        store = home + str(kept.parent)
        raise UsageError(f"{url} holds a store, which is read by itself: {store}", hint="name the store, or the logs")
    known = {o.key: o for o in found}
    fits = [o for o in found if not o.side and (pattern is None or pattern.fullmatch(o.key))]
    wanted = [o for o in fits if not _hidden(o.key, prefix)]
    if not wanted:
        raise UsageError(f"{url}: no objects", hint="give a whole key, a prefix that ends at a slash, or a pattern")
    sides = {o.key: [known[side] for side in _sides(o.key) if side in known] for o in wanted}
    return [
        LogFile(Path(home + o.key), home + o.key, replace(o, sides=tuple(sides[o.key])))
        for o in sorted(wanted, key=lambda o: o.key)
    ]


class Fetcher:
    """Reads files and objects; `doubtful` are those that were not what the listing said, and must not be kept."""

    def __init__(self) -> None:
        self.doubtful: set[str] = set()

    def read(self, asked: Sequence[Asked], read: Callable[[Sequence[Asked], int], list[FileRead]]) -> list[FileRead]:
        """What each file gave, in order. `read` reads files on this machine; it is told how many came before."""
        if not any(file.object for file, _ in asked):
            return read(asked, 0)
        reads: list[FileRead] = []
        with ThreadPoolExecutor(AT_ONCE) as threads, tempfile.TemporaryDirectory(prefix="costaudit-") as folder:
            batches = [_Batch(part, Path(folder, str(n)), self) for n, part in enumerate(_batches(asked))]
            batches[0].start(threads)
            for batch, following in zip(batches, [*batches[1:], None], strict=True):
                local = batch.local()
                if following is not None:
                    following.start(threads)
                reads += batch.told(read(local, len(reads)))
                batch.remove()
        return reads


class _Batch:
    """Objects that are on disk together."""

    def __init__(self, asked: Sequence[Asked], folder: Path, fetcher: Fetcher) -> None:
        self.asked, self.folder, self.fetcher = asked, folder, fetcher
        self.waiting: list[Future[str]] = []
        self.problems: list[str] = []

    def start(self, threads: ThreadPoolExecutor) -> None:
        self.folder.mkdir()
        self.waiting = [threads.submit(self._fetched, file) for file, _ in self.asked]

    def local(self) -> list[Asked]:
        """The files to read, once all are there."""
        self.problems = [future.result() for future in self.waiting]
        return [(LogFile(self._place(file), file.shown, only=file.only), names) for file, names in self.asked]

    def told(self, reads: Sequence[FileRead]) -> Sequence[FileRead]:
        """An object that could not be fetched is a file that could not be read."""
        for read, problem in zip(reads, self.problems, strict=True):
            if problem:
                read.problem, read.unread = problem, True
        return reads

    def remove(self) -> None:
        for path in self.folder.rglob("*"):
            if path.is_file():
                path.unlink()

    def _place(self, file: LogFile) -> Path:
        """Objects of one folder lie in one folder: names and neighbours mean something to some formats."""
        if file.object is None:
            return file.path
        return self.folder / xxh3_64_hexdigest(str(file.path.parent).encode()) / _safe(file.path.name)

    def _fetched(self, file: LogFile) -> str:
        """Put an object and its sides on disk; says what was wrong, or nothing."""
        if file.object is None:
            return ""
        place = self._place(file)
        try:
            for number, item in enumerate((file.object, *file.object.sides)):
                if not _get(item, place if number == 0 else place.with_name(_safe(PurePosixPath(item.key).name))):
                    self.fetcher.doubtful.add(file.shown)
        except (OSError, library().exceptions.BaseError) as problem:
            self.fetcher.doubtful.add(file.shown)
            return f"{file.shown}: cannot be fetched: {sentence(problem)}"
        return ""


def _get(item: Object, place: Path) -> bool:
    """Write an object to a file; whether it was the one that the listing named."""
    obstore = library()
    store = connected(item.scheme, item.bucket)
    try:
        got = obstore.get(store, item.key, options={"if_match": item.etag} if item.etag else None)
        same = bool(item.etag)
    except obstore.exceptions.PreconditionError:
        got, same = obstore.get(store, item.key), False
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("wb") as file:
        for piece in got.stream(min_chunk_size=PIECE):
            file.write(piece)
    return same


def _batches(asked: Sequence[Asked]) -> Iterator[list[Asked]]:
    part: list[Asked] = []
    size = 0
    for file, names in asked:
        more = file.object.size if file.object else 0
        if part and (size + more > BATCH or len(part) >= OBJECTS):
            yield part
            part, size = [], 0
        part.append((file, names))
        size += more
    if part:
        yield part


def _listed(scheme: str, bucket: str, prefix: str, *, exact: bool) -> Iterator[Object]:
    obstore = library()
    store = connected(scheme, bucket)
    if exact and prefix and not prefix.endswith("/"):
        with suppress(FileNotFoundError, obstore.exceptions.NotFoundError):  # a prefix then, not an object
            yield _object(scheme, bucket, obstore.head(store, prefix))
            yield from _beside(store, scheme, bucket, prefix)
            return
    for page in obstore.list(store, prefix.strip("/") or None, chunk_size=1000):
        yield from (_object(scheme, bucket, meta) for meta in page if not meta["path"].endswith("/"))


def _beside(store: Any, scheme: str, bucket: str, key: str) -> Iterator[Object]:
    """What belongs to a single object; hidden from the walk, but part of it."""
    obstore = library()
    for side in _sides(key):
        with suppress(FileNotFoundError, obstore.exceptions.NotFoundError):
            yield replace(_object(scheme, bucket, obstore.head(store, side)), side=True)


def _object(scheme: str, bucket: str, meta: Any) -> Object:
    modified = int(meta["last_modified"].timestamp() * 1_000_000_000)
    return Object(scheme, bucket, meta["path"], meta["size"], meta["e_tag"] or "", modified)


def _sides(key: str) -> Iterable[str]:
    path = PurePosixPath(key)
    names = [beside(Path(path.name)).name, f"{path.name}-wal", f"{path.name}-journal"]
    return [str(path.with_name(name)) for name in names if name != path.name]


def _hidden(key: str, prefix: str) -> bool:
    parts = PurePosixPath(key.removeprefix(prefix)).parts
    return any(part in SKIPPED for part in parts) or key.endswith(("-wal", "-shm", "-journal"))


def _literal(key: str) -> int:
    """How many parts of a pattern stand before the first wildcard."""
    parts = key.split("/")
    return next(n for n, part in enumerate(parts) if any(c in part for c in "*?["))


def _pattern(key: str) -> str:
    """A glob as a regular expression: `*` and `?` stay within a part, `**` crosses them."""
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", key)
    return "".join(wild.get(p) or (p if p.startswith("[") and p.endswith("]") else re.escape(p)) for p in pieces)


def _safe(name: str) -> str:
    """A key's last part as the name of a file."""
    name = name.replace("/", "_").replace("\0", "_")
    if name in ("", ".", "..") or len(os.fsencode(name)) > 200:
        return f"{xxh3_64_hexdigest(name.encode())}{PurePosixPath(name).suffix[:20]}"
    return name
