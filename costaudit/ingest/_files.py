"""Paths to records: walk folders, undo compression, split a file into JSON values, CSV rows or Parquet rows.

Content decides, never a file's name. One damaged record costs one record.
"""

from __future__ import annotations

import csv
import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from costaudit.config import FILE_NAME
from costaudit.errors import LogError, UnreadError, UsageError
from costaudit.ingest import _unknown
from costaudit.ingest._blocks import Cut, Lines, blocks
from costaudit.ingest._streams import STDIN, UTF16, Inflated, Read, Recoded, Stream, head_of, open_log, spooled


class Record(NamedTuple):
    """One log record: JSON text not yet decoded, or a row already split into fields."""

    line: int  # from 1; for a container, the number of the element
    offset: int  # byte in the decompressed file where it starts; 0 where the shape has none
    data: bytes | dict[str, Any]
    early: Any = None  # what a reader has decoded of it already (`_early`)


class Bad(NamedTuple):
    """A piece of a file that is no record, with the reason."""

    line: int
    offset: int
    reason: str


SKIPPED = {".git", ".hg", ".svn", "__pycache__", "lost+found", "node_modules"}  # folders that hold no logs
SQLITE = b"SQLite format 3\x00"  # how a database begins
OPENS = b"{"
BLANK = "blank"
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # what decoding a record can raise

NO_FILES = "no files"
GIVEN = "give log files, folders, globs, or - for standard input"
UNDERSTOOD = "`costaudit formats` lists what is understood, `costaudit formats generic` how any other log is brought in"


class Object(msgspec.Struct, frozen=True):
    """An object of a bucket as its listing tells it (`_remote`); `sides` are the objects that are part of it."""

    scheme: str
    bucket: str
    key: str
    size: int
    etag: str
    modified_ns: int
    sides: tuple[Object, ...] = ()
    side: bool = False


class Known(NamedTuple):
    """Where reading may go on in a file whose beginning is known: the byte behind a complete line, and lines so far."""

    offset: int
    lines: int


class LogFile(msgspec.Struct, frozen=True):
    """A file to read, and the name reports show for it."""

    path: Path
    shown: str
    object: Object | None = None  # where it has to be fetched from
    known: Known | None = None
    end: int | None = None  # the byte behind the last line to read of it (`_slices`)
    only: frozenset[str] | None = None  # columns of requests that are wanted; None: all of them


def walk(paths: Sequence[Path | str]) -> list[LogFile]:
    """Every file below the given files, folders and globs, once, in a stable order.

    Raises UsageError for a path that does not exist: a forgotten folder must not look like a cheap month.
    """
    found: dict[str, LogFile] = {}
    for given in paths:
        for path in _expand(Path(given)):
            if path == STDIN:
                found.setdefault("-", LogFile(path, "<stdin>"))
            elif path.is_dir():
                for real, child in _below(path, os.path.realpath(path)):
                    found.setdefault(real, LogFile(child, _shown(child)))
            else:
                found.setdefault(os.path.realpath(path), LogFile(path, _shown(path)))
    return list(found.values())


def _shown(path: Path) -> str:
    """The name of a file as text: bytes of it that are none are written as escapes."""
    text = path.as_posix()
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text  # no second copy: of a million files those take a tenth of a gigabyte


def nothing(paths: Sequence[Path | str], why: str = NO_FILES) -> LogError:
    """That there is no log at the paths."""
    where = ", ".join(str(path) for path in paths)
    return LogError(f"{where}: {why}", hint=GIVEN if why == NO_FILES else UNDERSTOOD)


def _below(folder: Path, real: str) -> Iterator[tuple[str, Path]]:
    """The files below a folder with their real names, in the order of their paths; linked folders are not entered."""
    try:
        with os.scandir(folder) as inside:
            entries = sorted(inside, key=lambda entry: entry.name)
    except OSError:  # what is not seen must not look like a cheap month: reading it says why it cannot be read
        yield real, folder
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in SKIPPED:
                yield from _below(folder / entry.name, f"{real}/{entry.name}")
        elif _is_file(entry) and entry.name != FILE_NAME and not _beside_database(folder / entry.name):
            whole = os.path.realpath(entry.path) if entry.is_symlink() else f"{real}/{entry.name}"
            yield whole, folder / entry.name


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError as problem:
        return problem.errno != errno.ELOOP  # a link that leads to itself leads to no file; reading says what else is


