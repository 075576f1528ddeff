"""Logs in object storage: `s3://`, `gs://`, `az://` paths are listed, fetched a few at a time, and read like files.

The optional extra `costaudit[cloud]` brings obstore (one wheel, no dependencies of its own) for the three protocols.
Credentials and endpoints come from the environment alone. Objects go through a folder of temporary files that is
emptied batch after batch, so that every format, compression and worker process reads them as it reads any file; the
next batch is fetched while one is read.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from xxhash import xxh3_64_hexdigest

from costaudit.errors import LogError, UsageError
from costaudit.ingest import _files
from costaudit.ingest._files import SKIPPED, LogFile, Object, beside
from costaudit.ingest._parts import MARK

if TYPE_CHECKING:
    from costaudit.ingest._read import Asked, FileRead

SCHEMES = ("s3://", "gs://", "az://")
BATCH = 512 << 20  # bytes of objects on disk at a time, and as much again of the batch being fetched
OBJECTS = 400  # of a batch
AT_ONCE = 8  # objects being fetched
PIECE = 4 << 20  # bytes held of each of them
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL; "
    "AWS_SKIP_SIGNATURE=true for a public bucket",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
}


def is_remote(path: object) -> bool:
    """Whether a path names an object, a prefix or a pattern in object storage."""
    return str(path).startswith(SCHEMES)


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
    scheme, bucket, key = _split(url)
    pattern = re.compile(_pattern(key)) if any(c in key for c in "*?[") else None
    prefix = key if pattern is None else "/".join(key.split("/")[: _literal(key)])
    try:
        found = list(_listed(scheme, bucket, prefix, exact=pattern is None))
    except _obstore().exceptions.BaseError as problem:
        raise _refused(url, scheme, problem) from problem
    home = f"{scheme}://{bucket}/"
    if any(PurePosixPath(o.key).name == MARK for o in found):
        raise UsageError(f"{url} holds a store: stores are read from a local folder", hint="copy it, or name its logs")
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
            read.problem = problem or read.problem
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
        except (OSError, _obstore().exceptions.BaseError) as problem:
            self.fetcher.doubtful.add(file.shown)
            return f"{file.shown}: cannot be fetched: {_sentence(problem)}"
        return ""


def _get(item: Object, place: Path) -> bool:
    """Write an object to a file; whether it was the one that the listing named."""
    obstore = _obstore()
    store = _store(item.scheme, item.bucket)
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
    obstore = _obstore()
    store = _store(scheme, bucket)
    if exact and prefix and not prefix.endswith("/"):
        with suppress(FileNotFoundError, obstore.exceptions.NotFoundError):  # a prefix then, not an object
            yield _object(scheme, bucket, obstore.head(store, prefix))
            yield from _beside(store, scheme, bucket, prefix)
            return
    for page in obstore.list(store, prefix.strip("/") or None, chunk_size=1000):
        yield from (_object(scheme, bucket, meta) for meta in page if not meta["path"].endswith("/"))


def _beside(store: Any, scheme: str, bucket: str, key: str) -> Iterator[Object]:
    """What belongs to a single object; hidden from the walk, but part of it."""
    obstore = _obstore()
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


def _split(url: str) -> tuple[str, str, str]:
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    if not bucket:
        raise UsageError(f"{url}: names no bucket", hint=f"e.g. {scheme}://bucket/logs/2026-10/")
    return scheme, bucket, key


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


def _store(scheme: str, bucket: str) -> Any:
    endpoints = [os.environ.get(name, "") for name in ENDPOINTS]
    options: dict[str, Any] = {
        "client_options": {"allow_http": True} if any(e.startswith("http://") for e in endpoints) else None,
        "retry_config": {"max_retries": 4},
    }
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    if scheme == "gs" and emulator:  # as Google's own libraries read it
        host = emulator if "://" in emulator else f"http://{emulator}"
        options |= {"base_url": host, "skip_signature": True, "client_options": {"allow_http": True}}
    from obstore.store import from_url

    return from_url(f"{scheme}://{bucket}/", **options)


def _obstore() -> Any:
    try:
        import obstore
        import obstore.exceptions
    except ImportError:
        raise UsageError(
            "reading from object storage needs the extra `cloud`", hint="pip install 'costaudit[cloud]'"
        ) from None
    return obstore


def _refused(url: str, scheme: str, problem: Exception) -> LogError:
    return LogError(
        f"{url}: cannot be listed: {_sentence(problem)}",
        hint=f"credentials and endpoint come from the environment: {CREDENTIALS[scheme]}",
    )


def _sentence(problem: Exception) -> str:
    """What the storage said, without its request, its XML and its stack."""
    text = str(problem)
    said = re.search(r"<Code>([^<]*)</Code>\s*<Message>([^<]*)</Message>", text)
    if said:
        return f"{said[1]}: {said[2]}"
    return text.partition("\n")[0][:300]
