"""A store in object storage: numbered lists that are created, never replaced; no lock that could be left behind.

    s3://BUCKET/STORE/costaudit-store.json                           the mark: that a store is here
    s3://BUCKET/STORE/lists/0000000007.json                          the seventh list; the highest number holds
    s3://BUCKET/STORE/requests/month=2026-10/<hash>-<random>.parquet
    s3://BUCKET/STORE/sums/month=2026-10/<hash>-<random>.parquet

A writer reads the newest list, writes its parts under names that nobody else can have, and creates the next list on
condition that no object of that name is there (`If-None-Match: *`, on Google `x-goog-if-generation-match: 0`). Of two
writers one wins; the other one reads what the winner wrote and merges again. Storage that ignores the condition would
lose a winner's rows, so it is found out before anything is written, and refused.

What no list of the last day names is garbage once it is a day old itself (`GRACE`): so nobody's parts are removed while
he still writes or reads. A writer that takes half as long begins again.
"""

from __future__ import annotations

import atexit
import errno
import random
import secrets
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from operator import sub
from pathlib import Path
from typing import TypeVar

from xxhash import xxh3_128

from costaudit import scratch
from costaudit.errors import LogError, UsageError
from costaudit.ingest import _listing as listing
from costaudit.ingest._listing import LISTS, MARK, RESTORE, Change, Part
from costaudit.ingest._objects import connected, library, refused, sentence, split

GRACE = timedelta(days=1)
TRIES = 12  # of a write, while other writers are quicker
PAUSE = 0.05  # seconds before the second try, at most; doubled with each
LONGEST = 5.0  # seconds of a pause
MANY = 200  # lists, after as many a write removes the old ones
AT_ONCE = 8  # objects being fetched
PIECE = 4 << 20  # bytes held of each of them
KEPT = 8 << 30  # bytes of fetched objects on disk, unless more are asked for at once

T = TypeVar("T")


@cache
def bucket(url: str) -> Bucket:
    """The place of that address; what it fetched stays on disk while the process runs."""
    return Bucket(url)


