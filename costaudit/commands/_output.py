"""Where output goes: the report to stdout or a file, everything else to stderr."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from costaudit.errors import CostAuditError, UsageError

if TYPE_CHECKING:
    import polars as pl

    from costaudit.audit import Coverage
    from costaudit.report import View

STDOUT = Path("-")
LINE = 78  # columns of the progress line, at most
MOST = 3  # files that an error names
PATIENCE = 0.5  # seconds of silence that need no explanation
MANY = 300_000  # requests that take longer than that
_SHARE = re.compile(r", \d+ % of [\d.]+ GB\Z")  # how far the reading is, behind a file's name
PIECE = 1 << 16  # bytes that find out whether a disk is full


def emit(text: str, output: Path | None = None) -> None:
    """Write a report to a file as a whole, or to stdout (also called `-`); a reader who stops reading is no error."""
    if output is not None and output != STDOUT:
        _write(output, text)
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _forgotten()  # the command goes on to its own exit code
    except OSError as error:
        _forgotten()
        raise UsageError(
            f"cannot write to standard output: {error.strerror}", hint="send it where there is room"
        ) from None


def _forgotten() -> None:
    """Nothing more is written to stdout: the interpreter's last flush must not meet the same again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Copies(msgspec.Struct, frozen=True):
    """Further formats of one answer, each with its file: `--also sarif=audit.sarif`."""

    files: tuple[tuple[Callable[[Any, View], str], Path], ...] = ()

    @classmethod
    def of(
        cls, given: Sequence[str] | None, renderer: Callable[[str], Callable[[Any, View], str]], output: Path | None
    ) -> Copies:
        """Checked before anything is read: a misspelt format must not cost an audit."""
        files = []
        taken = {output.resolve()} if output is not None else set()
        for one in given or ():
            name, equals, path = one.partition("=")
            if not equals or not path:
                raise UsageError(f"not a format and a file: {one}", hint="e.g. --also sarif=audit.sarif")
            render = renderer(name)
            writable(target := Path(path))
            if target == STDOUT:
                raise UsageError(f"--also {one}: standard output takes one answer", hint=f"--format {name}")
            if target.resolve() in taken:
                raise UsageError(f"two formats in one file: {path}", hint="give each a file of its own")
            taken.add(target.resolve())
            files.append((render, target))
        return cls(tuple(files))

    def write(self, answer: Any) -> None:
        from costaudit.report import View

        for render, path in self.files:
            _write(path, render(answer, View()))


