"""Values and attributes of OTLP/JSON, out of the type that wraps each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from costaudit.ingest._files import UNREADABLE
from costaudit.ingest._spans import listed

DIGITS = 18  # of a number that surely has 64 bits


def flat(attributes: Any) -> Mapping[str, Any]:
    """Attributes as a plain dictionary, from the list of OTLP or from a dictionary that is flat already."""
    if isinstance(attributes, dict):
        return attributes
    found: dict[str, Any] = {}
    for attribute in listed(attributes):
        if isinstance(attribute, dict) and isinstance(attribute.get("key"), str):
            value = attribute.get("value")
            text = value.get("stringValue") if isinstance(value, dict) else None
            found[attribute["key"]] = plain(value) if text is None else text
    return found


def plain(value: Any, depth: int = 0) -> Any:
    """The value that OTLP wraps in its type: `{"intValue": "12"}` is 12."""
    if not isinstance(value, dict) or depth > 30:
        return value
    for kind in ("stringValue", "boolValue", "doubleValue", "string_value", "bool_value", "double_value"):
        if kind in value:
            return value[kind]
    for kind in ("intValue", "int_value"):
        if kind in value:
            return whole(value[kind])
    array = value.get("arrayValue", value.get("array_value"))
    if isinstance(array, dict):
        return [plain(v, depth + 1) for v in listed(array.get("values"))]
    named = value.get("kvlistValue", value.get("kvlist_value"))
    if isinstance(named, dict):
        return {
            pair["key"]: plain(pair.get("value"), depth + 1)
            for pair in listed(named.get("values"))
            if isinstance(pair, dict) and isinstance(pair.get("key"), str)
        }
    return None if not value else dict(value)


def whole(value: Any) -> Any:
    """OTLP writes 64-bit integers as text."""
    if isinstance(value, str):
        if value.isascii() and value.isdecimal() and value[0] != "0" and len(value) < DIGITS:
            return int(value)
        try:
            return msgspec.json.decode(value, type=int)
        except UNREADABLE:
            return value
    return value