def _expand(path: Path) -> list[Path]:
    if path == STDIN or path.exists():
        return [path]
    if any(c in str(path) for c in "*?["):
        root = Path(path.anchor) if path.is_absolute() else Path()
        matches = sorted(root.glob(str(path.relative_to(path.anchor)) if path.is_absolute() else str(path)))
        if matches:
            return matches
        raise UsageError(f"{path}: nothing matches", hint="quote the pattern, and check it with `ls`")
    raise UsageError(f"{path}: no such file or folder", hint=GIVEN)


def beside(path: Path) -> Path:
    """The description that may lie beside a log: `agent-1.jsonl` has `agent-1.meta.json`."""
    return path.with_name(path.name.partition(".")[0] + ".meta.json")


def _beside_database(path: Path) -> bool:
    """What SQLite keeps beside a database is part of it."""
    if not path.name.endswith(("-wal", "-shm", "-journal")):
        return False
    return path.with_name(path.name.rpartition("-")[0]).is_file()


def unread(file: LogFile, problem: OSError) -> UnreadError:
    """That the system did not let a file or a folder be read."""
    if problem.errno == errno.EISDIR:  # a folder that `_below` could not look into
        try:
            os.scandir(file.path).close()
        except OSError as again:
            problem = again
    return UnreadError(f"{file.shown}: {problem.strerror or problem}")


def records(file: LogFile) -> Iterator[list[Record | Bad]]:
    """The records of a file in batches, in order; raises as `pieces` does."""
    for piece in pieces(file):
        yield list(split(piece)) if isinstance(piece, Lines) else piece


def pieces(file: LogFile) -> Iterator[Lines | list[Record | Bad]]:
    """The records of a file in order, in blocks of lines or in batches; a compressed stream that breaks off ends in one
    Bad record.

    Raises LogError if the file cannot be opened or is no log (binary).
    """
    try:
        with open_log(file.path) as stream:
            yield from _records(stream, file)
    except OSError as problem:
        raise unread(file, problem) from problem


def more(file: LogFile, known: Known) -> Iterator[Lines]:
    """The lines of a plain file beyond what is known of it, in blocks."""
    try:
        with file.path.open("rb") as stream:
            stream.seek(known.offset)
            head = stream.read(1 << 16 if file.end is None else min(1 << 16, file.end - known.offset))
            for block in blocks(head, "", stream, known.offset, file.end):
                if isinstance(block, Lines):
                    block.line += known.lines
                    yield block
    except OSError as problem:
        raise unread(file, problem) from problem


def is_plain(path: Path) -> bool:
    """Whether the bytes of the file are its text as it is: not compressed, no UTF-16."""
    with open_log(path) as stream:
        return not isinstance(stream, Inflated) and not stream.read(2).startswith(UTF16)


def is_lines(file: LogFile) -> bool:
    """Whether it is a plain file that begins as objects do."""
    if file.path == STDIN or not file.path.is_file():
        return False
    with file.path.open("rb") as stream:
        return stream.read(1) == b"{"


