"""One large file as several slices of whole lines, which are read side by side where no line needs another.

A slice is a file with a place to begin and a place to end. What the slices gave is put together as if one process had
read the file; where a reader turns out to hold something from line to line, the file is read once more, as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from costaudit.ingest._files import Known, LogFile
from costaudit.ingest._processes import cuts
from costaudit.ingest._read import Asked, FileRead, lines_stand_alone


def slices(of: Asked, size: int, most: int) -> list[Asked]:
    """The slices of a file, each of about `most` bytes; the file itself where it is small or cannot be cut."""
    file, names = of
    if size < 2 * most or file.known is not None or not lines_stand_alone(of):
        return [of]
    ends = [*cuts(file.path, size, most), size]
    starts = [0, *ends]
    return [(replace(file, known=Known(start, 0), end=end), names) for start, end in zip(starts, ends, strict=False)]


def joined(file: LogFile, reads: Sequence[FileRead]) -> FileRead | None:
    """What the slices of a file gave, as if it had been read as a whole; None where that takes reading it so."""
    whole = FileRead(file)
    lines = 0
    for n, read in enumerate(reads, 1):
        if not read.beyond or read.problem or read.notes or (read.until is None and n < len(reads)):
            return None
        whole.lines += read.lines
        whole.blank += read.blank
        whole.frames += [_later(frame, lines) for frame in read.frames]
        whole.nodes += read.nodes
        whole.skipped.update(read.skipped)
        whole.rejects += [(line + lines, form, reason) for line, form, reason in read.rejects]
        whole.until = None if read.until is None else Known(read.until.offset, lines + read.until.lines)
        lines = lines if whole.until is None else whole.until.lines
    return whole


def _later(frame: pl.DataFrame, lines: int) -> pl.DataFrame:
    return frame.with_columns(pl.col("source_line") + lines) if "source_line" in frame.columns else frame
