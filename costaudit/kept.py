"""The cache folder: where it is, how large it grows, and files in it that are whole or not there.

    CACHE/<version>/<folder>/*.pack     what log files gave (`ingest._cache`)
    CACHE/answers/<two digits>/*.answer what was worked out from them (`known`)
    CACHE/formats/<what>/*.answer       what formats look for (`ingest._marks`), and what they say of themselves
    CACHE/prices/*.answer               price files, parsed (`price.book`)

Nothing in it is needed: it may be deleted at any time, and what is damaged counts as absent.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec
import xxhash

LIMIT = 2 << 30  # bytes of all files; the least recently used go first
SUFFIXES = (".pack", ".answer")
HALVES_S = 3600  # seconds after which a file that is being written has no writer any more
MAGIC = b"costaudit-kept1\n"
T = TypeVar("T")
_START = len(MAGIC) + 16  # magic, then the hash of the rest


def place(asked: Path | None = None) -> Path:
    """Where the cache is: what the environment says, else the settings, else the system's folder for caches."""
    named = os.environ.get("COSTAUDIT_CACHE_DIR")
    if named:
        return Path(named).expanduser()
    if asked is not None:
        return asked
    import platformdirs

    return platformdirs.user_cache_path("costaudit", appauthor=False)


def written(folder: Path, parts: Iterable[bytes], suffix: str, name: str = "") -> Path:
    """A new file in the folder, written under another name and then renamed; OSError where there is no room.

    name  its name without the suffix, in place of whatever has it; empty: one that no other file has
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, beside = tempfile.mkstemp(dir=folder, prefix=f"{time.time_ns()}-", suffix=".writing")  # its owner's alone
    try:
        with os.fdopen(handle, "wb") as file:
            for part in parts:
                file.write(part)
        path = folder / f"{name}{suffix}" if name else Path(beside).with_suffix(suffix)
        Path(beside).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(beside).unlink()
        raise
    return path


def keep(path: Path, data: bytes) -> None:
    """Keep the bytes under this name; OSError where there is no room."""
    written(path.parent, (MAGIC, xxhash.xxh3_128_digest(data), data), path.suffix, path.stem)


def take(path: Path) -> bytes | None:
    """The bytes that were kept under this name, and a sign that they are of use; None if they are not whole."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if not data.startswith(MAGIC) or xxhash.xxh3_128_digest(memoryview(data)[_START:]) != data[len(MAGIC) : _START]:
        return None
    used(path)
    return data[_START:]


def learned(what: str, code: str, kind: type[T], made: Callable[[], T]) -> T:
    """What modules in a folder say of themselves: kept while none of them changes, else found out.

    what  names it in the cache; kind: what `msgspec` reads it as
    """
    name = xxhash.xxh3_128_hexdigest(stamp(code, ".py"))
    path = place() / "formats" / what / f"{name}{SUFFIXES[1]}"
    data = take(path)
    if data is not None:
        with suppress(msgspec.MsgspecError):
            return msgspec.msgpack.decode(data, type=kind)
    found = made()
    with suppress(OSError):
        keep(path, msgspec.msgpack.encode(found))
    return found


def matching(folder: Path, pattern: str) -> list[Path]:
    """Files of the cache by their names; none where the folder may not be looked into, for nothing in it is needed."""
    try:
        return sorted(folder.glob(pattern))
    except OSError:  # the home of somebody else, which `sudo` leaves in the environment
        return []


def used(path: Path) -> None:
    """Used now: not the next to go."""
    with suppress(OSError):
        os.utime(path)


def removed(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def evict(root: Path) -> None:
    """Keep all files together under the limit, and no halves that a killed process has left behind."""
    found = []
    for path in matching(root, "*/*/*"):
        try:
            known = path.stat()
        except OSError:
            continue
        if path.suffix in SUFFIXES:
            found.append((known.st_mtime_ns, known.st_size, path))
        elif time.time() - known.st_mtime > HALVES_S:
            removed(path)
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= LIMIT:
            break
        removed(path)
        total -= size


def stamp(folder: str, end: str) -> bytes:
    """What the files below a folder are, by size and times; no program can set the last of these."""
    digest = xxhash.xxh3_128()
    for path in sorted(_below(folder, end)):
        digest.update(stamp_of(path))
    return digest.digest()


def stamp_of(path: str) -> bytes:
    """The same of one file."""
    known = os.stat(path)  # noqa: PTH116 - several hundred at every start
    return f"{path}\0{known.st_size}\0{known.st_mtime_ns}\0{known.st_ctime_ns}\0".encode(errors="surrogateescape")


def _below(folder: str, end: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _below(entry.path, end)
            elif entry.name.endswith(end):
                yield entry.path
