"""What was looked at last, in so many bytes: a prompt is as long as it likes, so a number of them bounds nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Generic, TypeVar, TypeVarTuple

ENTRY = 500  # bytes beside the texts of what a function was asked: a tuple, a place in a dict, a small answer

V = TypeVar("V")
Given = TypeVarTuple("Given")


class Recent(Generic[V]):
    """A mapping of two halves: when the younger one is full it becomes the older one, and what was that is forgotten.

    most    bytes that are held, about
    """

    __slots__ = ("_half", "held", "older", "younger")

    def __init__(self, most: int) -> None:
        self._half = most // 2
        self.younger: dict[Any, V] = {}
        self.older: dict[Any, V] = {}
        self.held = 0

    def get(self, key: Any) -> V | None:
        found = self.younger.get(key)
        return self.older.get(key) if found is None else found

    def put(self, key: Any, value: V, weight: int) -> None:
        """`weight`: bytes that it takes, about; what is too large is not held."""
        if weight > self._half:
            return
        self.held += weight
        if self.held > self._half:
            self.older, self.younger, self.held = self.younger, {}, weight
        self.younger[key] = value


def remembered(most: int) -> Callable[[Callable[[*Given], V]], Callable[[*Given], V]]:
    """A pure function of texts and numbers that answers from memory what it was asked a short time ago.

    most    bytes of questions and answers that are held, about
    """

    def of(function: Callable[[*Given], V]) -> Callable[[*Given], V]:
        recent: Recent[tuple[V]] = Recent(most)

        @wraps(function)
        def asked(*given: *Given) -> V:
            found = recent.younger.get(given)
            if found is None:
                found = recent.older.get(given) or (function(*given),)
                recent.put(given, found, ENTRY + sum(map(_length, given)))
            return found[0]

        return asked

    return of


def _length(given: object) -> int:
    if isinstance(given, str | bytes):
        return len(given)
    return sum(map(_length, given)) if isinstance(given, tuple) else 0
