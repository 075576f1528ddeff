"""Which format a record is of, decided by its content, wherever a home-made log has put it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from costaudit import plugins
from costaudit.ingest import _transcript_shape
from costaudit.ingest._decode import HUGE, glimpsed, opened
from costaudit.ingest._files import Record
from costaudit.ingest._format import Format, Found
from costaudit.ingest._marks import indexes

DECISIVE = 100  # the highest score
DEPTH = 4  # how deep a response may stand in a home-made record
SAMPLE = 50  # records looked at before a file's main format is decided
SHAPES = 1_000  # sets of keys of which is remembered who is asked about them
SURE, AGREED = 80, 4  # what an API says of itself leaves no doubt, and how many records in a row end the sample


class Guess(NamedTuple):
    """A format and the places of its parts in a record."""

    form: Format
    found: Found


@cache
def formats() -> tuple[type[Format], ...]:
    """Every log format, by name."""
    return plugins.classes("costaudit.ingest", Format)


Names = tuple[tuple[str, str], ...]  # request column, its name in the log: a mapping that can be a key


@cache
def _instances(names: Names) -> tuple[Format, ...]:
    return tuple(form(dict(names)) if names else _plain(form) for form in formats())


_PLAIN: dict[type[Format], Format] = {}


def _plain(form: type[Format]) -> Format:
    """The one instance of a format where logs name no columns of their own."""
    return _PLAIN.setdefault(form, form())


@cache
def _wrappable(names: Names) -> tuple[Format, ...]:
    return tuple(form for form in _instances(names) if form.wrappable)


def _asked(value: Mapping[str, Any], names: Names, *, inside: bool) -> Sequence[Format]:
    """The formats that an object can be of, as its keys tell."""
    if names:
        return _wrappable(names) if inside else _instances(names)
    keys = tuple(value)  # most records of a log have the same
    found = _ASKED[inside].get(keys)
    if found is None:
        found = tuple(map(_of, sorted(indexes(formats)[inside].of(keys))))
        if len(_ASKED[inside]) < SHAPES:
            _ASKED[inside][keys] = found
    return found


_ASKED: tuple[dict[tuple[Any, ...], Sequence[Format]], ...] = ({}, {})


@cache
def _of(module: str) -> Format:
    return _plain(*plugins.classes_of(import_module(module), Format))


def sample(records: Sequence[Record], names: Names = ()) -> Guess | None:
    """What most of the records are; None if no format recognises any of them."""
    scores: Counter[Guess] = Counter()
    agreed = 0
    for left, record in zip(range(min(len(records), SAMPLE) - 1, -1, -1), records, strict=False):
        found = _found(record.data, names)
        if found is not None:
            scores[found[0]] += found[1]
            agreed = agreed + 1 if found[1] >= SURE and len(scores) == 1 else 0
            if agreed == AGREED or _settled(scores, left):
                break
    if not scores:
        return None
    return max(scores.items(), key=lambda item: (item[1], item[0].form.name))[0]


def _found(data: bytes | dict[str, Any], names: Names) -> tuple[Guess, int] | None:
    """The guess of a record; of the usual rows of transcripts without asking the other formats."""
    score = None
    if not names and not isinstance(data, dict) and len(data) < HUGE:
        score = _transcript_shape.score(data)
    if score == 0:
        return None
    if score:
        return transcript(), score
    value = data if isinstance(data, dict) else glimpsed(data)
    return guess(value, names) if isinstance(value, dict) else None


def transcript() -> Guess:
    """The guess of a file of transcripts."""
    from costaudit.ingest.claude_code import ClaudeCode

    return Guess(_plain(ClaudeCode), Found())


def _settled(scores: Counter[Guess], left: int) -> bool:
    """Whether the records that are left cannot change what most are."""
    first, *others = scores.most_common(2)
    return first[1] > (others[0][1] if others else 0) + left * DECISIVE


def guess(record: Mapping[str, Any], names: Names = ()) -> tuple[Guess, int] | None:
    """The format of one record with its score: the record itself first, then whatever stands inside it."""
    best: tuple[tuple[int, int, str], Format, tuple[str, ...]] | None = None
    seen = []
    for path, value in _objects(record):
        seen.append((path, value))
        if path and best is not None and best[0][0] >= SURE and best[1].closed:
            break
        for form in _asked(value, names, inside=bool(path)):
            score = form.recognises(value)
            if score > 0 and (best is None or (score, -len(path), form.name) > best[0]):
                best = (score, -len(path), form.name), form, path
    if best is None:
        return None
    (score, _, _), form, path = best
    return Guess(form, Found(path, _request(seen, path) if form.wrappable else None)), score


def elsewhere(form: Format, value: Mapping[str, Any], part: object, least: int = SURE) -> bool:
    """Whether a record that is not told by its format is told by another one, with a score of at least so much.

    part  what stands where the format looks for its object
    """
    if isinstance(part, Mapping) and form.recognises(part) > 0:
        return False
    found = guess(value, tuple(sorted(form.columns.items())))
    return found is not None and found[1] >= least and found[0].form.name != form.name


class Claims:
    """Whether another format than the one that takes nearly anything is sure of a record, asked once for each shape."""

    def __init__(self, form: Format) -> None:
        self.form = form
        self.known: dict[Any, bool] = {}

    def __call__(self, value: Mapping[str, Any]) -> bool:
        shape = _shape(value)
        found = self.known.get(shape)
        if found is None:
            found = elsewhere(self.form, value, None)
            if len(self.known) < SHAPES:
                self.known[shape] = found
        return found


def _shape(value: Mapping[str, Any]) -> tuple[Any, ...]:
    """The keys of a record and of the objects in it, with the words by which objects of equal keys are told apart."""
    inside = [(key, inner) for key, inner in value.items() if type(inner) is dict]
    told = [
        word if type(word) is str else None for one in (value, *(inner for _, inner in inside)) for word in _words(one)
    ]
    return (*value, *((key, *inner) for key, inner in inside), *told)


def _words(value: Mapping[str, Any]) -> tuple[Any, Any]:
    return value.get("object"), value.get("type")


def _objects(record: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """The record and the objects inside it, nearest first; lists are not entered."""
    level: list[tuple[tuple[str, ...], Mapping[str, Any]]] = [((), record)]
    for _ in range(DEPTH + 1):
        below: list[tuple[tuple[str, ...], Mapping[str, Any]]] = []
        for path, value in level:
            yield path, value
            for key, child in value.items():
                if isinstance(child, str):
                    child = opened(child) if len(child) > 20 else None
                # A dictionary is told ten times as fast as any other mapping.
                if child is not None and (type(child) is dict or isinstance(child, Mapping)) and len(below) < 200:
                    below.append(((*path, str(key)), child))
        level = below


_ASKS = ("messages", "input", "contents", "prompt", "inputText")


def _request(
    objects: Sequence[tuple[tuple[str, ...], Mapping[str, Any]]], response: tuple[str, ...]
) -> tuple[str, ...] | None:
    """Where the request stands that the response answers: outside the response, nearest first."""
    for path, value in objects:
        if response and path[: len(response)] == response:
            continue
        if path == response == ():
            continue
        if any(key in value and not isinstance(value[key], (int, float)) for key in _ASKS) and (
            "model" in value or (path and path[-1] in ("request", "body", "request_body", "kwargs", "params"))
        ):
            return path
    return None