class Bucket:
    """A prefix of a bucket [Place]."""

    def __init__(self, url: str) -> None:
        self.shown = url.rstrip("/")
        self.scheme, name, key = split(self.shown)
        self.prefix = key.strip("/")
        self.obstore = library()
        self.store = connected(self.scheme, name)
        self.fetched: OrderedDict[str, int] = OrderedDict()  # name: bytes, the longest unused first
        self.folder: tempfile.TemporaryDirectory[str] | None = None
        self.written: list[str] = []
        self.sure = False

    def exists(self) -> bool:
        try:
            return self._exists(MARK)
        except OSError as problem:
            raise refused(self.shown, self.scheme, problem, "cannot be read") from problem

    def load(self) -> list[Part]:
        return self._newest()[1]

    def change(self, made: Change) -> int:
        try:
            self._prepare()
            for attempt in range(TRIES):
                began = _clocks()
                number, held = self._newest()
                self.written = []
                after = list(made(list(held)))
                if after == held or self._created(number + 1, after, began):
                    break
                self._discard()
                time.sleep(random.uniform(0, min(LONGEST, PAUSE * 2**attempt)))
            else:
                raise LogError(
                    f"{self.shown}: other processes wrote to it {TRIES} times while this one merged",
                    hint="nothing was stored; run the command again when fewer write at once",
                )
            with suppress(OSError):  # what is to be stored is stored
                return self._sweep() if number % MANY == MANY - 1 else 0
            return 0
        except OSError as problem:
            raise refused(self.shown, self.scheme, problem, "cannot be written", UsageError) from problem

    def _prepare(self) -> None:
        """Make the mark, and find out whether the storage creates an object only where there is none."""
        if self.sure:
            return
        fresh = not self._exists(MARK)
        if fresh and self._any("") and not self._exists(MARK):  # another writer may have marked it since
            raise UsageError(
                f"{self.shown}: not a store, and not empty", hint="name a new prefix, or an existing store"
            )
        if self._create(MARK, listing.mark()) and self._create(MARK, listing.mark()):
            if fresh:
                self._remove([MARK])
            raise UsageError(
                f"{self.shown}: this storage writes over an object though it is told not to (If-None-Match: *), so two "
                "writers could lose each other's requests",
                hint="nothing was stored; keep the store in a folder, or in storage that honours conditional writes",
            )
        if not self._lists():
            self._create(listing.numbered(1), listing.encoded([]))
        self.sure = True

    def _newest(self) -> tuple[int, list[Part]]:
        """The newest list and its number; 0 where a store was only marked."""
        try:
            number = max(self._lists(), default=0)
            if not number:
                return 0, self._unlisted()
            name = listing.numbered(number)
            return number, listing.decoded(self.content(name), self.show(name)) or []
        except OSError as problem:
            raise refused(self.shown, self.scheme, problem, "cannot be read") from problem

    def _unlisted(self) -> list[Part]:
        """No parts, where none was ever written; LogError where the lists are gone."""
        listing.head(self.content(MARK), self.show(MARK))
        if self._any("requests"):
            raise LogError(f"{self.show(LISTS)}: the lists of the store are gone", hint=RESTORE)
        return []

    def _created(self, number: int, parts: Iterable[Part], began: tuple[float, float]) -> bool:
        """Whether the parts became the list of that number: not, where another writer's has it."""
        if max(map(sub, _clocks(), began)) > GRACE.total_seconds() / 2:
            return False
        writer = secrets.token_hex(8)
        name = listing.numbered(number)
        try:
            # An answer that was lost looks like a refusal when the request is sent again.
            won = self._create(name, listing.encoded(parts, writer)) or self._wrote(name, writer)
        except OSError:
            if not self._wrote(name, writer):
                raise
            won = True
        # Lists are removed from the oldest on: where the one before is gone, this number was given long ago.
        return won and self._exists(listing.numbered(number - 1))

    def _wrote(self, name: str, writer: str) -> bool:
        with suppress(FileNotFoundError):
            return listing.written_by(self.content(name), writer)
        return False

    def _discard(self) -> None:
        """Remove what a try wrote that another writer was quicker than: no list names it, nor will one."""
        with suppress(OSError):
            self._remove(self.written)

    @contextmanager
    def room(self) -> Iterator[Path]:
        path = self._local(f"{secrets.token_hex(8)}.writing")
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def put(self, name: str, data: bytes | Path) -> str:
        name = f"{name.removesuffix('.parquet')}-{secrets.token_hex(8)}.parquet"
        self.written.append(name)
        self._ask(lambda: self.obstore.put(self.store, self._key(name), data))
        return name

    def content(self, name: str) -> bytes:
        return bytes(self._ask(lambda: self.obstore.get(self.store, self._key(name)).bytes()))

    def told(self, name: str) -> tuple[int, str]:
        found = self._fetch(name)
        self.fetched.pop(name, None)
        if found[1] == listing.hash_of(name):  # whoever reads it next need not fetch it again
            self.fetched[name] = found[0]
            self._make_room(1)
        return found

    def whole(self, names: Sequence[str]) -> list[str]:
        return self.paths(names)  # they were checked when they were fetched

    def paths(self, names: Sequence[str]) -> list[str]:
        missing = [name for name in dict.fromkeys(names) if name not in self.fetched]
        if len(missing) == 1:
            self.fetched[missing[0]] = self._whole(missing[0])
        elif missing:
            self._local("")  # one folder for all threads
            with ThreadPoolExecutor(AT_ONCE) as threads:
                self.fetched.update(zip(missing, threads.map(self._whole, missing), strict=True))
        for name in names:
            self.fetched.move_to_end(name)
        self._make_room(len(set(names)))
        return [str(self._local(name)) for name in names]

    def _make_room(self, needed: int) -> None:
        while sum(self.fetched.values()) > KEPT and len(self.fetched) > needed:
            name, _ = self.fetched.popitem(last=False)
            self._local(name).unlink()

    def _local(self, name: str) -> Path:
        if self.folder is None:
            self.folder = tempfile.TemporaryDirectory(prefix="costaudit-", dir=scratch.folder())
            atexit.register(self.folder.cleanup)
        return Path(self.folder.name, name.replace("/", "_"))

    def _whole(self, name: str) -> int:
        """Put an object on disk; its size. OSError where it is not what was written."""
        size, digest = self._fetch(name)
        if digest != listing.hash_of(name):
            raise listing.changed(f"{size:,} bytes")
        return size

    def _fetch(self, name: str) -> tuple[int, str]:
        """Put an object on disk; its size and hash."""
        place, digest, size = self._local(name), xxh3_128(), 0
        with place.open("wb") as file:
            got = self._ask(lambda: self.obstore.get(self.store, self._key(name)))
            pieces = iter(got.stream(min_chunk_size=PIECE))
            while piece := self._ask(lambda: next(pieces, b"")):
                data = memoryview(piece)
                digest.update(data)
                size += file.write(data)
        return size, digest.hexdigest()

    def show(self, name: str) -> str:
        return f"{self.shown}/{name}"

    def strays(self, held: Sequence[Part]) -> list[str]:
        named = listing.named(held)
        left = sum(name not in named for kind in ("requests", "sums") for name in self._listed(kind))
        if not left:
            return []
        what = "1 object is" if left == 1 else f"{left:,} objects are"
        until = f"`costaudit store compact` removes such after {GRACE // timedelta(hours=1)} hours"
        return [f"{self.shown}: {what} not in the newest list; {until}"]

    def sweep(self) -> int:
        """Remove lists and files that nobody can need any more; how many."""
        try:
            return self._sweep()
        except OSError as problem:
            raise refused(self.shown, self.scheme, problem, "cannot be cleaned up") from problem

    def _sweep(self) -> int:
        lists = self._lists()
        numbers = sorted(lists)
        files = {name: when for kind in ("requests", "sums") for name, when in self._listed(kind).items()}
        if len(numbers) < 2 and files.keys() <= listing.named(self.load()):
            return 0
        limit = self._clock() - GRACE
        old = [number for number, after in pairwise(numbers) if lists[after] < limit]
        kept = [number for number in numbers if number not in old]
        named = {name for number in kept for name in listing.named(self._parts_of(number))}
        gone = [name for name, when in files.items() if name not in named and when < limit]
        for number in old:  # one after the other, from the oldest on (`_created`)
            self._remove([listing.numbered(number)])
        self._remove(gone)
        return len(old) + len(gone)

    def _parts_of(self, number: int) -> list[Part]:
        name = listing.numbered(number)
        return listing.decoded(self.content(name), self.show(name)) or []

    def _clock(self) -> datetime:
        """What time it is by the clock that the objects' times are of."""
        name = f"clock-{secrets.token_hex(8)}"
        self._create(name, b"")
        try:
            when: datetime = self._ask(lambda: self.obstore.head(self.store, self._key(name)))["last_modified"]
            return when
        finally:
            self._remove([name])

    def _lists(self) -> dict[int, datetime]:
        found = {listing.number(name): when for name, when in self._listed(LISTS).items()}
        return {number: when for number, when in found.items() if number}

    def _listed(self, below: str) -> dict[str, datetime]:
        """Names and times of all objects below a folder of the store."""
        prefix = self._key(below).strip("/")
        pages = self._ask(lambda: self.obstore.list(self.store, prefix or None, chunk_size=1000).collect())
        start = len(self.prefix) + 1 if self.prefix else 0
        return {meta["path"][start:]: meta["last_modified"] for meta in pages}

    def _any(self, below: str) -> bool:
        """Whether there is any object below a folder of the store."""
        prefix = self._key(below).strip("/")
        pages = iter(self.obstore.list(self.store, prefix or None, chunk_size=10))
        return bool(self._ask(lambda: next(pages, ())))

    def _exists(self, name: str) -> bool:
        try:
            self._ask(lambda: self.obstore.head(self.store, self._key(name)))
        except FileNotFoundError:
            return False
        return True

    def _create(self, name: str, data: bytes) -> bool:
        """Write an object where there is none; whether there was none."""
        try:
            self._ask(lambda: self.obstore.put(self.store, self._key(name), data, mode="create"))
        except FileExistsError:
            return False
        return True

    def _remove(self, names: Sequence[str]) -> None:
        if names:
            with suppress(FileNotFoundError):
                self._ask(lambda: self.obstore.delete(self.store, [self._key(name) for name in names]))

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def _ask(self, what: Callable[[], T]) -> T:
        """What the storage answers; its refusals as OSErrors with a sentence."""
        errors = self.obstore.exceptions
        try:
            return what()
        except (FileNotFoundError, errors.NotFoundError) as problem:
            raise FileNotFoundError(errno.ENOENT, sentence(problem)) from problem
        except (errors.AlreadyExistsError, errors.PreconditionError) as problem:
            raise FileExistsError(errno.EEXIST, "there already") from problem
        except errors.BaseError as problem:
            raise OSError(errno.EIO, sentence(problem)) from problem


def _clocks() -> tuple[float, float]:
    """Seconds by the clock that goes on while a machine sleeps, and by the one that nobody sets back."""
    return time.time(), time.monotonic()
