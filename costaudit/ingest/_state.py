"""What a file is known by: its identity, and the state of its content without reading all of it."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import msgspec
import xxhash

from costaudit.ingest._files import SQLITE, LogFile, Object, beside, is_plain
from costaudit.ingest._streams import STDIN

SIDES = ("-wal", "-journal")  # of databases, beside the descriptions of transcripts (`_files.beside`)
EDGE = 4096  # bytes of head and of tail that are hashed
TICK_NS = 50_000_000  # a change within a tick of the file system's clock (1 to 10 ms) leaves its times as they were
COARSE_NS = 3_000_000_000  # the same where times are whole seconds
LEAST = 1 << 20  # bytes; a smaller file is read again as fast as its beginning is recognised


class State(msgspec.Struct, array_like=True, frozen=True):
    """What a file's content is known by without reading it.

    edges   xxh3 of the first and the last 4 KiB
    sides   number, inode, size and times of the files beside it that are part of it (`SIDES`)
    """

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    edges: int = 0
    sides: tuple[tuple[int, int, int, int, int], ...] = ()


def key_of(file: LogFile, names: Mapping[str, str]) -> bytes:
    """The identity of a file: its path, the name that reports show, and what it calls its columns."""
    whole = "" if file.object else os.path.abspath(file.path)  # noqa: PTH100
    parts = [whole, file.shown, *map(repr, sorted(names.items()))]
    return xxhash.xxh3_128_digest("\0".join(parts).encode(errors="surrogateescape"))


def above(paths: Sequence[Path | str]) -> list[str]:
    """The folder that holds all that was asked for, and the folders above it."""
    remote = [str(path) for path in paths if "://" in str(path)]
    if remote:
        prefix = PurePosixPath(remote[0].partition("*")[0])
        return [str(folder) for folder in (prefix, *prefix.parents)]
    folders = []
    for path in paths:
        whole = os.path.abspath(path)  # noqa: PTH100 - links stay as they are written, as in reports
        while not os.path.isdir(whole):  # noqa: PTH112 - a file or a pattern
            whole = os.path.dirname(whole)  # noqa: PTH120
        folders.append(whole)
    try:
        common = Path(os.path.commonpath(folders))
    except ValueError:  # on several drives
        common = Path(folders[0])
    return [str(folder) for folder in (common, *common.parents)]


def place_of(folder: str) -> str:
    """The name of a folder's place in a cache."""
    return xxhash.xxh3_64_hexdigest(os.fsencode(folder))


def state_of(file: LogFile) -> State | None:
    """The state of a regular file; None for anything that cannot be known again."""
    if file.path == STDIN:
        return None
    if file.object is not None:
        sides = enumerate(file.object.sides)
        return State(
            0,
            0,
            *_tagged(file.object),
            tuple((n, 0, size, at, tag) for n, o in sides for size, at, _, tag in [_tagged(o)]),
        )
    try:
        if not stat.S_ISREG(file.path.stat().st_mode):
            return None  # opening a pipe would wait for its writer
        with file.path.open("rb", buffering=0) as stream:
            known = os.fstat(stream.fileno())
            head = stream.read(EDGE)
            if head.startswith(SQLITE) and _unfinished(file.path):
                return None  # its newest rows stand in another file
            edges = xxhash.xxh3_64(head)
            if known.st_size > EDGE:
                stream.seek(max(EDGE, known.st_size - EDGE))
                edges.update(stream.read(EDGE))
    except OSError:
        return None
    return State(
        known.st_dev,
        known.st_ino,
        known.st_size,
        known.st_mtime_ns,
        known.st_ctime_ns,
        edges.intdigest(),
        tuple(_sides(file.path)),
    )


def _unfinished(path: Path) -> bool:
    from costaudit.ingest._sqlite import unfinished  # databases are rare, and their engine is large

    return bool(unfinished(path))


def _tagged(item: Object) -> tuple[int, int, int, int]:
    """Size and time of an object, no time of its inode, and the hash of its tag."""
    return item.size, item.modified_ns, 0, xxhash.xxh3_64_intdigest(item.etag.encode())


def _sides(path: Path) -> Iterator[tuple[int, int, int, int, int]]:
    for number, side in enumerate([os.fspath(beside(path)), *(f"{path}{end}" for end in SIDES)]):
        try:
            known = os.stat(side)  # noqa: PTH116 - most are not there: three times as fast as a Path
        except OSError:
            continue
        yield number, known.st_ino, known.st_size, known.st_mtime_ns, known.st_ctime_ns


def beginning(path: Path, size: int) -> int:
    """The hash of the first `size` bytes; raises OSError."""
    digest = xxhash.xxh3_64()
    with path.open("rb", buffering=0) as stream:
        while size > 0 and (data := stream.read(min(size, 4 << 20))):
            digest.update(data)
            size -= len(data)
    return digest.intdigest()


def goes_on(file: LogFile, now: State, before: State, until: tuple[int, int] | None, whole: int) -> bool:
    """Whether a file is what it was, byte for byte, and more behind it."""
    if until is None or now.sides or (now.device, now.inode) != (before.device, before.inode) or now.size <= until[0]:
        return False
    try:
        return beginning(file.path, until[0]) == whole
    except OSError:
        return False


def to_go_on_from(file: LogFile, offset: int) -> int:
    """The hash that a file is known again by when it has grown; 0 where it is to be read as a whole then."""
    if file.object is not None or offset < LEAST or not is_plain(file.path):
        return 0
    return beginning(file.path, offset)


def steady(before: State | None, file: LogFile) -> bool:
    """Whether the file is what it was before it was read, and will show it when it changes."""
    if before is not None and file.object is not None:
        return True  # it was fetched as the object of this very tag
    return before is not None and before == state_of(file) and settled(before)


def settled(state: State) -> bool:
    """Whether the last change is so long ago that one from now on gives the file other times."""
    posix = os.name == "posix"  # elsewhere ctime is the time of creation
    changes = [(state.mtime_ns, state.ctime_ns), *(side[3:] for side in state.sides)]
    newest = max(ctime if posix else max(mtime, ctime) for mtime, ctime in changes)
    tick = TICK_NS if newest % 1_000_000_000 else COARSE_NS
    return time.time_ns() - newest > tick
