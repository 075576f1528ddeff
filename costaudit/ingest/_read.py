"""One file or several to requests: detection, the readers of its formats, and what became of every record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

import polars as pl
from msgspec.structs import replace

from costaudit import schema
from costaudit.errors import LogError, UnreadError
from costaudit.ingest import _detect, _pages, _unknown
from costaudit.ingest._blocks import Lines
from costaudit.ingest._columns import Rows, columns
from costaudit.ingest._decode import parsed
from costaudit.ingest._detect import Guess
from costaudit.ingest._early import undone
from costaudit.ingest._file_read import Asked, FileRead
from costaudit.ingest._files import BLANK, Bad, Known, LogFile, Record, is_lines, line, more, pieces, split
from costaudit.ingest._finish import finish
from costaudit.ingest._format import Again, FileReader, Out
from costaudit.ingest._identity import ROWS
from costaudit.ingest._processes import cuts
from costaudit.ingest._stretch import Stretch, whole
from costaudit.ingest._together import BATCH, framed
from costaudit.ingest._transcript_sums import Seen

NEWLINE = ord("\n")
LINES = 20_000  # of files that are put into columns together
WEIGHT = 8 << 20  # bytes after which a batch is full all the same


def read_file(file: LogFile, columns: Mapping[str, str]) -> FileRead:
    """The requests of one file; a pure function of its bytes, so that files can be read side by side."""
    return read_files([(file, columns)])[0]


def read_files(asked: Sequence[Asked]) -> list[FileRead]:
    """The same for several files."""
    return [read for some in read_some(asked) for read in some]


def read_some(asked: Sequence[Asked]) -> Iterator[list[FileRead]]:
    """What the files gave, some of them at a time, whose rows are put into columns together.

    A frame costs as much as 500 rows, and rows that are none yet take ten times the room.
    """
    tried: list[tuple[_Reading, bool]] = []
    held = 0
    for of in asked:
        reading = _Reading(*of)
        tried.append((reading, reading.run()))
        held += reading.read.lines
        if held >= LINES:
            yield _done(tried)
            tried, held = [], 0
    if tried:
        yield _done(tried)


def read_on(seen: Sequence[tuple[Asked, Seen]]) -> list[FileRead]:
    """What files give of which another process has read what it could (`_ahead`)."""
    return _done([(reading, reading.resume(part)) for of, part in seen for reading in [_Reading(*of)]])


def _done(tried: Sequence[tuple[_Reading, bool]]) -> list[FileRead]:
    """What was read, in columns; a file that was not is read as a whole, but for a slice of one."""
    readings = [r if complete or r.read.file.end is not None else _again(r) for r, complete in tried]
    entire = [reading for reading in readings if reading.complete]
    while framed(out for reading in entire for out in reading.outs):
        for reading in entire:
            reading.pass_on()
    for reading in entire:
        reading.close()
    framed(out for reading in entire for out in reading.outs)
    for reading in entire:
        reading.account()
    _frame(readings)
    return [reading.read for reading in readings]


def _again(reading: _Reading) -> _Reading:
    """A file that cannot be read on from where it was left, or not in part, read as a whole."""
    anew = _Reading(replace(reading.read.file, known=None, only=None), dict(reading.names))
    anew.run()
    return anew


class _Reading:
    """The reader of a file's main format, and those of other formats that turn up between its records."""

    def __init__(self, file: LogFile, columns: Mapping[str, str]) -> None:
        self.read = FileRead(file)
        self.names = tuple(sorted(columns.items()))
        self.main: Guess | None = None
        self.open: dict[Guess, tuple[FileReader, Out]] = {}
        self.waiting: list[Record] = []
        self.weight, self.portion = 0, WEIGHT
        self.frames: list[tuple[str, pl.DataFrame]] = []  # format, rows
        self.rows: list[tuple[str, Rows]] = []
        self.end: Known | None = Known(0, 0)  # of the last complete line; None once something else was read
        self.complete = False
        self.strangers = _unknown.Strangers()

    def run(self) -> bool:
        """Read it; false where what is appended, or wanted, cannot be read without the rest."""
        self.complete = self._run(self.read.file)
        return self.complete

    def _run(self, file: LogFile) -> bool:
        try:
            if file.known is not None:
                self.read.beyond = self._on(file.known)
                return self.read.beyond
            self._pieces(pieces(file))
        except Again:
            return False
        except LogError as problem:
            self.read.problem, self.read.unread = str(problem), isinstance(problem, UnreadError)
        return True

    def resume(self, seen: Seen) -> bool:
        """Read the lines that were left of a transcript; false as in `run`."""
        self.main = _detect.transcript()
        reader, out = self._reader(self.main)
        goes_on: Any = reader
        try:
            for number, offset, data in goes_on.resume(seen, out):
                self.read.lines -= 1
                self._batch(line(data, number, offset))
                self._flush()
        except Again:
            return False
        self.read.lines += seen.lines
        self._foreign(self.main, out)
        self.end = None if seen.until is None else Known(seen.until, seen.lines)
        self.read.beyond = self.read.file.known is not None
        self.complete = True
        return True

    def _on(self, known: Known) -> bool:
        head = next(pieces(self.read.file), None)
        # The format was decided by the first block, and that was read before the known end: so it is the same one.
        changed = self.read.file.end is None and isinstance(head, Lines) and len(head.data) > known.offset
        if not isinstance(head, Lines) or changed or self._decided(head) is None:
            return False
        self.end = known
        self._pieces(more(self.read.file, known))
        return self._apart_lines() or self._seam() is not None

    def _pieces(self, parts: Iterable[Lines | list[Record | Bad]]) -> None:
        for piece in parts:
            if isinstance(piece, Lines):
                complete = piece.data[piece.end - 1] == NEWLINE  # before the buffer is used again
                self._block(piece)
                end = Known(piece.offset + piece.end - piece.start, piece.line + piece.lines - 1)
                self.end = end if complete and self.end is not None else None
            else:
                self.end = None
                self._batch(piece)
        self._flush()

    def cuts(self, size: int, most: int) -> list[int]:
        """Where a file of lines may be cut, as its beginning tells."""
        begun = self.begin()
        if begun is None:
            return []
        reader, head = begun
        if _alone(reader, [item for item in split(head) if isinstance(item, Record)]):
            return list(cuts(self.read.file.path, size, most))
        places: Callable[[int, int], Iterable[int]] | None = getattr(reader, "cuts", None)
        return [] if places is None else list(places(size, most))

    def begin(self) -> tuple[FileReader, Lines] | None:
        """The reader of the format that the beginning of a file of lines tells, and that beginning."""
        head = next(pieces(self.read.file), None)
        guess = self._decided(head) if isinstance(head, Lines) else None
        return None if guess is None or not isinstance(head, Lines) else (self._reader(guess)[0], head)

    def _seam(self) -> Any:
        """What has to be known of a slice to put it beside the others; None: nothing, or it cannot be."""
        (reader, _), *others = self.open.values()
        seam: Callable[[], Any] | None = getattr(reader, "seam", None)
        return None if others or seam is None or self.read.file.end is None else seam()

    def _apart_lines(self) -> bool:
        """Whether every line was read by itself."""
        return all(_alone(reader) for reader, _ in self.open.values())

    @property
    def outs(self) -> list[Out]:
        return [out for _, out in self.open.values()]

    def pass_on(self) -> None:
        """What turned out to be of another format when it was framed."""
        for guess, (_, out) in list(self.open.items()):
            self._foreign(guess, out)

    def close(self) -> None:
        """After the last record."""
        apart = self._apart_lines()
        self.read.seam = None if apart else self._seam()
        if self.end is not None and self.end.lines and not self.read.problem and (apart or self.read.seam is not None):
            self.read.until = self.end
        for reader, out in self.open.values():
            reader.close(out)

    def account(self) -> None:
        """What became of every record, and the frames they are in."""
        for guess, (_, out) in self.open.items():
            self._account(guess.form.name, out)
        if not self.open:
            self.read.notes += self.strangers.notes(self.read.file.shown)

    def _decided(self, block: Lines) -> Guess | None:
        first = (item for item in split(block) if isinstance(item, Record))
        self.main = _detect.sample(list(islice(first, _detect.SAMPLE)), self.names)
        return self.main

    def _block(self, block: Lines) -> None:
        """A block of lines: to the main format's reader if it takes lines as they stand, else split."""
        if self.main is None:
            self._decided(block)
        reader, out = self._reader(self.main) if self.main is not None else (None, Out())
        scan = getattr(reader, "scan", None)
        if self.main is None or scan is None:
            records: Callable[[Lines], Iterable[Record | Bad]] = getattr(reader, "records_of", split)
            self._batch(list(records(block)))
            return
        self._flush()
        for number, offset, data in scan(block, out):
            self.read.lines -= 1
            self._batch(line(data, number, offset))
            self._flush()
        self.read.lines += block.lines
        self._foreign(self.main, out)

    def _batch(self, items: Sequence[Record | Bad]) -> None:
        self.read.lines += len(items)
        for item in items:
            if isinstance(item, Record):
                self.waiting.append(item)
                self.weight += len(item.data)
            elif item.reason == BLANK:
                self.read.blank += 1
            else:
                self.read.rejects.append((item.line, "", item.reason))
        if len(self.waiting) >= BATCH or self.weight >= self.portion:
            self._flush()

    def _flush(self) -> None:
        items, self.waiting, self.weight = self.waiting, [], 0
        if not items:
            return
        if self.main is None:
            self.main = _detect.sample(items, self.names)
        if self.main is None:
            self._apart(items)
        else:
            self._to(self.main, items)

    def _reader(self, guess: Guess) -> tuple[FileReader, Out]:
        if guess not in self.open:
            reader = guess.form.reader(self.read.file, guess.found)
            if hasattr(reader, "waits"):
                reader.waits = True
            if guess == self.main:
                self.portion = getattr(reader, "portion", WEIGHT)
            self.open[guess] = (reader, Out())
        return self.open[guess]

    def _to(self, guess: Guess, items: Sequence[Record]) -> None:
        reader, out = self._reader(guess)
        reader.feed(items, out)
        self._foreign(guess, out)

    def _foreign(self, guess: Guess, out: Out) -> None:
        if out.foreign:
            foreign, out.foreign = list(map(undone, out.foreign)), []  # another format decodes them anew
            self._apart(foreign, but=guess)

    def _apart(self, items: Sequence[Record], but: Guess | None = None) -> None:
        """Records that the file's main format does not know, each by its own content."""
        by_guess: dict[Guess, list[Record]] = {}
        for item in items:
            value = parsed(item.data)
            if isinstance(value, str):
                self.read.rejects.append((item.line, "", value))
                continue
            found = _detect.guess(value, self.names)
            if found is not None and found[0] != but:
                by_guess.setdefault(found[0], []).append(item)
            elif not self._page(item, value):
                self._unknown(item, value)
        for guess, group in by_guess.items():
            self._to(guess, group)

    def _page(self, item: Record, value: Mapping[str, Any]) -> bool:
        """Read the records of a page that an interface answered with; false where it has none that a format knows."""
        rows = [item._replace(data=row) for row in _pages.inside(value)]
        if _detect.sample(rows, self.names) is None:
            return False
        self.read.lines += len(rows) - 1
        self._apart(rows)
        return True

    def _unknown(self, item: Record, value: Mapping[str, Any]) -> None:
        """A well-formed object of no known format: a reject if it may have cost money, else some other record."""
        if reason := self.strangers.refused(item.data, value):
            self.read.rejects.append((item.line, "", reason))
        else:
            self.read.skipped["", "other record"] += 1

    def _account(self, name: str, out: Out) -> None:
        read = self.read
        read.lines += out.extra_lines
        read.notes += out.notes
        read.sample |= out.sample
        read.nodes += map(whole, out.nodes)
        read.skipped.update({(name, kind): n for kind, n in out.skipped.items()})
        read.rejects += [(line, name, reason) for line, reason in out.rejects]
        read.rejects += [(r.line, name, "no format recognises this record") for r in out.foreign]
        self.frames += [(name, frame) for frame in out.frames]
        self.rows += [(name, rows) for rows in out.tables]


