"""Spans of platforms that keep them in words of their own, said again in OpenTelemetry's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from costaudit.ingest._decode import unfolded
from costaudit.ingest._detect import elsewhere
from costaudit.ingest._files import UNREADABLE, LogFile, Record
from costaudit.ingest._format import FileReader, Format, Found, Out, loaded
from costaudit.ingest._spans import Span, collect

DEEPEST = 6  # levels of names that are flattened; below that an object stays one


class SpanFormat(Format):
    """A format whose records hold one span or many; one that has to know the spans before has a reader of its own."""

    def spans(self, value: Mapping[str, Any], record: Record) -> Iterable[Span | None] | None:
        """The spans of a record (None for an element that is no span); None where the record is of another format."""
        raise NotImplementedError

    def reader(self, file: LogFile, found: Found) -> FileReader:
        del file, found  # dumps are never wrapped
        return type(self).reads(self)


@SpanFormat.read_by
class SpanReader:
    """Reads records that hold spans; one bad span costs one span."""

    def __init__(self, form: SpanFormat) -> None:
        self.form = form

    def spans(self, value: Mapping[str, Any], record: Record) -> Iterable[Span | None] | None:
        return self.form.spans(value, record)

    def feed(self, records: Sequence[Record], out: Out) -> None:
        waiting: list[Span] = []
        for record, value in loaded(records, out):
            found = None if elsewhere(self.form, value, value) else self.spans(value, record)
            if found is None:
                out.foreign.append(record)
                continue
            every = list(found)
            if not every:
                out.skipped["record without spans"] += 1
            out.extra_lines += max(0, len(every) - 1)
            out.rejects += [(record.line, "not a span")] * every.count(None)
            waiting += [span for span in every if span is not None]
        collect(waiting, out)

    def close(self, out: Out) -> None:
        """Nothing is held back between records."""


def mapping(value: Any) -> Mapping[str, Any]:
    """An object, also one kept as JSON text; else an empty one."""
    value = unfolded(value)
    return value if isinstance(value, dict) else {}


def listing(value: Any) -> list[Any]:
    """A list, also one kept as JSON text; whatever is none holds nothing."""
    value = unfolded(value)
    return value if isinstance(value, list) else []


def unquoted(value: Any) -> Any:
    """What a text holds as JSON of any kind, else the text itself: `"\\"gpt-5\\""` is gpt-5, `"12"` is 12."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (*UNREADABLE, UnicodeEncodeError):
        return value


def flattened(value: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Attributes or counts by dotted name, whether they are nested or named so already."""
    found: dict[str, Any] = {}
    for name, inner in value.items():
        if isinstance(inner, dict) and above.count(".") < DEEPEST:
            found |= flattened(inner, f"{above}{name}.")
        else:
            found[f"{above}{name}"] = inner
    return found


def first(value: Mapping[str, Any], *names: str) -> Any:
    """The first of several names that has a value."""
    return next((value[name] for name in names if value.get(name) not in (None, "")), None)


def written(value: Any) -> str | None:
    """A name as text of bounded length; None where there is none."""
    return None if value in (None, "") else str(value)[:200]