def summarise(markdown: str) -> None:
    """Add a report to the summary of a GitHub job, where this is one; there a page may hold a mebibyte."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8", newline="") as file:
            file.write(markdown + "\n")
    except OSError as error:
        note(f"warning: cannot write the job summary {path}: {error.strerror}")


def note(text: str, *, quiet: bool = False) -> None:
    """A remark beside the report."""
    if not quiet:
        from costaudit.report._text import clean

        typer.echo(clean(text), err=True)


def emit_table(table: pl.DataFrame, output: Path) -> None:
    """Write a table to a Parquet file as a whole."""
    import polars as pl

    def write(path: Path) -> None:
        try:
            table.write_parquet(path, compression="zstd")
        except pl.exceptions.ComputeError as problem:
            with path.open("ab") as file:  # a full disk says here what it is, which polars does not
                file.write(bytes(PIECE))
            raise OSError(errno.EIO, str(problem).partition("\n")[0]) from problem

    _whole(output, write)


def _write(path: Path, text: str) -> None:
    """The whole text, or the old one."""
    _whole(path, lambda beside: _text(beside, text))


def _text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="")


def _whole(path: Path, write: Callable[[Path], object]) -> None:
    """The whole file or the old one: written beside it, then renamed."""
    try:
        path = path.resolve() if path.is_symlink() else path
        if path.exists() and not path.is_file():
            write(path)  # a device or a pipe
            return
        handle, name = _beside(path)
        try:
            os.close(handle)
            write(Path(name))
            mask = os.umask(0)
            os.umask(mask)
            Path(name).chmod(0o666 & ~mask)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unwritable(path, error.strerror) from None


def writable(path: Path | None) -> Path | None:
    """A place for output that is seen to be none costs no audit: checked before anything is read."""
    if path is not None and path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder", hint=f"name a file in it, e.g. {path / 'audit.txt'}")
    if path is not None and not path.parent.is_dir():
        raise UsageError(f"cannot write {path}: there is no folder {path.parent}", hint=f"mkdir -p {path.parent}")
    if path is not None and path != STDOUT and (why := _refused(path)):
        raise _unwritable(path, why)
    return path


def storable(store: str) -> None:
    """The same of a store, or of the nearest folder above one that is not there yet."""
    if "://" in store:
        return  # object storage tells it itself, before anything is written
    folder = Path(store)
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if why := _refused(folder / "store"):
        raise UsageError(f"{store}: cannot be written: {why}", hint="name a folder that you may write")


def _refused(path: Path) -> str | None:
    """Why nothing could be written there: a file is made beside it, as its writing will do, for rights tell little."""
    try:
        path = path.resolve() if path.is_symlink() else path
        if path.exists() and not path.is_file():
            return None if os.access(path, os.W_OK) else os.strerror(errno.EACCES)  # a device or a pipe
        handle, name = _beside(path)
        os.close(handle)
        Path(name).unlink()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _beside(path: Path) -> tuple[int, str]:
    return tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")


def _unwritable(path: Path, why: str | None) -> UsageError:
    return UsageError(f"cannot write {path}: {why}", hint="name a file that you may write")


def unjudged(floor: float) -> CostAuditError:
    """The end of a command that was asked for a verdict: too little of the log can be priced. The report is out."""
    from costaudit.words import percent

    return CostAuditError(
        f"cannot judge: less than {percent(floor)} of the log can be priced",
        hint="the report says what has no price; `costaudit prices --help` says how to give it one",
    )


def whole(coverage: Coverage) -> None:
    """CostAuditError where files or folders could not be read: whatever was said is said of the others alone."""
    unread = coverage.unread
    if unread:
        from costaudit.words import plural

        number = plural(len(unread), "file or folder", "files or folders")
        raise CostAuditError(
            f"cannot judge: {number} could not be read, and no figure holds what is in there: "
            f"{'; '.join(unread[:MOST])}",
            hint="get the right to read it, or leave it out on purpose: name the files beside it",
        )


@contextlib.contextmanager
def progress(*, quiet: bool = False, verbose: bool = False) -> Iterator[Callable[[str, int, int], None] | None]:
    """Which file is being read, on stderr: each on a line if `verbose`; else on a terminal only, and after a while."""
    if verbose:
        named: set[str] = set()

        def name(file: str, number: int, of: int) -> None:
            alone = _SHARE.sub("", file)
            if alone and alone not in named:  # a large file is told of again and again
                named.add(alone)
                note(f"reading {number:,} of {of:,}: {file}")

        yield name
    elif quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":  # which cannot write over a line
        yield None
    else:
        with _line() as show:
            yield show


def _room() -> int:
    """Columns in which a line does not wrap: one that does can be written over no more."""
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except (AttributeError, OSError, ValueError):  # no terminal that tells
        return LINE
    return min(LINE, columns - 2) if columns > 2 else LINE


@contextlib.contextmanager
def _line() -> Iterator[Callable[[str, int, int], None]]:
    """One line of the terminal that is written over and over, and is gone at the end."""
    from costaudit.report._text import clean, pad

    started = time.monotonic()
    room = _room()
    shown = False

    def show(file: str, number: int, of: int) -> None:
        nonlocal shown
        if time.monotonic() - started > PATIENCE or (not file and number >= MANY):
            shown = True
            said = f"reading {number:,} of {of:,}: {clean(file)}" if file else f"working on {number:,} requests"
            sys.stderr.write("\r" + pad(said, room))
            sys.stderr.flush()

    try:
        yield show
    finally:
        if shown:
            sys.stderr.write("\r" + " " * room + "\r")
            sys.stderr.flush()
