"""Logs in Parquet: rows as records, a bounded number of bytes at a time.

Parquet packs what repeats: a file of some kilobytes can say a gigabyte in each of a million rows. So the footer is
asked what a row group becomes before it is decoded, and rows are asked what they weigh before they become records. What
becomes more than a thousand times the size of its file is cut, as every other stream is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from costaudit.errors import LogError
from costaudit.ingest import _blocks, _streams
from costaudit.ingest._files import Bad, Record

WEIGHT = 4 << 20  # bytes of values that are handed on together
DECODED = 64 << 20  # bytes of values that are decoded together
ROWS = 50_000  # that are decoded together; fewer would skip the same pages again and again
VALUE = 8  # bytes that a value takes at least, however it is packed; a record has its name too


def rows(path: Path, shown: str) -> Iterator[list[Record | Bad]]:
    """The rows of a Parquet file, some at a time; raises LogError where it is none."""
    number = given = 0
    cut = f"Parquet file unpacks to more than {_streams.RATIO:,} times its size"
    try:
        bound = max(_streams.FREE, _streams.RATIO * path.stat().st_size)
        for height, size in _groups(path):
            if given + size > bound:
                yield [Bad(number + 1, 0, cut)]
                return
            step = max(1, min(ROWS, height * DECODED // max(size, 1)))
            for at in range(0, height, step):
                scan = pl.scan_parquet(path, glob=False, hive_partitioning=False)
                for some in _pieces(scan.slice(number, min(step, height - at)).collect()):
                    given += int(some.estimated_size())
                    if given > bound:
                        yield [Bad(number + 1, 0, cut)]
                        return
                    yield _records(some, number)
                    number += some.height
    except (pl.exceptions.PolarsError, OSError) as problem:
        raise LogError(f"{shown}: not a readable Parquet file: {str(problem).splitlines()[0]}") from problem


def _groups(path: Path) -> Iterator[tuple[int, int]]:
    """Rows of each row group, and the bytes that they become at least, by the footer."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            footer = file.metadata
    except (pa.ArrowException, ValueError) as problem:
        raise OSError(str(problem)) from problem
    for n in range(footer.num_row_groups):
        group = footer.row_group(n)
        columns = [group.column(k) for k in range(group.num_columns)]
        yield group.num_rows, sum(map(_size, columns))


def _size(column: Any) -> int:
    """What the values of a column of a row group take at least, nulls aside, as far as the footer says it."""
    known = column.statistics
    absent = known.null_count if known is not None and known.has_null_count else 0
    values = (column.num_values - absent) * (VALUE + len(column.path_in_schema))
    return int(max(column.total_uncompressed_size, values))


def _pieces(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The frame in pieces that weigh little, or are one row."""
    if frame.height < 2 or frame.estimated_size() <= WEIGHT:
        yield frame
        return
    middle = frame.height // 2
    yield from _pieces(frame.head(middle))
    yield from _pieces(frame.slice(middle))


def _records(frame: pl.DataFrame, before: int) -> list[Record | Bad]:
    if frame.height == 1 and frame.estimated_size() > _blocks.LONGEST:
        return [Bad(before + 1, 0, _blocks.TOO_LONG)]
    return [
        Record(before + n, 0, {key: value for key, value in row.items() if value is not None})
        for n, row in enumerate(frame.iter_rows(named=True), 1)
    ]
