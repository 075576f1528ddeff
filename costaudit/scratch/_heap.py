"""Bytes that wait in a file without a name, as they came, until all of them are there."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import IO, Any, Generic, TypeVar

from costaudit.scratch._shelf import aligned, mappings

K = TypeVar("K")


class Heap(Generic[K]):
    """Pieces with a name each.

    opened  a new file without a name
    room    tells what to do where there is no room to write
    """

    def __init__(self, opened: Callable[[], IO[bytes]], room: Callable[[], AbstractContextManager[None]]) -> None:
        self._opened, self._room = opened, room
        self._file: IO[bytes] | None = None
        self._pieces: list[tuple[K, int, int]] = []

    def put(self, name: K, data: bytes) -> None:
        if self._file is None:
            self._file = self._opened()
        with self._room():
            start = self._file.seek(aligned(self._file.tell()))
            self._file.write(data)
        self._pieces.append((name, start, len(data)))

    def taken(self) -> Iterator[tuple[K, Any]]:
        """All pieces, each as a part of the mapped file [pyarrow.Buffer], which lives as long as one of them."""
        if self._file is None:
            return
        import pyarrow as pa

        with self._room():
            self._file.flush()
            mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        self._file.close()
        mappings.add(mapped)
        whole = pa.py_buffer(mapped)
        for name, start, size in self._pieces:
            yield name, whole.slice(start, size)
