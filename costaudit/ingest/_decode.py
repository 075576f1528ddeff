"""Records to values: a typed decoder for the paths of a format's table, and the same walk over plain dictionaries."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from costaudit.ingest._files import UNREADABLE
from costaudit.ingest._limits import TOO_DEEP

Path = tuple[str, ...]


class Node:
    """A key of the records: an object with further keys below, or a leaf, or both (then it is decoded whole)."""

    __slots__ = ("below", "leaf", "opaque", "raw")

    def __init__(self) -> None:
        self.below: dict[str, Node] = {}
        self.leaf = False
        self.opaque = False
        self.raw = False

    @property
    def whole(self) -> bool:
        """Whether the value is decoded as it is, because it is wanted itself or is a list."""
        return self.leaf or self.opaque

    def add(self, path: Path, *, raw: bool = False) -> None:
        node = self
        for key in path:
            if key.isdigit():  # an element of a list: the list is decoded whole
                node.opaque = True
            node = node.below.setdefault(key, Node())
        node.leaf, node.raw = True, raw  # wanted as a value and as raw JSON: decoded, and written again where needed

    @property
    def kind(self) -> Any:
        """How its value is decoded if it is decoded whole."""
        return msgspec.Raw if self.raw and not self.below else Any


class Decoder:
    """Records to tuples of the values at the given paths; `at` says where each stands; absent is None."""

    def __init__(self, paths: Iterable[Path], raws: Iterable[Path] = ()) -> None:
        self.paths = list(dict.fromkeys(paths))
        self.raws = list(dict.fromkeys(raws))
        self.root = root = Node()
        for path in self.raws:
            root.add(path, raw=True)
        for path in self.paths:
            root.add(path)
        keys = {key for path in (*self.raws, *self.paths) for key in path}
        self._decode, self._pick = _untyped() if any(map(unnamed, keys)) else _typed(root)
        self.order = _leaves(root)
        self.at = {path: n for n, path in enumerate(self.order)}
        self._raw_at = {self.at[path] for path in self.raws} - {self.at[path] for path in self.paths}

    def typed(self, data: bytes) -> tuple[Any, ...]:
        """The values of a JSON record; raises msgspec.DecodeError where it is not of the expected shape."""
        return self._pick(self._decode(data))

    def plain(self, record: Mapping[str, Any]) -> tuple[Any, ...]:
        """The same values from a dictionary, whatever its shape."""
        values = [dig(record, path) for path in self.order]
        for n in self._raw_at:
            if values[n] is not None:
                values[n] = msgspec.Raw(_encode(values[n]))
        return tuple(values)

    def columns(self, records: Sequence[Mapping[str, Any]]) -> list[Sequence[Any]]:
        """The same for many dictionaries, one list a path; a path that none of them can have costs nothing."""
        roots = {key.partition(".")[0] for record in records for key in record}
        none: list[Any] = [None] * len(records)
        values: list[Sequence[Any]] = []
        for n, path in enumerate(self.order):
            if path[0] not in roots:
                values.append(none)
                continue
            cells = [r.get(path[0]) for r in records] if len(path) == 1 else [dig(r, path) for r in records]
            if n in self._raw_at:
                cells = [None if cell is None else msgspec.Raw(_encode(cell)) for cell in cells]
            values.append(cells)
        return values


def _encode(value: Any) -> bytes:
    if isinstance(value, str):
        stripped = value.lstrip()
        if stripped.startswith(("[", "{")):  # JSON kept as text in a CSV cell or a Parquet column
            try:
                return bytes(msgspec.json.decode(stripped.encode(), type=msgspec.Raw))
            except (*UNREADABLE, UnicodeEncodeError):
                pass
    return msgspec.json.encode(value, enc_hook=str)


def dig(record: Any, path: Path) -> Any:
    """The value at a path of nested dictionaries and lists (`choices.0.index`), None where there is none.

    JSON kept as text is opened on the way.
    """
    for n, key in enumerate(path):
        if isinstance(record, str) and n:
            record = opened(record)
        if isinstance(record, list) and key.isdigit():
            record = record[int(key)] if int(key) < len(record) else None
            continue
        if type(record) is not dict and not isinstance(record, Mapping):  # the first is the fast question
            return None
        if key not in record:
            dotted = ".".join(path[n:])
            return record.get(dotted)
        record = record[key]
    return record


def inside(record: Any, path: Path) -> Any:
    """The value at a path like `dig`, opened if it is JSON kept as text."""
    return unfolded(dig(record, path))


def unfolded(value: Any) -> Any:
    """What a text holds as JSON, None where it holds no object; anything that is no text as it is."""
    return opened(value) if isinstance(value, str) else value


def unwrapped(value: Any) -> Any:
    """The same, but a text that holds no object as it is."""
    known = opened(value) if isinstance(value, str) else None
    return value if known is None else known


def opened(value: str) -> Any:
    """The object that a text holds as JSON, else None."""
    if not value.lstrip().startswith(("{", "[")):
        return None
    try:
        return msgspec.json.decode(value)
    except UNREADABLE:
        if "\\u" not in value:
            return None
    try:
        return msgspec.json.decode(mended(value.encode("utf-8", "surrogatepass")))
    except UNREADABLE:
        return None


def _leaves(node: Node, path: Path = ()) -> list[Path]:
    """Paths of all leaves in the order in which `_compile` picks them."""
    here = [(*path, key) for key, child in node.below.items() if child.whole]
    for key, child in node.below.items():
        if not child.whole:
            here += _leaves(child, (*path, key))
        elif child.below:
            here += all_below(child, (*path, key))
    return here


def all_below(node: Node, path: Path) -> list[Path]:
    """Paths of the leaves below a node that is decoded whole."""
    found: list[Path] = []
    for key, child in node.below.items():
        if child.leaf:
            found.append((*path, key))
        found += all_below(child, (*path, key))
    return found


def _compile(node: Node) -> tuple[type[msgspec.Struct], Callable[[Any], tuple[Any, ...]]]:
    """A struct for the keys below a node, and the function that flattens one into a tuple of all leaves."""
    fields: list[tuple[str, Any, Any]] = []
    rename: dict[str, str] = {}
    steps: list[tuple[int, Callable[[Any], tuple[Any, ...]]]] = []  # in the order of `_leaves`
    direct: list[int] = []
    for n, (key, child) in enumerate(node.below.items()):
        rename[f"f{n}"] = key
        if not child.whole:
            struct, below = _compile(child)
            fields.append((f"f{n}", struct | None, None))
            steps.append((n, _or_absent(below, len(_leaves(child)))))
            continue
        direct.append(n)
        fields.append((f"f{n}", child.kind, None))
        if child.below:
            steps.append((n, _dug_one(child)))
    struct = msgspec.defstruct("Keys", fields, rename=rename, gc=False)
    astuple = msgspec.structs.astuple

    def pick(value: Any) -> tuple[Any, ...]:
        cells = astuple(value)
        flat = cells if len(direct) == len(cells) else tuple([cells[n] for n in direct])
        for n, below in steps:
            flat += below(cells[n])
        return flat

    return struct, pick


_Typed = tuple[Callable[[bytes], Any], Callable[[Any], tuple[Any, ...]]]


def _typed(root: Node) -> _Typed:
    struct, pick = _compile(root)
    return msgspec.json.Decoder(struct).decode, pick


def _untyped() -> _Typed:
    """Below a key that no struct can have each record is refused, and read the other way."""

    def refuse(data: bytes) -> Any:
        raise msgspec.ValidationError(len(data))

    return refuse, tuple


unnamed = re.compile(r'["\\\x00-\x1f]').search  # what msgspec has in no name of a field


def _or_absent(pick: Callable[[Any], tuple[Any, ...]], width: int) -> Callable[[Any], tuple[Any, ...]]:
    absent = (None,) * width
    return lambda value: absent if value is None else pick(value)


def _dug_one(node: Node) -> Callable[[Any], tuple[Any, ...]]:
    return lambda value: tuple([cells[0] for cells in dug(node, (value,))])


def dug(node: Node, values: Sequence[Any]) -> list[Sequence[Any]]:
    """The leaves below a node, in the order of `all_below`, from values decoded whole: what `dig` would find."""
    objects = [value if type(value) is dict else _object(value) for value in values]
    have = set().union(*objects)
    found: list[Sequence[Any]] = []
    for key, child in node.below.items():
        cells = [value.get(key) for value in objects] if key in have else [None] * len(objects)
        if child.leaf:
            found.append(cells)
        if child.below:
            found += dug(child, cells)
    return found


@lru_cache
def nothing(height: int) -> tuple[None, ...]:
    """The cells of any column without a value: always the same ones, so that they need not be looked at."""
    return (None,) * height


def silent(cells: Sequence[Any]) -> bool:
    """Whether a column has no value."""
    height = len(cells)
    return cells is nothing(height) or cells.count(None) == height


def _object(value: Any) -> dict[str, Any]:
    """A value by its keys; a list by its places."""
    if type(value) is str:
        value = opened(value)
    if type(value) is list:
        return dict(zip(map(str, range(len(value))), value, strict=False))
    return value if type(value) is dict else {}


# An escape, a pair of surrogates as one; its group is half a pair without the other, which no JSON text may have.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|(u[dD][89a-fA-F][\da-fA-F]{2})|.)", re.DOTALL
)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parsed(data: bytes | dict[str, Any]) -> dict[str, Any] | str:
    """A JSON object, or the sentence that says why there is none; an object as it is.

    A byte that is no UTF-8 costs one character, and so does half an emoji, which a text has that was cut inside one.
    """
    if isinstance(data, dict):
        return data
    for again in (False, True):
        try:
            value = msgspec.json.decode(mended(data) if again else data)
        except RecursionError:
            return TOO_DEEP
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            reason = f"not JSON ({problem})"
        else:
            return value if isinstance(value, dict) else "not a JSON object"
    return reason


def mended(data: bytes) -> bytes:
    """The same with a replacement character for each that is none: bytes that are no UTF-8, escapes of half a pair.

    Numbers that JSON does not have and some writers write (`NaN`, `-Infinity`) are null; one beyond all numbers
    (`1e999`) is the largest there is, which is no count of anything.
    """
    text = data.decode("utf-8", "replace").encode()
    if b"NaN" in text or b"Infinity" in text or _LARGE.search(text):
        text = _NO_NUMBER.sub(_number, text)
    if not _SURROGATE.search(text):
        return text
    return _ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], text)


_LARGE = re.compile(rb"\d[eE]\+?\d{3}|\d{300}")
_NO_NUMBER = re.compile(rb'"(?:[^"\\]++|\\.)*+"|-?(?:NaN|Infinity)\b|-?\d++(?:\.\d++)?(?:[eE][+-]?\d++)?', re.DOTALL)


def _number(found: re.Match[bytes]) -> bytes:
    """What stands in place of a text (itself) or of a number that cannot be decoded."""
    said = found[0]
    if said.startswith(b'"'):
        return said
    if said.endswith((b"NaN", b"Infinity")):
        return b"null"
    return said if math.isfinite(float(said)) else b"-1e308" if said.startswith(b"-") else b"1e308"


HUGE = 1 << 20  # bytes from which a record is not decoded as a whole to see what it is
_decode_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def glimpsed(data: bytes | memoryview) -> dict[str, Any] | str:
    """A JSON object with its shape and its short values, for a record of any size: a long text or list is cut."""
    if len(data) < HUGE:
        return parsed(bytes(data))
    for again in (False, True):
        try:
            return {key: _glimpse(value) for key, value in _decode_keys(mended(bytes(data)) if again else data).items()}
        except RecursionError:
            return TOO_DEEP
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            reason = f"not JSON ({problem})"
    return reason


def _glimpse(value: msgspec.Raw) -> Any:
    view = memoryview(value)
    if len(view) < HUGE:
        return msgspec.json.decode(value)
    start = bytes(view[:1])
    if start == b"{":
        return {key: _glimpse(inner) for key, inner in _decode_keys(value).items()}
    return [] if start == b"[" else "…"
