"""How the values of a column are laid out in files, type by type, as Arrow has them: so that they are mapped, not read.

A sink takes pieces of a column, says what is to be written where, and is an array over the mapped files in the end.
Bits (validity, Booleans) are few and stay in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

INLINE = 12  # bytes of a text that its view holds; a longer one stands in a buffer that the view names
VIEW, OFFSET = 16, 8  # bytes

Job = Callable[[], None]
Array = Any  # of pyarrow, which is imported where long tables are


class Region(Protocol):
    """Where bytes are written: places are bytes from its beginning."""

    def write(self, at: int, data: Any) -> None: ...

    def mapped(self) -> Any:
        """What was written, as an Arrow buffer."""


class Rooms(Protocol):
    """Gives out regions."""

    def of(self, size: int) -> Region: ...

    def growing(self) -> Region:
        """One that gets as long as what is written there."""


class Sink:
    """One column of a table; `most` rows, or as many as come where that is None."""

    def __init__(self, kind: Any, rooms: Rooms, most: int | None) -> None:
        self.kind, self.rooms, self.most = kind, rooms, most
        self.height = 0
        self.flags: list[tuple[int, Array]] = []

    def put(self, array: Array, at: int) -> list[Job]:
        """What is to be written so that rows from `at` on are these."""
        if array.null_count:
            self.flags.append((at, array.is_valid()))
        return self._values(array, at)

    def blank(self, number: int) -> None:
        """The first rows are null."""
        import pyarrow as pa

        self.flags.append((0, pa.repeat(pa.scalar(value=False), number)))

    def made(self, height: int) -> Array:
        """The array of all rows."""
        import pyarrow as pa

        bits = _bits(self.flags, height) if self.flags else None
        valid = [bits.buffers()[1] if bits is not None else None]
        nulls = 0 if bits is None else height - bits.true_count
        self.height = height
        return pa.Array.from_buffers(self.kind, height, valid + self._buffers(), nulls, children=self._children())

    def _values(self, array: Array, at: int) -> list[Job]:
        raise NotImplementedError

    def _buffers(self) -> list[Any]:
        return []

    def _children(self) -> list[Array] | None:
        return None

    def _room(self, width: int, more: int = 0) -> Region:
        return self.rooms.growing() if self.most is None else self.rooms.of(width * (self.most + more))


class _Flat(Sink):
    """Numbers, times, amounts: values of one width."""

    def __init__(self, kind: Any, rooms: Rooms, most: int | None) -> None:
        super().__init__(kind, rooms, most)
        self.width = kind.bit_width // 8
        self.region = self._room(self.width)

    def _values(self, array: Array, at: int) -> list[Job]:
        values = array.buffers()[1].slice(array.offset * self.width, len(array) * self.width)
        return [partial(self.region.write, at * self.width, values)]

    def _buffers(self) -> list[Any]:
        return [self.region.mapped()]


class _Flags(Sink):
    """Booleans."""

    def __init__(self, kind: Any, rooms: Rooms, most: int | None) -> None:
        super().__init__(kind, rooms, most)
        self.values: list[tuple[int, Array]] = []

    def _values(self, array: Array, at: int) -> list[Job]:
        self.values.append((at, array.fill_null(False)))
        return []

    def _buffers(self) -> list[Any]:
        return [_bits(self.values, self.height).buffers()[1]]


class _Text(Sink):
    """Texts: a view each, and the bytes of long ones."""

    def __init__(self, kind: Any, rooms: Rooms, most: int | None) -> None:
        super().__init__(kind, rooms, most)
        self.region = self._room(VIEW)
        self.long: list[Region] = []

    def _values(self, array: Array, at: int) -> list[Job]:
        _, views, *data = array.buffers()
        views = views.slice(array.offset * VIEW, len(array) * VIEW)
        before = len(self.long)
        regions = [self.rooms.of(buffer.size) for buffer in data]
        self.long += regions
        jobs = [partial(region.write, 0, buffer) for region, buffer in zip(regions, data, strict=True)]
        if not before or not data:
            return [*jobs, partial(self.region.write, at * VIEW, views)]
        return [*jobs, lambda: self.region.write(at * VIEW, _later(views, before))]

    def _buffers(self) -> list[Any]:
        return [self.region.mapped(), *(region.mapped() for region in self.long)]


class _Lists(Sink):
    """Lists: where each ends, and the values of all of them, one list after the other."""

    def __init__(self, kind: Any, rooms: Rooms, most: int | None) -> None:
        super().__init__(kind, rooms, most)
        self.region = self._room(OFFSET, 1)
        self.inner = sink(kind.value_type, rooms, None)
        self.end = 0

    def _values(self, array: Array, at: int) -> list[Job]:
        import numpy as np

        ends = np.frombuffer(array.buffers()[1], np.int64)[array.offset : array.offset + len(array) + 1]
        first, last = int(ends[0]), int(ends[-1])
        moved = ends[1:] + (self.end - first)
        jobs = self.inner.put(array.values.slice(first, last - first), self.end) if last > first else []
        self.end += last - first
        return [*jobs, partial(self.region.write, (at + 1) * OFFSET, moved)]

    def _buffers(self) -> list[Any]:
        return [self.region.mapped()]

    def _children(self) -> list[Array]:
        return [self.inner.made(self.end)]


class _Records(Sink):
    """Structs: a column a field."""

    def __init__(self, kind: Any, rooms: Rooms, most: int | None) -> None:
        super().__init__(kind, rooms, most)
        self.fields = [sink(kind.field(nth).type, rooms, most) for nth in range(kind.num_fields)]

    def _values(self, array: Array, at: int) -> list[Job]:
        return [job for nth, field in enumerate(self.fields) for job in field.put(array.field(nth), at)]

    def _children(self) -> list[Array]:
        return [field.made(self.height) for field in self.fields]


def sink(kind: Any, rooms: Rooms, most: int | None) -> Sink:
    """A place for values of an Arrow type, as polars gives them out."""
    import pyarrow.types as of

    ways: Sequence[tuple[Callable[[Any], bool], type[Sink]]] = (
        (of.is_string_view, _Text),
        (of.is_large_list, _Lists),
        (of.is_struct, _Records),
        (of.is_boolean, _Flags),
    )
    return next((way for holds, way in ways if holds(kind)), _Flat)(kind, rooms, most)


def _later(views: Any, before: int) -> Any:
    """Views of texts whose buffers come after others."""
    import numpy as np

    words = np.frombuffer(views, np.uint32).reshape(-1, 4).copy()
    words[words[:, 0] > INLINE, 2] += before
    return words


def _bits(pieces: Sequence[tuple[int, Array]], height: int) -> Array:
    """Booleans of all rows from those of some; the others are true."""
    import pyarrow as pa

    found: list[Array] = []
    at = 0
    for start, piece in sorted(pieces, key=lambda pair: pair[0]):
        if start > at:
            found.append(pa.repeat(pa.scalar(value=True), start - at))
        found.append(piece)
        at = start + len(piece)
    if at < height:
        found.append(pa.repeat(pa.scalar(value=True), height - at))
    return pa.concat_arrays(found) if found else pa.array([], pa.bool_())