def _records(stream: Stream, file: LogFile) -> Iterator[Lines | list[Record | Bad]]:
    from costaudit.ingest import _containers, _otlp_proto, _texts

    head = head_of(stream)
    start = head.data.lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.data.startswith(b"PAR1"):
        from costaudit.ingest import _parquet

        with spooled(head.data, stream) if file.path == STDIN else nullcontext(file.path) as path:
            yield from _parquet.rows(path, file.shown)
    elif head.data.startswith(SQLITE):
        from costaudit.ingest import _sqlite

        whole = file.path != STDIN and not isinstance(stream, Inflated)
        yield from _sqlite.rows(file, head.data, None if whole else stream)
    elif head.data.startswith(UTF16):
        yield from _records(Recoded(head, stream), file)
    elif b"\n" in (head.data[:1], head.data[4:5]) and _otlp_proto.begins(head.data):
        yield from _otlp_proto.messages(head, stream)
    elif b"\x00" in head.data:
        if not _holds_objects(head.data):  # a log that was cut while it was written to has them between its lines
            raise _no_log(file, head.data, "binary file, not a log")
        yield from lines(head, stream)
    elif start.startswith(b"[") and not _texts.TAG.match(start):
        yield from _containers.array(head, stream)
    elif start.startswith(b"{") and not _first_line_is_json(start):
        yield from _containers.documents(head, stream)
    elif start.startswith((b"{", b"data:", b"event:", b":")):
        yield from lines(head, stream)
    elif OPENS in start and _texts.ends_in_objects(start, delimiter(start.partition(b"\n")[0])):
        yield from _texts.texts(head, stream)
    elif _looks_tabular(start) and not _unknown.kind(head.data):
        yield from _containers.table(head, stream)
    elif b"\n{" in head.data or b"\ndata:" in head.data or not start:
        yield from lines(head, stream)  # records below lines of another kind
    else:
        raise _no_log(file, head.data, "text without JSON lines or a table, not a log")


def _no_log(file: LogFile, head: bytes, otherwise: str) -> LogError:
    return LogError(f"{file.shown}: {_unknown.kind(head) or otherwise}", hint=UNDERSTOOD)


def _holds_objects(head: bytes) -> bool:
    """Whether a line by itself is an object with keys, which no line of a binary file is."""
    for line in head.split(b"\n"):
        if line.startswith(b"{"):
            with suppress(*UNREADABLE):
                if msgspec.json.decode(line, type=dict[str, msgspec.Raw]):
                    return True
    return False


def _first_line_is_json(start: bytes) -> bool:
    line, newline, _ = start.partition(b"\n")
    if not newline:
        return True  # one long line: lines are the cheaper reading, and a single document is one line too
    try:
        msgspec.json.decode(line)
    except UNREADABLE:
        # A pretty-printed document opens with a lone brace; a damaged first line of a log does not.
        return len(line.strip()) > 40 or (b'"' in line and line.rstrip().endswith(b"}"))
    return True


def _looks_tabular(start: bytes) -> bool:
    header, _, _ = start.partition(b"\n")
    try:
        cells = next(csv.reader([header.decode().rstrip("\r")], delimiter=delimiter(header)), [])
    except (UnicodeDecodeError, csv.Error):
        return False
    return len(cells) > 1 and all(0 < len(cell) < 100 for cell in cells[:3])


def delimiter(header: bytes) -> str:
    return max(",\t;", key=lambda mark: header.count(mark.encode()))


def lines(head: Read, stream: Stream) -> Iterator[Lines | list[Record | Bad]]:
    """JSON lines, with or without the `data:` prefix of server-sent events."""
    mark = 3 if head.data.startswith(b"\xef\xbb\xbf") else 0
    for block in blocks(head.data[mark:], head.problem, stream, mark):
        yield [Bad(*block)] if isinstance(block, Cut) else block


def split(block: Lines) -> Iterator[Record | Bad]:
    """The records of a block of lines, each with its own bytes."""
    number, at, offset = block.line, block.start, block.offset - block.start
    while at < block.end:
        end = block.data.find(b"\n", at, block.end)
        end = block.end if end < 0 else end
        yield from line(bytes(memoryview(block.data)[at:end]), number, offset + at)
        number, at = number + 1, end + 1
    block.lines = number - block.line


def line(part: bytes, number: int, offset: int) -> list[Record | Bad]:
    text = part.strip()
    if text.startswith(b"data:"):
        text = text[5:].lstrip()
    if not text or text.startswith((b"event:", b":")) or text == b"[DONE]":
        return [Bad(number, offset, BLANK)]
    return of_array(text, number, offset) if text.startswith(b"[") else [Record(number, offset, text)]


def of_array(text: bytes, number: int, offset: int) -> list[Record | Bad]:
    try:
        return [Record(number, offset, bytes(e)) for e in msgspec.json.decode(text, type=list[msgspec.Raw])]
    except UNREADABLE as problem:
        return [Bad(number, offset, f"not JSON ({problem})")]
