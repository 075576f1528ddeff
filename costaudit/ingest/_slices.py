"""One large file as several slices of whole lines, which are read side by side where no line needs another.

A slice is a file with a place to begin and a place to end. What the slices gave is put together as if one process had
read the file; where a reader turns out to hold something from line to line, the file is read once more, as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from msgspec.structs import replace

from costaudit import scratch
from costaudit.ingest import _stretch
from costaudit.ingest._file_read import Asked, FileRead
from costaudit.ingest._files import Known, LogFile
from costaudit.ingest._format import fits
from costaudit.ingest._read import cuts_of
from costaudit.ingest._stretch import Stretch


def slices(of: Asked, size: int, most: int) -> list[Asked]:
    """The slices of a file, each of about `most` bytes; the file itself where it is small or cannot be cut."""
    file, names = of
    places = cuts_of(of, size, most) if size >= 2 * most and file.known is None else []
    if not places:
        return [of]
    ends = [*places, size]
    starts = [0, *places]
    return [(replace(file, known=Known(start, 0), end=end), names) for start, end in zip(starts, ends, strict=True)]


def joined(file: LogFile, reads: Sequence[FileRead]) -> FileRead | None:
    """What the slices of a file gave, as if it had been read as a whole; None where that takes reading it so."""
    whole = FileRead(file)
    lines = 0
    seams = [read.seam for read in reads]
    if any(seam is not None for seam in seams) and (None in seams or not fits(seams)):
        return None
    for n, read in enumerate(reads, 1):
        if not read.beyond or read.problem or read.notes or (read.until is None and n < len(reads)):
            return None
        whole.lines += read.lines
        whole.blank += read.blank
        whole.frames += [_later(stretch, lines) for stretch in read.frames]
        whole.nodes += read.nodes
        whole.skipped.update(read.skipped)
        whole.rejects += [(line + lines, form, reason) for line, form, reason in read.rejects]
        whole.until = None if read.until is None else Known(read.until.offset, lines + read.until.lines)
        lines = lines if whole.until is None else whole.until.lines
        scratch.release()
    whole.until = None if seams[0] is not None else whole.until  # what is appended needs what is before it
    return whole


def _later(stretch: Stretch, lines: int) -> Stretch:
    if "source_line" not in stretch.table.columns:
        return stretch
    return _stretch.whole(stretch.cut().with_columns(pl.col("source_line") + lines))