def _alone(reader: FileReader, records: Sequence[Record] = ()) -> bool:
    alone: Callable[[Sequence[Record]], bool] | None = getattr(reader, "alone", None)
    return alone is not None and alone(records)


def cuts_of(of: Asked, size: int, most: int) -> list[int]:
    """Places between lines, about `most` bytes apart, where a plain file may be cut."""
    with suppress(LogError, OSError):
        return _Reading(*of).cuts(size, most) if is_lines(of[0]) else []
    return []


def prepare(of: Asked) -> None:
    """Import and compile what a file is read with, so that processes which are forked afterwards have it."""
    if of[1]:
        _detect.formats()
        return
    with suppress(LogError, OSError):
        if is_lines(of[0]):
            _Reading(*of).begin()


_Part = tuple[_Reading, pl.DataFrame]


def _frame(readings: Sequence[_Reading]) -> None:
    """The rows of all readings as columns; like rows of several files share a frame."""
    groups: dict[tuple[str, ...], list[_Part]] = {}
    for reading in readings:
        for name, frame in reading.frames:
            groups.setdefault((name, *frame.columns), []).append((reading, frame))
    for (name, *_), parts in groups.items():
        for some, table in _joined(parts):
            _share(name, [(of, frame.height) for of, frame in some], table)
    tables: dict[tuple[str, int], list[tuple[_Reading, Rows]]] = {}
    for reading in readings:
        for name, rows in reading.rows:
            tables.setdefault((name, id(rows.dtypes)), []).append((reading, rows))
    for (form, _), made in tables.items():
        cells = [row for _, rows in made for row in rows.cells]
        frame, derive = columns(cells, made[0][1].dtypes), made[0][1].derive
        frame = frame if derive is None else derive(frame)
        _share(form, [(of, len(rows.cells)) for of, rows in made], frame)


def _joined(parts: list[_Part]) -> Iterable[tuple[list[_Part], pl.DataFrame]]:
    """Frames of the same columns as one, or as many as they have types: to ask each for its types takes longest."""
    try:
        return [(parts, pl.concat([frame for _, frame in parts]))]
    except pl.exceptions.SchemaError:
        alike: dict[tuple[object, ...], list[_Part]] = {}
        for of, frame in parts:
            alike.setdefault(tuple(frame.schema.items()), []).append((of, frame))
        return [(some, pl.concat([frame for _, frame in some])) for some in alike.values()]


def _share(name: str, heights: Sequence[tuple[_Reading, int]], frame: pl.DataFrame) -> None:
    files = pl.concat([pl.repeat(of.read.file.shown, height, eager=True) for of, height in heights])
    frame = schema.narrow(finish(frame.with_columns(pl.lit(name).alias("format"), files.alias("source_file"))), ROWS)
    if all(of.read.file.only is not None and of.read.file.known is None for of, _ in heights):
        heights = [(heights[0][0], frame.height)]  # not kept file by file, and no slices that are counted on
    at = 0
    for reading, height in heights:
        reading.read.frames.append(Stretch(frame, at, height))
        at += height
