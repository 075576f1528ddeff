"""A decoder that knows the keys a file has: of the hundreds of places where a column may stand, few exist in one log.

The structs name every key that was seen, wanted or not, and refuse any other. A record with a new key is refused, the
key is learned, and the record decoded again: so nothing can be missed, and what is not there costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from costaudit.ingest._decode import Decoder, Node, Path, all_below, dug, nothing, unnamed

MOST = 40  # times a file may show new keys; records keyed by ids are decoded the other way
SEVERAL = 20  # records whose keys are learned before the first is decoded

_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_astuple = msgspec.structs.astuple


class Lean:
    """Records of one file to columns; `generation` counts how often new keys were learned."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.known: dict[Path, set[str]] = {}
        self.generation = 0
        self._shaped()

    @property
    def exhausted(self) -> bool:
        """Whether the file's keys never end."""
        return self.generation > MOST

    def learn(self, records: Sequence[bytes]) -> None:
        """Learn the keys of records before they are decoded; raises msgspec.DecodeError for what is no object."""
        if sum(self._learned(self.decoder.root, (), data) for data in records):
            self.generation += 1
            if not self.exhausted:
                self._shaped()

    def _shaped(self) -> None:
        self.shape = _Shape(self.decoder.root, (), self)
        self.decode = msgspec.json.Decoder(self.shape.struct).decode

    def one(self, data: bytes) -> Any:
        """A record as a struct of the present shape; raises as `Decoder.typed` does, and where that exhausts it."""
        try:
            return self.decode(data)
        except msgspec.ValidationError:
            before = self.generation
            self.learn([data])
            if self.generation == before:
                raise
            return self.decode(data)

    def field(self, path: Path, key: str) -> str:
        """The name of a field in the struct at a path; empty where no record has it."""
        keys = sorted(self.known.get(path, ()))
        return f"f{keys.index(key)}" if key in keys else ""

    def at(self, path: Path) -> Callable[[Any], Any]:
        """What gives the value at a path of a struct of the present shape."""
        steps = [(self.field(path[:n], key), key) for n, key in enumerate(path)]

        def found(value: Any) -> Any:
            for field, key in steps:
                value = value.get(key) if type(value) is dict else getattr(value, field, None)
                if value is None:
                    return None
            return value

        return found

    def columns(self, structs: Sequence[Any]) -> list[Sequence[Any]]:
        """The values at every path of the decoder, one sequence a path."""
        values: list[Sequence[Any]] = [nothing(len(structs))] * len(self.decoder.order)
        self.shape.spread(structs, values)
        return values

    def _learned(self, node: Node, path: Path, data: Any) -> bool:
        known = self.known.setdefault(path, set())
        new = False
        for key, value in _keys(data).items():
            if key not in known:
                new = True
                known.add(key)
                if unnamed(key):  # no struct can have it: the other way of decoding can
                    self.generation = MOST
            child = node.below.get(key)
            if child is not None and not child.whole and bytes(memoryview(value)[:1]) == b"{":
                new |= self._learned(child, (*path, key), value)
        return new


class _Shape:
    """The struct of one level, and where its values go."""

    def __init__(self, node: Node, path: Path, seen: Lean) -> None:
        at = seen.decoder.at
        fields: list[tuple[str, Any, Any]] = []
        rename: dict[str, str] = {}
        self.direct: list[tuple[int, int]] = []  # field, column
        self.dug: list[tuple[int, Node, list[int]]] = []  # field, what is looked for in it, its columns
        self.inner: list[tuple[int, _Shape]] = []
        for n, key in enumerate(sorted(seen.known.get(path, ()))):
            child, here = node.below.get(key), (*path, key)
            kind: Any = msgspec.Raw
            if child is not None and not child.whole:
                below = _Shape(child, here, seen)
                self.inner.append((n, below))
                kind = below.struct | None
            elif child is not None:
                kind = child.kind
                self.direct.append((n, at[here]))
                if child.below:
                    self.dug.append((n, child, [at[deep] for deep in all_below(child, here)]))
            fields.append((f"f{n}", kind, None))
            rename[f"f{n}"] = key
        self.struct: Any = msgspec.defstruct("Keys", fields, rename=rename, gc=False, forbid_unknown_fields=True)
        self.absent = self.struct()

    def spread(self, values: Sequence[Any], into: list[Sequence[Any]]) -> None:
        columns = list(zip(*map(_astuple, values), strict=True))
        if not columns:
            return
        for n, place in self.direct:
            into[place] = columns[n]
        for n, node, places in self.dug:
            for place, cells in zip(places, dug(node, columns[n]), strict=True):
                into[place] = cells
        for n, below in self.inner:
            below.spread([below.absent if value is None else value for value in columns[n]], into)
