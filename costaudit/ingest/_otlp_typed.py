"""Exports of traces decoded by type: the shape that collectors write. Any other is read the general way, to the same
result.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import UNSET

from costaudit.ingest._files import UNREADABLE
from costaudit.ingest._format import LEAVES
from costaudit.ingest._otel_names import WHERE_FACTS
from costaudit.ingest._otel_prompt import ANSWERS, FINISH, LISTS, TEXTS, Quoted, unquoted
from costaudit.ingest._otlp_values import plain, whole


class _Strict(msgspec.Struct, gc=False, rename="camel", forbid_unknown_fields=True):
    """An object of the protocol; with a key it does not know it is no export of the usual shape."""


class Value(_Strict):
    """A value in its type; of several the first in this order counts."""

    string_value: msgspec.Raw = cast(Any, UNSET)
    bool_value: Any = UNSET
    double_value: Any = UNSET
    int_value: Any = UNSET
    array_value: Any = UNSET
    kvlist_value: Any = UNSET


class Attribute(_Strict):
    """A name and its value."""

    key: str
    value: Value | None = None


class Event(_Strict):
    """What happened within a span."""

    name: Any = None
    time_unix_nano: Any = None
    attributes: list[Attribute] | None = None
    dropped_attributes_count: Any = None


class TypedSpan(_Strict):
    """A span as it stands in an export."""

    trace_id: Any = None
    span_id: Any = None
    parent_span_id: Any = None
    trace_state: Any = None
    flags: Any = None
    name: Any = None
    kind: Any = None
    start_time_unix_nano: Any = None
    end_time_unix_nano: Any = None
    attributes: list[Attribute] | None = None
    events: list[Event] | None = None
    links: Any = None
    status: Any = None
    dropped_attributes_count: Any = None
    dropped_events_count: Any = None
    dropped_links_count: Any = None


class Scoped(_Strict):
    """The spans of one instrumentation."""

    scope: Any = None
    spans: list[TypedSpan] | None = None
    schema_url: Any = None


class Resource(_Strict):
    """What sent the spans."""

    attributes: list[Attribute] | None = None
    dropped_attributes_count: Any = None


class Group(_Strict):
    """The spans of one resource."""

    resource: Resource | None = None
    scope_spans: list[Scoped] | None = None
    schema_url: Any = None


class Export(_Strict):
    """One export of a collector."""

    resource_spans: list[Group]


_decode = msgspec.json.Decoder(Export).decode


def export(data: bytes) -> Export | None:
    """An export of the usual shape; None for anything else."""
    try:
        return _decode(data)
    except UNREADABLE:
        return None


class Reading(NamedTuple):
    """How attributes are read.

    left    names of which nothing that is wanted is made
    quoted  names of lists of messages, which are left as they stand where they are long
    """

    left: frozenset[str] = frozenset()
    quoted: frozenset[str] = LISTS


def reading(only: Collection[str] | None, *, told: bool) -> Reading:
    """How attributes are read where these columns are wanted (None: all), and what prompts and answers say, or not."""
    if only is None:
        return Reading()
    columns = {column for column, end in ALONE.items() if end not in only}
    left = frozenset(name for name, (column, _) in WHERE_FACTS.items() if column in columns)
    if told:
        return Reading(left)
    # What a name of a text says of the end of a call may be all that there is of its answer.
    return Reading(left.union(name for name in FINISH if not name.startswith(TEXTS)), LISTS.union(ANSWERS))


ALONE = {name: name for name in LEAVES | {"streamed", "ttft_s"}} | {"_ttft_ms": "ttft_s"}
"""columns of spans that no other is made of -> where they end"""


def flat(attributes: Iterable[Attribute] | None, how: Reading) -> dict[str, Any]:
    """Attributes as a plain dictionary; long texts that are lists of messages as they stand."""
    found: dict[str, Any] = {}
    left, quoted = how
    for attribute in attributes or ():
        if (key := attribute.key) in left:
            continue
        if (value := attribute.value) is None:
            found[key] = None
        elif type(raw := value.string_value) is not msgspec.Raw:
            found[key] = _plain(value)
        else:
            found[key] = Quoted(raw) if key in quoted and _long_list(raw) else unquoted(raw)
    return found


LONG = 200  # bytes of a text from which reading it later is worth it


def _long_list(raw: msgspec.Raw) -> bool:
    view = memoryview(raw)
    return len(view) > LONG and view[:2].tobytes() == b'"['


def _plain(value: Value) -> Any:
    """A value that is no text."""
    if value.bool_value is not UNSET:
        return value.bool_value
    if value.double_value is not UNSET:
        return value.double_value
    if value.int_value is not UNSET:
        return whole(value.int_value)
    return plain(
        {name: said for name, said in zip(NAMES, msgspec.structs.astuple(value), strict=True) if said is not UNSET}
    )


NAMES = [field.encode_name for field in msgspec.structs.fields(Value)]
