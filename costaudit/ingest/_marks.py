"""Which formats a record can be of at all, by its keys: the others need be neither asked nor imported.

A format is asked about an object that has no key and notes what is looked for. As it finds no mark there, it finds none
in any object that lacks all of those keys either: it takes the same way through its code. A format that looks at all
keys is always asked. What was found out is kept in the cache, under the code it was found out from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from costaudit.ingest._format import Format
from costaudit.kept import learned


class Marks(msgspec.Struct, array_like=True, frozen=True):
    """Module -> the keys one of which an object of its format has; empty: it has to be asked of any.

    top     formats of a record itself
    inside  formats that may stand deeper in a record of another kind
    """

    top: dict[str, tuple[str, ...]]
    inside: dict[str, tuple[str, ...]]


class Index:
    """The same by key."""

    def __init__(self, marks: Mapping[str, tuple[str, ...]]) -> None:
        self.always = frozenset(module for module, keys in marks.items() if not keys)
        self.by_key: dict[Any, frozenset[str]] = {}
        for module, keys in marks.items():
            for key in keys:
                self.by_key[key] = self.by_key.get(key, frozenset()) | {module}

    def of(self, keys: Iterable[Any]) -> frozenset[str]:
        """The modules of the formats that an object with these keys can be of."""
        return self.always.union(*(self.by_key[key] for key in keys if key in self.by_key))


@cache
def indexes(forms: Callable[[], tuple[type[Format], ...]]) -> tuple[Index, Index]:
    """For a record itself, and for what stands inside it.

    forms  all formats; not asked for where what they look for is known
    """
    marks = learned("keys", str(Path(__file__).parent), Marks, lambda: found_out(forms()))
    return Index(marks.top), Index(marks.inside)


def found_out(forms: Iterable[type[Format]]) -> Marks:
    """What the formats look for."""
    top = {form.__module__: _looked_for(form()) for form in forms}
    return Marks(top, {form.__module__: top[form.__module__] for form in forms if form.wrappable})


def _looked_for(form: Format) -> tuple[str, ...]:
    empty = _Empty()
    try:
        return tuple(sorted(empty.asked)) if form.recognises(empty) <= 0 else ()
    except _All:
        return ()


class _All(BaseException):
    """All keys are looked at, whatever they are; not to be caught by a format."""


def _all(*_: Any) -> Any:
    raise _All


class _Empty(dict[str, Any]):
    """An object without a key that notes which are looked for."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return default

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        self.asked.add(str(key))
        return False

    def keys(self) -> Any:
        return _NoKeys(self.asked)

    __iter__ = __len__ = __bool__ = __eq__ = __ne__ = __or__ = __ror__ = _all
    items = values = copy = pop = popitem = setdefault = update = _all  # type: ignore[assignment]


class _NoKeys:
    """The keys of such an object, as far as they are compared with some that are named."""

    def __init__(self, asked: set[str]) -> None:
        self.asked = asked

    def __ge__(self, some: set[str]) -> bool:
        self.asked |= some
        return not some

    def __and__(self, some: set[str]) -> set[str]:
        self.asked |= some
        return set()

    __rand__ = __and__

    def __contains__(self, key: object) -> bool:
        self.asked.add(str(key))
        return False

    __iter__ = __len__ = __bool__ = __eq__ = __ne__ = __le__ = __lt__ = __gt__ = _all
    __sub__ = __rsub__ = __or__ = __ror__ = __xor__ = __rxor__ = isdisjoint = _all
