"""What the footer of a part says of its columns: what is null everywhere or nowhere, the least and the most."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import polars as pl

from costaudit.price._facts import Facts
from costaudit.schema import REQUESTS

T = TypeVar("T", int, str)


def facts(path: str, columns: Iterable[str]) -> Facts:
    """Facts of some columns of a Parquet file; OSError where it has no footer that can be read.

    A list is absent where no row has anything in it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        footer = pq.read_metadata(path)
    except (pa.ArrowException, ValueError) as problem:
        raise OSError(str(problem)) from problem
    asked = set(columns)
    absent, full = set(asked), set(asked)
    counts: dict[str, tuple[int, int]] = {}
    words: dict[str, tuple[str, str]] = {}
    groups = [footer.row_group(n) for n in range(footer.num_row_groups)]
    seen = set()
    for place in range(footer.num_columns):
        leaf = footer.schema.column(place)
        name, *nested = leaf.path.split(".")
        if name not in asked:
            continue
        seen.add(name)
        chunks = [group.column(place) for group in groups]
        stated = [chunk.statistics for chunk in chunks]
        nulls = [s.null_count if s is not None and s.has_null_count else None for s in stated]
        if not all(n == chunk.num_values for n, chunk in zip(nulls, chunks, strict=True)):
            absent.discard(name)
        if nested or any(n != 0 for n in nulls):
            full.discard(name)
        if REQUESTS[name] == pl.Int64 and (numbers := _bounds(chunks, int)):
            counts[name] = numbers
        elif REQUESTS[name] == pl.String and (texts := _bounds(chunks, str)):
            words[name] = texts
    return Facts(frozenset(absent & seen), frozenset(full & seen), counts, words)


def _bounds(chunks: Sequence[Any], kind: type[T]) -> tuple[T, T] | None:
    """The least and the most of a column; None where the footer does not say."""
    found: list[T] = []
    for chunk in chunks:
        stated = chunk.statistics
        if stated is None:
            return None
        if stated.has_null_count and stated.null_count == chunk.num_values:
            continue
        try:
            ends = (stated.min, stated.max) if stated.has_min_max else ()
        except UnicodeDecodeError:  # the end of a long text may be cut within a character
            return None
        if not ends or any(type(end) is not kind for end in ends):
            return None
        found += ends
    return (min(found), max(found)) if found else None
