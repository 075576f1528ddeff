"""Bytes that wait in a file without a name, as they came, until all of them are there."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from operator import itemgetter
from typing import IO, Any, Generic, TypeVar

from costaudit.scratch._shelf import aligned, mappings

K = TypeVar("K")


class Heap(Generic[K]):
    """Pieces with a name each, one name for as many as are wanted.

    opened  a new file without a name
    room    tells what to do where there is no room to write
    """

    def __init__(self, opened: Callable[[], IO[bytes]], room: Callable[[], AbstractContextManager[None]]) -> None:
        self._opened, self._room = opened, room
        self._file: IO[bytes] | None = None
        self._pieces: dict[K, list[tuple[int, int]]] = {}
        self._end = 0

    def put(self, name: K, data: bytes) -> None:
        if self._file is None:
            self._file = self._opened()
        start = aligned(self._end)
        with self._room():
            self._file.seek(start)
            self._file.write(data)
        self._end = start + len(data)
        self._pieces.setdefault(name, []).append((start, len(data)))

    def of(self, name: K) -> Iterator[bytes]:
        """The pieces of a name in the order they came, each read into memory when it is asked for."""
        for start, size in self._pieces.get(name, ()):
            assert self._file is not None
            with self._room():
                self._file.seek(start)
                data = self._file.read(size)
            yield data

    def close(self) -> None:
        """Give up what is left; what was taken lives on."""
        if self._file is not None:
            self._file.close()

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
        places = [(start, size, name) for name, several in self._pieces.items() for start, size in several]
        for start, size, name in sorted(places, key=itemgetter(0)):
            yield name, whole.slice(start, size)
