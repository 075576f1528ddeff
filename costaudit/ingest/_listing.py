"""The list of a store: which files count, with the size, hash and times of each. A change is a new list."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Protocol

import msgspec
from xxhash import xxh3_128

from costaudit import schema
from costaudit.errors import LogError

MARK = "costaudit-store.json"
FORMAT = "costaudit-store"
LISTS = "lists"  # folder of numbered lists; where they are, the mark is no list itself
# Below the store, whatever a list that somebody else wrote says.
Rows = Annotated[str, msgspec.Meta(pattern=r"\Arequests/month=[\w-]+/[\w-]+\.parquet\Z")]
Sums = Annotated[str, msgspec.Meta(pattern=r"\Asums/month=[\w-]+/[\w-]+\.parquet\Z")]
PIECE = 4 << 20  # bytes of a file that are hashed together
RESTORE = "restore it from a backup, or ingest the logs again into a new folder"


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """One file of rows.

    file         requests/month=2026-10/<hash>.parquet
    restated     rows that restate the usage of others (roll-ups), part of `rows`
    first, last  times of its rows; None in the part of rows without a time
    sums, stamp  the file of its sums, and what they were made with (prices, code)
    """

    file: Rows
    rows: int
    restated: int
    bytes: int
    xxh3: str
    first: datetime | None = None
    last: datetime | None = None
    sums: Sums | None = None
    stamp: str | None = None

    @property
    def month(self) -> str:
        return self.file.split("/")[1].removeprefix("month=")

    def within(self, start: datetime | None, end: datetime | None) -> bool:
        """Whether the half-open window can hold a row of it; a row without a time is in no window."""
        if start is None and end is None:
            return True
        if self.first is None or self.last is None:
            return False
        return (end is None or self.first < end) and (start is None or self.last >= start)


class _Head(msgspec.Struct):
    """What every version of a list says; `lists` where it is only the mark of a store with numbered lists."""

    schema: int
    lists: str | None = None


class _Listing(msgspec.Struct, frozen=True, omit_defaults=True):
    """The parts of a store, in order of month and time.

    writer  a name that no other list has: who finds it knows whose list it is
    """

    schema: int
    format: str = ""
    writer: str = ""
    parts: list[Part] | None = None  # None: written before there were lists


def unread(shown: str, why: Exception | str = "") -> LogError:
    """That a file of a store is not as it was written, or not there; or why the system does not let it be read."""
    if isinstance(why, OSError):
        if why.errno not in (errno.EIO, errno.ENOENT):
            return LogError(
                f"{shown}: cannot be read: {why.strerror or why}",
                hint="the store may be whole; mend that, then try again",
            )
        why = why.strerror or ""
    return LogError(f"{shown}: damaged{f': {why}' if why and isinstance(why, str) else ''}", hint=RESTORE)


def head(data: bytes, shown: str) -> _Head:
    """Version and kind of a list; LogError where it is damaged or of another version."""
    try:
        found = msgspec.json.decode(data, type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise unread(shown) from problem
    if found.schema != schema.VERSION:
        raise LogError(
            f"{shown}: written with version {found.schema} of the request table, this program reads {schema.VERSION}",
            hint="ingest the logs again into a new folder",
        )
    return found


def decoded(data: bytes, shown: str) -> list[Part] | None:
    """The parts a list names; None where it is of a time before there were lists. Raises as `head` does."""
    head(data, shown)
    try:
        return msgspec.json.decode(data, type=_Listing).parts
    except msgspec.DecodeError as problem:
        raise unread(shown) from problem


def encoded(parts: Iterable[Part], writer: str = "") -> bytes:
    """A list as it is written, indented."""
    ordered = sorted(parts, key=lambda p: (p.month, p.first.timestamp() if p.first else 0.0, p.file))
    data = msgspec.json.encode(_Listing(schema.VERSION, FORMAT, writer, ordered))
    return msgspec.json.format(data, indent=1) + b"\n"


def mark() -> bytes:
    """The mark of a store with numbered lists."""
    return msgspec.json.encode({"format": FORMAT, "schema": schema.VERSION, "lists": LISTS}) + b"\n"


def written_by(data: bytes, writer: str) -> bool:
    """Whether a list is that of the writer."""
    try:
        return msgspec.json.decode(data, type=_Listing).writer == writer
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def number(name: str) -> int:
    """The number of a numbered list's file, 0 where it is something else."""
    path = PurePosixPath(name)
    return int(path.stem) if path.suffix == ".json" and path.stem.isdecimal() else 0


def numbered(number: int) -> str:
    return f"{LISTS}/{number:010}.json"


def hash_of(file: str) -> str:
    """The hash of a file's content, as its name has it: `<hash>.parquet`, or `<hash>-<anything>.parquet`."""
    return PurePosixPath(file).stem.partition("-")[0]


def digest(path: Path) -> str:
    """The hash of a file's content."""
    found = xxh3_128()
    with path.open("rb") as file:
        while data := file.read(PIECE):
            found.update(data)
    return found.hexdigest()


def changed(shown: str) -> OSError:
    """That a file is not what was written."""
    return OSError(errno.EIO, "not as it was written", shown)


def named(parts: Iterable[Part]) -> set[str]:
    """The files that a list names."""
    return {name for part in parts for name in (part.file, part.sums) if name}


class Change(Protocol):
    """What a list becomes: the parts before in, those after out; called again where another writer was quicker."""

    def __call__(self, held: list[Part], /) -> Sequence[Part]: ...


class Place(Protocol):
    """Where the files of a store lie: files are written once and never changed, and one list says which count.

    shown  what the user calls it
    OSErrors say what went wrong where; `strerror` is a sentence.
    """

    shown: str

    def exists(self) -> bool:
        """Whether a store is there; LogError where nobody can say."""

    def load(self) -> list[Part]:
        """The parts of the store; LogError where the list is damaged, of another version or cannot be read."""

    def change(self, made: Change) -> int:
        """Make the parts what `made` makes of them, all at once or not at all; files removed that were left behind.

        A store is made where none is. Raises UsageError where there is something else, LogError where it cannot be
        written.
        """

    def sweep(self) -> int:
        """Remove files that nobody can need any more; how many."""

    def room(self) -> AbstractContextManager[Path]:
        """A path for a file that is being made; what is there in the end is removed."""

    def put(self, name: str, data: bytes | Path) -> str:
        """Write a file, whole, or take the one at the path; the name it got (`hash_of` is the same)."""

    def told(self, name: str) -> tuple[int, str]:
        """Bytes and hash (`hash_of`) of the file as it is there now, all of which is read."""

    def paths(self, names: Sequence[str]) -> list[str]:
        """The files as files of this machine."""

    def whole(self, names: Sequence[str]) -> list[str]:
        """The same of files that are as they were written: Parquet itself does not notice a changed byte. OSError
        where one is not."""

    def show(self, name: str) -> str:
        """A file's name for messages."""

    def strays(self, held: Sequence[Part]) -> list[str]:
        """Sentences on files that no list names."""
